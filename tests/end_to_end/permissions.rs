//! Every route as every role, at the control plane and through Envoy. What came of it stands in
//! `control-plane/permissions.txt`, for a reviewer to read; a route that is not in the table below fails the test.

mod facades;

use facades::{FACADES, FOR_SYSADMINS, FacadeRoute};
use reqwest::Method;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use tests::{Reply, Token, World, assert_snapshot};

/// What a request is about, and what it takes to succeed.
struct Scene<'a> {
    /// The user whose thing it is.
    subject: &'a str,
    /// Different in each scene.
    number: u32,
}

/// The table: for each operation the action that it is by `permission.rs`, the query, and the body.
fn row(operation: &str, scene: &Scene<'_>) -> Option<(&'static str, String, Value)> {
    if let Some(route) = FacadeRoute::of(operation) {
        return Some((route.action, String::new(), (route.body)(scene)));
    }
    let Scene { subject, number } = scene;
    let (plain, nothing) = (String::new, Value::Null);
    Some(match operation {
        "show_openapi" => ("openapi.read", plain(), nothing),
        "create_user" => ("user.create", plain(), json!({ "name": format!("created-{number}") })),
        "import_users" => ("user.create", plain(), json!({ "users": [{ "name": format!("imported-{number}") }] })),
        "list_users" => ("user.list", plain(), nothing),
        "show_user" => ("user.show", plain(), nothing),
        "edit_user" => ("user.edit", plain(), json!({ "email": format!("edited-{number}@example.org") })),
        "delete_user" => ("user.delete", plain(), nothing),
        "set_password" => ("user.password", plain(), json!({ "password": format!("correct horse {number}") })),
        "delete_password" => ("user.password", plain(), nothing),
        "create_token" => ("token.create", plain(), json!({ "label": "created", "owner": subject })),
        "import_tokens" => {
            ("token.import", plain(), json!(format!("token,label,owner\nfrom-elsewhere-{number},imported,{subject}\n")))
        }
        "list_tokens" => ("token.list", format!("?owner={subject}"), nothing),
        "show_token" => ("token.show", plain(), nothing),
        "reveal_token" => ("token.reveal", plain(), nothing),
        // The id is put in where the request is made.
        "explain" => ("token.explain", plain(), json!({ "id": "{id}", "method": "GET", "url": "/rest/" })),
        "edit_token" => ("token.edit", plain(), json!({ "label": "edited" })),
        "rotate_token" => ("token.rotate", plain(), json!({})),
        "delete_token" => ("token.delete", plain(), nothing),
        "delete_tokens" => ("token.delete", format!("?owner={subject}"), nothing),
        "try_token" => ("token.try", plain(), json!({ "restrictions": ["/rest/.*"] })),
        "show_settings" | "show_settings_version" | "list_settings_versions" => ("settings.show", plain(), nothing),
        "change_settings" => ("settings.change", plain(), json!({ "expiry_warning_days": [number % 365 + 1] })),
        "try_settings" => ("settings.try", plain(), json!({ "settings": { "log_calls": false } })),
        "restore_settings" => ("settings.change", plain(), json!({ "version": 0 })),
        "show_backend_credential" | "show_shared_backend_credential" => ("backend_credential.show", plain(), nothing),
        "set_backend_credential" | "set_shared_backend_credential" => {
            ("backend_credential.set", plain(), json!({ "bearer": "secret" }))
        }
        "delete_backend_credential" | "delete_shared_backend_credential" => {
            ("backend_credential.set", plain(), nothing)
        }
        "list_proxies" => ("proxy.list", plain(), nothing),
        "forget_proxy" => ("proxy.forget", plain(), nothing),
        "list_audit" | "export_audit" => ("audit.list", plain(), nothing),
        "list_calls" | "export_calls" => ("call.list", format!("?user={subject}"), nothing),
        _ => return None,
    })
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Anonymous,
    /// A sysadmin's token that may only read.
    ReadOnly,
    /// A sysadmin's token that is bound to addresses, the caller's among them.
    IpBound,
    /// A sysadmin's token with a line that allows everything.
    Lines,
    /// A token that works for the sysadmin who is named beside it, and for any other user.
    Unbound,
    UserOwn,
    UserOthers,
    SysadminOwn,
    SysadminOthers,
    /// `UserOwn` while only sysadmins create tokens (S4).
    OnlyAdminsCreate,
    /// `UserOwn` while users may not even use tokens that were created for them (S5).
    ForAdminsOnly,
}

impl Role {
    const RESTRICTED: [Self; 4] = [Self::ReadOnly, Self::IpBound, Self::Lines, Self::Unbound];
    const UNRESTRICTED: [Self; 4] = [Self::UserOwn, Self::UserOthers, Self::SysadminOwn, Self::SysadminOthers];

