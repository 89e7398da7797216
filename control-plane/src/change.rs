//! A change: the row, its audit record and the next revision, in one transaction (A5).
//!
//! ```text
//! begin ── locks the head of the feed and takes the next revision
//!   create_user, delete_user, create_token, delete_token ── each wants a Permit, each leaves an audit record
//! commit ── and only then the image, and so the proxies, see it
//! ```
//!
//! A change that is dropped is undone. Nothing that was read before it began counts in it: while it waited for its turn,
//! the caller's token may have been revoked, or the caller deleted. Once it has begun, nothing may drop it by accident: the API runs every request
//! to its end, even if its client has gone.

use crate::image::Effect;
use crate::permission::{Action, Permit};
use crate::store::{Store, audit, feed_head, random_number, tokens, users};
use policy::record::{PROGRAM, folded};
use policy::{Timestamp, TokenHash, TokenState};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, Select, SqlErr,
    TransactionTrait as _,
};
use serde_json::{Value as Json, json};
use tokio::sync::OwnedMutexGuard;

/// Who makes a change.
#[derive(Clone, Debug)]
pub(crate) enum Author {
    /// The program by itself.
    Program,
    /// A user who came with a token.
    Caller { user_id: i64, token_id: String, request_id: Option<String> },
}

/// The author as the audit names one.
struct Actor {
    name: String,
    token_id: Option<String>,
    request_id: Option<String>,
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
    _changing: OwnedMutexGuard<()>,
}

/// Why a change cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("the name or the e-mail address is taken")]
    UserExists,
    #[error("the caller, or the caller's token, is gone")]
    CallerGone,
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
}

/// A user to be.
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) sysadmin: bool,
}

