//! A verdict, and how it came about: [`decide`](super::decide) itself, watched.
//!
//! Which rules were looked at, and which of them decided, is what the checks themselves say of it. Only the sentences are
//! made here: they tell the facts at which a rule looked, decide nothing, and hold no secret, no value of a query, a body
//! or a header, and of the settings no more than which of them counts.

use super::{Rule, Verdict, judge};
use crate::calls::Escaped;
use crate::credential::Credential;
use crate::facts::{Facts, Found};
use crate::path::Area;
use crate::request::ContextUser;
use crate::restrictions::TARGET_LEN_MAX;
use crate::restrictions::explain::{Finding, Line};
use crate::token::Shape;
use crate::{Addresses, Binding, Owner, Scope, Timestamp, TokenRecord, TokenState, UserRecord};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

/// A verdict and its reasons.
#[derive(Debug)]
pub struct Explanation {
    /// The verdict, which is [`decide`](super::decide)'s.
    pub verdict: Verdict,
    /// The rules in their order, up to the one that decided.
    pub steps: Vec<Step>,
    /// The restrictions of the token line by line, if they were looked at.
    pub lines: Vec<Line>,
}

/// What a rule said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which one.
    pub rule: Rule,
    /// What it said.
    pub outcome: Outcome,
    /// The facts that mattered to it, in a sentence.
    pub detail: String,
}

/// What a rule can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing against the request.
    Passed,
    /// It refuses it.
    Refused,
    /// It does not concern it, and was not looked at.
    NotApplicable,
}

/// Decides, and says why. The crate knows no calendar: `show` writes a time as people read it.
pub fn explain(facts: &Facts<'_>, show: impl Fn(Timestamp) -> String) -> Explanation {
    let trace = RefCell::new(Vec::new());
    let verdict = judge(facts, &trace).unwrap_or_else(Verdict::Deny);
    let looked_at = trace.into_inner();
    let last = looked_at.last().copied();
    let lines = if looked_at.contains(&Rule::Restrictions) { lines(facts) } else { Vec::new() };
    let step = |rule: Rule| {
        let outcome = match &verdict {
            _ if !looked_at.contains(&rule) => Outcome::NotApplicable,
            Verdict::Deny(_) if Some(rule) == last => Outcome::Refused,
            Verdict::Deny(_) | Verdict::Admit(_) | Verdict::Pass(_) | Verdict::NeedBody => Outcome::Passed,
        };
        let detail = match outcome {
            Outcome::NotApplicable => why_not(rule, facts).into(),
            Outcome::Passed | Outcome::Refused if rule == Rule::Restrictions => restrictions(&lines),
            Outcome::Passed | Outcome::Refused => detail(rule, facts, &show),
        };
        Step { rule, outcome, detail }
    };
    let steps = Rule::ALL.iter().copied().filter(|rule| Some(*rule) <= last).map(step).collect();
    Explanation { verdict, steps, lines }
}

