//! Whom calls name, as they are now: tokens, their owners, and others in whose name they were.

use crate::permission::Action;
use crate::store::{Store, audit, calls, credentials, tokens, users};
use policy::record::folded;
use policy::restrictions::Set;
use policy::settings::Identity;
use policy::trial::{Held, Party};
use policy::usage::Call;
use policy::{Binding, Settings, TokenRecord, UserRecord};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _, Select};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Bytes of compiled sets that are kept for calls to come: four of the largest.
const SETS_MEMORY_MAX: usize = 64 * 1024 * 1024;

/// Those of one slice of calls.
pub(super) struct People<'a> {
    store: &'a Store,
    /// Restrictions that are tried, with the id of their token.
    tried: Option<&'a (String, Option<Rc<Set>>)>,
    /// Whether what the backend wants to see of users decides anything.
    with_credentials: bool,
    tokens: HashMap<String, (tokens::Model, Option<users::Model>)>,
    /// Ids of tokens that were ever edited, as far as that is on record.
    edited: HashSet<String>,
    users: HashMap<String, users::Model>,
    credentials: HashMap<i64, Vec<u8>>,
    sets: Sets,
}

/// Who is gone, so that nobody can say what would become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The token was deleted, or its owner was.
    Token,
    /// The user beside an unbound token, or on whose behalf it was; whoever has that name today is somebody else.
    User,
}

impl<'a> People<'a> {
    pub(super) fn new(
        store: &'a Store,
        settings: [&Settings; 2],
        tried: Option<&'a (String, Option<Rc<Set>>)>,
    ) -> Self {
        Self {
            store,
            tried,
            with_credentials: settings.iter().any(|settings| settings.identity == Identity::Credential),
            tokens: HashMap::new(),
            edited: HashSet::new(),
            users: HashMap::new(),
            credentials: HashMap::new(),
            sets: Sets::default(),
        }
    }

    /// Reads all of whom these calls speak, and forgets those before.
    pub(super) async fn meet(&mut self, calls: &[calls::Model]) -> Result<(), DbErr> {
        let db = &self.store.db;
        let ids: BTreeSet<&str> = calls.iter().filter_map(|call| call.token.as_deref()).collect();
        let found = tokens::Entity::find().find_also_related(users::Entity);
        let found = found.filter(tokens::Column::PublicId.is_in(ids)).all(db).await?;
        self.tokens = found.into_iter().map(|(token, owner)| (token.public_id.clone(), (token, owner))).collect();
        self.edited = edits(self.tokens.keys()).into_tuple().all(db).await?.into_iter().collect();
        let names: BTreeSet<String> = calls.iter().filter_map(|call| call.user.as_deref()).map(folded).collect();
        let found = users::Entity::find().filter(users::Column::NameFolded.is_in(names)).all(db).await?;
        self.users = found.into_iter().map(|user| (folded(&user.name), user)).collect();
        if self.with_credentials {
            let owners = self.tokens.values().filter_map(|(_, owner)| Some(owner.as_ref()?.id));
            let whose: BTreeSet<i64> = owners.chain(self.users.values().map(|user| user.id)).collect();
            let found = credentials::Entity::find().filter(credentials::Column::UserId.is_in(whose)).all(db).await?;
            self.credentials = found.into_iter().map(|row| (row.user_id, row.sealed)).collect();
        }
        Ok(())
    }

    /// Those of one call.
    pub(super) fn party(&mut self, call: &Call) -> Result<Party, Gone> {
        let Some(id) = &call.token else {
            return Ok(Party { token: None, unedited: false, users: Vec::new() });
        };
        let (token, owner) = self.tokens.get(id).ok_or(Gone::Token)?;
        if token.deleted_at.is_some() || owner.as_ref().is_some_and(|owner| owner.name_folded.is_none()) {
            return Err(Gone::Token);
        }
        let record = tokens::record(token, owner.as_ref(), &self.store.master);
        let mut users: Vec<UserRecord> = owner.iter().map(|owner| self.user(owner)).collect();
        let beside = record.binding == Binding::Unbound && call.user.is_some();
        if beside || call.actor.is_some() {
            let name = call.user.as_deref().map(folded).unwrap_or_default();
            let there = |user: &&users::Model| tokens::timestamp(user.created_at) <= call.at;
            let user = self.user(self.users.get(&name).filter(there).ok_or(Gone::User)?);
            if !users.contains(&user) {
                users.push(user);
            }
        }
        let unedited = !self.edited.contains(id);
        let set = token.restrictions.as_deref().and_then(|text| self.sets.get(text));
        let before = Held { record, restrictions: set };
        let after = match self.tried {
            Some((tried, set)) if tried == id => {
                let hash = set.as_ref().map(|set| self.store.master.restrictions_hash(&set.to_string()));
                let record = TokenRecord { restrictions: hash, ..before.record.clone() };
                Held { record, restrictions: set.clone() }
            }
            _ => before.clone(),
        };
        Ok(Party { token: Some([before, after]), unedited, users })
    }

    fn user(&self, user: &users::Model) -> UserRecord {
        users::record(user, self.credentials.get(&user.id).cloned())
    }
}

/// Which of these tokens were edited: a token that was not is restricted as it always was.
fn edits<'i>(ids: impl Iterator<Item = &'i String>) -> Select<audit::Entity> {
    use audit::Column;
    let found = audit::Entity::find().select_only().column(Column::Subject).distinct();
    // Not by the index of actions: there may be far more edits than those of these tokens.
    let action = Expr::expr(Func::coalesce([Expr::col(Column::Action), Expr::value("")]));
    found.filter(Column::Subject.is_in(ids.cloned())).filter(action.eq(Action::EditToken.name()))
}

/// Compiled restrictions, by their text.
#[derive(Default)]
struct Sets {
    by_text: HashMap<String, Option<Rc<Set>>>,
    memory: usize,
}

impl Sets {
    /// `None`: they cannot be read, and so the proxies refuse.
    fn get(&mut self, text: &str) -> Option<Rc<Set>> {
        if let Some(set) = self.by_text.get(text) {
            return set.clone();
        }
        let set = Set::saved(text).map(Rc::new);
        let memory = text.len() + set.as_ref().map_or(0, |set| set.memory_at_most());
        if self.memory + memory > SETS_MEMORY_MAX {
            *self = Self::default();
        }
        self.memory += memory;
        self.by_text.insert(text.to_owned(), set.clone());
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::search::tests::{database, plan};
    use sea_orm::{DbBackend, QueryTrait as _};

    #[tokio::test]
    async fn s9_edits_of_some_tokens_are_found_by_these_tokens() {
        let (db, _directory) = database().await;
        let ids = ["a".to_owned(), "b".to_owned()];
        let plan = plan(&db, edits(ids.iter()).build(DbBackend::Sqlite)).await;
        assert!(plan.starts_with("SEARCH ") && plan.contains("INDEX audit_subject "), "{plan}");
    }
}
