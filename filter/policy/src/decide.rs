//! The verdict.
//!
//! Two rules stand behind the order of checks: nothing is said of a token before it is known whose it is, and whatever
//! is recognisable as a token of ours is refused rather than passed on.
//!
//! | in order | refused with |
//! |---|---|
//! | different readers disagree whether the path is protected, or what it means there (principle 5) | 400 `ambiguous_path` |
//! | a token of ours on a path that is not protected; all else passes there (U5) | 401 `path_not_protected` |
//! | no snapshot, or one older than `max_snapshot_age` (U14) | 503 `not_ready` |
//! | an encoded slash, unless `encoded_slashes` keeps them (principle 5) | 400 `ambiguous_path` |
//! | `TRACE`, by which a backend sends credentials back, its own among them | 403 `trace_refused` |
//! | not from an address in `ip_rules` (S2) | 403 `ip_not_allowed` |
//! | more than one credential, or one that cannot be read (U15) | 400 `bad_credentials` |
//! | more than one `contextUser`, or no name in it (U7) | 400 `bad_context_user` |
//! | **Is it a token?** a token of ours, whole or not, in a scheme other than Basic and Bearer (U3) | 401 `scheme_not_allowed` |
//! | it begins like a token of ours, but is mistyped or cut off (D2, U10); the same in Basic where passwords are disabled | 401, 403 `mistyped_token` |
//! | a token under a scheme that `token_schemes` does not name (U3) | 401 `scheme_not_allowed` |
//! | its part of the snapshot cannot be read (principle 3) | 503 `snapshot_unreadable` |
//! | of our format, and nobody's (U10); the same in Basic where passwords are disabled | 401, 403 `unknown_token` |
//! | a token of ours stands in it, behind a space, in quotes … (U10); the same in Basic where passwords are disabled | 401, 403 `mistyped_token` |
//! | a token stands where the name belongs (`curl -u TOKEN:`) | 400 `bad_credentials` |
//! | **No token:** `contextUser` with anything but a token (U7) | 403 `on_behalf_of_refused` |
//! | `backend_authenticates` is off (U12) | 401 `token_required` |
//! | a password, and `passwords` are disabled without an exemption (S3, U11) | 403 `password_disabled` |
//! | a foreign bearer token or scheme, and `foreign_credentials` are refused (U12) | 401 `foreign_credentials_refused` |
//! | otherwise | – passed on untouched |
//! | **A token:** another user's name beside it (U1, U4) | 401 `wrong_user` |
//! | an unbound one: with Bearer; with nobody's name (U4) | 401 `scheme_not_allowed`, `unknown_user` |
//! | deleted; its owner, or the user beside an unbound one, suspended (U8) | 401 `token_deleted`, `owner_suspended`, `user_suspended` |
//! | before its time; at or after its end (U8) | 401 `token_not_yet_valid`, `token_expired` |
//! | `token_authentication` is off, and it is for the backend (U9) | 403 `token_authentication_off` |
//! | unbound, and `unbound_tokens` are off (U4) | 403 `unbound_tokens_off` |
//! | `only_admins_create`, no `users_may_use_tokens_created_for_them`, no sysadmin (S5) | 403 `tokens_for_admins_only` |
//! | restricted or unbound, and for the control plane (M5) | 403 `cannot_manage` |
//! | restricted, and a header or a parameter overrides the method (U15) | 400 `method_override` |
//! | not from one of its own addresses; read-only and not a reading method (L9) | 403 `ip_not_allowed`, `read_only` |
//! | **On behalf of** another: not allowed to this caller, or with an unbound token; to manage, to nobody but sysadmins (U7) | 403 `on_behalf_of_refused` |
//! | that user is unknown; suspended; a sysadmin, and the caller is none (U7) | 403 `context_user_unknown`, `context_user_suspended`, `context_user_is_sysadmin` |
//! | `identity` is `credential`, and none is stored for the user (U6) | 403 `no_backend_credential` |
//! | **Restricted** by lines, none of which allows the request (L1 to L3) | 403 `restricted` |
//! | the path, or the query that a line looks at, is longer than 2 kB (L11) | 400 `too_long_to_judge` |
//! | a line looks at the query, which cannot be read (L4) | 400 `bad_query` |
//! | a line looks at the body, which is too large; which, or the field in it, cannot be read (L5) | 413 `body_too_large`, 403 `body_unreadable` |
//! | otherwise | – admitted |
//!
//! On the control plane's own paths, which authenticate by themselves, passwords and foreign credentials are not
//! looked at: what is no token passes, unless an address rule or a `contextUser` is against it.
//! (Two refusals are the filter's own: `proxy_failure`, 503, if the proxy failed at something it was asked, and
//! `too_many_requests`, 429, for a token whose restrictions take too much of a worker's time.)
//!
//! Each row is a [`Rule`], named where it is looked at: so the very same checks also [`explain()`] a verdict.

