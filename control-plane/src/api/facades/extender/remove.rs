//! `DELETE …/delete`: revokes the token that the body names: one's own; sysadmins: anyone's.

use super::{Done, NumberOrText};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::delete_one;
use crate::api::input::Body;
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
    delete_one(&app, caller, &id).await?;
    Ok(Json(Done::new(None)))
}
