//! Taking in what proxies report of calls: the audit of calls, and when and how often each token was used (A2, M7).
//!
//! A report is one transaction, in which its batches are also ticked off: however often a batch comes, it counts once.
//! Calls that came to the control plane itself, with a token, are gathered here and take the same way every second.

use crate::App;
use crate::clock;
use crate::fault;
use crate::keys::hex;
use crate::store::tokens::stored;
use crate::store::{Store, calls, token_usage, tokens, usage_reports};
use policy::Timestamp;
use policy::feed::Report;
use policy::settings::AuditCalls;
use policy::usage::{ADMITTED, Call, Counted, Counts, Entry, entries};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _, TransactionTrait as _,
};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Rows of one statement.
const ROWS: usize = 500;

/// How often calls at the control plane itself are written.
const OWN_CALLS_EVERY: Duration = Duration::from_secs(1);

/// Those that wait for it; more are only counted.
const OWN_CALLS_MAX: usize = 10_000;

/// Refused ones among them: nobody fills the database with those.
const OWN_REFUSALS_MAX: usize = 50;

/// How long it is remembered up to where the reports of a proxy came that has fallen silent; a day less, and a recorded one
/// is refused.
pub(crate) const REMEMBER_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Calls that came to the control plane itself and are yet to be written.
#[derive(Default)]
pub(crate) struct OwnCalls(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    calls: Vec<Call>,
    /// Of these, those that were not admitted.
    refused: usize,
    counts: Counts,
}

impl OwnCalls {
    /// Takes a call; `whole`: the administrator wants it told whole.
    pub(crate) fn add(&self, call: Call, whole: bool) {
        let mut waiting = self.waiting();
        let refused = usize::from(!call.is_admitted());
        if whole && waiting.calls.len() < OWN_CALLS_MAX && waiting.refused + refused <= OWN_REFUSALS_MAX {
            waiting.refused += refused;
            waiting.calls.push(call);
        } else {
            waiting.counts.add(call.counted());
        }
    }

    fn take(&self) -> Vec<Entry> {
        let Waiting { calls, counts, .. } = std::mem::take(&mut *self.waiting());
        calls.into_iter().map(Entry::Call).chain(counts.into_iter().map(Entry::Counted)).collect()
    }

