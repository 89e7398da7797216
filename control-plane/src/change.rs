//! A change: the row, its audit record and the next revision, in one transaction (A5).
//!
//! ```text
//! begin ── locks the head of the feed and takes the next revision
//!   create_user, create_token, set_settings … ── each wants a Permit, each leaves an audit record
//! commit ── and only then the image sees it; and once it is on the disk, the proxies and whoever asked for it
//! ```
//!
//! A change that is dropped is undone. Its author is judged again when it begins, by all rules that need no request: while
//! it waited for its turn, the caller's token may have been revoked, or the caller deleted. Once it has begun, nothing may
//! drop it by accident: the API runs every request to its end, even if its client has gone.

mod import;
mod reveal;
mod settings;
mod token;
mod upkeep;
mod user;

use crate::clock;
use crate::fault;
use crate::image::{Effect, ImageError};
use crate::passwords::RightBy;
use crate::permission::{Action, Permit};
use crate::store::durable::NotDurable;
use crate::store::{Store, audit, credentials, feed_head, random_number, tokens, users};
use futures_util::TryStreamExt as _;
pub(crate) use import::TokenToImport;
use policy::record::PROGRAM;
use policy::settings::PasswordCheck;
use policy::{DenyReason, FilterKeys, KeyedHash, Settings, Timestamp};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _, Select,
    TransactionTrait as _,
};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::sync::Arc;
pub(crate) use token::{NewToken, TokenEdit};
use tokio::sync::OwnedMutexGuard;
pub(crate) use user::{NewUser, UserEdit};

/// Who makes a change.
#[derive(Clone, Debug)]
pub(crate) enum Author {
    /// The program by itself.
    Program,
    /// A user who came with this; or, if `actor_id` is there, on whose behalf that user came.
    Caller { user_id: i64, actor_id: Option<i64>, came_with: CameWith, request_id: Option<String> },
}

/// With what a caller came.
#[derive(Clone, Debug)]
pub(crate) enum CameWith {
    /// The token with this public id.
    Token(String),
    Password(RightBy),
}

/// The author as the audit names one.
struct Actor {
    name: String,
    token_id: Option<String>,
    request_id: Option<String>,
    on_behalf_of: Option<String>,
}

/// A change under way.
pub(crate) struct Change<'a> {
    store: &'a Store,
    transaction: DatabaseTransaction,
    actor: Actor,
    caller: Option<users::Model>,
    now: Timestamp,
    revision: i64,
    tag: i64,
    effects: Vec<Effect>,
    /// The sets of restrictions among them.
    shown_restrictions: HashSet<KeyedHash>,
    _changing: OwnedMutexGuard<()>,
}

/// Why a change cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("the name or the e-mail address is taken")]
    UserExists,
    #[error("there is such a token already")]
    TokenExists,
    #[error("the owner has as many tokens as are allowed")]
    TooManyTokens,
    #[error("the change does not fit the snapshot: {0}")]
    DoesNotFit(ImageError),
    #[error("the credential cannot be sealed")]
    Seal,
    #[error("the caller may not any more: {0:?}")]
    Denied(DenyReason),
    #[error("the caller's password is none any more")]
    PasswordChanged,
    #[error("the owner is no user any more")]
    OwnerGone,
    #[error("this is the last sysadmin")]
    LastSysadmin,
    #[error("this is the last token of a sysadmin")]
    LastSysadminToken,
    #[error("the permit is for {0:?}")]
    WrongPermit(Action),
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    #[error("the database: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Reload(#[from] crate::store::OpenError),
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

impl<'a> Change<'a> {
    /// Begins a change: waits for its turn, and looks whether its author is still one who may ask for changes.
    pub(crate) async fn begin(store: &'a Store, author: Author) -> Result<Self, ChangeError> {
        let changing = store.changing.clone().lock_owned().await;
        let now = clock::now();
        let transaction = store.writer.begin().await?;
        // The first statement locks the row, and with it every other change: commit order is revision order. (In SQLite
        // it takes the one lock for writing, and waits for it; a transaction that read before could find it taken.)
        let tag = random_number()?;
        let heads = feed_head::Entity::update_many()
            .col_expr(feed_head::Column::Revision, Expr::col(feed_head::Column::Revision).add(1))
            .col_expr(feed_head::Column::Tag, Expr::value(tag))
            .filter(feed_head::Column::Id.eq(feed_head::ID))
            .exec_with_returning(&transaction)
            .await?;
        let head = heads.first().ok_or_else(|| DbErr::RecordNotFound("the head of the feed".into()))?;
        let (revision, effects) = (head.revision, Vec::new());
        // The image must be one revision behind, or it has missed something: a commit whose outcome nobody knew.
        let behind = store.with_image(|image| image.position().revision) + 1 != revision.cast_unsigned();
        if behind || !store.image_is_trusted() {
            tracing::warn!("the snapshot image has missed a change; building it anew");
            store.distrust_image();
            store.reload().await?;
        }
        fault::point("begun");
        let (actor, caller) = who(author, &transaction, store, now).await?;
        let shown_restrictions = HashSet::new();
        Ok(Self {
            store,
            transaction,
            actor,
            caller,
            now,
            revision,
            tag,
            effects,
            shown_restrictions,
            _changing: changing,
        })
    }

