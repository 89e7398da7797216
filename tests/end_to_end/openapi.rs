//! The OpenAPI document: that it is whole, that it is the one in `control-plane/openapi.json`, and that no answer
//! contradicts it, whoever asks and whatever is sent: schemathesis, which nobody here wrote, tries.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use tests::{World, assert_snapshot};

const PROBLEM: &str = "application/problem+json";

/// Names of properties that say by themselves what they hold.
const OBVIOUS: &[&str] = &[
    "address",
    "basic",
    "bearer",
    "created_at",
    "email",
    "expires_at",
    "first_seen_at",
    "id",
    "items",
    "label",
    "last_accessed_at",
    "last_accessed_from",
    "last_seen_at",
    "name",
    "owner",
    "password",
    "suspended",
    "sysadmin",
    "updated_at",
    "user",
    "valid_from",
];

/// A control plane alone, in which everything can be done.
fn control_plane() -> World {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.site.log_level = "info";
    world.start_control_plane();
    world
}

fn document(world: &World) -> Value {
    let reply = world.control_get("/api/v1/openapi.json").send();
    assert_eq!((reply.status.as_u16(), &reply.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    reply.json
}

/// Every operation: its path, its method, and what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths
        .flat_map(|(path, methods)| methods.as_object().expect("methods").iter().map(move |(m, o)| (&**path, &**m, o)))
        .collect()
}

#[test]
fn snapshot_of_the_openapi_document_is_checked_in() {
    let document = document(&control_plane());
    let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
    assert_snapshot("control-plane/openapi.json", &text);
}

#[test]
fn the_openapi_document_is_whole() {
    let document = document(&control_plane());
    assert_eq!(document["security"], serde_json::json!([{ "basic": [] }, { "bearer": [] }]));
    for scheme in ["basic", "bearer"] {
        let said = &document["components"]["securitySchemes"][scheme];
        assert_eq!((&said["type"], &said["scheme"]), (&"http".into(), &scheme.into()));
    }
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    let tags: BTreeSet<_> = document["tags"].as_array().expect("tags").iter().map(|tag| tag["name"].as_str()).collect();
    for (path, method, operation) in operations(&document) {
        let mut fault = |what: &str| faults.push(format!("{method} {path}: {what}"));
        match operation["operationId"].as_str() {
            Some(id) if ids.insert(id) => {}
            _ => fault("no operation_id of its own"),
        }
        if operation["summary"].as_str().is_none_or(|text| !text.ends_with('.')) {
            fault("no sentence that sums it up");
        }
        if operation["description"].as_str().is_none() {
            fault("nothing said beyond the summary");
        }
        if !operation["tags"].as_array().is_some_and(|own| own.iter().all(|tag| tags.contains(&tag.as_str()))) {
            fault("no tag, or one that is not explained");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["description"].as_str().is_none_or(str::is_empty) {
                fault(&format!("nothing said of the parameter {}", parameter["name"]));
            }
        }
        for segment in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let mut parameters = operation["parameters"].as_array().into_iter().flatten();
            if !parameters.any(|parameter| parameter["name"] == segment && parameter["in"] == "path") {
                fault(&format!("{segment} is no parameter"));
            }
        }
        let responses = operation["responses"].as_object().expect("responses");
        let public = operation["security"] == serde_json::json!([{}]);
        for wanted in if public { &["200"][..] } else { &["400", "401", "403", "429", "503"] } {
            if !responses.contains_key(*wanted) {
                fault(&format!("{wanted} is not said"));
            }
        }
        if !responses.keys().any(|status| status.starts_with('2')) {
            fault("no success is said");
        }
        if operation["requestBody"].is_object() {
            for wanted in ["408", "413", "415"] {
                if !responses.contains_key(wanted) {
                    fault(&format!("{wanted} is not said, though there is a body"));
                }
            }
        }
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let problem = serde_json::json!({ PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } });
            if response["content"] != problem {
                fault(&format!("{status} is no problem"));
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        check_properties(name, schema, &mut faults);
    }
    check_references(&document, &document, &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// That every property says what it holds: by words, an example, a format, a list of values, or its name.
fn check_properties(within: &str, schema: &Value, faults: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let said = ["description", "example", "examples", "format", "enum", "$ref", "oneOf", "allOf"];
        let is_flag = property["type"] == "boolean" && property.get("default").is_some();
        if !OBVIOUS.contains(&name.as_str()) && !is_flag && !said.iter().any(|key| property.get(key).is_some()) {
            faults.push(format!("the schema {within}: nothing said of {name}"));
        }
        check_properties(&format!("{within}.{name}"), property, faults);
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        for part in schema[key].as_array().into_iter().flatten() {
            check_properties(within, part, faults);
        }
    }
    if schema["items"].is_object() {
        check_properties(within, &schema["items"], faults);
    }
}

/// That every schema that is referred to is there: tools pass over an operation in silence if not.
fn check_references(document: &Value, part: &Value, faults: &mut Vec<String>) {
    if let Some(reference) = part.get("$ref").and_then(Value::as_str)
        && reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)).is_none()
    {
        faults.push(format!("{reference} is not there"));
    }
    match part {
        Value::Object(fields) => fields.values().for_each(|field| check_references(document, field, faults)),
        Value::Array(items) => items.iter().for_each(|item| check_references(document, item, faults)),
        _ => {}
    }
}

