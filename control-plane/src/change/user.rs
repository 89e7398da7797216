//! Changes of users: created, edited, deleted, and their local passwords.

use super::{Change, ChangeError, expect_permit};
use crate::permission::{Action, Permit};
use crate::store::{credentials, tokens, users};
use policy::record::folded;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _, SqlErr};
use serde_json::json;

/// A user to be.
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) sysadmin: bool,
}

/// What is to be different about a user; `None`: stays.
#[derive(Default)]
pub(crate) struct UserEdit<'a> {
    pub(crate) email: Option<Option<&'a str>>,
    pub(crate) sysadmin: Option<bool>,
    pub(crate) suspended: Option<bool>,
}

impl Change<'_> {
    /// Creates a user.
    pub(crate) async fn create_user(&mut self, permit: &Permit, new: NewUser<'_>) -> Result<users::Model, ChangeError> {
        expect_permit(permit, Action::CreateUser)?;
        self.expect_free([Some(new.name), new.email].into_iter().flatten(), None).await?;
        let row = users::ActiveModel {
            id: NotSet,
            name: Set(new.name.to_owned()),
            name_folded: Set(Some(folded(new.name))),
            email: Set(new.email.map(str::to_owned)),
            email_folded: Set(new.email.map(folded)),
            sysadmin: Set(new.sysadmin),
            suspended: Set(false),
            created_at: Set(tokens::stored(self.now)),
            password_hash: Set(None),
        };
        let user = users::Entity::insert(row).exec_with_returning(&self.transaction).await.map_err(taken)?;
        self.record(permit, &user.name, json!({ "email": user.email, "sysadmin": user.sysadmin })).await?;
        self.show_user(&user).await?;
        Ok(user)
    }

    /// Edits a user. All tokens of theirs follow at once.
    pub(crate) async fn edit_user(
        &mut self,
        permit: &Permit,
        user: users::Model,
        edit: UserEdit<'_>,
    ) -> Result<users::Model, ChangeError> {
        expect_permit(permit, Action::EditUser)?;
        let sysadmin = edit.sysadmin.unwrap_or(user.sysadmin);
        let suspended = edit.suspended.unwrap_or(user.suspended);
        if user.sysadmin && !user.suspended && (!sysadmin || suspended) {
            self.expect_other_sysadmin(&user).await?;
        }
        self.expect_free(edit.email.flatten().into_iter(), Some(user.id)).await?;
        let mut row: users::ActiveModel = user.clone().into();
        if let Some(email) = edit.email {
            row.email = Set(email.map(str::to_owned));
            row.email_folded = Set(email.map(folded));
        }
        row.sysadmin = Set(sysadmin);
        row.suspended = Set(suspended);
        let edited = users::Entity::update(row).exec(&self.transaction).await.map_err(taken)?;
        let seen = |user: &users::Model| json!({ "email": user.email, "sysadmin": user.sysadmin, "suspended": user.suspended });
        self.record(permit, &edited.name, json!({ "before": seen(&user), "after": seen(&edited) })).await?;
        self.hide_user(&user);
        self.show_user(&edited).await?;
        self.show_tokens_of(&edited).await?;
        Ok(edited)
    }

    /// Deletes a user, and with it all its tokens.
    pub(crate) async fn delete_user(&mut self, permit: &Permit, user: users::Model) -> Result<(), ChangeError> {
        expect_permit(permit, Action::DeleteUser)?;
        if user.sysadmin {
            self.expect_other_sysadmin(&user).await?;
        }
        let mut row: users::ActiveModel = user.clone().into();
        row.name_folded = Set(None);
        row.email_folded = Set(None);
        row.password_hash = Set(None);
        let deleted = users::Entity::update(row).exec(&self.transaction).await?;
        self.hide_user(&user);
        let tokens = self.show_tokens_of(&deleted).await?;
        tokens::Entity::update_many()
            .col_expr(tokens::Column::DeletedAt, Expr::value(tokens::stored(self.now)))
            .col_expr(tokens::Column::Recoverable, Expr::value(None::<Vec<u8>>))
            .filter(tokens::Column::OwnerId.eq(user.id))
            .filter(tokens::Column::DeletedAt.is_null())
            .exec(&self.transaction)
            .await?;
        credentials::Entity::delete_by_id(user.id).exec(&self.transaction).await?;
        self.record(permit, &user.name, json!({ "tokens": tokens })).await?;
        Ok(())
    }

    /// Sets a user's local password, or with `None` takes it away.
    pub(crate) async fn set_password(
        &mut self,
        permit: &Permit,
        user: users::Model,
        hash: Option<String>,
    ) -> Result<users::Model, ChangeError> {
        expect_permit(permit, Action::SetPassword)?;
        let mut row: users::ActiveModel = user.clone().into();
        row.password_hash = Set(hash);
        let edited = users::Entity::update(row).exec(&self.transaction).await?;
        let taken = user.password_hash.is_some() && edited.password_hash.is_none();
        if taken && user.sysadmin && !self.sysadmin_token_besides(tokens::Column::Id.is_not_null()).await? {
            return Err(ChangeError::LastSysadminToken);
        }
        let seen = |user: &users::Model| json!({ "password": user.password_hash.is_some() });
        self.record(permit, &edited.name, json!({ "before": seen(&user), "after": seen(&edited) })).await?;
        Ok(edited)
    }

    /// That none of these names is another user's. Name and e-mail address serve in each other's place (U1), so neither
    /// may be another's other one.
    async fn expect_free<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        user: Option<i64>,
    ) -> Result<(), ChangeError> {
        let names: Vec<String> = names.map(folded).collect();
        let taken = users::Column::NameFolded.is_in(names.clone()).or(users::Column::EmailFolded.is_in(names));
        let others = users::Entity::find().filter(taken).all(&self.transaction).await?;
        let free = others.iter().all(|other| Some(other.id) == user);
        if free { Ok(()) } else { Err(ChangeError::UserExists) }
    }
}

fn taken(error: DbErr) -> ChangeError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => ChangeError::UserExists,
        _ => error.into(),
    }
}
