//! Requests at random, from a seed: each can be sent through Envoy, and asked about.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Random, Reply, Token, UNKNOWN_TOKEN, World, basic, in_seconds};

/// What can stand in the place of a token.
#[derive(Clone, Debug)]
struct Presented {
    text: String,
    /// If it is a token.
    id: Option<String>,
    /// The name that belongs beside it.
    owner: &'static str,
}

/// What requests are made of: alice, bob and the suspended sam are users, root administers; alice has a backend credential.
pub(super) struct Pool {
    tokens: Vec<Presented>,
    others: Vec<Presented>,
    imported: String,
    /// One that ends within a second.
    pub(super) expired: String,
}

const LINES: [&[&str]; 5] = [
    &["[get].*/rest/api/2/issue/JRA.*", "[post].*/rest/api/2/issue/JRA-[0-9]+/comment"],
    &[".*/rest/api/2/issue/.*[QueryParam::x==1]", "/rest/api/2/project.*"],
    &[".*/rest/api/2/filter[JsonData::editable==false][JsonData::fields.project.key==JRA]"],
    &[
        "[A-Z]+.*",
        "[put].*[JsonData::editable==(true|false)]",
        "[get].*[QueryParam::permissions==true][QueryParam::x==1]",
    ],
    &[".*[JsonData::editable==false]", ".*/rest/api/2/filter[QueryParam::x==2]"],
];

impl Pool {
    /// Makes all of them. Settings are the defaults, but for unbound tokens.
    pub(super) fn new(world: &World) -> Self {
        for name in ["alice", "bob", "sam"] {
            world.create_user(name);
        }
        world.create_user("root");
        world.edit_user("root", &json!({ "sysadmin": true }));
        let credential = world.as_admin(Method::PUT, "/api/v1/users/alice/backend-credential");
        assert_eq!(credential.json(&json!({ "bearer": "alice-at-the-backend" })).send().status, 204);
        let new = |owner: &'static str, more: Value| {
            let mut properties = json!({ "label": "x", "owner": owner });
            properties.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
            let Token { id, text } = world.new_token(&properties);
            Presented { text, id: Some(id), owner }
        };
        let mut tokens = vec![
            new("alice", json!({})),
            new("bob", json!({})),
            new("root", json!({})),
            new("bob", json!({})),
            new("root", json!({})),
            new("root", json!({ "scope": "read_only" })),
            new("alice", json!({ "scope": "read_only" })),
            new("alice", json!({ "ip_ranges": ["192.0.2.0/24"] })),
            new("alice", json!({ "expires_at": in_seconds(1) })),
            new("alice", json!({ "valid_from": in_seconds(86_400) })),
            new("sam", json!({})),
        ];
        let expired = tokens[8].text.clone();
        let restricted = LINES.map(|lines| new("alice", json!({ "restrictions": lines })));
        tokens.extend(restricted.iter().chain(&restricted).cloned());
        let deleted = new("alice", json!({}));
        world.delete_token(&Token { id: deleted.id.clone().expect("an id"), text: deleted.text.clone() });
        tokens.push(deleted);
        for owner in ["bob", "sam", "alice"] {
            let unbound = world.new_token(&json!({ "label": "x", "unbound": true }));
            tokens.push(Presented { text: unbound.text, id: Some(unbound.id), owner });
        }
        let imported = world.import_token("5f2b8c91-of-another-product", "alice");
        tokens.push(Presented { text: imported.text.clone(), id: Some(imported.id), owner: "alice" });
        world.edit_user("sam", &json!({ "suspended": true }));
        let whole = &tokens[0].text;
        let mistyped = format!("{}{}", &whole[..42], if whole.ends_with('x') { 'y' } else { 'x' });
        let other = |text: String| Presented { text, id: None, owner: "alice" };
        let others = [
            UNKNOWN_TOKEN.into(),
            mistyped,
            whole[..20].into(),
            format!("\"{whole}\""),
            "wonderland".into(),
            "wonderland".into(),
            "nobody-has-this".into(),
        ]
        .map(other)
        .into();
        Self { tokens, others, imported: imported.text, expired }
    }
}

