//! The rows of the table of checks, and who watches them being looked at.

use core::cell::{Cell, RefCell};

/// The rows, in the order of the table at the top of [`super`]: each with its name, and what it refuses.
macro_rules! rules {
    ($($rule:ident = $name:literal $refuses:literal,)+) => {
        /// A row of the table of checks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each says what it refuses, for people and in one place")]
        pub enum Rule {
            $($rule,)+
        }

        impl Rule {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$rule,)+];

            /// The name by which programs tell rules apart. It never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)+ }
            }

            /// What it refuses, as a part of a sentence; of the two `otherwise`, when they are reached.
            pub const fn refuses(self) -> &'static str {
                match self { $(Self::$rule => $refuses,)+ }
            }
        }
    };
}

rules! {
    PathReading = "path_reading" "different readers disagree whether the path is protected, or what it means there",
    PathProtected = "path_protected" "a token of ours on a path that is not protected; all else passes there",
    Snapshot = "snapshot" "no snapshot, or one older than `max_snapshot_age`",
    EncodedSlash = "encoded_slash" "an encoded slash, unless `encoded_slashes` keeps them",
    TraceMethod = "trace_method" "`TRACE`, by which a backend sends credentials back, its own among them",
    SiteAddress = "site_address" "not from an address in `ip_rules`",
    CredentialReadable = "credential_readable" "more than one credential, or one that cannot be read",
    ContextUserReadable = "context_user_readable" "more than one `contextUser`, or no name in it",
    OtherScheme = "other_scheme" "a token of ours, whole or not, in a scheme other than Basic and Bearer",
    TokenWhole = "token_whole" "it begins like a token of ours, but is mistyped or cut off; the same in Basic where passwords are disabled",
    TokenScheme = "token_scheme" "a token under a scheme that `token_schemes` does not name",
    SnapshotReadable = "snapshot_readable" "its part of the snapshot cannot be read",
    TokenKnown = "token_known" "of our format, and nobody's; the same in Basic where passwords are disabled",
    TokenDisguised = "token_disguised" "a token of ours stands in it, behind a space, in quotes …; the same in Basic where passwords are disabled",
    TokenAsName = "token_as_name" "a token stands where the name belongs (`curl -u TOKEN:`)",
    OnBehalfWithoutToken = "on_behalf_without_token" "`contextUser` with anything but a token",
    TokenRequired = "token_required" "`backend_authenticates` is off",
    PasswordAllowed = "password_allowed" "a password, and `passwords` are disabled without an exemption",
    ForeignAllowed = "foreign_allowed" "a foreign bearer token or scheme, and `foreign_credentials` are refused",
    PassedOn = "passed_on" "otherwise",
    RightUser = "right_user" "another user's name beside it",
    UnboundUser = "unbound_user" "an unbound one: with Bearer; with nobody's name",
    TokenStands = "token_stands" "deleted; its owner, or the user beside an unbound one, suspended",
    TokenTime = "token_time" "before its time; at or after its end",
    TokensOn = "tokens_on" "`token_authentication` is off, and it is for the backend",
    UnboundOn = "unbound_on" "unbound, and `unbound_tokens` are off",
    AdminsOnly = "admins_only" "`only_admins_create`, no `users_may_use_tokens_created_for_them`, no sysadmin",
    MayManage = "may_manage" "restricted or unbound, and for the control plane",
    MethodOverride = "method_override" "restricted, and a header or a parameter overrides the method",
    TokenLimits = "token_limits" "not from one of its own addresses; read-only and not a reading method",
    OnBehalf = "on_behalf" "on behalf of another: not allowed to this caller, or with an unbound token; to manage, to nobody but sysadmins",
    ContextUserKnown = "context_user_known" "that user is unknown; suspended; a sysadmin, and the caller is none",
    BackendCredential = "backend_credential" "`identity` is `credential`, and none is stored for the user",
    Restrictions = "restrictions" "restricted by lines, none of which allows the request",
    TargetLength = "target_length" "the path, or the query that a line looks at, is longer than 2 kB",
    QueryReadable = "query_readable" "a line looks at the query, which cannot be read",
    BodyReadable = "body_readable" "a line looks at the body, which is too large; which, or the field in it, cannot be read",
    Admitted = "admitted" "otherwise",
}

/// Who watches the checks: nobody in a proxy, which costs nothing there; a list, to explain a verdict.
pub(super) trait Trace {
    /// This rule is being looked at. The last one that was told is the one that decided.
    fn at(&self, rule: Rule);

    /// So many steps were spent that count against the token (L11).
    fn spent(&self, _steps: usize) {}
}

impl Trace for () {
    fn at(&self, _: Rule) {}
}

impl Trace for Cell<usize> {
    fn at(&self, _: Rule) {}

    fn spent(&self, steps: usize) {
        self.set(self.get().saturating_add(steps));
    }
}

impl Trace for RefCell<alloc::vec::Vec<Rule>> {
    fn at(&self, rule: Rule) {
        self.borrow_mut().push(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString as _};
    use alloc::vec::Vec;

    /// A row of the table without its marks and the requirements it names.
    fn plain(row: &str) -> String {
        let row = match row.strip_prefix("**").and_then(|rest| rest.split_once("** ")) {
            Some((group, rest)) if group.ends_with([':', '?']) => rest.to_string(),
            Some((group, rest)) => [&group.to_lowercase(), " ", rest].concat(),
            None => row.to_string(),
        };
        let is_id = |word: &str| {
            word.starts_with("principle ") || word.trim_start_matches(char::is_uppercase).parse::<u8>().is_ok()
        };
        let mut plain = String::new();
        for part in row.split_inclusive(')') {
            match part.split_once(" (") {
                Some((before, ids))
                    if ids
                        .trim_end_matches(')')
                        .split([','])
                        .flat_map(|ids| ids.split(" to "))
                        .all(|id| is_id(id.trim())) =>
                {
                    plain += before;
                }
                _ => plain += part,
            }
        }
        plain
    }

    #[test]
    fn every_row_of_the_table_is_a_rule_and_every_rule_a_row() {
        let rows = include_str!("../decide.rs").lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
        let rows: Vec<String> = rows.filter_map(|row| Some(plain(row.split_once(" | ")?.0))).collect();
        let rules: Vec<&str> = Rule::ALL.iter().map(|rule| rule.refuses()).collect();
        assert_eq!(rows, rules);
    }
}
