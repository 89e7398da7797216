//! When and how often each token was used (M7). Beside the tokens, not in them: this changes with every report.

use sea_orm::entity::prelude::*;

/// The use of one token.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token_usage")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) token_id: i64,
    /// How often it was admitted.
    pub(crate) uses: i64,
    pub(crate) last_at: i64,
    pub(crate) last_address: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
