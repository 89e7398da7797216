//! The head of the feed: one row, locked by the first statement of every change, so that the order of revisions is the
//! order of commits.

use sea_orm::entity::prelude::*;

/// The row's id.
pub(crate) const ID: i32 = 1;

/// Where the history of this database stands.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed_head")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i32,
    /// Names the history.
    pub(crate) epoch: i64,
    /// Counts its changes.
    pub(crate) revision: i64,
    /// Random with every revision.
    pub(crate) tag: i64,
    /// Under which key the hashes in `tokens` were made.
    pub(crate) hash_key_id: i64,
    /// Whether it was served in standard mode since copies of tokens were last wiped (S7).
    pub(crate) standard_mode: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
