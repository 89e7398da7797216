//! The audit: what was changed, by whom, written in the transaction of the change (A5); and who signed in with a password.
//! Never edited.

use sea_orm::entity::prelude::*;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) at: i64,
    /// The revision that the change became; [`NO_REVISION`]: it is none.
    pub(crate) revision: i64,
    /// The user who did it; `tokengate` for what the program did by itself; [`NOBODY_KNOWN`].
    pub(crate) actor: String,
    /// The public id of the token with which the user came; `None`: with a password.
    pub(crate) actor_token: Option<String>,
    /// What was done, such as `token.create`.
    pub(crate) action: String,
    /// To what: a user's name, a token's public id, a version of the settings, a proxy's instance; or, behind a slash, what
    /// has none of these names, such as `/everyone`.
    pub(crate) subject: String,
    /// More, as JSON; never a secret.
    pub(crate) detail: String,
    pub(crate) request_id: Option<String>,
    /// The user on whose behalf the actor did it.
    pub(crate) on_behalf_of: Option<String>,
}

/// What a record of what changes nothing has in place of a revision.
pub(crate) const NO_REVISION: i64 = 0;

/// Who could not sign in. No user is called so: names hold no slash.
pub(crate) const NOBODY_KNOWN: &str = "/unknown";

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
