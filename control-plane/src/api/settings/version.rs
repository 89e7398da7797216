//! `GET /api/v1/settings/history/{version}`: one version of the settings, whole. Sysadmins only.

use super::history::VersionView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::settings;
use axum::Json;
use axum::extract::State;
use policy::Settings;
use sea_orm::EntityTrait as _;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// A version of the settings, whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct WholeVersionView {
    #[serde(flatten)]
    version: VersionView,
    /// All settings of that version. Those that are not stored with it have their defaults, as restoring gives them.
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// Those among them that do not exist any more: restoring leaves them out.
    gone: Vec<String>,
}

/// Stored settings, and the names of those among them that do not exist any more.
pub(super) fn stored(document: &str) -> Result<(Map<String, Value>, Vec<String>), ApiError> {
    let stored: Map<String, Value> =
        serde_json::from_str(document).map_err(|error| ApiError::Internal(Box::new(error)))?;
    let exists = |name: &String| Settings::NAMES.contains(&name.as_str());
    let gone = stored.keys().filter(|name| !exists(name)).cloned().collect();
    Ok((stored, gone))
}

/// Shows one version of the settings, whole. For sysadmins.
///
/// 200 with the version.
#[utoipa::path(
    get,
    path = "/api/v1/settings/history/{version}",
    operation_id = "show_settings_version",
    tag = "settings",
    params(("version" = i64, Path, minimum = 1, description = "Its number.")),
    responses((status = 200, description = "The version.", body = WholeVersionView), Refusals),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(version): Segment,
) -> Result<Json<WholeVersionView>, ApiError> {
    caller.may(Action::ShowSettings, Whose::Others)?;
    let version: i64 = version.parse().map_err(|_| ApiError::NotFound)?;
    let row = settings::Entity::find_by_id(version).one(&app.store.db).await?.ok_or(ApiError::NotFound)?;
    let (stored, gone) = stored(&row.document)?;
    let mut settings = Settings::default().to_json().as_object().cloned().unwrap_or_default();
    settings.extend(stored);
    let version = VersionView::load(&app.store.db, &[row]).await?.pop().ok_or(ApiError::NotFound)?;
    Ok(Json(WholeVersionView { version, settings, gone }))
}
