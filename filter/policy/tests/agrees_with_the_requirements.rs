//! The verdicts, judged a second time: slowly, plainly, and from the words of the requirements; in the order of the
//! table at the top of `decide.rs`, which the requirements leave open.
//!
//! A table of cases is generated; each case is described in plain words ([`Case`]). From the description
//! [`by_the_requirements`] says what must become of the request, and [`by_the_policy`] builds what a proxy would see,
//! and asks the real code. The two must agree on every case, in code and status, and on who is admitted as whom.
//!
//! The second judge calls nothing of the crate that judges: where a path belongs, and what a client's address
//! matches, is written by hand beside each path and each rule. Where the requirements leave the choice between two
//! refusals, the choice that was made is marked with "Open:". It says nothing of restrictions (L1 to L8), which have
//! their own tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::assertion::{AssertionKey, For};
use policy::credential::{BackendCredential, Secret};
use policy::headers::{HeaderEdit, edits};
use policy::restrictions::{Body, Set};
use policy::settings::{
    Age, EncodedSlashes, ForeignCredentials, Identity, IpRulesApplyTo, OnBehalfOf, Passwords, PathPrefix, TokenSchemes,
    UserName,
};
use policy::{
    Addresses, Binding, DenyReason, Facts, FilterKeys, Found, HashKey, HashKeys, IpRule, KeyedHash, Known, Owner,
    Request, Scope, SealKey, Settings, Site, Snapshot, Sources, Timestamp, TokenRecord, TokenState, UserRecord,
    Verdict, decide, token,
};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

