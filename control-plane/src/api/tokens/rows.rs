//! Tokens as lists show them: a page of what a filter finds, each with its owner and its use.

use crate::api::error::ApiError;
use crate::store::tokens::filter::{Cursor, Filter};
use crate::store::{token_usage, tokens, users};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
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
    Ok((completed(db, &found.ids, rows).await?, found.next))
}

/// The tokens with these numbers, in this order, without those that are gone. Whoever asks bounds how many.
pub(crate) async fn of(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Row>, ApiError> {
    completed(db, ids, there(db, ids).await?).await
}

async fn there(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<tokens::Model>, ApiError> {
    let there = tokens::Entity::find().filter(tokens::Column::DeletedAt.is_null());
    Ok(there.filter(tokens::Column::Id.is_in(ids.iter().copied())).all(db).await?)
}

/// Tokens in this order, with their owners and their use.
async fn completed(db: &impl ConnectionTrait, ids: &[i64], rows: Vec<tokens::Model>) -> Result<Vec<Row>, ApiError> {
    let mut rows: HashMap<i64, tokens::Model> = rows.into_iter().map(|token| (token.id, token)).collect();
    let owners =
        users::Entity::find().filter(users::Column::Id.is_in(rows.values().filter_map(|token| token.owner_id)));
    let owners: HashMap<i64, String> = owners.all(db).await?.into_iter().map(|user| (user.id, user.name)).collect();
    let used = token_usage::Entity::find().filter(token_usage::Column::TokenId.is_in(ids.iter().copied()));
    let used = used.all(db).await?;
    let mut used: HashMap<i64, token_usage::Model> = used.into_iter().map(|usage| (usage.token_id, usage)).collect();
    let rows = ids.iter().filter_map(|id| {
        let token = rows.remove(id)?;
        let owner = token.owner_id.and_then(|owner| owners.get(&owner)).cloned();
        Some(Row { token, owner, usage: used.remove(id) })
    });
    Ok(rows.collect())
}
