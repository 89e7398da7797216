//! `/api/v1/users`.

mod create;
mod delete;
mod edit;
mod list;
mod show;

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use edit::edit;
pub(crate) use list::list;
pub(crate) use show::show;

use super::error::ApiError;
use super::input::rfc3339;
use crate::store::users;
use policy::record::folded;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use serde::Serialize;

/// A user as the API shows one.
#[derive(Serialize)]
pub(crate) struct UserView {
    name: String,
    email: Option<String>,
    sysadmin: bool,
    suspended: bool,
    created_at: String,
}

impl From<users::Model> for UserView {
    fn from(user: users::Model) -> Self {
        let users::Model { id: _, name, name_folded: _, email, email_folded: _, sysadmin, suspended, created_at } =
            user;
        Self { name, email, sysadmin, suspended, created_at: rfc3339(created_at) }
    }
}

/// The user of this name, in any case.
pub(crate) async fn find(db: &impl ConnectionTrait, name: &str) -> Result<users::Model, ApiError> {
    users::Entity::find().filter(users::Column::NameFolded.eq(folded(name))).one(db).await?.ok_or(ApiError::NotFound)
}