/// The facts at which a rule looks.
fn detail(rule: Rule, facts: &Facts<'_>, show: &impl Fn(Timestamp) -> String) -> String {
    let Facts { request, known, snapshot, .. } = facts;
    let said: Cow<'_, str> = match rule {
        Rule::PathReading => match request.reading {
            Ok(_) => "All readers find the same in the path.".into(),
            Err(_) => "The path holds something that a backend could read differently.".into(),
        },
        Rule::PathProtected => match request.area() {
            Some(Area::Open | Area::Ready) => "The path is not protected.".into(),
            Some(Area::ControlPlane | Area::Facade(_)) => "The path belongs to the control plane or a facade.".into(),
            Some(Area::Protected) | None => "The path is protected.".into(),
        },
        Rule::Snapshot => match snapshot.settings() {
            Some(_) => "Settings and tokens are known, and young enough.".into(),
            None => "There is none, or it is too old.".into(),
        },
        Rule::EncodedSlash => match request.reading.is_ok_and(|reading| reading.encoded_slash) {
            true => "The path holds an encoded slash.".into(),
            false => "The path holds no encoded slash.".into(),
        },
        Rule::TraceMethod => format!("The method is {}.", Escaped(&request.method)).into(),
        Rule::SiteAddress => match snapshot.settings().map(|settings| settings.ip_rules.is_empty()) {
            Some(false) => format!("{} `ip_rules` are set.", client(facts)).into(),
            Some(true) | None => "No `ip_rules` are set.".into(),
        },
        Rule::CredentialReadable => presented(facts).into(),
        Rule::ContextUserReadable => match &request.context_user {
            ContextUser::Caller => "There is no contextUser.".into(),
            ContextUser::Named(name) => format!("contextUser is {}.", Escaped(name.as_bytes())).into(),
            ContextUser::Unreadable => "contextUser holds no name, or is there more than once.".into(),
        },
        Rule::OtherScheme => match &request.credential {
            Credential::Foreign => "The scheme is neither Basic nor Bearer.".into(),
            _ => "There is no credential.".into(),
        },
        Rule::TokenWhole => match request.credential.secret().map(|secret| Shape::of(secret.expose())) {
            Some(Shape::Mistyped) => "It begins like an API token, and its end or its checksum is wrong.".into(),
            Some(Shape::Token) => "It has the form of an API token.".into(),
            Some(Shape::Foreign) | None => "It does not begin like an API token.".into(),
        },
        Rule::TokenScheme => {
            let scheme = if matches!(request.credential, Credential::Basic { .. }) { "Basic" } else { "Bearer" };
            format!("It came under {scheme}; `token_schemes` says which of Basic and Bearer tokens accept.").into()
        }
        Rule::SnapshotReadable => "The list of tokens was asked.".into(),
        Rule::TokenKnown => match known.token.record() {
            Some(token) => format!("It is the token {}, {}.", token.id, whose(token)).into(),
            None => "No token has this value.".into(),
        },
        Rule::TokenDisguised => "What was presented was searched for a token of ours.".into(),
        Rule::TokenAsName => match &known.name {
            Found::Record(_) => "What stands in the place of the name is a token.".into(),
            Found::NotLookedUp | Found::Nothing | Found::Unreadable => {
                "No token stands in the place of the name.".into()
            }
        },
        Rule::OnBehalfWithoutToken => match &request.context_user {
            ContextUser::Caller => "There is no contextUser.".into(),
            ContextUser::Named(_) | ContextUser::Unreadable => "There is a contextUser, and no token.".into(),
        },
        Rule::TokenRequired => {
            "There is no token; `backend_authenticates` says whether the backend may be asked.".into()
        }
        Rule::PasswordAllowed => {
            "It counts as a password; `passwords`, and the exemptions, say whether one may pass.".into()
        }
        Rule::ForeignAllowed => "It is no token; `foreign_credentials` says whether it may pass.".into(),
        Rule::PassedOn => "It goes on as it came, and whoever gets it authenticates.".into(),
        Rule::RightUser => match (&request.credential, token(facts).map(|token| &token.binding)) {
            (Credential::Basic { user, .. }, Some(Binding::User(owner))) if owner.answers_to(user) => {
                format!("The name beside it is that of {}.", owner.name).into()
            }
            (Credential::Basic { .. }, Some(Binding::User(owner))) => {
                format!("The name beside it is not that of {}.", owner.name).into()
            }
            _ => "With Bearer no name stands beside it.".into(),
        },
        Rule::UnboundUser => match (&request.credential, &known.caller) {
            (Credential::Basic { .. }, Found::Record(user)) => format!("It is used as {}.", user.name).into(),
            (Credential::Basic { .. }, _) => "Nobody has the name beside it.".into(),
            _ => "With Bearer no name stands beside it.".into(),
        },
        Rule::TokenStands => stands(facts).into(),
        Rule::TokenTime => token(facts).map_or_else(String::new, |token| time(token, facts.now, show)).into(),
        Rule::TokensOn => "`token_authentication` is the master switch of the backend's paths.".into(),
        Rule::UnboundOn => match token(facts).map(|token| &token.binding) {
            Some(Binding::Unbound) => "It is unbound; `unbound_tokens` says whether such may be used.".into(),
            _ => "It belongs to a user.".into(),
        },
        Rule::AdminsOnly => match caller(facts) {
            Some((name, true)) => format!("{name} is a sysadmin.").into(),
            Some((name, false)) => format!("{name} is no sysadmin.").into(),
            None => "Nobody is known to have come.".into(),
        },
        Rule::MayManage => may_manage(facts).into(),
        Rule::MethodOverride => match request.overrides_method() {
            true => "A header or a parameter overrides the method.".into(),
            false => "No header and no parameter overrides the method.".into(),
        },
        Rule::TokenLimits => limits(facts).into(),
        Rule::OnBehalf => match caller(facts) {
            Some((name, true)) => format!("{name} is a sysadmin; `on_behalf_of` says who may.").into(),
            Some((name, false)) => format!("{name} is no sysadmin; `on_behalf_of` says who may.").into(),
            None => "Nobody is known to have come.".into(),
        },
        Rule::ContextUserKnown => match &known.context_user {
            Found::Record(user) => standing(user).into(),
            Found::NotLookedUp | Found::Nothing | Found::Unreadable => "Nobody has the name in contextUser.".into(),
        },
        Rule::BackendCredential => match &known.credential {
            Found::Record(_) => "One is stored.".into(),
            Found::NotLookedUp | Found::Nothing | Found::Unreadable => "None is stored that could be used.".into(),
        },
        Rule::Restrictions => "See its lines.".into(),
        Rule::TargetLength => format!(
            "The path has {} bytes and the query {}; {TARGET_LEN_MAX} are judged.",
            request.path.len(),
            request.query.len()
        )
        .into(),
        Rule::QueryReadable => {
            "The query has a wrong escape, a `;`, a control character in a name, no UTF-8, or too many parameters."
                .into()
        }
        Rule::BodyReadable => match request.declared_length {
            Some(length) => format!("The body has {length} bytes; `body_limit` says how many are looked at.").into(),
            None => "There is no body, or none that can be read.".into(),
        },
        Rule::Admitted => "It goes on without the token, and with the identity.".into(),
    };
    said.into_owned()
}

