//! The settings: one typed document, the same for the control plane and for the proxies.
//!
//! Administrators see and change it as JSON, under the names of the fields below; a change is checked as a whole, and
//! every error in it is told with its place. Proxies get it beside the tokens, with the keys that they need sealed
//! inside: the document is authenticated like the tokens, but a proxy's memory may be read in a dump, so the keys are
//! encrypted under a key that comes from the sync key, and opened only inside the filter.
//!
//! ```
//! use policy::Settings;
//! let patch = serde_json::json!({ "passwords": "disabled", "ip_rules": ["10.0.0.0/8", "10.0.0.7/8"], "pasword": 1 });
//! let errors = Settings::default().patched(patch.as_object().unwrap()).unwrap_err();
//! assert_eq!(errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["/ip_rules/1", "/pasword"]);
//! ```

mod field;
mod keys;
mod shape;
mod types;
mod wire;

pub use field::Invalid;
pub use keys::FilterKeys;
pub use shape::{Described, Shape};
pub use types::{
    Age, Audience, AuditCalls, EncodedSlashes, Facade, ForeignCredentials, Identity, IpRulesApplyTo, Number,
    OnBehalfOf, PasswordCheck, Passwords, PathPrefix, TokenSchemes, Url, UserName, Validity, names_hold,
};

use crate::IpRule;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use field::Field;
use serde::Serialize;
use serde_json::{Map, Value};

/// Bytes the settings may have as JSON, all together: every proxy holds them, and reads them anew after each change.
pub const JSON_LEN_MAX: usize = 128 * 1024;

/// Bytes an encoded document may have: the settings, which take no more there than as JSON but for address rules
/// (1,000 of 34 bytes), and the keys. The filter of 0.1.0 refuses what is longer, so this never grows.
pub const SETTINGS_LEN_MAX: usize = JSON_LEN_MAX + 34 * 1000 + 16 * 1024;

/// The table of settings: name, what it is for, type, default.
///
/// A new setting only has to be added here. Filters and databases of the last release do not have it, so its default is
/// what the product did before, and a default never changes.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr,)+) => {
        /// All settings. Defaults are the product's.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Settings {
            /// The names of all settings.
            pub const NAMES: &[&str] = &[$(stringify!($name),)+];

            /// All settings, for those who describe them to others.
            pub fn described() -> Vec<Described> {
                alloc::vec![$(Described {
                    name: stringify!($name),
                    about: concat!($($doc),+),
                    shape: <$type as Field>::shape(),
                },)+]
            }

            /// These settings with some of them changed, checked as a whole. `null` is a value where there is none,
            /// such as no limit; a setting that is not named stays.
            pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, Vec<Invalid>> {
                let (mut patched, mut errors) = (self.clone(), Vec::new());
                for (name, value) in patch {
                    let wrong = match name.as_str() {
                        $(stringify!($name) => Field::read(value).map(|value| patched.$name = value),)+
                        _ => Err(Invalid::here("there is no such setting")),
                    };
                    errors.extend(wrong.err().unwrap_or_default().into_iter().map(|error| error.below(name)));
                }
                errors.extend(patched.check());
                if errors.is_empty() { Ok(patched) } else { Err(errors) }
            }

            /// Takes settings that another release wrote. Unknown names and unreadable values change nothing.
            fn take_readable(&mut self, written: &Map<String, Value>) {
                for (name, value) in written {
                    match name.as_str() {
                        $(stringify!($name) => if let Ok(value) = Field::read(value) { self.$name = value; },)+
                        _ => {}
                    }
                }
            }
        }
    };
}

