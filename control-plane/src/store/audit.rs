//! The audit: what was changed, by whom, written in the transaction of the change (A5); and who signed in with a password.
//! Never edited.

use super::tokens;
use crate::permission::Action;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{Condition, QuerySelect as _, Select};
use std::collections::HashMap;

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

/// The names of those who made these tokens, by the tokens' public ids, as far as the records of it are still there. (Those
/// that were put in the place of others have none under their own ids.) Whoever asks bounds how many.
pub(crate) async fn makers_of<'a>(
    db: &impl ConnectionTrait,
    of: impl Iterator<Item = &'a tokens::Model>,
) -> Result<HashMap<String, String>, DbErr> {
    let Some(records) = records_of_making(of.map(|token| (token.public_id.as_str(), token.created_at))) else {
        return Ok(HashMap::new());
    };
    let records: Vec<(String, String, String)> = records.into_tuple().all(db).await?;
    let made = records.into_iter().filter(|(action, ..)| action == Action::CreateToken.name());
    Ok(made.map(|(_, subject, actor)| (subject, actor)).collect())
}

/// What was done to tokens at the very times of their creation, which is what the index knows; `None`: there are none.
fn records_of_making<'a>(of: impl Iterator<Item = (&'a str, i64)>) -> Option<Select<Entity>> {
    let made = of.map(|(public_id, created_at)| Column::Subject.eq(public_id).and(Column::At.eq(created_at)));
    let made = made.fold(Condition::any(), Condition::add);
    let columns = [Column::Action, Column::Subject, Column::Actor];
    (!made.is_empty()).then(|| Entity::find().select_only().columns(columns).filter(made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migration::Migrator;
    use sea_orm::{Database, DbBackend, QueryTrait as _};
    use sea_orm_migration::MigratorTrait as _;

    #[tokio::test]
    async fn m3_who_made_tokens_is_found_along_the_index_of_subjects_however_often_they_were_shown_since() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        Migrator::up(&db, None).await.unwrap();
        let mut explain =
            records_of_making([("a", 1), ("b", 2), ("c", 3)].into_iter()).unwrap().build(DbBackend::Sqlite);
        explain.sql = format!("EXPLAIN QUERY PLAN {}", explain.sql);
        let plan: Vec<String> =
            db.query_all_raw(explain).await.unwrap().iter().map(|line| line.try_get("", "detail").unwrap()).collect();
        let searches =
            plan.iter().filter(|line| *line == "SEARCH audit USING INDEX audit_subject (subject=? AND at=?)");
        assert_eq!(searches.count(), 3, "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("SCAN")), "{plan:?}");
        assert!(records_of_making([].into_iter()).is_none(), "none are none, not all");
    }
}
