//! All tokens of a user, however many, deleted by one request.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::tokens::delete_many::DELETED_MAX;
use crate::change::CameWith;
use crate::permission::Action;
use crate::store::tokens::filter::{Filter, Whose};
use crate::store::{tokens, users};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};

/// Deletes the tokens that a user has, in changes of bounded size, so that others get their turn in between. If nobody
/// could administer without them, none is deleted. The token with which the caller came is among the last: each change
/// wants an author whose token works.
pub(super) async fn delete_all_of(app: &App, mut caller: Caller, owner: &users::Model) -> Result<(), ApiError> {
    caller.may(Action::DeleteToken, caller.whose(Some(owner.id)))?;
    let filter = Filter::all_of(Whose::Of(owner.id));
    let ids = numbers(&app.store.db, &filter, &caller).await?;
    for (turn, some) in ids.chunks(DELETED_MAX).enumerate() {
        let (mut change, now) = caller.begin(&app.store).await?;
        let permit = now.may(Action::DeleteToken, now.whose(Some(owner.id)))?;
        if turn == 0 {
            change.expect_to_do_without_tokens_of(owner).await?;
        }
        match change.delete_tokens(&permit, &filter, some).await? {
            0 => change.undo().await?, // somebody else was faster
            _ => change.commit().await?,
        };
        caller = now;
    }
    Ok(())
}

/// The numbers of the tokens that a filter finds, that of the caller's at the end: eight bytes each, a hundredth of what the
/// image keeps of a token.
async fn numbers(db: &impl ConnectionTrait, filter: &Filter, caller: &Caller) -> Result<Vec<i64>, DbErr> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let found = filter.page(db, after, DELETED_MAX as u64).await?;
        ids.extend(found.ids);
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    if let CameWith::Token(public_id) = &caller.came_with {
        let own = tokens::Entity::find().filter(tokens::Column::PublicId.eq(public_id)).one(db).await?;
        ids.sort_by_key(|id| own.as_ref().is_some_and(|own| own.id == *id));
    }
    Ok(ids)
}
