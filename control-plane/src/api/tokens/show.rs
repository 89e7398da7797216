//! `GET /api/v1/tokens/{id}`: shows what is known of a token, one's own or, to sysadmins, anyone's; never itself.

use super::TokenView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::permission::Action;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// 200 with the token's properties; 404 also for one that the caller may not see.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<TokenView>, ApiError> {
    let (_permit, token, owner) = super::find(&app.store.db, &caller, Action::ShowToken, &id).await?;
    let owner = owner.as_ref().map(|owner| owner.name.as_str());
    Ok(Json(TokenView::load(&app.store.db, token, owner).await?))
}
