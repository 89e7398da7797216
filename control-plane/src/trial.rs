//! Trying a change on the calls of the audit (S9): which of the last would it refuse?
//!
//! ```text
//! calls, a slice at a time ─▶ whom they name, as they are now ─▶ policy::trial ─▶ counts, and some of the calls
//! ```
//!
//! It only reads, by the connections that read, and never looks at the image, so it holds up no change. Each slice is a few
//! short statements; in between nothing is held in the database. It works on a thread of its own, since it computes; there
//! is one for sysadmins and one for everybody else, and each trial ends after [`TIME_MAX`], done or not.

mod people;

use crate::App;
use crate::store::search::{Place, Search};
use crate::store::tokens::timestamp;
use crate::store::{Store, calls};
use people::People;
use policy::restrictions::Set;
use policy::trial::{Answer, Missing, Trial, Tried, Would};
use policy::usage::Call;
use policy::{Settings, Site};
use sea_orm::DbErr;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{JoinError, JoinHandle};

/// Calls of one slice: what is read for them at once stays small, and a statement short.
const SLICE: u64 = 500;

/// How long a trial may take: the caller waits for it, and a thousand heavy regexes on each of 10,000 calls take longer.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Calls that are shown of each kind: the counts tell of all of them.
pub(crate) const SHOWN_MAX: usize = 100;

/// What is to be tried.
pub(crate) struct Plan {
    /// These in place of the settings in force.
    pub(crate) settings: Option<Settings>,
    /// These restrictions, or none, for the token with this id.
    pub(crate) restrictions: Option<(String, Option<Set>)>,
    /// On which calls.
    pub(crate) search: Search<calls::Entity>,
    /// On so many records of them.
    pub(crate) last: u64,
    /// What the proxies protect.
    pub(crate) site: Site,
    /// The caller knows that no call overrode its method.
    pub(crate) no_override: bool,
}

/// The calls on which is tried, the newest first: all, or those with a token; from a time on those of a user alone.
pub(crate) fn calls_of(token: Option<String>, user_from: Option<(String, i64)>) -> Search<calls::Entity> {
    let (user, from) = user_from.unzip();
    Search::new([(calls::Column::Token, token), (calls::Column::User, user)], [], from, None)
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Calls that were judged.
    pub(crate) tried: u64,
    pub(crate) not_tried: NotTried,
    pub(crate) refuses: Counts,
    pub(crate) admits: Counts,
    /// Calls that would be refused with the change and without it.
    pub(crate) refused_already: u64,
    /// Of the calls that it would refuse, how many for which reason; `None`: for one of several.
    pub(crate) codes: BTreeMap<Option<&'static str>, u64>,
    /// Of the undecidable calls, for how many what is missing.
    pub(crate) missing: BTreeMap<Missing, u64>,
    /// When the oldest call was that was looked at.
    pub(crate) oldest: Option<i64>,
    /// Whether it ended before it was done.
    pub(crate) out_of_time: bool,
    /// Those that are affected, or may be: the newest [`SHOWN_MAX`] of each kind.
    pub(crate) calls: Vec<(calls::Model, Tried)>,
}

/// How many calls could not be judged.
#[derive(Debug, Default)]
pub(crate) struct NotTried {
    /// Their token is gone.
    pub(crate) token_gone: u64,
    /// The user beside an unbound token, or on whose behalf it was, is gone.
    pub(crate) user_gone: u64,
    /// Only their number is on record.
    pub(crate) only_counted: u64,
}

/// How many calls were answered how.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) yes: u64,
    pub(crate) no: u64,
    pub(crate) undecidable: u64,
}

