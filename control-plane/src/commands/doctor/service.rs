//! What the API says: of itself, of whoever calls it, and of the proxies.

use super::Checks;
use crate::clock;
use crate::commands::client::{Api, Connection};
use crate::commands::{CommandError, Query, text};
use reqwest::StatusCode;
use reqwest::blocking::Client;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// By how much clocks may differ: what a proxy signs is believed for not much longer.
const CLOCKS_MAX_MS: u64 = 5000;

/// How old a snapshot may be of a proxy that hears from us: it asks, and is answered, every 20 s.
const AGE_MAX_MS: u64 = 60_000;

/// What a proxy may need to put a change into force, before it counts as behind.
const CATCH_UP: Duration = Duration::from_secs(2);

const OURS: &str = env!("CARGO_PKG_VERSION");

/// Looks at the API, and through it at the proxies.
pub(super) fn check(checks: &mut Checks, api: &Api, data: &Path) {
    let client = match api.client() {
        Ok(client) => client,
        Err(error) => return checks.fail("API", error.to_string(), "look at --ca and --url"),
    };
    if !answers(checks, api, &client) {
        return;
    }
    version(checks, api, &client);
    let connection = match api.connect_from(data) {
        Ok(connection) => connection,
        Err(error) => return checks.fail("token", error.to_string(), "without one, proxies are not checked"),
    };
    match connection.get("/api/v1/proxies", &Query::new()) {
        Ok(answer) => {
            checks.ok("token", "is a sysadmin's");
            proxies(checks, &connection, answer);
        }
        Err(CommandError::Refused(refusal)) if refusal.status == StatusCode::FORBIDDEN => {
            checks.fail("token", refusal.to_string(), "call as a sysadmin: proxies were not checked");
        }
        Err(error) => {
            let advice = "name a sysadmin's token; if there is none any more: `tokengate user recover`";
            checks.fail("token", error.to_string(), advice);
        }
    }
}

/// Whether it is there, and whether its clock is right.
fn answers(checks: &mut Checks, api: &Api, client: &Client) -> bool {
    let reply = match client.get(api.address("/readyz")).send() {
        Ok(reply) => reply,
        Err(error) => {
            let found = format!("{} does not answer: {}", api.url, error.without_url());
            checks.fail("API", found, "start `tokengate serve`, or name it with --url");
            return false;
        }
    };
    let (now, status) = (clock::now().as_millis(), reply.status());
    let date = reply.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let ready: Value = reply.text().ok().and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
    match ready["ready"].as_bool() {
        Some(true) => checks.ok("API", format!("is ready, at revision {}", text(&ready["revision"]))),
        Some(false) => {
            let advice = "its log says why: most of all, look at the disk and the database";
            checks.fail("API", format!("{} is not ready ({status})", api.url), advice);
        }
        // A proxy in front of it does not hand that path on.
        None => checks.warn(
            "API",
            format!("whether it is ready is not known: /readyz of {} is not the control plane's", api.url),
            "name the control plane itself with --url, to know more",
        ),
    }
    match date.as_deref().and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
        Some(date) => {
            // The header is of whole seconds.
            let theirs = u64::try_from(date.timestamp().as_millisecond()).unwrap_or_default();
            let apart = if now < theirs { theirs - now } else { now.saturating_sub(theirs + 999) };
            match apart {
                ..=CLOCKS_MAX_MS => checks.ok("clock", "is that of the control plane, to within 5 s"),
                apart => {
                    let found = format!("differs from the control plane's by {} s", apart / 1000);
                    checks.warn("clock", found, "let both machines keep their time by NTP");
                }
            }
        }
        None => checks.warn("clock", "was not compared: the answer has no date", "look at both machines' clocks"),
    }
    true
}

fn version(checks: &mut Checks, api: &Api, client: &Client) {
    let reply = client.get(api.address("/api/v1/openapi.json")).send().and_then(reqwest::blocking::Response::text);
    let document: Value = reply.ok().and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
    match document["info"]["version"].as_str() {
        Some(OURS) => checks.ok("version", OURS),
        Some(_) => {
            let found = format!("this program is {OURS}, the control plane {}", text(&document["info"]["version"]));
            checks.warn("version", found, "use the same on both sides");
        }
        None => checks.warn("version", "the control plane does not say it", "look at --url"),
    }
}

