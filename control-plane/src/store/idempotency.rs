//! Answers to requests that may come again (header `Idempotency-Key`), kept for a day. Nothing here tells a key or an
//! answer: of a key there is a keyed hash, and an answer is sealed under a key that comes from it.

use sea_orm::entity::prelude::*;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency")]
pub(crate) struct Model {
    /// The keyed hash of caller and key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) key_hash: Vec<u8>,
    /// The keyed hash of method, path and body.
    pub(crate) request_hash: Vec<u8>,
    pub(crate) status: i32,
    /// The body of the answer.
    pub(crate) sealed: Vec<u8>,
    pub(crate) at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
