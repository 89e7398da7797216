//! `POST /api/v1/tokens`: creates a token, one's own or, for sysadmins, another user's. The answer is the only place
//! where it is ever shown.

use super::TokenView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, time};
use crate::change::{ChangeError, NewToken};
use crate::permission::{Action, Whose};
use crate::{clock, keys};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use policy::credential::Secret;
use policy::record::limits::LABEL_CHARS_MAX;
use policy::{HashKeys, TokenHash, token};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    label: String,
    owner: Option<String>,
    valid_from: Option<String>,
    expires_at: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Created {
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

/// 201 with the token; 403 for another user's unless the caller is a sysadmin.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewTokenBody>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let NewTokenBody { label, owner, valid_from, expires_at } = body;
    let now = clock::now();
    let label = label.trim();
    if label.is_empty() || label.chars().count() > LABEL_CHARS_MAX || label.contains(char::is_control) {
        return Err(ApiError::BadRequest(format!("label must have 1 to {LABEL_CHARS_MAX} printable characters.")));
    }
    if token::shows_in(label.as_bytes(), 0) {
        return Err(ApiError::BadRequest("label must not hold a token: labels are shown.".into()));
    }
    let valid_from = valid_from.map(|text| time("valid_from", &text)).transpose()?;
    let expires_at = expires_at.map(|text| time("expires_at", &text)).transpose()?;
    if expires_at.is_some_and(|end| end <= now.max(valid_from.unwrap_or(now))) {
        return Err(ApiError::BadRequest("expires_at must be in the future, and after valid_from.".into()));
    }
    let (secret, hash, public_id) = mint(&app.store.filter_keys.token_hash)?;
    let (mut change, caller) = caller.begin(&app.store, now).await?;
    let owner = match owner {
        None => caller.user.clone(),
        // Whether another user exists is for those to know who may do something about it.
        Some(name) => match crate::api::users::find(change.transaction(), &name).await {
            Err(ApiError::NotFound) => {
                caller.may(Action::CreateToken, Whose::Others)?;
                return Err(ChangeError::OwnerGone.into());
            }
            other => other?,
        },
    };
    let permit = caller.may(Action::CreateToken, caller.whose(owner.id))?;
    let new = NewToken { public_id, hash, label, owner_id: owner.id, valid_from, expires_at };
    let token = change.create_token(&permit, new).await?;
    change.commit().await?;
    // The one place where a token leaves the program: to the one who asked for it.
    let plain = String::from_utf8_lossy(secret.expose()).into_owned();
    Ok((StatusCode::CREATED, Json(Created { token: plain, view: TokenView::new(token, &owner.name) })))
}

/// A new token, its hash, and its public id.
pub(crate) fn mint(keys: &HashKeys) -> Result<(Secret, TokenHash, String), getrandom::Error> {
    let secret = token::mint(*keys::random()?);
    let hash = keys.hash(&secret);
    let public_id = keys::hex(&*keys::random::<10>()?).to_string();
    Ok((secret, hash, public_id))
}
