//! `POST /api/v1/users`: creates a user. Sysadmins only.

use super::UserView;
use super::password::checked_hash;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::idempotency::{IdempotencyKey, Repeatable};
use crate::api::openapi::ChangeRefusals;
use crate::change::NewUser;
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use zeroize::Zeroizing;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUserBody {
    /// 1 to 255 bytes, no colon, slash, backslash, percent sign or control character.
    #[schema(min_length = 1, max_length = 255, example = "alice")]
    name: String,
    /// Serves in place of the name in `Basic`.
    #[schema(example = "alice@example.org")]
    email: Option<String>,
    #[serde(default)]
    sysadmin: bool,
    /// To sign in at the API, while the setting `password_check` is `local`: at least 8 characters and at most 256 bytes.
    #[schema(value_type = Option<String>, format = Password, min_length = 8, max_length = 256)]
    password: Option<Zeroizing<String>>,
}

/// Creates a user. For sysadmins.
///
/// 201 with the user; 409 `user_exists` if name or e-mail address are taken, in whatever case.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    operation_id = "create_user",
    tag = "users",
    params(IdempotencyKey),
    request_body = NewUserBody,
    responses((status = 201, description = "The user.", body = UserView), ChangeRefusals),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Repeatable(attempt, body): Repeatable<NewUserBody>,
) -> Result<Response, ApiError> {
    caller.may(Action::CreateUser, Whose::Others)?;
    let NewUserBody { name, email, sysadmin, password } = body;
    if let Some((_, sentence)) = super::unfit(&name, email.as_deref()) {
        return Err(ApiError::BadRequest(sentence));
    }
    // Before the change begins: it takes long.
    let hash = match password {
        Some(password) => Some(checked_hash(&app, &password, &name, email.as_deref()).await?),
        None => None,
    };
    let (mut change, caller) = caller.begin(&app.store).await?;
    if let Some(answer) = attempt.answered(&app.store, &change, &caller).await? {
        return Ok(answer);
    }
    let permit = caller.may(Action::CreateUser, Whose::Others)?;
    let new = NewUser { name: &name, email: email.as_deref(), sysadmin };
    let mut user = change.create_user(&permit, new).await?;
    if hash.is_some() {
        let permit = caller.may(Action::SetPassword, Whose::Others)?;
        user = change.set_password(&permit, user, hash).await?;
    }
    attempt.commit(&app.store, change, &caller, StatusCode::CREATED, &UserView::from(user)).await
}
