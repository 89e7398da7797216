//! The requests of which a record may be: one of each kind.

use super::{Missing, Party, Trial, World};
use crate::calls::unescaped;
use crate::headers::CONTEXT_USER;
use crate::path::{Area, Reading};
use crate::restrictions::Foreseen;
use crate::settings::{BODY_LIMIT_MAX, Identity};
use crate::usage::{ADMITTED, Call, PASSED};
use crate::{Binding, Request, Site, token};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What is possible of a call: each request is one of each list.
pub(super) struct Possible<'a> {
    pub(super) call: &'a Call,
    pub(super) party: &'a Party,
    /// The name beside token or password.
    name: String,
    path: String,
    method: String,
    pub(super) came: Vec<Came>,
    pub(super) behalf: Vec<Behalf>,
    pub(super) overrides: &'static [bool],
    pub(super) sites: Vec<Site>,
    /// Whether the restrictions hold before and after, as far as that depends on query or body.
    pub(super) holds: Vec<[bool; 2]>,
    pub(super) foreseen: [Foreseen; 2],
}

/// Under what a request may have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Basic,
    Bearer,
    /// With a password, by Basic.
    Password,
    /// With the token and something that is refused under all settings: another name beside it, two credentials, a
    /// `contextUser` that cannot be read or that is nobody.
    Hopeless,
}

/// On whose behalf a request may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behalf {
    /// On the caller's own.
    Nobody,
    /// On that of the user on record.
    Recorded,
    /// On that of somebody of this kind.
    Somebody { sysadmin: bool, credential: bool },
}

/// No user is called so: names hold no slash.
pub(super) const SOMEBODY: &str = "/somebody";

impl Trial<'_> {
    /// The requests of which the record may be.
    pub(super) fn possible<'c>(&self, call: &'c Call, party: &'c Party, site: &Site) -> Result<Possible<'c>, Missing> {
        let path = unescaped(&call.path).ok_or(Missing::Path)?;
        let method = unescaped(&call.method).ok_or(Missing::Method)?;
        let went_on = matches!(call.outcome.as_str(), ADMITTED | PASSED);
        let (mut came, name) = match party.token.as_ref().map(|[before, _]| &before.record.binding) {
            None => (alloc::vec![Came::Password], unescaped(call.user.as_deref().unwrap_or_default())),
            Some(Binding::Unbound) => (alloc::vec![Came::Basic], call.user.clone()),
            Some(Binding::User(owner)) => (alloc::vec![Came::Basic, Came::Bearer], Some(owner.name.clone())),
        };
        let behalf = match &call.actor {
            Some(_) => alloc::vec![Behalf::Recorded],
            None if went_on => alloc::vec![Behalf::Nobody],
            None => {
                came.push(Came::Hopeless);
                self.somebody()
            }
        };
        // What the token forbids now it forbade then.
        let kept_to_it = went_on && party.unedited;
        let is_restricted = party.token.as_ref().is_some_and(|[before, _]| before.record.is_restricted());
        let certainly_none = self.no_override || (kept_to_it && is_restricted);
        let foreseen = party.token.as_ref().map_or([Foreseen::Holds; 2], |held| {
            held.each_ref().map(|held| {
                let set = held.restrictions.as_ref();
                set.map_or(Foreseen::Holds, |set| set.foresee(method.as_bytes(), path.as_bytes()))
            })
        });
        let sites = sites(path.as_bytes(), site);
        if sites.is_empty() {
            return Err(Missing::Site);
        }
        Ok(Possible {
            call,
            party,
            name: name.ok_or(Missing::User)?,
            path,
            method,
            came,
            behalf,
            overrides: if certainly_none { &[false] } else { &[false, true] },
            sites,
            holds: self.holding(foreseen, party, kept_to_it),
            foreseen,
        })
    }

    /// Kinds of people on whose behalf a request may have been that was refused. Those on whose behalf nothing ever runs are
    /// [`Came::Hopeless`].
    fn somebody(&self) -> Vec<Behalf> {
        let with_credentials = self.settings.iter().any(|settings| settings.identity == Identity::Credential);
        let mut all = alloc::vec![Behalf::Nobody];
        for sysadmin in [false, true] {
            all.push(Behalf::Somebody { sysadmin, credential: false });
            if with_credentials {
                all.push(Behalf::Somebody { sysadmin, credential: true });
            }
        }
        all
    }

    /// Whether restrictions may hold before and after: of the same restrictions the same, unless the limit of the body says
    /// otherwise. `held`: those before held when the call was made, whose body was then within the limit.
    fn holding(&self, foreseen: [Foreseen; 2], party: &Party, held: bool) -> Vec<[bool; 2]> {
        let [before, after] = self.settings;
        let same_set = party.token.as_ref().is_none_or(|[before, after]| before.restrictions == after.restrictions);
        let looks_at_body = |foreseen: &Foreseen| matches!(foreseen, Foreseen::DependsOn { body: true, .. });
        let body = foreseen.iter().any(looks_at_body);
        let same = same_set && (before.body_limit == after.body_limit || !body);
        let [first, second] = foreseen;
        let still = held && (!looks_at_body(&first) || before.body_limit == BODY_LIMIT_MAX);
        let either = |foreseen: Foreseen| match foreseen {
            Foreseen::Holds | Foreseen::NothingHolds => [true].as_slice(),
            Foreseen::DependsOn { .. } => &[true, false],
        };
        let first = if still { &[true] } else { either(first) };
        let pairs = first.iter().flat_map(|before| either(second).iter().map(|after| [*before, *after]));
        pairs.filter(|[before, after]| !same || before == after).collect()
    }
}

