//! Regexes of restrictions as the filter runs them, in Wasm: a host that meters its instructions can count what a match
//! costs, the same on every machine (L8).

#![expect(unsafe_code, reason = "an export must keep its name; nothing here is unsafe")]

use policy::restrictions::{Body, Outcome, Set};

/// Regexes that drive engines which backtrack mad.
const REGEXES: [&str; 6] = ["/(a+)+", "/(a|aa)*", "/(a*)*b", "/(.*)(.*)(.*)x", "/(a?){20}a{20}", "/([a-z]+)*[0-9]"];

/// How many there are.
#[unsafe(no_mangle)]
pub extern "C" fn regexes() -> u32 {
    REGEXES.len() as u32
}

/// Holds a path of so many characters, and one that does not fit, against a regex. 1: it may be made; 0: not; 2: there is no
/// such regex.
#[unsafe(no_mangle)]
pub extern "C" fn judge(regex: u32, length: u32) -> u32 {
    let Some(Ok(Some(set))) = REGEXES.get(regex as usize).map(|regex| Set::parse(&[regex])) else {
        return 2;
    };
    let path = format!("/{}!", "a".repeat(length as usize));
    u32::from(set.judge(b"GET", path.as_bytes(), b"", Body::None) == Outcome::Holds)
}