    /// All of them, each with the head of its column.
    const COLUMNS: [(Self, &str); 11] = [
        (Self::Anonymous, "anonymous"),
        (Self::ReadOnly, "read-only"),
        (Self::IpBound, "ip-bound"),
        (Self::Lines, "lines"),
        (Self::Unbound, "unbound"),
        (Self::UserOwn, "user own"),
        (Self::UserOthers, "user others'"),
        (Self::SysadminOwn, "sysadmin own"),
        (Self::SysadminOthers, "sysadmin others'"),
        (Self::OnlyAdminsCreate, "user own, S4"),
        (Self::ForAdminsOnly, "user own, S5"),
    ];
}

/// A user with a token to come with.
#[derive(Clone)]
struct Person {
    name: String,
    token: Token,
}

/// An operation of the document.
struct Operation {
    id: String,
    method: Method,
    path: String,
    public: bool,
}

impl Operation {
    fn all(document: &Value) -> Vec<Self> {
        let paths = document["paths"].as_object().expect("paths");
        let mut operations = Vec::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().expect("methods") {
                operations.push(Self {
                    id: operation["operationId"].as_str().expect("an id").to_owned(),
                    method: method.to_uppercase().parse().expect("a method"),
                    path: path.clone(),
                    public: operation["security"] == json!([{}]),
                });
            }
        }
        operations.extend(FACADES.iter().map(|route| Self {
            id: route.id(),
            method: route.method.clone(),
            path: route.path.to_owned(),
            public: false,
        }));
        // What only reads comes first: it finds what others take away.
        operations.sort_by_key(|operation| (operation.method != Method::GET, operation.id.clone()));
        operations
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Direct,
    ThroughEnvoy,
}

const PORTS: [Port; 2] = [Port::Direct, Port::ThroughEnvoy];

/// A request that is ready to be sent.
struct Prepared<'a> {
    operation: &'a Operation,
    role: Role,
    port: Port,
    path: String,
    body: Value,
    credential: Option<Person>,
}

/// The world in which all is tried.
struct Stage {
    world: World,
    instance: String,
    count: Cell<u32>,
}

impl Stage {
    fn number(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    fn admin(&self, method: Method, path: &str, body: &Value) -> Reply {
        let reply = self.world.as_admin(method, path).json(body).send();
        assert!(reply.status.is_success(), "{path}: {}", reply.text);
        reply
    }

    fn person(&self, sysadmin: bool) -> Person {
        let name = format!("person-{}", self.number());
        self.admin(Method::POST, "/api/v1/users", &json!({ "name": name, "sysadmin": sysadmin }));
        let token = self.world.new_token(&json!({ "label": "to come with", "owner": name }));
        Person { name, token }
    }

    /// A request to an operation, about a thing of the subject's that is there.
    fn request(&self, operation: &Operation, subject: &str) -> (String, Value) {
        let scene = Scene { subject, number: self.number() };
        let row = row(&operation.id, &scene);
        let (_, query, mut body) =
            row.unwrap_or_else(|| panic!("{} has no row in permissions.rs: add one", operation.id));
        let mut path = operation.path.replace("{name}", subject).replace("{instance}", &self.instance);
        if path.contains("{id}") || body["id"] == "{id}" {
            let id = self.world.new_token(&json!({ "label": "a thing", "owner": subject })).id;
            path = path.replace("{id}", &id);
            if body["id"] == "{id}" {
                body["id"] = json!(id);
            }
        }
        if path.contains("{version}") {
            let versions = self.admin(Method::GET, "/api/v1/settings/history", &Value::Null);
            path = path.replace("{version}", &versions.json["items"][0]["version"].to_string());
        }
        if path.ends_with("/backend-credential") {
            self.admin(Method::PUT, &path, &json!({ "bearer": "secret" }));
        }
        (path + &query, body)
    }

    fn prepare<'a>(&self, operation: &'a Operation, role: Role, port: Port, people: &People) -> Prepared<'a> {
        // What changes something gets people of its own, since they may be gone afterwards.
        let fresh = operation.method != Method::GET && people.are_used_up;
        let of = |known: &Person, sysadmin| if fresh { self.person(sysadmin) } else { known.clone() };
        // What is about the caller alone uses up the caller.
        let own_only = FacadeRoute::of(&operation.id).is_some_and(|route| route.own_only);
        let caller = |known: &Person, sysadmin| if own_only { of(known, sysadmin) } else { known.clone() };
        let (credential, subject) = match role {
            Role::Anonymous => (None, people.other.clone()),
            Role::ReadOnly | Role::IpBound | Role::Lines | Role::Unbound => {
                let index = Role::RESTRICTED.iter().position(|restricted| *restricted == role).expect("one of them");
                let token = people.restricted[index].clone();
                (Some(Person { token, ..people.sysadmin.clone() }), people.sysadmin.clone())
            }
            Role::UserOwn | Role::OnlyAdminsCreate | Role::ForAdminsOnly => {
                let user = of(&people.user, false);
                (Some(user.clone()), user)
            }
            Role::UserOthers => (Some(caller(&people.user, false)), of(&people.other, false)),
            Role::SysadminOwn => {
                let sysadmin = of(&people.sysadmin, true);
                (Some(sysadmin.clone()), sysadmin)
            }
            Role::SysadminOthers => (Some(caller(&people.sysadmin, true)), of(&people.other, false)),
        };
        let (path, body) = self.request(operation, &subject.name);
        Prepared { operation, role, port, path, body, credential }
    }

    fn send(&self, request: &Prepared<'_>) -> Reply {
        let Prepared { operation, port, path, body, credential, role: _ } = request;
        let call = match port {
            Port::Direct => self.world.control_call(operation.method.clone(), path),
            Port::ThroughEnvoy => self.world.request(operation.method.clone(), path),
        };
        let call = call.content(body);
        match credential {
            None => call.send(),
            Some(Person { name, token }) => call.basic(name, token).send(),
        }
    }

    /// The revision, and the number of records in the audit.
    fn state(&self) -> (Value, Vec<String>) {
        let revision = self.world.control_get("/readyz").send().json["revision"].clone();
        (revision, self.world.rows("select count(*) from audit"))
    }
}

