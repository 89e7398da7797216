//! Usage events: what a proxy tells of the calls that it judged (A2, M7).
//!
//! A call with a token is told whole, for the audit. Where there is no room for that, or where nobody wants it, calls
//! are told as a number a token: nothing is lost of how often and when a token was used. Refusals without a token are
//! not told at all, only counted in the proxy's statistics, so that a flood of them pushes nothing out.
//!
//! On the wire entries stand one behind the other, each as its own postcard, so that a batch grows by appending.

use crate::assertion::For;
use crate::calls::Escaped;
use crate::credential::Credential;
use crate::settings::AuditCalls;
use crate::{Binding, Known, Request, Timestamp, Verdict};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::IntoValues;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// The outcome of a call that was admitted; one that was refused has the code of its refusal.
pub const ADMITTED: &str = "admitted";

/// The outcome of a password that was passed on.
pub const PASSED: &str = "passed";

/// One entry of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// One call.
    Call(Call),
    /// Calls that are told as a number.
    Counted(Counted),
}

/// One call. Texts that a client chose are escaped and cut, and hold no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// When it was judged, by the proxy's clock.
    pub at: Timestamp,
    /// The public id of the token; `None`: a password.
    pub token: Option<String>,
    /// The user as whom it ran, or would have.
    pub user: Option<String>,
    /// Who called, if it ran on behalf of that user.
    pub actor: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// [`ADMITTED`], [`PASSED`], or the code of the refusal.
    pub outcome: String,
    /// What the backend answered, if that is known.
    pub status: Option<u16>,
    /// The proxy's id of the request.
    pub request_id: String,
}

/// Calls of one token with one outcome, of which no more is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The public id of the token; `None`: of any.
    pub token: Option<String>,
    /// As in [`Call`].
    pub outcome: String,
    /// How many.
    pub calls: u64,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// From where the last of them came.
    pub last_address: Option<IpAddr>,
}

impl Call {
    /// The call with this verdict; `None`: not one to be told of. `address` is asked only if it is to be told and nobody
    /// has asked yet.
    pub fn of(
        verdict: &Verdict,
        request: &Request,
        known: &Known,
        audit_calls: AuditCalls,
        now: Timestamp,
        address: impl FnOnce() -> Option<IpAddr>,
    ) -> Option<Self> {
        let (token, user, actor, outcome) = match verdict {
            Verdict::Admit(grant) => {
                (Some(&grant.token().id), Some(grant.user().name.clone()), grant.actor().map(String::from), ADMITTED)
            }
            Verdict::Deny(reason) => {
                let token = known.token.record().or(known.name.record())?;
                let user = match &token.binding {
                    Binding::User(owner) => Some(&owner.name),
                    Binding::Unbound => known.caller.record().map(|caller| &caller.name),
                };
                (Some(&token.id), user.cloned(), None, reason.code())
            }
            Verdict::Pass(to) => match (&request.credential, to) {
                (Credential::Basic { user, .. }, For::Backend)
                    if request.needs_snapshot() && audit_calls == AuditCalls::TokensAndPasswords =>
                {
                    (None, Some(Escaped(user).to_string()), None, PASSED)
                }
                _ => return None,
            },
            Verdict::NeedBody => return None, // told once it is judged
        };
        Some(Self {
            at: now,
            token: token.cloned(),
            user,
            actor,
            method: Escaped(&request.method).to_string(),
            path: Escaped(&request.path).to_string(),
            address: known.address.or_else(address),
            outcome: outcome.into(),
            status: None,
            request_id: Escaped(request.request_id().unwrap_or_default().as_bytes()).to_string(),
        })
    }

    /// Whether it was let through by a token of ours.
    pub fn is_admitted(&self) -> bool {
        self.outcome == ADMITTED
    }

    /// The same as a number.
    pub fn counted(self) -> Counted {
        let Self { at, token, address, outcome, .. } = self;
        Counted { token, outcome, calls: 1, last_at: at, last_address: address }
    }
}

