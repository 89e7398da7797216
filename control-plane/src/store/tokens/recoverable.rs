//! Standard mode's copy of a token, by which its owner sees it again (S7): sealed under a key that is not in the database,
//! and bound to the token, so that one cannot be put in the place of another's.
//!
//! Secure mode keeps none and tolerates none: the first start in it after standard mode wipes them all, also where the
//! database has only left them lying about, in free space and in the write-ahead log.

use super::Model;
use crate::change::{Author, Change, ChangeError};
use crate::keys::{self, KeyError, MasterKey};
use crate::permission::{Action, own_permit};
use crate::store::{Store, feed_head};
use policy::credential::Secret;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, Statement};
use zeroize::Zeroizing;

/// Seals a copy of the token with this public id.
pub(crate) fn seal(master: &MasterKey, public_id: &str, token: &Secret) -> Result<Vec<u8>, ChangeError> {
    let nonce = *keys::random().map_err(KeyError::Randomness)?;
    master.recoverable_key().seal(&purpose(public_id), nonce, token.expose()).ok_or(ChangeError::Seal)
}

/// Opens the copy of a token, if there is one.
pub(crate) fn open(master: &MasterKey, token: &Model) -> Option<Zeroizing<Vec<u8>>> {
    master.recoverable_key().open(&purpose(&token.public_id), token.recoverable.as_deref()?)
}

fn purpose(public_id: &str) -> Vec<u8> {
    ["tokengate recoverable token v1\n", public_id].concat().into_bytes()
}

/// Makes the database what the mode wants it to be; to be called before anything is served.
pub(crate) async fn enter_mode(store: &Store, secure: bool) -> Result<(), ChangeError> {
    let head = feed_head::Entity::find_by_id(feed_head::ID).one(&store.db).await?;
    match (secure, head.is_some_and(|head| head.standard_mode)) {
        (true, true) => wipe(store).await,
        (false, false) => Ok(note_mode(store, true).await?),
        (true, false) | (false, true) => Ok(()),
    }
}

/// A crash in between leaves the note of standard mode behind, and the next start does it again.
async fn wipe(store: &Store) -> Result<(), ChangeError> {
    let mut change = Change::begin(store, Author::Program).await?;
    let wiped = change.wipe_copies(&own_permit(Action::EditToken)).await?;
    change.commit().await?;
    // What was deleted or moved before may still lie in free space: all pages are written anew, and the log is emptied.
    store.writer.execute_unprepared("VACUUM").await?;
    let checkpoint = Statement::from_string(store.writer.get_database_backend(), "PRAGMA wal_checkpoint(TRUNCATE)");
    let busy = store.writer.query_one_raw(checkpoint).await?.map(|row| row.try_get_by_index::<i32>(0)).transpose()?;
    if busy != Some(0) {
        return Err(DbErr::Custom("the write-ahead log is in use, and still holds copies of tokens".into()).into());
    }
    note_mode(store, false).await?;
    tracing::info!(wiped, "entered secure mode: no copy of a token is left");
    Ok(())
}

async fn note_mode(store: &Store, standard: bool) -> Result<(), DbErr> {
    feed_head::Entity::update_many()
        .col_expr(feed_head::Column::StandardMode, Expr::value(standard))
        .filter(feed_head::Column::Id.eq(feed_head::ID))
        .exec(&store.writer)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_the_copy_of_a_token_in_the_place_of_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let master = MasterKey::load_or_create(&directory.path().join("master.key")).unwrap();
        let sealed = seal(&master, "a", &Secret::new(b"tgt_x".to_vec())).unwrap();
        assert!(master.recoverable_key().open(&purpose("a"), &sealed).is_some());
        assert!(master.recoverable_key().open(&purpose("b"), &sealed).is_none());
    }
}