mod explain;
mod grant;
mod rule;

pub use explain::{Explanation, Outcome as StepOutcome, Step, explain};
pub use grant::Grant;
pub use rule::Rule;

use crate::assertion::For;
use crate::credential::{BackendCredential, Credential};
use crate::facts::{Facts, Found};
use crate::path::{Ambiguous, Area};
use crate::request::ContextUser;
use crate::restrictions::Outcome;
use crate::settings::{EncodedSlashes, ForeignCredentials, Identity, IpRulesApplyTo, OnBehalfOf, names_hold};
use crate::token::Shape;
use crate::{Binding, DenyReason, Owner, Scope, Settings, Timestamp, TokenRecord, TokenState, UserRecord};
use alloc::boxed::Box;
use core::cell::Cell;
use rule::Trace;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on with the identity of the grant.
    Admit(Box<Grant>),
    /// It goes on to there as it came, without an identity of ours; who gets it authenticates.
    Pass(For),
    /// It waits until its body is there, and is then judged again.
    NeedBody,
    /// It is answered with this.
    Deny(DenyReason),
}

/// Decides. Same facts, same verdict.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    judge(facts, &()).unwrap_or_else(Verdict::Deny)
}

/// The same, with the steps of the judgement that count against the token (L11).
pub fn decide_counted(facts: &Facts<'_>) -> (Verdict, usize) {
    let spent = Cell::new(0);
    let verdict = judge(facts, &spent).unwrap_or_else(Verdict::Deny);
    (verdict, spent.get())
}

/// The order of checks. Each step is one method below, and a row or two of the table above.
fn judge(facts: &Facts<'_>, trace: &impl Trace) -> Result<Verdict, DenyReason> {
    trace.at(Rule::PathReading);
    let area = facts.request.reading.map_err(|Ambiguous| DenyReason::AmbiguousPath)?.area;
    trace.at(Rule::PathProtected);
    match area {
        Area::Open | Area::Ready if facts.request.shows_token() => return Err(DenyReason::PathNotProtected),
        Area::Open | Area::Ready => return Ok(Verdict::Pass(For::Backend)),
        Area::Protected | Area::ControlPlane | Area::Facade(_) => {}
    }
    trace.at(Rule::Snapshot);
    let settings = facts.snapshot.settings().ok_or(DenyReason::NotReady)?;
    let to = facts.request.goes_to(settings);
    let case = Case { facts, settings, to, trace };
    case.path_is_allowed()?;
    case.method_is_allowed()?;
    case.address_is_allowed()?;
    case.headers_are_readable()?;
    let Some(token) = case.token()? else {
        case.may_pass_without_token()?;
        trace.at(Rule::PassedOn);
        return Ok(Verdict::Pass(to));
    };
    let caller = case.caller(token)?;
    case.token_is_in_order(token)?;
    case.tokens_may_be_used(token, &caller)?;
    case.token_may_do_this(token)?;
    let (user, actor) = case.acting(token, caller)?;
    let credential = case.backend_credential()?;
    if case.awaits_body(token)? {
        return Ok(Verdict::NeedBody);
    }
    trace.at(Rule::Admitted);
    let grant = Grant { to, token: token.clone(), user, actor, assertion: case.assertion(), credential };
    Ok(Verdict::Admit(Box::new(grant)))
}

