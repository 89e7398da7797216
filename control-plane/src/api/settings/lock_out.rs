//! Whether a change of the settings would lock out whoever makes it. Such a change is not made by accident: it wants
//! `?force=true`.
//!
//! Only what the change introduces counts. A caller who is there although a rule speaks against it has another way.

use crate::api::caller::{Caller, Scheme};
use crate::change::CameWith;
use policy::Settings;
use policy::settings::{OnBehalfOf, PasswordCheck, TokenSchemes, UserName};
use std::net::IpAddr;

/// Why the caller could not come again, by which setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockOut {
    pub(crate) setting: &'static str,
    /// For a person: why, and what to do.
    pub(crate) detail: String,
}

/// How the caller came this time.
#[derive(Clone, Debug)]
pub(super) struct Came {
    /// From where; `None`: nobody knows.
    address: Option<IpAddr>,
    with: With,
    on_behalf_of_another: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    /// A token, under this scheme; `None`: only the proxy knows.
    Token(Option<Scheme>),
    Password,
}

impl Came {
    pub(super) fn of(caller: &Caller) -> Self {
        let with = match caller.came_with {
            CameWith::Token(_) => With::Token(caller.scheme),
            CameWith::Password(_) => With::Password,
        };
        Self { address: caller.address, with, on_behalf_of_another: caller.is_on_behalf() }
    }
}

/// Every reason why somebody who came in this way could not come so again after the change.
pub(super) fn reasons(before: &Settings, after: &Settings, came: &Came) -> Vec<LockOut> {
    let mut reasons = Vec::new();
    let mut reason = |setting, detail: String| reasons.push(LockOut { setting, detail });
    let allowed = |address: IpAddr| after.ip_rules.iter().any(|rule| rule.contains(address));
    if after.ip_rules != before.ip_rules && !after.ip_rules.is_empty() && !came.address.is_some_and(allowed) {
        reason(
            "ip_rules",
            match came.address {
                Some(address) => format!("Your address, {address}, is in none of the rules; add it."),
                None => {
                    "Your address is not known, so it may be in none of the rules; make the change from an address \
                     that is, or have the proxy in front name it (TOKENGATE_TRUSTED_PROXIES)."
                        .into()
                }
            },
        );
    }
    match came.with {
        With::Token(scheme) => {
            if before.token_authentication && !after.token_authentication {
                reason("token_authentication", "You came with a token, which would open nothing.".into());
            }
            let lost = |scheme| accepts(before.token_schemes, scheme) && !accepts(after.token_schemes, scheme);
            if let Some(lost) = scheme
                .map_or([Scheme::Basic, Scheme::Bearer].to_vec(), |scheme| vec![scheme])
                .into_iter()
                .find(|scheme| lost(*scheme))
            {
                let name = match lost {
                    Scheme::Basic => "Basic",
                    Scheme::Bearer => "Bearer",
                };
                let came = if scheme.is_some() { "came" } else { "may have come" };
                let detail = format!(
                    "You {came} with a token under {name}, which would not be accepted; come under the other scheme."
                );
                reason("token_schemes", detail);
            }
        }
        With::Password => {
            if checks_passwords_otherwise(before, after) {
                let detail =
                    "You came with a password, which might not be known to whoever would check it; come with a token.";
                reason("password_check", detail.into());
            }
        }
    }
    if came.on_behalf_of_another && narrows_on_behalf_of(before, after) {
        let detail = "You came on behalf of another user, which might not be allowed any more; come in your own name.";
        reason("on_behalf_of", detail.into());
    }
    reasons
}

fn accepts(schemes: TokenSchemes, scheme: Scheme) -> bool {
    match scheme {
        Scheme::Basic => schemes.accept_basic(),
        Scheme::Bearer => schemes.accept_bearer(),
    }
}

/// Whether a password that was right need not be right any more.
fn checks_passwords_otherwise(before: &Settings, after: &Settings) -> bool {
    let asks_elsewhere =
        after.password_check == PasswordCheck::Backend && after.password_probe_url != before.password_probe_url;
    after.password_check != before.password_check || asks_elsewhere
}

