//! `GET …/tokensByFilter`: a page of the tokens that all of these find: everyone's, for sysadmins, or one's own.
//!
//! What the product's documents leave open: the other fields of the page are named after Spring Data's, as `content` is; there are
//! no totals, for which every page would take counting all tokens, and `last` says whether there is more. The first page is 0.
//! `userFilter` is a name, any of those given; one that nobody has finds nothing. `descriptionFilter` is a part of the
//! description, without regard to the case of ASCII letters. `from…` and `until…` include their times, and `notValidAfter`
//! finds what ends by then; what was never used was not last used before then, and what has no end does not end.
//! `tokenScope` 0 finds nothing, since every token here has a scope.

use super::list::ListedToken;
use super::{READ_AND_WRITE, READ_ONLY};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Params, limit};
use crate::api::tokens::rows::{self, Row};
use crate::permission::{Action, Whose as Relation};
use crate::store::tokens::filter::{Filter, Span, Whose};
use axum::Json;
use axum::extract::State;
use policy::record::limits::LABEL_CHARS_MAX;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use std::sync::Arc;

/// Tokens that are looked at in one step, and steps to a page: pages are counted from the first token on, and a request is
/// to take about a second at most.
const STEP: u64 = 2_000;
const STEPS_MAX: u64 = 100;

/// Users that one request may name: each is looked up.
const USERS_MAX: usize = 50;

/// Tokens of which the rows are read at a time: each may have 64 KiB of restrictions.
const ROWS: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    content: Vec<FoundToken>,
    /// Whether there is no other page behind it.
    last: bool,
    /// The number of the page, from 0.
    number: u64,
    number_of_elements: usize,
    /// How many elements the page could have.
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundToken {
    #[serde(flatten)]
    token: ListedToken,
    token_scope: i64,
    /// Empty: it belongs to nobody.
    user_key: String,
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(parameters): Params<Vec<(String, String)>>,
) -> Result<Json<Page>, ApiError> {
    let (db, asked) = (&app.store.db, Asked::read(parameters)?);
    let (number, size) = (asked.page.unwrap_or_default(), limit(asked.limit)?);
    let (ids, last) = numbers(db, &asked.filters(db, &caller).await?, number.saturating_mul(size), size).await?;
    let mut content = Vec::new();
    for some in ids.chunks(ROWS) {
        content.extend(rows::of(db, some).await?.into_iter().map(FoundToken::from));
    }
    Ok(Json(Page { last, number, number_of_elements: content.len(), size, content }))
}

impl From<Row> for FoundToken {
    fn from(Row { token, owner, usage }: Row) -> Self {
        let token_scope = if token.read_only { READ_ONLY } else { READ_AND_WRITE };
        Self { token: ListedToken::new(token, usage), token_scope, user_key: owner.unwrap_or_default() }
    }
}

/// The numbers of so many tokens behind those that are skipped, of what the filters find one after the other; and whether
/// there are no more.
async fn numbers(
    db: &impl ConnectionTrait,
    filters: &[Filter],
    skipped: u64,
    size: u64,
) -> Result<(Vec<i64>, bool), ApiError> {
    let (mut ids, mut passed, mut steps) = (Vec::new(), 0, 0);
    let wanted = skipped.saturating_add(size).saturating_add(1);
    for filter in filters {
        let mut after = None;
        while passed < wanted {
            if steps == STEPS_MAX || wanted > STEP * STEPS_MAX {
                return Err(ApiError::BadRequest(format!(
                    "This page is more than {} tokens away from the first one; narrow the filters, by userFilter or by times.",
                    STEP * STEPS_MAX
                )));
            }
            let found = filter.page(db, after, STEP.min(wanted - passed)).await?;
            for id in found.ids {
                if passed >= skipped {
                    ids.push(id);
                }
                passed += 1;
            }
            steps += 1;
            after = found.next;
            if after.is_none() {
                break;
            }
        }
    }
    ids.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok((ids, passed < wanted))
}

/// What is asked for; `None`: nothing was said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    page: Option<u64>,
    limit: Option<u64>,
    users: Vec<String>,
    label_part: Option<String>,
    not_valid_after: Option<i64>,
    scope: Option<i64>,
    created: Times,
    last_used: Times,
    expires: Times,
}

/// From when, and until when, both included.
#[derive(Debug, Default, PartialEq, Eq)]
struct Times {
    from: Option<i64>,
    until: Option<i64>,
}

