//! The plugin as a whole: its configuration, its ticks, and what all its requests share.

use super::counters::Counters;
use super::host::{self, Level, ProxyData};
use super::http::Http;
use crate::config::{Config, is_proxy_name};
use crate::feed::{ASK_TIMEOUT_MS, Client, Effect, Event, Note, View};
use crate::lease::{self, RENEW_MS};
use crate::sets::Sets;
use crate::snapshot::{self, Head, Unreadable};
use crate::store::{HostFailure, SharedData, Write};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::assertion::For;
use policy::feed::{ANSWER_LEN_MAX, ASK_HEADER, Ask, MAC_HEADER, PATH, SyncKey};
use policy::restrictions::{Body, Set};
use policy::settings::Audience;
use policy::{
    DenyReason, Facts, FilterKeys, Found, KeyedHash, Known, Request, Settings, Site, Snapshot, Sources, Timestamp,
    TokenRecord, UserRecord, Verdict, decide,
};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How often the plugin is woken.
const TICK: Duration = Duration::from_millis(20);

/// The environment variable of the proxy process that holds the sync key.
const SYNC_KEY_VARIABLE: &str = "TOKENGATE_SYNC_KEY";

/// The environment variable of the proxy process that, if set, names it in place of its configuration: processes that
/// share a configuration differ in their environment.
const PROXY_NAME_VARIABLE: &str = "TOKENGATE_PROXY_NAME";

/// The root context of one plugin configuration in one VM.
#[derive(Default)]
pub(crate) struct Root {
    judge: Option<Rc<Judge>>,
    feed: Option<Feed>,
}

/// What every request needs, read-only but for a cache that may vanish.
pub(crate) struct Judge {
    site: Site,
    sync_key: Option<SyncKey>,
    cache: RefCell<Option<CachedSettings>>,
    sets: RefCell<Sets>,
    pub(crate) counters: Counters,
}

struct CachedSettings {
    /// Epoch, generation and revision: settings of the same three are the same.
    of: (u64, u32, u64),
    opened: Opened,
}

/// Settings and the keys that were sealed in them.
type Opened = Rc<(Settings, FilterKeys)>;

/// The part of this VM in keeping the snapshot current.
struct Feed {
    client: Client,
    cluster: String,
    holder: u64,
    holds_lease: bool,
    lease_seen_at: Option<u64>,
    call: Option<u32>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        let (Some(feed), Some(judge)) = (&mut self.feed, &self.judge) else {
            return;
        };
        if feed.call != Some(token) {
            return; // an answer to a question that was given up
        }
        feed.call = None;
        // An answer that is too large comes without any headers at all. Of those that are there the status tells an
        // answer of the control plane from the proxy's own; all that counts is authenticated in the body.
        let status = if headers == 0 { None } else { host::http_call_status() };
        let outcome = match status {
            Some(200) if body_size <= ANSWER_LEN_MAX => feed.answered(judge),
            status => feed.handle(Event::Unanswered(status), judge),
        };
        if outcome.is_err() {
            judge.counters.count("feed_host_failures_total");
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let Ok(bytes) = host::plugin_configuration() else {
            return false;
        };
        let config = match Config::parse(&bytes) {
            Ok(config) => config,
            Err(error) => {
                host::log(Level::Error, &format!("Tokengate: the plugin configuration is refused: {error}"));
                return false;
            }
        };
        for field in &config.unknown {
            host::log(
                Level::Warn,
                &format!("Tokengate: unknown field in the plugin configuration, ignored: {field:?}"),
            );
        }
        // Without the key the filter still judges, and says 503: it must not leave the chain.
        let sync_key_text = std::env::var(SYNC_KEY_VARIABLE).ok().map(Zeroizing::new);
        let sync_key = sync_key_text.and_then(|text| SyncKey::parse(&text).ok());
        if sync_key.is_none() {
            host::log(
                Level::Error,
                &format!("Tokengate: {SYNC_KEY_VARIABLE} is not set, or not 32 to 512 characters; nothing is admitted"),
            );
        }
        let name = std::env::var(PROXY_NAME_VARIABLE).ok().filter(|name| !name.is_empty() && is_proxy_name(name));
        self.feed = None;
        if let (Some(cluster), Some(key)) = (config.feed_cluster, &sync_key) {
            if let (Ok(holder), Ok(())) = (getrandom::u64(), host::set_tick_period(TICK)) {
                let client = Client::new(key.clone(), name.unwrap_or(config.proxy_name));
                self.feed = Some(Feed { client, cluster, holder, holds_lease: false, lease_seen_at: None, call: None });
            } else {
                // Another VM may keep the snapshot current. A `false` would take this one out of the chain.
                host::log(Level::Error, "Tokengate: the proxy offers this VM no randomness or no ticks");
            }
        }
        self.judge = Some(Rc::new(Judge {
            site: config.site,
            sync_key,
            cache: RefCell::new(None),
            sets: RefCell::default(),
            counters: Counters::default(),
        }));
        true
    }