/// Why a rule was not looked at.
fn why_not(rule: Rule, facts: &Facts<'_>) -> &'static str {
    let has_token = token(facts).is_some();
    match rule {
        _ if rule > Rule::TokenKnown && rule <= Rule::PassedOn && has_token => "It came with a token.",
        Rule::OtherScheme => "It came with Basic or Bearer.",
        _ if rule > Rule::OtherScheme && rule <= Rule::TokenAsName => "It came with neither Basic nor Bearer.",
        Rule::TokenRequired | Rule::PasswordAllowed | Rule::ForeignAllowed => {
            "It is for the control plane, which authenticates by itself, or came with nothing of the kind."
        }
        Rule::RightUser => "The token is unbound.",
        Rule::UnboundUser => "The token belongs to a user.",
        Rule::OnBehalf | Rule::ContextUserKnown => "There is no contextUser.",
        Rule::BackendCredential => "Backend credentials are not in use, or it is for the control plane.",
        Rule::Restrictions => "The token has no restrictions.",
        Rule::TargetLength | Rule::QueryReadable | Rule::BodyReadable => "No line failed for it.",
        _ => "It was not looked at.",
    }
}

fn token<'a>(facts: &'a Facts<'_>) -> Option<&'a TokenRecord> {
    facts.known.token.record()
}

/// Who came, and whether they administer.
fn caller<'a>(facts: &'a Facts<'_>) -> Option<(&'a str, bool)> {
    match &token(facts)?.binding {
        Binding::User(Owner { name, sysadmin, .. }) => Some((name, *sysadmin)),
        Binding::Unbound => facts.known.caller.record().map(|user| (user.name.as_str(), user.sysadmin)),
    }
}

