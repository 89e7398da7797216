//! What the filter counts, in the proxy's own statistics.
//!
//! They live in the host, so a VM that vanishes takes none with it. In Envoy they are `wasmcustom.tokengate.…` in
//! `/stats` and `tokengate_…` in `/stats/prometheus`. Verdict and code stand in the names; the `stats_tags` of
//! `envoy.yaml` make labels of them:
//! `tokengate_requests_total{tokengate_verdict="refused",tokengate_code="unknown_token"}`.

use super::host::{self, Metric};
use policy::Verdict;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The numbers of one VM: only their ids are kept here.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    ids: RefCell<BTreeMap<String, Option<u32>>>,
}

impl Counters {
    /// Counts a verdict.
    pub(crate) fn verdict(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Admit(_) => self.count("requests_total.verdict.admitted"),
            Verdict::Pass(_) => self.count("requests_total.verdict.passed"),
            Verdict::NeedBody => {} // counted once it is judged
            Verdict::Deny(reason) => self.count(&["requests_total.verdict.refused.code.", reason.code()].concat()),
        }
    }

    /// Adds one to a counter.
    pub(crate) fn count(&self, name: &str) {
        if let Some(id) = self.id(Metric::Counter, name) {
            host::increment_metric(id);
        }
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, name: &str, value: u64) {
        if let Some(id) = self.id(Metric::Gauge, name) {
            host::record_metric(id, value);
        }
    }

    fn id(&self, kind: Metric, name: &str) -> Option<u32> {
        let mut ids = self.ids.borrow_mut();
        if let Some(id) = ids.get(name) {
            return *id;
        }
        let id = host::define_metric(kind, &["tokengate.", name].concat());
        ids.insert(name.into(), id);
        id
    }
}