/// How often each operation was answered with which status.
type Answers = BTreeMap<String, BTreeMap<u16, u32>>;

/// Lets schemathesis try every operation in this role, with so many made-up requests each besides those that the
/// document's limits and examples suggest; fails with its report if an answer contradicts the document.
fn conform(world: &World, role: &str, examples: u32) -> Answers {
    let report = world.site.logs.join("answers.ndjson");
    let url = format!("http://127.0.0.1:{}", world.site.ports.control);
    let output = Command::new(&world.site.tools.python)
        .args(["-m", "schemathesis.cli", "run", &format!("{url}/api/v1/openapi.json")])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", &examples.to_string()])
        .args(["--generation-deterministic", "--continue-on-failure", "--workers", "1", "--request-timeout", "10"])
        .args(["--no-color", "--warnings", "off", "--output-truncate", "false", "--report", "ndjson"])
        .arg("--report-ndjson-path")
        .arg(&report)
        .current_dir(&world.site.logs)
        .env("SCHEMATHESIS_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/end_to_end/openapi/hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .env("CONFORM_URL", &url)
        .env("CONFORM_ROLE", role)
        .env("CONFORM_TOKEN", world.admin_token())
        .output()
        .expect("python runs");
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    let mut answers = Answers::new();
    let events = std::fs::read_to_string(report).expect("the report");
    for event in events.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        let recorder = &event["ScenarioFinished"]["recorder"];
        for (id, case) in recorder["cases"].as_object().into_iter().flatten() {
            let (case, response) = (&case["value"], &recorder["interactions"][id]["response"]);
            if let (Some(method), Some(path), Some(status)) =
                (case["method"].as_str(), case["path"].as_str(), response["status_code"].as_u64())
            {
                let of_operation = answers.entry(format!("{method} {path}")).or_default();
                *of_operation.entry(u16::try_from(status).expect("a status")).or_default() += 1;
            }
        }
    }
    // A document that it cannot read makes it pass over operations in silence.
    let document = document(world);
    let missing: Vec<_> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| format!("{} {path}", method.to_uppercase()))
        .filter(|operation| !answers.contains_key(operation))
        .collect();
    assert!(missing.is_empty(), "never called: {missing:?}\n{printed}");
    answers
}

/// The operations, by their ids, to which this role had a success.
fn succeeded(document: &Value, answers: &Answers) -> BTreeSet<String> {
    let success = |path: &str, method: &str| {
        let of_operation = answers.get(&format!("{} {path}", method.to_uppercase()));
        of_operation.is_some_and(|statuses| statuses.keys().any(|status| (200..300).contains(status)))
    };
    let operations = operations(document).into_iter().filter(|(path, method, _)| success(path, method));
    operations.map(|(_, _, operation)| operation["operationId"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn schemathesis_finds_nothing_as_sysadmin() {
    /// Of the things that there are in such a world, none can be forgotten: no proxy was ever there.
    const IMPOSSIBLE: &[&str] = &["forget_proxy"];
    let world = control_plane();
    let answers = conform(&world, "sysadmin", 5);
    let document = document(&world);
    let succeeded = succeeded(&document, &answers);
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        let statuses = &answers[&format!("{} {path}", method.to_uppercase())];
        assert!(succeeded.contains(id) || IMPOSSIBLE.contains(&id), "{id} never succeeded: {statuses:?}");
    }
}

#[test]
fn schemathesis_finds_nothing_as_user() {
    let world = control_plane();
    let answers = conform(&world, "user", 2);
    let succeeded = succeeded(&document(&world), &answers);
    for own in [
        "create_token",
        "delete_token",
        "edit_token",
        "explain",
        "list_tokens",
        "show_openapi",
        "show_token",
        "show_user",
    ] {
        assert!(succeeded.contains(own), "{own} never succeeded: {answers:?}");
    }
    for others in ["change_settings", "create_user", "delete_user", "edit_user", "list_users", "show_settings"] {
        assert!(!succeeded.contains(others), "{others} succeeded: {answers:?}");
    }
}

#[test]
fn schemathesis_finds_nothing_anonymously() {
    let world = control_plane();
    let answers = conform(&world, "anonymous", 2);
    let succeeded = succeeded(&document(&world), &answers);
    assert_eq!(succeeded, BTreeSet::from(["show_openapi".to_owned()]), "{answers:?}");
}
