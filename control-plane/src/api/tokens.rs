//! `/api/v1/tokens`.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_many;
pub(crate) mod edit;
mod filter;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod make;
pub(crate) mod rotate;
pub(crate) mod rows;
pub(crate) mod secret;
pub(crate) mod show;
pub(crate) mod try_out;
pub(crate) mod validity;

pub(crate) use make::{mint, public_id};

use super::caller::Caller;
use super::error::ApiError;
use super::input::{Version, Versioned, rfc3339};
use crate::permission::{self, Action, Permit};
use crate::store::tokens::filter::{Filter, Whose};
use crate::store::{token_usage, tokens, users};
use policy::record::limits::{LABEL_CHARS_MAX, TOKEN_ADDRESSES_MAX};
use policy::restrictions::Set;
use policy::{IpRule, Scope, token};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use serde::Serialize;
use utoipa::ToSchema;

/// For which methods a token works.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes policy::Scope")]
enum ScopeName {
    /// Whatever its user may.
    Full,
    /// GET, HEAD and OPTIONS.
    ReadOnly,
}

/// A token as the API shows one: never the token itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenView {
    id: String,
    label: String,
    /// `null`: it is unbound.
    owner: Option<String>,
    /// Whether it works for whoever is named beside it in `Basic`.
    unbound: bool,
    /// Whether it was taken over by its SHA-256.
    imported: bool,
    #[schema(value_type = ScopeName)]
    scope: Scope,
    /// From where it may be used; none: from everywhere.
    #[schema(value_type = Vec<String>)]
    ip_ranges: Vec<IpRule>,
    /// For which requests it may be used, a line each; none: for all.
    restrictions: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    valid_from: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// How often it was admitted.
    usage_count: i64,
    #[schema(format = DateTime)]
    last_accessed_at: Option<String>,
    last_accessed_from: Option<String>,
    /// Whether its owner can have it shown again, in standard mode.
    recoverable: bool,
}

impl TokenView {
    fn new(token: tokens::Model, owner: Option<&str>, usage: Option<token_usage::Model>) -> Result<Self, ApiError> {
        let tokens::Model {
            id: _,
            public_id,
            hash: _,
            label,
            owner_id,
            created_at,
            valid_from,
            expires_at,
            deleted_at: _,
            read_only,
            imported,
            ip_ranges,
            restrictions,
            recoverable,
        } = token;
        let ip_ranges = read_ip_ranges(ip_ranges.as_deref())?;
        Ok(Self {
            id: public_id,
            label,
            owner: owner.map(str::to_owned),
            unbound: owner_id.is_none(),
            imported,
            scope: if read_only { Scope::ReadOnly } else { Scope::Full },
            ip_ranges,
            restrictions: restrictions.iter().flat_map(|text| text.lines()).map(str::to_owned).collect(),
            created_at: rfc3339(created_at),
            valid_from: valid_from.map(rfc3339),
            expires_at: expires_at.map(rfc3339),
            usage_count: usage.as_ref().map_or(0, |usage| usage.uses),
            last_accessed_at: usage.as_ref().map(|usage| rfc3339(usage.last_at)),
            last_accessed_from: usage.and_then(|usage| usage.last_address),
            recoverable: recoverable.is_some(),
        })
    }

    /// With its use, as it is known now.
    async fn load(
        db: &impl ConnectionTrait,
        token: tokens::Model,
        owner: Option<&str>,
    ) -> Result<Versioned<Self>, ApiError> {
        let usage = token_usage::Entity::find_by_id(token.id).one(db).await?;
        Ok(Versioned(version(&token), Self::new(token, owner, usage)?))
    }
}

/// The version of a token that an edit can be made from. Its use is no part of it.
fn version(token: &tokens::Model) -> Version {
    let tokens::Model { label, expires_at, read_only, ip_ranges, restrictions, .. } = token;
    Version::of(&(label, expires_at, read_only, ip_ranges, restrictions))
}

/// The token with this id and its owner, if the caller may do this with it. Another's is as good as none.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    caller: &Caller,
    action: Action,
    id: &str,
) -> Result<(Permit, tokens::Model, Option<users::Model>), ApiError> {
    find_where(db, caller, action, tokens::Column::PublicId.eq(id)).await
}

/// The same by what only one token can meet.
pub(crate) async fn find_where(
    db: &impl ConnectionTrait,
    caller: &Caller,
    action: Action,
    condition: SimpleExpr,
) -> Result<(Permit, tokens::Model, Option<users::Model>), ApiError> {
    let token = tokens::Entity::find()
        .filter(condition)
        .filter(tokens::Column::DeletedAt.is_null())
        .one(db)
        .await?
        .ok_or(ApiError::NotFound)?;
    let permit = caller.may(action, caller.whose(token.owner_id)).map_err(|_| ApiError::NotFound)?;
    let owner = match token.owner_id {
        None => None,
        Some(id) => Some(users::Entity::find_by_id(id).one(db).await?.ok_or(ApiError::NotFound)?),
    };
    Ok((permit, token, owner))
}

/// What finds the caller's own tokens, and the proof that the caller may do this with them.
pub(crate) fn of_caller(caller: &Caller, action: Action) -> Result<(Permit, Filter), ApiError> {
    let permit = caller.may(action, permission::Whose::Own)?;
    Ok((permit, Filter::all_of(Whose::Of(caller.user.id))))
}

/// The addresses of a token that another one is to have as well.
fn stored_ip_ranges(token: &tokens::Model) -> Result<Vec<IpRule>, ApiError> {
    read_ip_ranges(token.ip_ranges.as_deref())
}

/// The restrictions of a token that goes on under another value, whatever they cost. What cannot be read must not be taken
/// for none.
fn stored_restrictions(token: &tokens::Model) -> Result<Option<Set>, ApiError> {
    let Some(text) = &token.restrictions else {
        return Ok(None);
    };
    Set::saved(text).map(Some).ok_or_else(|| ApiError::Internal("restrictions cannot be read".into()))
}

/// The restrictions of a token that another one is to have as well: refused like those that a caller writes.
fn copied_restrictions(token: &tokens::Model) -> Result<Option<Set>, ApiError> {
    match stored_restrictions(token)? {
        Some(set) if set.is_too_costly() => {
            Set::parse(&[set.to_string()]).map_err(|errors| ApiError::InvalidRestrictionsIn("copy_of", errors))
        }
        restrictions => Ok(restrictions),
    }
}

/// The addresses from where a token may be used, as they are stored.
pub(crate) fn read_ip_ranges(stored: Option<&str>) -> Result<Vec<IpRule>, ApiError> {
    match stored {
        None => Ok(Vec::new()),
        Some(json) => tokens::ip_ranges(json).ok_or_else(|| ApiError::Internal("ip_ranges cannot be read".into())),
    }
}

pub(crate) fn check_label(label: &str) -> Result<(), ApiError> {
    if label.is_empty() || label.chars().count() > LABEL_CHARS_MAX || label.contains(char::is_control) {
        return Err(ApiError::BadRequest(format!("label must have 1 to {LABEL_CHARS_MAX} printable characters.")));
    }
    if token::shows_in(label.as_bytes(), 0) {
        return Err(ApiError::BadRequest("label must not hold a token: labels are shown.".into()));
    }
    Ok(())
}

fn check_ip_ranges(ip_ranges: &[IpRule]) -> Result<(), ApiError> {
    if ip_ranges.len() > TOKEN_ADDRESSES_MAX {
        return Err(ApiError::BadRequest(format!("ip_ranges must have at most {TOKEN_ADDRESSES_MAX} entries.")));
    }
    Ok(())
}