/// A token to be.
pub(crate) struct NewToken<'a> {
    pub(crate) public_id: String,
    pub(crate) hash: TokenHash,
    pub(crate) label: &'a str,
    pub(crate) owner_id: i64,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl<'a> Change<'a> {
    /// Begins a change: waits for its turn, and looks whether its author is still one who may ask for changes.
    pub(crate) async fn begin(store: &'a Store, author: Author, now: Timestamp) -> Result<Self, ChangeError> {
        let changing = store.changing.clone().lock_owned().await;
        let transaction = store.db.begin().await?;
        // The first statement locks the row, and with it every other change: commit order is revision order.
        let tag = random_number()?;
        feed_head::Entity::update_many()
            .col_expr(feed_head::Column::Revision, Expr::col(feed_head::Column::Revision).add(1))
            .col_expr(feed_head::Column::Tag, Expr::value(tag))
            .filter(feed_head::Column::Id.eq(feed_head::ID))
            .exec(&transaction)
            .await?;
        let head = feed_head::Entity::find_by_id(feed_head::ID)
            .one(&transaction)
            .await?
            .ok_or_else(|| DbErr::RecordNotFound("the head of the feed".into()))?;
        let (revision, effects) = (head.revision, Vec::new());
        // The image must be one revision behind, or it has missed something: a commit whose outcome nobody knew.
        if store.with_image(|image| image.position().revision) + 1 != revision.cast_unsigned() {
            tracing::warn!("the snapshot image has missed a change; building it anew");
            store.distrust_image();
            store.reload().await?;
        }
        let (actor, caller) = who(author, &transaction, now).await?;
        Ok(Self { store, transaction, actor, caller, now, revision, tag, effects, _changing: changing })
    }

    /// The calling user as it is now.
    pub(crate) fn caller(&self) -> Option<&users::Model> {
        self.caller.as_ref()
    }

    /// The transaction, to read in it.
    pub(crate) fn transaction(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Creates a user.
    pub(crate) async fn create_user(&mut self, permit: &Permit, new: NewUser<'_>) -> Result<users::Model, ChangeError> {
        expect_permit(permit, Action::CreateUser)?;
        // Name and e-mail serve in each other's place (U1), so neither may be another user's other one.
        let keys: Vec<String> = [Some(new.name), new.email].into_iter().flatten().map(folded).collect();
        let taken = users::Column::NameFolded.is_in(keys.clone()).or(users::Column::EmailFolded.is_in(keys));
        if users::Entity::find().filter(taken).one(&self.transaction).await?.is_some() {
            return Err(ChangeError::UserExists);
        }
        let row = users::ActiveModel {
            id: NotSet,
            name: Set(new.name.to_owned()),
            name_folded: Set(Some(folded(new.name))),
            email: Set(new.email.map(str::to_owned)),
            email_folded: Set(new.email.map(folded)),
            sysadmin: Set(new.sysadmin),
            suspended: Set(false),
            created_at: Set(tokens::stored(self.now)),
        };
        let user =
            users::Entity::insert(row).exec_with_returning(&self.transaction).await.map_err(|error| {
                match error.sql_err() {
                    Some(SqlErr::UniqueConstraintViolation(_)) => ChangeError::UserExists,
                    _ => error.into(),
                }
            })?;
        self.record(permit, &user.name, json!({ "email": user.email, "sysadmin": user.sysadmin })).await?;
        Ok(user)
    }

    /// Deletes a user, and with it all its tokens.
    pub(crate) async fn delete_user(&mut self, permit: &Permit, user: users::Model) -> Result<(), ChangeError> {
        expect_permit(permit, Action::DeleteUser)?;
        let others = active_sysadmins().filter(users::Column::Id.ne(user.id)).one(&self.transaction).await?;
        if user.sysadmin && others.is_none() {
            return Err(ChangeError::LastSysadmin);
        }
        if user.sysadmin && !self.sysadmin_token_besides(tokens::Column::OwnerId.ne(user.id)).await? {
            return Err(ChangeError::LastSysadminToken);
        }
        let tokens = tokens::Entity::find()
            .filter(tokens::Column::OwnerId.eq(user.id))
            .filter(tokens::Column::DeletedAt.is_null())
            .all(&self.transaction)
            .await?;
        tokens::Entity::update_many()
            .col_expr(tokens::Column::DeletedAt, Expr::value(tokens::stored(self.now)))
            .filter(tokens::Column::OwnerId.eq(user.id))
            .filter(tokens::Column::DeletedAt.is_null())
            .exec(&self.transaction)
            .await?;
        let mut row: users::ActiveModel = user.clone().into();
        row.name_folded = Set(None);
        row.email_folded = Set(None);
        let deleted = users::Entity::update(row).exec(&self.transaction).await?;
        self.record(permit, &user.name, json!({ "tokens": tokens.len() })).await?;
        for token in tokens {
            self.show(&token, &deleted);
        }
        Ok(())
    }

    /// Creates a token.
    pub(crate) async fn create_token(
        &mut self,
        permit: &Permit,
        new: NewToken<'_>,
    ) -> Result<tokens::Model, ChangeError> {
        expect_permit(permit, Action::CreateToken)?;
        let owner = active_user(&self.transaction, new.owner_id).await?.ok_or(ChangeError::OwnerGone)?;
        let row = tokens::ActiveModel {
            id: NotSet,
            public_id: Set(new.public_id),
            hash: Set(new.hash.as_bytes().to_vec()),
            label: Set(new.label.to_owned()),
            owner_id: Set(owner.id),
            created_at: Set(tokens::stored(self.now)),
            valid_from: Set(new.valid_from.map(tokens::stored)),
            expires_at: Set(new.expires_at.map(tokens::stored)),
            deleted_at: Set(None),
        };
        let token = tokens::Entity::insert(row).exec_with_returning(&self.transaction).await?;
        let detail = json!({ "owner": owner.name, "label": token.label, "expires_at": token.expires_at });
        self.record(permit, &token.public_id, detail).await?;
        self.show(&token, &owner);
        Ok(token)
    }

    /// Deletes a token.
    pub(crate) async fn delete_token(
        &mut self,
        permit: &Permit,
        token: tokens::Model,
        owner: &users::Model,
    ) -> Result<(), ChangeError> {
        expect_permit(permit, Action::DeleteToken)?;
        if owner.sysadmin && !self.sysadmin_token_besides(tokens::Column::Id.ne(token.id)).await? {
            return Err(ChangeError::LastSysadminToken);
        }
        let mut row: tokens::ActiveModel = token.into();
        row.deleted_at = Set(Some(tokens::stored(self.now)));
        let token = tokens::Entity::update(row).exec(&self.transaction).await?;
        let detail = json!({ "owner": owner.name, "label": token.label });
        self.record(permit, &token.public_id, detail).await?;
        self.show(&token, owner);
        Ok(())
    }

    /// Whether a sysadmin has a token that works, among those that are left: without one nobody could administer any more.
    async fn sysadmin_token_besides(&self, left: Expr) -> Result<bool, DbErr> {
        let sysadmins = active_sysadmins().all(&self.transaction).await?;
        let now = tokens::stored(self.now);
        let other = tokens::Entity::find()
            .filter(tokens::Column::OwnerId.is_in(sysadmins.into_iter().map(|user| user.id)))
            .filter(left)
            .filter(tokens::Column::DeletedAt.is_null())
            .filter(tokens::Column::ExpiresAt.is_null().or(tokens::Column::ExpiresAt.gt(now)))
            .filter(tokens::Column::ValidFrom.is_null().or(tokens::Column::ValidFrom.lte(now)))
            .one(&self.transaction)
            .await?;
        Ok(other.is_some())
    }

    /// Commits, and shows the change to the proxies.
    pub(crate) async fn commit(self) -> Result<(), ChangeError> {
        let Self { store, transaction, actor: _, caller: _, now: _, revision, tag, effects, _changing } = self;
        if let Err(error) = transaction.commit().await {
            // Nobody knows whether it took place. The database does.
            tracing::error!(%error, "a commit failed; building the snapshot image anew");
            store.distrust_image();
            store.reload().await?;
            return Err(error.into());
        }
        if let Err(error) = store.publish(revision.cast_unsigned(), tag.cast_unsigned(), effects) {
            tracing::error!(%error, "a change does not fit the snapshot image; building it anew");
            store.reload().await?;
        }
        Ok(())
    }

    /// Leaves an audit record. `detail` never holds a secret.
    async fn record(&self, permit: &Permit, subject: &str, detail: Json) -> Result<(), DbErr> {
        let row = audit::ActiveModel {
            id: NotSet,
            at: Set(tokens::stored(self.now)),
            revision: Set(self.revision),
            actor: Set(self.actor.name.clone()),
            actor_token: Set(self.actor.token_id.clone()),
            action: Set(permit.action().name().to_owned()),
            subject: Set(subject.to_owned()),
            detail: Set(detail.to_string()),
            request_id: Set(self.actor.request_id.clone()),
        };
        audit::Entity::insert(row).exec(&self.transaction).await.map(|_| ())
    }

    fn show(&mut self, token: &tokens::Model, owner: &users::Model) {
        let record = tokens::record(token, owner);
        if let Ok(hash) = token.hash.as_slice().try_into() {
            self.effects.push(Effect { hash: TokenHash::from_bytes(hash), record });
        }
    }
}

/// The author as the audit names one, and as the user it is now. A caller whose token no longer works, or who is gone, is
/// nobody's author.
async fn who(
    author: Author,
    transaction: &DatabaseTransaction,
    now: Timestamp,
) -> Result<(Actor, Option<users::Model>), ChangeError> {
    let (user_id, token_id, request_id) = match author {
        Author::Program => return Ok((Actor { name: PROGRAM.into(), token_id: None, request_id: None }, None)),
        Author::Caller { user_id, token_id, request_id } => (user_id, token_id, request_id),
    };
    let token = tokens::Entity::find().filter(tokens::Column::PublicId.eq(&token_id)).one(transaction).await?;
    let user = active_user(transaction, user_id).await?;
    let (Some(token), Some(user)) = (token, user) else {
        return Err(ChangeError::CallerGone);
    };
    let record = tokens::record(&token, &user);
    if record.state != TokenState::Active || record.is_expired(now) {
        return Err(ChangeError::CallerGone);
    }
    Ok((Actor { name: user.name.clone(), token_id: Some(token_id), request_id }, Some(user)))
}

/// The user with this id, unless deleted or suspended.
async fn active_user(transaction: &DatabaseTransaction, id: i64) -> Result<Option<users::Model>, DbErr> {
    let user = users::Entity::find_by_id(id).one(transaction).await?;
    Ok(user.filter(|user| user.name_folded.is_some() && !user.suspended))
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