    fn on_tick(&mut self) {
        if let (Some(feed), Some(judge)) = (&mut self.feed, &self.judge)
            && feed.tick(judge).is_err()
        {
            judge.counters.count("feed_host_failures_total");
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(self.judge.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A verdict, and what it was made from.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    now: Timestamp,
    opened: Option<Opened>,
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
            None => judge.in_force(&ProxyData).ok()??.1,
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
        let Ok(Some(set)) = Set::parse(&[record.text]).map(|set| set.map(Rc::new)) else {
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
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Gathers the facts and decides. What cannot be read is read once more from the head on: a new generation may have
    /// come into force between two reads.
    pub(crate) fn judge(&self, request: &Request, body: Body<'_>) -> Judged {
        let judged = self.judge_once(request, body);
        if matches!(judged.verdict, Verdict::Deny(DenyReason::SnapshotUnreadable | DenyReason::ProxyFailure)) {
            return self.judge_once(request, body);
        }
        judged
    }

    fn judge_once(&self, request: &Request, body: Body<'_>) -> Judged {
        self.judged_from_snapshot(request, body).unwrap_or_else(|reason| Judged {
            verdict: Verdict::Deny(reason),
            now: Timestamp::from_millis(0),
            opened: None,
        })
    }

    fn judged_from_snapshot(&self, request: &Request, body: Body<'_>) -> Result<Judged, DenyReason> {
        let failed = |HostFailure: HostFailure| DenyReason::ProxyFailure;
        let now = host::wall_clock().map_err(failed)?;
        let in_force = if request.needs_snapshot() {
            self.in_force(&ProxyData).map_err(|Unreadable| DenyReason::SnapshotUnreadable)?
        } else {
            None
        };
        let Some((head, opened)) = in_force else {
            let facts = Facts { request, snapshot: Snapshot::Missing, known: &Known::default(), body, now };
            return Ok(Judged { verdict: decide(&facts), now, opened: None });
        };
        let (settings, keys) = &*opened;
        let age_ms = head.age_ms(host::monotonic_clock().map_err(failed)?);
        let known = Known::gather(request, settings, keys, &InForce { head, sets: &self.sets });
        let snapshot = Snapshot::Ready { settings, age_ms };
        let verdict = decide(&Facts { request, snapshot, known: &known, body, now });
        Ok(Judged { verdict, now, opened: Some(opened) })
    }

    /// The head in force and its settings, which are kept for as long as the head says that they are the same.
    fn in_force(&self, data: &impl SharedData) -> Result<Option<(Head, Opened)>, Unreadable> {
        let (Some(key), Some(head)) = (&self.sync_key, snapshot::head(data)?) else {
            return Ok(None);
        };
        let of = (head.position.epoch, head.generation, head.settings_revision);
        let mut cache = self.cache.borrow_mut();
        if let Some(cached) = cache.as_ref().filter(|cached| cached.of == of) {
            return Ok(Some((head, cached.opened.clone())));
        }
        let opened = Rc::new(snapshot::settings(data, &head, key)?);
        *cache = Some(CachedSettings { of, opened: opened.clone() });
        Ok(Some((head, opened)))
    }

    /// Status and body for whoever asks whether this proxy can decide.
    pub(crate) fn readiness(&self) -> (u16, String) {
        let in_force = self.in_force(&ProxyData);
        let (Ok(Some((head, opened))), Ok(now)) = (in_force, host::monotonic_clock()) else {
            return (503, r#"{"ready":false,"revision":null,"age_ms":null}"#.into());
        };
        let age_ms = head.age_ms(now);
        let ready = Snapshot::Ready { settings: &opened.0, age_ms }.settings().is_some();
        let body = format!(r#"{{"ready":{ready},"revision":{},"age_ms":{age_ms}}}"#, head.position.revision);
        (if ready { 200 } else { 503 }, body)
    }
}

impl Feed {
    fn tick(&mut self, judge: &Judge) -> Result<(), HostFailure> {
        let now = host::monotonic_clock()?;
        if self.lease_seen_at.is_none_or(|seen| now.saturating_sub(seen) >= RENEW_MS) {
            self.lease_seen_at = Some(now);
            let holds = lease::hold(&ProxyData, self.holder, now)?;
            if self.holds_lease && !holds {
                self.handle(Event::LeaseLost, judge)?;
                self.call = None;
            }
            self.holds_lease = holds;
            if let Ok(Some(head)) = snapshot::head(&ProxyData) {
                judge.counters.set("snapshot_age_seconds", head.age_ms(now) / 1000);
            }
        }
        if !self.holds_lease {
            return Ok(());
        }
        if !self.client.is_due(&self.view()?) {
            return Ok(());
        }
        let random = |_| HostFailure;
        let (mut nonce, mut instance) = ([0; 16], [0; 16]);
        getrandom::fill(&mut nonce).map_err(random)?;
        getrandom::fill(&mut instance).map_err(random)?;
        let instance = snapshot::instance(&ProxyData, instance)?;
        self.handle(Event::Tick { wall: host::wall_clock()?, nonce, instance }, judge)
    }

    /// Takes the answer in, if this VM still is the one to do so: it may have slept since it asked.
    fn answered(&mut self, judge: &Judge) -> Result<(), HostFailure> {
        self.holds_lease = lease::hold(&ProxyData, self.holder, host::monotonic_clock()?)?;
        if !self.holds_lease {
            return self.handle(Event::LeaseLost, judge);
        }
        match host::http_call_body() {
            Ok(body) => self.handle(Event::Answered(&body), judge),
            Err(HostFailure) => self.handle(Event::Unanswered(None), judge),
        }
    }

    /// Tells the client what happened and does what it says.
    fn handle(&mut self, event: Event<'_>, judge: &Judge) -> Result<(), HostFailure> {
        let view = self.view()?;
        for effect in self.client.on(event, &view) {
            let write = match effect {
                Effect::Ask(ask) => {
                    self.ask(&ask, judge)?;
                    Ok(Write::Done)
                }
                Effect::Claim(generation) => {
                    judge.counters.count("feed_full_syncs_total");
                    snapshot::claim_generation(&ProxyData, generation)
                }
                Effect::Write { generation, items } => snapshot::write_items(&ProxyData, generation, &items),
                Effect::PutHead(head) => snapshot::put_head(&ProxyData, &head),
                Effect::Note(note) => {
                    say(note, judge);
                    Ok(Write::Done)
                }
            };
            if write != Ok(Write::Done) {
                judge.counters.count("feed_fenced_total");
                let view = self.view()?;
                self.client.on(Event::Fenced, &view);
                break;
            }
        }
        Ok(())
    }

    fn view(&self) -> Result<View, HostFailure> {
        let now = host::monotonic_clock()?;
        // A head that cannot be read is as good as none: a full sync puts a new one in its place.
        let head = snapshot::head(&ProxyData).ok().flatten();
        Ok(View { now, head, last_generation: snapshot::last_generation(&ProxyData)? })
    }

    fn ask(&mut self, ask: &Ask, judge: &Judge) -> Result<(), HostFailure> {
        let key = judge.sync_key.as_ref().ok_or(HostFailure)?;
        let (bytes, mac) = ask.seal(key).ok_or(HostFailure)?;
        let (bytes, mac) = (BASE64.encode(bytes), BASE64.encode(mac));
        let headers = vec![
            (":method", "GET"),
            (":path", PATH),
            (":authority", "tokengate"),
            (ASK_HEADER, bytes.as_str()),
            (MAC_HEADER, mac.as_str()),
        ];
        match host::dispatch_http_call(&self.cluster, headers, Duration::from_millis(ASK_TIMEOUT_MS)) {
            Ok(call) => {
                self.call = Some(call);
                Ok(())
            }
            Err(HostFailure) => self.handle(Event::Unanswered(None), judge),
        }
    }
}

fn say(note: Note, judge: &Judge) {
    match note {
        Note::InForce(position) => {
            judge.counters.count("feed_updates_total");
            judge.counters.set("snapshot_revision", position.revision);
            host::log(Level::Info, &format!("Tokengate: snapshot revision {} is in force", position.revision));
        }
        Note::Discarded(fault) => {
            judge.counters.count("feed_discarded_total");
            host::log(Level::Warn, &format!("Tokengate: an answer of the control plane was discarded: {fault:?}"));
        }
        Note::Unreachable(Some(401)) => {
            let why = "the control plane refuses the feed; its log says why (another sync key, most often)";
            host::log(Level::Error, &format!("Tokengate: {why}"));
        }
        Note::Unreachable(status) => {
            let status = status.map_or_else(|| "nothing".into(), |status| status.to_string());
            let line = format!("Tokengate: the control plane does not answer ({status}); what is in force stays so");
            host::log(Level::Warn, &line);
        }
    }
}
