//! `/api/v1/users`.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod edit;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod password;
pub(crate) mod show;

use super::error::ApiError;
use super::input::{Version, Versioned, rfc3339};
use crate::store::users;
use policy::record::{check_email, check_user_name, folded};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use serde::Serialize;
use utoipa::ToSchema;

/// A user as the API shows one.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserView {
    name: String,
    email: Option<String>,
    sysadmin: bool,
    suspended: bool,
    #[schema(format = DateTime)]
    created_at: String,
    /// Whether there is a local password, by which to sign in at the API.
    has_password: bool,
}

impl From<users::Model> for UserView {
    fn from(user: users::Model) -> Self {
        let users::Model {
            id: _,
            name,
            name_folded: _,
            email,
            email_folded: _,
            sysadmin,
            suspended,
            created_at,
            password_hash,
        } = user;
        Self {
            name,
            email,
            sysadmin,
            suspended,
            created_at: rfc3339(created_at),
            has_password: password_hash.is_some(),
        }
    }
}

/// What is wrong with a user to be: the field, and a sentence.
fn unfit(name: &str, email: Option<&str>) -> Option<(&'static str, String)> {
    let name = check_user_name(name).err().map(|must| ("name", must));
    let wrong = name.or_else(|| email.and_then(|email| check_email(email).err()).map(|must| ("email", must)));
    wrong.map(|(field, must)| (field, format!("{field} {must}.")))
}

/// The version of a user that an edit can be made from.
fn version(user: &users::Model) -> Version {
    Version::of(&(&user.name, &user.email, user.sysadmin, user.suspended, &user.password_hash))
}

fn versioned(user: users::Model) -> Versioned<UserView> {
    Versioned(version(&user), user.into())
}

/// The user of this name, in any case.
pub(crate) async fn find(db: &impl ConnectionTrait, name: &str) -> Result<users::Model, ApiError> {
    users::Entity::find().filter(users::Column::NameFolded.eq(folded(name))).one(db).await?.ok_or(ApiError::NotFound)
}
