//! Which tokens are wanted, and how they are found among a million: for lists, and for deletion by the same filters.
//!
//! One condition drives: it has an index that is read in its order, from a cursor on. Which one is fixed, so that a page
//! takes the same path each time and none depends on what a planner guesses: the owner, else the beginning of the label,
//! last use, end, or creation. The other conditions are applied to at most [`SCAN_MAX`] tokens a page, and written so that
//! no index serves them. So a page may have fewer tokens than are wanted, or none, and there is more all the same.

pub(crate) mod numbered;

use super::{Column, Entity};
use crate::store::{successor, token_usage};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use sea_orm::sea_query::{Cond, Condition, Expr, ExprTrait as _, Func, LikeExpr, Order, Query, SelectStatement};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait as _, QueryFilter as _, QueryResult, QuerySelect as _, Select,
};
use serde::{Deserialize, Serialize};

/// Tokens that are looked at for one page: some ten milliseconds' worth, also where each lies on another page of the disk.
/// (Fewer in tests, which have fewer tokens.)
const SCAN_MAX: u64 = if cfg!(test) { 50 } else { 2_000 };

/// Bytes of a cursor: a label of 200 characters, each of up to six in JSON, in base64, and room.
pub(crate) const CURSOR_LEN_MAX: usize = 2048;

/// Which tokens are wanted; of those that are not deleted.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) whose: Whose,
    /// With regard to case.
    pub(crate) label_prefix: Option<String>,
    /// Without regard to the case of ASCII letters.
    pub(crate) label_part: Option<String>,
    pub(crate) read_only: Option<bool>,
    pub(crate) created: Span,
    pub(crate) expires: Span,
    pub(crate) last_used: Span,
    pub(crate) never_used: bool,
}

/// Whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This user's.
    Of(i64),
    /// Nobody's: unbound ones.
    Nobodys,
    /// Everyone's but the unbound ones.
    Somebodys,
    /// All.
    Any,
}

/// Times, the first included, the last not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Option<i64>,
    pub(crate) before: Option<i64>,
}

/// Where a page begins: behind this token, in the order of what drives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cursor(Drive, Key, i64);

/// What drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Drive {
    #[serde(rename = "o")]
    Owner,
    #[serde(rename = "l")]
    Label,
    #[serde(rename = "u")]
    LastUsed,
    #[serde(rename = "e")]
    Expires,
    #[serde(rename = "c")]
    Created,
}

/// What an index is ordered by, before the number of the token. (An owner's tokens are in the order of their numbers.)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(i64),
    Text(String),
}

/// A page: the numbers of its tokens in order, and where the next one begins if there may be more.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) ids: Vec<i64>,
    /// Where a page behind each of them would begin.
    pub(crate) places: Vec<Cursor>,
    pub(crate) next: Option<Cursor>,
}

impl Filter {
    /// All of these.
    pub(crate) fn all_of(whose: Whose) -> Self {
        let (created, expires, last_used) = (Span::default(), Span::default(), Span::default());
        let (label_prefix, label_part, read_only, never_used) = (None, None, None, false);
        Self { whose, label_prefix, label_part, read_only, created, expires, last_used, never_used }
    }

    /// Finds the tokens behind a cursor, at most so many.
    pub(crate) async fn page(
        &self,
        db: &impl ConnectionTrait,
        after: Option<Cursor>,
        limit: u64,
    ) -> Result<Found, DbErr> {
        let backend = db.get_database_backend();
        let after = after.unwrap_or_else(|| self.start()).max(self.start());
        let until = match self.is_selective() {
            true => db.query_one(&self.boundary(backend, &after)).await?.map(|row| self.cursor_of(&row)).transpose()?,
            false => None,
        };
        let rows = db.query_all(&self.select(backend, &after, until.as_ref(), limit.saturating_add(1))).await?;
        let mut rows = rows.iter().map(|row| self.cursor_of(row)).collect::<Result<Vec<_>, _>>()?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = match rows.len() > most {
            true => {
                rows.truncate(most);
                rows.last().cloned()
            }
            false => until,
        };
        Ok(Found { ids: rows.iter().map(|Cursor(_, _, id)| *id).collect(), places: rows, next })
    }

