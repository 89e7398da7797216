//! `/api/v1/users/{name}/backend-credential` and, for everyone who has none, `/api/v1/backend-credential`: what the
//! backend wants to see in `Authorization` in place of a token, while the setting `identity` is `credential` (U6).

pub(crate) mod delete;
pub(crate) mod set;
pub(crate) mod show;

use super::error::ApiError;
use crate::store::users;
use sea_orm::ConnectionTrait;

/// The user in the path, if there is one.
async fn user(db: &impl ConnectionTrait, name: Option<&str>) -> Result<Option<users::Model>, ApiError> {
    match name {
        None => Ok(None),
        Some(name) => super::users::find(db, name).await.map(Some),
    }
}