struct People {
    user: Person,
    other: Person,
    sysadmin: Person,
    /// In the order of [`Role::RESTRICTED`].
    restricted: [Token; 4],
    are_used_up: bool,
}

/// Whether the caller was let do it.
fn allowed(request: &Prepared<'_>, reply: &Reply) -> bool {
    match (reply.status.as_u16(), reply.json["code"].as_str()) {
        (200..300, _) => true,
        // The one proxy that there is cannot be forgotten; whoever hears why was allowed to.
        (409, Some("proxy_is_live")) => true,
        (401 | 403 | 404, Some(_)) => false,
        (status, _) => {
            let Prepared { operation, role, port, path, .. } = request;
            panic!(
                "{} as {role:?} ({port:?}) at {path}: neither done nor refused, but {status} {}",
                operation.id, reply.text
            )
        }
    }
}

#[test]
fn snapshot_of_permissions_every_route_as_every_role_s4_s5_s6() {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_both();
    let facades = json!(["api_tokens", "resolution", "extender", "pat"]);
    world.set(&json!({ "unbound_tokens": true, "facades": &facades })); // and so there is a history
    let document = world.control_get("/api/v1/openapi.json").send().json;
    let instance = world.as_admin(Method::GET, "/api/v1/proxies").send().json["items"][0]["instance"].clone();
    let instance = instance.as_str().expect("a proxy").to_owned();
    let stage = Stage { world, instance, count: Cell::new(0) };
    let operations = Operation::all(&document);
    let sysadmin = stage.person(true);
    let restricted = [
        json!({ "owner": sysadmin.name, "scope": "read_only" }),
        json!({ "owner": sysadmin.name, "ip_ranges": ["127.0.0.0/8"] }),
        json!({ "owner": sysadmin.name, "restrictions": [".*"] }),
        json!({ "unbound": true }),
    ];
    let restricted = restricted.map(|mut properties| {
        properties["label"] = json!("restricted");
        stage.world.new_token(&properties)
    });
    let (user, other) = (stage.person(false), stage.person(false));
    let mut people = People { user, other, sysadmin, restricted, are_used_up: false };
    let prepare = |roles: &[Role], people: &People| {
        let mut requests = Vec::new();
        for operation in &operations {
            for &role in roles {
                requests.extend(PORTS.map(|port| stage.prepare(operation, role, port, people)));
            }
        }
        stage.world.wait_until_told();
        requests
    };
    let mut table = Table::new();
    let mut note = |request: &Prepared<'_>, reply: &Reply| {
        let cell = table.entry((request.operation.id.clone(), request.role)).or_default();
        cell.push((request.port, allowed(request, reply)));
    };

    // Nobody, and restricted tokens of a sysadmin, which may do nothing at all.
    let requests = prepare(&[&[Role::Anonymous], Role::RESTRICTED.as_slice()].concat(), &people);
    let before = stage.state();
    for request in &requests {
        let reply = stage.send(request);
        note(request, &reply);
        if Role::RESTRICTED.contains(&request.role) && !request.operation.public {
            let what = format!("{} as {:?} ({:?})", request.operation.id, request.role, request.port);
            let refused = (reply.status.as_u16(), reply.json["code"].as_str());
            assert_eq!(refused, (403, Some("cannot_manage")), "{what}: {}", reply.text);
        }
    }
    assert_eq!(stage.state(), before, "nothing was changed");

    people.are_used_up = true;
    for request in prepare(&Role::UNRESTRICTED, &people) {
        note(&request, &stage.send(&request));
    }
    for (role, mut settings) in [
        (Role::OnlyAdminsCreate, json!({ "only_admins_create": true })),
        (Role::ForAdminsOnly, json!({ "only_admins_create": true, "users_may_use_tokens_created_for_them": false })),
    ] {
        settings["facades"] = facades.clone(); // somebody has restored other settings
        stage.admin(Method::PATCH, "/api/v1/settings", &settings);
        for request in prepare(&[role], &people) {
            let reply = stage.send(&request);
            note(&request, &reply);
            if role == Role::ForAdminsOnly && !request.operation.public {
                reply.assert_refused(403, "tokens_for_admins_only");
            }
        }
    }

    assert_snapshot("control-plane/permissions.txt", &printed(&operations, &table));
    agrees_with_the_pure_table(&operations, &table);
}

