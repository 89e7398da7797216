//! The settings as they travel: those of 0.1.0 in its form, which never changes, and an extension with the others.

use super::{
    Age, Audience, AuditCalls, EncodedSlashes, Facade, ForeignCredentials, Identity, IpRulesApplyTo, Number,
    OnBehalfOf, PasswordCheck, Passwords, PathPrefix, Settings, TokenSchemes, Url, UserName, Validity,
};
use crate::IpRule;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What follows the part that 0.1.0 reads: a JSON object, so that each setting is read, or ignored, by itself.
///
/// It always holds `written_by`, so there is always something that the filter of 0.1.0 has to ignore. A reader ignores
/// settings that it does not know, keeps what it has where it cannot read a value (a new setting: the default), and takes
/// an extension that it cannot read for none. That is safe: a default is what the product did before there was the
/// setting, so such a filter does what its own release does. The other choice, to refuse the document, would keep the
/// filter at its last snapshot: it would miss revocations, and refuse everything after `max_snapshot_age`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Extension {
    /// The release of the control plane.
    #[serde(default)]
    written_by: String,
    /// The settings, by name, that the part of 0.1.0 does not hold as they are.
    #[serde(default)]
    settings: Map<String, Value>,
}

impl Extension {
    /// What these settings need besides this part.
    pub(super) fn of(settings: &Settings, frozen: &SettingsV3) -> Self {
        let mut read_by_0_1_0 = Settings::default();
        frozen.clone().thaw_into(&mut read_by_0_1_0);
        let all = match settings.to_json() {
            Value::Object(all) => missing(all, &read_by_0_1_0.to_json()),
            _ => Map::new(),
        };
        Self { written_by: env!("CARGO_PKG_VERSION").into(), settings: all }
    }

    /// Reads the extension of a document; none, or one that cannot be read, holds nothing. What follows it is ignored.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self::deserialize(&mut serde_json::Deserializer::from_slice(bytes)).unwrap_or_default()
    }

    /// The settings that a document holds in both its parts.
    pub(super) fn complete(&self, frozen: SettingsV3) -> Settings {
        let mut settings = Settings::default();
        frozen.thaw_into(&mut settings);
        settings.take_readable(&self.settings);
        settings
    }
}

/// Of all settings, those that 0.1.0 does not have, or reads as something else than they are.
pub(super) fn missing(mut all: Map<String, Value>, read_by_0_1_0: &Value) -> Map<String, Value> {
    all.retain(|name, value| !is_in_0_1_0(name) || read_by_0_1_0.get(name) != Some(value));
    all
}

/// Whether 0.1.0 has a setting of this name.
pub(super) fn is_in_0_1_0(name: &str) -> bool {
    SettingsV3::NAMES.contains(&name)
}

/// A value as 0.1.0 reads it.
trait Frozen {
    /// The same in this release.
    type Today;

    /// The value as 0.1.0 is to read it: where 0.1.0 does not have it, what is safest there.
    fn freeze(today: &Self::Today) -> Self;

    /// The value as 0.1.0 has it.
    fn thaw(self) -> Self::Today;
}

/// The settings of 0.1.0, with its types, in its order. This list never changes. A setting that is renamed, removed or
/// given another type no longer compiles here, and must be mapped to what 0.1.0 does most safely.
macro_rules! settings_v3 {
    ($($name:ident: $type:ty,)+) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(super) struct SettingsV3 {
            $($name: $type,)+
        }

        impl SettingsV3 {
            const NAMES: &[&str] = &[$(stringify!($name),)+];

            /// The settings as 0.1.0 is to read them.
            pub(super) fn freeze(today: &Settings) -> Self {
                Self { $($name: Frozen::freeze(&today.$name),)+ }
            }

            /// Puts them in the place of those in `settings`; settings that 0.1.0 does not have stay.
            fn thaw_into(self, settings: &mut Settings) {
                let Self { $($name,)+ } = self;
                $(settings.$name = $name.thaw();)+
            }
        }
    };
}

