//! `POST /api/v1/tokens`: creates a token, one's own or, for sysadmins, another user's or nobody's (`unbound`). The
//! answer is the only place where it is ever shown.
//!
//! With `copy_of`, what the body does not give is taken from another token. With `sha256`, which is for sysadmins, it
//! takes over a token that exists already (M6): the hexadecimal SHA-256 of its value, which the answer then does not
//! have.

use super::validity::{Wanted, span_of};
use super::{TokenView, check_ip_ranges, check_label};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::idempotency::{IdempotencyKey, Repeatable};
use crate::api::input::time;
use crate::api::openapi::ChangeRefusals;
use crate::change::{Change, ChangeError, NewToken};
use crate::keys;
use crate::permission::{Action, Permit, Whose};
use crate::store::tokens::{self, recoverable, timestamp};
use crate::store::users;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use policy::credential::Secret;
use policy::restrictions::Set;
use policy::settings::Validity;
use policy::{DenyReason, HashKeys, IpRule, KeyedHash, Scope, Timestamp, token};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
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
        // The one place where a token leaves the program: to the one who asked for it.
        let token_text = secret.map(|secret| Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned()));
        let view = TokenView::new(token, owner.map(|owner| owner.name.as_str()), None)?;
        Ok(Self { token: token_text, view })
    }
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
    params(IdempotencyKey),
    request_body = NewTokenBody,
    responses((status = 201, description = "The token.", body = Created), ChangeRefusals),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Repeatable(attempt, body): Repeatable<NewTokenBody>,
) -> Result<Response, ApiError> {
    let given = Given::read(body)?;
    let minted = Minted::new(&app)?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    if let Some(answer) = attempt.answered(&app.store, &change, &caller).await? {
        return Ok(answer);
    }
    let copied = match &given.copy_of {
        None => None,
        Some(id) => Some(super::find(change.transaction(), &caller, Action::ShowToken, id).await.map_err(no_copy)?),
    };
    let copied = copied.as_ref().map(|(_permit, token, owner)| (token, owner.as_ref()));
    let (settings, now) = (&change.settings().0, change.now());
    let (permit, owner) = whom_for(&change, &caller, &given, copied).await?;
    if given.sha256.is_some() {
        caller.may(Action::CreateToken, Whose::Others)?;
    }
    if settings.only_admins_create && !caller.user.sysadmin {
        return Err(ApiError::OnlyAdminsCreate);
    }
    if owner.is_none() && !settings.unbound_tokens {
        return Err(ApiError::Denied(DenyReason::UnboundTokensOff));
    }
    let copied = copied.map(|(token, _owner)| token);
    let label = given.label.as_deref().or(copied.map(|token| token.label.as_str()));
    let valid_from = given.valid_from.or(copied.and_then(|token| token.valid_from).map(timestamp));
    let wanted = copied.into_iter().fold(given.wanted, |wanted, token| wanted.or_as_long_as(span_of(token)));
    let (hash, secret, recoverable) = match given.sha256 {
        Some(sha256) => (app.store.master.hash_keys().chain(sha256), None, None),
        None => (minted.hash, Some(&minted.secret), minted.recoverable),
    };
    let new = NewToken {
        public_id: minted.public_id,
        hash,
        label: label.unwrap_or_default(),
        owner_id: owner.as_ref().map(|owner| owner.id),
        valid_from,
        expires_at: wanted.end(settings, valid_from, now)?,
        read_only: given.scope.map_or(copied.is_some_and(|token| token.read_only), |scope| scope == Scope::ReadOnly),
        imported: secret.is_none(),
        ip_ranges: match (given.ip_ranges, copied) {
            (None, Some(token)) => super::stored_ip_ranges(token)?,
            (given, _) => given.unwrap_or_default(),
        },
        restrictions: match (given.restrictions, copied) {
            (None, Some(token)) => super::stored_restrictions(token)?,
            (given, _) => given.flatten(),
        },
        recoverable,
    };
    let token = change.create_token(&permit, new).await?;
    let answer = Created::new(secret, token, owner.as_ref())?;
    attempt.commit(&app.store, change, &caller, StatusCode::CREATED, &answer).await
}

/// What the body gives, as far as it can be judged by itself.
struct Given {
    label: Option<String>,
    copy_of: Option<String>,
    owner: Option<String>,
    unbound: bool,
    valid_from: Option<Timestamp>,
    wanted: Wanted,
    scope: Option<Scope>,
    ip_ranges: Option<Vec<IpRule>>,
    sha256: Option<[u8; 32]>,
    restrictions: Option<Option<Set>>,
}

impl Given {
    fn read(body: NewTokenBody) -> Result<Self, ApiError> {
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
        if label.is_none() && copy_of.is_none() {
            return Err(ApiError::BadRequest("label is missing; only copy_of can stand in for it.".into()));
        }
        let label = label.map(|label| label.trim().to_owned());
        label.as_deref().map_or(Ok(()), check_label)?;
        ip_ranges.as_deref().map_or(Ok(()), check_ip_ranges)?;
        if unbound && owner.is_some() {
            return Err(ApiError::BadRequest("owner and unbound exclude each other.".into()));
        }
        let restrictions = restrictions.map(|lines| Set::parse(&lines)).transpose();
        Ok(Self {
            label,
            copy_of,
            owner,
            unbound,
            valid_from: valid_from.map(|text| time("valid_from", &text)).transpose()?,
            wanted: Wanted::read(expires_at.as_deref(), validity)?,
            scope,
            ip_ranges,
            sha256: sha256.as_deref().map(sha256_of).transpose()?,
            restrictions: restrictions.map_err(ApiError::InvalidRestrictions)?,
        })
    }
}

fn no_copy(error: ApiError) -> ApiError {
    match error {
        ApiError::NotFound => ApiError::BadRequest("copy_of is no token, or none that you may see.".into()),
        other => other,
    }
}

/// For whom the token is to be, and the proof that the caller may make it.
async fn whom_for(
    change: &Change<'_>,
    caller: &Caller,
    given: &Given,
    copied: Option<(&tokens::Model, Option<&users::Model>)>,
) -> Result<(Permit, Option<users::Model>), ApiError> {
    let owner = match (&given.owner, copied) {
        (None, _) if given.unbound => None,
        (None, Some((_, owner))) => owner.cloned(),
        (None, None) => Some(caller.user.clone()),
        // Whether another user exists is for those to know who may do something about it.
        (Some(name), _) => match crate::api::users::find(change.transaction(), name).await {
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

/// A new token, and all that is kept of it.
pub(super) struct Minted {
    pub(super) public_id: String,
    pub(super) secret: Secret,
    pub(super) hash: KeyedHash,
    /// In standard mode alone (S7).
    pub(super) recoverable: Option<Vec<u8>>,
}

impl Minted {
    pub(super) fn new(app: &App) -> Result<Self, ApiError> {
        let (public_id, master) = (public_id()?, &app.store.master);
        let (secret, hash) = mint(&master.hash_keys())?;
        let sealed = (!app.secure_mode).then(|| recoverable::seal(master, &public_id, &secret)).transpose()?;
        Ok(Self { public_id, secret, hash, recoverable: sealed })
    }
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