/// A request that is to be judged from a snapshot.
struct Case<'a, T> {
    facts: &'a Facts<'a>,
    settings: &'a Settings,
    to: For,
    trace: &'a T,
}

impl<'a, T: Trace> Case<'a, T> {
    fn refuse_if(&self, rule: Rule, condition: bool, reason: DenyReason) -> Result<(), DenyReason> {
        refuse_if(self.trace, rule, condition, reason)
    }

    fn path_is_allowed(&self) -> Result<(), DenyReason> {
        let encoded_slash = self.facts.request.reading.is_ok_and(|reading| reading.encoded_slash);
        let refused = encoded_slash && self.settings.encoded_slashes == EncodedSlashes::Refuse;
        self.refuse_if(Rule::EncodedSlash, refused, DenyReason::AmbiguousPath)
    }

    fn method_is_allowed(&self) -> Result<(), DenyReason> {
        self.refuse_if(Rule::TraceMethod, self.facts.request.is_trace(), DenyReason::TraceRefused)
    }

    fn address_is_allowed(&self) -> Result<(), DenyReason> {
        let Facts { request, known, .. } = self.facts;
        let concerns = ip_rules_concern(self.settings, &request.credential);
        let allowed =
            || known.address.is_some_and(|address| self.settings.ip_rules.iter().any(|rule| rule.contains(address)));
        self.refuse_if(Rule::SiteAddress, concerns && !allowed(), DenyReason::IpNotAllowed)
    }

    fn headers_are_readable(&self) -> Result<(), DenyReason> {
        let request = self.facts.request;
        let unreadable = request.credential == Credential::Unreadable;
        self.refuse_if(Rule::CredentialReadable, unreadable, DenyReason::BadCredentials)?;
        let unreadable = request.context_user == ContextUser::Unreadable;
        self.refuse_if(Rule::ContextUserReadable, unreadable, DenyReason::BadContextUser)
    }

