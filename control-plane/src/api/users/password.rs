//! `PUT /api/v1/users/{name}/password` and `DELETE`: sets a local password, or takes it away. One's own; sysadmins
//! anyone's.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Segment};
use crate::api::openapi::ChangeRefusals;
use crate::change::CameWith;
use crate::passwords::{RightBy, check_password};
use crate::permission::{Action, Whose};
use crate::sign_in::{self, Coming, SignInError};
use crate::store::users;
use axum::extract::State;
use axum::http::StatusCode;
use policy::credential::Secret;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use zeroize::Zeroizing;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordBody {
    /// At least 8 characters and at most 256 bytes, no control characters; not the user's name, and no API token.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 256)]
    password: Zeroizing<String>,
    /// The one until now: needed for one's own, unless one came with it.
    #[schema(value_type = Option<String>, format = Password)]
    current_password: Option<Zeroizing<String>>,
}

/// Sets the password by which a user signs in at the API: one's own; sysadmins anyone's.
///
/// 204. It counts while the setting `password_check` is `local`. Who has one and sets another for oneself must know it,
/// so that whoever stole a token does not get it: 403 `wrong_current_password`.
#[utoipa::path(
    put,
    path = "/api/v1/users/{name}/password",
    operation_id = "set_password",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case."), IfMatch),
    request_body = PasswordBody,
    responses((status = 204, description = "Set."), ChangeRefusals),
)]
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
    if_match: IfMatch,
    Body(body): Body<PasswordBody>,
) -> Result<StatusCode, ApiError> {
    let PasswordBody { password, current_password } = body;
    let user = allowed(&caller, super::find(&app.store.db, &name).await?)?;
    let own = caller.whose(Some(user.id)) == Whose::Own;
    if own && !knows(&caller, &user) {
        let current_password = current_password.ok_or(ApiError::WrongCurrentPassword)?;
        let current_password = Secret::new(current_password.as_bytes().to_vec());
        let request_id = caller.request_id.as_deref();
        let coming =
            Coming { name: user.name.as_bytes(), password: &current_password, address: caller.address, request_id };
        if !sign_in::confirm(&app, &user, coming).await? {
            return Err(ApiError::WrongCurrentPassword);
        }
    }
    let hash = checked_hash(&app, &password, &user.name, user.email.as_deref()).await?;
    // Before the change begins, since it takes long; so look again.
    let (mut change, caller) = caller.begin(&app.store).await?;
    let now = super::find(change.transaction(), &name).await?;
    let permit = caller.may(Action::SetPassword, caller.whose(Some(now.id))).map_err(|_| ApiError::NotFound)?;
    if_match.expect(&super::version(&now))?;
    if own && now.password_hash != user.password_hash {
        return Err(ApiError::WrongCurrentPassword);
    }
    change.set_password(&permit, now, Some(hash)).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the password away by which a user signs in at the API: one's own; sysadmins anyone's.
///
/// 204, also where there was none. For oneself it takes having come with it: 403 `wrong_current_password`. 409
/// `last_sysadmin_token` if nobody could administer any more.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{name}/password",
    operation_id = "delete_password",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case."), IfMatch),
    responses((status = 204, description = "There is none any more."), ChangeRefusals),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let user = allowed(&caller, super::find(change.transaction(), &name).await?)?;
    let permit = caller.may(Action::SetPassword, caller.whose(Some(user.id)))?;
    if_match.expect(&super::version(&user))?;
    if caller.whose(Some(user.id)) == Whose::Own && !knows(&caller, &user) {
        return Err(ApiError::WrongCurrentPassword);
    }
    if user.password_hash.is_some() {
        change.set_password(&permit, user, None).await?;
        change.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A user whose password the caller may set. Others are not there, so that names cannot be tried.
fn allowed(caller: &Caller, user: users::Model) -> Result<users::Model, ApiError> {
    match caller.may(Action::SetPassword, caller.whose(Some(user.id))) {
        Ok(_) => Ok(user),
        Err(_) => Err(ApiError::NotFound),
    }
}

/// Whether the caller has shown to know the password that this user has; a user without one has nothing to know.
fn knows(caller: &Caller, user: &users::Model) -> bool {
    match (&caller.came_with, &user.password_hash) {
        (_, None) => true,
        (CameWith::Password(RightBy::Hash(came_with)), Some(hash)) => came_with == hash,
        (CameWith::Password(RightBy::Backend) | CameWith::Token(_), Some(_)) => false,
    }
}

/// The hash of a password that the user with these names may have.
pub(super) async fn checked_hash(
    app: &App,
    password: &str,
    name: &str,
    email: Option<&str>,
) -> Result<String, ApiError> {
    check_password(password, name, email).map_err(|must| ApiError::BadRequest(format!("password {must}.")))?;
    let hash = app.sign_in.passwords.hash(Secret::new(password.as_bytes().to_vec())).await;
    hash.map_err(|error| SignInError::from(error).into())
}