impl Asked {
    fn read(parameters: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut asked = Self::default();
        for (name, value) in &parameters {
            match name.as_str() {
                "page" => once(&mut asked.page, name, number(name, value)?)?,
                "limit" => once(&mut asked.limit, name, number(name, value)?)?,
                "userFilter" => asked.users.push(value.clone()),
                "descriptionFilter" => once(&mut asked.label_part, name, value.clone())?,
                "notValidAfter" => once(&mut asked.not_valid_after, name, number(name, value)?)?,
                "tokenScope" => once(&mut asked.scope, name, number(name, value)?)?,
                "fromCreated" => once(&mut asked.created.from, name, number(name, value)?)?,
                "untilCreated" => once(&mut asked.created.until, name, number(name, value)?)?,
                "fromLastUsed" => once(&mut asked.last_used.from, name, number(name, value)?)?,
                "untilLastUsed" => once(&mut asked.last_used.until, name, number(name, value)?)?,
                "fromExpiresDuring" => once(&mut asked.expires.from, name, number(name, value)?)?,
                "untilExpiresDuring" => once(&mut asked.expires.until, name, number(name, value)?)?,
                _ => {} // as in bodies
            }
        }
        if asked.users.len() > USERS_MAX {
            return Err(ApiError::BadRequest(format!("userFilter may stand there {USERS_MAX} times at most.")));
        }
        if asked.label_part.as_ref().is_some_and(|part| part.chars().count() > LABEL_CHARS_MAX) {
            return Err(ApiError::BadRequest(format!(
                "descriptionFilter must have at most {LABEL_CHARS_MAX} characters."
            )));
        }
        if asked.scope.is_some_and(|scope| scope > READ_AND_WRITE) {
            return Err(ApiError::BadRequest("tokenScope must be 0, 1 or 2.".into()));
        }
        Ok(asked)
    }

    /// The filters that find it one after the other, for a caller who may see it.
    async fn filters(&self, db: &impl ConnectionTrait, caller: &Caller) -> Result<Vec<Filter>, ApiError> {
        let ends_by = [self.expires.until, self.not_valid_after].into_iter().flatten().min();
        let filter = Filter {
            label_part: self.label_part.clone(),
            read_only: self.scope.map(|scope| scope == READ_ONLY),
            created: self.created.span(),
            last_used: self.last_used.span(),
            expires: Times { from: self.expires.from, until: ends_by }.span(),
            ..Filter::all_of(Whose::Any)
        };
        let whose = self.whose(db, caller).await?;
        let whose = whose.into_iter().filter(|_| self.scope != Some(0));
        Ok(whose.map(|whose| Filter { whose, ..filter.clone() }).collect())
    }

    /// Whose tokens; each user once, or the tokens would be there twice.
    async fn whose(&self, db: &impl ConnectionTrait, caller: &Caller) -> Result<Vec<Whose>, ApiError> {
        if self.users.is_empty() {
            let (relation, whose) = match caller.user.sysadmin {
                true => (Relation::Others, Whose::Any),
                false => (Relation::Own, Whose::Of(caller.user.id)),
            };
            let _permit = caller.may(Action::ListTokens, relation)?;
            return Ok(vec![whose]);
        }
        let mut all = Vec::new();
        for name in &self.users {
            let user = match crate::api::users::find(db, name).await {
                Ok(user) => Some(user),
                Err(ApiError::NotFound) => None,
                Err(error) => return Err(error),
            };
            // Whether another user exists is for those to know who may do something about it.
            let relation = user.as_ref().map_or(Relation::Others, |user| caller.whose(Some(user.id)));
            let _permit = caller.may(Action::ListTokens, relation)?;
            all.extend(user.map(|user| Whose::Of(user.id)).filter(|whose| !all.contains(whose)));
        }
        Ok(all)
    }
}

impl Times {
    fn span(&self) -> Span {
        Span { from: self.from, before: self.until.map(|until| until.saturating_add(1)) }
    }
}

/// Puts a parameter in its place, unless it was there before: which of the two would count?
fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), ApiError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ApiError::BadRequest(format!("{name} must not stand there twice."))),
    }
}

/// A number from 0 on, of a known parameter: digits alone.
fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, ApiError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
    digits.ok_or_else(|| ApiError::BadRequest(format!("{name} must be a whole number, 0 or more.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Asked, ApiError> {
        Asked::read(query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn m2_parameters_are_read_and_unknown_ones_ignored() {
        let asked =
            read(&[("userFilter", "a"), ("userFilter", "b"), ("fromCreated", "7"), ("sort", "x"), ("sort", "y")]);
        let created = Times { from: Some(7), until: None };
        assert_eq!(asked.unwrap(), Asked { users: vec!["a".into(), "b".into()], created, ..Asked::default() });
        assert_eq!(Times { from: Some(1), until: Some(i64::MAX) }.span().before, Some(i64::MAX));
    }

    #[test]
    fn attack_what_is_no_number_or_stands_there_twice_is_refused_and_no_filter_fails_open() {
        let long = "x".repeat(LABEL_CHARS_MAX + 1);
        for query in [
            [("page", "-1")].as_slice(),
            &[("page", "")],
            &[("limit", "1e3")],
            &[("notValidAfter", "+1")],
            &[("fromCreated", "9223372036854775808")],
            &[("untilLastUsed", "2027-01-01")],
            &[("tokenScope", "3")],
            &[("untilCreated", "1"), ("untilCreated", "2")],
            &[("descriptionFilter", &long)],
            &[("userFilter", "a"); USERS_MAX + 1],
        ] {
            assert!(matches!(read(query), Err(ApiError::BadRequest(_))), "{query:?}");
        }
    }
}
