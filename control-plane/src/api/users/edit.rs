//! `PATCH /api/v1/users/{name}`: changes e-mail address, sysadmin flag and suspension. Sysadmins only. All tokens of
//! the user follow at once.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, Segment, present};
use crate::change::UserEdit;
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::State;
use policy::record::check_email;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserEditBody {
    /// `null` takes it away; left out, it stays.
    #[serde(default, deserialize_with = "present")]
    email: Option<Option<String>>,
    sysadmin: Option<bool>,
    suspended: Option<bool>,
}

/// 200 with the user; 409 `user_exists` if the e-mail address is taken, `last_sysadmin` or `last_sysadmin_token` for
/// the last one who could administer.
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
    Body(body): Body<UserEditBody>,
) -> Result<Json<UserView>, ApiError> {
    let UserEditBody { email, sysadmin, suspended } = body;
    if let Some(Some(email)) = &email {
        check_email(email).map_err(|must| ApiError::BadRequest(format!("email {must}.")))?;
    }
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::EditUser, Whose::Others)?;
    let user = super::find(change.transaction(), &name).await?;
    let edit = UserEdit { email: email.as_ref().map(Option::as_deref), sysadmin, suspended };
    let user = change.edit_user(&permit, user, edit).await?;
    change.commit().await?;
    Ok(Json(user.into()))
}
