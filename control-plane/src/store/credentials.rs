//! Backend credentials (U6): what the backend wants to see of a user in place of a token; sealed under a key that is
//! not in the database.

use policy::SealKey;
use policy::credential::BackendCredential;
use sea_orm::entity::prelude::*;

/// The row that serves everyone who has none of their own; no user has this id.
pub(crate) const EVERYONE: i64 = 0;

/// One credential.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "backend_credentials")]
pub(crate) struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: i64,
    /// The value of the header, sealed for the user's name; for everyone, for the empty one.
    pub(crate) sealed: Vec<u8>,
    /// `basic` or `bearer`.
    pub(crate) kind: String,
    pub(crate) updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Opens it.
    pub(crate) fn open(&self, user: &str, key: &SealKey) -> Option<BackendCredential> {
        BackendCredential::open(&self.sealed, user, key)
    }
}