#[test]
fn every_verdict_is_what_the_requirements_say() {
    let world = World::new();
    let mut cases_of = BTreeMap::<Answer, usize>::new();
    let mut disagreements = BTreeMap::<(Answer, Answer), (usize, String)>::new();
    let mut judge = |case: Case| {
        let (must, is) = (by_the_requirements(&case), by_the_policy(&case, &world));
        *cases_of.entry(answer(&is)).or_default() += 1;
        if must != is {
            let kind = (answer(&must), answer(&is));
            disagreements.entry(kind).or_insert((0, format!("{must:?}\n{is:?}\n{case:?}"))).0 += 1;
        }
    };
    pairs_of_variations(&mut judge);
    whole_products(&mut judge);
    sample(&mut judge);

    for ((status, code), count) in &cases_of {
        println!("{count:>7}  {status} {code}");
    }
    println!("{:>7}  altogether", cases_of.values().sum::<usize>());
    for ((must, is), (count, case)) in &disagreements {
        println!("\n{count} cases must be {must:?} and are {is:?}; the first:\n{case}");
    }
    assert!(disagreements.is_empty(), "{} kinds of disagreement, see above", disagreements.len());
    for reason in DenyReason::ALL.iter().filter(|reason| !ELSEWHERE.contains(reason)) {
        assert!(cases_of.contains_key(&(reason.status(), reason.code())), "no case is refused for {reason:?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What the requirements say.

/// What becomes of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goes {
    /// On to the backend, or to the control plane, untouched.
    Untouched,
    /// On with an identity.
    As {
        user: String,
        actor: Option<String>,
        /// For whom an assertion is wanted.
        assertion: Option<For>,
        /// What stands in `Authorization` in place of the token.
        credential: Option<String>,
    },
}

/// A refusal: status and code.
type Refusal = (u16, &'static str);

fn refuse_if(is_so: bool, status: u16, code: &'static str) -> Result<(), Refusal> {
    if is_so { Err((status, code)) } else { Ok(()) }
}

/// The table at the top of `decide.rs`, from its first row on.
fn by_the_requirements(case: &Case) -> Result<Goes, Refusal> {
    let Case { path, settings, .. } = case;

    // Principle 5: what different readers read differently is refused before anything else is looked at.
    refuse_if(path.area == Area::Ambiguous, 400, "ambiguous_path")?;

    // U5: elsewhere than on protected paths a token grants nothing, and is not forwarded.
    if path.area == Area::Open {
        refuse_if(shows_a_token_of_ours(case.credential), 401, "path_not_protected")?;
        return Ok(Goes::Untouched);
    }

    // U14: "no snapshot, or older than `max_snapshot_age`".
    let is_too_old = |age_ms: u64| settings.max_snapshot_age_s.is_some_and(|max| age_ms > max * 1000);
    refuse_if(case.snapshot_age_ms.is_none_or(is_too_old), 503, "not_ready")?;

    // Principle 5: "a setting can keep `%2f` in segments".
    refuse_if(path.encoded_slash && settings.encoded_slashes == EncodedSlashes::Refuse, 400, "ambiguous_path")?;

    // U6, "never shown again": a backend that answers TRACE sends back what it got.
    refuse_if(case.method.eq_ignore_ascii_case("trace"), 403, "trace_refused")?;

    // S2: for requests with a credential; for those without by setting; "none: everyone".
    let not_from_here = !settings.ip_rules.is_empty() && !any_rule_matches(settings.ip_rules, case.client);
    refuse_if(ip_rules_concern(case) && not_from_here, 403, "ip_not_allowed")?;

    // U15, and the same for `contextUser` (U7). Open: a token where a user's name should be could be called mistyped.
    let is_bad = match case.credential {
        Credential::Unreadable(_) | Credential::Two(..) => true,
        Credential::Basic(user, _) => user == A_TOKEN,
        _ => false,
    };
    refuse_if(is_bad, 400, "bad_credentials")?;
    let bad_context_user = match case.context_user {
        [] => false,
        [name] => name.trim().is_empty(),
        _ => true,
    };
    refuse_if(bad_context_user, 400, "bad_context_user")?;

    // U3: a token of ours under another scheme than those that tokens accept.
    let (user, secret, accepted) = match case.credential {
        Credential::Basic(user, secret) => (Some(user), secret, settings.token_schemes != TokenSchemes::Bearer),
        Credential::Bearer(secret) => (None, secret, settings.token_schemes != TokenSchemes::Basic),
        Credential::Other(_, secret) => {
            refuse_if(looks_like_ours(secret), 401, "scheme_not_allowed")?;
            return without_token(case);
        }
        _ => return without_token(case),
    };
    let is_of_our_format = matches!(secret, Shown::Token | Shown::Unknown);
    refuse_if(is_of_our_format && !accepted, 401, "scheme_not_allowed")?;

    // D2, U10: what begins like a token and is none, as anyone can tell without asking. Open: whether "a token of ours"
    // in U3 means these, too.
    refuse_if(matches!(secret, Shown::Mistyped | Shown::CutOff), 401, "mistyped_token")?;

    // Principle 3, U11: every other secret is looked up, for it may be an imported token, if any token is so long.
    // Open: what holds a token of ours without beginning like one could be refused at once.
    let may_be_one = !matches!(secret, Shown::Nothing | Shown::TooLong);
    refuse_if(may_be_one && !case.tokens_readable, 503, "snapshot_unreadable")?;

    match secret {
        // U10: "where passwords are disabled for the request (S3) it is 403".
        Shown::Unknown => match user {
            Some(user) if !password_may_pass(case, user) => Err((403, "unknown_token")),
            _ => Err((401, "unknown_token")),
        },
        Shown::Token | Shown::Imported => {
            refuse_if(!accepted, 401, "scheme_not_allowed")?;
            with_token(case, user)
        }
        // Nobody's, but whoever reads it finds a token of ours in it.
        Shown::AfterSpace | Shown::Quoted => Err((401, "mistyped_token")),
        _ => {
            // A3, "never a secret": a token where the name belongs; an imported one only a look can tell.
            let name = user.filter(|name| !name.is_empty());
            refuse_if(name.is_some() && !case.tokens_readable, 503, "snapshot_unreadable")?;
            refuse_if(name == Some(IMPORTED_TOKEN), 400, "bad_credentials")?;
            without_token(case)
        }
    }
}

/// The part of the table that begins with "No token".
fn without_token(case: &Case) -> Result<Goes, Refusal> {
    let Case { settings, .. } = case;
    // U7: "not with passwords (403)", and "refused, not ignored". Open: whether the control plane's paths are excepted.
    refuse_if(!case.context_user.is_empty(), 403, "on_behalf_of_refused")?;
    // "On the control plane's own paths, which authenticate by themselves, ... what is no token passes."
    if case.path.area == Area::ControlPlane {
        return Ok(Goes::Untouched);
    }
    // U12: "everything without an admitted token is 401".
    refuse_if(!settings.backend_authenticates, 401, "token_required")?;
    let refuses_foreign = settings.foreign_credentials == ForeignCredentials::Refuse;
    match case.credential {
        // S3, U11.
        Credential::Basic(user, _) => refuse_if(!password_may_pass(case, user), 403, "password_disabled")?,
        // U12: "a foreign Bearer, another scheme".
        Credential::Bearer(_) | Credential::Other(..) => {
            refuse_if(refuses_foreign, 401, "foreign_credentials_refused")?
        }
        _ => {}
    }
    Ok(Goes::Untouched)
}

/// The part of the table that begins with "A token".
fn with_token(case: &Case, user: Option<&str>) -> Result<Goes, Refusal> {
    let Case { settings, token, .. } = case;
    let for_the_control_plane = case.path.area == Area::ControlPlane;

    // U1, U4: whose is it, and who is calling?
    let caller = match token.owner {
        Some(owner) => {
            refuse_if(user.is_some_and(|user| !is_called(owner, user)), 401, "wrong_user")?;
            owner
        }
        None => {
            let user = user.ok_or((401, "scheme_not_allowed"))?;
            refuse_if(!case.users_readable, 503, "snapshot_unreadable")?;
            who_is(user).ok_or((401, "unknown_user"))?
        }
    };

    // U8: "a code that says which".
    refuse_if(token.state == TokenState::Deleted, 401, "token_deleted")?;
    refuse_if(token.state == TokenState::OwnerSuspended, 401, "owner_suspended")?;
    refuse_if(token.owner.is_none() && caller.suspended, 401, "user_suspended")?;
    refuse_if(token.valid_from == Some(When::Later), 401, "token_not_yet_valid")?;
    // U8: "at the very instant of expiry a token is expired".
    refuse_if(matches!(token.expires_at, Some(When::Before | When::Now)), 401, "token_expired")?;

    // U9: "403 on the backend's paths (not on the control plane's own …)".
    refuse_if(!settings.token_authentication && !for_the_control_plane, 403, "token_authentication_off")?;
    // U4: "off until an administrator allows it".
    refuse_if(token.owner.is_none() && !settings.unbound_tokens, 403, "unbound_tokens_off")?;
    // S5: "tokens of non-sysadmins, old ones too".
    let for_admins_only = settings.only_admins_create && !settings.users_may_use_tokens_created_for_them;
    refuse_if(for_admins_only && !caller.sysadmin, 403, "tokens_for_admins_only")?;
    // M5: "a token that is restricted in any way cannot manage tokens".
    let is_restricted = token.scope == Scope::ReadOnly || !token.addresses.is_empty();
    refuse_if(for_the_control_plane && (is_restricted || token.owner.is_none()), 403, "cannot_manage")?;
    // U15: "a restricted token together with `X-HTTP-Method-Override` (or its siblings)".
    refuse_if(is_restricted && case.override_header.is_some(), 400, "method_override")?;
    // L9.
    let not_from_here = !token.addresses.is_empty() && !any_rule_matches(token.addresses, case.client);
    refuse_if(not_from_here, 403, "ip_not_allowed")?;
    let reads = matches!(case.method, "GET" | "HEAD" | "OPTIONS");
    refuse_if(token.scope == Scope::ReadOnly && !reads, 403, "read_only")?;

    // U7: "checked as the caller first", which is done; now as the other.
    let runs_as = match case.context_user {
        [name] => on_behalf_of(name, caller, case)?,
        _ => caller,
    };

    // U6: the backend wants a credential of its own; the control plane does not.
    let mut credential = None;
    if settings.identity == Identity::Credential && !for_the_control_plane {
        refuse_if(!case.users_readable, 503, "snapshot_unreadable")?;
        // Principle 3: what cannot be opened is no reason to take another, or to say that there is none.
        let cannot_be_opened = case.stored == Stored::SealedForAnother && who_is(runs_as.name).is_some();
        refuse_if(cannot_be_opened, 503, "snapshot_unreadable")?;
        credential = credential_of(runs_as, case.stored);
        refuse_if(credential.is_none(), 403, "no_backend_credential")?;
    }

    Ok(Goes::As {
        user: runs_as.name.into(),
        actor: (!case.context_user.is_empty()).then(|| caller.name.into()),
        // U6; and the control plane always asks for one of its own (design.md, "who is calling the REST API").
        assertion: match settings.identity {
            _ if for_the_control_plane => Some(For::ControlPlane),
            Identity::Assertion if holds_path(settings.assertion_paths, case.path) => Some(For::Backend),
            _ => None,
        },
        credential,
    })
}

/// U7.
fn on_behalf_of(name: &str, caller: &Person, case: &Case) -> Result<&'static Person, Refusal> {
    let Case { settings, token, .. } = case;
    let may = match settings.on_behalf_of {
        OnBehalfOf::Off => false,
        OnBehalfOf::Sysadmins => caller.sysadmin,
        OnBehalfOf::Listed => settings.on_behalf_of_callers.iter().any(|listed| same(listed, caller.name)),
    };
    // Open: at the control plane only sysadmins, since what is made in another's name outlasts the permission.
    let manages = case.path.area == Area::ControlPlane;
    let may = may && (caller.sysadmin || !manages);
    refuse_if(!may || token.owner.is_none(), 403, "on_behalf_of_refused")?;
    refuse_if(!case.users_readable, 503, "snapshot_unreadable")?;
    let other = who_is(name.trim()).ok_or((403, "context_user_unknown"))?;
    refuse_if(other.suspended, 403, "context_user_suspended")?;
    refuse_if(other.sysadmin && !caller.sysadmin, 403, "context_user_is_sysadmin")?;
    Ok(other)
}

/// S2: "token and password requests", which are all that come with a credential; others by setting.
fn ip_rules_concern(case: &Case) -> bool {
    !matches!(case.credential, Credential::None | Credential::Empty)
        || case.settings.ip_rules_apply_to == IpRulesApplyTo::All
}

/// S3: "users and paths can be exempted", users by name. On the control plane's paths nothing is disabled: what is no
/// token passes there.
fn password_may_pass(case: &Case, user: &str) -> bool {
    let Rules { passwords, password_exempt_users, password_exempt_paths, .. } = case.settings;
    case.path.area == Area::ControlPlane
        || passwords == Passwords::Allowed
        || password_exempt_users.iter().any(|exempt| same(exempt, user))
        || holds_path(password_exempt_paths, case.path)
}

/// U5: "a credential recognisable as ours", whole or broken. An imported token is not recognisable.
fn shows_a_token_of_ours(credential: Credential) -> bool {
    match credential {
        Credential::None | Credential::Empty | Credential::Unreadable(_) => false,
        Credential::Basic(user, secret) => user == A_TOKEN || looks_like_ours(secret),
        Credential::Bearer(secret) | Credential::Other(_, secret) => looks_like_ours(secret),
        Credential::Two(first, second, _) => looks_like_ours(first) || looks_like_ours(second),
    }
}

fn looks_like_ours(secret: Shown) -> bool {
    match secret {
        Shown::Token | Shown::Unknown | Shown::Mistyped | Shown::CutOff | Shown::AfterSpace | Shown::Quoted => true,
        Shown::Imported | Shown::Password | Shown::Nothing | Shown::TooLong => false,
    }
}

/// Whether the path is one of those in the list, of which a test has `/` for all, or [`LISTED`], or none.
fn holds_path(list: &[&str], path: Path) -> bool {
    list.contains(&"/") || (!list.is_empty() && path.listed)
}

/// U1: "the user name or the e-mail address, compared without regard to case".
fn is_called(person: &Person, written: &str) -> bool {
    same(person.name, written) || same(person.email, written)
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// The known user of that name or e-mail address.
fn who_is(written: &str) -> Option<&'static Person> {
    PEOPLE.into_iter().find(|person| is_called(person, written))
}

/// U6: "one for all or one per user".
fn credential_of(person: &Person, stored: Stored) -> Option<String> {
    who_is(person.name)?; // Open: whether somebody without a record, a user no more (M8), is one of "all"
    match stored {
        Stored::Nothing | Stored::SealedForAnother => None,
        Stored::OneForAll => Some(FOR_ALL.into()),
        Stored::AlicesOnly if person.name != ALICE.name => None,
        Stored::AlicesOnly | Stored::OneEach | Stored::OneEachAndOneForAll => Some(own_credential(person)),
    }
}

fn any_rule_matches(rules: &[&str], client: Option<&str>) -> bool {
    client.is_some_and(|client| rules.iter().any(|rule| matches_rule(rule, client)))
}

/// S2: "address, CIDR, `first-last`, IPv4 and IPv6, v4-mapped as v4", for the few rules that the cases have.
fn matches_rule(rule: &str, client: &str) -> bool {
    let client = client.strip_prefix("::ffff:").unwrap_or(client);
    match rule {
        "10.1.2.3" => client == "10.1.2.3",
        "10.1.0.0/16" => client.starts_with("10.1."),
        "10.1.2.3-10.1.2.9" => (3..=9).any(|last| client == format!("10.1.2.{last}")),
        "::ffff:10.1.2.0/120" => client.starts_with("10.1.2."),
        "2001:db8::/32" => client.starts_with("2001:db8:"),
        "2001:db8::1-2001:db8::7" => (1..=7).any(|last| client == format!("2001:db8::{last}")),
        "192.0.2.0/24" => client.starts_with("192.0.2."),
        _ => unreachable!("a rule of which nobody wrote down what it means: {rule}"),
    }
}

/// What the sources may be asked for at most: nobody pays for facts on which no rule depends.
fn may_ask(case: &Case) -> (bool, BTreeSet<String>) {
    let judged = matches!(case.path.area, Area::Protected | Area::ControlPlane);
    let (user, secret) = match case.credential {
        Credential::Basic(user, secret) => (Some(user), Some(secret)),
        Credential::Bearer(secret) => (None, Some(secret)),
        _ => (None, None),
    };
    let token_found = judged && case.tokens_readable && matches!(secret, Some(Shown::Token | Shown::Imported));
    let address = judged && !case.settings.ip_rules.is_empty() && ip_rules_concern(case)
        || token_found && !case.token.addresses.is_empty();
    let mut users = BTreeSet::new();
    if token_found {
        let caller = case.token.owner.map(|owner| owner.name).or(user);
        let context_user = match case.context_user {
            [name] => Some(name.trim()),
            _ => None,
        };
        let wants_credential = case.settings.identity == Identity::Credential;
        users.extend(caller.filter(|_| case.token.owner.is_none() || wants_credential).map(str::to_lowercase));
        users.extend(context_user.map(str::to_lowercase));
    }
    (address, users)
}

// ---------------------------------------------------------------------------------------------------------------------
// The cases.

/// A request and the state of the world, in plain words.
#[derive(Clone, Copy, Debug)]
struct Case {
    credential: Credential,
    path: Path,
    method: &'static str,
    override_header: Option<&'static str>,
    /// All values of `contextUser`.
    context_user: &'static [&'static str],
    client: Option<&'static str>,
    token: Token,
    settings: Rules,
    /// What the administrator stored for the backend.
    stored: Stored,
    /// `None`: there is no snapshot.
    snapshot_age_ms: Option<u64>,
    tokens_readable: bool,
    users_readable: bool,
}

/// What stands in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    None,
    Empty,
    Basic(&'static str, Shown),
    Bearer(Shown),
    /// Under a scheme that is neither.
    Other(&'static str, Shown),
    Unreadable(&'static str),
    /// Two credentials: `Basic` for alice and `Bearer`, in two headers, or joined by this.
    Two(Shown, Shown, Option<&'static str>),
}

/// The password or token in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The token of the case.
    Token,
    /// The token of the case, imported: without our format.
    Imported,
    /// Of our format, and nobody's.
    Unknown,
    Mistyped,
    CutOff,
    AfterSpace,
    Quoted,
    Password,
    Nothing,
    /// Longer than any token.
    TooLong,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    /// `None`: unbound.
    owner: Option<&'static Person>,
    state: TokenState,
    valid_from: Option<When>,
    expires_at: Option<When>,
    scope: Scope,
    /// None: from everywhere.
    addresses: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    Now,
    Later,
}

/// The settings on which a verdict depends.
#[derive(Clone, Copy, Debug)]
struct Rules {
    token_authentication: bool,
    token_schemes: TokenSchemes,
    unbound_tokens: bool,
    backend_authenticates: bool,
    passwords: Passwords,
    password_exempt_users: &'static [&'static str],
    password_exempt_paths: &'static [&'static str],
    foreign_credentials: ForeignCredentials,
    ip_rules: &'static [&'static str],
    ip_rules_apply_to: IpRulesApplyTo,
    on_behalf_of: OnBehalfOf,
    on_behalf_of_callers: &'static [&'static str],
    only_admins_create: bool,
    users_may_use_tokens_created_for_them: bool,
    max_snapshot_age_s: Option<u64>,
    encoded_slashes: EncodedSlashes,
    identity: Identity,
    assertion_paths: &'static [&'static str],
}

