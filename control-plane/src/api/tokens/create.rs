//! `POST /api/v1/tokens`: creates a token, one's own or, for sysadmins, another user's or nobody's (`unbound`). The
//! answer is the only place where it is ever shown.
//!
//! With `sha256`, which is for sysadmins, it takes over a token that exists already (M6): the hexadecimal SHA-256 of
//! its value, which the answer then does not have.

use super::validity::Wanted;
use super::{TokenView, check_ip_ranges, check_label};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, time};
use crate::api::openapi::ChangeRefusals;
use crate::change::{Change, ChangeError, NewToken};
use crate::keys;
use crate::permission::{Action, Permit, Whose};
use crate::store::users;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use policy::credential::Secret;
use policy::restrictions::Set;
use policy::settings::Validity;
use policy::{DenyReason, HashKeys, IpRule, KeyedHash, Scope, token};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    #[schema(min_length = 1, max_length = 200, example = "my script")]
    label: String,
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
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 50, example = json!(["10.0.0.0/8"]))]
    ip_ranges: Vec<IpRule>,
    /// Of a token that exists already: the hexadecimal SHA-256 of its value.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    sha256: Option<String>,
    /// Lines, each of which may hold several.
    #[serde(default)]
    restrictions: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Created {
    /// The token itself: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
    #[serde(flatten)]
    view: TokenView,
}

/// Creates a token: one's own; sysadmins: anyone's.
///
/// 201 with the token; 403 for another user's unless the caller is a sysadmin, and `only_admins_create` while that
/// setting is on; 409 `too_many_tokens`, `token_exists`.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "create_token",
    tag = "tokens",
    request_body = NewTokenBody,
    responses((status = 201, description = "The token.", body = Created), ChangeRefusals),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewTokenBody>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let NewTokenBody {
        label,
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
    let label = label.trim();
    check_label(label)?;
    check_ip_ranges(&ip_ranges)?;
    let restrictions = Set::parse(&restrictions).map_err(ApiError::InvalidRestrictions)?;
    if unbound && owner.is_some() {
        return Err(ApiError::BadRequest("owner and unbound exclude each other.".into()));
    }
    let valid_from = valid_from.map(|text| time("valid_from", &text)).transpose()?;
    let wanted = Wanted::read(expires_at.as_deref(), validity)?;
    let hash_keys = app.store.master.hash_keys();
    let (secret, hash) = match sha256 {
        Some(hex) => (None, hash_keys.chain(sha256_of(&hex)?)),
        None => {
            let (secret, hash) = mint(&hash_keys)?;
            (Some(secret), hash)
        }
    };

    let (mut change, caller) = caller.begin(&app.store).await?;
    let (settings, now) = (&change.settings().0, change.now());
    let (permit, owner) = whom_for(&change, &caller, owner.as_deref(), unbound).await?;
    if secret.is_none() {
        caller.may(Action::CreateToken, Whose::Others)?;
    }
    if settings.only_admins_create && !caller.user.sysadmin {
        return Err(ApiError::OnlyAdminsCreate);
    }
    if unbound && !settings.unbound_tokens {
        return Err(ApiError::Denied(DenyReason::UnboundTokensOff));
    }
    let expires_at = wanted.end(settings, valid_from, now)?;
    let new = NewToken {
        public_id: public_id()?,
        hash,
        label,
        owner_id: owner.as_ref().map(|owner| owner.id),
        valid_from,
        expires_at,
        read_only: scope == Some(Scope::ReadOnly),
        imported: secret.is_none(),
        ip_ranges,
        restrictions,
    };
    let token = change.create_token(&permit, new).await?;
    change.commit().await?;
    // The one place where a token leaves the program: to the one who asked for it.
    let plain = secret.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
    let view = TokenView::new(token, owner.as_ref().map(|owner| owner.name.as_str()), None)?;
    Ok((StatusCode::CREATED, Json(Created { token: plain, view })))
}

/// For whom the token is to be, and the proof that the caller may make it.
async fn whom_for(
    change: &Change<'_>,
    caller: &Caller,
    owner: Option<&str>,
    unbound: bool,
) -> Result<(Permit, Option<users::Model>), ApiError> {
    let owner = match owner {
        None if unbound => None,
        None => Some(caller.user.clone()),
        // Whether another user exists is for those to know who may do something about it.
        Some(name) => match crate::api::users::find(change.transaction(), name).await {
            Err(ApiError::NotFound) => {
                caller.may(Action::CreateToken, Whose::Others)?;
                return Err(ChangeError::OwnerGone.into());
            }
            other => Some(other?),
        },
    };
    let permit = caller.may(Action::CreateToken, caller.whose(owner.as_ref().map(|owner| owner.id)))?;
    Ok((permit, owner))
}

fn sha256_of(hex: &str) -> Result<[u8; 32], ApiError> {
    let digits = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        let parsed = hex.get(index * 2..index * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = parsed
            .filter(|_| digits)
            .ok_or_else(|| ApiError::BadRequest("sha256 must be the 64 hexadecimal digits of a SHA-256.".into()))?;
    }
    if hash == <[u8; 32]>::from(Sha256::digest(b"")) {
        return Err(ApiError::BadRequest("sha256 is that of nothing at all.".into()));
    }
    Ok(hash)
}

/// A new token and its hash.
pub(crate) fn mint(keys: &HashKeys) -> Result<(Secret, KeyedHash), getrandom::Error> {
    let secret = token::mint(*keys::random()?);
    let hash = keys.hash(&secret);
    Ok((secret, hash))
}

/// A new public id.
pub(crate) fn public_id() -> Result<String, getrandom::Error> {
    Ok(keys::hex(&*keys::random::<10>()?).to_string())
}
