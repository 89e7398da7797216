//! A set of restrictions line by line: whether each holds for a request, and if not, what of it does not.
//!
//! It is the judgement itself, watched ([`Set::judge`] says nothing else), which goes on for that where it could stop. Nothing
//! here decides.

use super::work::Work;
use super::{Body, Set};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// What came of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line, as [`super::Restriction`] writes it.
    pub text: String,
    /// Whether it holds.
    pub finding: Finding,
}

/// Whether a line holds for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All of it does: the request may be made.
    Holds,
    /// This part of it does not.
    Fails(Part),
    /// All that came before holds, but this part looks at something that cannot be read, or is not there.
    Unreadable(Part),
    /// All that came before holds, but what this part looks at is too long to be judged.
    TooLong(Part),
    /// All that came before holds, but a judgement has not enough left to spend on this part.
    TooCostly(Part),
    /// All that came before holds, and this part needs the body, which has not come.
    NeedsBody(Part),
    /// What was looked at holds, and the rest is not looked at: another line holds already, the query cannot be read, or
    /// the path is too long.
    Spared,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its method.
    Method,
    /// The regex for the path.
    Path,
    /// The one for this parameter of the query.
    QueryParam(String),
    /// The one for this field of the body.
    JsonData(String),
}

/// Who is told what comes of each line.
pub(super) trait Watch {
    /// Whether anybody watches, so that lines are looked at which make no difference any more.
    const WATCHES: bool;

    /// This came of the line with this index.
    fn found(&mut self, index: usize, finding: impl FnOnce() -> Finding);
}

impl Watch for () {
    const WATCHES: bool = false;

    fn found(&mut self, _: usize, _: impl FnOnce() -> Finding) {}
}

impl Watch for Vec<Finding> {
    const WATCHES: bool = true;

    fn found(&mut self, index: usize, finding: impl FnOnce() -> Finding) {
        if let Some(place) = self.get_mut(index) {
            *place = finding();
        }
    }
}

impl Set {
    /// Says of each line, in their order, what came of it. The arguments are those of [`Set::judge`].
    pub fn explain(&self, method: &[u8], path: &[u8], query: &[u8], body: Body<'_>) -> Vec<Line> {
        let mut findings = alloc::vec![Finding::Spared; self.restrictions().len()];
        self.judge_watched(method, path, query, body, &mut Work::default(), &mut findings);
        let lines = self.restrictions().iter().zip(findings);
        lines.map(|(line, finding)| Line { text: line.to_string(), finding }).collect()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::Outcome;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn explained(text: &str, method: &str, target: &str, body: Body<'_>) -> (Outcome, Vec<Finding>) {
        let set = Set::parse(&[text]).unwrap().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, path, query) = (method.as_bytes(), path.as_bytes(), query.as_bytes());
        let findings = set.explain(method, path, query, body).into_iter().map(|line| line.finding).collect();
        (set.judge(method, path, query, body), findings)
    }

    /// What the lines come to together.
    fn together(findings: &[Finding]) -> Outcome {
        let any = |is: fn(&Finding) -> bool| findings.iter().any(is);
        if any(|finding| *finding == Finding::Holds) {
            Outcome::Holds
        } else if any(|finding| matches!(finding, Finding::Unreadable(Part::QueryParam(_)))) {
            Outcome::BadQuery
        } else if any(|finding| matches!(finding, Finding::NeedsBody(_))) {
            Outcome::NeedBody
        } else if any(|finding| matches!(finding, Finding::Unreadable(_))) {
            Outcome::BodyUnreadable
        } else {
            Outcome::NothingHolds
        }
    }

    #[test]
    fn m9_each_line_says_what_of_it_does_not_hold_first() {
        let lines = "[post]/a\n/b\n/a[QueryParam::x==1][QueryParam::y==1]\n/a[JsonData::n.m==1][JsonData::k==1]";
        let body = |text: &'static str| Body::Bytes(text.as_bytes());
        let (path, method) = (Finding::Fails(Part::Path), Finding::Fails(Part::Method));
        let (y, m) = (|| Part::QueryParam("y".into()), || Part::JsonData("n.m".into()));
        for (target, given, expected) in [
            ("/a?x=1&y=2", body("{\"n\":{\"m\":2}}"), [Finding::Fails(y()), Finding::Fails(m())]),
            ("/a?x=1", body("{\"k\":1}"), [Finding::Fails(y()), Finding::Unreadable(m())]),
            ("/a?x=1", body("{\"k\":2}"), [Finding::Fails(y()), Finding::Fails(Part::JsonData("k".into()))]),
            ("/a?x=1&y=2", Body::NotYet, [Finding::Fails(y()), Finding::NeedsBody(m())]),
            ("/a?x=1&y=1", Body::None, [Finding::Holds, Finding::Spared]),
            ("/a?x=%zz", Body::None, [Finding::Unreadable(Part::QueryParam("x".into())), Finding::Spared]),
        ] {
            let (outcome, findings) = explained(lines, "GET", target, given);
            let expected = [&[method.clone(), path.clone()], expected.as_slice()].concat();
            assert_eq!(
                (findings.as_slice(), outcome),
                (expected.as_slice(), together(&expected)),
                "{target} {given:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn m9_the_lines_come_to_what_is_judged(
            lines in proptest::collection::vec(
                "(\\[(get|put)\\])?/[ab](\\[QueryParam::[xy]==[12]\\]){0,2}(\\[JsonData::([no]|n\\.m)==[12]\\]){0,2}", 1..6),
            method in prop_oneof![Just("GET"), Just("PUT")],
            target in "/[ab](\\?[xy]=[12](&[xy]=(1|2|%z)){0,2})?",
            body in prop_oneof![Just(None), "\\{\"n\":[12](,\"[on]\":[12])?\\}|\\{\"n\":\\{\"m\":[12]\\}\\}|x".prop_map(Some)],
            unread: bool,
        ) {
            let body = match &body {
                Some(text) => Body::Bytes(text.as_bytes()),
                None if unread => Body::NotYet,
                None => Body::None,
            };
            let (outcome, findings) = explained(&lines.join("\n"), method, &target, body);
            prop_assert_eq!(together(&findings), outcome, "{:?}", vec![format!("{findings:?}")]);
        }
    }
}
