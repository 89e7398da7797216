//! M3, `/rest/extender/1.0/tokenTools/`: the API tokens of the app Extender.
//!
//! What its documents leave open, and what is decided:
//!
//! - Times are numbers, in epoch milliseconds, as in the app's own examples; `validUntil` is null where there is no end.
//! - `get` gives sysadmins everyone's tokens and everybody else their own, in the order of their creation. `maxResults` beyond
//!   1,000 is 1,000, and 0 is as good as none; the answer says how many it was. Of more than 100,000 tokens not all are
//!   counted: `total` is then more than has been seen, so that a script goes on, and `startAt` beyond is 400, and no end.
//! - `authorKey` is the user who made the token, as far as the audit still knows: empty, as there, if that was another and no
//!   sysadmin asks. A user's key, display name and name are one here; an unbound token has none of them.
//! - `token` is there in standard mode with one's own tokens, and each time the audit has it of each. Whoever comes in
//!   somebody else's name is not the owner.
//! - `ip` has the address ranges with commas in between. `set` takes it as well: a script that makes a token of what it got
//!   must not lose a restriction.
//! - `set` answers 200 with the element as in `get`, and the token; `delete` 200. Both say `"status":"ok"` first.
//! - What a token is to be, only sysadmins say, as with those that they import: others could take what somebody has for a
//!   password or a name. So the 409 for a value that is a token already tells nobody who could only guess.
//! - Null is as good as nothing. Without `userName` a token is one's own; only the empty one makes it unbound.
//! - Numbers may stand in quotes. `delete` takes either kind of id, as `id` or as `tokenId`, but not both at once.

mod create;
mod element;
mod list;
mod remove;

use super::Route;
use axum::routing::{delete, get, post};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route { method: "GET", path: "/rest/extender/1.0/tokenTools/get", handler: get(list::list) },
        Route { method: "POST", path: "/rest/extender/1.0/tokenTools/set", handler: post(create::create) },
        Route { method: "DELETE", path: "/rest/extender/1.0/tokenTools/delete", handler: delete(remove::remove) },
    ]
}

/// That it was done; and what came of it, if there is something.
#[derive(Serialize)]
struct Done<T> {
    status: &'static str,
    #[serde(flatten)]
    outcome: Option<T>,
}

impl<T> Done<T> {
    fn new(outcome: Option<T>) -> Self {
        Self { status: "ok", outcome }
    }
}

/// A whole number, or a text that may be one: scripts in a shell put everything in quotes.
struct NumberOrText(String);

impl<'de> Deserialize<'de> for NumberOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = NumberOrText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number, or a text")
            }

            fn visit_i64<E>(self, number: i64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<NumberOrText, E> {
                Ok(NumberOrText(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NumberOrText, E> {
                Ok(NumberOrText(text.trim().to_owned()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
