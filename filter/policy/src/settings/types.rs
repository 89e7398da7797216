//! The types of the settings: each a set of values that mean something, and nothing else.

use super::field::{Field, Invalid, Item, text};
use super::shape::Shape;
use crate::IpRule;
use crate::record::limits::USER_NAME_LEN_MAX;
use crate::record::{check_user_name, same_ignoring_case};
use crate::site::is_plain_path;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A setting with a few named values.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name by which it is set.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl Field for $name {
            fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
                match value.as_str() {
                    $(Some($text) => Ok(Self::$variant),)+
                    _ => Err(Invalid::here(concat!("must be one of", $(" ", $text,)+))),
                }
            }

            fn shape() -> Shape {
                Shape::Choice(&[$($text,)+])
            }
        }
    };
}

choice! {
    /// Under which scheme tokens are accepted (U3).
    TokenSchemes {
        /// `Basic user:token` alone.
        Basic = "basic",
        /// `Bearer token` alone.
        Bearer = "bearer",
        /// Both.
        Both = "both",
    }
}

choice! {
    /// Whether a password may go on to the backend (S3).
    Passwords {
        /// It may.
        Allowed = "allowed",
        /// It may not, but for the users and paths that are exempt.
        Disabled = "disabled",
    }
}

choice! {
    /// What becomes of credentials that are neither ours nor a password (U12).
    ForeignCredentials {
        /// The backend judges them.
        Pass = "pass",
        /// They are refused.
        Refuse = "refuse",
    }
}

choice! {
    /// For which requests the address rules hold (S2).
    IpRulesApplyTo {
        /// For those with a credential.
        Credentialed = "credentialed",
        /// For all.
        All = "all",
    }
}

choice! {
    /// Who may run a request on behalf of another user (U7).
    OnBehalfOf {
        /// Nobody.
        Off = "off",
        /// Sysadmins.
        Sysadmins = "sysadmins",
        /// Those in `on_behalf_of_callers`.
        Listed = "listed",
    }
}

choice! {
    /// What becomes of an encoded slash in a protected path (principle 5).
    EncodedSlashes {
        /// It is refused.
        Refuse = "refuse",
        /// It stays as it is, and the proxy must be told to keep it, too.
        Keep = "keep",
    }
}

choice! {
    /// In which form the backend is told who is calling (U6).
    Identity {
        /// In the identity headers.
        Headers = "headers",
        /// Besides, in a signed assertion.
        Assertion = "assertion",
        /// Besides, `Authorization` holds a credential of the backend's own, stored by the administrator.
        Credential = "credential",
    }
}

choice! {
    /// Who checks passwords with which people come to the control plane (M8).
    PasswordCheck {
        /// Nobody: it takes a token.
        None = "none",
        /// The control plane, against the password that it has of a user.
        Local = "local",
        /// The backend, by a request with that password.
        Backend = "backend",
    }
}

choice! {
    /// Which calls are audited (A2).
    AuditCalls {
        /// None.
        Off = "off",
        /// Those with a token.
        Tokens = "tokens",
        /// Those with a password as well.
        TokensAndPasswords = "tokens_and_passwords",
    }
}

choice! {
    /// A facade for scripts that were written for another product.
    Facade {
        /// M1, `/rest/api-tokens/`.
        ApiTokens = "api_tokens",
        /// M2, `/rest/de.resolution.apitokenauth/`.
        Resolution = "resolution",
        /// M3, `/rest/extender/1.0/tokenTools/`.
        Extender = "extender",
        /// M4, `/rest/pat/`.
        Pat = "pat",
    }
}

impl TokenSchemes {
    /// Whether a token may come under `Basic`.
    pub fn accept_basic(self) -> bool {
        matches!(self, Self::Basic | Self::Both)
    }

    /// Whether a token may come under `Bearer`.
    pub fn accept_bearer(self) -> bool {
        matches!(self, Self::Bearer | Self::Both)
    }
}

impl Facade {
    /// Where its paths begin, below the context path.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ApiTokens => "/rest/api-tokens/",
            Self::Resolution => "/rest/de.resolution.apitokenauth/",
            Self::Extender => "/rest/extender/1.0/tokenTools/",
            Self::Pat => "/rest/pat/",
        }
    }
}

impl Item for Facade {
    const LIST_LEN_MAX: usize = 4; // there are no more
}

impl Item for IpRule {
    const LIST_LEN_MAX: usize = 1000; // read one by one with each request: some microseconds
}

impl Field for IpRule {
    fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
        let text = value.as_str().ok_or_else(|| Invalid::here("must be a text in quotes"))?;
        text.parse().map_err(|error: crate::address::IpRuleError| Invalid::here(error.to_string()))
    }

    fn shape() -> Shape {
        Shape::Text { pattern: "^[0-9A-Fa-f:. ]+(/[0-9]+|-[0-9A-Fa-f:. ]+)?$", len_max: 100 }
    }
}

