//! Forgetting what is older than the administrator wants to keep (`audit_retention_days`): calls, and the records of
//! changes.
//!
//! In the background, the oldest first, some at a time: each batch waits for its turn like a report of a proxy, so a
//! change waits for one of them at most. Who changed the settings, and from what to what, stays: it is their history, as
//! are the versions of the settings themselves.

use crate::clock::{self, DAY_MS};
use crate::permission::Action;
use crate::store::search::Searched;
use crate::store::tokens::stored;
use crate::store::{Store, audit, calls};
use sea_orm::sea_query::{Expr, ExprTrait as _, Order, Query};
use sea_orm::{ColumnTrait as _, DbErr, QueryFilter as _};
use std::time::Duration;

/// Rows that are deleted at a time.
const ROWS: u64 = 2000;

/// How long others are let in between.
const PAUSE: Duration = Duration::from_millis(50);

/// Forgets what is old by now.
pub(crate) async fn forget_the_old(store: &Store) -> Result<(), DbErr> {
    let days = store.settings().0.audit_retention_days.get();
    let kept_since = stored(clock::ago(u64::from(days) * DAY_MS));
    forget::<calls::Entity>(store, calls::Column::At.lt(kept_since)).await?;
    let history = audit::Column::Action.eq(Action::ChangeSettings.name());
    forget::<audit::Entity>(store, audit::Column::At.lt(kept_since).and(history.not())).await
}

async fn forget<E: Searched + Default>(store: &Store, old: Expr) -> Result<(), DbErr> {
    loop {
        let mut some = Query::select();
        some.column(E::ID).from(E::default()).and_where(old.clone()).order_by(E::AT, Order::Asc).limit(ROWS);
        let turn = store.turn_to_record().await;
        let deleted = E::delete_many().filter(E::ID.in_subquery(some)).exec(&store.writer).await?;
        drop(turn);
        if deleted.rows_affected == 0 {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
