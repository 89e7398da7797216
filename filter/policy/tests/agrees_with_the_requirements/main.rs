//! The verdicts, judged a second time: slowly, plainly, and from the words of the requirements; in the order of the
//! table at the top of `decide.rs`, which the requirements leave open.
//!
//! A table of cases is generated; each case is described in plain words ([`Case`]). From the description
//! [`by_the_requirements`] says what must become of the request, and [`by_the_policy`] builds what a proxy would see,
//! and asks the real code. The two must agree on every case, in code and status, and on who is admitted as whom.
//!
//! The second judge calls nothing of the crate that judges: where a path belongs, and what a client's address
//! matches, is written by hand beside each path and each rule. Where the requirements leave the choice between two
//! refusals, the choice that was made is marked with "Open:". It says nothing of restrictions (L1 to L8), which have
//! their own tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

mod case;
mod oracle;
mod real;
mod table;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use case::*;
use oracle::*;
use policy::assertion::{AssertionKey, For};
use policy::credential::{BackendCredential, Secret};
use policy::headers::{HeaderEdit, edits};
use policy::restrictions::{Body, Set};
use policy::settings::{
    Age, EncodedSlashes, Facade, ForeignCredentials, Identity, IpRulesApplyTo, OnBehalfOf, Passwords, PathPrefix,
    TokenSchemes, UserName,
};
use policy::{
    Addresses, Binding, DenyReason, Explanation, Facts, FilterKeys, Found, HashKey, HashKeys, IpRule, KeyedHash, Known,
    Owner, Request, Rule, Scope, SealKey, Settings, Site, Snapshot, Sources, StepOutcome, Timestamp, TokenRecord,
    TokenState, UserRecord, Verdict, decide, explain, token,
};
use real::*;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use table::*;

#[test]
fn every_verdict_is_what_the_requirements_say() {
    let world = World::new();
    let mut cases_of = BTreeMap::<Answer, usize>::new();
    let mut disagreements = BTreeMap::<(Answer, Answer), (usize, String)>::new();
    let mut judge = |case: Case| {
        let (must, is) = (by_the_requirements(&case), by_the_policy(&case, &world));
        *cases_of.entry(answer(&is)).or_default() += 1;
        if must != is {
            let kind = (answer(&must), answer(&is));
            disagreements.entry(kind).or_insert((0, format!("{must:?}\n{is:?}\n{case:?}"))).0 += 1;
        }
    };
    pairs_of_variations(&mut judge);
    whole_products(&mut judge);
    sample(&mut judge);

    for ((status, code), count) in &cases_of {
        println!("{count:>7}  {status} {code}");
    }
    println!("{:>7}  altogether", cases_of.values().sum::<usize>());
    for ((must, is), (count, case)) in &disagreements {
        println!("\n{count} cases must be {must:?} and are {is:?}; the first:\n{case}");
    }
    assert!(disagreements.is_empty(), "{} kinds of disagreement, see above", disagreements.len());
    for reason in DenyReason::ALL.iter().filter(|reason| !ELSEWHERE.contains(reason)) {
        assert!(cases_of.contains_key(&(reason.status(), reason.code())), "no case is refused for {reason:?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What the requirements say.

/// What becomes of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goes {
    /// On to the backend, or to the control plane, untouched.
    Untouched,
    /// On with an identity.
    As {
        user: String,
        actor: Option<String>,
        /// For whom an assertion is wanted.
        assertion: Option<For>,
        /// What stands in `Authorization` in place of the token.
        credential: Option<String>,
    },
}

/// A refusal: status and code.
type Refusal = (u16, &'static str);

fn refuse_if(is_so: bool, status: u16, code: &'static str) -> Result<(), Refusal> {
    if is_so { Err((status, code)) } else { Ok(()) }
}

/// Under what a verdict is counted.
type Answer = (u16, &'static str);

fn answer(verdict: &Result<Goes, Refusal>) -> Answer {
    match verdict {
        Ok(Goes::Untouched) => (200, "passed on untouched"),
        Ok(Goes::As { .. }) => (200, "admitted"),
        Err(refusal) => *refusal,
    }
}

/// Restrictions have their own tests; what the proxy fails at, and what it has no time for, is no verdict.
const ELSEWHERE: [DenyReason; 7] = [
    DenyReason::ProxyFailure,
    DenyReason::TooManyRequests,
    DenyReason::TooLongToJudge,
    DenyReason::Restricted,
    DenyReason::BadQuery,
    DenyReason::BodyUnreadable,
    DenyReason::BodyTooLarge,
];

/// The table of the order of checks stands beside the code and in the README, and is one.
#[test]
fn the_readme_has_the_same_table_of_checks() {
    let readme = include_str!("../../../../README.md");
    let rows: Vec<&str> =
        include_str!("../../src/decide.rs").lines().filter_map(|line| line.strip_prefix("//! |")).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        assert!(readme.lines().any(|line| line.strip_prefix('|') == Some(row)), "not in README.md:\n|{row}");
    }
    for reason in policy::DenyReason::ALL {
        assert!(readme.contains(&format!("`{}`", reason.code())), "{} is not in README.md", reason.code());
    }
    for setting in policy::Settings::NAMES {
        assert!(readme.contains(&format!("`{setting}`")), "{setting} is not in README.md");
    }
}
