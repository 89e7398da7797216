//! `DELETE …/token/{id}`, and `…/token/deleteAllFor/{userKey}` for sysadmins.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::delete_one;
use crate::api::facades::deletion::delete_all_of;
use crate::api::input::Segment;
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<bool>, ApiError> {
    delete_one(&app, caller, &id).await?;
    Ok(Json(true))
}

pub(super) async fn remove_all_for(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<Json<bool>, ApiError> {
    // Asked before anybody is looked for: whether another user exists is not for everyone to know.
    let _permit = caller.may(Action::DeleteToken, Whose::Others)?;
    let owner = crate::api::users::find(&app.store.db, &name).await?;
    delete_all_of(&app, caller, &owner).await?;
    Ok(Json(true))
}