    /// The time of the change.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The settings under which it takes place.
    pub(crate) fn settings(&self) -> Arc<(Settings, FilterKeys)> {
        self.store.settings()
    }

    /// The calling user as it is now.
    pub(crate) fn caller(&self) -> Option<&users::Model> {
        self.caller.as_ref()
    }

    /// The transaction, to read in it.
    pub(crate) fn transaction(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Notes that somebody says that a proxy is gone.
    pub(crate) async fn forget_proxy(
        &mut self,
        permit: &Permit,
        instance: &str,
        name: &str,
    ) -> Result<(), ChangeError> {
        expect_permit(permit, Action::ForgetProxy)?;
        Ok(self.record(permit, instance, json!({ "name": name })).await?)
    }

    /// That somebody could still administer without this sysadmin.
    async fn expect_other_sysadmin(&self, user: &users::Model) -> Result<(), ChangeError> {
        let others = active_sysadmins().filter(users::Column::Id.ne(user.id)).one(&self.transaction).await?;
        if others.is_none() {
            return Err(ChangeError::LastSysadmin);
        }
        let check = self.store.settings().0.password_check;
        let way_in = self.way_in_besides(tokens::Column::OwnerId.ne(user.id), Some(user.id), check).await?;
        if way_in { Ok(()) } else { Err(ChangeError::LastSysadminToken) }
    }

    /// Whether a sysadmin has a token that works, among those that are left, or a local password.
    async fn sysadmin_token_besides(&self, left: Expr) -> Result<bool, DbErr> {
        self.way_in_besides(left, None, self.store.settings().0.password_check).await
    }

    /// Whether a sysadmin besides this one has a local password, or one a token that works among those that are left:
    /// without either nobody could administer any more. (What the backend says of anybody's password nobody knows.)
    async fn way_in_besides(&self, left: Expr, besides: Option<i64>, check: PasswordCheck) -> Result<bool, DbErr> {
        let sysadmins = active_sysadmins().all(&self.transaction).await?;
        let signs_in = |user: &users::Model| user.password_hash.is_some() && Some(user.id) != besides;
        if check == PasswordCheck::Local && sysadmins.iter().any(signs_in) {
            return Ok(true);
        }
        // One at a time, the latest first, until one works: a sysadmin may have very many.
        let mut candidates = tokens::Entity::find()
            .filter(tokens::Column::OwnerId.is_in(sysadmins.iter().map(|user| user.id)))
            .filter(left)
            .filter(tokens::Column::DeletedAt.is_null())
            .filter(tokens::Column::Imported.eq(false))
            .order_by_desc(tokens::Column::Id)
            .stream(&self.transaction)
            .await?;
        while let Some(token) = candidates.try_next().await? {
            let owner = sysadmins.iter().find(|user| Some(user.id) == token.owner_id);
            if self.store.still_stands(&token, owner, None, self.now).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The user with this id as it is in this transaction, unless deleted or suspended.
    async fn active_user(&self, id: i64) -> Result<Option<users::Model>, DbErr> {
        let user = match &self.caller {
            // Read in this transaction, in which nothing has changed since.
            Some(caller) if caller.id == id && self.effects.is_empty() => Some(caller.clone()),
            _ => users::Entity::find_by_id(id).one(&self.transaction).await?,
        };
        Ok(user.filter(|user| user.name_folded.is_some() && !user.suspended))
    }

    /// Commits, shows the change, and waits until the disk has it; gives its revision. The next change does not wait for
    /// the disk: one sync is for all who committed before it.
    pub(crate) async fn commit(self) -> Result<u64, ChangeError> {
        let Self { store, transaction, revision, tag, effects, _changing: changing, .. } = self;
        // What no proxy could read must not be committed: nobody would ever hear of anything again.
        let prepared = store
            .with_image(|image| image.prepare(revision.cast_unsigned(), tag.cast_unsigned(), effects))
            .map_err(ChangeError::DoesNotFit)?;
        fault::point("before-commit");
        if let Err(error) = transaction.commit().await {
            // Nobody knows whether it took place. The database does.
            tracing::error!(%error, "a commit failed; building the snapshot image anew");
            store.durable.committed();
            store.distrust_image();
            store.reload().await?;
            return Err(error.into());
        }
        fault::point("after-commit");
        store.durable.committed();
        store.publish(prepared);
        fault::point("published");
        drop(changing);
        store.durable.settle().await?;
        Ok(revision.cast_unsigned())
    }

    /// Leaves an audit record. `detail` never holds a secret.
    async fn record(&self, permit: &Permit, subject: &str, detail: Json) -> Result<(), DbErr> {
        audit::Entity::insert(self.audit_row(permit, subject, detail))
            .exec_without_returning(&self.transaction)
            .await
            .map(|_| ())
    }

    fn audit_row(&self, permit: &Permit, subject: &str, detail: Json) -> audit::ActiveModel {
        audit::ActiveModel {
            id: NotSet,
            at: Set(tokens::stored(self.now)),
            revision: Set(self.revision),
            actor: Set(self.actor.name.clone()),
            actor_token: Set(self.actor.token_id.clone()),
            action: Set(permit.action().name().to_owned()),
            subject: Set(subject.to_owned()),
            detail: Set(detail.to_string()),
            request_id: Set(self.actor.request_id.clone()),
            on_behalf_of: Set(self.actor.on_behalf_of.clone()),
        }
    }

    fn show(&mut self, token: &tokens::Model, owner: Option<&users::Model>) {
        if let Ok(hash) = token.hash.as_slice().try_into() {
            let record = tokens::record(token, owner, &self.store.master);
            let restrictions = tokens::restrictions(token, &record);
            // Once each, however many tokens have it.
            let restrictions = restrictions.filter(|(hash, _)| self.shown_restrictions.insert(*hash));
            self.effects.extend(restrictions.map(|(hash, record)| Effect::Restrictions(hash, record)));
            self.effects.push(Effect::Token(KeyedHash::from_bytes(hash), Some(record)));
        }
    }

    async fn show_user(&mut self, user: &users::Model) -> Result<(), ChangeError> {
        let credential = credentials::Entity::find_by_id(user.id).one(&self.transaction).await?;
        let record = users::record(user, credential.map(|row| row.sealed));
        let hashes = users::hashes(user, &self.store.settings().1);
        self.effects.extend(hashes.into_iter().map(|hash| Effect::User(hash, Some(record.clone()))));
        Ok(())
    }

    fn hide_user(&mut self, user: &users::Model) {
        let hashes = users::hashes(user, &self.store.settings().1);
        self.effects.extend(hashes.into_iter().map(|hash| Effect::User(hash, None)));
    }
}

/// The author as the audit names one, and as the user it is now. A caller whose token no longer works, or who is
/// gone, is nobody's author.
async fn who(
    author: Author,
    transaction: &DatabaseTransaction,
    store: &Store,
    now: Timestamp,
) -> Result<(Actor, Option<users::Model>), ChangeError> {
    let (user_id, actor_id, came_with, request_id) = match author {
        Author::Program => {
            let actor = Actor { name: PROGRAM.into(), token_id: None, request_id: None, on_behalf_of: None };
            return Ok((actor, None));
        }
        Author::Caller { user_id, actor_id, came_with, request_id } => (user_id, actor_id, came_with, request_id),
    };
    let token_id = match came_with {
        CameWith::Token(token_id) => token_id,
        CameWith::Password(right_by) => {
            let user = users::Entity::find_by_id(user_id).one(transaction).await?;
            let user = user.filter(|user| user.name_folded.is_some()).ok_or(ChangeError::PasswordChanged)?;
            if user.suspended {
                return Err(ChangeError::Denied(DenyReason::UserSuspended));
            }
            if !right_by.still_stands(&user, store.settings().0.password_check) {
                return Err(ChangeError::PasswordChanged);
            }
            let name = user.name.clone();
            return Ok((Actor { name, token_id: None, request_id, on_behalf_of: None }, Some(user)));
        }
    };
    let gone = || ChangeError::Denied(DenyReason::TokenDeleted);
    let (token, holder) = tokens::with_owner(transaction, &token_id).await?.ok_or_else(gone)?;
    let holder = holder.filter(|holder| holder.id == actor_id.unwrap_or(user_id)).ok_or_else(gone)?;
    let user = match actor_id {
        None => holder.clone(),
        Some(_) => users::Entity::find_by_id(user_id).one(transaction).await?.ok_or_else(gone)?,
    };
    if user.name_folded.is_none() {
        return Err(gone());
    }
    let context_user = actor_id.map(|_| &user);
    store.still_stands(&token, Some(&holder), context_user, now).map_err(ChangeError::Denied)?;
    let on_behalf_of = actor_id.map(|_| user.name.clone());
    let actor = Actor { name: holder.name, token_id: Some(token_id), request_id, on_behalf_of };
    Ok((actor, Some(user)))
}

fn active_sysadmins() -> Select<users::Entity> {
    users::Entity::find()
        .filter(users::Column::Sysadmin.eq(true))
        .filter(users::Column::Suspended.eq(false))
        .filter(users::Column::NameFolded.is_not_null())
}

fn expect_permit(permit: &Permit, action: Action) -> Result<(), ChangeError> {
    if permit.action() == action { Ok(()) } else { Err(ChangeError::WrongPermit(permit.action())) }
}
