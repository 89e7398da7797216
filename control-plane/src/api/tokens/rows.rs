//! Tokens as lists show them: a page of what a filter finds, each with its owner and its use.

use crate::api::error::ApiError;
use crate::store::tokens::filter::{Cursor, Filter};
use crate::store::{token_usage, tokens, users};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use std::collections::HashMap;

/// Tokens that are read at a time.
const ROWS: usize = 100;

/// Bytes of restrictions after which a page ends: each token may have 64 KiB of them, and whoever has many tokens must not
/// fill the memory with a list.
const WEIGHT_MAX: usize = 4 * 1024 * 1024;

/// A token in a list.
pub(crate) struct Row {
    pub(crate) token: tokens::Model,
    /// The owner's name; `None`: it is unbound.
    pub(crate) owner: Option<String>,
    /// `None`: it was never used.
    pub(crate) usage: Option<token_usage::Model>,
}

/// Finds the tokens behind a cursor, at most so many; and where the next page begins, if there may be more.
pub(crate) async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u64,
) -> Result<(Vec<Row>, Option<Cursor>), ApiError> {
    let mut found = filter.page(db, after, limit).await?;
    let (mut rows, mut weight, mut read) = (Vec::new(), 0, 0);
    for ids in found.ids.chunks(ROWS) {
        let some = there(db, ids).await?;
        read += ids.len();
        weight += some.iter().filter_map(|token| token.restrictions.as_ref()).map(String::len).sum::<usize>();
        rows.extend(some);
        if weight > WEIGHT_MAX && read < found.ids.len() {
            found.next = found.places.get(read - 1).cloned();
            found.ids.truncate(read);
            break;
        }
    }
    Ok((complete(db, &found.ids, rows).await?, found.next))
}

/// The tokens with these numbers that are there, in this order: some at a time, since nothing bounds what they take.
pub(crate) async fn of(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Row>, DbErr> {
    complete(db, ids, there(db, ids).await?).await
}

async fn there(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<tokens::Model>, DbErr> {
    let found = tokens::Entity::find().filter(tokens::Column::DeletedAt.is_null());
    found.filter(tokens::Column::Id.is_in(ids.iter().copied())).all(db).await
}

/// Tokens in the order of these numbers, with their owners and their use.
async fn complete(db: &impl ConnectionTrait, ids: &[i64], tokens: Vec<tokens::Model>) -> Result<Vec<Row>, DbErr> {
    let mut rows: HashMap<i64, tokens::Model> = tokens.into_iter().map(|token| (token.id, token)).collect();
    let owners =
        users::Entity::find().filter(users::Column::Id.is_in(rows.values().filter_map(|token| token.owner_id)));
    let owners: HashMap<i64, String> = owners.all(db).await?.into_iter().map(|user| (user.id, user.name)).collect();
    let used = token_usage::Entity::find().filter(token_usage::Column::TokenId.is_in(ids.iter().copied()));
    let mut used: HashMap<i64, token_usage::Model> =
        used.all(db).await?.into_iter().map(|usage| (usage.token_id, usage)).collect();
    let rows = ids.iter().filter_map(|id| {
        let token = rows.remove(id)?;
        let owner = token.owner_id.and_then(|owner| owners.get(&owner)).cloned();
        Some(Row { token, owner, usage: used.remove(id) })
    });
    Ok(rows.collect())
}