    fn put_back(&self, entries: Vec<Entry>) {
        for entry in entries {
            match entry {
                Entry::Call(call) => self.add(call, true),
                Entry::Counted(counted) => self.waiting().counts.add(counted),
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the calls that came to the control plane itself, every second; never returns.
pub(crate) async fn keep_writing(app: &App) {
    let mut seconds = tokio::time::interval(OWN_CALLS_EVERY);
    loop {
        seconds.tick().await;
        write_own(app).await;
    }
}

/// Writes those that are there now.
pub(crate) async fn write_own(app: &App) {
    let entries = app.own_calls.take();
    if entries.is_empty() {
        return;
    }
    if let Err(error) = record(&app.store, entries.clone(), "").await {
        tracing::error!(%error, "the use of tokens at the control plane could not be recorded; it will be tried again");
        app.own_calls.put_back(entries);
    }
}

async fn record(store: &Store, entries: Vec<Entry>, proxy: &str) -> Result<(), DbErr> {
    let _turn = store.turn_to_record().await;
    let transaction = store.writer.begin().await?;
    Taken::of(entries, clock::now(), is_audited(store)).write(&transaction, proxy).await?;
    transaction.commit().await
}

/// Whether the administrator wants to know of calls at all. If not, proxies send numbers, which are no audit records.
fn is_audited(store: &Store) -> bool {
    store.settings().0.audit_calls != AuditCalls::Off
}

/// Takes a report in; gives the number of the batch that is wanted next. Before the proxy may forget what it reported,
/// [`Store::durable`] must be settled.
pub(crate) async fn take(store: &Store, report: &Report<'_>) -> Result<u64, DbErr> {
    let instance = hex(&report.instance).to_string();
    let (now, first) = (clock::now(), i64::try_from(report.first).unwrap_or(i64::MAX));
    // Read before it is our turn, for which changes wait.
    let batches: Vec<_> = report.batches.iter().map(|batch| entries(batch)).collect();
    let _turn = store.turn_to_record().await;
    let transaction = store.writer.begin().await?;
    // The first statement writes, so that nobody else does until the end.
    let row =
        usage_reports::ActiveModel { instance: Set(instance.clone()), next: Set(first), seen_at: Set(stored(now)) };
    let seen =
        OnConflict::column(usage_reports::Column::Instance).update_column(usage_reports::Column::SeenAt).to_owned();
    usage_reports::Entity::insert(row).on_conflict(seen).exec_without_returning(&transaction).await?;
    let known = usage_reports::Entity::find_by_id(&instance).one(&transaction).await?;
    let next = known.map_or(0, |row| row.next).cast_unsigned();
    if report.first > next {
        // The database was restored from a backup, most likely: what it had taken in since then is gone.
        tracing::warn!(proxy = report.name, batches = report.first - next, "batches of usage are missing");
    }
    let skip = usize::try_from(next.saturating_sub(report.first)).unwrap_or(usize::MAX);
    let mut new = Vec::new();
    for batch in batches.into_iter().skip(skip) {
        match batch {
            Some(entries) => new.extend(entries),
            // It will not get better by coming again.
            None => tracing::error!(proxy = report.name, "a batch of usage cannot be read, and is left out"),
        }
    }
    let end = Ord::max(next, report.first.saturating_add(u64::try_from(report.batches.len()).unwrap_or(0)));
    Taken::of(new, now, is_audited(store)).write(&transaction, report.name).await?;
    usage_reports::Entity::update_many()
        .col_expr(usage_reports::Column::Next, Expr::value(i64::try_from(end).unwrap_or(i64::MAX)))
        .filter(usage_reports::Column::Instance.eq(instance))
        .exec(&transaction)
        .await?;
    fault::point("report-before-commit");
    transaction.commit().await?;
    store.durable.committed();
    fault::point("report-after-commit");
    Ok(end)
}

/// Forgets up to where the reports of proxies came that have long been gone.
pub(crate) async fn forget_the_gone(store: &Store) -> Result<(), DbErr> {
    let gone = usage_reports::Column::SeenAt.lt(stored(clock::ago(REMEMBER_MS)));
    usage_reports::Entity::delete_many().filter(gone).exec(&store.writer).await.map(|_| ())
}

/// Entries as they go into the database.
#[derive(Default)]
struct Taken {
    calls: Vec<calls::ActiveModel>,
    used: HashMap<String, Counted>,
}

impl Taken {
    /// A proxy's clock may be wrong; nothing was used in the future.
    fn of(entries: Vec<Entry>, now: Timestamp, audited: bool) -> Self {
        let mut taken = Self::default();
        for entry in entries {
            let (row, counted) = match entry {
                Entry::Call(call) => {
                    let call = Call { at: call.at.min(now), ..call };
                    (row(&call), call.counted())
                }
                Entry::Counted(counted) => {
                    let counted = Counted { last_at: counted.last_at.min(now), ..counted };
                    (row_of_several(&counted), counted)
                }
            };
            if audited {
                taken.calls.push(row);
            }
            if let Some(token) = counted.token.clone().filter(|_| counted.outcome == ADMITTED) {
                taken.used.entry(token).and_modify(|used| used.add(&counted)).or_insert(counted);
            }
        }
        taken
    }

    async fn write(self, transaction: &DatabaseTransaction, proxy: &str) -> Result<(), DbErr> {
        let Self { calls: mut rows, used } = self;
        for row in &mut rows {
            row.proxy = Set(proxy.to_owned());
        }
        while !rows.is_empty() {
            let some: Vec<_> = rows.drain(..rows.len().min(ROWS)).collect();
            calls::Entity::insert_many(some).exec_without_returning(transaction).await?;
        }
        let names: Vec<&String> = used.keys().collect();
        for names in names.chunks(ROWS) {
            let known = tokens::Entity::find()
                .filter(tokens::Column::PublicId.is_in(names.iter().copied()))
                .all(transaction)
                .await?;
            let rows: Vec<_> = known
                .iter()
                .filter_map(|token| used.get(&token.public_id).map(|used| use_of(token.id, used)))
                .collect();
            if !rows.is_empty() {
                token_usage::Entity::insert_many(rows).on_conflict(added()).exec_without_returning(transaction).await?;
            }
        }
        Ok(())
    }
}

fn use_of(token_id: i64, used: &Counted) -> token_usage::ActiveModel {
    token_usage::ActiveModel {
        token_id: Set(token_id),
        uses: Set(used.calls.try_into().unwrap_or(i64::MAX)),
        last_at: Set(stored(used.last_at)),
        last_address: Set(used.last_address.map(|address| address.to_string())),
    }
}

/// What a new use does to what is known: it adds up, and the latest is the last, whichever is reported first.
fn added() -> OnConflict {
    use token_usage::Column::{LastAddress, LastAt, TokenId, Uses};
    let table = "token_usage";
    let (present, new) = (|column| Expr::col((table, column)), |column| Expr::col(("excluded", column)));
    let is_later = || new(LastAt).gte(present(LastAt));
    let latest = |column| -> Expr { Expr::case(is_later(), new(column)).finally(present(column)).into() };
    OnConflict::column(TokenId)
        .value(Uses, present(Uses).add(new(Uses)))
        .value(LastAddress, latest(LastAddress))
        .value(LastAt, latest(LastAt))
        .to_owned()
}

fn row(call: &Call) -> calls::ActiveModel {
    calls::ActiveModel {
        id: NotSet,
        at: Set(stored(call.at)),
        calls: Set(1),
        outcome: Set(call.outcome.clone()),
        token: Set(call.token.clone()),
        user: Set(call.user.clone()),
        actor: Set(call.actor.clone()),
        method: Set(Some(call.method.clone())),
        path: Set(Some(call.path.clone())),
        address: Set(call.address.map(|address| address.to_string())),
        status: Set(call.status.map(i32::from)),
        request_id: Set(Some(call.request_id.clone()).filter(|id| !id.is_empty())),
        proxy: NotSet,
    }
}

fn row_of_several(counted: &Counted) -> calls::ActiveModel {
    calls::ActiveModel {
        id: NotSet,
        at: Set(stored(counted.last_at)),
        calls: Set(counted.calls.try_into().unwrap_or(i64::MAX)),
        outcome: Set(counted.outcome.clone()),
        token: Set(counted.token.clone()),
        user: Set(None),
        actor: Set(None),
        method: Set(None),
        path: Set(None),
        address: Set(counted.last_address.map(|address| address.to_string())),
        status: Set(None),
        request_id: Set(None),
        proxy: NotSet,
    }
}