fn whose(token: &TokenRecord) -> String {
    match &token.binding {
        Binding::User(owner) => format!("which belongs to {}", owner.name),
        Binding::Unbound => "which is unbound".into(),
    }
}

fn presented(facts: &Facts<'_>) -> &'static str {
    match &facts.request.credential {
        Credential::None => "There is no credential.",
        Credential::Basic { .. } => "There is one, under Basic.",
        Credential::Bearer { .. } => "There is one, under Bearer.",
        Credential::Foreign => "There is one, under another scheme.",
        Credential::Unreadable => {
            "There is more than one, or it cannot be read, or a token stands in the place of the name."
        }
    }
}

fn client(facts: &Facts<'_>) -> String {
    match facts.known.address {
        Some(address) => format!("The client's address is {address}."),
        None => "The client's address is not known, or does not matter.".into(),
    }
}

fn stands(facts: &Facts<'_>) -> String {
    match (token(facts), facts.known.caller.record()) {
        (Some(TokenRecord { state: TokenState::Deleted, .. }), _) => "The token is deleted.".into(),
        (Some(TokenRecord { state: TokenState::OwnerSuspended, .. }), _) => "Its owner is suspended.".into(),
        (Some(TokenRecord { binding: Binding::Unbound, .. }), Some(user)) => standing(user),
        _ => "The token is in force, and so is its owner.".into(),
    }
}

fn standing(user: &UserRecord) -> String {
    let UserRecord { name, suspended, sysadmin, .. } = user;
    let suspended = if *suspended { "suspended" } else { "not suspended" };
    let sysadmin = if *sysadmin { "a sysadmin" } else { "no sysadmin" };
    format!("{name} is {suspended}, and {sysadmin}.")
}

fn time(token: &TokenRecord, now: Timestamp, show: &impl Fn(Timestamp) -> String) -> String {
    let from = token.valid_from.map_or_else(|| "from the start".into(), |from| format!("from {}", show(from)));
    let end = token.expires_at.map_or_else(|| "without an end".into(), |end| format!("until {}", show(end)));
    format!("It works {from}, {end}; it is {}.", show(now))
}

fn may_manage(facts: &Facts<'_>) -> &'static str {
    let restricted = token(facts).is_some_and(TokenRecord::is_restricted);
    match facts.request.area() {
        Some(Area::ControlPlane | Area::Facade(_)) if restricted => "The token is restricted.",
        Some(Area::ControlPlane | Area::Facade(_)) => "The token is not restricted.",
        _ => "It is for the backend.",
    }
}

fn limits(facts: &Facts<'_>) -> String {
    let Some(TokenRecord { addresses, scope, .. }) = token(facts) else {
        return String::new();
    };
    let method = Escaped(&facts.request.method);
    let addresses = match addresses {
        Addresses::Any => "It works from everywhere".into(),
        Addresses::Only(rules) => {
            let rules: Vec<String> = rules.iter().map(|rule| format!("{rule}")).collect();
            format!("{} It works from {}", client(facts), rules.join(", "))
        }
    };
    match scope {
        Scope::Full => format!("{addresses}, with every method."),
        Scope::ReadOnly => format!("{addresses}, with GET, HEAD and OPTIONS alone; the method is {method}."),
    }
}

fn lines(facts: &Facts<'_>) -> Vec<Line> {
    let Some(set) = facts.known.restrictions.record() else {
        return Vec::new();
    };
    let request = facts.request;
    set.explain(&request.method, &request.path, &request.query, facts.readable_body())
}

fn restrictions(lines: &[Line]) -> String {
    match lines.iter().position(|line| line.finding == Finding::Holds) {
        Some(index) => format!("Line {} of {} holds.", index.saturating_add(1), lines.len()),
        None => format!("None of {} lines holds.", lines.len()),
    }
}
