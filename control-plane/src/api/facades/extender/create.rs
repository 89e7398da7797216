//! `POST …/set`: creates a token: one's own; sysadmins: anyone's, or for whoever is named beside it (U4).

use super::element::{self, Element};
use super::{Done, NumberOrText};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::{days, make_of};
use crate::api::input::Body;
use crate::api::tokens::make::{ChosenValue, ForWhom, Made, Material, Wish, shown_once};
use crate::api::tokens::rows::Row;
use crate::api::tokens::validity::Wanted;
use axum::Json;
use axum::extract::State;
use policy::IpRule;
use policy::credential::Secret;
use policy::restrictions::Set;
use serde::Deserialize;
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewToken {
    label: String,
    /// 0, like none: for as long as is allowed.
    days_until_expiry: Option<NumberOrText>,
    /// Empty: for whoever is named beside it.
    user_name: Option<String>,
    limit_to: Option<String>,
    ip: Option<String>,
    /// The token itself, if the caller chooses it; empty, like none: it is made here.
    token: Option<Zeroizing<String>>,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(NewToken { label, days_until_expiry, user_name, limit_to, ip, token }): Body<NewToken>,
) -> Result<Json<Done<Element>>, ApiError> {
    let restrictions = limit_to.map(|lines| Set::parse(&[lines])).transpose();
    let mut wish = Wish {
        label: Some(label),
        owner: match user_name {
            None => ForWhom::Unsaid,
            Some(name) if name.is_empty() => ForWhom::Anybody,
            Some(name) => ForWhom::Named(name),
        },
        wanted: days_until_expiry.map_or(Ok(Wanted::TheLongest), wanted)?,
        ip_ranges: ip.as_deref().map(ip_ranges).transpose()?,
        restrictions: restrictions.map_err(|errors| ApiError::InvalidRestrictionsIn("limitTo", errors))?,
        ..Wish::default()
    };
    wish.check()?;
    let material = match token.filter(|value| !value.is_empty()) {
        None => Material::minted(&app)?,
        Some(value) => Material::chosen(&app, chosen(&value)?)?,
    };
    let (Made { token, owner, secret }, caller) = make_of(&app, caller, wish, material).await?;
    let row = Row { token, owner: owner.map(|owner| owner.name), usage: None };
    let maker = element::makers(&app.store.db, &caller, std::slice::from_ref(&row)).await?.remove(&row.token.public_id);
    let element = Element::new(row, maker, secret.as_ref().map(shown_once))?;
    Ok(Json(Done::new(Some(element))))
}

fn wanted(NumberOrText(text): NumberOrText) -> Result<Wanted, ApiError> {
    match text.as_str() {
        "" | "0" => Ok(Wanted::TheLongest),
        // What is no such number, or too large for one, is as wrong as the largest.
        text => Ok(Wanted::For(days("daysUntilExpiry", text.parse().unwrap_or(u16::MAX))?)),
    }
}

/// Address ranges, separated as `get` gives them, or as `limitTo` may be.
fn ip_ranges(text: &str) -> Result<Vec<IpRule>, ApiError> {
    let parts = text.split("<br>").flat_map(|part| part.split([',', '\n'])).map(str::trim);
    let range = |part: &str| part.parse().map_err(|must| ApiError::BadRequest(format!("ip: each of them {must}.")));
    parts.filter(|part| !part.is_empty()).map(range).collect()
}

fn chosen(value: &str) -> Result<ChosenValue, ApiError> {
    let value = ChosenValue::read(Secret::new(value.into()), ChosenValue::LEN_MIN);
    value.map_err(|must| ApiError::BadRequest(format!("token {must}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m3_no_days_or_none_at_all_are_the_longest_time_that_is_allowed() {
        for text in ["", "0"] {
            assert!(matches!(wanted(NumberOrText(text.into())), Ok(Wanted::TheLongest)), "{text}");
        }
        assert!(matches!(wanted(NumberOrText("30".into())), Ok(Wanted::For(_))));
        for text in ["-1", "00", "3651", "65536", "18446744073709551616", "1e3", "7.0", "never"] {
            assert!(wanted(NumberOrText(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn m3_address_ranges_come_back_as_they_were_given() {
        let ranges = ip_ranges("10.0.0.0/8,192.0.2.7 , 2001:db8::1<br>192.0.2.1-192.0.2.5\n").unwrap();
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["10.0.0.0/8", "192.0.2.7", "2001:db8::1", "192.0.2.1-192.0.2.5"]);
        assert!(ip_ranges("").unwrap().is_empty());
        assert!(ip_ranges("10.0.0.1;10.0.0.2").is_err() && ip_ranges("everywhere").is_err());
    }
}
