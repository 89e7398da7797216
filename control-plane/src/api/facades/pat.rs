//! M4, `/rest/pat/latest/tokens`: the personal access tokens of Atlassian Data Center. Off unless an administrator switches it
//! on, since a real Jira may serve that path itself.
//!
//! What its documents leave open: times are in UTC with milliseconds and `Z`; without `expirationDuration` (days) a token lasts
//! as long as is allowed; `expiringAt` and `lastAccessedAt` are null where there is none.

use super::{Route, days, iso, listing, make_one, remove};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Body;
use crate::api::tokens::make::{Made, Wish, shown_once};
use crate::api::tokens::of_caller;
use crate::api::tokens::rows::Row;
use crate::api::tokens::validity::Wanted;
use crate::permission::Action;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { method: "POST", path: "/rest/pat/latest/tokens", handler: post(create) },
        Route { method: "GET", path: "/rest/pat/latest/tokens", handler: get(list) },
        Route { method: "DELETE", path: "/rest/pat/latest/tokens/{id}", handler: delete(remove) },
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewPat {
    name: String,
    /// In days.
    expiration_duration: Option<u16>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedPat {
    id: i64,
    name: String,
    created_at: String,
    expiring_at: Option<String>,
    /// The token: shown this once.
    raw_token: Option<Zeroizing<String>>,
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(NewPat { name, expiration_duration }): Body<NewPat>,
) -> Result<(StatusCode, Json<CreatedPat>), ApiError> {
    let wanted = match expiration_duration {
        None => Wanted::TheLongest,
        Some(days) => Wanted::For(self::days("expirationDuration", days)?),
    };
    let wish = Wish { label: Some(name), wanted, ..Wish::default() };
    let Made { token, secret, .. } = make_one(&app, caller, wish).await?;
    let created = CreatedPat {
        id: token.id,
        name: token.label,
        created_at: iso(token.created_at),
        expiring_at: token.expires_at.map(iso),
        raw_token: secret.as_ref().map(shown_once),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pat {
    id: i64,
    name: String,
    created_at: String,
    last_accessed_at: Option<String>,
    expiring_at: Option<String>,
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let (_permit, filter) = of_caller(&caller, Action::ListTokens)?;
    let view = |Row { token, usage, .. }: Row| {
        Ok(Pat {
            id: token.id,
            name: token.label,
            created_at: iso(token.created_at),
            last_accessed_at: usage.map(|usage| iso(usage.last_at)),
            expiring_at: token.expires_at.map(iso),
        })
    };
    listing::array(app, filter, view).await
}
