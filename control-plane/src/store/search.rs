//! Searching the audit, of changes and of calls: newest first, a page at a time.
//!
//! Rows are read in the order of (time, id) along one index: that of the first filter, or, without any, that of the
//! time. So a range of time costs nothing, and whatever is asked for, a page is found in bounded time: if there are more
//! filters, they are applied to the next [`LOOKED_AT_MAX`] rows along that index, and a page may have fewer rows than
//! are wanted, or none, though there are more to come. No page holds anything open in the database.

use super::{audit, calls};
use futures_util::TryStreamExt as _;
use sea_orm::sea_query::{Expr, ExprTrait as _, Func};
use sea_orm::{
    ColumnTrait as _, DatabaseConnection, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Select,
};

/// Rows that are looked at for a page: some tens of milliseconds.
const LOOKED_AT_MAX: u64 = 10_000;

/// Bytes of free text after which a page ends, so that a few large records do not add up in memory.
const WEIGHT_MAX: usize = 4 * 1024 * 1024;

/// A table that can be searched.
pub(crate) trait Searched: EntityTrait {
    const AT: Self::Column;
    const ID: Self::Column;

    fn place(row: &Self::Model) -> Place;

    /// Bytes of what may be large in a row.
    fn weight(row: &Self::Model) -> usize;
}

impl Searched for audit::Entity {
    const AT: audit::Column = audit::Column::At;
    const ID: audit::Column = audit::Column::Id;

    fn place(row: &audit::Model) -> Place {
        Place { at: row.at, id: row.id }
    }

    fn weight(row: &audit::Model) -> usize {
        row.detail.len()
    }
}

impl Searched for calls::Entity {
    const AT: calls::Column = calls::Column::At;
    const ID: calls::Column = calls::Column::Id;

    fn place(row: &calls::Model) -> Place {
        Place { at: row.at, id: row.id }
    }

    fn weight(row: &calls::Model) -> usize {
        row.path.as_ref().map_or(0, String::len)
    }
}

/// Where a row stands in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: i64,
    pub(crate) id: i64,
}

/// What is searched for.
#[derive(Debug)]
pub(crate) struct Search<E: Searched> {
    /// The filter along whose index rows are read; `None`: along that of the time.
    along: Option<(E::Column, String)>,
    /// Those that are applied to what is read.
    others: Vec<(E::Column, String)>,
    /// From this time on, and before that one.
    from: i64,
    to: i64,
}

/// A page of what was found; `next` is where it goes on, if it may.
#[derive(Debug)]
pub(crate) struct Found<R> {
    pub(crate) rows: Vec<R>,
    pub(crate) next: Option<Place>,
}

impl<E: Searched> Search<E> {
    /// What has these values, as far as any are given, from one time and before another. Of the columns that have an
    /// index with the time, those come first of whose values there are fewest rows.
    pub(crate) fn new<const N: usize, const M: usize>(
        indexed: [(E::Column, Option<String>); N],
        not_indexed: [(E::Column, Option<String>); M],
        from: Option<i64>,
        to: Option<i64>,
    ) -> Self {
        let mut indexed = indexed.into_iter().filter_map(|(column, value)| Some((column, value?)));
        let along = indexed.next();
        let not_indexed = not_indexed.into_iter().filter_map(|(column, value)| Some((column, value?)));
        Self {
            along,
            others: indexed.chain(not_indexed).collect(),
            from: from.unwrap_or(0),
            to: to.unwrap_or(i64::MAX),
        }
    }

    /// The place of a row, for a page after it. One that is gone was old, and what came after it is gone as well.
    pub(crate) async fn place_of(db: &DatabaseConnection, id: i64) -> Result<Option<Place>, DbErr> {
        let row = E::find().filter(E::ID.eq(id)).one(db).await?;
        Ok(row.map(|row| E::place(&row)))
    }

    /// The page after this place, of at most so many rows.
    pub(crate) async fn page(
        &self,
        db: &DatabaseConnection,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Found<E::Model>, DbErr> {
        let last = if !self.others.is_empty() { self.last_looked_at(after).one(db).await? } else { None };
        let last = last.map(|(at, id)| Place { at, id });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut rows, mut weight) = (Vec::new(), 0);
        let mut found = self.rows(after, last, limit).stream(db).await?;
        while let Some(row) = found.try_next().await? {
            if rows.len() == limit || weight > WEIGHT_MAX {
                let next = rows.last().map(E::place);
                return Ok(Found { rows, next });
            }
            weight += E::weight(&row);
            rows.push(row);
        }
        Ok(Found { rows, next: last })
    }

