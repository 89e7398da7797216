//! `PATCH /api/v1/users/{name}`: changes e-mail address, sysadmin flag and suspension. Sysadmins only. All tokens of
//! the user follow at once.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Segment, Versioned, present};
use crate::api::openapi::ChangeRefusals;
use crate::change::UserEdit;
use crate::permission::{Action, Whose};
use axum::extract::State;
use policy::record::check_email;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserEditBody {
    /// `null` takes it away; left out, it stays.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    #[schema(nullable = false)]
    sysadmin: Option<bool>,
    #[schema(nullable = false)]
    suspended: Option<bool>,
}

/// Edits a user. For sysadmins.
///
/// All tokens of the user follow at once. 200 with the user; 409 `user_exists` if the e-mail address is taken,
/// `last_sysadmin` or `last_sysadmin_token` for the last one who could administer.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{name}",
    operation_id = "edit_user",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case."), IfMatch),
    request_body = UserEditBody,
    responses((status = 200, description = "The user.", body = UserView, headers(("ETag" = String))), ChangeRefusals),
)]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
    if_match: IfMatch,
    Body(body): Body<UserEditBody>,
) -> Result<Versioned<UserView>, ApiError> {
    let UserEditBody { email, sysadmin, suspended } = body;
    if let Some(Some(email)) = &email {
        check_email(email).map_err(|must| ApiError::BadRequest(format!("email {must}.")))?;
    }
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::EditUser, Whose::Others)?;
    let user = super::find(change.transaction(), &name).await?;
    if_match.expect(&super::version(&user))?;
    let edit = UserEdit { email: email.as_ref().map(Option::as_deref), sysadmin, suspended };
    let user = change.edit_user(&permit, user, edit).await?;
    change.commit().await?;
    Ok(super::versioned(user))
}
