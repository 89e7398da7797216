//! What every request of a plugin configuration needs: the rules, and what they are asked about.

use super::counters::Counters;
use super::host::{self, ProxyData};
use crate::feed::LOOK_MS;
use crate::sets::Sets;
use crate::shares::Shares;
use crate::snapshot::{self, Head, Unreadable};
use crate::store::HostFailure;
use crate::usage::{Ticket, Usage};
use policy::assertion::For;
use policy::feed::SyncKey;
use policy::restrictions::{Body, Set};
use policy::settings::{Audience, AuditCalls};
use policy::usage::Call;
use policy::{
    DenyReason, Facts, FilterKeys, Found, KeyedHash, Known, Request, Settings, Site, Snapshot, Sources, Timestamp,
    TokenRecord, UserRecord, Verdict, decide, decide_counted,
};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

/// What every request needs: read-only but for caches, which may vanish, and for what is gathered for the outbox.
pub(crate) struct Judge {
    site: Site,
    pub(crate) sync_key: Option<SyncKey>,
    look: RefCell<Option<Look>>,
    sets: RefCell<Sets>,
    shares: RefCell<Shares>,
    usage: RefCell<Usage>,
    /// Whether a tick takes to the outbox what was gathered.
    ticks: bool,
    /// Whether this VM has been given requests.
    pub(crate) serves: Cell<bool>,
    pub(crate) counters: Counters,
}

/// What was in force when this VM last looked.
#[derive(Clone)]
struct Look {
    at: u64,
    head: Head,
    opened: Opened,
}

/// Settings and the keys that were sealed in them.
type Opened = Rc<(Settings, FilterKeys)>;

/// A verdict, and what it was made from.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    now: Timestamp,
    /// The same moment by the monotonic clock, if anything was looked up.
    clock: u64,
    opened: Option<Opened>,
    known: Known,
}

impl Judged {
    /// The assertion that a grant wants signed; `None`: it wants none.
    pub(crate) fn assertion(&self) -> Result<Option<String>, HostFailure> {
        let Verdict::Admit(grant) = &self.verdict else {
            return Ok(None);
        };
        let Some(audience) = grant.assertion() else {
            return Ok(None);
        };
        let (settings, keys) = self.opened.as_deref().ok_or(HostFailure)?;
        let mut jti = [0; 16];
        getrandom::fill(&mut jti).map_err(|_| HostFailure)?;
        let (key, name) = match audience {
            For::Backend => (&keys.backend_assertion, settings.assertion_audience.as_str()),
            For::ControlPlane => (&keys.control_plane_assertion, Audience::CONTROL_PLANE),
        };
        key.sign(grant, name, self.now, jti).map(Some).ok_or(HostFailure)
    }

    /// Where the administrator says that people find help. On paths for which nothing was looked up it is looked up
    /// now.
    pub(crate) fn help_url(&self, judge: &Judge) -> Option<String> {
        let opened = match &self.opened {
            Some(opened) => opened.clone(),
            None => judge.in_force(host::monotonic_clock().ok()?).ok()??.1,
        };
        opened.0.help_url.as_ref().map(|url| url.as_str().to_owned())
    }

    /// The same request, refused after all.
    pub(crate) fn refused(self, reason: DenyReason) -> Self {
        Self { verdict: Verdict::Deny(reason), ..self }
    }

    /// Bytes of a body that is looked at.
    pub(crate) fn body_limit(&self) -> usize {
        self.opened.as_deref().map_or(0, |(settings, _)| usize::try_from(settings.body_limit.get()).unwrap_or(0))
    }

    /// Whether the call is to be logged.
    pub(crate) fn is_logged(&self) -> bool {
        self.opened.as_deref().is_none_or(|(settings, _)| settings.log_calls)
    }
}

/// The snapshot in force, as the rules ask it.
struct InForce<'a> {
    head: Head,
    sets: &'a RefCell<Sets>,
}

