extern crate std;
use super::*;
use crate::SealKey;
use crate::assertion::AssertionKey;
use crate::credential::BackendCredential;
use crate::hash::{HashKey, HashKeys};
use proptest::prelude::*;
use serde_json::json;
use std::format;
use std::vec;

fn patched(patch: Value) -> Result<Settings, Vec<Invalid>> {
    Settings::default().patched(patch.as_object().unwrap())
}

fn errors(patch: Value) -> Vec<String> {
    patched(patch).unwrap_err().into_iter().map(|error| error.pointer).collect()
}

#[test]
fn the_defaults_are_those_of_the_requirements() {
    let expected = json!({
        "token_authentication": true, "token_schemes": "both", "unbound_tokens": false, "backend_authenticates": true,
        "passwords": "allowed", "password_exempt_users": [], "password_exempt_paths": [],
        "foreign_credentials": "pass", "ip_rules": [], "ip_rules_apply_to": "credentialed",
        "on_behalf_of": "sysadmins", "on_behalf_of_callers": [],
        "only_admins_create": false, "users_may_use_tokens_created_for_them": true,
        "max_validity": "never", "max_tokens_per_user": null, "expiry_warning_days": [30, 7, 1],
        "max_snapshot_age": "7d", "encoded_slashes": "refuse", "body_limit": 1_048_576,
        "identity": "headers", "assertion_paths": ["/"], "assertion_audience": "backend",
        "password_check": "local", "password_probe_url": null, "create_users_on_sign_in": false,
        "prune_expired_days": 90,
        "audit_calls": "tokens", "audit_retention_days": 90, "log_calls": true,
        "help_url": null, "public_base_url": null, "facades": ["api_tokens", "resolution", "extender"],
    });
    assert_eq!(Settings::default().to_json(), expected);
    assert_eq!(expected.as_object().unwrap().len(), Settings::NAMES.len());
}

#[test]
fn every_setting_can_be_changed_and_comes_back_as_it_was_written() {
    let all = json!({
        "token_authentication": false, "token_schemes": "basic", "unbound_tokens": true, "backend_authenticates": false,
        "passwords": "disabled", "password_exempt_users": ["bob", "Émile@example.org"],
        "password_exempt_paths": ["/rest/x/"], "foreign_credentials": "refuse",
        "ip_rules": ["10.0.0.0/8", "10.0.0.7", "192.0.2.1-192.0.2.9", "2001:db8::/32"], "ip_rules_apply_to": "all",
        "on_behalf_of": "listed", "on_behalf_of_callers": ["bob"],
        "only_admins_create": true, "users_may_use_tokens_created_for_them": false,
        "max_validity": "90d", "max_tokens_per_user": 3, "expiry_warning_days": [],
        "max_snapshot_age": "90s", "encoded_slashes": "keep", "body_limit": 2048,
        "identity": "credential", "assertion_paths": ["/rest/a"], "assertion_audience": "jira",
        "password_check": "backend", "password_probe_url": "https://jira.example.org/rest/api/2/myself",
        "create_users_on_sign_in": true, "prune_expired_days": null,
        "audit_calls": "off", "audit_retention_days": 1, "log_calls": false,
        "help_url": "https://example.org/help?x=1", "public_base_url": "http://[::1]:8080", "facades": ["pat"],
    });
    let settings = patched(all.clone()).unwrap();
    assert_eq!(settings.to_json(), all);
    assert_eq!(Settings::from_json(&all.to_string()), Ok(settings));
    for (name, value) in all.as_object().unwrap() {
        assert_ne!(
            Settings::default().to_json().get(name),
            Some(value),
            "{name}: the same as the default tests nothing"
        );
    }
}

#[test]
fn every_error_is_told_with_its_place() {
    let wrong = json!({
        "token_authentication": "yes", "token_schemes": "digest", "ip_rules": ["10.0.0.0/8", "10.0.0.7/8", 7],
        "password_exempt_users": ["a:b", "tgt_x"], "password_exempt_paths": ["rest", "/a/../b"],
        "max_snapshot_age": "4s", "max_tokens_per_user": 0, "body_limit": 1_048_577, "assertion_audience": "Tokengate",
        "assertion_paths": [], "identity": "assertion", "max_validity": "5m", "help_url": "javascript:alert(1)",
        "on_behalf_of": "listed", "facades": "all", "paswords": "disabled", "a/b~c": 1,
        "password_check": "backend", "audit_retention_days": null, "expiry_warning_days": [1.5],
    });
    let mut told = errors(wrong);
    told.sort();
    let expected = [
        "/assertion_audience",
        "/assertion_paths",
        "/audit_retention_days",
        "/a~1b~0c",
        "/body_limit",
        "/expiry_warning_days/0",
        "/facades",
        "/help_url",
        "/ip_rules/1",
        "/ip_rules/2",
        "/max_snapshot_age",
        "/max_tokens_per_user",
        "/max_validity",
        "/on_behalf_of_callers",
        "/password_exempt_paths/0",
        "/password_exempt_paths/1",
        "/password_exempt_users/0",
        "/password_exempt_users/1",
        "/password_probe_url",
        "/paswords",
        "/token_authentication",
        "/token_schemes",
    ];
    assert_eq!(told, expected);
}

