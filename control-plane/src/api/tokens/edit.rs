//! `PATCH /api/v1/tokens/{id}`: changes label, end, scope, addresses and restrictions of a token, one's own or, for
//! sysadmins, anyone's. In secure mode, which is the default, nobody does (S7).

use super::validity::Wanted;
use super::{TokenView, check_ip_ranges, check_label};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Segment, Versioned};
use crate::api::openapi::ChangeRefusals;
use crate::change::{Change, TokenEdit};
use crate::permission::Action;
use crate::store::tokens::timestamp;
use axum::extract::State;
use policy::restrictions::Set;
use policy::settings::Validity;
use policy::{IpRule, Scope};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What is left out stays; an empty list takes all away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenEditBody {
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    label: Option<String>,
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<String>,
    /// In place of `expires_at`, from now.
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(6m|1y|2y|[1-9][0-9]{0,3}d|never)$")]
    validity: Option<Validity>,
    #[schema(value_type = Option<super::ScopeName>, nullable = false)]
    scope: Option<Scope>,
    /// From where it may be used.
    #[schema(value_type = Option<Vec<String>>, nullable = false, max_items = 50)]
    ip_ranges: Option<Vec<IpRule>>,
    /// For which requests it may be used.
    #[schema(nullable = false)]
    restrictions: Option<Vec<String>>,
}

/// Edits a token: one's own; sysadmins: anyone's. Not in secure mode.
///
/// 200 with the token; 400 `invalid_restrictions`, `restrictions_too_costly`; 403 `secure_mode`, and `only_admins_create` while that setting is on; 409 `last_sysadmin_token` for
/// the last one by which anybody could administer.
#[utoipa::path(
    patch,
    path = "/api/v1/tokens/{id}",
    operation_id = "edit_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The public id of the token."), IfMatch),
    request_body = TokenEditBody,
    responses((status = 200, description = "The token.", body = TokenView, headers(("ETag" = String))), ChangeRefusals),
)]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
    if_match: IfMatch,
    Body(body): Body<TokenEditBody>,
) -> Result<Versioned<TokenView>, ApiError> {
    let TokenEditBody { label, expires_at, validity, scope, ip_ranges, restrictions } = body;
    let label = label.as_deref().map(str::trim);
    label.map_or(Ok(()), check_label)?;
    ip_ranges.as_deref().map_or(Ok(()), check_ip_ranges)?;
    let wanted = match Wanted::read(expires_at.as_deref(), validity)? {
        Wanted::TheLongest => None,
        wanted => Some(wanted),
    };
    let restrictions = match restrictions {
        None => None,
        Some(lines) => Some(Set::parse(&lines).map_err(ApiError::InvalidRestrictions)?),
    };
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, token, owner) = super::find(change.transaction(), &caller, Action::EditToken, &id).await?;
    expect_editable(&app, &change, &caller)?;
    if_match.expect(&super::version(&token))?;
    let (settings, now) = (&change.settings().0, change.now());
    let valid_from = token.valid_from.map(timestamp);
    let expires_at = wanted.map(|wanted| wanted.end(settings, valid_from, now)).transpose()?;
    let read_only = scope.map(|scope| scope == Scope::ReadOnly);
    let edit = TokenEdit { label, expires_at, read_only, ip_ranges, restrictions };
    let token = change.edit_token(&permit, token, owner.as_ref(), edit).await?;
    change.commit().await?;
    let owner = owner.as_ref().map(|owner| owner.name.as_str());
    TokenView::load(&app.store.db, token, owner).await
}

/// That tokens are edited here, and by this caller.
pub(crate) fn expect_editable(app: &App, change: &Change<'_>, caller: &Caller) -> Result<(), ApiError> {
    if app.secure_mode {
        return Err(ApiError::SecureMode);
    }
    // To edit is to make another one of the same value.
    if change.settings().0.only_admins_create && !caller.user.sysadmin {
        return Err(ApiError::OnlyAdminsCreate);
    }
    Ok(())
}
