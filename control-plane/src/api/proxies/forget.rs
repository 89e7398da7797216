//! `DELETE /api/v1/proxies/{instance}`: forgets a proxy that is known to be gone, so that nobody waits for it. Sysadmins
//! only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::api::openapi::ChangeRefusals;
use crate::clock;
use crate::keys::hex;
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Forgets a proxy that is known to be gone. For sysadmins.
///
/// Nobody waits for it any more. 204; 404 for one that is not known; 409 `proxy_is_live` for one that still asks, and
/// would be back at once.
#[utoipa::path(
    delete,
    path = "/api/v1/proxies/{instance}",
    operation_id = "forget_proxy",
    tag = "proxies",
    params(("instance" = String, Path, description = "The instance, as the list shows it.")),
    responses((status = 204, description = "Forgotten."), ChangeRefusals),
)]
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(wanted): Segment,
) -> Result<StatusCode, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ForgetProxy, Whose::Others)?;
    let now = clock::now();
    let known = app.proxies.all(now).into_iter().find(|(instance, _)| hex(instance).as_str() == wanted);
    let (instance, proxy) = known.ok_or(ApiError::NotFound)?;
    if proxy.is_live(now) {
        return Err(ApiError::ProxyIsLive);
    }
    change.forget_proxy(&permit, &wanted, &proxy.name).await?;
    change.commit().await?;
    app.proxies.forget(&instance, &app.store.writer).await?;
    Ok(StatusCode::NO_CONTENT)
}
