//! Changes of many tokens at once that nobody picked: those that are long past, those that a new setting shortens, and
//! copies that are not to be there any more. Each leaves one audit record that says how many; its subject is a name behind
//! a slash, which no token's id and no user's name has.

use super::token::ROWS;
use super::{Change, ChangeError, expect_permit};
use crate::image::Effect;
use crate::permission::{Action, Permit};
use crate::store::{idempotency, token_usage, tokens};
use policy::{KeyedHash, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use serde_json::json;

impl Change<'_> {
    /// Deletes some tokens that ended before then; gives how many. The audit has them under `/expired`.
    pub(crate) async fn delete_expired(&mut self, permit: &Permit, ended: Timestamp) -> Result<usize, ChangeError> {
        expect_permit(permit, Action::DeleteToken)?;
        let mut gone = tokens::ended_before(ended).limit(ROWS as u64).all(&self.transaction).await?;
        self.take_out(&mut gone).await?;
        if !gone.is_empty() {
            self.record(permit, "/expired", json!({ "count": gone.len() })).await?;
        }
        Ok(gone.len())
    }

    /// Forgets some tokens that were deleted before then: nobody learns any more why they fail (U8). Gives how many. The
    /// audit has them under `/forgotten`.
    pub(crate) async fn forget_deleted(&mut self, permit: &Permit, deleted: Timestamp) -> Result<usize, ChangeError> {
        expect_permit(permit, Action::DeleteToken)?;
        let gone = tokens::deleted_before(deleted).limit(ROWS as u64).all(&self.transaction).await?;
        let ids = || gone.iter().map(|token| token.id);
        let usage = token_usage::Entity::delete_many().filter(token_usage::Column::TokenId.is_in(ids()));
        usage.exec(&self.transaction).await?;
        tokens::Entity::delete_many().filter(tokens::Column::Id.is_in(ids())).exec(&self.transaction).await?;
        let hashes = gone.iter().filter_map(|token| token.hash.as_slice().try_into().ok());
        self.effects.extend(hashes.map(|hash| Effect::Token(KeyedHash::from_bytes(hash), None)));
        if !gone.is_empty() {
            self.record(permit, "/forgotten", json!({ "count": gone.len() })).await?;
        }
        Ok(gone.len())
    }

    /// Lets no token end later than then (S1); gives how many did. The audit has it under `/tokens`.
    pub(crate) async fn shorten_tokens(&mut self, permit: &Permit, latest: Timestamp) -> Result<usize, ChangeError> {
        expect_permit(permit, Action::ChangeSettings)?;
        let (end, mut count, mut after) = (tokens::stored(latest), 0, 0);
        loop {
            let some = tokens::Entity::find()
                .filter(tokens::Column::DeletedAt.is_null())
                .filter(tokens::Column::ExpiresAt.is_null().or(tokens::Column::ExpiresAt.gt(end)))
                .filter(tokens::Column::Id.gt(after))
                .order_by_asc(tokens::Column::Id)
                .limit(ROWS as u64);
            let mut some = some.all(&self.transaction).await?;
            let Some(last) = some.last() else {
                break;
            };
            (count, after) = (count + some.len(), last.id);
            tokens::Entity::update_many()
                .col_expr(tokens::Column::ExpiresAt, Expr::value(end))
                .filter(tokens::Column::Id.is_in(some.iter().map(|token| token.id)))
                .exec(&self.transaction)
                .await?;
            let owners = self.owners_of(&some).await?;
            for token in &mut some {
                token.expires_at = Some(end);
                self.show(token, token.owner_id.and_then(|owner| owners.get(&owner)));
            }
        }
        if count > 0 {
            self.record(permit, "/tokens", json!({ "shortened": count, "latest_end": end })).await?;
        }
        Ok(count)
    }

    /// Takes the copies of all tokens away (S7); gives how many there were. The audit has it under `/copies`.
    pub(crate) async fn wipe_copies(&mut self, permit: &Permit) -> Result<u64, ChangeError> {
        expect_permit(permit, Action::EditToken)?;
        let wiped = tokens::Entity::update_many()
            .col_expr(tokens::Column::Recoverable, Expr::value(None::<Vec<u8>>))
            .filter(tokens::Column::Recoverable.is_not_null())
            .exec(&self.transaction)
            .await?
            .rows_affected;
        if wiped > 0 {
            self.record(permit, "/copies", json!({ "wiped": wiped })).await?;
        }
        Ok(wiped)
    }

    /// Ends the change without one, since there was nothing to be done; gives the revision in force.
    pub(crate) async fn undo(self) -> Result<u64, ChangeError> {
        let Self { store, transaction, .. } = self;
        transaction.rollback().await?;
        Ok(store.with_image(|image| image.position().revision))
    }

    /// Keeps the answer to a request, in the place of an old one under the same key.
    pub(crate) async fn keep_answer(&self, answer: idempotency::ActiveModel) -> Result<(), DbErr> {
        use idempotency::Column::{At, KeyHash, RequestHash, Sealed, Status};
        let replaced = OnConflict::column(KeyHash).update_columns([RequestHash, Status, Sealed, At]).to_owned();
        idempotency::Entity::insert(answer)
            .on_conflict(replaced)
            .exec_without_returning(&self.transaction)
            .await
            .map(|_| ())
    }
}