/// A request, and whether its token is to be named by its id when it is asked about.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    presented: Presented,
    /// `None`: with Bearer.
    user: Option<String>,
    pub(super) method: &'static str,
    url: String,
    context_user: Option<&'static str>,
    address: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<String>,
    by_id: bool,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) verdict: String,
    pub(super) refusal: Option<(u64, String)>,
    pub(super) user: Option<String>,
    pub(super) actor: Option<String>,
}

const PATHS: [&str; 16] = [
    "/rest/api/2/issue/JRA-1",
    "/rest/api/2/issue/JRA-1",
    "/rest/api/2/issue/JRA-2/comment",
    "/rest/api/2/issue/KAN-1",
    "/rest/api/2/filter",
    "/rest/api/2/filter",
    "/rest/api/2/filter",
    "/rest/api/2/filter",
    "/rest/api/2/project/JRA",
    "/rest/api/2/project/JRA",
    "/REST/api/2/myself",
    "/rest/branches/a%2Fb",
    "/rest/a;b",
    "/login",
    "/api/v1/tokens",
    "/api/v1/tokens",
];

const QUERIES: [&str; 11] = [
    "",
    "",
    "?x=1",
    "?x=1",
    "?x=2",
    "?x=1&permissions=true",
    "?permissions=true&x=1&permissions=no",
    "?x=1&X=2&x[]=1",
    "?x=%zz",
    "?x=1;y=2",
    "?x=1&_method=PUT",
];

const BODIES: [&str; 7] = [
    r#"{"editable":false,"fields":{"project":{"key":"JRA"}}}"#,
    r#"{"editable":false,"fields":{"project":{"key":"KAN"}}}"#,
    r#"{"editable":false}"#,
    r#"{"editable":true,"x":1.50}"#,
    r#"{"editable":false,"editable":true}"#,
    r#"[1]"#,
    "editable=false",
];

impl Sample {
    pub(super) fn new(random: &mut Random, pool: &Pool) -> Self {
        let mut url = (*random.pick(&PATHS)).to_owned();
        let manages = url.starts_with("/api/");
        let presented = if random.once_in(4) { random.pick(&pool.others) } else { random.pick(&pool.tokens) }.clone();
        // A wrong password at the control plane is hashed, which takes long.
        let is_password = !presented.text.contains("tgt_") && presented.id.is_none();
        let bearer = random.once_in(2) || (manages && is_password);
        let user = (!bearer).then(|| match random.below(16) {
            0 | 15 => "nobody".into(),
            1 => "BOB@example.org".into(),
            2 | 3 if presented.id.is_none() => pool.imported.clone(),
            4..7 => presented.owner.to_uppercase(),
            _ => presented.owner.to_owned(),
        });
        let query = if manages { "?limit=1" } else { *random.pick(&QUERIES) };
        // Too long to be judged: the path, or the query.
        match random.below(16) {
            0 if !manages => url = format!("{url}/{}{query}", "x".repeat(2_048)),
            1 if !manages && !query.is_empty() => url = format!("{url}{query}&long={}", "x".repeat(2_048)),
            _ => url += query,
        }
        let method = if manages {
            "GET"
        } else if random.once_in(60) {
            "TRACE"
        } else if random.once_in(30) {
            "HEAD"
        } else {
            random.pick(&["GET", "GET", "GET", "POST", "PUT", "PUT", "DELETE", "OPTIONS"])
        };
        let mut headers = Vec::new();
        let body = (matches!(method, "POST" | "PUT")).then(|| {
            let kinds = [
                "application/json",
                "application/json",
                "application/json",
                "application/json; charset=utf-8",
                "text/plain",
            ];
            headers.push(("content-type", *random.pick(&kinds)));
            let body = (*random.pick(&BODIES)).to_owned();
            if random.once_in(3) { format!("{body}{}", " ".repeat(2000)) } else { body }
        });
        if random.once_in(20) {
            headers.push(("x-http-method-override", "DELETE"));
        }
        let context_user = random.once_in(6).then(|| {
            *random.pick(&["bob", "bob", "bob", "BOB@example.org", "root", "sam", "sam", "nobody", "nobody", ""])
        });
        let by_id = presented.id.is_some() && random.once_in(2);
        let address = random.pick(&["192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::5"]);
        Self { presented, user, method, url, context_user, address, headers, body, by_id }
    }

