//! `/api/v1/tokens`.

mod create;
mod delete;
mod edit;
mod list;
mod show;
mod validity;

pub(crate) use create::{create, mint, public_id};
pub(crate) use delete::delete;
pub(crate) use edit::edit;
pub(crate) use list::list;
pub(crate) use show::show;

use super::caller::Caller;
use super::error::ApiError;
use super::input::rfc3339;
use crate::permission::{Action, Permit};
use crate::store::{token_usage, tokens, users};
use policy::record::limits::{LABEL_CHARS_MAX, TOKEN_ADDRESSES_MAX};
use policy::{IpRule, Scope, token};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use serde::Serialize;

/// A token as the API shows one: never the token itself.
#[derive(Serialize)]
pub(crate) struct TokenView {
    id: String,
    label: String,
    /// `None`: unbound.
    owner: Option<String>,
    unbound: bool,
    imported: bool,
    scope: Scope,
    ip_ranges: Vec<IpRule>,
    restrictions: Vec<String>,
    created_at: String,
    valid_from: Option<String>,
    expires_at: Option<String>,
    /// How often it was admitted.
    usage_count: i64,
    last_accessed_at: Option<String>,
    last_accessed_from: Option<String>,
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
        } = token;
        let ip_ranges = match ip_ranges {
            None => Vec::new(),
            Some(json) => {
                tokens::ip_ranges(&json).ok_or_else(|| ApiError::Internal("ip_ranges cannot be read".into()))?
            }
        };
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
        })
    }

    /// With its use, as it is known now.
    async fn load(db: &impl ConnectionTrait, token: tokens::Model, owner: Option<&str>) -> Result<Self, ApiError> {
        let usage = token_usage::Entity::find_by_id(token.id).one(db).await?;
        Self::new(token, owner, usage)
    }
}

/// The token with this id and its owner, if the caller may do this with it. Another's is as good as none.
async fn find(
    db: &impl ConnectionTrait,
    caller: &Caller,
    action: Action,
    id: &str,
) -> Result<(Permit, tokens::Model, Option<users::Model>), ApiError> {
    let token = tokens::Entity::find()
        .filter(tokens::Column::PublicId.eq(id))
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

fn check_label(label: &str) -> Result<(), ApiError> {
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
