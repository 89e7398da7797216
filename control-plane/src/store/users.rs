//! Users.

use policy::record::folded;
use policy::{FilterKeys, KeyedHash, UserRecord};
use sea_orm::entity::prelude::*;

/// A user. A deleted one stays as a row without a folded name, so that audit and tokens keep their reference and the
/// name is free again.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) name: String,
    /// The name as it is unique ([`policy::record::folded`]); `None`: deleted.
    pub(crate) name_folded: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) email_folded: Option<String>,
    pub(crate) sysadmin: bool,
    pub(crate) suspended: bool,
    pub(crate) created_at: i64,
    /// The hash of the local password (argon2id, in PHC form); `None`: there is none.
    pub(crate) password_hash: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The hashes under which the proxies find a user: of the name, and of the e-mail address if there is one and it
/// differs.
pub(crate) fn hashes(user: &Model, keys: &FilterKeys) -> Vec<KeyedHash> {
    let mut names: Vec<String> =
        [Some(user.name.as_str()), user.email.as_deref()].into_iter().flatten().map(folded).collect();
    names.dedup();
    names.iter().map(|name| keys.user_hash(name)).collect()
}

/// What the proxies are told of a user.
pub(crate) fn record(user: &Model, credential: Option<Vec<u8>>) -> UserRecord {
    UserRecord {
        name: user.name.clone(),
        email: user.email.clone(),
        sysadmin: user.sysadmin,
        suspended: user.suspended,
        credential,
    }
}
