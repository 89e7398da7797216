//! `DELETE /api/v1/tokens?owner=…|all=true&…`: revokes the tokens that the filters of the list find, one's own or, for
//! sysadmins, anyone's.

use super::filter::filter_params;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::openapi::ChangeRefusals;
use crate::api::proxies::{Confirmed, confirmed, patience};
use crate::permission::Action;
use crate::store::tokens;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Tokens that one change deletes, for which others wait; one request is one change here.
pub(crate) const DELETED_MAX: usize = 10_000;

filter_params! {
    pub(crate) struct DeleteParams {
        /// How long to wait until every proxy has confirmed: at most `10s`.
        #[param(pattern = "^([0-9]{1,4}ms|[0-9]s|10s)$", example = "5s")]
        wait: Option<String>,
    }
}

/// What was deleted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// How many tokens.
    deleted: usize,
    /// Whether there may be more to delete: then ask again.
    more: bool,
    /// With `wait`: what the proxies say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    proxies: Option<Confirmed>,
}

/// Revokes tokens by the filters of the list: one's own; sysadmins: anyone's.
///
/// `owner` or `all=true` must be said. At most 10,000 a request, all or none: while `more` is true, ask again. 200; with
/// `wait`, 200 once every proxy decides by it, or 202; 409 `last_sysadmin_token` if the last one were among them by which
/// anybody could administer.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens",
    operation_id = "delete_tokens",
    tag = "tokens",
    params(DeleteParams),
    responses(
        (status = 200, description = "How many were deleted; with `wait`: and every proxy decides by it.", body = Deleted),
        (status = 202, description = "The same; not every proxy is known to decide by it.", body = Deleted),
        ChangeRefusals,
    ),
)]
pub(crate) async fn delete_many(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<DeleteParams>,
) -> Result<(StatusCode, Json<Deleted>), ApiError> {
    let patience = patience(params.wait.as_deref())?;
    if params.owner.is_none() && !params.all {
        return Err(ApiError::BadRequest("owner or all=true must be said: nothing is deleted by default.".into()));
    }
    // Found before the change begins, so that nobody waits while a million tokens are looked at; looked at again in it.
    let (_permit, filter) = params.filters().judge(&app.store.db, &caller, Action::DeleteToken).await?;
    let newest = tokens::newest(&app.store.db).await?;
    let (mut ids, mut more) = filter.all(&app.store.db, DELETED_MAX).await?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, filter) = params.filters().judge(change.transaction(), &caller, Action::DeleteToken).await?;
    // Those that came in between, too: a thief who goes on creating tokens with a stolen one must not keep any.
    if !more {
        let room = DELETED_MAX - ids.len();
        let since = filter.since(change.transaction(), newest, room + 1).await?;
        more = since.len() > room;
        ids.extend(since.into_iter().take(room));
    }
    let deleted = change.delete_tokens(&permit, &filter, &ids).await?;
    let revision = match deleted {
        0 => change.undo().await?,
        _ => change.commit().await?,
    };
    let (status, proxies) = match patience {
        None => (StatusCode::OK, None),
        Some(patience) => {
            let (status, confirmed) = confirmed(&app, &caller, revision, patience).await;
            (status, Some(confirmed))
        }
    };
    Ok((status, Json(Deleted { deleted, more, proxies })))
}
