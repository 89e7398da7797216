//! `POST /api/v1/import/users`: creates many users at once, all of them or none. Sysadmins only.
//!
//! Not below `/api/v1/users/`, where somebody may be called so.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Body;
use crate::api::openapi::ChangeRefusals;
use crate::change::{ChangeError, NewUser};
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::State;
use policy::problem::Fault;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Users of one request: other changes wait for as long as they take, some tenths of a second.
const USERS_MAX: usize = 2_000;

/// Bytes the body may have: so many users with names of some length.
pub(crate) const BODY_LEN_MAX: usize = 512 * 1024;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportBody {
    /// Who is to be a user.
    #[schema(min_items = 1, max_items = 2000)]
    users: Vec<ImportedUser>,
    /// Only look whether it could be done.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportedUser {
    /// 1 to 255 bytes, no colon, slash, backslash, percent sign or control character.
    #[schema(min_length = 1, max_length = 255, example = "alice")]
    name: String,
    /// Serves in place of the name in `Basic`.
    #[schema(example = "alice@example.org")]
    email: Option<String>,
    #[serde(default)]
    sysadmin: bool,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Imported {
    /// How many users were created; with `dry_run`, would be.
    created: usize,
    /// Whether nothing was changed.
    dry_run: bool,
}

/// Creates many users at once, all of them or none. For sysadmins.
///
/// 200; 400 `invalid_users` with every error and its place in `errors`: a name that cannot be one, or that is taken, also
/// by another one of the list.
#[utoipa::path(
    post,
    path = "/api/v1/import/users",
    operation_id = "import_users",
    tag = "users",
    request_body = ImportBody,
    responses((status = 200, description = "How many.", body = Imported), ChangeRefusals),
)]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(ImportBody { users, dry_run }): Body<ImportBody>,
) -> Result<Json<Imported>, ApiError> {
    caller.may(Action::CreateUser, Whose::Others)?;
    if users.is_empty() || users.len() > USERS_MAX {
        return Err(ApiError::BadRequest(format!("users must have 1 to {USERS_MAX} entries.")));
    }
    let unfit = |(index, user): (usize, &ImportedUser)| {
        super::unfit(&user.name, user.email.as_deref()).map(|(field, sentence)| fault(index, field, sentence))
    };
    let mut faults: Vec<Fault> = users.iter().enumerate().filter_map(unfit).collect();
    if !faults.is_empty() {
        return Err(ApiError::InvalidUsers(faults));
    }
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::CreateUser, Whose::Others)?;
    for (index, ImportedUser { name, email, sysadmin }) in users.iter().enumerate() {
        let new = NewUser { name, email: email.as_deref(), sysadmin: *sysadmin };
        match change.create_user(&permit, new).await {
            Ok(_) => {}
            Err(ChangeError::UserExists) => {
                let taken = "is another user's, or its e-mail address is";
                faults.push(fault(index, "name", format!("{name} {taken}.")));
            }
            Err(other) => return Err(other.into()),
        }
    }
    if !faults.is_empty() {
        return Err(ApiError::InvalidUsers(faults));
    }
    if dry_run {
        change.undo().await?;
    } else {
        change.commit().await?;
    }
    Ok(Json(Imported { created: users.len(), dry_run }))
}

fn fault(index: usize, field: &str, detail: String) -> Fault {
    Fault { detail, pointer: format!("#/users/{index}/{field}"), place: None }
}