/// Whether somebody who acted on behalf of another might not any more. Who that is, is not looked at.
fn narrows_on_behalf_of(before: &Settings, after: &Settings) -> bool {
    let listed = |name: &UserName| after.on_behalf_of_callers.contains(name);
    let removed = after.on_behalf_of == OnBehalfOf::Listed && !before.on_behalf_of_callers.iter().all(listed);
    after.on_behalf_of != before.on_behalf_of || removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BEARER: With = With::Token(Some(Scheme::Bearer));
    const BASIC: With = With::Token(Some(Scheme::Basic));
    const UNKNOWN: With = With::Token(None);

    fn settings(patch: &Value) -> Settings {
        Settings::default().patched(patch.as_object().unwrap()).unwrap()
    }

    fn locked_out(
        before: Value,
        after: Value,
        address: Option<&str>,
        with: With,
        on_behalf: bool,
    ) -> Vec<&'static str> {
        let address = address.map(|address| address.parse().unwrap());
        let came = Came { address, with, on_behalf_of_another: on_behalf };
        let reasons = reasons(&settings(&before), &settings(&after), &came);
        assert!(reasons.iter().all(|reason| reason.detail.ends_with('.')), "{reasons:?}");
        reasons.into_iter().map(|reason| reason.setting).collect()
    }

    #[test]
    fn s9_address_rules_must_hold_the_callers_address() {
        let rules = |rules: &[&str]| json!({ "ip_rules": rules });
        for (before, after, address, expected) in [
            (&[][..], &["10.0.0.0/8"][..], Some("10.1.2.3"), None),
            (&[], &["10.0.0.0/8"], Some("::ffff:10.1.2.3"), None),
            (&[], &["10.0.0.0/8"], Some("192.0.2.1"), Some("ip_rules")),
            (&[], &["10.0.0.0/8"], None, Some("ip_rules")),
            (&["192.0.2.0/24", "10.0.0.0/8"], &["10.0.0.0/8"], Some("192.0.2.1"), Some("ip_rules")),
            (&["10.0.0.0/8"], &["10.0.0.0/8"], None, None), // it was there before
            (&["10.0.0.0/8"], &[], None, None),
            (&["10.0.0.0/8"], &["10.0.0.0/8", "192.0.2.1"], None, Some("ip_rules")),
        ] {
            let found = locked_out(rules(before), rules(after), address, BEARER, false);
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{before:?} {after:?} {address:?}");
        }
        // Whatever requests they are for: the caller's has a credential.
        let all = json!({ "ip_rules": ["10.0.0.0/8"], "ip_rules_apply_to": "all" });
        assert_eq!(locked_out(json!({}), all, Some("192.0.2.1"), With::Password, false), ["ip_rules"]);
    }

    #[test]
    fn s9_a_token_must_be_accepted_again() {
        let off = || json!({ "token_authentication": false });
        assert_eq!(locked_out(json!({}), off(), None, BASIC, false), ["token_authentication"]);
        assert_eq!(locked_out(off(), off(), None, BASIC, false), [""; 0]);
        assert_eq!(locked_out(json!({}), off(), None, With::Password, false), [""; 0]);
        for (before, after, with, expected) in [
            ("both", "basic", BASIC, None),
            ("both", "basic", BEARER, Some("token_schemes")),
            ("both", "bearer", BASIC, Some("token_schemes")),
            ("both", "basic", UNKNOWN, Some("token_schemes")),
            ("both", "bearer", UNKNOWN, Some("token_schemes")),
            ("both", "both", UNKNOWN, None),
            ("basic", "basic", UNKNOWN, None),
            ("basic", "both", UNKNOWN, None),
            ("basic", "bearer", UNKNOWN, Some("token_schemes")),
            ("both", "basic", With::Password, None),
        ] {
            let schemes = |schemes| json!({ "token_schemes": schemes });
            let found = locked_out(schemes(before), schemes(after), None, with, false);
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{before} {after} {with:?}");
        }
    }

    #[test]
    fn s9_a_password_must_be_known_again() {
        let backend = |url: &str| json!({ "password_check": "backend", "password_probe_url": url });
        let (a, b) = ("https://a.example.org/", "https://b.example.org/");
        for (before, after, expected) in [
            (json!({}), json!({ "password_check": "none" }), Some("password_check")),
            (json!({}), backend(a), Some("password_check")),
            (backend(a), backend(b), Some("password_check")),
            (backend(a), backend(a), None),
            (json!({}), json!({ "password_probe_url": a }), None), // nobody asks there
        ] {
            let found = locked_out(before.clone(), after.clone(), None, With::Password, false);
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{before} {after}");
            assert_eq!(locked_out(before, after, None, BEARER, false), [""; 0]);
        }
    }

    #[test]
    fn s9_who_acts_on_behalf_of_another_must_be_able_to_again() {
        let listed = |names: &[&str]| json!({ "on_behalf_of": "listed", "on_behalf_of_callers": names });
        for (before, after, expected) in [
            (json!({}), json!({ "on_behalf_of": "off" }), Some("on_behalf_of")),
            (json!({}), listed(&["bob"]), Some("on_behalf_of")),
            (listed(&["bob", "carol"]), listed(&["bob"]), Some("on_behalf_of")),
            (listed(&["bob"]), listed(&["bob", "carol"]), None),
            (json!({}), json!({ "log_calls": false }), None),
        ] {
            let found = locked_out(before.clone(), after.clone(), None, BEARER, true);
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{before} {after}");
            assert_eq!(locked_out(before, after, None, BEARER, false), [""; 0]);
        }
    }

    #[test]
    fn s9_every_reason_is_told() {
        let all = json!({ "ip_rules": ["10.0.0.0/8"], "token_authentication": false, "token_schemes": "basic", "on_behalf_of": "off" });
        let found = locked_out(json!({}), all, None, BEARER, true);
        assert_eq!(found, ["ip_rules", "token_authentication", "token_schemes", "on_behalf_of"]);
    }
}
