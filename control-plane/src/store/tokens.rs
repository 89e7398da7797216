//! Tokens, by their keyed hash.

use super::users;
use policy::{Owner, Timestamp, TokenRecord, TokenState};
use sea_orm::entity::prelude::*;

/// A token. A deleted one stays until it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tokens")]
pub(crate) struct Model {
    /// Its number.
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    /// Its public id, in URLs, logs and headers.
    pub(crate) public_id: String,
    /// `HMAC-SHA-256(key, SHA-256(token))`.
    pub(crate) hash: Vec<u8>,
    pub(crate) label: String,
    pub(crate) owner_id: i64,
    pub(crate) created_at: i64,
    pub(crate) valid_from: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) deleted_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What the proxies are told of a token.
pub(crate) fn record(token: &Model, owner: &users::Model) -> TokenRecord {
    let state = if token.deleted_at.is_some() || owner.name_folded.is_none() {
        TokenState::Deleted
    } else if owner.suspended {
        TokenState::OwnerSuspended
    } else {
        TokenState::Active
    };
    TokenRecord {
        id: token.public_id.clone(),
        owner: Owner { name: owner.name.clone(), email: owner.email.clone() },
        created_at: timestamp(token.created_at),
        valid_from: token.valid_from.map(timestamp),
        expires_at: token.expires_at.map(timestamp),
        state,
    }
}

/// A time as it is stored. Before 1970 there was nothing.
pub(crate) fn timestamp(stored: i64) -> Timestamp {
    Timestamp::from_millis(stored.try_into().unwrap_or_default())
}

/// A time in the form in which it is stored.
pub(crate) fn stored(time: Timestamp) -> i64 {
    time.as_millis().try_into().unwrap_or(i64::MAX)
}
