//! `GET /api/v1/tokens/{id}`: shows what is known of a token, one's own or, to sysadmins, anyone's; never itself.

use super::TokenView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Segment, Versioned};
use crate::api::openapi::Refusals;
use crate::permission::Action;
use axum::extract::State;
use std::sync::Arc;

/// Shows a token: one's own; to sysadmins, anyone's.
///
/// 200 with the token's properties; 404 also for one that the caller may not see.
#[utoipa::path(
    get,
    path = "/api/v1/tokens/{id}",
    operation_id = "show_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The public id of the token.")),
    responses((status = 200, description = "The token.", body = TokenView, headers(("ETag" = String))), Refusals),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Versioned<TokenView>, ApiError> {
    let (_permit, token, owner) = super::find(&app.store.db, &caller, Action::ShowToken, &id).await?;
    let owner = owner.as_ref().map(|owner| owner.name.as_str());
    TokenView::load(&app.store.db, token, owner).await
}
