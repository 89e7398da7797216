//! Sets as a whole. What belongs to the grammar, to regexes, to queries and to bodies alone is tested there.

extern crate std;
use super::*;
use proptest::prelude::*;
use std::format;
use std::string::String;
use std::vec;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn set(text: &str) -> Set {
    Set::parse(&[text]).unwrap().unwrap()
}

/// What a set says of a request line, with a body if there is one.
fn judged(set: &Set, method: &str, target: &str, body: Option<&str>) -> Outcome {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = body.map_or(Body::None, |body| Body::Bytes(body.as_bytes()));
    set.judge(method.as_bytes(), path.as_bytes(), query.as_bytes(), body)
}

fn assert_bodyless(line: &str, holding: &[(&str, &str)], refused: &[(&str, &str)]) {
    for (requests, outcome) in [(holding, Outcome::Holds), (refused, Outcome::NothingHolds)] {
        for (method, target) in requests {
            assert_eq!(judged(&set(line), method, target, None), outcome, "{line}: {method} {target}");
        }
    }
}

#[test]
fn the_examples_of_the_requirements_and_what_is_near_them() {
    assert_bodyless(
        ".*/rest/api/2/issue/JRA.*",
        &[
            ("GET", "/rest/api/2/issue/JRA-1"),
            ("PUT", "/jira/rest/api/2/issue/JRA-1/comment?x=y"),
            ("X", "/rest/api/2/issue/JRA"),
        ],
        &[
            ("GET", "/rest/api/2/issue/ABC-1"),
            ("GET", "/rest/api/2/issue/?/rest/api/2/issue/JRA-1"),
            ("GET", "/rest/api/2/issue/jra-1"),
        ],
    );
    assert_bodyless(
        "[post].*/rest/api/2/issue/KANBAN-100/comment.*",
        &[("POST", "/rest/api/2/issue/KANBAN-100/comment"), ("POST", "/x/rest/api/2/issue/KANBAN-100/comment/7?a")],
        &[
            ("GET", "/rest/api/2/issue/KANBAN-100/comment"),
            ("post", "/rest/api/2/issue/KANBAN-100/comment"),
            ("POST", "/rest/api/2/issue/KANBAN-1001/comment"),
        ],
    );
    assert_bodyless(
        ".*/rest/extender/1.0/filter/user/.*[QueryParam::permissions==true]",
        &[
            ("GET", "/rest/extender/1.0/filter/user/bob?permissions=true"),
            ("GET", "/rest/extender/1.0/filter/user/bob?a=b&%70ermissions=tru%65"),
        ],
        &[
            ("GET", "/rest/extender/1.0/filter/user/bob"),
            ("GET", "/rest/extender/1.0/filter/user/bob?permissions=false"),
            ("GET", "/rest/extender/1.0/filter/user/bob?permissions=true1"),
            ("GET", "/rest/extender/1.0/filter/user/bob?permissions=true&permissions=false"),
            ("GET", "/rest/extender/1.0/filter/user/permissions=true"),
        ],
    );
    assert_bodyless(
        ".*rest/extender/1.0/worklog/user/.*[QueryParam::dateFrom==2018-01-01][QueryParam::dateTo==2018-12-01]",
        &[("GET", "/rest/extender/1.0/worklog/user/bob?dateTo=2018-12-01&dateFrom=2018-01-01")],
        &[
            ("GET", "/rest/extender/1.0/worklog/user/bob?dateFrom=2018-01-02&dateTo=2018-12-01"),
            ("GET", "/rest/extender/1.0/worklog/user/bob?dateFrom=2018-01-01&dateTo=2018-11-30"),
            ("GET", "/rest/extender/1.0/worklog/user/bob?dateFrom=2018-01-01"),
        ],
    );
    assert_bodyless(
        ".*/rest/api/2/issue/SCRUM-[1-2]{1}/comment.*",
        &[("GET", "/rest/api/2/issue/SCRUM-1/comment"), ("DELETE", "/rest/api/2/issue/SCRUM-2/comment/5")],
        &[
            ("GET", "/rest/api/2/issue/SCRUM-3/comment"),
            ("GET", "/rest/api/2/issue/SCRUM-12/comment"),
            ("GET", "/rest/api/2/issue/SCRUM-/comment"),
        ],
    );
    assert_bodyless(
        "[get].*/rest/api/2/project.*",
        &[("GET", "/rest/api/2/project"), ("GET", "/jira/rest/api/2/project/JRA?expand=lead")],
        &[("HEAD", "/rest/api/2/project"), ("DELETE", "/rest/api/2/project/JRA"), ("GET", "/rest/api/2/projec")],
    );
    assert_bodyless("[A-Z]+.*", &[("GET", "A/rest"), ("ANY", "ABC")], &[("GET", "/rest"), ("A", "a"), ("GET", "")]);
}

