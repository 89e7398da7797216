//! `POST /api/v1/tokens/{id}/rotate`: puts a new token with the same properties in the place of one's own or, for
//! sysadmins, anyone's. The old one works on for a while, if that is wanted, so that a script can be changed in between.

use super::create::Created;
use super::make::Material;
use super::validity::{Wanted, span_of};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::idempotency::{IdempotencyKey, Repeatable};
use crate::api::input::Segment;
use crate::api::openapi::ChangeRefusals;
use crate::change::NewToken;
use crate::permission::Action;
use crate::store::tokens::{self, timestamp};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use policy::settings::{Age, Validity};
use policy::{DenyReason, Timestamp};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How long the old token may work on: longer, and it would be another token rather than the old one.
const OVERLAP_MAX: Age = Age::from_seconds(30 * 24 * 60 * 60);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// How long the old token works on, such as `30s`, `15m`, `24h`, at most `30d`, and never beyond its own end. Not given:
    /// it is deleted at once.
    #[schema(nullable = false, pattern = "^[0-9]{1,7}[smhd]$", example = "24h")]
    overlap: Option<String>,
    /// The end of the new token. Not given: it lasts as long as the old one was made for.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// In place of `expires_at`: `6m`, `1y`, `2y`, a number of days such as `90d`, or `never`.
    #[schema(value_type = Option<String>, pattern = "^(6m|1y|2y|[1-9][0-9]{0,3}d|never)$")]
    validity: Option<Validity>,
}

/// Rotates a token: one's own; sysadmins: anyone's.
///
/// The new one has label, owner, scope, addresses and restrictions of the old one, which ends after `overlap`. 201 with the
/// new token; 403 `only_admins_create` while that setting is on; 409 `last_sysadmin_token`. Allowed in secure mode, and to
/// an owner who has as many tokens as are allowed.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/rotate",
    operation_id = "rotate_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The public id of the token."), IdempotencyKey),
    request_body = RotateBody,
    responses((status = 201, description = "The new token.", body = Created), ChangeRefusals),
)]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
    Repeatable(attempt, body): Repeatable<RotateBody>,
) -> Result<Response, ApiError> {
    let RotateBody { overlap, expires_at, validity } = body;
    let overlap = overlap.as_deref().map(read_overlap).transpose()?.unwrap_or(Age::from_seconds(0));
    let wanted = Wanted::read(expires_at.as_deref(), validity)?;
    let material = Material::minted(&app)?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    if let Some(answer) = attempt.answered(&app.store, &change, &caller).await? {
        return Ok(answer);
    }
    let (permit, old, owner) = super::find(change.transaction(), &caller, Action::RotateToken, &id).await?;
    let (settings, now) = (&change.settings().0, change.now());
    if settings.only_admins_create && !caller.user.sysadmin {
        return Err(ApiError::OnlyAdminsCreate);
    }
    if old.owner_id.is_none() && !settings.unbound_tokens {
        return Err(ApiError::Denied(DenyReason::UnboundTokensOff));
    }
    // One that is yet to begin does not begin earlier by being another one.
    let valid_from = old.valid_from.map(timestamp).filter(|from| *from > now);
    let expires_at = wanted.or_as_long_as(span_of(&old)).end(settings, valid_from, now)?;
    let label = old.label.clone();
    let new = NewToken {
        public_id: material.public_id,
        hash: material.hash,
        label: &label,
        owner_id: old.owner_id,
        valid_from,
        expires_at,
        read_only: old.read_only,
        imported: false,
        ip_ranges: super::stored_ip_ranges(&old)?,
        restrictions: super::stored_restrictions(&old)?,
        recoverable: material.recoverable,
    };
    let old_ends = end_of_old(&old, overlap, now);
    let token = change.rotate_token(&permit, old, new, old_ends).await?;
    let answer = Created::new(material.secret.as_ref(), token, owner.as_ref())?;
    attempt.commit(&app.store, change, &caller, StatusCode::CREATED, &answer).await
}

/// When the old token ends; `None`: at once.
fn end_of_old(old: &tokens::Model, overlap: Age, now: Timestamp) -> Option<Timestamp> {
    let end = Timestamp::from_millis(now.as_millis().saturating_add(overlap.as_millis()));
    let end = old.expires_at.map(timestamp).map_or(end, |own| own.min(end));
    (end > now).then_some(end)
}

fn read_overlap(text: &str) -> Result<Age, ApiError> {
    let overlap = Age::try_from(text).ok().filter(|overlap| *overlap <= OVERLAP_MAX);
    overlap.ok_or_else(|| ApiError::BadRequest("overlap must be a time such as 30s, 15m or 24h, at most 30d.".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m5_an_overlap_is_at_most_thirty_days() {
        assert_eq!(read_overlap("24h").unwrap().as_seconds(), 86_400);
        assert_eq!(read_overlap("30d").unwrap(), OVERLAP_MAX);
        for text in ["", "24", "31d", "721h", "-1s", "1w", "99999999999999999999d"] {
            assert!(read_overlap(text).is_err(), "{text}");
        }
    }
}
