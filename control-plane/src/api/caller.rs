//! Who is calling: a token, judged by the very function that judges in the proxies.

use super::REQUEST_ID;
use super::error::ApiError;
use crate::App;
use crate::change::{Author, Change, ChangeError};
use crate::clock;
use crate::permission::{Action, Permit, Role, Whose, permit};
use crate::store::{Store, tokens, users};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use policy::{DenyReason, Facts, Found, Request, Settings, Site, Snapshot, Timestamp, Verdict, decide};
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
    /// Begins a change by this caller, and gives the caller as it is now that the change has begun: what was read before
    /// may have been revoked meanwhile.
    pub(crate) async fn begin(self, store: &Store, now: Timestamp) -> Result<(Change<'_>, Self), ApiError> {
        let Self { user, token_id, request_id } = self;
        let author = Author::Caller { user_id: user.id, token_id: token_id.clone(), request_id: request_id.clone() };
        let change = Change::begin(store, author, now).await?;
        let user = change.caller().cloned().ok_or(ChangeError::CallerGone)?;
        Ok((change, Self { user, token_id, request_id }))
    }

    /// Asks the table of permissions for the caller.
    pub(crate) fn may(&self, action: Action, whose: Whose) -> Result<Permit, ApiError> {
        let role = if self.user.sysadmin { Role::Sysadmin } else { Role::User };
        permit(role, action, whose).ok_or(ApiError::Forbidden)
    }

    /// Whose a thing of this user is.
    pub(crate) fn whose(&self, owner_id: i64) -> Whose {
        if owner_id == self.user.id { Whose::Own } else { Whose::Others }
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
        // The user is the one to whom the token belongs, not one who has the same name today.
        let gone = || ApiError::Denied(DenyReason::TokenDeleted);
        let token_id = grant.token().id.clone();
        let token = tokens::Entity::find().filter(tokens::Column::PublicId.eq(&token_id)).one(&app.store.db).await?;
        let owner_id = token.filter(|token| token.deleted_at.is_none()).ok_or_else(gone)?.owner_id;
        let user = users::Entity::find_by_id(owner_id).one(&app.store.db).await?;
        let user = user.filter(|user| user.name_folded.is_some() && !user.suspended).ok_or_else(gone)?;
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        Ok(Self { user, token_id, request_id })
    }
}