    /// The token that was presented; `None`: something else was, or nothing.
    fn token(&self) -> Result<Option<&'a TokenRecord>, DenyReason> {
        let Facts { request, known, .. } = self.facts;
        let (secret, scheme_is_allowed) = match &request.credential {
            Credential::Basic { secret, .. } => (secret, self.settings.token_schemes.accept_basic()),
            Credential::Bearer { secret } => (secret, self.settings.token_schemes.accept_bearer()),
            Credential::None | Credential::Foreign | Credential::Unreadable => {
                let shows_token = request.shows_token();
                return self.refuse_if(Rule::OtherScheme, shows_token, DenyReason::SchemeNotAllowed).map(|()| None);
            }
        };
        // Nobody has looked, or could: an imported token would go on to the backend as a password.
        let nobody_knows = match &known.token {
            Found::Unreadable => true,
            Found::NotLookedUp => request.credential.to_look_up().is_some(),
            Found::Nothing | Found::Record(_) => false,
        };
        let (found, shape) = (known.token.record(), Shape::of(secret.expose()));
        self.trace.at(Rule::TokenWhole);
        if shape == Shape::Mistyped {
            return Err(self.mistyped_token());
        }
        // With passwords disabled, an unknown token in Basic is 403, whatever `token_schemes` says (U10).
        let is_token = found.is_some() || (shape == Shape::Token && !self.password_is_disabled());
        self.refuse_if(Rule::TokenScheme, is_token && !scheme_is_allowed, DenyReason::SchemeNotAllowed)?;
        self.refuse_if(Rule::SnapshotReadable, nobody_knows, DenyReason::SnapshotUnreadable)?;
        self.trace.at(Rule::TokenKnown);
        if found.is_some() {
            return Ok(found);
        }
        if shape == Shape::Token {
            return Err(self.unknown_token());
        }
        // A space before it, quotes around it: to the backend it would be a failed login.
        self.trace.at(Rule::TokenDisguised);
        if request.shows_token() {
            return Err(self.mistyped_token());
        }
        self.no_token_for_a_name().map(|()| None)
    }

    /// To the backend it would be a failed login in that name, and in both logs.
    fn no_token_for_a_name(&self) -> Result<(), DenyReason> {
        self.trace.at(Rule::TokenAsName);
        match &self.facts.known.name {
            Found::Nothing | Found::NotLookedUp => Ok(()),
            Found::Record(_) => Err(DenyReason::BadCredentials),
            Found::Unreadable => Err(DenyReason::SnapshotUnreadable),
        }
    }

    fn unknown_token(&self) -> DenyReason {
        if self.password_is_disabled() { DenyReason::UnknownTokenNorPassword } else { DenyReason::UnknownToken }
    }

    fn mistyped_token(&self) -> DenyReason {
        if self.password_is_disabled() { DenyReason::MistypedTokenNorPassword } else { DenyReason::MistypedToken }
    }

    /// Whether it came with Basic, and that may hold no password.
    fn password_is_disabled(&self) -> bool {
        let Credential::Basic { user, .. } = &self.facts.request.credential else {
            return false;
        };
        let path = self.facts.request.path_below_context();
        self.to == For::Backend && !self.settings.password_is_allowed(user, path)
    }

    fn may_pass_without_token(&self) -> Result<(), DenyReason> {
        let request = self.facts.request;
        let on_behalf = request.context_user != ContextUser::Caller;
        self.refuse_if(Rule::OnBehalfWithoutToken, on_behalf, DenyReason::OnBehalfOfRefused)?;
        if self.to == For::ControlPlane {
            return Ok(());
        }
        self.refuse_if(Rule::TokenRequired, !self.settings.backend_authenticates, DenyReason::TokenRequired)?;
        match &request.credential {
            Credential::Unreadable => Err(DenyReason::BadCredentials),
            Credential::None => Ok(()),
            Credential::Basic { .. } => {
                self.refuse_if(Rule::PasswordAllowed, self.password_is_disabled(), DenyReason::PasswordDisabled)
            }
            Credential::Bearer { .. } | Credential::Foreign => {
                let refused = self.settings.foreign_credentials == ForeignCredentials::Refuse;
                self.refuse_if(Rule::ForeignAllowed, refused, DenyReason::ForeignCredentialsRefused)
            }
        }
    }

    /// The user who came with this token.
    fn caller(&self, token: &TokenRecord) -> Result<Owner, DenyReason> {
        let Facts { request, known, .. } = self.facts;
        self.trace.at(if token.binding == Binding::Unbound { Rule::UnboundUser } else { Rule::RightUser });
        match (&token.binding, &request.credential) {
            (Binding::User(owner), Credential::Basic { user, .. }) => {
                self.refuse_if(Rule::RightUser, !owner.answers_to(user), DenyReason::WrongUser)?;
                Ok(owner.clone())
            }
            (Binding::User(owner), _) => Ok(owner.clone()),
            (Binding::Unbound, Credential::Basic { .. }) => match &known.caller {
                Found::Record(user) => Ok(user.into()),
                Found::Nothing | Found::NotLookedUp => Err(DenyReason::UnknownUser),
                Found::Unreadable => Err(DenyReason::SnapshotUnreadable),
            },
            (Binding::Unbound, _) => Err(DenyReason::SchemeNotAllowed),
        }
    }

    fn token_is_in_order(&self, token: &TokenRecord) -> Result<(), DenyReason> {
        let beside = self.facts.known.caller.record().filter(|_| token.binding == Binding::Unbound);
        stands(token, self.trace)?;
        let suspended = beside.is_some_and(|user| user.suspended);
        self.refuse_if(Rule::TokenStands, suspended, DenyReason::UserSuspended)?;
        is_in_time(token, self.facts.now, self.trace)
    }

    fn tokens_may_be_used(&self, token: &TokenRecord, caller: &Owner) -> Result<(), DenyReason> {
        may_be_used(token, caller, self.settings, self.to, self.trace)
    }

    fn token_may_do_this(&self, token: &TokenRecord) -> Result<(), DenyReason> {
        let Facts { request, known, .. } = self.facts;
        let overridden = token.is_restricted() && request.overrides_method();
        self.refuse_if(Rule::MethodOverride, overridden, DenyReason::MethodOverride)?;
        self.refuse_if(Rule::TokenLimits, !token.addresses.allow(known.address), DenyReason::IpNotAllowed)?;
        let writes = token.scope == Scope::ReadOnly && !request.only_reads();
        self.refuse_if(Rule::TokenLimits, writes, DenyReason::ReadOnly)
    }

    /// As whom the request runs, and who asked for that if it is somebody else.
    fn acting(&self, token: &TokenRecord, caller: Owner) -> Result<(Owner, Option<Owner>), DenyReason> {
        let Facts { request, known, .. } = self.facts;
        if request.context_user == ContextUser::Caller {
            return Ok((caller, None));
        }
        self.refuse_if(Rule::OnBehalf, token.binding == Binding::Unbound, DenyReason::OnBehalfOfRefused)?;
        may_act(&caller, self.settings, self.to, self.trace)?;
        self.trace.at(Rule::ContextUserKnown);
        let user = match &known.context_user {
            Found::Record(user) => user,
            Found::Nothing | Found::NotLookedUp => return Err(DenyReason::ContextUserUnknown),
            Found::Unreadable => return Err(DenyReason::SnapshotUnreadable),
        };
        may_be_acted_for(user, &caller, self.trace)?;
        Ok((user.into(), Some(caller)))
    }

    fn backend_credential(&self) -> Result<Option<BackendCredential>, DenyReason> {
        if self.to == For::ControlPlane || self.settings.identity != Identity::Credential {
            return Ok(None);
        }
        self.trace.at(Rule::BackendCredential);
        match &self.facts.known.credential {
            Found::Record(credential) => Ok(Some(credential.clone())),
            Found::Nothing | Found::NotLookedUp => Err(DenyReason::NoBackendCredential),
            Found::Unreadable => Err(DenyReason::SnapshotUnreadable),
        }
    }

    /// Whether the restrictions of the token can only be judged once the body is there.
    fn awaits_body(&self, token: &TokenRecord) -> Result<bool, DenyReason> {
        if token.restrictions.is_none() {
            return Ok(false);
        }
        let Facts { request, known, .. } = self.facts;
        self.trace.at(Rule::Restrictions);
        let set = known.restrictions.record().ok_or(DenyReason::SnapshotUnreadable)?;
        let body = self.facts.readable_body();
        let (outcome, steps) = set.judge_counted(&request.method, &request.path, &request.query, body);
        self.trace.spent(steps);
        match outcome {
            Outcome::Holds => Ok(false),
            Outcome::NeedBody => {
                let too_large = request.declared_length > Some(u64::from(self.settings.body_limit.get()));
                self.refuse_if(Rule::BodyReadable, too_large, DenyReason::BodyTooLarge)?;
                Ok(true)
            }
            Outcome::NothingHolds => Err(DenyReason::Restricted),
            Outcome::TooLong => {
                self.trace.at(Rule::TargetLength);
                Err(DenyReason::TooLongToJudge)
            }
            Outcome::BadQuery => {
                self.trace.at(Rule::QueryReadable);
                Err(DenyReason::BadQuery)
            }
            Outcome::BodyUnreadable => {
                self.trace.at(Rule::BodyReadable);
                Err(DenyReason::BodyUnreadable)
            }
        }
    }

    fn assertion(&self) -> Option<For> {
        let path = self.facts.request.path_below_context();
        let wanted = || {
            self.settings.identity == Identity::Assertion
                && self.settings.assertion_paths.iter().any(|prefix| prefix.holds(path))
        };
        (self.to == For::ControlPlane || wanted()).then_some(self.to)
    }
}

