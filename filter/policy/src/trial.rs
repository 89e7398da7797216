//! Trying a change on calls that were made (S9): would it refuse them?
//!
//! The audit keeps of a call who, when, how, where and from where; neither its scheme, nor its query, body and headers. So a
//! record stands for many possible requests. Here [`decide`](crate::decide()) judges one of each kind among them, before the
//! change and after it, and what it says of all is the answer: **yes** if the change refuses each, **no** if it refuses none,
//! otherwise undecidable. A yes or a no is never wrong of the request that was made.
//!
//! | possible in | because |
//! |---|---|
//! | Basic and Bearer | the scheme is not recorded; an unbound token needs Basic, and so does a password |
//! | with and without a header that overrides the method | headers are not recorded; but a restricted token is admitted only without one, if nobody has edited it since |
//! | query and body such that the restrictions hold, or do not | they are not recorded; but often no line looks at them ([`Foreseen`]), and those of a token that nobody has edited held when it was admitted |
//! | for a call that was refused: on behalf of nobody, of somebody, of a sysadmin; or never to be admitted | only an admitted call has it on record |
//! | any context path, where the site that is given does not protect the path | what is recorded was on a protected path |
//!
//! A call is judged at its own time, from the token and the users as they are now, by a proxy whose snapshot is current. Who
//! called is taken at the word of the record: a name or an e-mail address beside the token is a right one.

mod possible;
#[cfg(test)]
mod tests;

use crate::credential::BackendCredential;
use crate::facts::{Facts, Found, Known, Snapshot, Sources};
use crate::restrictions::{Body, Foreseen, Set};
use crate::usage::Call;
use crate::{
    DenyReason, FilterKeys, KeyedHash, Request, Settings, Site, TokenRecord, UserRecord, Verdict, decide, token,
};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use possible::{Behalf, Possible, SOMEBODY};

/// A change that is tried.
#[derive(Debug)]
pub struct Trial<'a> {
    settings: [&'a Settings; 2],
    keys: &'a FilterKeys,
    no_override: bool,
    /// Sets that stand for query and body: one holds, the other does not.
    holds: Option<Rc<Set>>,
    holds_not: Option<Rc<Set>>,
}

/// Whom a call names, as they are now.
#[derive(Debug)]
pub struct Party {
    /// The token, before the change and after it; `None`: it came with a password.
    pub token: Option<[Held; 2]>,
    /// Whether the token is as it was made: nobody has edited it.
    pub unedited: bool,
    /// The users of whom the record and the token speak, each once.
    pub users: Vec<UserRecord>,
}

/// A token with the restrictions that its record names; `None` besides: they cannot be read.
#[derive(Clone, Debug)]
pub struct Held {
    /// The token.
    pub record: TokenRecord,
    /// Its restrictions.
    pub restrictions: Option<Rc<Set>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Whether the change refuses what would be let through without it.
    pub refuses: Answer,
    /// Whether it lets through what would be refused without it.
    pub admits: Answer,
    /// What becomes of the call without the change.
    pub before: Would,
    /// What becomes of it with the change.
    pub after: Would,
    /// What would have to be known, if one of the answers is undecidable; in order, each once.
    pub missing: Vec<Missing>,
}

/// An answer that is never wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// So it is, whatever is not on record.
    Yes,
    /// So it is not, whatever is not on record.
    No,
    /// That depends on what is not on record.
    Undecidable,
}

/// What would become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Would {
    /// It is let through.
    Pass,
    /// It is refused; for this reason, if it can be no other.
    Refused(Option<DenyReason>),
    /// That depends on what is not on record.
    Undecidable,
}

/// What is not on record of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// Basic or Bearer.
    Scheme,
    /// The query.
    Query,
    /// The body, with its type and length.
    Body,
    /// A header: one that overrides the method, `contextUser`, or what stood beside the token.
    Header,
    /// Where the backend lives below the host: the site that was given does not protect the path.
    Site,
    /// The path as it was: it was cut, or held what looks like a token.
    Path,
    /// The method as it was.
    Method,
    /// The name as it was.
    User,
}

impl Missing {
    /// The name by which programs know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::Query => "query",
            Self::Body => "body",
            Self::Header => "header",
            Self::Site => "site",
            Self::Path => "path",
            Self::Method => "method",
            Self::User => "user",
        }
    }
}

impl Answer {
    fn of(worlds: &[World], is: impl Fn(&World) -> bool) -> Self {
        match worlds.iter().filter(|world| is(world)).count() {
            0 => Self::No,
            count if count == worlds.len() => Self::Yes,
            _ => Self::Undecidable,
        }
    }
}

impl Would {
    fn of(mut verdicts: impl Iterator<Item = Result<(), DenyReason>>) -> Self {
        let first = match verdicts.next() {
            Some(Ok(())) => Self::Pass,
            Some(Err(reason)) => Self::Refused(Some(reason)),
            None => Self::Undecidable,
        };
        verdicts.fold(first, |so_far, verdict| match (so_far, verdict) {
            (Self::Pass, Ok(())) => Self::Pass,
            (Self::Refused(Some(one)), Err(other)) => Self::Refused((one == other).then_some(one)),
            (Self::Refused(None), Err(_)) => Self::Refused(None),
            _ => Self::Undecidable,
        })
    }
}

