//! The facts from which a verdict is made, and which of them a request needs.
//!
//! [`Known::gather`] says what is to be looked up; the filter looks in the proxy's snapshot and the control plane in
//! its own, so the rule is written once and neither can forget a part of it. What no rule needs is not fetched: each
//! look costs a request some microseconds.

use crate::assertion::For;
use crate::credential::{BackendCredential, Credential};
use crate::decide::ip_rules_concern;
use crate::request::ContextUser;
use crate::restrictions::{Body, Set};
use crate::settings::{FilterKeys, Identity};
use crate::{Addresses, Binding, KeyedHash, Request, Settings, Timestamp, TokenRecord, TokenState, UserRecord};
use alloc::rc::Rc;
use core::net::IpAddr;

/// Everything a verdict is made from. Same facts, same verdict.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The request.
    pub request: &'a Request,
    /// What is known in general.
    pub snapshot: Snapshot<'a>,
    /// What is known of this request's token, users and address.
    pub known: &'a Known,
    /// What is known of its body.
    pub body: Body<'a>,
    /// The time, by the clock of whoever decides.
    pub now: Timestamp,
}

/// The snapshot from which is decided.
#[derive(Clone, Copy, Debug)]
pub enum Snapshot<'a> {
    /// None has arrived yet, or its head or settings cannot be read.
    Missing,
    /// One is in force.
    Ready {
        /// Its settings.
        settings: &'a Settings,
        /// How long ago it was last known to be current, in milliseconds.
        age_ms: u64,
    },
}

impl<'a> Facts<'a> {
    /// The body as restrictions may look at it: none that is not JSON by its headers' own account is waited for.
    pub(crate) fn readable_body(&self) -> Body<'a> {
        match self.body {
            Body::NotYet if !self.request.body_is_json() => Body::Unreadable,
            body => body,
        }
    }
}

impl<'a> Snapshot<'a> {
    /// The settings, if anything may be decided from it (U14).
    pub fn settings(self) -> Option<&'a Settings> {
        match self {
            Self::Missing => None,
            Self::Ready { settings, age_ms } => {
                settings.max_snapshot_age.is_none_or(|max| age_ms <= max.as_millis()).then_some(settings)
            }
        }
    }
}

/// What a look-up gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found<R> {
    /// There was nothing to look up.
    #[default]
    NotLookedUp,
    /// There is none.
    Nothing,
    /// This.
    Record(R),
    /// The place where it would be could not be read, so nobody knows.
    Unreadable,
}

impl<R> Found<R> {
    /// What was found, if anything was.
    pub fn record(&self) -> Option<&R> {
        match self {
            Self::Record(record) => Some(record),
            Self::NotLookedUp | Self::Nothing | Self::Unreadable => None,
        }
    }

    /// What is found by what was found.
    pub fn and_then<S>(&self, next: impl FnOnce(&R) -> Found<S>) -> Found<S> {
        match self {
            Self::Record(record) => next(record),
            Self::NotLookedUp => Found::NotLookedUp,
            Self::Nothing => Found::Nothing,
            Self::Unreadable => Found::Unreadable,
        }
    }
}

/// What is known of the token, the users and the address of one request.
#[derive(Debug, Default)]
pub struct Known {
    /// The token that was presented.
    pub token: Found<TokenRecord>,
    /// The token that was presented in the place of the name, if none was in its own.
    pub name: Found<TokenRecord>,
    /// The user named beside an unbound token.
    pub caller: Found<UserRecord>,
    /// The user in `contextUser`.
    pub context_user: Found<UserRecord>,
    /// What the backend wants to see of the user as whom the request runs.
    pub credential: Found<BackendCredential>,
    /// The restrictions of the token.
    pub restrictions: Found<Rc<Set>>,
    /// The client's address; `None`: no rule needs it, or nobody knows it.
    pub address: Option<IpAddr>,
}

/// Where facts come from.
pub trait Sources {
    /// The token with this hash.
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord>;
    /// The user with this hash of name or e-mail address.
    fn user(&self, hash: &KeyedHash) -> Found<UserRecord>;
    /// The set of restrictions with this hash.
    fn restrictions(&self, hash: &KeyedHash) -> Found<Rc<Set>>;
    /// The client's address.
    fn address(&self) -> Option<IpAddr>;
}

impl Known {
    /// Looks up what a verdict on this request needs.
    pub fn gather(request: &Request, settings: &Settings, keys: &FilterKeys, sources: &impl Sources) -> Self {
        if !request.needs_snapshot() {
            return Self::default();
        }
        let to = request.goes_to(settings);
        let look_up_user = |name: &str| sources.user(&keys.user_hash(name));
        let token = request.token_hash(&keys.token_hash).map_or(Found::NotLookedUp, |hash| sources.token(&hash));
        let name = match token {
            Found::Nothing | Found::NotLookedUp => request.name_hash(&keys.token_hash),
            Found::Record(_) | Found::Unreadable => None,
        };
        let name = name.map_or(Found::NotLookedUp, |hash| sources.token(&hash));
        let token_has_addresses = token.record().is_some_and(|token| token.addresses != Addresses::Any);
        let needs_address = token_has_addresses || ip_rules_concern(settings, &request.credential);
        let caller = match (token.record().map(|token| &token.binding), &request.credential) {
            (Some(Binding::Unbound), Credential::Basic { user, .. }) => {
                core::str::from_utf8(user).map_or(Found::Nothing, look_up_user)
            }
            _ => Found::NotLookedUp,
        };
        let context_user = match (token.record(), &request.context_user) {
            (Some(_), ContextUser::Named(name)) => look_up_user(name),
            _ => Found::NotLookedUp,
        };
        let credential = match token.record() {
            Some(token) if settings.identity == Identity::Credential && to == For::Backend => {
                let credential_of = |user: &UserRecord| keys.credential_of(user);
                match (&context_user, &token.binding) {
                    (Found::NotLookedUp, Binding::User(owner)) => look_up_user(&owner.name).and_then(credential_of),
                    (Found::NotLookedUp, Binding::Unbound) => caller.and_then(credential_of),
                    (context_user, _) => context_user.and_then(credential_of),
                }
            }
            _ => Found::NotLookedUp,
        };
        // The control plane refuses restricted tokens whatever they are restricted to, and a deleted one goes nowhere.
        let is_active = token.record().is_some_and(|token| token.state == TokenState::Active);
        let restrictions = match token.record().and_then(|token| token.restrictions.as_ref()) {
            Some(hash) if to == For::Backend && is_active => sources.restrictions(hash),
            _ => Found::NotLookedUp,
        };
        let address = needs_address.then(|| sources.address()).flatten();
        Self { token, name, caller, context_user, credential, restrictions, address }
    }
}