/// Which backend credentials there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Nothing,
    OneForAll,
    OneEach,
    OneEachAndOneForAll,
    AlicesOnly,
    /// In every user's record lies one that was sealed for somebody else; and there is one for all.
    SealedForAnother,
}

fn has_one_for_all(stored: Stored) -> bool {
    matches!(stored, Stored::OneForAll | Stored::OneEachAndOneForAll | Stored::SealedForAnother)
}

const FOR_ALL: &str = "Bearer for-all";

fn own_credential(person: &Person) -> String {
    format!("Bearer for-{}-alone", person.email)
}

#[derive(Debug, PartialEq, Eq)]
struct Person {
    name: &'static str,
    email: &'static str,
    sysadmin: bool,
    suspended: bool,
}

static ALICE: Person = Person { name: "alice", email: "Alice@Example.org", sysadmin: false, suspended: false };
static EMILE: Person = Person { name: "Émile", email: "emile@example.org", sysadmin: false, suspended: false };
static ROOT: Person = Person { name: "root", email: "root@example.org", sysadmin: true, suspended: false };
static SAM: Person = Person { name: "sam", email: "sam@example.org", sysadmin: false, suspended: true };
static RUTH: Person = Person { name: "ruth", email: "ruth@example.org", sysadmin: true, suspended: true };
/// The owner of a token whose record as a user has not arrived.
static GHOST: Person = Person { name: "ghost", email: "ghost@example.org", sysadmin: false, suspended: false };

