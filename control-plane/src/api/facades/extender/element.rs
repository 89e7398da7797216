//! A token as this facade shows one.

use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::tokens::read_ip_ranges;
use crate::api::tokens::rows::Row;
use crate::store::{audit, tokens};
use policy::record::PROGRAM;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use std::collections::HashMap;
use zeroize::Zeroizing;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Element {
    author_key: String,
    user_key: String,
    user_display_name: String,
    label: String,
    user: String,
    /// The token itself: to whom it is shown is not decided here.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Zeroizing<String>>,
    id: i64,
    limit_to: String,
    ip: String,
    valid_until: Option<i64>,
    date_created: i64,
    counter: i64,
}

impl Element {
    pub(super) fn new(
        Row { token, owner, usage }: Row,
        maker: Option<String>,
        shown: Option<Zeroizing<String>>,
    ) -> Result<Self, ApiError> {
        let tokens::Model { id, label, created_at, expires_at, ip_ranges, restrictions, .. } = token;
        let ip: Vec<String> = read_ip_ranges(ip_ranges.as_deref())?.iter().map(ToString::to_string).collect();
        let user = owner.unwrap_or_default();
        Ok(Self {
            author_key: maker.unwrap_or_default(),
            user_key: user.clone(),
            user_display_name: user.clone(),
            label,
            user,
            token: shown,
            id,
            limit_to: restrictions.unwrap_or_default().lines().collect::<Vec<_>>().join("<br>"),
            ip: ip.join(","),
            valid_until: expires_at,
            date_created: created_at,
            counter: usage.map_or(0, |usage| usage.uses),
        })
    }
}

/// The users who made these tokens, by the tokens' public ids, as far as the audit still knows and the caller may: what
/// others did is in it for sysadmins alone. (The program made the first.)
pub(super) async fn makers(
    db: &impl ConnectionTrait,
    caller: &Caller,
    rows: &[Row],
) -> Result<HashMap<String, String>, ApiError> {
    let mut makers = audit::makers_of(db, rows.iter().map(|row| &row.token)).await?;
    makers.retain(|_, maker| maker != PROGRAM && (caller.user.sysadmin || *maker == caller.user.name));
    Ok(makers)
}
