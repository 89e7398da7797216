//! The audit of calls (A2): one row a call, or one for several of which no more is known than their number.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "calls")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    /// When; of several calls, the last of them.
    pub(crate) at: i64,
    /// How many calls this row stands for. If the method is missing, they were only counted: there was no room, or
    /// nobody wanted more.
    pub(crate) calls: i64,
    /// `admitted`, `passed`, or the code of the refusal.
    pub(crate) outcome: String,
    /// The public id of the token; `None`: a password, or calls of any tokens.
    pub(crate) token: Option<String>,
    pub(crate) user: Option<String>,
    /// Who called, if on behalf of that user.
    pub(crate) actor: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) address: Option<String>,
    /// What the backend answered, if that is known.
    pub(crate) status: Option<i32>,
    pub(crate) request_id: Option<String>,
    /// The name of the proxy; empty: the call came to the control plane itself.
    pub(crate) proxy: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