settings_v3! {
    token_authentication: bool,
    token_schemes: TokenSchemesV3,
    unbound_tokens: bool,
    backend_authenticates: bool,
    passwords: PasswordsV3,
    password_exempt_users: Vec<UserName>,
    password_exempt_paths: Vec<PathPrefix>,
    foreign_credentials: ForeignCredentialsV3,
    ip_rules: Vec<IpRule>,
    ip_rules_apply_to: IpRulesApplyToV3,
    on_behalf_of: OnBehalfOfV3,
    on_behalf_of_callers: Vec<UserName>,
    only_admins_create: bool,
    users_may_use_tokens_created_for_them: bool,
    max_validity: Validity,
    max_tokens_per_user: Option<Number<1, 100_000>>,
    expiry_warning_days: Vec<Number<1, 365>>,
    max_snapshot_age: Option<Age>,
    encoded_slashes: EncodedSlashesV3,
    body_limit: Number<1024, 1_048_576>,
    identity: IdentityV3,
    assertion_paths: Vec<PathPrefix>,
    assertion_audience: Audience,
    password_check: PasswordCheckV3,
    password_probe_url: Option<Url>,
    create_users_on_sign_in: bool,
    prune_expired_days: Option<Number<1, 3650>>,
    audit_calls: AuditCallsV3,
    audit_retention_days: Number<1, 3650>,
    log_calls: bool,
    help_url: Option<Url>,
    public_base_url: Option<Url>,
    facades: FacadesV3,
}

/// Values that this release writes as 0.1.0 did, and reads by the same rules. If a rule is widened (a text of another
/// form, a larger number), the new values need a mapping here: 0.1.0 refuses the document in which it cannot read one.
macro_rules! unchanged {
    ($($type:ty,)+) => {
        $(impl Frozen for $type {
            type Today = Self;

            fn freeze(today: &Self) -> Self {
                today.clone()
            }

            fn thaw(self) -> Self {
                self
            }
        })+
    };
}

unchanged! {
    bool,
    Number<1024, 1_048_576>,
    Number<1, 3650>,
    Option<Number<1, 3650>>,
    Option<Number<1, 100_000>>,
    Vec<Number<1, 365>>,
    Option<Age>,
    Option<Url>,
    Validity,
    Audience,
    Vec<UserName>,
    Vec<PathPrefix>,
    Vec<IpRule>,
}

/// The values of a choice in 0.1.0, which are numbered on the wire. A newer value is listed behind them, with the one
/// that 0.1.0 is to read in its place: `PasswordsV3 of Passwords: Allowed, Disabled; Sometimes as Disabled`. Its own
/// name then travels in the extension.
macro_rules! choice_v3 {
    ($frozen:ident of $today:ident: $($value:ident),+ $(; $newer:ident as $instead:ident)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        enum $frozen {
            $($value,)+
        }

        impl Frozen for $frozen {
            type Today = $today;

            fn freeze(today: &$today) -> Self {
                match today {
                    $($today::$value => Self::$value,)+
                    $($today::$newer => Self::$instead,)*
                }
            }

            fn thaw(self) -> $today {
                match self {
                    $(Self::$value => $today::$value,)+
                }
            }
        }
    };
}

choice_v3!(TokenSchemesV3 of TokenSchemes: Basic, Bearer, Both);
choice_v3!(PasswordsV3 of Passwords: Allowed, Disabled);
choice_v3!(ForeignCredentialsV3 of ForeignCredentials: Pass, Refuse);
choice_v3!(IpRulesApplyToV3 of IpRulesApplyTo: Credentialed, All);
choice_v3!(OnBehalfOfV3 of OnBehalfOf: Off, Sysadmins, Listed);
choice_v3!(EncodedSlashesV3 of EncodedSlashes: Refuse, Keep);
choice_v3!(IdentityV3 of Identity: Headers, Assertion, Credential);
choice_v3!(PasswordCheckV3 of PasswordCheck: None, Local, Backend);
choice_v3!(AuditCallsV3 of AuditCalls: Off, Tokens, TokensAndPasswords);

/// The facades of 0.1.0. A list that names one which 0.1.0 does not have is written without it: its paths are the
/// backend's there, as they were.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct FacadesV3(Vec<FacadeV3>);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum FacadeV3 {
    ApiTokens,
    Resolution,
    Extender,
    Pat,
}

impl Frozen for FacadesV3 {
    type Today = Vec<Facade>;

    fn freeze(today: &Vec<Facade>) -> Self {
        let frozen = |facade: &Facade| match facade {
            Facade::ApiTokens => FacadeV3::ApiTokens,
            Facade::Resolution => FacadeV3::Resolution,
            Facade::Extender => FacadeV3::Extender,
            Facade::Pat => FacadeV3::Pat,
        };
        Self(today.iter().map(frozen).collect())
    }

    fn thaw(self) -> Vec<Facade> {
        let today = |facade| match facade {
            FacadeV3::ApiTokens => Facade::ApiTokens,
            FacadeV3::Resolution => Facade::Resolution,
            FacadeV3::Extender => Facade::Extender,
            FacadeV3::Pat => Facade::Pat,
        };
        self.0.into_iter().map(today).collect()
    }
}
