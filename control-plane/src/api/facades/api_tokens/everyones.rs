//! `GET …/all`: everyone's tokens by their users, in the order of the names, for sysadmins. There may be a million, so it is
//! written piece by piece. What a `count` says stands behind it, whatever is deleted meanwhile: the numbers of a user's tokens
//! are read at once, and the rows of deleted ones stay for long.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::{listing, zoneless};
use crate::permission::{Action, Whose};
use crate::store::{token_usage, tokens, users};
use axum::extract::State;
use axum::response::Response;
use futures_util::TryStreamExt as _;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, StreamTrait,
};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::vec;

/// Users whose tokens are counted at a time. Meanwhile each token of theirs takes eight bytes.
const USERS: usize = 500;

/// Tokens that are read at a time: at most some 2 MiB, since their restrictions are left out.
const ROWS: usize = 1000;

pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, ApiError> {
    let _permit = caller.may(Action::ListTokens, Whose::Others)?;
    let start = Place { ahead: Some(Ahead::UsersBehind(String::new())), groups: VecDeque::new(), separator: "" };
    listing::text("[".into(), listing::parts(start, move |place| piece(app.clone(), place)), "]").await
}

/// How far the list has come.
struct Place {
    /// `None`: there is nobody left.
    ahead: Option<Ahead>,
    /// Those that are counted and not yet written.
    groups: VecDeque<Group>,
    /// What comes before the next group.
    separator: &'static str,
}

/// Who is to be counted next.
enum Ahead {
    /// Users whose folded names come behind this one.
    UsersBehind(String),
    /// Nobody, to whom unbound tokens belong.
    Nobody,
}

/// A user's tokens, or what is left of them to be written; never none.
struct Group {
    /// The text before the first of them; `None`: it is written.
    opening: Option<String>,
    ids: vec::IntoIter<i64>,
}

async fn piece(app: Arc<App>, place: Place) -> Result<(Vec<u8>, Option<Place>), ApiError> {
    let Place { mut ahead, mut groups, mut separator } = place;
    if groups.is_empty() {
        (groups, ahead) = match ahead {
            Some(ahead) => counted(&app.store.db, ahead).await?,
            None => return Ok((Vec::new(), None)),
        };
    }
    let ids: Vec<i64> = groups.iter().flat_map(|group| group.ids.as_slice()).take(ROWS).copied().collect();
    let (mut tokens, mut text) = (read(&app.store.db, &ids).await?, Vec::new());
    for id in ids {
        let (Some(group), Some(token)) = (groups.front_mut(), tokens.remove(&id)) else {
            return Err(ApiError::Internal("a token in a list is not there any more".into()));
        };
        group.ids.next();
        let before = match group.opening.take() {
            Some(opening) => [std::mem::replace(&mut separator, ","), &opening].concat(),
            None => ",".into(),
        };
        text.extend_from_slice(before.as_bytes());
        serde_json::to_writer(&mut text, &token).map_err(|error| ApiError::Internal(Box::new(error)))?;
        if group.ids.as_slice().is_empty() {
            text.extend_from_slice(b"]}");
            groups.pop_front();
        }
    }
    let is_over = ahead.is_none() && groups.is_empty();
    Ok((text, (!is_over).then_some(Place { ahead, groups, separator })))
}

/// The tokens of the next users, and who comes behind them.
async fn counted(
    db: &(impl ConnectionTrait + StreamTrait),
    ahead: Ahead,
) -> Result<(VecDeque<Group>, Option<Ahead>), ApiError> {
    let Ahead::UsersBehind(name) = ahead else {
        let mut ids = numbers(db, tokens::Column::OwnerId.is_null()).await?;
        let group = ids.remove(&None).map(|ids| Group::of("", ids)).transpose()?;
        return Ok((group.into_iter().collect(), None));
    };
    let users: Vec<(i64, String, Option<String>)> = users::Entity::find()
        .select_only()
        .columns([users::Column::Id, users::Column::Name, users::Column::NameFolded])
        .filter(users::Column::NameFolded.gt(name))
        .order_by_asc(users::Column::NameFolded)
        .limit(USERS as u64)
        .into_tuple()
        .all(db)
        .await?;
    let last = users.last().and_then(|(_, _, folded)| folded.clone()).filter(|_| users.len() == USERS);
    let mut ids = numbers(db, tokens::Column::OwnerId.is_in(users.iter().map(|(id, _, _)| *id))).await?;
    let groups = users.iter().filter_map(|(id, name, _)| Some(Group::of(name, ids.remove(&Some(*id))?)));
    Ok((groups.collect::<Result<_, _>>()?, Some(last.map_or(Ahead::Nobody, Ahead::UsersBehind))))
}

/// The numbers of the tokens of these owners, by owner.
async fn numbers(
    db: &(impl ConnectionTrait + StreamTrait),
    whose: sea_orm::sea_query::SimpleExpr,
) -> Result<HashMap<Option<i64>, Vec<i64>>, DbErr> {
    let mut found = tokens::Entity::find()
        .select_only()
        .columns([tokens::Column::OwnerId, tokens::Column::Id])
        .filter(whose)
        .filter(tokens::Column::DeletedAt.is_null())
        .order_by_asc(tokens::Column::OwnerId)
        .order_by_asc(tokens::Column::Id)
        .into_tuple::<(Option<i64>, i64)>()
        .stream(db)
        .await?;
    let mut ids = HashMap::<_, Vec<i64>>::new();
    while let Some((owner, id)) = found.try_next().await? {
        ids.entry(owner).or_default().push(id);
    }
    Ok(ids)
}

impl Group {
    fn of(name: &str, ids: Vec<i64>) -> Result<Self, ApiError> {
        let name = serde_json::to_string(name).map_err(|error| ApiError::Internal(Box::new(error)))?;
        let opening = format!(r#"{{"username":{name},"count":{},"tokens":["#, ids.len());
        Ok(Self { opening: Some(opening), ids: ids.into_iter() })
    }
}

/// A token in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsersToken {
    id: i64,
    label: String,
    usage_count: i64,
    created_at: String,
    last_accessed: Option<String>,
    expiration_date: Option<String>,
}

/// What is read of a token.
#[derive(FromQueryResult)]
struct Stored {
    id: i64,
    label: String,
    created_at: i64,
    expires_at: Option<i64>,
}

/// These tokens by their numbers, also those that were deleted since these were read.
async fn read(db: &impl ConnectionTrait, ids: &[i64]) -> Result<HashMap<i64, UsersToken>, DbErr> {
    use tokens::Column::{CreatedAt, ExpiresAt, Id, Label};
    let found = tokens::Entity::find().select_only().columns([Id, Label, CreatedAt, ExpiresAt]);
    let found = found.filter(Id.is_in(ids.iter().copied())).into_model::<Stored>().all(db).await?;
    let used = token_usage::Entity::find().filter(token_usage::Column::TokenId.is_in(ids.iter().copied()));
    let mut used: HashMap<i64, token_usage::Model> =
        used.all(db).await?.into_iter().map(|usage| (usage.token_id, usage)).collect();
    let token = |Stored { id, label, created_at, expires_at }| {
        let usage = used.remove(&id);
        let token = UsersToken {
            id,
            label,
            usage_count: usage.as_ref().map_or(0, |usage| usage.uses),
            created_at: zoneless(created_at),
            last_accessed: usage.map(|usage| zoneless(usage.last_at)),
            expiration_date: expires_at.map(zoneless),
        };
        (id, token)
    };
    Ok(found.into_iter().map(token).collect())
}
