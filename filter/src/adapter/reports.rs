//! Bringing batches of usage from the outbox to the control plane: the holder of the lease does it.
//!
//! A batch goes out until the control plane has it, always with the same number, so that it counts once.

use super::counters::Counters;
use super::feed::random;
use super::host::{self, ProxyData};
use crate::outbox::{self, Window};
use crate::snapshot;
use crate::store::HostFailure;
use policy::feed::{Receipt, Report, SyncKey, USAGE_PATH};
use std::time::Duration;

/// How often a report goes out while there is anything to report, in milliseconds.
const EVERY_MS: u64 = 250;

/// After how long a report counts as lost, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

const BACKOFF_MAX_MS: u64 = 2000;

/// The reports of one VM.
pub(crate) struct Reports {
    key: SyncKey,
    name: String,
    cluster: String,
    /// What is being reported: as long as it has not arrived, no more is added to it, so that batches which are still
    /// growing can go on doing so.
    window: Option<Window>,
    under_way: Option<UnderWay>,
    not_before: u64,
    backoff: u64,
}

struct UnderWay {
    call: u32,
    nonce: [u8; 16],
    instance: [u8; 16],
}

impl Reports {
    pub(crate) fn new(key: SyncKey, name: String, cluster: String) -> Self {
        Self { key, name, cluster, window: None, under_way: None, not_before: 0, backoff: EVERY_MS }
    }

    /// Whether this HTTP call is a report that is under way.
    pub(crate) fn is_awaiting(&self, call: u32) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| under_way.call == call)
    }

    /// Sends what there is, if it is time. (The host ends each call after its time-out, with an answer of its own.)
    pub(crate) fn tick(&mut self, counters: &Counters, now: u64) -> Result<(), HostFailure> {
        if now < self.not_before || self.under_way.is_some() {
            return Ok(());
        }
        self.not_before = now.saturating_add(EVERY_MS);
        if self.window.is_none() {
            self.window = outbox::seal(&ProxyData)?;
        }
        let Some(window) = self.window else {
            return Ok(());
        };
        let (nonce, instance) = (random()?, snapshot::instance(&ProxyData, random()?)?);
        let batches = outbox::batches(&ProxyData, window)?;
        let report = Report {
            key_id: self.key.id(),
            instance,
            name: &self.name,
            sent_at: host::wall_clock()?,
            nonce,
            first: window.first,
            batches: batches.iter().map(Vec::as_slice).collect(),
        };
        let body = report.seal(&self.key).ok_or(HostFailure)?;
        let headers = vec![
            (":method", "POST"),
            (":path", USAGE_PATH),
            (":authority", "tokengate"),
            ("content-type", "application/octet-stream"),
        ];
        match host::dispatch_http_call(&self.cluster, headers, Some(&body), Duration::from_millis(TIMEOUT_MS)) {
            Ok(call) => self.under_way = Some(UnderWay { call, nonce, instance }),
            Err(HostFailure) => self.failed(counters, now),
        }
        Ok(())
    }

    /// Takes the answer to the report that is under way.
    pub(crate) fn answered(&mut self, status: Option<u16>, counters: &Counters) -> Result<(), HostFailure> {
        let now = host::monotonic_clock()?;
        let Some(UnderWay { nonce, instance, .. }) = self.under_way.take() else {
            return Ok(());
        };
        let body = if status == Some(200) { host::http_call_body() } else { Err(HostFailure) };
        let Some(receipt) = body.ok().and_then(|body| Receipt::open(&body, nonce, instance, &self.key)) else {
            self.failed(counters, now);
            return Ok(());
        };
        counters.count("usage_reports_total");
        outbox::free(&ProxyData, receipt.taken)?;
        // What has piled up goes out at once.
        let piled_up = outbox::used(&ProxyData)? > outbox::PLACES / 8;
        (self.window, self.backoff) = (None, EVERY_MS);
        self.not_before = if piled_up { now } else { self.not_before };
        Ok(())
    }

    /// Another VM does it now, and begins with what has not arrived.
    pub(crate) fn give_up(&mut self) {
        self.under_way = None;
        self.window = None;
    }

    fn failed(&mut self, counters: &Counters, now: u64) {
        counters.count("usage_reports_failed_total");
        self.not_before = now.saturating_add(self.backoff);
        self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX_MS);
    }
}
