//! The part of one VM in keeping the snapshot current and bringing usage to the control plane: what the client of the
//! feed says, done.

use super::host::{self, Level, ProxyData};
use super::judge::Judge;
use super::reports::Reports;
use crate::feed::{About, Client, Effect, Event, Note, View, timeout_ms};
use crate::lease::{self, RENEW_MS};
use crate::mark;
use crate::members::{self, Member};
use crate::outbox;
use crate::snapshot;
use crate::store::{HostFailure, Write};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::feed::{ANSWER_LEN_MAX, ASK_HEADER, Ask, MAC_HEADER, PATH, SyncKey};
use std::cell::OnceCell;
use std::time::Duration;

/// The feed of one plugin configuration in one VM.
pub(crate) struct Feed {
    client: Client,
    reports: Reports,
    cluster: String,
    holder: u64,
    holds_lease: bool,
    lease_seen_at: Option<u64>,
    member: Member,
    member_seen_at: Option<u64>,
    call: Option<u32>,
    ended: bool,
}

thread_local! {
    static VM: OnceCell<u64> = const { OnceCell::new() };
}

impl Feed {
    /// `None`: the proxy offers this VM no randomness.
    pub(crate) fn new(key: &SyncKey, name: String, cluster: String) -> Option<Self> {
        let holder = getrandom::u64().ok()?;
        // Several plugin configurations may live in one VM, which is to be counted once.
        let vm = VM.with(|vm| *vm.get_or_init(|| holder));
        Some(Self {
            client: Client::new(key.clone(), name.clone()),
            reports: Reports::new(key.clone(), name, cluster.clone()),
            cluster,
            holder,
            holds_lease: false,
            lease_seen_at: None,
            member: Member::new(vm),
            member_seen_at: None,
            call: None,
            ended: false,
        })
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, judge: &Judge, now: u64) -> Result<(), HostFailure> {
        if self.member_seen_at.is_none_or(|seen| now.saturating_sub(seen) >= members::RENEW_MS) {
            self.member_seen_at = Some(now);
            self.member.renew(&ProxyData, now, judge.serves.get())?;
        }
        if self.lease_seen_at.is_none_or(|seen| now.saturating_sub(seen) >= RENEW_MS) {
            self.lease_seen_at = Some(now);
            let holds = !self.ended && lease::hold(&ProxyData, self.holder, now)?;
            if self.holds_lease && !holds {
                self.lease_lost(judge)?;
            }
            self.holds_lease = holds;
            if holds {
                tell_how_current(judge, now)?;
            }
        }
        if !self.holds_lease {
            return Ok(());
        }
        let reported = self.reports.tick(&judge.counters, now);
        if !self.client.is_due(&self.view()?) {
            return reported;
        }
        let (nonce, instance) = (random()?, snapshot::instance(&ProxyData, random()?)?);
        let workers = members::workers(&ProxyData, now, !host::is_nginx())?;
        let number = snapshot::next_question(&ProxyData)?;
        let about = About { number, workers, trusts_ms: judge.trusts_ms(now) };
        self.handle(Event::Tick { wall: host::wall_clock()?, nonce, instance, about }, judge)?;
        reported
    }

    /// Takes the answer to an HTTP call, if it is one of ours. One that is too large comes without any headers at all; of
    /// those that are there the status tells an answer of the control plane from the proxy's own. All that counts is
    /// authenticated in the body.
    pub(crate) fn on_answer(
        &mut self,
        call: u32,
        headers: usize,
        body_size: usize,
        judge: &Judge,
    ) -> Result<(), HostFailure> {
        let status = if headers == 0 { None } else { host::http_call_status() };
        if self.reports.is_awaiting(call) {
            return self.reports.answered(status, &judge.counters);
        }
        if self.call != Some(call) {
            return Ok(()); // an answer to a question that was given up
        }
        self.call = None;
        match status {
            Some(200) if body_size <= ANSWER_LEN_MAX => self.answered(judge),
            status => {
                if headers == 0 || status == Some(200) {
                    judge.counters.count("feed_discarded_total");
                }
                self.handle(Event::Unanswered(status), judge).map(|_| ())
            }
        }
    }

    /// Lets another VM take over at once: this one is about to go.
    pub(crate) fn end(&mut self) {
        if self.holds_lease {
            let _ = lease::release(&ProxyData, self.holder);
        }
        self.holds_lease = false;
        self.ended = true;
    }

