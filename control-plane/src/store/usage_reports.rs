//! Up to where the reports of each proxy are taken in, so that each batch counts once.

use sea_orm::entity::prelude::*;

/// One proxy process.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_reports")]
pub(crate) struct Model {
    /// Its identity, in hexadecimal digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) instance: String,
    /// The number of the batch that has not been taken in yet.
    pub(crate) next: i64,
    pub(crate) seen_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