    /// Finds at most so many tokens, however many have to be looked at; and whether there may be more.
    pub(crate) async fn all(&self, db: &impl ConnectionTrait, most: usize) -> Result<(Vec<i64>, bool), DbErr> {
        let (mut ids, mut after) = (Vec::new(), None);
        while ids.len() < most {
            let wanted = u64::try_from(most - ids.len()).unwrap_or(u64::MAX);
            let found = self.page(db, after, wanted).await?;
            ids.extend(found.ids);
            after = found.next;
            if after.is_none() {
                return Ok((ids, false));
            }
        }
        Ok((ids, true))
    }

    /// Finds at most so many of those whose numbers are higher than this one: those that came since.
    pub(crate) async fn since(&self, db: &impl ConnectionTrait, newest: i64, most: usize) -> Result<Vec<i64>, DbErr> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        self.later(newest).limit(most).into_tuple().all(db).await
    }

    fn later(&self, newest: i64) -> Select<Entity> {
        self.matching().select_only().column(Column::Id).filter(column(Column::Id).gt(newest))
    }

    /// The whole condition at once, for tokens that are picked by their numbers.
    pub(crate) fn matching(&self) -> Select<Entity> {
        let owner = || column(Column::OwnerId).add(0);
        let whose = match self.whose {
            Whose::Of(id) => Some(owner().eq(id)),
            Whose::Nobodys => Some(owner().is_null()),
            Whose::Somebodys | Whose::Any => None, // among the others
        };
        Entity::find().filter(self.others(None).add_option(whose))
    }

    /// Reads a cursor that was given out for this kind of filter; `None`: it is none.
    pub(crate) fn read_cursor(&self, text: &str) -> Option<Cursor> {
        let bytes = (text.len() <= CURSOR_LEN_MAX).then(|| BASE64URL.decode(text))?.ok()?;
        let cursor: Cursor = serde_json::from_slice(&bytes).ok()?;
        let Cursor(drive, key, _) = &cursor;
        let is_text = matches!(key, Key::Text(_));
        (*drive == self.drive() && is_text == (*drive == Drive::Label)).then_some(cursor)
    }

    fn drive(&self) -> Drive {
        match self.whose {
            Whose::Of(_) | Whose::Nobodys => Drive::Owner,
            Whose::Somebodys | Whose::Any if self.label_prefix.is_some() => Drive::Label,
            Whose::Somebodys | Whose::Any if self.last_used != Span::default() => Drive::LastUsed,
            Whose::Somebodys | Whose::Any if self.expires != Span::default() => Drive::Expires,
            Whose::Somebodys | Whose::Any => Drive::Created,
        }
    }

    /// Before the first token. Numbers begin with 1, and times with 1970.
    fn start(&self) -> Cursor {
        let drive = self.drive();
        let from = |span: Span| Key::Number(span.from.unwrap_or_default());
        let key = match drive {
            Drive::Owner => Key::Number(0),
            Drive::Label => Key::Text(self.label_prefix.clone().unwrap_or_default()),
            Drive::LastUsed => from(self.last_used),
            Drive::Expires => from(self.expires),
            Drive::Created => from(self.created),
        };
        Cursor(drive, key, 0)
    }

    /// Whether tokens that the driving index gives may not be wanted. Of the uses, those of deleted tokens are not.
    fn is_selective(&self) -> bool {
        let Self { whose, label_prefix, label_part, read_only, created, expires, last_used, never_used } = self;
        let drive = self.drive();
        let other = |span: &Span, driven: Drive| *span != Span::default() && drive != driven;
        *whose == Whose::Somebodys
            || drive == Drive::LastUsed
            || (label_prefix.is_some() && drive != Drive::Label)
            || label_part.is_some()
            || read_only.is_some()
            || other(created, Drive::Created)
            || other(expires, Drive::Expires)
            || other(last_used, Drive::LastUsed)
            || *never_used
    }

    /// The last of the tokens that are looked at for this page, if there are so many.
    fn boundary(&self, backend: DbBackend, after: &Cursor) -> SelectStatement {
        let mut select = self.driving(backend, after, None);
        match self.drive() {
            Drive::LastUsed => select.from(token_usage::Entity),
            _ => select.from(Entity).and_where(column(Column::DeletedAt).is_null()),
        };
        select.limit(1).offset(SCAN_MAX - 1).to_owned()
    }

    fn select(&self, backend: DbBackend, after: &Cursor, until: Option<&Cursor>, limit: u64) -> SelectStatement {
        let mut select = self.driving(backend, after, until);
        match self.drive() {
            Drive::LastUsed => {
                let same = column(Column::Id).eq(used(token_usage::Column::TokenId));
                select.from(token_usage::Entity).inner_join(Entity, same)
            }
            _ => select.from(Entity),
        };
        select.cond_where(self.others(Some(self.drive()))).limit(limit).to_owned()
    }

    /// What the driving index is asked, in its order: up to a token, or to the end of what is wanted. Not both: the index is
    /// read up to one bound, and what the other leaves out would be read for nothing.
    fn driving(&self, backend: DbBackend, after: &Cursor, until: Option<&Cursor>) -> SelectStatement {
        let mut select = Query::select();
        let before = |span: Span, column: Expr| span.before.map(|before| column.lt(before));
        let end = match self.drive() {
            Drive::Owner => None,
            Drive::Label => self.label_prefix.as_deref().and_then(successor).map(|end| column(Column::Label).lt(end)),
            Drive::LastUsed => before(self.last_used, used(token_usage::Column::LastAt)),
            Drive::Expires => before(self.expires, column(Column::ExpiresAt)),
            Drive::Created => before(self.created, column(Column::CreatedAt)),
        };
        let end = match (until, self.drive()) {
            (None, _) => end,
            (Some(until), Drive::Owner) => Some(column(Column::Id).lte(until.2)),
            (Some(until), _) => Some(self.position().lte(pair(backend, until))),
        };
        let condition = match (self.drive(), self.whose) {
            (Drive::Owner, Whose::Of(owner)) => Some(column(Column::OwnerId).eq(owner)),
            (Drive::Owner, _) => Some(column(Column::OwnerId).is_null()),
            // Said aloud, so that the partial index serves.
            (Drive::Expires, _) => Some(column(Column::ExpiresAt).is_not_null()),
            (Drive::Label | Drive::LastUsed | Drive::Created, _) => None,
        };
        let (key_column, id_column) = self.order();
        match key_column {
            Some(key_column) => {
                select.expr(key_column.clone()).expr(id_column.clone());
                select.order_by_expr(key_column, Order::Asc).order_by_expr(id_column, Order::Asc);
                select.and_where(self.position().gt(pair(backend, after)));
            }
            None => {
                select.expr(Expr::cust("0")).expr(id_column.clone());
                select.and_where(id_column.clone().gt(after.2)).order_by_expr(id_column, Order::Asc);
            }
        }
        select.cond_where(Cond::all().add_option(condition).add_option(end)).to_owned()
    }

    /// The columns by which the driving index is ordered.
    fn order(&self) -> (Option<Expr>, Expr) {
        let id = column(Column::Id);
        match self.drive() {
            Drive::Owner => (None, id),
            Drive::Label => (Some(column(Column::Label)), id),
            Drive::LastUsed => (Some(used(token_usage::Column::LastAt)), used(token_usage::Column::TokenId)),
            Drive::Expires => (Some(column(Column::ExpiresAt)), id),
            Drive::Created => (Some(column(Column::CreatedAt)), id),
        }
    }

    fn position(&self) -> Expr {
        match self.order() {
            (Some(key), id) => Expr::tuple([key, id]),
            (None, id) => Expr::tuple([Expr::val(0), id]),
        }
    }

    /// The conditions that do not drive, in a form that no index serves.
    fn others(&self, driven: Option<Drive>) -> Condition {
        let Self { whose, label_prefix, label_part, read_only, created, expires, last_used, never_used } = self;
        let deleted_at = column(Column::DeletedAt);
        let there = if driven == Some(Drive::LastUsed) { deleted_at.add(0).is_null() } else { deleted_at.is_null() };
        let mut others = Cond::all().add(there);
        if *whose == Whose::Somebodys {
            others = others.add(column(Column::OwnerId).add(0).is_not_null());
        }
        if let Some(prefix) = label_prefix.as_ref().filter(|_| driven != Some(Drive::Label)) {
            let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
            let beginning = Func::cust("substr").args([column(Column::Label), Expr::val(1), Expr::val(length)]);
            others = others.add(Expr::from(beginning).eq(prefix.as_str()));
        }
        if let Some(part) = label_part {
            let label = Expr::from(Func::lower(column(Column::Label)));
            others = others.add(label.like(LikeExpr::new(contains(part)).escape('\\')));
        }
        others = others.add_option(read_only.map(|read_only| column(Column::ReadOnly).eq(read_only)));
        for (span, drive, time) in
            [(created, Drive::Created, Column::CreatedAt), (expires, Drive::Expires, Column::ExpiresAt)]
        {
            if driven != Some(drive) {
                others = others.add_option(span.condition(column(time).add(0)));
            }
        }
        if driven != Some(Drive::LastUsed) {
            let condition = last_used.condition(used(token_usage::Column::LastAt).add(0));
            others = others.add_option(condition.map(|condition| Expr::exists(use_where(Some(condition)))));
        }
        if *never_used {
            others = others.add(Expr::exists(use_where(None)).not());
        }
        others
    }

    fn cursor_of(&self, row: &QueryResult) -> Result<Cursor, DbErr> {
        let key = match self.drive() {
            Drive::Label => Key::Text(row.try_get_by_index(0)?),
            Drive::Owner => Key::Number(0),
            Drive::LastUsed | Drive::Expires | Drive::Created => Key::Number(row.try_get_by_index(0)?),
        };
        Ok(Cursor(self.drive(), key, row.try_get_by_index(1)?))
    }
}

