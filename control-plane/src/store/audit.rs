//! The audit: what was changed, by whom. Written in the transaction of the change (A5), never edited.

use sea_orm::entity::prelude::*;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) at: i64,
    /// The revision that the change became.
    pub(crate) revision: i64,
    /// The user who did it; `tokengate` for what the program did by itself.
    pub(crate) actor: String,
    /// The public id of the token with which the user came.
    pub(crate) actor_token: Option<String>,
    /// What was done, such as `token.create`.
    pub(crate) action: String,
    /// To what: a user's name, a token's public id, a version of the settings, or `/everyone`.
    pub(crate) subject: String,
    /// More, as JSON; never a secret.
    pub(crate) detail: String,
    pub(crate) request_id: Option<String>,
    /// The user on whose behalf the actor did it.
    pub(crate) on_behalf_of: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
