//! Pages by number, as other products have them: a page begins behind so many tokens, and somebody wants to know how many
//! there are. Both take reading the driving index from its beginning, so both have an end.

use super::{Cursor, Filter, Whose};
use crate::store::tokens::{Column, Entity};
use sea_orm::sea_query::{Alias, Asterisk, Expr, ExprTrait as _, Func, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DbErr};

/// Tokens that are counted, and that a page may be behind: reading the index so far takes some ten milliseconds.
pub(crate) const COUNTED_MAX: u64 = 100_000;

/// How many tokens there are; more than [`COUNTED_MAX`]: not all were counted.
pub(crate) async fn count(db: &impl ConnectionTrait, whose: Whose) -> Result<u64, DbErr> {
    let counted = in_order(db, whose).limit(COUNTED_MAX + 1).to_owned();
    let count =
        Query::select().expr(Func::count(Expr::col(Asterisk))).from_subquery(counted, Alias::new("counted")).to_owned();
    let row = db.query_one(&count).await?;
    let count: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    Ok(count.try_into().unwrap_or_default())
}

/// The numbers of at most so many tokens behind so many others, in the order of their creation.
pub(crate) async fn page(db: &impl ConnectionTrait, whose: Whose, behind: u64, limit: u64) -> Result<Vec<i64>, DbErr> {
    let page = in_order(db, whose).offset(Ord::min(behind, COUNTED_MAX)).limit(limit).to_owned();
    db.query_all(&page).await?.iter().map(|row| row.try_get_by_index(1)).collect()
}

/// Keys and numbers of all of these tokens, as the driving index has them.
fn in_order(db: &impl ConnectionTrait, whose: Whose) -> SelectStatement {
    let filter = Filter::all_of(whose);
    let start: Cursor = filter.start();
    let mut select = filter.driving(db.get_database_backend(), &start, None);
    let there = Expr::col((Entity, Column::DeletedAt)).is_null();
    select.from(Entity).and_where(there).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{database, plan};
    use super::*;

    #[tokio::test]
    async fn m3_tokens_are_counted_and_skipped_along_an_index() {
        let db = database().await;
        for (whose, index) in [
            (Whose::Of(1), "SEARCH tokens USING INDEX tokens_owner (owner_id=? AND rowid>?"),
            (Whose::Any, "SEARCH tokens USING INDEX tokens_created ((created_at,rowid)>(?,?)"),
        ] {
            let plan = plan(&db, in_order(&db, whose).limit(1).offset(1)).await;
            assert!(plan.starts_with(index) && plan.lines().count() == 1, "{plan}");
        }
    }

    #[tokio::test]
    async fn m3_pages_by_number_give_each_token_that_is_there_once_in_order() {
        let db = database().await;
        let names = "INSERT INTO users (id, name, sysadmin, suspended, created_at) VALUES (1, 'a', 0, 0, 0)";
        db.execute_unprepared(names).await.unwrap();
        for n in 1..=20 {
            let (owner, deleted) = (if n % 3 == 0 { "NULL" } else { "1" }, if n % 5 == 0 { "1" } else { "NULL" });
            let token = format!(
                "INSERT INTO tokens (public_id, hash, label, owner_id, created_at, deleted_at, read_only, imported) \
                 VALUES ('{n}', x'{n:08x}', 'x', {owner}, 7, {deleted}, 0, 0)"
            );
            db.execute_unprepared(&token).await.unwrap();
        }
        let there: Vec<i64> = (1..=20).filter(|n| n % 5 != 0).collect();
        let own: Vec<i64> = there.iter().copied().filter(|n| n % 3 != 0).collect();
        for (whose, expected) in [(Whose::Any, there), (Whose::Of(1), own), (Whose::Of(2), Vec::new())] {
            assert_eq!(count(&db, whose).await.unwrap(), u64::try_from(expected.len()).unwrap());
            let mut found = Vec::new();
            for behind in [0, 4, 8, 12, 16, u64::MAX] {
                found.extend(page(&db, whose, behind, 4).await.unwrap());
            }
            assert_eq!(found, expected);
        }
    }
}