impl<'a> Trial<'a> {
    /// A trial of the settings `after` in place of `before`, which may be the same. `no_override`: it is known of all calls
    /// that none of them came with a header that overrides the method.
    pub fn new(before: &'a Settings, after: &'a Settings, keys: &'a FilterKeys, no_override: bool) -> Self {
        let set = |line| Set::parse(&[line]).ok().flatten().map(Rc::new);
        // Every path begins with a slash.
        Self { settings: [before, after], keys, no_override, holds: set("(?s).*"), holds_not: set("x") }
    }

    /// Tries it on a call, which was judged by a proxy of this site.
    pub fn judge(&self, call: &Call, party: &Party, site: &Site) -> Tried {
        self.possible(call, party, site).map_or_else(Tried::without, |possible| self.tried(&possible))
    }

    fn tried(&self, possible: &Possible<'_>) -> Tried {
        let worlds = self.worlds(possible);
        let refuses = Answer::of(&worlds, |world| world.changes() == Changes::Refuses);
        let admits = Answer::of(&worlds, |world| world.changes() == Changes::Admits);
        let undecidable = [refuses, admits].contains(&Answer::Undecidable);
        Tried {
            refuses,
            admits,
            before: Would::of(worlds.iter().map(|world| world.before)),
            after: Would::of(worlds.iter().map(|world| world.after)),
            missing: if undecidable { possible.missing(&worlds).into_iter().collect() } else { Vec::new() },
        }
    }

    /// All of them, in the order of their numbers.
    fn worlds(&self, possible: &Possible<'_>) -> Vec<World> {
        let Possible { came, behalf, overrides, sites, holds, .. } = possible;
        let mut worlds = Vec::new();
        for came in came {
            for behalf in behalf {
                for overrides in *overrides {
                    for site in sites {
                        let request = possible.request(*came, *behalf, *overrides, site);
                        worlds.extend(holds.iter().map(|[before, after]| World {
                            before: self.verdict(possible, &request, *behalf, 0, *before),
                            after: self.verdict(possible, &request, *behalf, 1, *after),
                        }));
                    }
                }
            }
        }
        worlds
    }

    /// What `decide` says of it, before the change (0) or after it (1).
    fn verdict(
        &self,
        possible: &Possible<'_>,
        request: &Request,
        behalf: Behalf,
        when: usize,
        holds: bool,
    ) -> Result<(), DenyReason> {
        let [before, after] = self.settings;
        let settings = if when == 0 { before } else { after };
        let held = possible.party.token.as_ref().and_then(|held| held.get(when));
        let stand_in = if holds { &self.holds } else { &self.holds_not };
        let set = match possible.foreseen.get(when) {
            Some(Foreseen::DependsOn { .. }) => stand_in.as_ref(),
            _ => held.and_then(|held| held.restrictions.as_ref()),
        };
        let now =
            Now { keys: self.keys, held, set, behalf, users: &possible.party.users, address: possible.call.address };
        let mut known = Known::gather(request, settings, self.keys, &now);
        if let Behalf::Somebody { credential: true, .. } = behalf
            && known.credential != Found::NotLookedUp
            && let Some(credential) = BackendCredential::new(b"x")
        {
            known.credential = Found::Record(credential);
        }
        let snapshot = Snapshot::Ready { settings, age_ms: 0 };
        let facts = Facts { request, snapshot, known: &known, body: Body::NotYet, now: possible.call.at };
        match decide(&facts) {
            Verdict::Admit(_) | Verdict::Pass(_) => Ok(()),
            Verdict::Deny(reason) => Err(reason),
            // The sets that stand in for body and query do not ask for one.
            Verdict::NeedBody => Err(DenyReason::BodyUnreadable),
        }
    }
}

impl Tried {
    /// What cannot be said without this.
    fn without(missing: Missing) -> Self {
        let (answer, would) = (Answer::Undecidable, Would::Undecidable);
        Self { refuses: answer, admits: answer, before: would, after: would, missing: alloc::vec![missing] }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
struct World {
    before: Result<(), DenyReason>,
    after: Result<(), DenyReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changes {
    Refuses,
    Admits,
    Nothing,
}

impl World {
    fn changes(&self) -> Changes {
        match (self.before, self.after) {
            (Ok(()), Err(_)) => Changes::Refuses,
            (Err(_), Ok(())) => Changes::Admits,
            (Ok(()), Ok(())) | (Err(_), Err(_)) => Changes::Nothing,
        }
    }
}

/// The facts of now, as the rules ask for them.
struct Now<'a> {
    keys: &'a FilterKeys,
    held: Option<&'a Held>,
    set: Option<&'a Rc<Set>>,
    behalf: Behalf,
    users: &'a [UserRecord],
    address: Option<IpAddr>,
}

impl Sources for Now<'_> {
    /// Whatever stands in the place of the token is the token; what stands in that of the name is none.
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        let stands_in = || *hash == self.keys.token_hash.hash(&token::mint([0; 32]));
        self.held.filter(|_| stands_in()).map_or(Found::Nothing, |held| Found::Record(held.record.clone()))
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        if let Behalf::Somebody { sysadmin, .. } = self.behalf
            && *hash == self.keys.user_hash(SOMEBODY)
        {
            let name = SOMEBODY.into();
            return Found::Record(UserRecord { name, email: None, sysadmin, suspended: false, credential: None });
        }
        let found = self.users.iter().find(|user| self.keys.user_hash(&user.name) == *hash);
        found.cloned().map_or(Found::Nothing, Found::Record)
    }

    fn restrictions(&self, _hash: &KeyedHash) -> Found<Rc<Set>> {
        self.set.cloned().map_or(Found::Unreadable, Found::Record)
    }

    fn address(&self) -> Option<IpAddr> {
        self.address
    }
}