settings! {
    /// The master switch: off, tokens can be managed but not used (U9).
    token_authentication: bool = true,
    /// Under which scheme tokens are accepted (U3).
    token_schemes: TokenSchemes = TokenSchemes::Both,
    /// Whether unbound tokens may be made and used (U4).
    unbound_tokens: bool = false,
    /// Whether the backend authenticates by itself. If not, everything without an admitted token is refused (U12).
    backend_authenticates: bool = true,
    /// Whether passwords may go on to the backend (S3, U11).
    passwords: Passwords = Passwords::Allowed,
    /// Users who may use passwords all the same, as they sign in: by name, by e-mail address, or listed with both.
    password_exempt_users: Vec<UserName> = Vec::new(),
    /// Paths, below the context path, on which passwords may be used all the same.
    password_exempt_paths: Vec<PathPrefix> = Vec::new(),
    /// What becomes of foreign bearer tokens and schemes (U12).
    foreign_credentials: ForeignCredentials = ForeignCredentials::Pass,
    /// From where requests may come (S2); none: from everywhere.
    ip_rules: Vec<IpRule> = Vec::new(),
    /// For which requests these rules hold.
    ip_rules_apply_to: IpRulesApplyTo = IpRulesApplyTo::Credentialed,
    /// Who may run requests on behalf of others (U7).
    on_behalf_of: OnBehalfOf = OnBehalfOf::Sysadmins,
    /// Who may, if that is `listed`: these alone, by name.
    on_behalf_of_callers: Vec<UserName> = Vec::new(),
    /// Whether sysadmins alone create tokens (S4).
    only_admins_create: bool = false,
    /// Whether others may then use tokens at all (S5).
    users_may_use_tokens_created_for_them: bool = true,
    /// The longest validity of a new token (S1).
    max_validity: Validity = Validity::Never,
    /// Most tokens that a user may hold (S8); null: any number.
    max_tokens_per_user: Option<Number<1, 100_000>> = None,
    /// How many days before its end the owner of a token is warned (S8). No effect yet: nobody is warned.
    expiry_warning_days: Vec<Number<1, 365>> = [30, 7, 1].into_iter().filter_map(Number::new).collect(),
    /// How old a snapshot may be before a proxy decides nothing from it (U14); null: as old as it gets.
    max_snapshot_age: Option<Age> = Some(Age::from_seconds(7 * 24 * 60 * 60)),
    /// What becomes of encoded slashes in protected paths (principle 5).
    encoded_slashes: EncodedSlashes = EncodedSlashes::Refuse,
    /// Bytes of a request body that is looked at; at most what `envoy.yaml` lets Envoy buffer.
    body_limit: Number<1024, 1_048_576> = BODY_LIMIT_MAX,
    /// In which form the backend is told who is calling (U6).
    identity: Identity = Identity::Headers,
    /// Paths, below the context path, for which assertions are made.
    assertion_paths: Vec<PathPrefix> = PathPrefix::try_from("/").into_iter().collect(),
    /// For whom assertions are meant.
    assertion_audience: Audience = Audience::backend(),
    /// Who checks passwords with which people come to the control plane (M8).
    password_check: PasswordCheck = PasswordCheck::Local,
    /// The address at the backend that answers 2xx to a right password by Basic, if the backend checks them.
    password_probe_url: Option<Url> = None,
    /// Whether somebody whose password the backend knows becomes a user by coming (M8).
    create_users_on_sign_in: bool = false,
    /// After how many days a token that has expired is deleted; null: never.
    prune_expired_days: Option<Number<1, 3650>> = Some(PRUNING),
    /// Which calls are audited (A2).
    audit_calls: AuditCalls = AuditCalls::Tokens,
    /// For how many days the audit is kept: calls, and changes but for those of the settings, which are their history.
    audit_retention_days: Number<1, 3650> = RETENTION,
    /// Whether proxies log calls (A3).
    log_calls: bool = true,
    /// Where people find help; it stands in every refusal.
    help_url: Option<Url> = None,
    /// Where people reach this site, for links. No effect yet: there are no links.
    public_base_url: Option<Url> = None,
    /// Which facades for other products' scripts are served; the paths of the others are the backend's.
    facades: Vec<Facade> = [Facade::ApiTokens, Facade::Resolution, Facade::Extender].into(),
}

/// The most that `body_limit` can be.
pub(crate) const BODY_LIMIT_MAX: Number<1024, 1_048_576> = match Number::new(1_048_576) {
    Some(number) => number,
    None => unreachable!(),
};

const PRUNING: Number<1, 3650> = match Number::new(90) {
    Some(number) => number,
    None => unreachable!(),
};

const RETENTION: Number<1, 3650> = match Number::new(90) {
    Some(number) => number,
    None => unreachable!(),
};

impl Settings {
    /// Reads settings as the control plane stores them: those that are not named have their defaults.
    pub fn from_json(json: &str) -> Result<Self, Vec<Invalid>> {
        match serde_json::from_str(json) {
            Ok(Value::Object(stored)) => Self::default().patched(&stored),
            _ => Err(Invalid::here("must be a JSON object")),
        }
    }

    /// The settings as JSON.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The settings as the control plane stores them: all that 0.1.0 has, and of the newer ones those that differ from
    /// their default. A control plane of 0.1.0 does not start on a database that names a setting it does not have, so
    /// it can start again as soon as the newer ones have their defaults.
    pub fn to_stored_json(&self) -> Value {
        let defaults = Self::default().to_json();
        let mut stored = self.to_json();
        if let Some(stored) = stored.as_object_mut() {
            stored.retain(|name, value| wire::is_in_0_1_0(name) || defaults.get(name) != Some(value));
        }
        stored
    }

    /// What is wrong with settings that are each right by themselves.
    fn check(&self) -> Vec<Invalid> {
        let mut errors = Vec::new();
        let mut wrong = |name: &str, must: &'static str| {
            errors.extend(Invalid::here(must).into_iter().map(|error| error.below(name)));
        };
        if self.max_snapshot_age.is_some_and(|age| age < MAX_AGE_LEAST || age > MAX_AGE_MOST) {
            wrong("max_snapshot_age", "must be 5s to 365d, or null");
        }
        if self.identity == Identity::Assertion && self.assertion_paths.is_empty() {
            wrong("assertion_paths", "must not be empty while identity is assertion: / means all paths");
        }
        if self.password_check == PasswordCheck::Backend && self.password_probe_url.is_none() {
            wrong("password_probe_url", "must be given while password_check is backend");
        }
        if self.on_behalf_of == OnBehalfOf::Listed && self.on_behalf_of_callers.is_empty() {
            wrong("on_behalf_of_callers", "must not be empty while on_behalf_of is listed: say off instead");
        }
        if self.to_json().to_string().len() > JSON_LEN_MAX {
            errors.extend(Invalid::here("all settings together must have at most 128 KiB"));
        }
        errors
    }

    /// Whether a password may go on to the backend, by name and by path below the context path (S3).
    pub(crate) fn password_is_allowed(&self, user: &[u8], path: &[u8]) -> bool {
        let user = core::str::from_utf8(user).ok();
        self.passwords == Passwords::Allowed
            || user.is_some_and(|user| names_hold(&self.password_exempt_users, user))
            || self.password_exempt_paths.iter().any(|exempt| exempt.holds(path))
    }
}

/// A proxy asks every quarter of this, and must be able to miss one answer.
const MAX_AGE_LEAST: Age = Age::from_seconds(5);
const MAX_AGE_MOST: Age = Age::from_seconds(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
