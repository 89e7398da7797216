//! The corpus of path attacks, `tests/corpus/paths.json`.
//!
//! A list of groups, each named after the published attack that it stands for (`attack`). All targets of a group are
//! sent with its `method` (GET if there is none) and its `headers`, over HTTP/1.1 and HTTP/2, unless it is `only` for
//! `h1`. A group with `http2` in place of `targets` has whole header lists of HTTP/2 requests.
//!
//! Every text stands for bytes, one for each character: `\u00af` is the byte 0xaf, and no character is above `\u00ff`.
//! `{tag}` stands for a name of its own for each request, and `{9*abc}` for nine times `abc`.

use serde_json::Value;

/// The header by which a request is known again at the backend.
pub(super) const TAG_HEADER: &str = "x-entry";

/// Names and values.
pub(super) type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// One attack in one form.
pub(super) struct Entry {
    /// What it is called.
    pub(super) attack: String,
    form: Form,
}

enum Form {
    Target { method: String, target: String, headers: Vec<(String, String)>, http2: bool },
    Http2(Vec<(String, String)>),
}

/// All of the corpus.
pub(super) fn read() -> Vec<Entry> {
    let groups: Value = serde_json::from_str(include_str!("../../corpus/paths.json")).expect("the corpus is JSON");
    list(&groups).iter().flat_map(entries).collect()
}

fn entries(group: &Value) -> Vec<Entry> {
    const FIELDS: [&str; 6] = ["attack", "method", "headers", "only", "targets", "http2"];
    let unknown = group.as_object().expect("a group").keys().find(|field| !FIELDS.contains(&field.as_str()));
    assert_eq!(unknown, None, "a field that nobody reads");
    let attack = || text(&group["attack"]);
    let http2 = match group["only"].as_str() {
        None => true,
        Some("h1") => false,
        Some(other) => panic!("`only` is `h1` or absent, not {other}"),
    };
    let form = |target: &Value| Form::Target {
        method: group["method"].as_str().unwrap_or("GET").to_owned(),
        target: text(target),
        headers: pairs(&group["headers"]),
        http2,
    };
    let targets = list(&group["targets"]).iter().map(|target| Entry { attack: attack(), form: form(target) });
    let whole = list(&group["http2"]).iter().map(|all| Entry { attack: attack(), form: Form::Http2(pairs(all)) });
    targets.chain(whole).collect()
}

impl Entry {
    /// What to show of it in a table.
    pub(super) fn shown(&self) -> String {
        let all = match &self.form {
            Form::Target { method, target, .. } if method == "GET" => target.clone(),
            Form::Target { method, target, .. } => format!("{method} {target}"),
            Form::Http2(headers) => headers.iter().fold(String::new(), |all, (name, value)| match name.as_str() {
                ":scheme" | ":authority" if !value.contains('/') => all,
                ":method" if value == "GET" => all,
                _ => format!("{all}{name}={value} "),
            }),
        };
        bytes(&all, "{tag}").escape_ascii().to_string()
    }

    /// The request as HTTP/1.1, if it can be said there.
    pub(super) fn http1(&self, tag: &str, authorization: Option<&str>) -> Option<Vec<u8>> {
        let Form::Target { method, target, headers, .. } = &self.form else { return None };
        let mut request = [method.as_bytes(), b" ", &bytes(target, tag), b" HTTP/1.1\r\nHost: x\r\n"].concat();
        let own = headers.iter().map(|(name, value)| (bytes(name, tag), bytes(value, tag)));
        for (name, value) in own.chain(common(tag, authorization)).chain([("connection".into(), "close".into())]) {
            request.extend([&name, b": ".as_slice(), &value, b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        Some(request)
    }

    /// The request as HTTP/2, if it can be said there.
    pub(super) fn http2(&self, tag: &str, authorization: Option<&str>) -> Option<Headers> {
        let own: Headers = match &self.form {
            Form::Target { http2: false, .. } => return None,
            Form::Target { method, target, headers, .. } => {
                let pseudo =
                    [(":method", method.as_str()), (":scheme", "http"), (":authority", "x"), (":path", target)];
                let pseudo = pseudo.map(|(name, value)| (name.into(), bytes(value, tag)));
                let headers = headers.iter().map(|(name, value)| (bytes(&name.to_lowercase(), tag), bytes(value, tag)));
                pseudo.into_iter().chain(headers).collect()
            }
            Form::Http2(headers) => headers.iter().map(|(name, value)| (bytes(name, tag), bytes(value, tag))).collect(),
        };
        Some(own.into_iter().chain(common(tag, authorization)).collect())
    }
}

/// What every request carries: its tag, what a client forges to be taken for somebody else, and the credential.
fn common(tag: &str, authorization: Option<&str>) -> Headers {
    const FORGED: [&str; 5] =
        ["x-forwarded-user", "x-forwarded-email", "x-tokengate-token-id", "x-tokengate-actor", "x-tokengate-assertion"];
    let forged = FORGED.map(|name| (name.into(), "mallory".into()));
    [(TAG_HEADER.into(), tag.into())]
        .into_iter()
        .chain(forged)
        .chain(authorization.map(|value| ("authorization".into(), value.into())))
        .collect()
}

/// The bytes that a text stands for; for a table (where the tag is `{tag}`), repetitions stay as they are written.
fn bytes(text: &str, tag: &str) -> Vec<u8> {
    let mut whole = text.replace("{tag}", tag);
    while let Some((before, rest)) = whole.split_once('{').filter(|_| tag != "{tag}") {
        let (repetition, after) = rest.split_once('}').expect("a closing brace");
        let (count, repeated) = repetition.split_once('*').expect("{COUNT*TEXT}");
        whole = [before, &repeated.repeat(count.parse().expect("a count")), after].concat();
    }
    whole.chars().map(|c| u8::try_from(u32::from(c)).expect("no character above U+00FF")).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    list(value).iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        other => other.as_array().expect("a list"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
