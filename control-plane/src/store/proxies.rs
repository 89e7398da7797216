//! The proxies that were given a snapshot, so that a control plane that has just started knows who may still decide from
//! it.

use sea_orm::entity::prelude::*;

/// One proxy process.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "proxies")]
pub(crate) struct Model {
    /// Its identity, in hexadecimal digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) instance: String,
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    pub(crate) first_seen_at: i64,
    /// When it last asked, to within a minute.
    pub(crate) seen_at: i64,
    /// For how long it goes on deciding if it hears nothing, in milliseconds; `None`: for ever.
    pub(crate) trusts_ms: Option<i64>,
    pub(crate) version: String,
    pub(crate) workers: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
