"""What Bottle reads of a request: its query, and its Basic credential in hexadecimal digits. Argument: a port."""

import sys

from bottle import Bottle, request

app = Bottle()


@app.route("<path:re:.*>")
def read(path):
    try:
        query = request.query.decode()
    except UnicodeError:
        query = request.query  # as it is read without a look at its encoding
    user, password = request.auth or (None, None)
    values = {name: query.getall(name) for name in query}
    return {"query": values, "user": in_hex(user), "password": in_hex(password)}


def in_hex(text):
    return None if text is None else text.encode().hex()


app.run(host="127.0.0.1", port=int(sys.argv[1]), quiet=True)