#[test]
fn lists_and_the_whole_have_limits() {
    assert_eq!(errors(json!({ "ip_rules": vec!["10.0.0.1"; 1001] })), ["/ip_rules"]);
    let long = "x".repeat(250);
    let many: Vec<String> = (0..500).map(|number| format!("{long}{number}")).collect();
    assert_eq!(errors(json!({ "password_exempt_users": many, "on_behalf_of_callers": many })), [""]);
}

#[test]
fn lengths_of_time_are_read_with_their_unit_and_shown_in_the_largest() {
    for (text, seconds, shown) in
        [("30s", 30, "30s"), ("90m", 5400, "90m"), ("24h", 86_400, "1d"), ("7d", 604_800, "7d"), ("60s", 60, "1m")]
    {
        let age = Age::try_from(text).unwrap();
        assert_eq!((age.as_seconds(), age.to_string().as_str()), (seconds, shown));
    }
    for text in ["", "7", "d", "-1d", "+1d", "1 d", "1w", "99999999999999999999d", "300000000000000000d"] {
        assert!(Age::try_from(text).is_err(), "{text:?}");
    }
}

fn keys() -> FilterKeys {
    FilterKeys {
        token_hash: HashKeys::new(vec![HashKey::new([3; 32]), HashKey::new([4; 32])]).unwrap(),
        user_hash: HashKey::new([5; 32]),
        credential: SealKey::new([6; 32]),
        shared_credential: BackendCredential::basic("service", "password"),
        backend_assertion: AssertionKey::new([7; 32]),
        control_plane_assertion: AssertionKey::new([8; 32]),
    }
}

#[test]
fn the_document_comes_back_under_the_same_sync_key_only() {
    let seal = SealKey::new([1; 32]);
    let settings = patched(json!({ "ip_rules": ["10.0.0.0/8"], "max_snapshot_age": null })).unwrap();
    let bytes = settings.encode(&keys(), &seal, [9; 24]).unwrap();
    assert_eq!(Settings::decode(&bytes, &seal), Some((settings, keys())));
    assert_eq!(Settings::decode(&bytes, &SealKey::new([2; 32])), None);
}

#[test]
fn golden_version_3_is_read_and_written_as_ever() {
    let golden = include_bytes!("../../tests/golden/settings-v3.bin");
    let seal = SealKey::new([1; 32]);
    let bytes = Settings::default().encode(&keys(), &seal, [9; 24]).unwrap();
    assert_eq!(bytes, golden, "the wire form changed: give it a new version and a golden file of its own");
    assert_eq!(Settings::decode(golden, &seal), Some((Settings::default(), keys())));
}

#[test]
fn attack_no_key_and_no_credential_is_readable_in_the_document() {
    let bytes = Settings::default().encode(&keys(), &SealKey::new([1; 32]), [9; 24]).unwrap();
    for secret in [[3; 8], [4; 8], [5; 8], [6; 8], [7; 8], [8; 8], *b"c2VydmljZ".first_chunk::<8>().unwrap()] {
        assert!(!bytes.windows(8).any(|window| window == secret), "{secret:?}");
    }
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(Settings::decode(&changed, &SealKey::new([1; 32])), None);
}

#[test]
fn a_backend_credential_fits_into_a_header_or_is_none() {
    let expected = "Basic c2VydmljZTpwYTpzcw==";
    assert_eq!(BackendCredential::basic("service", "pa:ss").unwrap().expose(), expected.as_bytes());
    assert_eq!(BackendCredential::bearer("abc.def").unwrap().expose(), b"Bearer abc.def");
    for credential in [
        BackendCredential::basic("a:b", "c"),
        BackendCredential::basic("", "c"),
        BackendCredential::basic("a", "c\r\nX-Forwarded-User: root"),
        BackendCredential::bearer(""),
        BackendCredential::bearer("two words"),
        BackendCredential::bearer("a\nb"),
        BackendCredential::bearer("é"),
        BackendCredential::bearer(&"x".repeat(5000)),
    ] {
        assert_eq!(credential, None);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes: Vec<u8>, text: std::string::String) {
        if let Some(first) = bytes.first_mut() {
            *first = 3;
        }
        let _ = Settings::decode(&bytes, &SealKey::new([1; 32]));
        let _ = Settings::from_json(&text);
        for name in Settings::NAMES {
            let _ = patched(json!({ *name: text }));
        }
    }
}
