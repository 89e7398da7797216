//! `DELETE …/delete`: revokes the token that the body names: one's own; sysadmins: anyone's.

use super::{Done, NumberOrText};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::is_called;
use crate::api::input::Body;
use crate::api::tokens::find_where;
use crate::permission::Action;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(alias = "tokenId")]
    id: NumberOrText,
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(Which { id: NumberOrText(id) }): Body<Which>,
) -> Result<Json<Done<()>>, ApiError> {
    let is_it = is_called(&id)?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, token, owner) = find_where(change.transaction(), &caller, Action::DeleteToken, is_it).await?;
    change.delete_token(&permit, token, owner.as_ref()).await?;
    change.commit().await?;
    Ok(Json(Done::new(None)))
}
