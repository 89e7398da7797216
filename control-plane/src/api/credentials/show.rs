//! `GET …/backend-credential`: whether one is stored, of which kind, and since when; never itself. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Segment, rfc3339};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::credentials;
use axum::Json;
use axum::extract::State;
use sea_orm::EntityTrait as _;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct CredentialView {
    /// `basic` or `bearer`.
    kind: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Tells of a user's backend credential. For sysadmins.
///
/// 200; 404 where none is stored.
#[utoipa::path(
    get,
    path = "/api/v1/users/{name}/backend-credential",
    operation_id = "show_backend_credential",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case.")),
    responses((status = 200, description = "There is one.", body = CredentialView), Refusals),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<Json<CredentialView>, ApiError> {
    shown(&app, &caller, Some(&name)).await
}

/// Tells of the backend credential of everyone who has none. For sysadmins.
///
/// 200; 404 where none is stored.
#[utoipa::path(
    get,
    path = "/api/v1/backend-credential",
    operation_id = "show_shared_backend_credential",
    tag = "users",
    responses((status = 200, description = "There is one.", body = CredentialView), Refusals),
)]
pub(crate) async fn show_shared(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<CredentialView>, ApiError> {
    shown(&app, &caller, None).await
}

async fn shown(app: &App, caller: &Caller, name: Option<&str>) -> Result<Json<CredentialView>, ApiError> {
    caller.may(Action::ShowBackendCredential, Whose::Others)?;
    let user = super::user(&app.store.db, name).await?;
    let id = user.map_or(credentials::EVERYONE, |user| user.id);
    let row = credentials::Entity::find_by_id(id).one(&app.store.db).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(CredentialView { kind: row.kind, updated_at: rfc3339(row.updated_at) }))
}