#[test]
fn the_example_of_a_body_and_what_is_near_it() {
    let set = set(".*/rest/api/2/filter[JsonData::editable==false][JsonData::favourite==false]");
    for (body, outcome) in [
        (Some(r#"{"editable":false,"favourite":false}"#), Outcome::Holds),
        (Some(r#"{"favourite":"false","x":{"editable":true},"editable":"false"}"#), Outcome::Holds),
        (Some(r#"{"editable":false,"favourite":true}"#), Outcome::NothingHolds),
        (Some(r#"{"editable":"false ","favourite":false}"#), Outcome::NothingHolds),
        (Some(r#"{"editable":true}"#), Outcome::NothingHolds), // the other one would change nothing
        (Some(r#"{"editable":false}"#), Outcome::BodyUnreadable),
        (Some(r#"{"editable":false,"favourite":[false]}"#), Outcome::BodyUnreadable),
        (Some(r#"{"editable":false,"favourite":false,"editable":true}"#), Outcome::BodyUnreadable),
        (Some(r#"{"editable":false,"favourite":false,"\u0065ditable":true}"#), Outcome::BodyUnreadable),
        (Some("editable=false&favourite=false"), Outcome::BodyUnreadable),
        (Some(""), Outcome::BodyUnreadable),
        (None, Outcome::BodyUnreadable),
    ] {
        assert_eq!(judged(&set, "PUT", "/rest/api/2/filter", body), outcome, "{body:?}");
    }
    assert_eq!(set.judge(b"PUT", b"/rest/api/2/filter", b"", Body::Unreadable), Outcome::BodyUnreadable);
    assert_eq!(judged(&set, "PUT", "/rest/api/2/filter/1", None), Outcome::NothingHolds);
}

#[test]
fn l1_lines_are_alternatives() {
    let set = set(
        "[get]/a<br>[put]/b[QueryParam::q==1]<br>/b[QueryParam::q==2][QueryParam::r==3]<br>/c[JsonData::f==1]<br>/c[QueryParam::q==1]",
    );
    for (method, target, body, outcome) in [
        ("GET", "/a", None, Outcome::Holds),
        ("GET", "/b?q=2&r=3", None, Outcome::Holds),
        ("PUT", "/b?q=1", None, Outcome::Holds),
        ("PUT", "/b?q=2", None, Outcome::NothingHolds),
        ("GET", "/b?q=1", None, Outcome::NothingHolds),
        ("PUT", "/a", None, Outcome::NothingHolds),
        ("PUT", "/c?q=1", None, Outcome::Holds),
        ("PUT", "/c?q=2", Some(r#"{"f":1}"#), Outcome::Holds),
        ("PUT", "/c?q=2", Some(r#"{"f":2}"#), Outcome::NothingHolds),
        ("PUT", "/c?q=2", Some("1"), Outcome::BodyUnreadable),
    ] {
        assert_eq!(judged(&set, method, target, body), outcome, "{method} {target}");
    }
}

#[test]
fn l3_the_path_is_all_of_the_path_and_nothing_else() {
    let set = set("/rest/a|/rest/b");
    for (target, outcome) in [
        ("/rest/a", Outcome::Holds),
        ("/rest/b?c", Outcome::Holds),
        ("/rest/ab", Outcome::NothingHolds),
        ("/rest/a/../../admin", Outcome::NothingHolds),
        ("/x/rest/b", Outcome::NothingHolds),
        ("/x?/rest/a", Outcome::NothingHolds),
        ("/rest/a\n", Outcome::NothingHolds),
    ] {
        assert_eq!(judged(&set, "GET", target, None), outcome, "{target}");
    }
    assert_eq!(self::set("(?s).*").judge(b"GET", b"/\xff", b"", Body::None), Outcome::NothingHolds);
}

#[test]
fn l4_a_query_that_cannot_be_read_counts_where_the_query_does() {
    let set = set(
        "/a[QueryParam::q==1]\n/a[JsonData::f==1]\n/b\n/b[QueryParam::q==1]\n[get]/c[QueryParam::q==1]\n/d[JsonData::f==1]",
    );
    for bad in ["q=1&x=%zz", "q=1&x=%2", "%=&q=1", "q=1&x=%ff"] {
        for (path, outcome) in [
            ("/a", Outcome::BadQuery),
            ("/b", Outcome::Holds),        // whatever the query says
            ("/c", Outcome::NothingHolds), // the method does not hold, so nothing looks at the query
            ("/d", Outcome::BodyUnreadable),
            ("/e", Outcome::NothingHolds),
        ] {
            assert_eq!(judged(&set, "PUT", &format!("{path}?{bad}"), None), outcome, "{path}?{bad}");
        }
    }
}

#[test]
fn l4_every_suffix_and_every_occurrence_must_hold() {
    let set = set("/a[QueryParam::q==[a-z]+][QueryParam::q==.{2}]");
    for (query, outcome) in [
        ("q=ab", Outcome::Holds),
        ("q=ab&q=cd", Outcome::Holds),
        ("q=abc", Outcome::NothingHolds),
        ("q=12", Outcome::NothingHolds),
        ("q=ab&q=abc", Outcome::NothingHolds),
        ("q=ab&q", Outcome::NothingHolds),
        ("q=ab%0a", Outcome::NothingHolds),
        ("", Outcome::NothingHolds),
    ] {
        assert_eq!(judged(&set, "GET", &format!("/a?{query}"), None), outcome, "{query}");
    }
    assert_eq!(judged(&self::set("/a[QueryParam::a b&c==x y]"), "GET", "/a?a+b%26c=x%20y", None), Outcome::Holds);
    assert_eq!(judged(&self::set("/a[QueryParam::x==]"), "GET", "/a?x", None), Outcome::Holds);
}

#[test]
fn l5_the_body_is_asked_for_only_if_it_decides() {
    let set = set("/a[QueryParam::q==1][JsonData::f==1]\n[get]/a\n[put]/a[QueryParam::q==2]\n[put]/b[JsonData::f==1]");
    for (method, target, outcome) in [
        ("GET", "/a?q=1", Outcome::Holds),
        ("PUT", "/a?q=2", Outcome::Holds),
        ("PUT", "/a?q=1", Outcome::NeedBody),
        ("PUT", "/a?q=3", Outcome::NothingHolds),
        ("PUT", "/a?q=%", Outcome::BadQuery),
        ("GET", "/b", Outcome::NothingHolds),
        ("PUT", "/b?q=%", Outcome::NeedBody),
    ] {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let found = set.judge(method.as_bytes(), path.as_bytes(), query.as_bytes(), Body::NotYet);
        assert_eq!(found, outcome, "{method} {target}");
    }
}

#[test]
fn l8_the_memory_of_a_set_has_a_limit() {
    let errors = Set::parse(&vec![format!(r"[get]\b{}", "()".repeat(100)); 300]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!((&*errors[0].reason, errors[0].too_costly), (TOO_MUCH_MEMORY, false));
    let set = Set::parse(&vec![".*/rest/api/2/issue/JRA-[0-9]+/comment.*"; 1_000]).unwrap().unwrap();
    assert!(set.memory() < 2 * 1024 * 1024, "{}", set.memory());
}

/// The examples of README and requirements, and what judging by each takes at most.
const EXAMPLES: [(&str, usize); 11] = [
    (".*/rest/api/2/issue/JRA.*", 2_198),
    ("[post].*/rest/api/2/issue/KANBAN-100/comment.*", 2_198),
    ("[get].*/rest/api/2/project.*", 2_198),
    (".*/rest/api/2/issue/SCRUM-[1-2]{1}/comment.*", 2_200),
    (".*/rest/extender/1.0/filter/user/.*[QueryParam::permissions==true]", 4_396),
    (".*rest/extender/1.0/worklog/user/.*[QueryParam::dateFrom==2018-01-01][QueryParam::dateTo==2018-12-01]", 6_594),
    (".*/rest/api/2/filter[JsonData::editable==false][JsonData::favourite==false]", 6_594),
    (".*/rest/api/2/issue[JsonData::fields.project.key==JRA]", 4_396),
    ("[A-Z]+.*", 2_224),
    ("[post].*/rest/api/2/issue/JRA-[0-9]+/comment", 2_208),
    (".*/rest/api/2/issue/JRA-[0-9]+(/.*)?", 6_322),
];

#[test]
fn l11_no_example_is_too_costly_nor_are_all_together() {
    for (line, steps) in EXAMPLES {
        assert_eq!(set(line).worst(), steps, "{line}");
    }
    let nine: std::vec::Vec<&str> = EXAMPLES.iter().map(|(line, _)| *line).take(9).collect();
    assert_eq!(Set::parse(&nine).unwrap().unwrap().worst(), 30_800);
    let lines = |count: usize| -> std::vec::Vec<String> {
        (0..count).map(|line| format!(".*/rest/api/2/issue/JRA{line}-[0-9]+(/.*)?")).collect()
    };
    assert_eq!(Set::parse(&lines(200)).unwrap().unwrap().worst(), 200 * 6_322);
    assert!(Set::parse(&vec![EXAMPLES[0].0; 1_000]).unwrap().unwrap().worst() < STEPS_MAX);
}

#[test]
fn l11_a_set_costs_what_its_costliest_method_costs() {
    let dear = format!(r".*{}\b", "x".repeat(200));
    let lines =
        |methods: &[&str]| methods.iter().map(|method| format!("[{method}]{dear}")).collect::<std::vec::Vec<_>>();
    let one = Set::parse(&lines(&["get"])).unwrap().unwrap().worst();
    assert!(one > STEPS_MAX / 2 && one < STEPS_MAX);
    assert_eq!(Set::parse(&lines(&["get", "put", "post", "delete"])).unwrap().unwrap().worst(), one);
    let errors = Set::parse(&lines(&["get", "put", "get", "put"])).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].too_costly && errors[0].line == 3, "{errors:?}");
    for said in ["2500000 are allowed", "this line alone takes", r"\b"] {
        assert!(errors[0].reason.contains(said), "{errors:?}");
    }
    // What was saved is read, whatever it costs.
    let saved = Set::saved(&lines(&["get", "get"]).join("\n")).unwrap();
    assert!(saved.is_too_costly());
    assert_eq!(Set::saved(" \n"), None);
}

#[test]
fn attack_l11_lines_and_paths_that_were_made_to_keep_a_worker_busy() {
    let lines: std::vec::Vec<String> = (0..=10).map(|line| format!("/rest/(?:.?){{1000}}x{line}")).collect();
    let ordinary = Set::parse(&lines).unwrap().unwrap();
    let path = format!("/rest/{}", "a".repeat(1_000));
    assert_eq!(judged(&ordinary, "GET", &path, None), Outcome::NothingHolds);
    assert_eq!(judged(&ordinary, "GET", &format!("{path}x7"), None), Outcome::Holds);
    assert!(ordinary.worst() < 400_000);
    assert!(Set::parse(&[r"/rest/(?:.?){200}x0\b"]).unwrap_err()[0].too_costly);
    let many = Set::saved(&vec![format!(r"(?:.*{}){{2}}x\b", "a?".repeat(12)); 800].join("\n")).unwrap();
    let judgement = many.judge_counted(b"GET", &[b'a'; 2_048], b"", Body::None);
    assert_eq!(judgement.0, Outcome::NothingHolds);
    assert!(judgement.1 <= STEPS_MAX, "{judgement:?}");
}

#[test]
fn l11_a_path_or_a_query_that_is_looked_at_has_at_most_2_kb() {
    let set = set("/a.*\n/b.*[QueryParam::q==1]\n/c[JsonData::f==1]");
    let long = |begin: &str, length: usize| format!("{begin}{}", "x".repeat(length - begin.len()));
    for (target, outcome) in [
        (long("/a", 2_048), Outcome::Holds),
        (long("/a", 2_049), Outcome::TooLong),
        (long("/z", 2_049), Outcome::TooLong),
        (format!("{}?q=1", long("/b", 2_048)), Outcome::Holds),
        // Long JQL under a line for the path.
        (format!("/a?{}", long("jql=", 50_000)), Outcome::Holds),
        (format!("/b?{}", long("q=1&x=", 2_048)), Outcome::Holds),
        (format!("/b?{}", long("q=1&x=", 2_049)), Outcome::TooLong),
        (format!("/z?{}", long("q=1&x=", 2_049)), Outcome::NothingHolds),
        (format!("/c?{}", long("q=1&x=", 2_049)), Outcome::BodyUnreadable),
    ] {
        assert_eq!(judged(&set, "GET", &target, None), outcome, "{}", target.len());
    }
}

#[test]
fn l11_a_value_of_a_body_that_cannot_be_paid_for_is_not_read() {
    let set = set(r".*[JsonData::f==.*x\b]");
    let body = |length: usize| format!("{{\"f\":\"{}x\"}}", "a".repeat(length));
    assert_eq!(judged(&set, "PUT", "/a", Some(&body(10_000))), Outcome::Holds);
    assert_eq!(judged(&set, "PUT", "/a", Some(&body(300_000))), Outcome::BodyUnreadable);
    // An ordinary regex is paid for.
    let set = self::set(".*[JsonData::f==.*x]");
    assert_eq!(judged(&set, "PUT", "/a", Some(&body(900_000))), Outcome::Holds);
}

#[test]
fn attack_l10_twins_of_a_restricted_parameter() {
    let set = set("/a[QueryParam::permissions==true]");
    for twin in [
        "permissions=true&%20permissions=false",
        "permissions=true&permissions[]=false",
        "permissions=true&permissions%5B%5D=false",
        "permissions=true&Permissions=false",
        "PERMISSIONS=false&permissions=true",
        "permissions=true&+permissions=false",
        "permissions=true&permissions+=false",
        "permissions=true&%5bpermissions%5d=false",
        "permissions=true&%EF%BD%90ermissions=false",
        "permissions=true&perm%C4%B1ssions=false",
    ] {
        assert_eq!(judged(&set, "GET", &format!("/a?{twin}"), None), Outcome::NothingHolds, "{twin}");
        let harmless = twin.replace("false", "true");
        assert_eq!(judged(&set, "GET", &format!("/a?{harmless}"), None), Outcome::Holds, "{harmless}");
    }
    for unreadable in [
        "x=1;permissions=false&permissions=true",
        "permissions=true;permissions=false",
        "permissions=true&permissions%00x=false",
        "permissions=true&permissions%0a=false",
    ] {
        assert_eq!(judged(&set, "GET", &format!("/a?{unreadable}"), None), Outcome::BadQuery, "{unreadable}");
    }
    // A twin alone is not the parameter.
    assert_eq!(judged(&set, "GET", "/a?Permissions=true", None), Outcome::NothingHolds);
    let set = self::set("/a[QueryParam::filter[name]==x][QueryParam::date.from==1]");
    for (query, outcome) in [
        ("filter[name]=x&date.from=1", Outcome::Holds),
        ("filter[name]=x&filter[other]=z&date.from=1&date=2", Outcome::Holds),
        ("filter[name]=x&filter=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter[]=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&[filter][name]=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter[ name]=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter['name']=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter.name=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter[name][k]=x&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&Filter[Name]=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter[name][]=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter%5bname%5d*=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&filter[name]%c2%a0=y&date.from=1", Outcome::NothingHolds),
        ("filter[name]=x&date.from=1&date_from=2", Outcome::NothingHolds),
        ("filter[name]=x&date.from=1&date[from=2", Outcome::NothingHolds),
    ] {
        assert_eq!(judged(&set, "GET", &format!("/a?{query}"), None), outcome, "{query}");
    }
}

#[test]
fn attack_l10_brackets_in_the_restricted_name() {
    for (name, query) in [
        ("ids[]", "ids[]=1&ids[5]=9"),
        ("ids[]", "ids[]=1&ids[a]=9"),
        ("ids[]", "ids[]=1&ids=9"),
        ("ids[]", "ids[]=1&[ids][]=9"),
        ("ids[0]", "ids[0]=1&ids[]=9"),
        ("ids[0]", "ids[0]=1&ids[00]=9"),
        ("f[s]", "f[s]=1&[f][s]=9"),
        ("f[s]", "f[s]=1&f[ s]=9"),
        ("f[s]", "f[s]=1&f=9"),
        ("f.s", "f.s=1&f[s]=9"),
        ("page_size", "page_size=1&pageSize=9"),
    ] {
        let set = set(&format!("/x[QueryParam::{name}==1]"));
        assert_eq!(judged(&set, "GET", &format!("/x?{query}"), None), Outcome::NothingHolds, "{name}: {query}");
        let own = query.split('&').next().unwrap();
        assert_eq!(judged(&set, "GET", &format!("/x?{own}&other=9"), None), Outcome::Holds, "{own}");
    }
}

#[test]
fn attack_l11_classes_that_take_long_to_compile() {
    for line in [
        String::from("(?:[!-\u{10ffff}][!-\u{10fffe}]){3000}[ÀÂÄÆÈÊÌÎÐÒÔÖØÚÜàâäæèêìîðòôöøúü]?"),
        (0..400).map(|number| format!("[!-{}]", char::from_u32(300 + number).unwrap())).collect(),
    ] {
        let worst = match Set::parse(&[line.as_str()]) {
            Ok(set) => set.unwrap().worst(),
            Err(errors) => {
                assert!(errors[0].too_costly, "{errors:?}");
                continue;
            }
        };
        assert!(worst > 100_000, "what it takes to compile is in the price: {worst}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(method: std::vec::Vec<u8>, path: std::vec::Vec<u8>, query: std::vec::Vec<u8>, body: std::vec::Vec<u8>) {
        let set = set("(?s).*[QueryParam::a==.*][JsonData::a==.*]<br>[get](?s).*[JsonData::a.b==.*]");
        for body in [Body::NotYet, Body::None, Body::Unreadable, Body::Bytes(&body)] {
            let _ = set.judge(&method, &path, &query, body);
        }
    }

    #[test]
    fn l1_the_order_of_lines_changes_nothing(
        lines in proptest::collection::vec("(\\[(get|put)\\])?/[ab]?(\\[QueryParam::q==[12]\\])?(\\[JsonData::[fg]==[12]\\])?", 1..5),
        method in "GET|PUT", path in "/[ab]?", query in "(q=[12]|q=%|)(&q=[12])?",
        body in proptest::option::of("\\{(\"f\":[12])?(,\"g\":[12])?\\}"),
    ) {
        let mut reversed = lines.clone();
        reversed.reverse();
        let [forwards, backwards] = [lines, reversed].map(|lines| Set::parse(&lines).unwrap().unwrap());
        let target = format!("{path}?{query}");
        let (there, back) = (judged(&forwards, &method, &target, body.as_deref()), judged(&backwards, &method, &target, body.as_deref()));
        prop_assert_eq!(there, back);
        // And asking before the body is there never says more than the body will.
        let early = forwards.judge(method.as_bytes(), path.as_bytes(), query.as_bytes(), Body::NotYet);
        prop_assert!(early == there || early == Outcome::NeedBody);
        prop_assert!(there != Outcome::NeedBody);
        // Another line can only allow more.
        let more: std::vec::Vec<String> = [forwards.to_string(), "/a".into()].into();
        let more = judged(&Set::parse(&more).unwrap().unwrap(), &method, &target, body.as_deref());
        prop_assert!(there != Outcome::Holds || more == Outcome::Holds);
    }
}
