//! `GET /api/v1/proxies`: lists the proxies that may decide anything, for all that is known. Sysadmins only.

use super::ProxyView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::openapi::Refusals;
use crate::clock;
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// All proxies, and where the control plane itself stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyList {
    revision: u64,
    items: Vec<ProxyView>,
}

/// Lists the proxies that may decide anything. For sysadmins.
///
/// 200 with all of them.
#[utoipa::path(
    get,
    path = "/api/v1/proxies",
    operation_id = "list_proxies",
    tag = "proxies",
    responses((status = 200, description = "All proxies.", body = ProxyList), Refusals),
)]
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<ProxyList>, ApiError> {
    caller.may(Action::ListProxies, Whose::Others)?;
    let revision = app.store.with_image(|image| image.position().revision);
    let proxies = app.proxies.all(clock::now());
    let items = proxies.iter().map(|(instance, proxy)| ProxyView::new(instance, proxy)).collect();
    Ok(Json(ProxyList { revision, items }))
}
