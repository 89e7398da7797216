//! Regexes of restrictions as the filter runs them, in Wasm: a host that meters its instructions can count what a match
//! costs, the same on every machine (L8).

#![expect(unsafe_code, reason = "an export must keep its name; nothing here is unsafe")]

use policy::restrictions::{Body, Outcome, Set};
use policy::{Request, Site};

/// Regexes that drive engines which backtrack mad, each with the end of a path that might fit: by how a path ends alone, none
/// is refused. The last two are for the general engine.
const REGEXES: [(&str, &str); 8] = [
    ("/(a+)+", "a"),
    ("/(a|aa)*", "a"),
    ("/(a*)*b", "b"),
    ("/(.*)(.*)(.*)!x", "x"),
    ("/(a?){20}(a|aa)*", "a"),
    ("/([a-z]+)*[0-9]", "1"),
    (r"/(a+)+\b", "a"),
    (r"/(.*)(.*)(.*)!x\b", "x"),
];

/// How many there are.
#[unsafe(no_mangle)]
pub extern "C" fn regexes() -> u32 {
    REGEXES.len() as u32
}

/// Holds a path of so many characters, and one that does not fit, against a regex. 1: it may be made; 0: not; 2: there is no
/// such regex.
#[unsafe(no_mangle)]
pub extern "C" fn judge(regex: u32, length: u32) -> u32 {
    let Some((regex, end)) = REGEXES.get(regex as usize) else {
        return 2;
    };
    let Some(set) = Set::saved(regex) else {
        return 2;
    };
    let path = format!("/{}?{end}", "a".repeat(length as usize));
    u32::from(set.judge(b"GET", path.as_bytes(), b"", Body::None) == Outcome::Holds)
}

/// Requests that were made to keep a worker busy (L11).
#[derive(Clone, Copy)]
enum Case {
    /// Eleven lines of a thousand optional characters, and a path of 1 kB.
    Optional,
    /// Two hundred lines as people write them, and a path of 2 kB.
    TwoHundred,
    /// A thousand lines, and a path of 2 kB.
    Thousand,
    /// As many steps of the general engine as may be saved, and a path of 2 kB.
    General,
    /// A body of 90,000 fields.
    Fields,
    /// A body of a megabyte of arrays within arrays.
    Nested,
    /// A path of 55 kB of letters.
    LongPath,
    /// A path of 8 kB that is read in all ways.
    OddPath,
    /// An `Authorization` of 55 kB.
    Authorization,
}

const CASES: [Case; 9] = [
    Case::Optional,
    Case::TwoHundred,
    Case::Thousand,
    Case::General,
    Case::Fields,
    Case::Nested,
    Case::LongPath,
    Case::OddPath,
    Case::Authorization,
];

/// Prepares a case and judges it so many times; what a judgement costs is the difference. 1: there is such a case.
#[unsafe(no_mangle)]
pub extern "C" fn busy(case: u32, times: u32) -> u32 {
    let Some(case) = CASES.get(case as usize) else {
        return 0;
    };
    let (lines, path, body) = prepared(*case);
    let set = Set::saved(&lines.join("\n"));
    for _ in 0..times {
        match (&set, case) {
            (_, Case::LongPath | Case::OddPath) => read(&[(b":path", path.as_bytes())]),
            (_, Case::Authorization) => read(&[(b":path", b"/rest/x"), (b"authorization", path.as_bytes())]),
            (Some(set), _) => {
                let body = body.as_ref().map_or(Body::None, |body| Body::Bytes(body.as_bytes()));
                std::hint::black_box(set.judge(b"GET", path.as_bytes(), b"", body));
            }
            (None, _) => return 0,
        }
    }
    1
}

fn read(headers: &[(&[u8], &[u8])]) {
    std::hint::black_box(Request::read(headers, &Site::default()));
}

/// Lines, path (or credential) and body.
fn prepared(case: Case) -> (Vec<String>, String, Option<String>) {
    let long = |unit: &str, length: usize| format!("/rest/{}", unit.repeat(length / unit.len()));
    let named = || vec![".*[JsonData::editable==false]".to_owned()];
    match case {
        Case::Optional => {
            ((0..=10).map(|line| format!("/rest/(?:.?){{1000}}x{line}")).collect(), long("a", 1_000), None)
        }
        Case::TwoHundred => {
            let line = |line| format!(".*/rest/api/2/issue/JRA{line}-[0-9]+(/.*)?");
            ((0..200).map(line).collect(), long("api/2/issue/JRA-7/", 2_000), None)
        }
        Case::Thousand => {
            let line = |line| format!(".*/rest/api/2/issue/JRA-{line}/comment.*");
            ((0..1000).map(line).collect(), long("api/2/issue/JRA-x/", 2_000), None)
        }
        Case::General => (vec![format!(r"/rest/{}\b", "((((a*)*)*)*)".repeat(10))], long("a", 2_000), None),
        Case::Fields => {
            let fields: Vec<String> = (0..90_000).map(|field| format!("\"f{field}\":1")).collect();
            (named(), "/rest/x".into(), Some(format!("{{{},\"editable\":false}}", fields.join(","))))
        }
        Case::Nested => {
            let body = format!("{{\"x\":{}{},\"editable\":false}}", "[".repeat(500_000), "]".repeat(500_000));
            (named(), "/rest/x".into(), Some(body))
        }
        Case::LongPath => (vec![".*".into()], long("abcdefg/", 55_000), None),
        Case::OddPath => (vec![".*".into()], long("\u{e9}%2525/", 8_000), None),
        Case::Authorization => (vec![".*".into()], format!("Foo {}", "a,b c\"".repeat(9_000)), None),
    }
}
