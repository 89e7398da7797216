//! `GET …/backend-credential`: whether one is stored, of which kind, and since when; never itself. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{MaybeSegment, rfc3339};
use crate::permission::{Action, Whose};
use crate::store::credentials;
use axum::Json;
use axum::extract::State;
use sea_orm::EntityTrait as _;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(crate) struct CredentialView {
    kind: String,
    updated_at: String,
}

/// 200; 404 where none is stored.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    MaybeSegment(name): MaybeSegment,
) -> Result<Json<CredentialView>, ApiError> {
    caller.may(Action::ShowBackendCredential, Whose::Others)?;
    let user = super::user(&app.store.db, name.as_deref()).await?;
    let id = user.map_or(credentials::EVERYONE, |user| user.id);
    let row = credentials::Entity::find_by_id(id).one(&app.store.db).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(CredentialView { kind: row.kind, updated_at: rfc3339(row.updated_at) }))
}
