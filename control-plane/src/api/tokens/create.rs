//! `POST /api/v1/tokens`: creates a token, one's own or, for sysadmins, another user's or nobody's (`unbound`). The
//! answer is the only place where it is ever shown.
//!
//! With `copy_of`, what the body does not give is taken from another token. With `sha256`, which is for sysadmins, it
//! takes over a token that exists already (M6): the hexadecimal SHA-256 of its value, which the answer then does not
//! have.

use super::TokenView;
use super::make::{ForWhom, Made, Material, Wish, make, sha256_of, shown_once};
use super::validity::Wanted;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::idempotency::{IdempotencyKey, Repeatable};
use crate::api::input::time;
use crate::api::openapi::ChangeRefusals;
use crate::store::{tokens, users};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use policy::credential::Secret;
use policy::restrictions::Set;
use policy::settings::Validity;
use policy::{IpRule, Scope};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use zeroize::Zeroizing;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    /// Needed unless there is `copy_of`.
    #[schema(nullable = false, min_length = 1, max_length = 200, example = "my script")]
    label: Option<String>,
    /// The id of a token from which everything is taken that is not given here. The end is as far away as it was made for.
    copy_of: Option<String>,
    /// For whom; oneself if nobody is named.
    owner: Option<String>,
    /// For whoever is named beside it in `Basic`.
    #[serde(default)]
    unbound: bool,
    #[schema(format = DateTime)]
    valid_from: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// In place of `expires_at`: `6m`, `1y`, `2y`, a number of days such as `90d`, or `never`.
    #[schema(value_type = Option<String>, pattern = "^(6m|1y|2y|[1-9][0-9]{0,3}d|never)$")]
    validity: Option<Validity>,
    #[schema(value_type = Option<super::ScopeName>)]
    scope: Option<Scope>,
    #[schema(value_type = Option<Vec<String>>, max_items = 50, example = json!(["10.0.0.0/8"]))]
    ip_ranges: Option<Vec<IpRule>>,
    /// Of a token that exists already: the hexadecimal SHA-256 of its value.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    sha256: Option<String>,
    /// Lines, each of which may hold several.
    restrictions: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Created {
    /// The token itself: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    token: Option<Zeroizing<String>>,
    #[serde(flatten)]
    view: TokenView,
}

impl Created {
    pub(super) fn new(
        secret: Option<&Secret>,
        token: tokens::Model,
        owner: Option<&users::Model>,
    ) -> Result<Self, ApiError> {
        let view = TokenView::new(token, owner.map(|owner| owner.name.as_str()), None)?;
        Ok(Self { token: secret.map(shown_once), view })
    }
}

/// Creates a token: one's own; sysadmins: anyone's.
///
/// 201 with the token; 400 `invalid_restrictions` with line and column, `restrictions_too_costly` for lines by which a proxy
/// would take more than some 5 ms to judge; 403 for another user's unless the caller is a sysadmin, and `only_admins_create` while that
/// setting is on; 409 `too_many_tokens`, `token_exists`.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "create_token",
    tag = "tokens",
    params(IdempotencyKey),
    request_body = NewTokenBody,
    responses((status = 201, description = "The token.", body = Created), ChangeRefusals),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Repeatable(attempt, body): Repeatable<NewTokenBody>,
) -> Result<Response, ApiError> {
    let NewTokenBody {
        label,
        copy_of,
        owner,
        unbound,
        valid_from,
        expires_at,
        validity,
        scope,
        ip_ranges,
        sha256,
        restrictions,
    } = body;
    let owner = match (owner, unbound) {
        (Some(_), true) => return Err(ApiError::BadRequest("owner and unbound exclude each other.".into())),
        (Some(name), false) => ForWhom::Named(name),
        (None, true) => ForWhom::Anybody,
        (None, false) => ForWhom::Unsaid,
    };
    let restrictions = restrictions.map(|lines| Set::parse(&lines)).transpose();
    let mut wish = Wish {
        label,
        copy_of,
        owner,
        valid_from: valid_from.map(|text| time("valid_from", &text)).transpose()?,
        wanted: Wanted::read(expires_at.as_deref(), validity)?,
        scope,
        ip_ranges,
        restrictions: restrictions.map_err(ApiError::InvalidRestrictions)?,
    };
    wish.check()?;
    let material = match sha256.as_deref().map(sha256_of) {
        None => Material::minted(&app)?,
        Some(Ok(sha256)) => Material::hashed(&app, sha256)?,
        Some(Err(must)) => return Err(ApiError::BadRequest(format!("sha256 {must}."))),
    };
    let (mut change, caller) = caller.begin(&app.store).await?;
    if let Some(answer) = attempt.answered(&app.store, &change, &caller).await? {
        return Ok(answer);
    }
    let Made { token, owner, secret } = make(&mut change, &caller, wish, material).await?;
    let answer = Created::new(secret.as_ref(), token, owner.as_ref())?;
    attempt.commit(&app.store, change, &caller, StatusCode::CREATED, &answer).await
}
