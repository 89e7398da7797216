//! `POST /api/v1/tokens/{id}/try`: which of the last calls with a token other restrictions would refuse; of one's own or,
//! for sysadmins, of anyone's.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, Segment};
use crate::api::openapi::ChangeRefusals;
use crate::api::site::SiteBody;
use crate::api::trial::{self, TrialView};
use crate::permission::{Action, Whose};
use crate::trial::{Plan, calls_of};
use axum::Json;
use axum::extract::State;
use policy::restrictions::Set;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenTrialBody {
    /// For which requests it is to be good; none: for all.
    restrictions: Vec<String>,
    /// On how many records of the audit of calls; 1,000 if not given.
    #[schema(nullable = false, minimum = 1, maximum = 10_000)]
    last: Option<u64>,
    #[serde(default)]
    #[schema(required = false)]
    site: SiteBody,
    /// Whether you know that no call came with a header or a parameter that overrides its method. A restricted token is
    /// refused then.
    #[serde(default)]
    assume_no_override: bool,
}

/// Tries other restrictions of a token on the last calls with it: one's own; sysadmins: anyone's.
///
/// Nothing is changed, so it works in secure mode too: create another token with them. It answers as the trial of settings
/// does; users see those calls that they see in the audit of calls. 200 with the answers; 400 `invalid_restrictions`,
/// `restrictions_too_costly`; 503 `busy` while another trial is under way.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/try",
    operation_id = "try_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The public id of the token.")),
    request_body = TokenTrialBody,
    responses((status = 200, description = "What would become of the calls.", body = TrialView), ChangeRefusals),
)]
pub(crate) async fn try_out(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
    Body(body): Body<TokenTrialBody>,
) -> Result<Json<TrialView>, ApiError> {
    let TokenTrialBody { restrictions, last, site, assume_no_override } = body;
    let (_permit, token, _owner) = super::find(&app.store.db, &caller, Action::TryToken, &id).await?;
    let restrictions = Set::parse(&restrictions).map_err(ApiError::InvalidRestrictions)?;
    let all = caller.may(Action::ListCalls, Whose::Others).is_ok();
    // Their own calls alone, as in the audit: what was before was somebody else of the same name.
    let user_from = (!all).then(|| (caller.user.name.clone(), caller.user.created_at));
    let id = token.public_id;
    let plan = Plan {
        settings: None,
        restrictions: Some((id.clone(), restrictions)),
        search: calls_of(Some(id), user_from),
        last: trial::last(last)?,
        site: site.read()?,
        no_override: assume_no_override,
    };
    trial::run(app, plan, all).await
}
