//! Facades (M1 to M4): the exchanges on which scripts rely that were written for other products. Each is thin, over what the
//! native API does, and in a file of its own, where the choices stand that the other product's documents leave open.
//!
//! The setting `facades` switches each on and off, here and in the proxies, which route a facade's paths to the backend while
//! it is off. They authenticate as the native API does, and refuse as it does unless a file says otherwise. Fields that nobody
//! knows are ignored: scripts send what their product took.

mod extender;
mod listing;
mod pat;

use super::error::ApiError;
use crate::App;
use crate::store::tokens;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use policy::settings::{Facade, Validity};
use sea_orm::ColumnTrait as _;
use sea_orm::sea_query::SimpleExpr;
use std::sync::Arc;

/// A route of a facade, with a slash at its end and without: some scripts write one, and their product took both.
#[derive(Clone)]
struct Route {
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Arc<App>>,
}

fn routes(facade: Facade) -> Vec<Route> {
    match facade {
        Facade::ApiTokens => Vec::new(),
        Facade::Resolution => Vec::new(),
        Facade::Extender => extender::routes(),
        Facade::Pat => pat::routes(),
    }
}

/// The routes of all facades.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Facade::ALL.iter().fold(Router::new(), |all, facade| {
        let of_this =
            served(&routes(*facade)).fold(Router::new(), |router, (path, handler)| router.route(&path, handler));
        let layer = middleware::from_fn_with_state((app.clone(), *facade), only_while_on);
        all.merge(if routes(*facade).is_empty() { of_this } else { of_this.route_layer(layer) })
    })
}

/// The paths of these routes, and those that differ from them by a slash at the end alone, unless that is a route by itself.
fn served(routes: &[Route]) -> impl Iterator<Item = (String, MethodRouter<Arc<App>>)> {
    let other = |path: &str| path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let is_one = |method: &str, path: &str| routes.iter().any(|route| (route.method, route.path) == (method, path));
    routes.iter().flat_map(move |Route { method, path, handler }| {
        let other = Some(other(path)).filter(|other| !is_one(method, other));
        [Some((*path).to_owned()), other].into_iter().flatten().map(|path| (path, handler.clone()))
    })
}

/// A facade that is off is not there.
async fn only_while_on(
    State((app, facade)): State<(Arc<App>, Facade)>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if app.store.settings().0.facades.contains(&facade) { Ok(next.run(request).await) } else { Err(ApiError::NotFound) }
}

/// The token that a script names, by its number, as the other products have them, or by its public id.
fn is_called(id: &str) -> Result<SimpleExpr, ApiError> {
    if id.len() == tokens::PUBLIC_ID_LEN {
        return Ok(tokens::Column::PublicId.eq(id));
    }
    let number = id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse::<i64>().ok()).flatten();
    number.map(|number| tokens::Column::Id.eq(number)).ok_or(ApiError::NotFound)
}

/// A validity of so many days, which stand in this field.
fn days(field: &str, days: u16) -> Result<Validity, ApiError> {
    Validity::try_from(format!("{days}d").as_str())
        .map_err(|_| ApiError::BadRequest(format!("{field} must be 1 to 3,650 days.")))
}

/// A stored time in ISO 8601, in UTC and with its zone, always with milliseconds.
fn iso(stored: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(stored).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_even_if_there_are_none() {
        assert_eq!(iso(1_574_000_000_000), "2019-11-17T14:13:20.000Z");
        assert_eq!(iso(1_574_000_000_120), "2019-11-17T14:13:20.120Z");
        assert_eq!(iso(i64::MAX), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn a_token_is_called_by_a_number_or_by_its_public_id() {
        for id in ["7", "0123456789abcdef0123", "01234567890123456789"] {
            assert!(is_called(id).is_ok(), "{id}");
        }
        for id in ["", "-7", "+7", "7.0", "99999999999999999999999", "all", "0123456789abcdef012"] {
            assert!(is_called(id).is_err(), "{id}");
        }
    }

    /// Every route as every role is tried end to end; here it is seen that none was forgotten there.
    #[test]
    fn every_route_of_a_facade_is_in_the_printed_table_of_permissions() {
        let table = include_str!("../../permissions.txt");
        for Route { method, path, .. } in Facade::ALL.iter().flat_map(|facade| routes(*facade)) {
            let is_it = |line: &str| {
                let mut words = line.split_whitespace();
                (words.next(), words.next()) == (Some(method), Some(path))
            };
            assert!(table.lines().any(is_it), "{method} {path} is not in permissions.txt");
        }
    }
}