/// Whether what was admitted for the control plane a moment ago, by this program or by a proxy with an older snapshot,
/// still stands: all checks that need no request. `user` is the one on whose behalf the owner of the token acts.
pub fn still_stands(
    token: &TokenRecord,
    user: Option<&UserRecord>,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), DenyReason> {
    stands(token, &())?;
    is_in_time(token, now, &())?;
    let Binding::User(owner) = &token.binding else {
        return Err(DenyReason::CannotManage);
    };
    may_be_used(token, owner, settings, For::ControlPlane, &())?;
    let Some(user) = user else {
        return Ok(());
    };
    may_act(owner, settings, For::ControlPlane, &())?;
    may_be_acted_for(user, owner, &())
}

fn stands(token: &TokenRecord, trace: &impl Trace) -> Result<(), DenyReason> {
    trace.at(Rule::TokenStands);
    match token.state {
        TokenState::Deleted => Err(DenyReason::TokenDeleted),
        TokenState::OwnerSuspended => Err(DenyReason::OwnerSuspended),
        TokenState::Active => Ok(()),
    }
}

fn is_in_time(token: &TokenRecord, now: Timestamp, trace: &impl Trace) -> Result<(), DenyReason> {
    refuse_if(trace, Rule::TokenTime, token.is_not_yet_valid(now), DenyReason::TokenNotYetValid)?;
    refuse_if(trace, Rule::TokenTime, token.is_expired(now), DenyReason::TokenExpired)
}

