//! M2, `/rest/de.resolution.apitokenauth/latest/user/`: API Token Authentication (resolution). A user's key is the user's name.
//!
//! What its documents leave open, beside what [`search`] says of its pages:
//! - Creation: 0 or -1 months are without end (as a `lastAccessed` of 0 is never), and 1 to 120 are accepted; months and a time
//!   exclude each other; the time is a [`Moment`](super::moment::Moment), and answered as Java writes an `Instant`.
//!   A `tokenScope` is heeded: 1 is read-only, 2 is read and write, and there is no other.
//! - What has no end has a `validUntil` and `tokenExpirationDateTimeMillis` of 0, as a number that is always there wants it, and
//!   a `tokenExpirationDateTime` of null.
//! - An edited token is answered as the list shows it; deleting all of a user's, 200 and `true`, as deleting one.
//! - Refusals: 400 is `{"errorMessage"}` alone; others are problems in which the `errorMessage` stands besides.

mod create;
mod delete;
mod describe;
mod list;
mod search;

use super::Route;
use crate::api::error::Told;
use axum::middleware;
use axum::response::Response;
use axum::routing::{delete, get, patch, post};

/// The numbers of scopes.
const READ_ONLY: i64 = 1;
const READ_AND_WRITE: i64 = 2;

pub(super) fn routes() -> Vec<Route> {
    let routes = [
        ("POST", "/rest/de.resolution.apitokenauth/latest/user/token", post(create::create)),
        ("GET", "/rest/de.resolution.apitokenauth/latest/user/token", get(list::list)),
        ("PATCH", "/rest/de.resolution.apitokenauth/latest/user/token/{id}", patch(describe::describe)),
        ("DELETE", "/rest/de.resolution.apitokenauth/latest/user/token/{id}", delete(delete::remove)),
        (
            "DELETE",
            "/rest/de.resolution.apitokenauth/latest/user/token/deleteAllFor/{name}",
            delete(delete::remove_all_for),
        ),
        ("GET", "/rest/de.resolution.apitokenauth/latest/user/tokensByFilter", get(search::search)),
    ];
    let told = || middleware::map_response(with_error_message);
    routes.into_iter().map(|(method, path, handler)| Route { method, path, handler: handler.layer(told()) }).collect()
}

/// Tells a refusal as the product's scripts read one.
async fn with_error_message(mut response: Response) -> Response {
    if let Some(told) = response.extensions_mut().get_mut::<Told>() {
        told.with_error_message = true;
    }
    response
}