fn proxies(checks: &mut Checks, connection: &Connection<'_>, mut answer: Value) {
    if behind(&answer).next().is_some() {
        // One that is just putting a change into force is not behind.
        std::thread::sleep(CATCH_UP);
        let Ok(again) = connection.get("/api/v1/proxies", &Query::new()) else {
            return checks.fail("proxies", "the control plane has stopped to answer", "do this again");
        };
        answer = keep_those_behind(&answer, again);
    }
    let proxies = items(&answer);
    if proxies.is_empty() {
        let advice = "start Envoy with the filter; then look at its log for lines with `tokengate`";
        return checks.warn("proxies", "none has asked for a snapshot yet", advice);
    }
    let named = |is: &dyn Fn(&Value) -> bool| {
        let named = proxies.iter().filter(|proxy| is(proxy));
        named
            .map(|proxy| format!("{} ({})", text(&proxy["name"]), text(&proxy["instance"])))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let live = |proxy: &Value| proxy["state"] == "live";
    let lost = named(&|proxy| !live(proxy));
    let count = proxies.iter().filter(|proxy| live(proxy)).count();
    if lost.is_empty() {
        checks.ok("proxies", format!("{count}, all of them live"));
    } else {
        let advice = "they may still decide from their last snapshot: see whether they run and reach the control plane; \
                      `tokengate proxy forget INSTANCE` if they are gone for good";
        checks.warn("proxies", format!("{count} live; lost: {lost}"), advice);
    }
    let mut look =
        |what, is: &dyn Fn(&Value) -> bool, fine: &str, found: &str, advice: &str, fails: bool| match named(&|proxy| {
            live(proxy) && is(proxy)
        }) {
            names if names.is_empty() => checks.ok(what, fine),
            names if fails => checks.fail(what, format!("{found}: {names}"), advice),
            names => checks.warn(what, format!("{found}: {names}"), advice),
        };
    look(
        "revision",
        &|proxy| is_behind(&answer, proxy),
        "every live proxy has the newest",
        "behind",
        "a change is not in force there: look at Envoy's log for lines with `tokengate`",
        true,
    );
    look(
        "feed",
        &|proxy| proxy["age_ms"].as_u64().is_some_and(|age| age > AGE_MAX_MS),
        "every live proxy has heard from the control plane within a minute",
        "has not heard from the control plane for more than a minute",
        "look at the way between them, and at both logs",
        true,
    );
    look(
        "clocks of proxies",
        &|proxy| proxy["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.unsigned_abs() > CLOCKS_MAX_MS),
        "differ by no more than 5 s",
        "differ by more than 5 s",
        "let these machines keep their time by NTP: tokens begin and end there at other times, and what such a proxy signs \
         is refused",
        true,
    );
    look(
        "filter",
        &|proxy| proxy["filter_version"].as_str().is_some_and(|version| version != OURS),
        "has this program's version",
        "has another version than this program",
        "fine during an upgrade, if they are one release apart; then give these proxies this release's filter",
        false,
    );
    look(
        "snapshot",
        &|proxy| proxy["pages_left_out"].as_u64().is_some_and(|pages| pages > 0),
        "is whole everywhere",
        "had to leave out pages",
        "requests that need what is on them are refused: look at Envoy's log, and restart it",
        true,
    );
}

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

fn is_behind(answer: &Value, proxy: &Value) -> bool {
    answer["revision"].as_u64().is_some_and(|newest| proxy["revision"].as_u64().unwrap_or_default() < newest)
}

fn behind(answer: &Value) -> impl Iterator<Item = &Value> {
    items(answer).iter().filter(|proxy| proxy["state"] == "live" && is_behind(answer, proxy))
}

/// The later answer, held against the earlier revision: under load there is always something newer.
fn keep_those_behind(earlier: &Value, mut later: Value) -> Value {
    later["revision"] = earlier["revision"].clone();
    later
}