impl Possible<'_> {
    pub(super) fn request(&self, came: Came, behalf: Behalf, overrides: bool, site: &Site) -> Request {
        let secret = token::mint([0; 32]); // a stand-in: nothing looks at it but for its form
        let basic = |secret: &[u8]| {
            let pair = [self.name.as_bytes(), b":", secret].concat();
            ["Basic ", &BASE64.encode(pair)].concat().into_bytes()
        };
        let authorization = match came {
            Came::Basic => basic(secret.expose()),
            Came::Bearer => [b"Bearer ", secret.expose()].concat(),
            Came::Password => basic(b"x"),
            Came::Hopeless => b"Basic".to_vec(),
        };
        let context_user = match behalf {
            Behalf::Nobody => None,
            Behalf::Recorded => self.call.user.as_deref(),
            Behalf::Somebody { .. } => Some(SOMEBODY),
        };
        let mut headers: Vec<(&[u8], &[u8])> = alloc::vec![
            (b":method", self.method.as_bytes()),
            (b":path", self.path.as_bytes()),
            (b"authorization", authorization.as_slice()),
        ];
        headers.extend(context_user.map(|name| (CONTEXT_USER, name.as_bytes())));
        if overrides {
            headers.push((b"x-http-method-override", b"GET"));
        }
        Request::read(&headers, site)
    }

    /// What makes the difference between two requests that are alike but for one thing.
    pub(super) fn missing(&self, worlds: &[World]) -> BTreeSet<Missing> {
        let lengths = [self.came.len(), self.behalf.len(), self.overrides.len(), self.sites.len(), self.holds.len()];
        let mut missing = BTreeSet::new();
        let mut step = worlds.len();
        for (axis, length) in lengths.into_iter().enumerate() {
            step = step.checked_div(length).unwrap_or_default();
            for (number, world) in worlds.iter().enumerate() {
                let place = number.checked_div(step).and_then(|n| n.checked_rem(length)).unwrap_or_default();
                let first = worlds.get(number.saturating_sub(place.saturating_mul(step)));
                if first.is_some_and(|first| first.changes() != world.changes()) {
                    match axis {
                        0 if self.came.get(place) == Some(&Came::Bearer) => drop(missing.insert(Missing::Scheme)),
                        0..=2 => drop(missing.insert(Missing::Header)),
                        3 => drop(missing.insert(Missing::Site)),
                        _ => missing.extend(self.foreseen.into_iter().flat_map(looked_at)),
                    }
                }
            }
        }
        missing
    }
}

fn looked_at(foreseen: Foreseen) -> impl Iterator<Item = Missing> {
    let (query, body) = match foreseen {
        Foreseen::Holds | Foreseen::NothingHolds => (false, false),
        Foreseen::DependsOn { query, body } => (query, body),
    };
    [query.then_some(Missing::Query), body.then_some(Missing::Body)].into_iter().flatten()
}

/// Sites in which the path is one on which calls are recorded: the one that is given; if it is none of them, one for each
/// context path that is possible.
pub(super) fn sites(path: &[u8], site: &Site) -> Vec<Site> {
    let records = |site: &Site| {
        Reading::of(path, site)
            .is_ok_and(|reading| matches!(reading.area, Area::Protected | Area::ControlPlane | Area::Facade(_)))
    };
    if records(site) {
        return alloc::vec![site.clone()];
    }
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let contexts = slashes.filter_map(|end| core::str::from_utf8(path.get(..end)?).ok()).take(CONTEXTS_MAX);
    let protected = contexts.map(|context| Site {
        context_path: context.into(),
        protected_prefixes: alloc::vec!["/".into()],
        ..site.clone()
    });
    protected.filter(records).collect()
}

/// Context paths that are thought of: a backend lives at most a few names below its host.
const CONTEXTS_MAX: usize = 8;
