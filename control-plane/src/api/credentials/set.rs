//! `PUT …/backend-credential`: stores one. Sysadmins only. It is never shown again.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, MaybeSegment};
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use policy::credential::BackendCredential;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum CredentialBody {
    /// A service account's name and password.
    Basic { user: String, password: Zeroizing<String> },
    /// A personal access token of the backend's own.
    Bearer(Zeroizing<String>),
}

/// 204.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    MaybeSegment(name): MaybeSegment,
    Body(body): Body<Map<String, Value>>,
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
    let user = super::user(change.transaction(), name.as_deref()).await?;
    change.set_credential(&permit, user.as_ref(), Some((&credential, kind))).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