impl Cursor {
    /// As it is given out: opaque.
    pub(crate) fn to_text(&self) -> String {
        BASE64URL.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Span {
    fn condition(self, time: Expr) -> Option<Expr> {
        let Self { from, before } = self;
        let conditions = [from.map(|from| time.clone().gte(from)), before.map(|before| time.lt(before))];
        conditions.into_iter().flatten().reduce(Expr::and)
    }
}

fn column(column: Column) -> Expr {
    Expr::col((Entity, column))
}

fn used(column: token_usage::Column) -> Expr {
    Expr::col((token_usage::Entity, column))
}

/// The pattern of what contains a text, of which no character means anything but itself.
fn contains(part: &str) -> String {
    let escaped = part.to_ascii_lowercase().replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    format!("%{escaped}%")
}

/// The use of a token, if it is such.
fn use_where(condition: Option<Expr>) -> SelectStatement {
    let of_it = used(token_usage::Column::TokenId).eq(column(Column::Id));
    Query::select()
        .expr(Expr::cust("1"))
        .from(token_usage::Entity)
        .cond_where(Cond::all().add(of_it).add_option(condition))
        .to_owned()
}

/// Key and number to compare with. SQLite reads from such a pair on, and not from its key alone, only if it is told how
/// the number, which is no column by itself, is compared: among a million tokens of one label that is the difference.
fn pair(backend: DbBackend, Cursor(_, key, id): &Cursor) -> Expr {
    let key = match key {
        Key::Number(number) => Expr::val(*number),
        Key::Text(text) => Expr::val(text.as_str()),
    };
    let id = match backend {
        DbBackend::Sqlite => Expr::cust_with_values("? COLLATE BINARY", [*id]),
        _ => Expr::val(*id),
    };
    Expr::tuple([key, id])
}

#[cfg(test)]
mod tests;
