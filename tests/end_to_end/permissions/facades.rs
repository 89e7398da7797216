//! The routes of the facades, with what they take to succeed.

use super::Scene;
use reqwest::Method;
use serde_json::{Value, json};

/// A route of a facade, which is in no document.
pub(super) struct FacadeRoute {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// The action that it is by `permission.rs`.
    pub(super) action: &'static str,
    /// Whether it is about the caller's own things alone, whoever else has some.
    pub(super) own_only: bool,
    pub(super) body: fn(&Scene<'_>) -> Value,
}

/// Their table. (A unit test of the control plane sees that no route is missing in what is printed of it.)
pub(super) const FACADES: &[FacadeRoute] = &[
    FacadeRoute {
        method: Method::GET,
        path: "/rest/api-tokens/latest/",
        action: "token.list",
        own_only: true,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::POST,
        path: "/rest/api-tokens/latest/",
        action: "token.create",
        own_only: true,
        body: |_| json!({ "label": "created" }),
    },
    FacadeRoute {
        method: Method::GET,
        path: "/rest/api-tokens/latest/all",
        action: "token.list",
        own_only: false,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::DELETE,
        path: "/rest/api-tokens/latest/all",
        action: "token.delete",
        own_only: true,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::DELETE,
        path: "/rest/api-tokens/latest/{id}",
        action: "token.delete",
        own_only: false,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::POST,
        path: "/rest/de.resolution.apitokenauth/latest/user/token",
        action: "token.create",
        own_only: false,
        body: |scene| json!({ "tokenDescription": "created", "tokenForUserKey": scene.subject }),
    },
    FacadeRoute {
        method: Method::GET,
        path: "/rest/de.resolution.apitokenauth/latest/user/token",
        action: "token.list",
        own_only: true,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::PATCH,
        path: "/rest/de.resolution.apitokenauth/latest/user/token/{id}",
        action: "token.edit",
        own_only: false,
        body: |_| json!({ "tokenDescription": "other" }),
    },
    FacadeRoute {
        method: Method::DELETE,
        path: "/rest/de.resolution.apitokenauth/latest/user/token/{id}",
        action: "token.delete",
        own_only: false,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::DELETE,
        path: "/rest/de.resolution.apitokenauth/latest/user/token/deleteAllFor/{name}",
        action: "token.delete",
        own_only: false,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::GET,
        path: "/rest/de.resolution.apitokenauth/latest/user/tokensByFilter",
        action: "token.list",
        own_only: true,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::POST,
        path: "/rest/pat/latest/tokens",
        action: "token.create",
        own_only: true,
        body: |_| json!({ "name": "created" }),
    },
    FacadeRoute {
        method: Method::GET,
        path: "/rest/pat/latest/tokens",
        action: "token.list",
        own_only: true,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::DELETE,
        path: "/rest/pat/latest/tokens/{id}",
        action: "token.delete",
        own_only: false,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::GET,
        path: "/rest/extender/1.0/tokenTools/get",
        action: "token.list",
        own_only: true,
        body: |_| Value::Null,
    },
    FacadeRoute {
        method: Method::POST,
        path: "/rest/extender/1.0/tokenTools/set",
        action: "token.create",
        own_only: false,
        body: |scene| json!({ "label": "created", "userName": scene.subject }),
    },
    FacadeRoute {
        method: Method::DELETE,
        path: "/rest/extender/1.0/tokenTools/delete",
        action: "token.delete",
        own_only: false,
        body: |_| json!({ "id": "{id}" }),
    },
];

/// Those that are for sysadmins alone, though they may be about the caller as well: one's own things are everyone's there.
pub(super) const FOR_SYSADMINS: &[&str] = &[
    "GET /rest/api-tokens/latest/all",
    "DELETE /rest/de.resolution.apitokenauth/latest/user/token/deleteAllFor/{name}",
];

impl FacadeRoute {
    /// The name under which it stands in the printed table.
    pub(super) fn id(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(super) fn of(id: &str) -> Option<&'static Self> {
        FACADES.iter().find(|route| route.id() == id)
    }
}
