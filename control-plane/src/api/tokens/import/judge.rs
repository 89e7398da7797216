//! Rows against what is there: owners, other tokens, settings. Asked twice by the same rules: when a row comes, of what can
//! be read then, and in the change, of what is so.

use super::row::{Column, Row, Wrong};
use crate::api::error::ApiError;
use crate::change::TokenToImport;
use crate::store::tokens;
use crate::store::users;
use policy::{KeyedHash, Settings, Timestamp};
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What rows are judged by, in one database at one time, one batch after another.
pub(super) struct Judge {
    now: Timestamp,
    /// How many more tokens each owner may hold (S8), of those of whom it was asked.
    room: HashMap<i64, u64>,
}

/// What a row needs besides itself to become a token.
pub(super) struct Fit {
    owner: Option<Arc<users::Model>>,
    expires_at: Option<Timestamp>,
}

impl Judge {
    pub(super) fn at(now: Timestamp) -> Self {
        Self { now, room: HashMap::new() }
    }

    /// Judges some rows: at most as many as a statement takes values.
    pub(super) async fn judge(
        &mut self,
        db: &impl ConnectionTrait,
        settings: &Settings,
        rows: &[Row],
    ) -> Result<Vec<Result<Fit, Wrong>>, ApiError> {
        let (owners, present) = (owners(db, rows).await?, present(db, rows).await?);
        let mut judged = Vec::with_capacity(rows.len());
        for row in rows {
            let fit = self.fit(settings, row, &owners, &present);
            judged.push(match fit {
                Ok(Fit { owner: Some(owner), .. }) if !self.take_room(db, settings, owner.id).await? => {
                    Err(Wrong::of(Column::Owner, "has, or would have, as many tokens as are allowed"))
                }
                fit => fit,
            });
        }
        Ok(judged)
    }

    fn fit(
        &self,
        settings: &Settings,
        row: &Row,
        owners: &HashMap<String, Arc<users::Model>>,
        present: &HashMap<KeyedHash, bool>,
    ) -> Result<Fit, Wrong> {
        match present.get(&row.hash) {
            Some(false) => return Err(Wrong::of_line("is a token that there is already")),
            Some(true) => {
                return Err(Wrong::of_line("is a token that was deleted here: it is remembered for 30 days"));
            }
            None => {}
        }
        let owner = match &row.owner {
            None if !settings.unbound_tokens => {
                return Err(Wrong::of(Column::Unbound, "cannot be: the setting unbound_tokens is off"));
            }
            None => None,
            // Not repeated: in a file whose columns are mixed up it is a token.
            Some(name) => match owners.get(name) {
                None => return Err(Wrong::of(Column::Owner, "is nobody's name or e-mail address here")),
                Some(owner) if owner.suspended => return Err(Wrong::of(Column::Owner, "is suspended")),
                Some(owner) => Some(owner.clone()),
            },
        };
        let expires_at = row.wanted.end(settings, row.valid_from, self.now).map_err(|error| match error {
            ApiError::ValidityTooLong(latest) => {
                Wrong::of(Column::ExpiresAt, format!("must be {latest} or before; left out, it is that"))
            }
            _ => Wrong::of(Column::ExpiresAt, "must be in the future, and after valid_from"),
        })?;
        Ok(Fit { owner, expires_at })
    }

    /// Whether the owner may hold one more (S8), which it then does.
    async fn take_room(
        &mut self,
        db: &impl ConnectionTrait,
        settings: &Settings,
        owner: i64,
    ) -> Result<bool, ApiError> {
        let Some(most) = settings.max_tokens_per_user else {
            return Ok(true);
        };
        let room = match self.room.get(&owner) {
            Some(room) => *room,
            None => u64::from(most.get()).saturating_sub(tokens::held_by(owner, self.now).count(db).await?),
        };
        self.room.insert(owner, room.saturating_sub(1));
        Ok(room > 0)
    }
}

impl Fit {
    /// What becomes of the row.
    pub(super) fn token(self, row: Row) -> TokenToImport {
        let Self { owner, expires_at } = self;
        let Row {
            line: _,
            public_id,
            hash,
            label,
            owner: _,
            valid_from,
            wanted: _,
            read_only,
            ip_ranges,
            restrictions,
            recoverable,
        } = row;
        TokenToImport {
            public_id,
            hash,
            label,
            owner,
            valid_from,
            expires_at,
            read_only,
            ip_ranges,
            restrictions,
            recoverable,
        }
    }
}

/// Those who are named, by name and by e-mail address: neither can be another's other one.
async fn owners(db: &impl ConnectionTrait, rows: &[Row]) -> Result<HashMap<String, Arc<users::Model>>, ApiError> {
    let named: BTreeSet<&str> = rows.iter().filter_map(|row| row.owner.as_deref()).collect();
    let by_name = users::Column::NameFolded.is_in(named.iter().copied());
    let by_email = users::Column::EmailFolded.is_in(named.iter().copied());
    let mut owners = HashMap::new();
    for user in users::Entity::find().filter(by_name.or(by_email)).all(db).await? {
        let user = Arc::new(user);
        let names = [&user.name_folded, &user.email_folded];
        owners.extend(names.into_iter().flatten().map(|name| (name.clone(), user.clone())));
    }
    Ok(owners)
}

/// Those tokens that are there, or were: whether they are deleted.
async fn present(db: &impl ConnectionTrait, rows: &[Row]) -> Result<HashMap<KeyedHash, bool>, ApiError> {
    let hashes = rows.iter().map(|row| row.hash.as_bytes().to_vec());
    let found: Vec<(Vec<u8>, Option<i64>)> = tokens::Entity::find()
        .select_only()
        .columns([tokens::Column::Hash, tokens::Column::DeletedAt])
        .filter(tokens::Column::Hash.is_in(hashes))
        .into_tuple()
        .all(db)
        .await?;
    let known = |(hash, deleted): (Vec<u8>, Option<i64>)| {
        let hash = hash.as_slice().try_into().ok().map(KeyedHash::from_bytes);
        hash.map(|hash| (hash, deleted.is_some()))
    };
    Ok(found.into_iter().filter_map(known).collect())
}