    /// The rows of a page and one more, down to the last that is looked at.
    fn rows(&self, after: Option<Place>, last: Option<Place>, limit: usize) -> Select<E> {
        let mut query = self.along_the_index(after);
        for (column, value) in &self.others {
            // Not by its own index: it might hold far more rows than are to be looked at.
            query = query.filter(Expr::expr(Func::coalesce([Expr::col(*column), Expr::value("")])).eq(value));
        }
        if let Some(Place { at, id }) = last {
            query = query.filter(E::AT.gte(at)).filter(E::AT.gt(at).or(E::ID.gte(id)));
        }
        query.limit(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// The last row that is looked at, if there are so many.
    fn last_looked_at(&self, after: Option<Place>) -> sea_orm::Selector<sea_orm::SelectGetableTuple<(i64, i64)>> {
        let query = self.along_the_index(after).select_only().column(E::AT).column(E::ID);
        query.offset(LOOKED_AT_MAX - 1).limit(1).into_tuple()
    }

    fn along_the_index(&self, after: Option<Place>) -> Select<E> {
        let mut query =
            E::find().filter(E::AT.gte(self.from)).filter(E::AT.lt(self.to)).order_by_desc(E::AT).order_by_desc(E::ID);
        if let Some((column, value)) = &self.along {
            query = query.filter(column.eq(value));
        }
        if let Some(Place { at, id }) = after {
            query = query.filter(E::AT.lte(at)).filter(E::AT.lt(at).or(E::ID.lt(id)));
        }
        query
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sea_orm::{ConnectionTrait as _, DbBackend, QueryTrait as _, Statement};
    use sea_orm_migration::MigratorTrait as _;

    pub(crate) async fn database() -> (DatabaseConnection, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.db");
        let db = crate::store::connect(&file, 1, "-2048").await.unwrap();
        crate::store::migration::Migrator::up(&db, None).await.unwrap();
        // EXPLAIN does not look whether a connection's schema is the present one.
        db.close().await.unwrap();
        (crate::store::connect(&file, 1, "-2048").await.unwrap(), directory)
    }

    pub(crate) async fn plan(db: &DatabaseConnection, mut statement: Statement) -> String {
        statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let rows = db.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", "detail").unwrap()).collect::<Vec<_>>().join("; ")
    }

    /// Asserts that both statements of a page go along this index: no scan of the table, no sorting.
    pub(crate) async fn assert_plan<E: Searched>(db: &DatabaseConnection, search: &Search<E>, index: &str) {
        let place = Some(Place { at: 7, id: 7 });
        for (after, last) in [(None, None), (place, None), (None, place), (place, place)] {
            let rows = plan(db, search.rows(after, last, 100).build(DbBackend::Sqlite)).await;
            let mut ends = search.along_the_index(after).select_only().column(E::AT).column(E::ID);
            ends = ends.offset(LOOKED_AT_MAX - 1).limit(1);
            let ends = plan(db, ends.build(DbBackend::Sqlite)).await;
            for plan in [rows, ends] {
                let by = plan.contains(&format!("INDEX {index} ")) || plan.ends_with(&format!("INDEX {index}"));
                assert!(by && !plan.contains("B-TREE"), "{index}: {plan}");
                assert!(plan.starts_with("SEARCH "), "{index}: {plan}");
            }
        }
    }

    #[tokio::test]
    async fn a4_every_search_goes_along_an_index() {
        let (db, _directory) = database().await;
        let some = || Some("x".to_owned());
        for times in [(None, None), (Some(1), None), (None, Some(9)), (Some(1), Some(9))] {
            use audit::Column::{Action, Actor, Subject};
            for (subject, actor, action, index) in [
                (None, None, None, "audit_at"),
                (some(), None, None, "audit_subject"),
                (None, some(), None, "audit_actor"),
                (None, None, some(), "audit_action"),
                (some(), some(), some(), "audit_subject"),
                (None, some(), some(), "audit_actor"),
            ] {
                let filters = [(Subject, subject), (Actor, actor), (Action, action)];
                assert_plan(&db, &Search::<audit::Entity>::new(filters, [], times.0, times.1), index).await;
            }
            use calls::Column::{Outcome, Proxy, Token, User};
            for (token, user, outcome, index) in [
                (None, None, None, "calls_at"),
                (some(), None, None, "calls_token"),
                (None, some(), None, "calls_user"),
                (None, None, some(), "calls_outcome"),
                (some(), some(), some(), "calls_token"),
                (None, some(), some(), "calls_user"),
            ] {
                for proxy in [None, some()] {
                    let filters = [(Token, token.clone()), (User, user.clone()), (Outcome, outcome.clone())];
                    let search = Search::<calls::Entity>::new(filters, [(Proxy, proxy)], times.0, times.1);
                    assert_plan(&db, &search, index).await;
                }
            }
        }
    }
}