/// All known users.
static PEOPLE: [&Person; 5] = [&ALICE, &EMILE, &ROOT, &SAM, &RUTH];

/// Where a path belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Protected,
    ControlPlane,
    /// Neither; the path on which the filter itself answers is one of these for the verdict.
    Open,
    Ambiguous,
}

/// A path, and what is to be known of it, by hand.
#[derive(Clone, Copy, Debug)]
struct Path {
    /// The backend's context path in the proxy's configuration.
    context: &'static str,
    target: &'static str,
    area: Area,
    encoded_slash: bool,
    /// Whether [`LISTED`] holds it.
    listed: bool,
}

/// The path in those settings that list paths.
const LISTED: &[&str] = &["/rest/internal/"];

/// Stands for a whole token in place of a user's name: `curl -u TOKEN:`.
const A_TOKEN: &str = "{token}";

const fn at(area: Area, target: &'static str) -> Path {
    Path { context: "", target, area, encoded_slash: false, listed: false }
}

const fn below_jira(area: Area, target: &'static str) -> Path {
    Path { context: "/jira", ..at(area, target) }
}

const PROTECTED: Path = at(Area::Protected, "/rest/api/2/issue/JRA-1");
const LISTED_PATH: Path = Path { listed: true, ..at(Area::Protected, "/rest/internal/jobs") };
const OPEN: Path = at(Area::Open, "/browse/JRA-1");
const CONTROL_PLANE: Path = at(Area::ControlPlane, "/api/v1/tokens");

const PATHS: &[Path] = &[
    PROTECTED,
    at(Area::Protected, "/REST/Api/2/issue/JRA-1"),
    at(Area::Protected, "/rest/api/2/search?token={token}&a=%2f;/../&b=\\"), // U2: query strings are not looked at
    LISTED_PATH,
    at(Area::Protected, "/rest/INTERNAL/jobs"), // an exception from a rule holds for what it says
    at(Area::Protected, "/rest/internally"),
    Path { encoded_slash: true, ..at(Area::Protected, "/rest/api/2/project/A%2fB") },
    Path { encoded_slash: true, listed: true, ..at(Area::Protected, "/rest/internal/A%2FB") },
    OPEN,
    at(Area::Open, "/"),
    at(Area::Open, "/restful/x"),
    at(Area::Open, "/browse/a%2fb;c"),
    at(Area::Open, "/browse/JRA-1?next=/rest/"),
    at(Area::Open, "/.well-known/tokengate/ready"),
    at(Area::Open, "/.well-known/tokengate/ready?verbose"),
    CONTROL_PLANE,
    at(Area::ControlPlane, "/tokengate/"),
    at(Area::ControlPlane, "/rest/api-tokens/latest/user"),
    at(Area::Ambiguous, "/rest/x;y"),
    at(Area::Ambiguous, "/x/..;/rest/"),
    at(Area::Ambiguous, "/x/%2e%2e/rest/api"),
    at(Area::Ambiguous, "/%72est/api/2/issue/JRA-1"),
    at(Area::Ambiguous, "/rest%2fapi"),
    at(Area::Ambiguous, "/rest/a%5cb"),
    at(Area::Ambiguous, "/rest/a\\b"),
    at(Area::Ambiguous, "/rest/a%252fb"),
    at(Area::Ambiguous, "/api/v1/tokens;x"),
    at(Area::Ambiguous, "/api/v1/users/a%2fb"), // the setting is for the backend's paths
    below_jira(Area::Protected, "/jira/rest/api/2/issue/JRA-1"),
    below_jira(Area::Protected, "/jira/REST/api/2/issue/JRA-1"),
    Path { listed: true, ..below_jira(Area::Protected, "/jira/rest/internal/jobs") },
    below_jira(Area::Open, "/jira/browse/JRA-1"),
    below_jira(Area::Open, "/rest/api/2/issue/JRA-1"),
    below_jira(Area::Open, "/jira/api/v1/tokens"),
    below_jira(Area::ControlPlane, "/api/v1/tokens"),
    below_jira(Area::Ambiguous, "/jira/rest/x;y"),
];

