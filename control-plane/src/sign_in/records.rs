//! The audit of sign-ins with passwords (A1).
//!
//! Nobody gets in before the record is in the database; a user who comes again from the same address within a minute
//! leaves none. Failed attempts leave one too, [`FAILURES_MAX`] of them a minute at most, so that no flood fills the
//! database: what is beyond that, and what was held up unchecked, is told once a minute as a number. (That number is in
//! memory until then.)

use crate::App;
use crate::clock;
use crate::store::tokens::stored;
use crate::store::{Store, audit, users};
use policy::Timestamp;
use policy::record::PROGRAM;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{DbErr, EntityTrait as _};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Failed attempts a minute that are told one by one.
const FAILURES_MAX: u32 = 20;

/// How long a user who comes again from the same address leaves no further record; how often numbers are written.
const MINUTE_MS: u64 = 60 * 1000;

/// Sign-ins of the last minute that are remembered at most; beyond that some leave a record more than once.
const REMEMBERED_MAX: usize = 10_000;

/// What was recorded of late.
#[derive(Default)]
pub(crate) struct Records(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    /// When whom was told to have signed in, from where.
    signed_in: HashMap<(i64, Option<IpAddr>), Timestamp>,
    /// Failed attempts told in the present minute.
    failures: u32,
    /// Failed attempts, and those held up, that are told as numbers.
    more_failures: u64,
    held_up: u64,
}

/// An attempt as it is told.
pub(crate) struct Told<'a> {
    /// Whom it concerns: a user's name, or what was typed in its place, fit to be read.
    pub(crate) name: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<&'a str>,
    /// Who looked at the password, or why it was no good.
    pub(crate) how: &'static str,
}

impl Records {
    /// Records that a user signed in.
    pub(crate) async fn succeeded(&self, store: &Store, user: &users::Model, told: Told<'_>) -> Result<(), DbErr> {
        let (key, now) = ((user.id, told.address), clock::now());
        {
            let noted = self.noted();
            let last = noted.signed_in.get(&key);
            if last.is_some_and(|last| now.as_millis().abs_diff(last.as_millis()) < MINUTE_MS) {
                return Ok(());
            }
        }
        let Told { name, address, request_id, how } = told;
        let detail = json!({ "address": address, "password_check": how });
        write(store, now, "sign_in", [&user.name, &name], &detail, request_id).await?;
        // Only now: nobody gets in by a record that is yet to be written.
        let mut noted = self.noted();
        if noted.signed_in.len() >= REMEMBERED_MAX {
            noted.signed_in.clear();
        }
        noted.signed_in.insert(key, now);
        Ok(())
    }

    /// Records that somebody could not sign in.
    pub(crate) async fn failed(&self, store: &Store, told: Told<'_>) -> Result<(), DbErr> {
        {
            let mut noted = self.noted();
            if noted.failures >= FAILURES_MAX {
                noted.more_failures += 1;
                return Ok(());
            }
            noted.failures += 1;
        }
        let Told { name, address, request_id, how } = told;
        let detail = json!({ "address": address, "reason": how });
        write(store, clock::now(), "sign_in.failed", [audit::NOBODY_KNOWN, &name], &detail, request_id).await
    }

    /// Counts an attempt that was held up.
    pub(crate) fn held_up(&self) {
        self.noted().held_up += 1;
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the numbers, every minute; never returns.
pub(crate) async fn keep_writing(app: &App) {
    let mut minutes = tokio::time::interval(Duration::from_millis(MINUTE_MS));
    loop {
        minutes.tick().await;
        write_numbers(app).await;
    }
}

/// Writes the numbers that there are now, and begins another minute.
pub(crate) async fn write_numbers(app: &App) {
    let records = &app.sign_in.records;
    let (failures, held_up) = {
        let mut noted = records.noted();
        noted.failures = 0;
        (std::mem::take(&mut noted.more_failures), std::mem::take(&mut noted.held_up))
    };
    if failures == 0 && held_up == 0 {
        return;
    }
    let detail = json!({ "more_failures": failures, "held_up": held_up });
    if let Err(error) =
        write(&app.store, clock::now(), "sign_in.failed", [PROGRAM, audit::NOBODY_KNOWN], &detail, None).await
    {
        tracing::error!(%error, "the number of failed sign-ins could not be recorded; it will be tried again");
        let mut noted = records.noted();
        noted.more_failures += failures;
        noted.held_up += held_up;
    }
}

/// Writes a record of what is no change: it has no revision.
async fn write(
    store: &Store,
    now: Timestamp,
    action: &str,
    [actor, subject]: [&str; 2],
    detail: &Value,
    request_id: Option<&str>,
) -> Result<(), DbErr> {
    let row = audit::ActiveModel {
        id: NotSet,
        at: Set(stored(now)),
        revision: Set(audit::NO_REVISION),
        actor: Set(actor.to_owned()),
        actor_token: Set(None),
        action: Set(action.to_owned()),
        subject: Set(subject.to_owned()),
        detail: Set(detail.to_string()),
        request_id: Set(request_id.map(str::to_owned)),
        on_behalf_of: Set(None),
    };
    let turn = store.turn_to_record().await;
    audit::Entity::insert(row).exec_without_returning(&store.writer).await?;
    store.durable.committed();
    drop(turn);
    store.durable.settle().await.map_err(|error| DbErr::Custom(error.to_string()))
}
