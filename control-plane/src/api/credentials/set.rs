//! `PUT …/backend-credential`: stores one. Sysadmins only. It is never shown again.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, Segment};
use crate::api::openapi::ChangeRefusals;
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use policy::credential::BackendCredential;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;
use zeroize::Zeroizing;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
#[schema(example = json!({ "basic": { "user": "tokengate", "password": "open sesame" } }))]
pub(crate) enum CredentialBody {
    /// A service account's name and password.
    Basic {
        user: String,
        #[schema(value_type = String, format = Password)]
        password: Zeroizing<String>,
    },
    /// A personal access token of the backend's own.
    #[schema(value_type = String, format = Password)]
    Bearer(Zeroizing<String>),
}

/// Stores what the backend wants to see of a user. For sysadmins.
///
/// 204. It is never shown again.
#[utoipa::path(
    put,
    path = "/api/v1/users/{name}/backend-credential",
    operation_id = "set_backend_credential",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case.")),
    request_body = CredentialBody,
    responses((status = 204, description = "Stored."), ChangeRefusals),
)]
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
    Body(body): Body<Map<String, Value>>,
) -> Result<StatusCode, ApiError> {
    stored(&app, caller, Some(&name), body).await
}

/// Stores what the backend wants to see of everyone who has no credential. For sysadmins.
///
/// 204. It is never shown again.
#[utoipa::path(
    put,
    path = "/api/v1/backend-credential",
    operation_id = "set_shared_backend_credential",
    tag = "users",
    request_body = CredentialBody,
    responses((status = 204, description = "Stored."), ChangeRefusals),
)]
pub(crate) async fn set_shared(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<Map<String, Value>>,
) -> Result<StatusCode, ApiError> {
    stored(&app, caller, None, body).await
}

async fn stored(
    app: &App,
    caller: Caller,
    name: Option<&str>,
    body: Map<String, Value>,
) -> Result<StatusCode, ApiError> {
    // What is wrong is not repeated: it may be the secret in the wrong place.
    let body = serde_json::from_value(Value::Object(body)).map_err(|_| {
        ApiError::BadRequest(r#"Send {"basic": {"user": …, "password": …}} or {"bearer": …}, each a text."#.into())
    })?;
    let (credential, kind) = match &body {
        CredentialBody::Basic { user, password } => (BackendCredential::basic(user, password), "basic"),
        CredentialBody::Bearer(token) => (BackendCredential::bearer(token), "bearer"),
    };
    let credential = credential.ok_or_else(|| {
        ApiError::BadRequest(
            "The credential cannot stand in a header: no control characters; no colon in basic.user; bearer one word of \
             ASCII; at most 4,096 bytes in all."
                .into(),
        )
    })?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::SetBackendCredential, Whose::Others)?;
    let user = super::user(change.transaction(), name).await?;
    change.set_credential(&permit, user.as_ref(), Some((&credential, kind))).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
