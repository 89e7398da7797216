//! `POST /api/v1/import/tokens`: takes over tokens that work elsewhere, from a file of any length (M6). Sysadmins only.
//!
//! ```text
//! bytes ── lines ── rows ── judged ── spool ─┤ the file is whole ├── judged again ── one change, or one for each batch
//! ```
//!
//! While the file comes, each line is read, its token hashed, and what is wrong noted; memory holds a batch. Only when all
//! of it is there does a change begin: nobody waits for a slow client, and one that breaks off leaves nothing. What is
//! checked by then is checked again in the change, since others went on meanwhile.
//!
//! All or nothing is one change, for which others wait, some seconds for 100,000 tokens; with `keep_going` each batch is
//! one, and others have their turn in between.

mod intake;
mod judge;
mod lines;
mod row;
mod spool;

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::openapi::{ChangeRefusals, Fault as FaultView};
use crate::api::plain_json::media_type;
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use intake::Intake;
use judge::Judge;
use lines::Lines;
use policy::problem::Fault;
use row::{Row, Wrong};
use serde::{Deserialize, Serialize};
use spool::Spool;
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

/// Errors that are answered, place by place; the others are counted. Whoever has so many mends the file in another way.
const FAULTS_MAX: usize = 1_000;

/// Rows that are judged, spooled and inserted at a time: a statement takes 32,766 values, of which a token has 14.
const BATCH: usize = 500;

/// Files that may be under way at a time: each has a spool, and room for its hashes.
const PLACES: usize = 4;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParams {
    /// Only look whether it could be done.
    #[serde(default)]
    dry_run: bool,
    /// Take over what can be, and leave out the lines that cannot; else one such line is enough to take over none.
    #[serde(default)]
    keep_going: bool,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportedTokens {
    /// How many tokens were taken over; with `dry_run`, would be.
    created: usize,
    /// How many lines were left out.
    refused: usize,
    /// Whether nothing was changed.
    dry_run: bool,
    /// What is wrong with lines that were left out, for at most 1,000 of them: `#/17/owner` is the owner in line 17.
    #[schema(value_type = Vec<FaultView>)]
    errors: Vec<Fault>,
}

/// Takes over tokens that work elsewhere, by their values or SHA-256, from a file. For sysadmins.
///
/// The file is a table whose first line names the columns (`text/csv`), or an object a line (`application/x-ndjson`):
/// `token` or `sha256`, `label`, `owner` or `unbound`, `valid_from`, `expires_at` or `validity`, `scope`, `ip_ranges`,
/// `restrictions`. At most 200,000 lines of 128 KiB, 256 MiB in all. 200; 400 `invalid_tokens` with every error and its
/// line in `errors` (`#/17/owner`), and then none is taken over, unless `keep_going` is asked for.
#[utoipa::path(
    post,
    path = "/api/v1/import/tokens",
    operation_id = "import_tokens",
    tag = "tokens",
    params(ImportParams),
    request_body(
        content((String = "text/csv"), (String = "application/x-ndjson")),
        description = "The file. It is taken in as it comes.",
    ),
    responses((status = 200, description = "How many.", body = ImportedTokens), ChangeRefusals),
)]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ImportParams>,
    request: Request,
) -> Result<Json<ImportedTokens>, ApiError> {
    static UNDER_WAY: Semaphore = Semaphore::const_new(PLACES);
    caller.may(Action::ImportTokens, Whose::Others)?;
    let lines = lines_of(request.headers())?;
    let _place = UNDER_WAY.try_acquire().map_err(|_| ApiError::Busy)?;
    tracing::info!(request_id = caller.request_id, "a file of tokens comes in");
    let mut intake = Intake::new(&app, lines, params.keep_going)?;
    intake.take(request.into_body()).await?;
    let Intake { spool, mut refused, .. } = intake;
    if refused.count > 0 && !params.keep_going {
        return Err(refused.into());
    }
    // All of it is here: whoever goes from now on leaves nothing half done.
    let created = match (params.dry_run, params.keep_going) {
        (true, _) => spool.rows,
        (false, true) => some(&app, caller, spool, &mut refused).await?,
        (false, false) => all(&app, caller, spool).await?,
    };
    let (refused, errors) = refused.in_order();
    Ok(Json(ImportedTokens { created, refused, dry_run: params.dry_run, errors }))
}