/// A type that is written as a text, of this pattern and this length at most: its field, and its form in JSON and in the
/// snapshot.
macro_rules! as_text {
    ($name:ident, $pattern:literal, $len_max:expr) => {
        impl Field for $name {
            fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
                text(value)
            }

            fn shape() -> Shape {
                Shape::Text { pattern: $pattern, len_max: $len_max }
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::try_from(text.as_str())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// The name of a user, as a setting names one. Whether there is such a user is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl TryFrom<&str> for UserName {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        check_user_name(text).map(|()| Self(text.into()))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

as_text!(UserName, r"^[^/\\%]+$", USER_NAME_LEN_MAX);

impl Item for UserName {
    const LIST_LEN_MAX: usize = 500; // exceptions; a rule for thousands of people is another rule
}

/// Whether a list of names holds this one, without regard to case.
pub fn names_hold(names: &[UserName], name: &str) -> bool {
    names.iter().any(|listed| same_ignoring_case(&listed.0, name))
}

/// The beginning of a path below the context path, such as `/rest/internal/`: it means the path itself and all below
/// it. Compared with regard to case, since it makes an exception from a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Whether a path, without context path and query, is this one or below it.
    pub fn holds(&self, path: &[u8]) -> bool {
        let prefix = self.0.strip_suffix('/').unwrap_or(&self.0).as_bytes();
        path.strip_prefix(prefix).is_some_and(|below| match below.first() {
            None => !self.0.ends_with('/'),
            Some(byte) => *byte == b'/',
        })
    }
}

impl TryFrom<&str> for PathPrefix {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        if is_plain_path(text) && text.len() <= PATH_LEN_MAX {
            Ok(Self(text.into()))
        } else {
            Err("must begin with a slash, hold no `;`, `%`, `?`, `#`, doubled slashes or names with a leading dot, \
                 and have at most 1,000 characters")
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

as_text!(PathPrefix, "^/", PATH_LEN_MAX);

impl Item for PathPrefix {
    const LIST_LEN_MAX: usize = 100; // read one by one with each request that they concern
}

/// A length of time, written with its unit: `30s`, `15m`, `12h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Age(u64);

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

impl Age {
    /// So many seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// In seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0.saturating_mul(1000)
    }
}

impl TryFrom<&str> for Age {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        let found = UNITS.iter().find_map(|(unit, seconds)| Some((number(text.strip_suffix(unit)?)?, seconds)));
        let (count, seconds) = found.ok_or("must be a number with its unit, such as 30s, 15m, 12h or 7d")?;
        count.checked_mul(*seconds).map(Self).ok_or("is longer than anything lasts")
    }
}

impl fmt::Display for Age {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) =
            UNITS.into_iter().find(|(_, seconds)| self.0.is_multiple_of(*seconds)).unwrap_or(("s", 1));
        write!(formatter, "{}{unit}", self.0.checked_div(seconds).unwrap_or_default())
    }
}

as_text!(Age, "^[0-9]+[smhd]$", 21);

/// For how long a token may be made to work (S1). Months are calendar months.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Validity {
    /// Without end.
    Never,
    /// So many calendar months: 6, or 12 or 24, which are written as years.
    Months(u16),
    /// So many days.
    Days(u16),
}

impl TryFrom<&str> for Validity {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        match text {
            "never" => Ok(Self::Never),
            "6m" => Ok(Self::Months(6)),
            "1y" => Ok(Self::Months(12)),
            "2y" => Ok(Self::Months(24)),
            _ => match text.strip_suffix('d').and_then(number).and_then(|days| u16::try_from(days).ok()) {
                Some(days @ 1..=3650) => Ok(Self::Days(days)),
                _ => Err("must be one of never, 6m, 1y, 2y, or 1 to 3,650 days such as 90d"),
            },
        }
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => formatter.write_str("never"),
            Self::Months(12) => formatter.write_str("1y"),
            Self::Months(24) => formatter.write_str("2y"),
            Self::Months(months) => write!(formatter, "{months}m"),
            Self::Days(days) => write!(formatter, "{days}d"),
        }
    }
}

as_text!(Validity, "^(never|6m|1y|2y|[0-9]+d)$", 5);

/// Digits alone: no sign, no space.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// For whom assertions are meant (`aud`): the backend's name for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Audience(String);

impl Audience {
    /// The control plane's own. A backend cannot have it, or an assertion for the one would serve at the other.
    pub const CONTROL_PLANE: &str = "tokengate";

    /// What the backend is called if nobody says otherwise.
    pub fn backend() -> Self {
        Self("backend".into())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Audience {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        if text.eq_ignore_ascii_case(Self::CONTROL_PLANE) {
            return Err("must not be the control plane's own audience");
        }
        if (1..=AUDIENCE_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err("must have 1 to 200 printable ASCII characters without spaces")
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

as_text!(Audience, "^[!-~]+$", AUDIENCE_LEN_MAX);

/// An address on the web that is shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url(String);

impl Url {
    /// The address itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Url {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let begins = host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['));
        let plain =
            |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`' | '{' | '}' | '|' | '^');
        if begins && text.len() <= URL_LEN_MAX && text.chars().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err("must be an address that begins with https:// or http://, of at most 2,000 ASCII characters")
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

as_text!(Url, "^https?://", URL_LEN_MAX);

/// A whole number within limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Number<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// The number; one beyond the limits does not compile where it is a constant.
    pub const fn new(number: u32) -> Option<Self> {
        if number >= MIN && number <= MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<u32> for Number<MIN, MAX> {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, &'static str> {
        Self::new(number).ok_or("beyond its limits")
    }
}

impl<const MIN: u32, const MAX: u32> From<Number<MIN, MAX>> for u32 {
    fn from(number: Number<MIN, MAX>) -> Self {
        number.0
    }
}

impl<const MIN: u32, const MAX: u32> Field for Number<MIN, MAX> {
    fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).and_then(Self::new);
        number.ok_or_else(|| Invalid::here(format!("must be a whole number from {MIN} to {MAX}")))
    }

    fn shape() -> Shape {
        Shape::Integer { min: MIN, max: MAX }
    }
}

impl<const MIN: u32, const MAX: u32> Item for Number<MIN, MAX> {
    const LIST_LEN_MAX: usize = 20;
}

/// Bytes that such texts may have.
const PATH_LEN_MAX: usize = 1000;
const AUDIENCE_LEN_MAX: usize = 200;
const URL_LEN_MAX: usize = 2000; // what every browser takes
