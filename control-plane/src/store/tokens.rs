//! Tokens, by their keyed hash.

pub(crate) mod filter;
pub(crate) mod recoverable;

use super::users;
use crate::keys::MasterKey;
use policy::{
    Addresses, Binding, IpRule, KeyedHash, Owner, RestrictionsRecord, Scope, Timestamp, TokenRecord, TokenState,
};
use sea_orm::entity::prelude::*;
use sea_orm::{ExprTrait as _, QueryOrder as _, QuerySelect as _, Select};

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
    /// `None`: unbound (U4).
    pub(crate) owner_id: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) valid_from: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) deleted_at: Option<i64>,
    pub(crate) read_only: bool,
    /// Made elsewhere: nobody knows that anyone has it.
    pub(crate) imported: bool,
    /// A list of address rules as JSON; `None`: from everywhere.
    pub(crate) ip_ranges: Option<String>,
    /// Lines ([`policy::restrictions::Set`]); `None`: for every request.
    pub(crate) restrictions: Option<String>,
    /// The token itself, sealed; `None`: nobody sees it again, as always in secure mode (S7).
    pub(crate) recoverable: Option<Vec<u8>>,
}

/// What belongs to what.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    /// A token to its owner.
    #[sea_orm(belongs_to = "super::users::Entity", from = "Column::OwnerId", to = "super::users::Column::Id")]
    Owner,
}

impl Related<users::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Owner.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// Characters of a public id: 80 random bits, hexadecimal. (A number of a token has fewer.)
pub(crate) const PUBLIC_ID_LEN: usize = 20;

/// The highest number of a token, whether it is deleted or not; 0: there is none.
pub(crate) async fn newest(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let newest = Entity::find().select_only().column(Column::Id).order_by_desc(Column::Id);
    Ok(newest.into_tuple().one(db).await?.unwrap_or_default())
}

/// The token with this public id, and its owner, deleted or not: in one statement, since every call asks.
pub(crate) async fn with_owner(
    db: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<(Model, Option<users::Model>)>, DbErr> {
    Entity::find().find_also_related(users::Entity).filter(Column::PublicId.eq(public_id)).one(db).await
}

/// The same by the hash of its value.
pub(crate) async fn with_hash(
    db: &impl ConnectionTrait,
    hash: &KeyedHash,
) -> Result<Option<(Model, Option<users::Model>)>, DbErr> {
    let hash = hash.as_bytes().as_slice();
    Entity::find().find_also_related(users::Entity).filter(Column::Hash.eq(hash)).one(db).await
}

/// Whether there is a copy of any of these tokens that are this owner's (S7).
pub(crate) async fn has_copies(db: &impl ConnectionTrait, owner_id: i64, ids: &[i64]) -> Result<bool, DbErr> {
    let own = Entity::find().select_only().column(Column::Id).filter(Column::Id.is_in(ids.iter().copied()));
    let copied = own.filter(Column::OwnerId.eq(owner_id)).filter(Column::Recoverable.is_not_null());
    Ok(copied.limit(1).into_tuple::<i64>().one(db).await?.is_some())
}

/// Tokens of an owner that count against the most that a user may hold (S8): those that are there, and have not ended by now.
pub(crate) fn held_by(owner_id: i64, now: Timestamp) -> Select<Entity> {
    let there = Entity::find().filter(Column::OwnerId.eq(owner_id)).filter(Column::DeletedAt.is_null());
    there.filter(Column::ExpiresAt.is_null().or(Column::ExpiresAt.gt(stored(now))))
}

/// Tokens that are there and ended before then, those first that ended first.
pub(crate) fn ended_before(ended: Timestamp) -> Select<Entity> {
    let there = Entity::find().filter(Column::DeletedAt.is_null());
    there.filter(Column::ExpiresAt.lt(stored(ended))).order_by_asc(Column::ExpiresAt)
}

/// Tokens that were deleted before then, those first that were deleted first.
pub(crate) fn deleted_before(deleted: Timestamp) -> Select<Entity> {
    Entity::find().filter(Column::DeletedAt.lt(stored(deleted))).order_by_asc(Column::DeletedAt)
}

/// What the proxies are told of a token. One of which a part cannot be read is told as deleted: left out, an imported
/// one would be offered to the backend as a password.
pub(crate) fn record(token: &Model, owner: Option<&users::Model>, master: &MasterKey) -> TokenRecord {
    let addresses = match &token.ip_ranges {
        None => Some(Addresses::Any),
        Some(json) => ip_ranges(json).map(Addresses::Only),
    };
    let binding = match (token.owner_id, owner) {
        (None, _) => Some(Binding::Unbound),
        (Some(_), Some(owner)) => {
            let (name, email) = (owner.name.clone(), owner.email.clone());
            Some(Binding::User(Owner { name, email, sysadmin: owner.sysadmin }))
        }
        (Some(_), None) => None,
    };
    let gone = token.deleted_at.is_some() || owner.is_some_and(|owner| owner.name_folded.is_none());
    let state = if gone || addresses.is_none() || binding.is_none() {
        TokenState::Deleted
    } else if owner.is_some_and(|owner| owner.suspended) {
        TokenState::OwnerSuspended
    } else {
        TokenState::Active
    };
    TokenRecord {
        id: token.public_id.clone(),
        binding: binding.unwrap_or(Binding::Unbound),
        created_at: timestamp(token.created_at),
        valid_from: token.valid_from.map(timestamp),
        expires_at: token.expires_at.map(timestamp),
        state,
        scope: if token.read_only { Scope::ReadOnly } else { Scope::Full },
        addresses: addresses.unwrap_or(Addresses::Only(Vec::new())),
        restrictions: token.restrictions.as_deref().map(|text| master.restrictions_hash(text)),
    }
}

/// The set of restrictions that the proxies need for a token, and the hash under which they find it. A deleted token needs
/// none: it is refused before.
pub(crate) fn restrictions(token: &Model, record: &TokenRecord) -> Option<(KeyedHash, RestrictionsRecord)> {
    let (hash, text) = (record.restrictions?, token.restrictions.clone()?);
    (token.deleted_at.is_none()).then_some((hash, RestrictionsRecord { text }))
}

/// Address rules as they are stored.
pub(crate) fn ip_ranges(json: &str) -> Option<Vec<IpRule>> {
    serde_json::from_str(json).ok()
}

/// A time as it is stored. Before 1970 there was nothing.
pub(crate) fn timestamp(stored: i64) -> Timestamp {
    Timestamp::from_millis(stored.try_into().unwrap_or_default())
}

/// A time in the form in which it is stored.
pub(crate) fn stored(time: Timestamp) -> i64 {
    time.as_millis().try_into().unwrap_or(i64::MAX)
}
