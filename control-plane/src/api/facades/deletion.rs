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
///
/// Each change looks itself for what is there: whoever goes on creating tokens with a stolen one, until that is deleted, has
/// none of them afterwards. New tokens have the highest numbers, so the last change meets them.
pub(super) async fn delete_all_of(app: &App, mut caller: Caller, owner: &users::Model) -> Result<(), ApiError> {
    caller.may(Action::DeleteToken, caller.whose(Some(owner.id)))?;
    let filter = Filter::all_of(Whose::Of(owner.id));
    let own = number_of_own(&app.store.db, &caller).await?;
    let (mut after, mut is_first) = (None, true);
    loop {
        let (mut change, now) = caller.begin(&app.store).await?;
        let permit = now.may(Action::DeleteToken, now.whose(Some(owner.id)))?;
        if is_first {
            change.expect_to_do_without_tokens_of(owner).await?;
        }
        let found = filter.page(change.transaction(), after, DELETED_MAX as u64).await?;
        let mut ids = found.ids;
        ids.retain(|id| Some(*id) != own);
        if found.next.is_none() {
            ids.extend(own); // unless it is somebody else's: then the filter leaves it alone
        }
        match change.delete_tokens(&permit, &filter, &ids).await? {
            0 => change.undo().await?, // there is none, or somebody else was faster
            _ => change.commit().await?,
        };
        (after, is_first, caller) = (found.next, false, now);
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The number of the token with which the caller came.
async fn number_of_own(db: &impl ConnectionTrait, caller: &Caller) -> Result<Option<i64>, DbErr> {
    let CameWith::Token(public_id) = &caller.came_with else {
        return Ok(None);
    };
    let own = tokens::Entity::find().filter(tokens::Column::PublicId.eq(public_id)).one(db).await?;
    Ok(own.map(|own| own.id))
}