impl Sources for InForce<'_> {
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        snapshot::token(&ProxyData, &self.head, hash)
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        snapshot::user(&ProxyData, &self.head, hash)
    }

    fn restrictions(&self, hash: &KeyedHash) -> Found<Rc<Set>> {
        if let Some(set) = self.sets.borrow_mut().get(hash) {
            return Found::Record(set);
        }
        // One that is missing, or that another release could read, refuses (principle 3).
        let Found::Record(record) = snapshot::restrictions(&ProxyData, &self.head, hash) else {
            return Found::Unreadable;
        };
        let Some(set) = Set::saved(&record.text).map(Rc::new) else {
            return Found::Unreadable;
        };
        self.sets.borrow_mut().keep(*hash, set.clone());
        Found::Record(set)
    }

    fn address(&self) -> Option<IpAddr> {
        host::client_address()
    }
}

impl Judge {
    pub(crate) fn new(site: Site, sync_key: Option<SyncKey>, ticks: bool) -> Self {
        Self {
            site,
            sync_key,
            look: RefCell::new(None),
            sets: RefCell::default(),
            shares: RefCell::default(),
            usage: RefCell::default(),
            ticks,
            serves: Cell::new(false),
            counters: Counters::default(),
        }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Gathers the facts and decides. What cannot be read, or is too old, is read once more from the head on: a new
    /// generation may have come into force between two reads. If that does not help, whoever keeps the snapshot current
    /// is told.
    pub(crate) fn judge(&self, request: &Request, body: Body<'_>) -> Judged {
        let judged = self.judge_once(request, body);
        if !could_not_read(&judged) && !matches!(judged.verdict, Verdict::Deny(DenyReason::NotReady)) {
            return judged;
        }
        self.look.replace(None);
        let judged = self.judge_once(request, body);
        if could_not_read(&judged)
            && let (Ok(Some(head)), Ok(now)) = (snapshot::head(&ProxyData), host::monotonic_clock())
        {
            let _ = snapshot::report_unreadable(&ProxyData, &head, now);
        }
        judged
    }

    fn judge_once(&self, request: &Request, body: Body<'_>) -> Judged {
        self.judged_from_snapshot(request, body).unwrap_or_else(|reason| Judged {
            verdict: Verdict::Deny(reason),
            now: Timestamp::from_millis(0),
            clock: 0,
            opened: None,
            known: Known::default(),
        })
    }

    fn judged_from_snapshot(&self, request: &Request, body: Body<'_>) -> Result<Judged, DenyReason> {
        let failed = |HostFailure: HostFailure| DenyReason::ProxyFailure;
        let now = host::wall_clock().map_err(failed)?;
        let in_force = if request.needs_snapshot() {
            let clock = host::monotonic_clock().map_err(failed)?;
            let in_force = self.in_force(clock).map_err(|Unreadable| DenyReason::SnapshotUnreadable)?;
            in_force.map(|(head, opened)| (head, opened, clock))
        } else {
            None
        };
        let Some((head, opened, clock)) = in_force else {
            let known = Known::default();
            let verdict = decide(&Facts { request, snapshot: Snapshot::Missing, known: &known, body, now });
            return Ok(Judged { verdict, now, clock: 0, opened: None, known });
        };
        let (settings, keys) = &*opened;
        let known = Known::gather(request, settings, keys, &InForce { head, sets: &self.sets });
        let snapshot = Snapshot::Ready { settings, age_ms: head.age_ms(clock) };
        let verdict = self.verdict(&Facts { request, snapshot, known: &known, body, now }, clock);
        Ok(Judged { verdict, now, clock, opened: Some(opened), known })
    }

    /// The verdict, unless the token has had its share of this worker.
    fn verdict(&self, facts: &Facts<'_>, clock: u64) -> Verdict {
        let restricted = facts.known.restrictions.record().and(facts.known.token.record());
        let Some(token) = restricted else {
            return decide(facts);
        };
        if self.shares.borrow().is_used_up(&token.id, clock) {
            return Verdict::Deny(DenyReason::TooManyRequests);
        }
        let (verdict, steps) = decide_counted(facts);
        self.shares.borrow_mut().spend(&token.id, steps, clock);
        verdict
    }

    /// The head in force and its settings, by a look that is at most [`LOOK_MS`] old at `now`: an acknowledgement waits
    /// for longer than that, so what was acknowledged no VM decides without.
    fn in_force(&self, now: u64) -> Result<Option<(Head, Opened)>, Unreadable> {
        let mut look = self.look.borrow_mut();
        if let Some(look) = look.as_ref().filter(|look| (look.at..look.at.saturating_add(LOOK_MS)).contains(&now)) {
            return Ok(Some((look.head, look.opened.clone())));
        }
        let (Some(key), Some(head)) = (&self.sync_key, snapshot::head(&ProxyData)?) else {
            *look = None;
            return Ok(None);
        };
        // Settings of the same epoch, generation and revision are the same.
        let of = |head: &Head| (head.position.epoch, head.generation, head.settings_revision);
        let opened = match look.take().filter(|look| of(&look.head) == of(&head)) {
            Some(look) => look.opened,
            None => Rc::new(snapshot::settings(&ProxyData, &head, key)?),
        };
        *look = Some(Look { at: now, head, opened: opened.clone() });
        Ok(Some((head, opened)))
    }

    /// For how long this proxy goes on deciding if it hears nothing, in milliseconds; `None`: for ever.
    pub(crate) fn trusts_ms(&self, now: u64) -> Option<u64> {
        self.look.replace(None);
        let Ok(Some((_, opened))) = self.in_force(now) else {
            return Some(0); // it decides nothing
        };
        opened.0.max_snapshot_age.map(|age| age.as_millis())
    }

    /// Status and body for whoever asks whether this proxy can decide.
    pub(crate) fn readiness(&self) -> (u16, String) {
        self.look.replace(None);
        let now = host::monotonic_clock();
        let Ok((Some((head, opened)), now)) =
            now.map_err(Unreadable::from).and_then(|now| Ok((self.in_force(now)?, now)))
        else {
            return (503, r#"{"ready":false,"revision":null,"age_ms":null}"#.into());
        };
        let age_ms = head.age_ms(now);
        let ready = Snapshot::Ready { settings: &opened.0, age_ms }.settings().is_some();
        let body = format!(r#"{{"ready":{ready},"revision":{},"age_ms":{age_ms}}}"#, head.position.revision);
        (if ready { 200 } else { 503 }, body)
    }

    /// Notes a call for the outbox; if it waits for the backend's answer, a ticket for it.
    pub(crate) fn note(&self, request: &Request, judged: &Judged) -> Option<Ticket> {
        let (settings, _) = judged.opened.as_deref()?;
        let Judged { verdict, now, clock, known, .. } = judged;
        let call = Call::of(verdict, request, known, settings.audit_calls, *now, host::client_address)?;
        let ticket = self.usage.borrow_mut().judged(call, settings.audit_calls != AuditCalls::Off, *clock);
        self.flush_if_full();
        ticket
    }

    /// The backend has answered a call with this status, or never will.
    pub(crate) fn answered(&self, ticket: Ticket, status: Option<u16>) {
        self.usage.borrow_mut().answered(ticket, status);
        self.flush_if_full();
    }

    /// Takes to the outbox what was gathered.
    pub(crate) fn flush(&self, now: u64) -> Result<(), HostFailure> {
        self.usage.borrow_mut().flush(&ProxyData, now)
    }

    /// The same with what still waits for an answer: this VM is about to go.
    pub(crate) fn flush_all(&self) {
        if let Ok(now) = host::monotonic_clock() {
            let _ = self.usage.borrow_mut().flush_all(&ProxyData, now);
        }
    }

    fn flush_if_full(&self) {
        if !self.ticks {
            self.flush_all();
        } else if self.usage.borrow().is_full()
            && let Ok(now) = host::monotonic_clock()
        {
            let _ = self.flush(now);
        }
    }
}

fn could_not_read(judged: &Judged) -> bool {
    matches!(judged.verdict, Verdict::Deny(DenyReason::SnapshotUnreadable | DenyReason::ProxyFailure))
}