fn lines_of(headers: &HeaderMap) -> Result<Lines, ApiError> {
    match media_type(headers).as_deref() {
        Some("text/csv") => Ok(Lines::of_csv()),
        Some("application/x-ndjson") => Ok(Lines::of_json()),
        _ => Err(ApiError::NeitherCsvNorJsonLines),
    }
}

/// Takes all rows over in one change, or none.
async fn all(app: &App, caller: Caller, spool: Spool) -> Result<usize, ApiError> {
    let (mut spooled, mut created, mut refused) = (spool.read().await.map_err(unspooled)?, 0, Refused::default());
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ImportTokens, Whose::Others)?;
    let (mut judge, settings) = (Judge::at(change.now()), change.settings());
    loop {
        let rows = spooled.next(BATCH).await.map_err(unspooled)?;
        if rows.is_empty() {
            break;
        }
        let judged = judge.judge(change.transaction(), &settings.0, &rows).await?;
        let good = refused.sift(rows, judged);
        created += good.len();
        // What somebody has put in the way since.
        if refused.count == 0 {
            change.import_tokens(&permit, good).await?;
        }
    }
    if refused.count > 0 {
        change.undo().await?;
        return Err(refused.into());
    }
    match created {
        0 => change.undo().await?,
        _ => change.commit().await?,
    };
    Ok(created)
}

/// Takes over the rows that can be, a batch a change; gives how many.
async fn some(app: &App, caller: Caller, spool: Spool, refused: &mut Refused) -> Result<usize, ApiError> {
    let (mut spooled, mut created, mut caller) = (spool.read().await.map_err(unspooled)?, 0, caller);
    loop {
        let rows = spooled.next(BATCH).await.map_err(unspooled)?;
        if rows.is_empty() {
            return Ok(created);
        }
        let (mut change, as_it_is_now) = caller.begin(&app.store).await?;
        caller = as_it_is_now;
        let permit = caller.may(Action::ImportTokens, Whose::Others)?;
        let settings = change.settings();
        let judged = Judge::at(change.now()).judge(change.transaction(), &settings.0, &rows).await?;
        let good = refused.sift(rows, judged);
        created += good.len();
        if good.is_empty() {
            change.undo().await?;
        } else {
            change.import_tokens(&permit, good).await?;
            change.commit().await?;
        }
    }
}

/// Lines that cannot be.
#[derive(Default)]
struct Refused {
    count: usize,
    /// Of the first of them, with their lines.
    faults: Vec<(u64, Fault)>,
}

impl Refused {
    fn note(&mut self, line: u64, wrong: Vec<Wrong>) {
        self.count += 1;
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(wrong.into_iter().take(room).map(|wrong| (line, wrong.at(line))));
    }

    /// Those rows that fit; the others are noted.
    fn sift(&mut self, rows: Vec<Row>, judged: Vec<Result<judge::Fit, Wrong>>) -> Vec<crate::change::TokenToImport> {
        let mut good = Vec::with_capacity(rows.len());
        for (row, fit) in rows.into_iter().zip(judged) {
            match fit {
                Ok(fit) => good.push(fit.token(row)),
                Err(wrong) => self.note(row.line, vec![wrong]),
            }
        }
        good
    }

    /// How many there are, and what is wrong with the first of them, in the order of the lines.
    fn in_order(self) -> (usize, Vec<Fault>) {
        let Self { count, mut faults } = self;
        faults.sort_by_key(|(line, _)| *line);
        (count, faults.into_iter().map(|(_, fault)| fault).collect())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let (count, faults) = refused.in_order();
        Self::InvalidTokens { count, faults }
    }
}

fn unspooled(error: io::Error) -> ApiError {
    ApiError::Internal(format!("rows cannot wait on the disk: {error}").into())
}
