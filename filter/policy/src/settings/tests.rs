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

/// Every setting with another value than its default.
fn all() -> Value {
    json!({
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
    })
}

#[test]
fn every_setting_can_be_changed_and_comes_back_as_it_was_written() {
    let all = all();
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
fn golden_documents_of_0_1_0_are_read_and_begin_every_document_of_today() {
    let seal = SealKey::new([1; 32]);
    let defaults = include_bytes!("../../tests/golden/settings-v3.bin").to_vec();
    let of_0_1_0: Map<String, Value> =
        all().as_object().unwrap().clone().into_iter().filter(|(name, _)| wire::is_in_0_1_0(name)).collect();
    for (golden, settings) in [
        (defaults, Settings::default()),
        (crate::golden::of_0_1_0("settings"), Settings::default().patched(&of_0_1_0).unwrap()),
    ] {
        let bytes = settings.encode(&keys(), &seal, [9; 24]).unwrap();
        let extension = bytes.strip_prefix(golden.as_slice()).unwrap(); // what 0.1.0 reads is as it wrote it
        let extension: Value = serde_json::from_slice(extension).unwrap();
        assert_eq!(extension["written_by"], env!("CARGO_PKG_VERSION"));
        assert_eq!(Settings::decode(&golden, &seal), Some((settings.clone(), keys())));
        assert_eq!(Settings::decode(&bytes, &seal), Some((settings, keys())));
    }
}

/// Today's document of these settings without its extension.
fn frozen_part(settings: &Settings, seal: &SealKey) -> Vec<u8> {
    let (bytes, extension) = (settings.encode(&keys(), seal, [9; 24]).unwrap(), b"{\"written_by\":");
    let end = bytes.windows(extension.len()).rposition(|window| window == extension).unwrap();
    bytes[..end].to_vec()
}

#[test]
fn a_document_from_the_future_is_read_as_far_as_it_is_known() {
    let seal = SealKey::new([1; 32]);
    let settings = patched(json!({ "passwords": "disabled", "max_tokens_per_user": 5 })).unwrap();
    let frozen = frozen_part(&settings, &seal);
    let read = |extension: &[u8]| Settings::decode(&[&frozen, extension].concat(), &seal).map(|(settings, _)| settings);
    let changed = |patch: Value| Some(settings.patched(patch.as_object().unwrap()).unwrap());
    let unknown = json!({ "written_by": "9.0.0", "settings": { "of_the_future": [1], "a/b": null }, "more": {} });
    assert_eq!(read(unknown.to_string().as_bytes()), changed(json!({})));
    // A setting that 0.1.0 has may have got a value that it lacks: the extension has it, and counts.
    let newer = json!({ "settings": { "token_schemes": "basic", "help_url": "https://example.org/" } });
    assert_eq!(
        read(newer.to_string().as_bytes()),
        changed(json!({ "token_schemes": "basic", "help_url": "https://example.org/" }))
    );
    let unreadable = json!({ "settings": { "passwords": "sometimes", "max_tokens_per_user": -1, "log_calls": false } });
    assert_eq!(read(unreadable.to_string().as_bytes()), changed(json!({ "log_calls": false })));
    let followed = [newer.to_string().as_bytes(), b"\0\xff{ more"].concat();
    assert_eq!(read(&followed), read(newer.to_string().as_bytes()));
    for garbage in
        [b"".as_slice(), b"\0", b"\xff\xfe{", b"{\"settings\":", b"[]", b"7", b"{\"settings\":7}", &[b'['; 999]]
    {
        assert_eq!(read(garbage), changed(json!({})), "{garbage:?}");
    }
}

#[test]
fn a_setting_that_0_1_0_does_not_have_travels_in_the_extension() {
    let settings = patched(json!({ "passwords": "disabled", "facades": [] })).unwrap();
    let (Value::Object(mut all), read_by_0_1_0) = (settings.to_json(), settings.to_json()) else { panic!() };
    all.retain(|name, _| wire::is_in_0_1_0(name));
    all.insert("of_the_future".into(), json!([1]));
    all.insert("passwords".into(), json!("sometimes"));
    let expected = json!({ "of_the_future": [1], "passwords": "sometimes" });
    assert_eq!(Value::Object(wire::missing(all, &read_by_0_1_0)), expected);
}

#[test]
fn a_document_of_the_largest_settings_has_the_length_that_0_1_0_takes() {
    assert_eq!(SETTINGS_LEN_MAX, 181_456, "0.1.0 refuses more");
    let (seal, wordy) = (SealKey::new([1; 32]), BackendCredential::bearer(&"x".repeat(4096 - "Bearer ".len())));
    let keys = FilterKeys {
        token_hash: HashKeys::new(vec![HashKey::new([3; 32]); crate::hash::HASH_KEYS_MAX]).unwrap(),
        shared_credential: Some(wordy.unwrap()),
        ..keys()
    };
    // Address rules are what takes more in the part of 0.1.0 than as JSON: most with the shortest text. Names fill the rest.
    let with = |length: usize| {
        let names: Vec<String> = (0..length / 250).map(|number| format!("{number:0>250}")).collect();
        let (callers, exempt) = names.split_at(names.len().min(500));
        let last = "y".repeat(1 + length % 250);
        let callers: Vec<&str> = callers.iter().map(String::as_str).chain([last.as_str()]).take(500).collect();
        patched(
            json!({ "ip_rules": vec!["::"; 1000], "on_behalf_of_callers": callers, "password_exempt_users": exempt }),
        )
    };
    let (mut fits, mut too_long) = (0, JSON_LEN_MAX);
    while too_long - fits > 1 {
        let between = fits.midpoint(too_long);
        if with(between).is_ok() { fits = between } else { too_long = between }
    }
    let largest = with(fits).unwrap();
    assert!(largest.to_json().to_string().len() > JSON_LEN_MAX - 10);
    let bytes = largest.encode(&keys, &seal, [9; 24]).unwrap();
    assert_eq!(Settings::decode(&bytes, &seal), Some((largest.clone(), keys.clone())));
    // The same if the names were not among the settings of 0.1.0: they take the place that they have as JSON.
    let nameless = json!({ "on_behalf_of_callers": [], "password_exempt_users": [] });
    let frozen = wire::SettingsV3::freeze(&largest.patched(nameless.as_object().unwrap()).unwrap());
    let extension = serde_json::to_vec(&wire::Extension::of(&largest, &frozen)).unwrap();
    assert!(extension.len() > 100_000);
    let sealed = bytes.len() - postcard::to_allocvec(&wire::SettingsV3::freeze(&largest)).unwrap().len();
    let length = postcard::to_allocvec(&frozen).unwrap().len() + extension.len() + sealed;
    assert!(length <= SETTINGS_LEN_MAX, "{length}");
}

#[test]
fn what_0_1_0_refuses_to_read_is_no_value_today() {
    // If one of these is to become one, 0.1.0 must be given another in its place: see `wire.rs`.
    for (name, value) in [
        ("max_validity", json!("3m")),
        ("max_validity", json!("3651d")),
        ("max_snapshot_age", json!("2w")),
        ("max_snapshot_age", json!("1.5h")),
        ("help_url", json!("ftp://example.org")),
        ("help_url", json!(format!("https://{}", "x".repeat(2000)))),
        ("assertion_audience", json!("two words")),
        ("assertion_audience", json!("x".repeat(201))),
        ("assertion_paths", json!(["rest"])),
        ("password_exempt_paths", json!([format!("/{}", "x".repeat(1000))])),
        ("password_exempt_users", json!(["x".repeat(256)])),
        ("password_exempt_users", json!(["a/b"])),
        ("on_behalf_of_callers", json!([""])),
        ("ip_rules", json!(["10.0.0.9-10.0.0.1"])),
    ] {
        assert!(patched(json!({ name: value })).is_err(), "{name}: {value}");
    }
}

#[test]
fn what_is_stored_names_no_setting_that_0_1_0_lacks_unless_it_is_set() {
    for (settings, patch) in [(Settings::default(), json!({})), (patched(all()).unwrap(), all())] {
        let stored = settings.to_stored_json();
        for name in Settings::NAMES {
            let expected = wire::is_in_0_1_0(name) || patch.get(name).is_some();
            assert_eq!(stored.get(name).is_some(), expected, "{name}");
        }
        assert_eq!(Settings::from_json(&stored.to_string()), Ok(settings));
    }
}

#[test]
fn attack_no_key_and_no_credential_is_readable_in_the_document() {
    let bytes = Settings::default().encode(&keys(), &SealKey::new([1; 32]), [9; 24]).unwrap();
    for secret in [[3; 8], [4; 8], [5; 8], [6; 8], [7; 8], [8; 8], *b"c2VydmljZ".first_chunk::<8>().unwrap()] {
        assert!(!bytes.windows(8).any(|window| window == secret), "{secret:?}");
    }
    let mut changed = frozen_part(&Settings::default(), &SealKey::new([1; 32]));
    *changed.last_mut().unwrap() ^= 1; // of the seal
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

/// Any settings: some of those above, with other lists and numbers.
fn some_settings() -> impl Strategy<Value = Settings> {
    let chosen = proptest::collection::vec(any::<bool>(), Settings::NAMES.len());
    let names = || proptest::collection::vec("[a-z]{1,300}|é{1,9}", 0..9);
    let rules = proptest::collection::vec(any::<std::net::IpAddr>(), 0..30);
    (chosen, names(), names(), rules, 1..100_000, 1..365).prop_map(|(chosen, users, callers, rules, most, days)| {
        let mut patch = all();
        let lists = json!({
            "password_exempt_users": users, "on_behalf_of_callers": callers, "ip_rules": rules,
            "max_tokens_per_user": most, "expiry_warning_days": [days],
        });
        patch.as_object_mut().unwrap().extend(lists.as_object().unwrap().clone());
        let mut settings = Settings::default();
        for (name, _) in Settings::NAMES.iter().zip(chosen).filter(|(_, chosen)| *chosen) {
            let value = patch[name].clone();
            // Some are right only beside another: those are left as they are.
            settings = settings.patched(json!({ *name: value }).as_object().unwrap()).unwrap_or(settings);
        }
        settings
    })
}

proptest! {
    #[test]
    fn any_document_comes_back(settings in some_settings(), behind: Vec<u8>) {
        let seal = SealKey::new([1; 32]);
        let bytes = settings.encode(&keys(), &seal, [9; 24]).unwrap();
        prop_assert_eq!(Settings::decode(&bytes, &seal), Some((settings.clone(), keys())));
        prop_assert_eq!(Settings::decode(&[bytes, behind].concat(), &seal), Some((settings.clone(), keys())));
        prop_assert_eq!(Settings::from_json(&settings.to_stored_json().to_string()), Ok(settings));
    }

    #[test]
    fn no_extension_panics(extension: Vec<u8>, text: std::string::String, number: i64) {
        let seal = SealKey::new([1; 32]);
        let frozen = frozen_part(&Settings::default(), &seal);
        prop_assert!(Settings::decode(&[&frozen, extension.as_slice()].concat(), &seal).is_some());
        for name in Settings::NAMES {
            let extension = json!({ "settings": { *name: number, "ip_rules": [text], "help_url": text } }).to_string();
            prop_assert!(Settings::decode(&[&frozen, extension.as_bytes()].concat(), &seal).is_some());
        }
    }

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