fn may_be_used(
    token: &TokenRecord,
    caller: &Owner,
    settings: &Settings,
    to: For,
    trace: &impl Trace,
) -> Result<(), DenyReason> {
    let unbound = token.binding == Binding::Unbound;
    let admins_only = settings.only_admins_create && !settings.users_may_use_tokens_created_for_them;
    let manages = to == For::ControlPlane;
    refuse_if(trace, Rule::TokensOn, !settings.token_authentication && !manages, DenyReason::TokensOff)?;
    refuse_if(trace, Rule::UnboundOn, unbound && !settings.unbound_tokens, DenyReason::UnboundTokensOff)?;
    refuse_if(trace, Rule::AdminsOnly, admins_only && !caller.sysadmin, DenyReason::TokensForAdminsOnly)?;
    let cannot_manage = manages && (unbound || token.is_restricted());
    refuse_if(trace, Rule::MayManage, cannot_manage, DenyReason::CannotManage)
}

/// Whether a caller may act for others at all (U7). To manage, only sysadmins may: a token that somebody else made in a
/// user's name would outlast the permission.
fn may_act(caller: &Owner, settings: &Settings, to: For, trace: &impl Trace) -> Result<(), DenyReason> {
    let may = match settings.on_behalf_of {
        OnBehalfOf::Off => false,
        OnBehalfOf::Sysadmins => caller.sysadmin,
        OnBehalfOf::Listed => names_hold(&settings.on_behalf_of_callers, &caller.name),
    };
    let refused = !may || (to == For::ControlPlane && !caller.sysadmin);
    refuse_if(trace, Rule::OnBehalf, refused, DenyReason::OnBehalfOfRefused)
}

fn may_be_acted_for(user: &UserRecord, caller: &Owner, trace: &impl Trace) -> Result<(), DenyReason> {
    refuse_if(trace, Rule::ContextUserKnown, user.suspended, DenyReason::ContextUserSuspended)?;
    let above = user.sysadmin && !caller.sysadmin;
    refuse_if(trace, Rule::ContextUserKnown, above, DenyReason::ContextUserIsSysadmin)
}

/// Whether the site's address rules hold for a request with this credential.
pub(crate) fn ip_rules_concern(settings: &Settings, credential: &Credential) -> bool {
    let concerned = *credential != Credential::None || settings.ip_rules_apply_to == IpRulesApplyTo::All;
    concerned && !settings.ip_rules.is_empty()
}

/// A check, at this row of the table.
fn refuse_if(trace: &impl Trace, rule: Rule, condition: bool, reason: DenyReason) -> Result<(), DenyReason> {
    trace.at(rule);
    if condition { Err(reason) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
