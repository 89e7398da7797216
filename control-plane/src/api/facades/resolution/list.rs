//! `GET …/token/`: one's own tokens, however many.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::listing;
use crate::api::tokens::of_caller;
use crate::api::tokens::rows::Row;
use crate::permission::Action;
use crate::store::{token_usage, tokens};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

/// A token in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedToken {
    created: i64,
    description: String,
    id: i64,
    /// 0: never.
    last_accessed: i64,
    /// 0: without end.
    valid_until: i64,
}

impl ListedToken {
    pub(super) fn new(token: tokens::Model, usage: Option<token_usage::Model>) -> Self {
        Self {
            created: token.created_at,
            description: token.label,
            id: token.id,
            last_accessed: usage.map_or(0, |usage| usage.last_at),
            valid_until: token.expires_at.unwrap_or_default(),
        }
    }
}

pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let (_permit, filter) = of_caller(&caller, Action::ListTokens)?;
    listing::array(app, filter, |Row { token, usage, .. }| Ok(ListedToken::new(token, usage))).await
}
