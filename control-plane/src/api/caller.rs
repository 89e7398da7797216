//! Who is calling: a token, judged by the very function that judges in the proxies.

use super::REQUEST_ID;
use super::error::ApiError;
use crate::App;
use crate::change::Author;
use crate::clock;
use crate::permission::{Action, Permit, Role, Whose, permit};
use crate::store::users;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use policy::record::folded;
use policy::{Facts, Found, Request, Settings, Site, Snapshot, Verdict, decide};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use std::sync::Arc;

/// A user who came with a token that was admitted.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: users::Model,
    token_id: String,
    request_id: Option<String>,
}

impl Caller {
    /// Asks the table of permissions for the caller.
    pub(crate) fn may(&self, action: Action, whose: Whose) -> Result<Permit, ApiError> {
        let role = if self.user.sysadmin { Role::Sysadmin } else { Role::User };
        permit(role, action, whose).ok_or(ApiError::Forbidden)
    }

    /// Whose a thing of this user is.
    pub(crate) fn whose(&self, owner_id: i64) -> Whose {
        if owner_id == self.user.id { Whose::Own } else { Whose::Others }
    }

    /// The caller, for the audit.
    pub(crate) fn author(&self) -> Author {
        Author {
            name: self.user.name.clone(),
            token_id: Some(self.token_id.clone()),
            request_id: self.request_id.clone(),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        // Only path and credential are given: whatever identity the request claims otherwise is not even looked at.
        let path = std::iter::once((b":path".as_slice(), parts.uri.path().as_bytes()));
        let credentials =
            parts.headers.get_all(AUTHORIZATION).iter().map(|value| (b"authorization".as_slice(), value.as_bytes()));
        let headers: Vec<_> = path.chain(credentials).collect();
        let request = Request::read(&headers, &Site::default());
        let found = match request.token_hash(&app.store.filter_keys.token_hash) {
            None => Found::NotLookedUp,
            Some(hash) => match app.store.with_image(|image| image.find(&hash).cloned()) {
                Some(record) => Found::Token(record),
                None => Found::Nothing,
            },
        };
        let settings = Settings::default();
        let snapshot = Snapshot::Ready { settings: &settings, age_ms: 0 };
        let grant = match decide(&Facts { request: &request, snapshot, found: &found, now: clock::now() }) {
            Verdict::Admit(grant) => grant,
            Verdict::Deny(reason) => return Err(ApiError::Denied(reason)),
            Verdict::Pass => return Err(ApiError::CredentialsRequired),
        };
        let user = users::Entity::find()
            .filter(users::Column::NameFolded.eq(folded(grant.user())))
            .one(&app.store.db)
            .await?
            .filter(|user| !user.suspended)
            .ok_or(ApiError::CredentialsRequired)?;
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Self { user, token_id: grant.token().id.clone(), request_id })
    }
}
