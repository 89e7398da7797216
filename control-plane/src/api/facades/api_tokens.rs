//! M1, `/rest/api-tokens/latest/`: API Tokens for Jira and Confluence (Wombats).
//!
//! What its documents leave open: creation answers 200. `expirationDate` is optional there, a [`Moment`]; without it a token
//! lasts as long as is allowed. In one's own list times are milliseconds since 1970, and the ids are the public ones; in
//! everyone's (`all`) times are in UTC without saying so, and the ids are numbers; either kind deletes. Tokens that belong to
//! nobody stand there under the user name `""`.

mod everyones;

use super::deletion::delete_all_of;
use super::moment::Moment;
use super::{Route, listing, make_one, remove};
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
        Route { method: "GET", path: "/rest/api-tokens/latest/", handler: get(list) },
        Route { method: "POST", path: "/rest/api-tokens/latest/", handler: post(create) },
        Route { method: "GET", path: "/rest/api-tokens/latest/all", handler: get(everyones::list) },
        Route { method: "DELETE", path: "/rest/api-tokens/latest/all", handler: delete(remove_all) },
        Route { method: "DELETE", path: "/rest/api-tokens/latest/{id}", handler: delete(remove) },
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewToken {
    label: String,
    expiration_date: Option<Moment>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedToken {
    /// The token: shown this once.
    password_value: Option<Zeroizing<String>>,
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(NewToken { label, expiration_date }): Body<NewToken>,
) -> Result<Json<CreatedToken>, ApiError> {
    let wanted = match expiration_date {
        None => Wanted::TheLongest,
        Some(end) => Wanted::Until(end.read("expirationDate")?),
    };
    let wish = Wish { label: Some(label), wanted, ..Wish::default() };
    let Made { secret, .. } = make_one(&app, caller, wish).await?;
    Ok(Json(CreatedToken { password_value: secret.as_ref().map(shown_once) }))
}

/// A token in one's own list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnToken {
    label: String,
    created_at: i64,
    last_accessed: Option<i64>,
    id: String,
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let (_permit, filter) = of_caller(&caller, Action::ListTokens)?;
    let view = |Row { token, usage, .. }: Row| {
        Ok(OwnToken {
            label: token.label,
            created_at: token.created_at,
            last_accessed: usage.map(|usage| usage.last_at),
            id: token.public_id,
        })
    };
    listing::array(app, filter, view).await
}

async fn remove_all(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode, ApiError> {
    let own = caller.user.clone();
    delete_all_of(&app, caller, &own).await?;
    Ok(StatusCode::NO_CONTENT)
}
