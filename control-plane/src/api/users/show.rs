//! `GET /api/v1/users/{name}`: shows a user; oneself, or anyone to sysadmins.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::permission::Action;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// 200 with the user; 404 also for one that the caller may not see, so that names cannot be tried.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<Json<UserView>, ApiError> {
    let user = super::find(&app.store.db, &name).await?;
    caller.may(Action::ShowUser, caller.whose(Some(user.id))).map_err(|_| ApiError::NotFound)?;
    Ok(Json(user.into()))
}