const CREDENTIALS: &[Credential] = &[
    Credential::Basic("alice", Shown::Token),
    Credential::Basic("aLICE@eXample.ORG", Shown::Token),
    Credential::Basic("émile", Shown::Token),
    Credential::Basic("EMILE@example.org", Shown::Token),
    Credential::Basic("ROOT", Shown::Token),
    Credential::Basic("sam", Shown::Token),
    Credential::Basic("ruth", Shown::Token),
    Credential::Basic("nobody", Shown::Token),
    Credential::Basic("ghost", Shown::Token),
    Credential::Basic("", Shown::Token),
    Credential::Bearer(Shown::Token),
    Credential::Other("Token", Shown::Token),
    Credential::Other("Token", Shown::Mistyped),
    Credential::Other("Token", Shown::Imported),
    Credential::Two(Shown::Password, Shown::Token, None),
    Credential::Two(Shown::Password, Shown::Password, None),
    Credential::Two(Shown::Token, Shown::Password, Some(", ")),
    Credential::Two(Shown::Password, Shown::Password, Some(", ")),
    Credential::Basic("alice", Shown::Imported),
    Credential::Basic("Émile", Shown::Imported),
    Credential::Bearer(Shown::Imported),
    Credential::Basic("alice", Shown::Unknown),
    Credential::Basic("éMILE", Shown::Unknown),
    Credential::Bearer(Shown::Unknown),
    Credential::Basic("alice", Shown::Mistyped),
    Credential::Bearer(Shown::Mistyped),
    Credential::Bearer(Shown::CutOff),
    Credential::Basic("alice", Shown::AfterSpace),
    Credential::Basic("alice", Shown::Quoted),
    Credential::Basic(A_TOKEN, Shown::Password),
    Credential::Basic(IMPORTED_TOKEN, Shown::Password),
    Credential::Basic(IMPORTED_TOKEN, Shown::Nothing),
    Credential::Basic(IMPORTED_TOKEN, Shown::Unknown),
    Credential::Basic("alice", Shown::Password),
    Credential::Basic("éMILE", Shown::Password),
    Credential::Basic("emile@example.org", Shown::Password),
    Credential::Basic("", Shown::Password),
    Credential::Basic("alice", Shown::Nothing),
    Credential::Basic("alice", Shown::TooLong),
    Credential::Bearer(Shown::Password),
    Credential::Bearer(Shown::TooLong),
    Credential::Other("Negotiate", Shown::Password),
    Credential::Unreadable("Basic ###"),
    Credential::Unreadable("Basic YWxpY2U="), // no colon in it
    Credential::None,
    Credential::Empty,
];

const IP_RULES: &[&[&str]] = &[
    &[],
    &["10.1.2.3"],
    &["192.0.2.0/24"],
    &["192.0.2.0/24", "10.1.0.0/16"],
    &["10.1.2.3-10.1.2.9"],
    &["2001:db8::/32"],
    &["2001:db8::1-2001:db8::7"],
    &["::ffff:10.1.2.0/120"],
];

const CLIENTS: &[Option<&str>] = &[
    Some("10.1.2.3"),
    Some("::ffff:10.1.2.3"),
    Some("10.1.2.9"),
    Some("10.1.2.10"),
    Some("2001:db8::7"),
    Some("2001:db8::8"),
    Some("192.0.2.1"),
    None,
];

const CONTEXT_USERS: &[&[&str]] = &[
    &[],
    &["émile"],
    &["Emile@Example.ORG"],
    &[" alice "],
    &["root"],
    &["sam"],
    &["ruth"],
    &["nobody"],
    &["émile", "émile"],
    &["émile", "root"],
    &["émile,root"], // nobody's name; a comma is not forbidden in one
    &[""],
    &["  "],
];

/// Who may use a password all the same.
const EXEMPT: &[&str] = &["ÉMILE", "root"];

/// Who may run requests on behalf of others.
const CALLERS: &[&str] = &["ALICE"];

const STORED: &[Stored] = &[
    Stored::Nothing,
    Stored::OneForAll,
    Stored::OneEach,
    Stored::OneEachAndOneForAll,
    Stored::AlicesOnly,
    Stored::SealedForAnother,
];

/// Something in which cases differ.
struct Dimension {
    values: usize,
    set: fn(&mut Case, usize),
}