    /// What became of it in Envoy.
    pub(super) fn sent(&self, world: &World) -> Fate {
        let mut call = world.request(Method::from_bytes(self.method.as_bytes()).expect("a method"), &self.url);
        let authorization = match &self.user {
            Some(user) => basic(user, &self.presented.text),
            None => format!("Bearer {}", self.presented.text),
        };
        call = call.header("authorization", authorization.as_bytes());
        call = call.header("x-forwarded-for", self.address.as_bytes());
        for (name, value) in &self.headers {
            call = call.header(name, value.as_bytes());
        }
        if let Some(name) = self.context_user {
            call = call.header("contextUser", name.as_bytes());
        }
        // Its type is among the headers.
        if let Some(body) = &self.body {
            call = call.text(body);
        }
        self.fate(&call.send())
    }

    fn fate(&self, reply: &Reply) -> Fate {
        let went = |verdict: &str, user: Option<&Value>, actor: Option<&Value>| {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
            Fate { verdict: verdict.into(), refusal: None, user: text(user), actor: text(actor) }
        };
        let refused = |code: &str| {
            let refusal = Some((u64::from(reply.status.as_u16()), code.to_owned()));
            Fate { verdict: "refused".into(), refusal, user: None, actor: None }
        };
        let is_problem = reply.headers.get("content-type").is_some_and(|kind| kind == "application/problem+json");
        let seen = reply.json["headers"].as_object();
        match (reply.json["code"].as_str(), seen) {
            // The control plane's own word for a request in which no token came.
            (Some("credentials_required"), _) => went("passed", None, None),
            (Some(code), _) if is_problem => refused(code),
            (_, Some(seen)) if seen.contains_key("x-tokengate-token-id") => {
                went("admitted", seen.get("x-forwarded-user"), seen.get("x-tokengate-actor"))
            }
            (_, Some(_)) => went("passed", None, None),
            (None, None) if reply.json["error"] == "wrong user or password" => went("passed", None, None),
            (None, None) if reply.json["items"].is_array() => went("admitted", None, None),
            (None, None) if self.method == "HEAD" && is_problem => refused("unseen"),
            (None, None) if self.method == "HEAD" => went("not refused", None, None),
            _ => panic!("who answered this? {} {}\n{self:?}", reply.status, reply.text),
        }
    }

    /// The question about it.
    pub(super) fn asked(&self) -> Value {
        let mut asked = json!({
            "method": self.method, "url": self.url, "address": self.address,
            "context_user": self.context_user, "body": self.body,
            "headers": self.headers.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        });
        match &self.presented.id {
            Some(id) if self.by_id => asked["id"] = json!(id),
            _ => asked["token"] = json!(self.presented.text),
        }
        match &self.user {
            Some(user) => asked["user"] = json!(user),
            None => asked["scheme"] = json!("bearer"),
        }
        asked
    }

    /// What must have become of it by an explanation, as far as can be seen from outside.
    pub(super) fn explained(&self, explained: &Value) -> Fate {
        let text = |name: &str| explained[name].as_str().map(str::to_owned);
        let verdict = text("verdict").unwrap_or_else(|| panic!("no explanation: {explained}\n{self:?}"));
        let status = explained["status"].as_u64();
        let mut fate = Fate { verdict, refusal: status.zip(text("code")), user: text("user"), actor: text("actor") };
        if self.method == "HEAD" {
            fate.user = None;
            fate.actor = None;
            match &mut fate.refusal {
                Some((_, code)) => *code = "unseen".into(),
                None => fate.verdict = "not refused".into(),
            }
        }
        if self.url.starts_with("/api/") {
            (fate.user, fate.actor) = (None, None);
        }
        fate
    }
}
