//! Facades (M1 to M4): the exchanges on which scripts rely that were written for other products. Each is thin, over what the
//! native API does, and in a file of its own, where the choices stand that the other product's documents leave open.
//!
//! The setting `facades` switches each on and off, here and in the proxies, which route a facade's paths to the backend while
//! it is off. They authenticate as the native API does, and refuse as it does unless a file says otherwise. Fields that nobody
//! knows are ignored: scripts send what their product took.

mod api_tokens;
mod deletion;
mod extender;
mod listing;
mod moment;
mod pat;
mod resolution;

use super::caller::Caller;
use super::error::ApiError;
use super::input::Segment;
use super::tokens::find_where;
use super::tokens::make::{Made, Material, Wish, make};
use crate::App;
use crate::permission::Action;
use crate::store::tokens;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use policy::settings::{Facade, Validity};
use sea_orm::ColumnTrait as _;
use sea_orm::sea_query::SimpleExpr;
use std::sync::Arc;

/// A route of a facade, with a slash at its end and without: some scripts write one, and their product took both.
struct Route {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the handler knows it; the test that no route is forgotten reads it")
    )]
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Arc<App>>,
}

fn routes(facade: Facade) -> Vec<Route> {
    match facade {
        Facade::ApiTokens => api_tokens::routes(),
        Facade::Resolution => resolution::routes(),
        Facade::Extender => extender::routes(),
        Facade::Pat => pat::routes(),
    }
}

/// The routes of all facades. The products make no difference of a slash at the end, so scripts have it or not.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Facade::ALL.iter().fold(Router::new(), |all, facade| {
        let of_this = routes(*facade).into_iter().fold(Router::new(), |router, Route { path, handler, .. }| {
            let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            router.route(path, handler.clone()).route(&other, handler)
        });
        let layer = middleware::from_fn_with_state((app.clone(), *facade), only_while_on);
        all.merge(of_this.route_layer(layer))
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

/// Makes a new token, in a change of its own.
async fn make_one(app: &App, caller: Caller, mut wish: Wish) -> Result<Made, ApiError> {
    wish.check()?;
    let (made, _caller) = make_of(app, caller, wish, Material::minted(app)?).await?;
    Ok(made)
}

/// Makes a token of this material, and gives the caller as of then.
async fn make_of(app: &App, caller: Caller, wish: Wish, material: Material) -> Result<(Made, Caller), ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let made = make(&mut change, &caller, wish, material).await?;
    change.commit().await?;
    Ok((made, caller))
}

/// Deletes the token in the path, and has nothing to say of it.
async fn remove(State(app): State<Arc<App>>, caller: Caller, Segment(id): Segment) -> Result<StatusCode, ApiError> {
    delete_one(&app, caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the token that a script names.
async fn delete_one(app: &App, caller: Caller, id: &str) -> Result<(), ApiError> {
    let is_it = is_called(id)?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, token, owner) = find_where(change.transaction(), &caller, Action::DeleteToken, is_it).await?;
    change.delete_token(&permit, token, owner.as_ref()).await?;
    change.commit().await?;
    Ok(())
}

/// A validity of so many days, which stand in this field.
fn days(field: &str, days: u16) -> Result<Validity, ApiError> {
    Validity::try_from(format!("{days}d").as_str())
        .map_err(|_| ApiError::BadRequest(format!("{field} must be 1 to 3,650 days.")))
}

/// A stored time in ISO 8601, in UTC and with its zone, always with milliseconds.
fn iso(stored: i64) -> String {
    zoneless(stored) + "Z"
}

/// The same without its zone.
fn zoneless(stored: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(stored).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string()
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
