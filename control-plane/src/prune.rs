//! What is long past goes: tokens that have expired are deleted, deleted ones forgotten (U8), kept answers thrown away.
//!
//! Some at a time, with pauses, so that no change waits for it for long; each time is a change of its own, of which the
//! proxies hear like of any other.

use crate::api::idempotency::KEPT_MS;
use crate::change::{Author, Change, ChangeError};
use crate::clock::{self, DAY_MS};
use crate::permission::{Action, own_permit};
use crate::store::tokens::stored;
use crate::store::{REMEMBER_DELETED_MS, Store, idempotency, tokens};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use std::time::Duration;

/// How often it is done, besides whenever the administrator changes how long expired tokens are kept.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// The pause between two changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers that are thrown away at a time.
const ANSWERS: u64 = 500;

/// Prunes from the start on; never returns.
pub(crate) async fn keep_pruning(store: &Store) {
    let mut changes = store.watch();
    loop {
        let days = store.settings().0.prune_expired_days;
        if let Err(error) = prune(store).await {
            tracing::error!(%error, "what is long past could not be pruned; it will be tried again");
        }
        let other_days = async {
            while store.settings().0.prune_expired_days == days {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let _ = tokio::time::timeout(EVERY, other_days).await;
    }
}

async fn prune(store: &Store) -> Result<(), ChangeError> {
    while let Some(count) = delete_expired(store).await? {
        tracing::info!(count, "deleted tokens that had expired");
        tokio::time::sleep(PAUSE).await;
    }
    while let Some(count) = forget_deleted(store).await? {
        tracing::info!(count, "forgot tokens that had been deleted");
        tokio::time::sleep(PAUSE).await;
    }
    while throw_answers_away(store).await? > 0 {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Deletes some tokens that expired long ago; `None`: there are none.
async fn delete_expired(store: &Store) -> Result<Option<usize>, ChangeError> {
    let Some(days) = store.settings().0.prune_expired_days else {
        return Ok(None);
    };
    let ended = clock::ago(u64::from(days.get()) * DAY_MS);
    if tokens::ended_before(ended).one(&store.db).await?.is_none() {
        return Ok(None);
    }
    let mut change = Change::begin(store, Author::Program).await?;
    let count = change.delete_expired(&own_permit(Action::DeleteToken), ended).await?;
    change.commit().await?;
    Ok(Some(count))
}

/// Forgets some tokens that were deleted long ago; `None`: there are none.
async fn forget_deleted(store: &Store) -> Result<Option<usize>, ChangeError> {
    let deleted = clock::ago(REMEMBER_DELETED_MS);
    if tokens::deleted_before(deleted).one(&store.db).await?.is_none() {
        return Ok(None);
    }
    let mut change = Change::begin(store, Author::Program).await?;
    let count = change.forget_deleted(&own_permit(Action::DeleteToken), deleted).await?;
    change.commit().await?;
    Ok(Some(count))
}

/// Throws some answers away that are kept no longer; gives how many.
async fn throw_answers_away(store: &Store) -> Result<u64, DbErr> {
    use idempotency::Column::{At, KeyHash};
    let old = At.lte(stored(clock::ago(KEPT_MS)));
    let some = Query::select().column(KeyHash).from(idempotency::Entity).and_where(old).limit(ANSWERS).to_owned();
    let _turn = store.turn_to_record().await;
    let thrown = idempotency::Entity::delete_many().filter(KeyHash.in_subquery(some)).exec(&store.writer).await?;
    Ok(thrown.rows_affected)
}
