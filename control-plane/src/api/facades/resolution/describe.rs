//! `PATCH …/token/{id}`: gives a token another description. In secure mode, which is the default, nobody does (S7).

use super::list::ListedToken;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::is_called;
use crate::api::input::{Body, Segment};
use crate::api::tokens::edit::expect_editable;
use crate::api::tokens::{check_label, find_where};
use crate::change::TokenEdit;
use crate::permission::Action;
use crate::store::token_usage;
use axum::Json;
use axum::extract::State;
use sea_orm::EntityTrait as _;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    token_description: String,
}

pub(super) async fn describe(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
    Body(Description { token_description }): Body<Description>,
) -> Result<Json<ListedToken>, ApiError> {
    let (is_it, label) = (is_called(&id)?, token_description.trim());
    check_label(label)?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, token, owner) = find_where(change.transaction(), &caller, Action::EditToken, is_it).await?;
    expect_editable(&app, &change, &caller)?;
    let edit = TokenEdit { label: Some(label), ..TokenEdit::default() };
    let token = change.edit_token(&permit, token, owner.as_ref(), edit).await?;
    change.commit().await?;
    let usage = token_usage::Entity::find_by_id(token.id).one(&app.store.db).await?;
    Ok(Json(ListedToken::new(token, usage)))
}