/// Counts, one for each token and outcome.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<(Option<String>, String), Counted>);

impl Counts {
    /// Adds calls to those that are counted already.
    pub fn add(&mut self, counted: Counted) {
        let key = (counted.token.clone(), counted.outcome.clone());
        self.0.entry(key).and_modify(|known| known.add(&counted)).or_insert(counted);
    }

    /// Takes out those of the same token and outcome.
    pub fn remove(&mut self, counted: &Counted) {
        self.0.remove(&(counted.token.clone(), counted.outcome.clone()));
    }

    /// Whether calls of this token with this outcome are counted already.
    pub fn has(&self, counted: &Counted) -> bool {
        self.0.contains_key(&(counted.token.clone(), counted.outcome.clone()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Counted> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Counts {
    type Item = Counted;
    type IntoIter = IntoValues<(Option<String>, String), Counted>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}

impl Counted {
    /// Takes in what another one says.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        if other.last_at >= self.last_at {
            (self.last_at, self.last_address) = (other.last_at, other.last_address);
        }
    }
}

/// Adds an entry to a batch. One that cannot be written, of which there is none, is left out.
pub fn append(batch: &mut Vec<u8>, entry: &Entry) {
    let length = batch.len();
    match postcard::to_extend(entry, core::mem::take(batch)) {
        Ok(longer) => *batch = longer,
        Err(_) => batch.truncate(length),
    }
}

/// The entries of a batch; `None`: it is none.
pub fn entries(mut batch: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !batch.is_empty() {
        let (entry, rest) = postcard::take_from_bytes(batch).ok()?;
        entries.push(entry);
        batch = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(token: &str, calls: u64, at: u64) -> Counted {
        Counted {
            token: Some(token.into()),
            outcome: ADMITTED.into(),
            calls,
            last_at: Timestamp::from_millis(at),
            last_address: Some(IpAddr::from([10, 0, 0, at.to_le_bytes()[0]])),
        }
    }

    #[test]
    fn a_batch_comes_back_as_it_was_appended() {
        let entries_in = [Entry::Counted(counted("a", 3, 7)), Entry::Counted(counted("b", 1, 9))];
        let mut batch = Vec::new();
        entries_in.iter().for_each(|entry| append(&mut batch, entry));
        assert_eq!(entries(&batch).unwrap(), entries_in);
        assert_eq!(entries(&[]), Some(Vec::new()));
        assert_eq!(entries(&batch[1..]), None);
    }

    fn call() -> Call {
        Call {
            at: Timestamp::from_millis(5),
            token: Some("id".into()),
            user: Some("alice".into()),
            actor: Some("bob".into()),
            method: "GET".into(),
            path: "/rest/".into(),
            address: Some(IpAddr::from([10, 0, 0, 1])),
            outcome: "from_the_future".into(),
            status: Some(200),
            request_id: "r".into(),
        }
    }

    #[test]
    fn a_golden_batch_of_0_1_0_is_read_and_written_as_ever() {
        let golden = crate::golden::of_0_1_0("usage");
        let (mut batch, told) = (Vec::new(), [Entry::Call(call()), Entry::Counted(counted("a", 3, 7))]);
        told.iter().for_each(|entry| append(&mut batch, entry));
        assert_eq!(batch, golden, "an entry changed: one cannot grow, since the next one follows it");
        assert_eq!(entries(&golden).unwrap(), told);
    }

    #[test]
    fn counts_add_up_and_the_last_use_is_the_latest() {
        let mut sum = counted("a", 3, 7);
        sum.add(&counted("a", 2, 5));
        assert_eq!((sum.calls, sum.last_at.as_millis()), (5, 7));
        sum.add(&counted("a", u64::MAX, 9));
        assert_eq!((sum.calls, sum.last_address), (u64::MAX, Some(IpAddr::from([10, 0, 0, 9]))));
    }
}