impl Counts {
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Yes => self.yes += 1,
            Answer::No => self.no += 1,
            Answer::Undecidable => self.undecidable += 1,
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    #[error("another trial is under way")]
    Busy,
    #[error("the trial failed: {0}")]
    Failed(#[from] JoinError),
    #[error("the database: {0}")]
    Database(#[from] DbErr),
}

/// Tries it.
pub(crate) async fn run(app: Arc<App>, plan: Plan, by_sysadmin: bool) -> Result<Report, TrialError> {
    static OF_SYSADMINS: Semaphore = Semaphore::const_new(1);
    static OF_OTHERS: Semaphore = Semaphore::const_new(1);
    let places = if by_sysadmin { &OF_SYSADMINS } else { &OF_OTHERS };
    let place = places.try_acquire().map_err(|_| TrialError::Busy)?;
    let runtime = Handle::current();
    Ok(on_a_thread(place, move || runtime.block_on(judge_all(&app.store, plan))).await??)
}

/// Works on a thread of its own. The place goes with it, since a thread works on when whoever asked has gone: else one
/// could ask, hang up and ask again, and have as many threads at work as one likes.
fn on_a_thread<T: Send + 'static>(
    place: SemaphorePermit<'static>,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    })
}

async fn judge_all(store: &Store, plan: Plan) -> Result<Report, DbErr> {
    let Plan { settings, restrictions, search, last, site, no_override } = plan;
    let (started, opened) = (Instant::now(), store.settings());
    let (present, keys) = &*opened;
    let tried = settings.as_ref().unwrap_or(present);
    let trial = Trial::new(present, tried, keys, no_override);
    let restrictions = restrictions.map(|(token, set)| (token, set.map(Rc::new)));
    let mut people = People::new(store, [present, tried], restrictions.as_ref());
    let (mut report, mut after, mut left) = (Report::default(), None::<Place>, last);
    while left > 0 {
        // A page may be empty though there are more.
        if started.elapsed() > TIME_MAX {
            report.out_of_time = true;
            break;
        }
        let found = search.page(&store.db, after, left.min(SLICE)).await?;
        left = left.saturating_sub(found.rows.len() as u64);
        people.meet(&found.rows).await?;
        for row in found.rows {
            if started.elapsed() > TIME_MAX {
                report.out_of_time = true;
                return Ok(report);
            }
            report.oldest = Some(row.at);
            let Some(call) = call(&row) else {
                report.not_tried.only_counted += row.calls.max(0).cast_unsigned();
                continue;
            };
            // The control plane's own paths are what they are; those of the proxies are theirs to say.
            let site = if row.proxy.is_empty() { &Site::default() } else { &site };
            match people.party(&call) {
                Ok(party) => report.add(row, trial.judge(&call, &party, site)),
                Err(people::Gone::Token) => report.not_tried.token_gone += 1,
                Err(people::Gone::User) => report.not_tried.user_gone += 1,
            }
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    Ok(report)
}

/// A row as the proxy told it; `None`: several calls that were only counted.
fn call(row: &calls::Model) -> Option<Call> {
    Some(Call {
        at: timestamp(row.at),
        token: row.token.clone(),
        user: row.user.clone(),
        actor: row.actor.clone(),
        method: row.method.clone()?,
        path: row.path.clone()?,
        address: row.address.as_deref().and_then(|address| address.parse().ok()),
        outcome: row.outcome.clone(),
        status: None,
        request_id: String::new(),
    })
}

impl Report {
    fn add(&mut self, row: calls::Model, tried: Tried) {
        self.tried += 1;
        self.refuses.add(tried.refuses);
        self.admits.add(tried.admits);
        if let (Would::Refused(_), Would::Refused(_)) = (tried.before, tried.after) {
            self.refused_already += 1;
        }
        if tried.refuses == Answer::Yes {
            *self.codes.entry(code(tried.after)).or_default() += 1;
        }
        for missing in &tried.missing {
            *self.missing.entry(*missing).or_default() += 1;
        }
        let kind = Kind::of(&tried);
        let shown = || self.calls.iter().filter(|(_, tried)| Kind::of(tried) == kind).count();
        if kind != Kind::Unaffected && shown() < SHOWN_MAX {
            self.calls.push((row, tried));
        }
    }
}

/// How a call is affected.
#[derive(PartialEq, Eq)]
enum Kind {
    Refused,
    Admitted,
    Undecidable,
    Unaffected,
}

impl Kind {
    fn of(tried: &Tried) -> Self {
        match (tried.refuses, tried.admits) {
            (Answer::Yes, _) => Self::Refused,
            (_, Answer::Yes) => Self::Admitted,
            (Answer::Undecidable, _) | (_, Answer::Undecidable) => Self::Undecidable,
            (Answer::No, Answer::No) => Self::Unaffected,
        }
    }
}

/// Why it would be refused, if it can be for one reason alone.
pub(crate) fn code(would: Would) -> Option<&'static str> {
    match would {
        Would::Refused(reason) => reason.map(policy::DenyReason::code),
        Would::Pass | Would::Undecidable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::search::tests::{assert_plan, database};

    #[tokio::test]
    async fn attack_s9_whoever_hangs_up_makes_no_room_for_another_trial_before_theirs_has_ended() {
        static PLACES: Semaphore = Semaphore::const_new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let place = PLACES.try_acquire().unwrap();
        let asked = on_a_thread(place, move || ended.recv());
        drop(asked);
        assert!(PLACES.try_acquire().is_err(), "the thread still works");
        end.send(()).unwrap();
        drop(PLACES.acquire().await.unwrap());
    }

    /// A statement that read the whole table, or sorted it, would take seconds of a connection, and with it keep the log of
    /// the database from being put away.
    #[tokio::test]
    async fn attack_s9_whatever_calls_are_tried_they_are_read_along_an_index() {
        let (db, _directory) = database().await;
        let (token, user) = (|| Some("t1".to_owned()), || Some(("alice".to_owned(), 7)));
        for (search, index) in [
            (calls_of(None, None), "calls_at"),
            (calls_of(token(), None), "calls_token"),
            (calls_of(token(), user()), "calls_token"),
        ] {
            assert_plan(&db, &search, index).await;
        }
    }
}
