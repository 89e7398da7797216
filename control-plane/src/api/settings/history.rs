//! `GET /api/v1/settings/history`: the versions of the settings, the newest first. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, cut, limit_within, rfc3339};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::{audit, settings};
use axum::Json;
use axum::extract::State;
use sea_orm::{
    ColumnTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Versions that a page has if nobody says otherwise, and at most: each may have some 100 KiB.
const PAGE_ROWS: u64 = 20;
const PAGE_ROWS_MAX: u64 = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// `next` of the page before.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// How many; 20 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
}

/// A version of the settings.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionView {
    #[schema(minimum = 1)]
    version: i64,
    revision: i64,
    #[schema(format = DateTime)]
    at: String,
    /// Who made it.
    actor: Option<String>,
    /// The user on whose behalf.
    on_behalf_of: Option<String>,
    /// The version that it was restored from; 0: the defaults.
    restored: Option<i64>,
    changed: Changed,
}

/// The settings that differ from the version before.
#[derive(Default, Deserialize, Serialize, ToSchema)]
struct Changed {
    /// What they were.
    #[schema(value_type = Object)]
    before: Map<String, Value>,
    /// What they are since then.
    #[schema(value_type = Object)]
    after: Map<String, Value>,
}

impl VersionView {
    /// These versions, with what the audit has of them.
    pub(super) async fn load(db: &DatabaseConnection, rows: &[settings::Model]) -> Result<Vec<Self>, ApiError> {
        let records = audit::Entity::find()
            .filter(audit::Column::Action.eq(Action::ChangeSettings.name()))
            .filter(audit::Column::Subject.is_in(rows.iter().map(|row| row.version.to_string())))
            .all(db)
            .await?;
        let mut records: HashMap<i64, audit::Model> =
            records.into_iter().map(|record| (record.revision, record)).collect();
        rows.iter().map(|row| Self::new(row, records.remove(&row.revision))).collect()
    }

    fn new(row: &settings::Model, record: Option<audit::Model>) -> Result<Self, ApiError> {
        #[derive(Default, Deserialize)]
        struct Detail {
            #[serde(flatten)]
            changed: Changed,
            restored: Option<i64>,
        }
        let detail = record.as_ref().map(|record| serde_json::from_str(&record.detail)).transpose();
        let Detail { changed, restored } =
            detail.map_err(|error| ApiError::Internal(Box::new(error)))?.unwrap_or_default();
        let (actor, on_behalf_of) = record.map_or((None, None), |record| (Some(record.actor), record.on_behalf_of));
        let settings::Model { version, revision, at, document: _ } = row;
        let (version, revision, at) = (*version, *revision, rfc3339(*at));
        Ok(Self { version, revision, at, actor, on_behalf_of, restored, changed })
    }
}

/// Lists the versions of the settings, the newest first: who changed what. For sysadmins.
///
/// They are kept for ever. 200 with a page.
#[utoipa::path(
    get,
    path = "/api/v1/settings/history",
    operation_id = "list_settings_versions",
    tag = "settings",
    params(HistoryParams),
    responses((status = 200, description = "A page of versions.", body = Page<VersionView>), Refusals),
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(HistoryParams { after, limit }): Params<HistoryParams>,
) -> Result<Json<Page<VersionView>>, ApiError> {
    caller.may(Action::ShowSettings, Whose::Others)?;
    let limit = limit_within(limit, PAGE_ROWS, PAGE_ROWS_MAX)?;
    let mut rows = settings::Entity::find().order_by_desc(settings::Column::Version);
    if let Some(after) = after {
        rows = rows.filter(settings::Column::Version.lt(after));
    }
    let mut rows = rows.limit(limit + 1).all(&app.store.db).await?;
    let next = cut(&mut rows, limit, |row| row.version);
    Ok(Json(Page::new(VersionView::load(&app.store.db, &rows).await?, next)))
}