/// Whether an operation was allowed to a role, port by port.
type Table = BTreeMap<(String, Role), Vec<(Port, bool)>>;

fn printed(operations: &[Operation], table: &Table) -> String {
    let mut text = String::from(
        "Who may do what, as it came out when every operation was tried by every role, at the control plane and through\n\
         the proxy (tests/end_to_end/permissions.rs). `direct`, `proxy`: there alone. `read-only`, `ip-bound`, `lines`\n\
         and `unbound` are restricted tokens of a sysadmin; `S4`: while only sysadmins create tokens; `S5`: while users may use none.\n\n",
    );
    let (mut facades, mut sorted): (Vec<&Operation>, Vec<&Operation>) =
        operations.iter().partition(|operation| FacadeRoute::of(&operation.id).is_some());
    for (kind, operations, width) in [("operation", &mut sorted, 34), ("route of a facade", &mut facades, 84)] {
        operations.sort_by_key(|operation| (operation.path.as_str(), operation.method.as_str()));
        text += &section(kind, operations, width, table);
    }
    text
}

fn section(kind: &str, operations: &[&Operation], width: usize, table: &Table) -> String {
    let mut text = format!("{kind:<width$}{:<25}", "action");
    text += &Role::COLUMNS.map(|(_, head)| format!("{head:<18}")).concat();
    text = text.trim_end().to_owned() + "\n";
    for operation in operations {
        let scene = Scene { subject: "", number: 0 };
        let (action, _, _) = row(&operation.id, &scene).expect("a row");
        let mut line = format!("{:<width$}{action:<25}", operation.id);
        for (role, _) in Role::COLUMNS {
            let cell = match table[&(operation.id.clone(), role)][..] {
                [(_, true), (_, true)] => "yes",
                [(_, false), (_, false)] => "-",
                [(Port::Direct, true), _] | [_, (Port::Direct, true)] => "direct",
                _ => "proxy",
            };
            line += &format!("{cell:<18}");
        }
        text += line.trim_end();
        text += "\n";
    }
    text + "\n"
}

/// The table that is asked, as the unit test of `permission.rs` prints it, says the same of each action.
fn agrees_with_the_pure_table(operations: &[Operation], table: &Table) {
    let source = include_str!("../../control-plane/src/permission.rs");
    let roles =
        [Role::Anonymous, Role::Lines, Role::UserOwn, Role::UserOthers, Role::SysadminOwn, Role::SysadminOthers];
    for operation in operations {
        let (action, _, _) = row(&operation.id, &Scene { subject: "", number: 0 }).expect("a row");
        let line = source.lines().find_map(|line| line.trim().strip_prefix(action)?.strip_prefix(' '));
        let line = line.unwrap_or_else(|| panic!("{action} is not in the table"));
        let cells: Vec<&str> = line.split("\\n").next().unwrap_or_default().split_whitespace().collect();
        assert_eq!(cells.len(), roles.len(), "{action}: {cells:?}");
        for (role, cell) in roles.into_iter().zip(&cells) {
            let about_others = matches!(role, Role::UserOthers | Role::SysadminOthers);
            if about_others && FacadeRoute::of(&operation.id).is_some_and(|route| route.own_only) {
                continue;
            }
            let as_for_others = role == Role::UserOwn && FOR_SYSADMINS.contains(&operation.id.as_str());
            let cell = if as_for_others { &cells[3] } else { cell };
            let direct = table[&(operation.id.clone(), role)].iter().find(|(port, _)| *port == Port::Direct);
            assert_eq!(direct.map(|(_, allowed)| *allowed), Some(*cell == "yes"), "{} as {role:?}", operation.id);
        }
    }
}