macro_rules! dimensions {
    ($(#[$doc:meta])* $name:ident: $($($field:ident).+ = $values:expr,)+) => {
        $(#[$doc])*
        const $name: &[Dimension] = &[
            $(Dimension { values: $values.len(), set: |case, nth| case.$($field).+ = $values[nth] },)+
        ];
    };
}

dimensions! {
    /// All in which cases differ.
    ALL:
    credential = CREDENTIALS,
    path = PATHS,
    method = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH", "get", "TRACE"],
    override_header = [None, Some("x-http-method-override"), Some("x-http-method"), Some("x-method-override")],
    context_user = CONTEXT_USERS,
    client = CLIENTS,
    token.owner = [Some(&ALICE), Some(&ROOT), Some(&EMILE), Some(&GHOST), None],
    token.state = [TokenState::Active, TokenState::Deleted, TokenState::OwnerSuspended],
    token.valid_from = [None, Some(When::Before), Some(When::Now), Some(When::Later)],
    token.expires_at = [None, Some(When::Before), Some(When::Now), Some(When::Later)],
    token.scope = [Scope::Full, Scope::ReadOnly],
    token.addresses = IP_RULES,
    settings.token_authentication = [true, false],
    settings.token_schemes = [TokenSchemes::Both, TokenSchemes::Basic, TokenSchemes::Bearer],
    settings.unbound_tokens = [false, true],
    settings.backend_authenticates = [true, false],
    settings.passwords = [Passwords::Allowed, Passwords::Disabled],
    settings.password_exempt_users = [&[], EXEMPT],
    settings.password_exempt_paths = [&[], LISTED],
    settings.foreign_credentials = [ForeignCredentials::Pass, ForeignCredentials::Refuse],
    settings.ip_rules = IP_RULES,
    settings.ip_rules_apply_to = [IpRulesApplyTo::Credentialed, IpRulesApplyTo::All],
    settings.on_behalf_of = [OnBehalfOf::Sysadmins, OnBehalfOf::Off, OnBehalfOf::Listed],
    settings.on_behalf_of_callers = [CALLERS, &["nobody", "éMILE", "Root"]],
    settings.only_admins_create = [false, true],
    settings.users_may_use_tokens_created_for_them = [true, false],
    settings.max_snapshot_age_s = [Some(60), None],
    settings.encoded_slashes = [EncodedSlashes::Refuse, EncodedSlashes::Keep],
    settings.identity = [Identity::Headers, Identity::Assertion, Identity::Credential],
    settings.assertion_paths = [&["/"], LISTED, &["/rest/internal"]],
    stored = STORED,
    snapshot_age_ms = [Some(0), Some(60_000), Some(60_001), None],
    tokens_readable = [true, false],
    users_readable = [true, false],
}

dimensions! {
    /// Who presents what, and where.
    CREDENTIAL_AND_PATH:
    credential = CREDENTIALS,
    path = [PROTECTED, LISTED_PATH, OPEN, CONTROL_PLANE],
    token.owner = [Some(&ALICE), Some(&EMILE), None],
    settings.token_schemes = [TokenSchemes::Both, TokenSchemes::Basic, TokenSchemes::Bearer],
    settings.passwords = [Passwords::Allowed, Passwords::Disabled],
    settings.foreign_credentials = [ForeignCredentials::Pass, ForeignCredentials::Refuse],
    settings.backend_authenticates = [true, false],
}

dimensions! {
    /// Who is allowed what.
    PERMISSION:
    credential = [
        Credential::Bearer(Shown::Token),
        Credential::Basic("root", Shown::Imported),
        Credential::Basic("alice", Shown::Token),
    ],
    path = [PROTECTED, OPEN, CONTROL_PLANE],
    context_user = [&[] as &[&str], &["émile"], &["root"]],
    token.owner = [Some(&ALICE), Some(&ROOT), Some(&EMILE), None],
    settings.unbound_tokens = [false, true],
    settings.only_admins_create = [false, true],
    settings.users_may_use_tokens_created_for_them = [true, false],
    settings.on_behalf_of = [OnBehalfOf::Sysadmins, OnBehalfOf::Off, OnBehalfOf::Listed],
}

dimensions! {
    /// In which state a token is, and what is asked of it.
    STATE_AND_LIMITS:
    path = [PROTECTED, CONTROL_PLANE],
    method = ["GET", "POST"],
    override_header = [None, Some("x-http-method-override")],
    client = [Some("10.1.2.3"), Some("::ffff:10.1.2.10"), None],
    token.owner = [Some(&ALICE), Some(&ROOT)],
    token.state = [TokenState::Active, TokenState::Deleted, TokenState::OwnerSuspended],
    token.valid_from = [None, Some(When::Now), Some(When::Later)],
    token.expires_at = [None, Some(When::Now), Some(When::Later)],
    token.scope = [Scope::Full, Scope::ReadOnly],
    token.addresses = [&[] as &[&str], &["10.1.2.3"]],
    settings.token_authentication = [true, false],
}

dimensions! {
    /// As whom the request goes on, and with what.
    IDENTITY:
    credential = [Credential::Bearer(Shown::Token), Credential::Basic("root", Shown::Token)],
    path = [PROTECTED, CONTROL_PLANE],
    context_user = CONTEXT_USERS,
    token.owner = [Some(&ALICE), Some(&ROOT), Some(&GHOST), None],
    settings.on_behalf_of = [OnBehalfOf::Sysadmins, OnBehalfOf::Off, OnBehalfOf::Listed],
    settings.identity = [Identity::Headers, Identity::Assertion, Identity::Credential],
    stored = STORED,
    users_readable = [true, false],
}

/// The first value of every dimension: alice reads an issue with her own token.
fn alice_reads() -> Case {
    Case {
        credential: Credential::Basic("alice", Shown::Token),
        path: PROTECTED,
        method: "GET",
        override_header: None,
        context_user: &[],
        client: Some("10.1.2.3"),
        token: Token {
            owner: Some(&ALICE),
            state: TokenState::Active,
            valid_from: None,
            expires_at: None,
            scope: Scope::Full,
            addresses: &[],
        },
        settings: Rules {
            token_authentication: true,
            token_schemes: TokenSchemes::Both,
            unbound_tokens: false,
            backend_authenticates: true,
            passwords: Passwords::Allowed,
            password_exempt_users: &[],
            password_exempt_paths: &[],
            foreign_credentials: ForeignCredentials::Pass,
            ip_rules: &[],
            ip_rules_apply_to: IpRulesApplyTo::Credentialed,
            on_behalf_of: OnBehalfOf::Sysadmins,
            on_behalf_of_callers: CALLERS,
            only_admins_create: false,
            users_may_use_tokens_created_for_them: true,
            max_snapshot_age_s: Some(60),
            encoded_slashes: EncodedSlashes::Refuse,
            identity: Identity::Headers,
            assertion_paths: &["/"],
        },
        stored: Stored::Nothing,
        snapshot_age_ms: Some(0),
        tokens_readable: true,
        users_readable: true,
    }
}

/// Requests of different kinds, around which the others lie.
fn bases() -> [Case; 7] {
    let alice = alice_reads();
    let with = |change: fn(&mut Case)| {
        let mut case = alice;
        change(&mut case);
        case
    };
    [
        alice,
        with(|case| {
            case.credential = Credential::Bearer(Shown::Token);
            case.token.owner = Some(&ROOT);
            case.context_user = &["émile"];
            case.settings.identity = Identity::Credential;
            case.stored = Stored::OneEach;
        }),
        with(|case| {
            case.credential = Credential::Basic("EMILE@example.org", Shown::Token);
            case.token.owner = None;
            case.settings.unbound_tokens = true;
            case.settings.identity = Identity::Assertion;
        }),
        with(|case| {
            case.credential = Credential::Basic("alice", Shown::Imported);
            case.token.scope = Scope::ReadOnly;
            case.token.addresses = &["10.1.2.3-10.1.2.9"];
            case.settings.on_behalf_of = OnBehalfOf::Listed;
            case.context_user = &["Emile@Example.ORG"];
        }),
        with(|case| {
            case.credential = Credential::Basic("éMILE", Shown::Password);
            case.settings.passwords = Passwords::Disabled;
            case.settings.password_exempt_users = EXEMPT;
        }),
        with(|case| {
            case.credential = Credential::Bearer(Shown::Token);
            case.token.owner = Some(&ROOT);
            case.path = CONTROL_PLANE;
            case.settings.passwords = Passwords::Disabled;
            case.settings.identity = Identity::Credential;
        }),
        with(|case| {
            case.credential = Credential::None;
            case.settings.ip_rules = &["10.1.2.3"];
            case.settings.backend_authenticates = false;
        }),
    ]
}

/// Each base with any two things changed.
fn pairs_of_variations(judge: &mut impl FnMut(Case)) {
    for base in bases() {
        for (nth, one) in ALL.iter().enumerate() {
            for value in 0..one.values {
                let mut with_one = base;
                (one.set)(&mut with_one, value);
                judge(with_one);
                for other in &ALL[nth + 1..] {
                    for value in 0..other.values {
                        let mut with_both = with_one;
                        (other.set)(&mut with_both, value);
                        judge(with_both);
                    }
                }
            }
        }
    }
}

/// Every combination of what matters most.
fn whole_products(judge: &mut impl FnMut(Case)) {
    let mut base = alice_reads();
    base.settings.unbound_tokens = true;
    base.settings.password_exempt_users = EXEMPT;
    base.settings.password_exempt_paths = LISTED;
    product(base, CREDENTIAL_AND_PATH, judge);
    product(base, PERMISSION, judge);
    product(base, STATE_AND_LIMITS, judge);
    product(base, IDENTITY, judge);
}

fn product(base: Case, dimensions: &[Dimension], judge: &mut impl FnMut(Case)) {
    let Some((first, others)) = dimensions.split_first() else {
        return judge(base);
    };
    for value in 0..first.values {
        let mut case = base;
        (first.set)(&mut case, value);
        product(case, others, judge);
    }
}

/// Bases of which about a quarter of everything is changed at once; always the same ones.
fn sample(judge: &mut impl FnMut(Case)) {
    const CASES: usize = 25_000;
    let mut state: u64 = 0x7064_6761_7465_2025;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    for _ in 0..CASES {
        let mut case = bases()[below(7)];
        for dimension in ALL {
            if below(4) == 0 {
                (dimension.set)(&mut case, below(dimension.values));
            }
        }
        judge(case);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What the real code says.

/// Runs a case through the crate, and looks at what it asked its sources for.
fn by_the_policy(case: &Case, world: &World) -> Result<Goes, Refusal> {
    let site = &world.sites[case.path.context];
    let request = Request::read(&world.headers(case), site);
    let settings = world.settings(case);
    let shelf = Shelf { case, world, addresses_asked: Cell::default(), users_asked: RefCell::default() };
    let known = match case.snapshot_age_ms {
        Some(_) => Known::gather(&request, &settings, &world.keys[&has_one_for_all(case.stored)], &shelf),
        None => Known::default(),
    };

    let (address, users) = may_ask(case);
    assert!(shelf.addresses_asked.get() <= u32::from(address), "the address was asked for in vain: {case:?}");
    let asked = shelf.users_asked.into_inner();
    assert!(asked.iter().all(|name| users.contains(*name)), "asked for {asked:?}, not one of {users:?}: {case:?}");

    let snapshot = match case.snapshot_age_ms {
        Some(age_ms) => Snapshot::Ready { settings: &settings, age_ms },
        None => Snapshot::Missing,
    };
    let now = Timestamp::from_millis(NOW_MS);
    let verdict = decide(&Facts { request: &request, snapshot, known: &known, body: Body::NotYet, now });
    match &verdict {
        Verdict::Pass => Ok(Goes::Untouched),
        Verdict::NeedBody => panic!("no case has restrictions: {case:?}"),
        Verdict::Deny(reason) => Err((reason.status(), reason.code())),
        Verdict::Admit(grant) => {
            assert_eq!(grant.token().id, "t1", "{case:?}");
            let assertion = grant.assertion().map(|_| "signed");
            let edits = edits(&verdict, &request, site, assertion).unwrap();
            Ok(Goes::As {
                user: grant.user().name.clone(),
                actor: grant.actor().map(Into::into),
                assertion: grant.assertion(),
                credential: sent_in_place_of_the_token(&edits),
            })
        }
    }
}

/// Edits are made in their order, so the last one counts; without one the token would go on (U6).
fn sent_in_place_of_the_token(edits: &[HeaderEdit]) -> Option<String> {
    let of_authorization = edits.iter().rev().find_map(|edit| match edit {
        HeaderEdit::Set { name, value } => {
            (name == "authorization").then(|| String::from_utf8(value.expose().to_vec()).ok())
        }
        HeaderEdit::Blank { name } => (name == b"authorization").then_some(None),
    });
    of_authorization.unwrap()
}

const NOW_MS: u64 = 1_800_000_000_000;

/// What is built once.
struct World {
    /// By whether there is a shared backend credential.
    keys: HashMap<bool, FilterKeys>,
    /// By the context path.
    sites: HashMap<&'static str, Site>,
    /// Every known user under name and e-mail address; every other name that occurs, under itself.
    people: HashMap<[u8; 32], (String, Option<&'static Person>)>,
    token: String,
    unknown_token: String,
    /// The hashes of the case's token, as ours and as imported.
    token_hashes: [KeyedHash; 2],
    /// By name: the user's own backend credential, and one that was sealed for somebody else.
    sealed: HashMap<&'static str, [Vec<u8>; 2]>,
    ip_rules: HashMap<&'static str, IpRule>,
}

const IMPORTED_TOKEN: &str = "5f2b8c91-of-another-product";
const PASSWORD: &str = "wonderland";

impl World {
    fn new() -> Self {
        let keys = |shared_credential| FilterKeys {
            token_hash: HashKeys::new(vec![HashKey::new([1; 32])]).unwrap(),
            user_hash: HashKey::new([2; 32]),
            credential: SealKey::new([3; 32]),
            shared_credential,
            backend_assertion: AssertionKey::new([4; 32]),
            control_plane_assertion: AssertionKey::new([5; 32]),
        };
        let keys = HashMap::from([(false, keys(None)), (true, keys(BackendCredential::new(FOR_ALL.as_bytes())))]);
        let site = |context: &str| {
            let control_plane_prefixes = ["/api/v1/", "/tokengate/", "/rest/api-tokens/"].map(String::from).to_vec();
            Site { context_path: context.into(), control_plane_prefixes, ..Site::default() }
        };
        let mint = |byte| String::from_utf8(token::mint([byte; 32]).expose().to_vec()).unwrap();
        let (token, unknown_token) = (mint(6), mint(7));
        let key = &keys[&true];
        let hash = |token: &str| key.token_hash.hash(&Secret::new(token.into()));
        let names = ["", "nobody", "ghost", "alice", "émile,root", "Émile", "root", "sam", "ruth"].into_iter();
        let names = names.chain(PEOPLE.iter().map(|person| person.email)).map(str::to_lowercase);
        let seal = |person: &Person, for_whom: &str| {
            let credential = BackendCredential::new(own_credential(person).as_bytes()).unwrap();
            credential.seal(for_whom, &key.credential, [8; 24]).unwrap()
        };
        let sealed =
            |person: &'static Person| (person.name, [person.name, "somebody else"].map(|name| seal(person, name)));
        Self {
            sites: HashMap::from(["", "/jira"].map(|context| (context, site(context)))),
            people: names.map(|name| (*key.user_hash(&name).as_bytes(), (name.clone(), who_is(&name)))).collect(),
            token_hashes: [hash(&token), hash(IMPORTED_TOKEN)],
            token,
            unknown_token,
            sealed: PEOPLE.into_iter().map(sealed).collect(),
            ip_rules: IP_RULES.iter().flat_map(|rules| *rules).map(|rule| (*rule, rule.parse().unwrap())).collect(),
            keys,
        }
    }

    /// The headers as the proxy gives them.
    fn headers(&self, case: &Case) -> Vec<(Vec<u8>, Vec<u8>)> {
        let target = case.path.target.replace(A_TOKEN, &self.token);
        let mut headers = vec![(":method", case.method.into()), (":path", target), (":authority", "host".into())];
        headers.extend(self.authorization(case.credential).into_iter().map(|value| ("authorization", value)));
        headers.extend(case.override_header.map(|name| (name, "DELETE".into())));
        headers.extend(case.context_user.iter().map(|name| ("contextuser", (*name).into())));
        headers.into_iter().map(|(name, value)| (name.into(), value.into_bytes())).collect()
    }

    /// All values of `Authorization`.
    fn authorization(&self, credential: Credential) -> Vec<String> {
        let basic = |user: &str, secret| {
            let pair = format!("{}:{}", user.replace(A_TOKEN, &self.token), self.text(secret));
            format!("Basic {}", STANDARD.encode(pair))
        };
        let bearer = |secret| format!("bEARER {}", self.text(secret)); // schemes know no case (RFC 9110, 11.1)
        match credential {
            Credential::None => vec![],
            Credential::Empty => vec![String::new()],
            Credential::Basic(user, secret) => vec![basic(user, secret)],
            Credential::Bearer(secret) => vec![bearer(secret)],
            Credential::Other(scheme, secret) => vec![format!("{scheme} {}", self.text(secret))],
            Credential::Unreadable(value) => vec![value.into()],
            Credential::Two(first, second, None) => vec![basic("alice", first), bearer(second)],
            Credential::Two(first, second, Some(between)) => {
                vec![[basic("alice", first), bearer(second)].join(between)]
            }
        }
    }

    fn text(&self, secret: Shown) -> String {
        match secret {
            Shown::Token => self.token.clone(),
            Shown::Imported => IMPORTED_TOKEN.into(),
            Shown::Unknown => self.unknown_token.clone(),
            Shown::Mistyped => {
                let (start, last) = self.token.split_at(self.token.len() - 1);
                format!("{start}{}", if last == "x" { "y" } else { "x" })
            }
            Shown::CutOff => self.token[..20].into(),
            Shown::AfterSpace => format!(" {}", self.token),
            Shown::Quoted => format!("\"{}\"", self.token),
            Shown::Password => PASSWORD.into(),
            Shown::Nothing => String::new(),
            Shown::TooLong => PASSWORD.repeat(60),
        }
    }

    fn settings(&self, case: &Case) -> Settings {
        let rules = case.settings;
        let names = |names: &[&str]| names.iter().map(|name| UserName::try_from(*name).unwrap()).collect();
        let paths = |paths: &[&str]| paths.iter().map(|path| PathPrefix::try_from(*path).unwrap()).collect();
        Settings {
            token_authentication: rules.token_authentication,
            token_schemes: rules.token_schemes,
            unbound_tokens: rules.unbound_tokens,
            backend_authenticates: rules.backend_authenticates,
            passwords: rules.passwords,
            password_exempt_users: names(rules.password_exempt_users),
            password_exempt_paths: paths(rules.password_exempt_paths),
            foreign_credentials: rules.foreign_credentials,
            ip_rules: self.rules(rules.ip_rules),
            ip_rules_apply_to: rules.ip_rules_apply_to,
            on_behalf_of: rules.on_behalf_of,
            on_behalf_of_callers: names(rules.on_behalf_of_callers),
            only_admins_create: rules.only_admins_create,
            users_may_use_tokens_created_for_them: rules.users_may_use_tokens_created_for_them,
            max_snapshot_age: rules.max_snapshot_age_s.map(Age::from_seconds),
            encoded_slashes: rules.encoded_slashes,
            identity: rules.identity,
            assertion_paths: paths(rules.assertion_paths),
            ..Settings::default()
        }
    }

    fn rules(&self, texts: &[&str]) -> Vec<IpRule> {
        texts.iter().map(|text| self.ip_rules[text]).collect()
    }

    fn token_record(&self, token: &Token) -> TokenRecord {
        let instant = |when| {
            Timestamp::from_millis(match when {
                When::Before => NOW_MS - 1,
                When::Now => NOW_MS,
                When::Later => NOW_MS + 1,
            })
        };
        TokenRecord {
            id: "t1".into(),
            binding: match token.owner {
                Some(Person { name, email, sysadmin, suspended: _ }) => {
                    Binding::User(Owner { name: (*name).into(), email: Some((*email).into()), sysadmin: *sysadmin })
                }
                None => Binding::Unbound,
            },
            created_at: Timestamp::from_millis(NOW_MS - 1_000_000),
            valid_from: token.valid_from.map(instant),
            expires_at: token.expires_at.map(instant),
            state: token.state,
            scope: token.scope,
            addresses: match token.addresses {
                [] => Addresses::Any,
                rules => Addresses::Only(self.rules(rules)),
            },
            restrictions: None,
        }
    }

    fn user_record(&self, person: &Person, stored: Stored) -> UserRecord {
        let [own, of_somebody_else] = &self.sealed[person.name];
        let credential = match stored {
            Stored::Nothing | Stored::OneForAll => None,
            Stored::AlicesOnly => (person.name == ALICE.name).then_some(own),
            Stored::OneEach | Stored::OneEachAndOneForAll => Some(own),
            Stored::SealedForAnother => Some(of_somebody_else),
        };
        let Person { name, email, sysadmin, suspended } = *person;
        UserRecord {
            name: name.into(),
            email: Some(email.into()),
            sysadmin,
            suspended,
            credential: credential.cloned(),
        }
    }
}

/// The sources of one case; they remember what they were asked for.
struct Shelf<'a> {
    case: &'a Case,
    world: &'a World,
    addresses_asked: Cell<u32>,
    users_asked: RefCell<Vec<&'a str>>,
}

impl Sources for Shelf<'_> {
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        if !self.case.tokens_readable {
            Found::Unreadable
        } else if self.world.token_hashes.contains(hash) {
            Found::Record(self.world.token_record(&self.case.token))
        } else {
            Found::Nothing
        }
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        let (name, person) = &self.world.people[hash.as_bytes()];
        self.users_asked.borrow_mut().push(name);
        match person {
            _ if !self.case.users_readable => Found::Unreadable,
            Some(person) => Found::Record(self.world.user_record(person, self.case.stored)),
            None => Found::Nothing,
        }
    }

    fn restrictions(&self, _hash: &KeyedHash) -> Found<Rc<Set>> {
        panic!("no case has restrictions")
    }

    fn address(&self) -> Option<IpAddr> {
        self.addresses_asked.set(self.addresses_asked.get() + 1);
        self.case.client.map(|client| client.parse().unwrap())
    }
}

/// Under what a verdict is counted.
type Answer = (u16, &'static str);

fn answer(verdict: &Result<Goes, Refusal>) -> Answer {
    match verdict {
        Ok(Goes::Untouched) => (200, "passed on untouched"),
        Ok(Goes::As { .. }) => (200, "admitted"),
        Err(refusal) => *refusal,
    }
}

/// Restrictions have their own tests, and what the proxy fails at is no verdict.
const ELSEWHERE: [DenyReason; 5] = [
    DenyReason::ProxyFailure,
    DenyReason::Restricted,
    DenyReason::BadQuery,
    DenyReason::BodyUnreadable,
    DenyReason::BodyTooLarge,
];

/// The table of the order of checks stands beside the code and in the README, and is one.
#[test]
fn the_readme_has_the_same_table_of_checks() {
    let readme = include_str!("../../../README.md");
    let rows: Vec<&str> =
        include_str!("../src/decide.rs").lines().filter_map(|line| line.strip_prefix("//! |")).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        assert!(readme.lines().any(|line| line.strip_prefix('|') == Some(row)), "not in README.md:\n|{row}");
    }
    for reason in policy::DenyReason::ALL {
        assert!(readme.contains(&format!("`{}`", reason.code())), "{} is not in README.md", reason.code());
    }
    for setting in policy::Settings::NAMES {
        assert!(readme.contains(&format!("`{setting}`")), "{setting} is not in README.md");
    }
}
