// What Express reads of a request: its query, and its Basic credential in hexadecimal digits (by basic-auth).
// Arguments: a port where queries are parsed as "simple", and one where they are parsed as "extended".
const basicAuth = require("basic-auth");
const express = require("express");

const inHex = (text) => (text === undefined ? null : Buffer.from(text).toString("hex"));

["simple", "extended"].forEach((parser, index) => {
  const app = express();
  app.set("query parser", parser);
  app.use((request, response) => {
    const credential = basicAuth(request);
    response.json({ query: request.query, user: inHex(credential?.name), password: inHex(credential?.pass) });
  });
  app.listen(Number(process.argv[2 + index]), "127.0.0.1");
});
