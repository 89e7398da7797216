//! A request and the state of the world, in plain words.

use super::*;

/// A request and the state of the world, in plain words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) credential: Credential,
    pub(super) path: Path,
    pub(super) method: &'static str,
    /// A header that overrides the method, or behind a `?` a parameter of the query.
    pub(super) overridden_by: Option<&'static str>,
    /// All values of `contextUser`.
    pub(super) context_user: &'static [&'static str],
    pub(super) client: Option<&'static str>,
    pub(super) token: Token,
    pub(super) settings: Rules,
    /// What the administrator stored for the backend.
    pub(super) stored: Stored,
    /// `None`: there is no snapshot.
    pub(super) snapshot_age_ms: Option<u64>,
    pub(super) tokens_readable: bool,
    pub(super) users_readable: bool,
}

/// What stands in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
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
pub(super) enum Shown {
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
pub(super) struct Token {
    /// `None`: unbound.
    pub(super) owner: Option<&'static Person>,
    pub(super) state: TokenState,
    pub(super) valid_from: Option<When>,
    pub(super) expires_at: Option<When>,
    pub(super) scope: Scope,
    /// None: from everywhere.
    pub(super) addresses: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    Now,
    Later,
}

/// The settings on which a verdict depends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) token_authentication: bool,
    pub(super) token_schemes: TokenSchemes,
    pub(super) unbound_tokens: bool,
    pub(super) backend_authenticates: bool,
    pub(super) passwords: Passwords,
    pub(super) password_exempt_users: &'static [&'static str],
    pub(super) password_exempt_paths: &'static [&'static str],
    pub(super) foreign_credentials: ForeignCredentials,
    pub(super) facades: &'static [Facade],
    pub(super) ip_rules: &'static [&'static str],
    pub(super) ip_rules_apply_to: IpRulesApplyTo,
    pub(super) on_behalf_of: OnBehalfOf,
    pub(super) on_behalf_of_callers: &'static [&'static str],
    pub(super) only_admins_create: bool,
    pub(super) users_may_use_tokens_created_for_them: bool,
    pub(super) max_snapshot_age_s: Option<u64>,
    pub(super) encoded_slashes: EncodedSlashes,
    pub(super) identity: Identity,
    pub(super) assertion_paths: &'static [&'static str],
}

/// Which backend credentials there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Nothing,
    OneForAll,
    OneEach,
    OneEachAndOneForAll,
    AlicesOnly,
    /// In every user's record lies one that was sealed for somebody else; and there is one for all.
    SealedForAnother,
}

pub(super) fn has_one_for_all(stored: Stored) -> bool {
    matches!(stored, Stored::OneForAll | Stored::OneEachAndOneForAll | Stored::SealedForAnother)
}

pub(super) const FOR_ALL: &str = "Bearer for-all";

pub(super) fn own_credential(person: &Person) -> String {
    format!("Bearer for-{}-alone", person.email)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    pub(super) sysadmin: bool,
    pub(super) suspended: bool,
}

pub(super) static ALICE: Person =
    Person { name: "alice", email: "Alice@Example.org", sysadmin: false, suspended: false };
pub(super) static EMILE: Person =
    Person { name: "Émile", email: "emile@example.org", sysadmin: false, suspended: false };
pub(super) static ROOT: Person = Person { name: "root", email: "root@example.org", sysadmin: true, suspended: false };
pub(super) static SAM: Person = Person { name: "sam", email: "sam@example.org", sysadmin: false, suspended: true };
pub(super) static RUTH: Person = Person { name: "ruth", email: "ruth@example.org", sysadmin: true, suspended: true };
/// The owner of a token whose record as a user has not arrived.
pub(super) static GHOST: Person =
    Person { name: "ghost", email: "ghost@example.org", sysadmin: false, suspended: false };

/// All known users.
pub(super) static PEOPLE: [&Person; 5] = [&ALICE, &EMILE, &ROOT, &SAM, &RUTH];

/// Where a path belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Protected,
    ControlPlane,
    /// Of the facade M1: the control plane's while that is switched on, else the backend's.
    Facade,
    /// None of these; the path on which the filter itself answers is one of these for the verdict.
    Open,
    Ambiguous,
}

/// A path, and what is to be known of it, by hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// The backend's context path in the proxy's configuration.
    pub(super) context: &'static str,
    pub(super) target: &'static str,
    pub(super) area: Area,
    pub(super) encoded_slash: bool,
    /// Whether [`LISTED`] holds it.
    pub(super) listed: bool,
}

/// The path in those settings that list paths.
pub(super) const LISTED: &[&str] = &["/rest/internal/"];

/// Stands for a whole token in place of a user's name: `curl -u TOKEN:`.
pub(super) const A_TOKEN: &str = "{token}";

pub(super) const fn at(area: Area, target: &'static str) -> Path {
    Path { context: "", target, area, encoded_slash: false, listed: false }
}

pub(super) const fn below_jira(area: Area, target: &'static str) -> Path {
    Path { context: "/jira", ..at(area, target) }
}