    /// Takes the answer in, if this VM still is the one to do so: it may have slept since it asked. While it does, the
    /// answer is marked: should the VM not survive it, the next one knows.
    fn answered(&mut self, judge: &Judge) -> Result<(), HostFailure> {
        let now = host::monotonic_clock()?;
        self.holds_lease = !self.ended && lease::hold(&ProxyData, self.holder, now)?;
        if !self.holds_lease {
            return self.lease_lost(judge);
        }
        let Ok(body) = host::http_call_body() else {
            return self.handle(Event::Unanswered(None), judge).map(|_| ());
        };
        let Some(name) = self.client.name_of(&body) else {
            return self.handle(Event::Answered(&body), judge).map(|_| ());
        };
        let ended = mark::begin(&ProxyData, &name, now)?;
        let outcome = if ended >= mark::DEADLY_AFTER {
            self.handle(Event::Deadly(&body), judge)
        } else {
            #[cfg(feature = "faults")]
            super::faults::meet(&body, ended);
            self.handle(Event::Answered(&body), judge)
        };
        mark::end(&ProxyData, outcome == Ok(true))?;
        outcome.map(|_| ())
    }

    fn lease_lost(&mut self, judge: &Judge) -> Result<(), HostFailure> {
        self.call = None;
        self.reports.give_up();
        self.handle(Event::LeaseLost, judge).map(|_| ())
    }

    /// Tells the client what happened and does what it says; whether it put anything in force.
    fn handle(&mut self, event: Event<'_>, judge: &Judge) -> Result<bool, HostFailure> {
        let (view, mut progress) = (self.view()?, false);
        let discarded = self.client.discarded();
        let effects = self.client.on(event, &view);
        if self.client.discarded() != discarded {
            judge.counters.count("feed_discarded_total");
        }
        for effect in effects {
            let write = match effect {
                Effect::Ask(ask) => {
                    self.ask(&ask, judge)?;
                    Ok(Write::Done)
                }
                Effect::Claim(generation) => {
                    judge.counters.count("feed_full_syncs_total");
                    snapshot::claim_generation(&ProxyData, generation)
                }
                Effect::Begin { generation, from, to } => snapshot::begin_change(&ProxyData, generation, from, to),
                Effect::Write { generation, items } => snapshot::write_items(&ProxyData, generation, &items),
                Effect::PutHead { head, after } => {
                    progress = true;
                    snapshot::put_head(&ProxyData, &head, after)
                }
                Effect::Note(note) => {
                    say(note, judge);
                    Ok(Write::Done)
                }
            };
            if write != Ok(Write::Done) {
                judge.counters.count("feed_fenced_total");
                let view = self.view()?;
                self.client.on(Event::Fenced, &view);
                return Ok(false);
            }
        }
        Ok(progress)
    }

    fn view(&self) -> Result<View, HostFailure> {
        // A head that cannot be read is as good as none: a full sync puts a new one in its place.
        let head = snapshot::head(&ProxyData).ok().flatten();
        Ok(View {
            head,
            last_generation: snapshot::last_generation(&ProxyData)?,
            unreadable: head.map_or(Ok(false), |head| snapshot::is_unreadable(&ProxyData, &head))?,
            pause_until: mark::pause_until(&ProxyData)?,
            now: host::monotonic_clock()?,
        })
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
        match host::dispatch_http_call(&self.cluster, headers, None, Duration::from_millis(timeout_ms(ask))) {
            Ok(call) => {
                self.call = Some(call);
                Ok(())
            }
            Err(HostFailure) => self.handle(Event::Unanswered(None), judge).map(|_| ()),
        }
    }
}

/// For the proxy's statistics, which all its VMs share: one of them is enough to tell.
fn tell_how_current(judge: &Judge, now: u64) -> Result<(), HostFailure> {
    if let Ok(Some(head)) = snapshot::head(&ProxyData) {
        judge.counters.set("snapshot_age_seconds", head.age_ms(now) / 1000);
    }
    judge.counters.set("usage_outbox_batches", outbox::used(&ProxyData)?);
    Ok(())
}

/// Sixteen bytes that nobody can guess and nobody has had before.
pub(super) fn random() -> Result<[u8; 16], HostFailure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| HostFailure)?;
    Ok(bytes)
}

fn say(note: Note, judge: &Judge) {
    match note {
        Note::InForce(position) => {
            judge.counters.count("feed_updates_total");
            judge.counters.set("snapshot_revision", position.revision);
            host::log(Level::Info, &format!("Tokengate: snapshot revision {} is in force", position.revision));
        }
        Note::Discarded(fault) => {
            host::log(Level::Warn, &format!("Tokengate: an answer of the control plane was discarded: {fault:?}"));
        }
        Note::LeftOut(shard) => {
            judge.counters.count("feed_pages_left_out_total");
            let what = format!("the page of the snapshot that begins with shard {shard} is left out");
            let line = format!("Tokengate: {what}: no VM survives it; requests that need it are refused");
            host::log(Level::Error, &line);
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
