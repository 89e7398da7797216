//! Fields of a JSON body (L5), as text.
//!
//! A field counts only if every reader would find the same in it. So there is no text for it if the body is not JSON in
//! UTF-8 without a byte order mark, if it is not an object, or if the field, or an object on the way to it, comes twice, in
//! whatever spelling some reader takes for its name ([`alike`](super::alike)): some take the first, others the last. Nor is
//! there one for an array, an object, or a field that is not there, or not under its very name.
//!
//! Strings are compared without quotes and escapes, everything else as it was written: `false`, `null`, `1.0` is not `1`,
//! and twenty digits are twenty digits. `"false"` and `false` are the same text.
//!
//! What is not on the way is only required to be JSON, however deeply nested: serde_json passes over it without recursion,
//! and nothing of it is remembered. The body is read once (what stands in a field that is wanted both itself and for what
//! is below it, twice), and every byte and every name is paid for: a body that is longer than that is not read.

use super::alike::alike;
use super::grammar::FIELD_DEPTH_MAX;
use super::work::{TooCostly, Work};
use alloc::borrow::{Cow, ToOwned as _};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The fields that a set looks at, as a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The whole name of this field, if it is one of them.
    name: Option<Box<str>>,
    /// By what their names look like to the most liberal reader, and then by their very names.
    below: BTreeMap<String, BTreeMap<Box<str>, Wanted>>,
}

impl Wanted {
    /// Adds a field by its name, which has at most as many dots as the grammar takes.
    pub(super) fn add(&mut self, name: &str) {
        let leaf = name.split('.').fold(self, |above, part| {
            above.below.entry(alike(part, usize::MAX)).or_default().entry(part.into()).or_default()
        });
        leaf.name = Some(name.into());
    }

    /// Some readers take a name with dots for a path. What it leads to is there twice, then, or not under its very name.
    fn forget_dotted<'a>(&'a self, key: &str, fields: &mut Fields<'a>, work: &mut Work) -> Result<(), TooCostly> {
        let mut reached: Vec<&Self> = alloc::vec![self];
        for part in key.split('.').take(FIELD_DEPTH_MAX.saturating_add(1)) {
            let looks = alike(part, FIELD_PART_LEN_MAX);
            reached = reached.iter().filter_map(|wanted| wanted.below.get(&looks)).flat_map(BTreeMap::values).collect();
            work.pay_counted(reached.len().saturating_add(1).saturating_mul(STEPS_A_NAME))?;
        }
        reached.into_iter().try_for_each(|wanted| fields.forget(wanted, work))
    }

    /// Reads what can be read, and paid for.
    pub(super) fn read<'a>(&'a self, body: &'a [u8], work: &mut Work) -> Fields<'a> {
        let mut fields = Fields::default();
        let read = work
            .pay_counted(body.len().saturating_mul(STEPS_A_BYTE))
            .and_then(|()| core::str::from_utf8(body).map_err(|_| TooCostly));
        if let Ok(body) = read {
            self.read_object(body, &mut fields, work);
        }
        fields
    }

    /// Reads all or nothing of an object.
    fn read_object<'a>(&'a self, object: &'a str, fields: &mut Fields<'a>, work: &mut Work) {
        let mut found = Fields::default();
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let members = deserializer.deserialize_map(Members { wanted: self, fields: &mut found, work });
        if members.and_then(|()| deserializer.end()).is_ok() {
            fields.texts.extend(found.texts);
            fields.ambiguous.extend(found.ambiguous);
        }
    }
}

/// What was found, by whole names.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    texts: BTreeMap<&'a str, Cow<'a, str>>,
    /// Those that came twice.
    ambiguous: BTreeSet<&'a str>,
}

impl<'a> Fields<'a> {
    /// `None`: nothing that could be read.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).filter(|_| !self.ambiguous.contains(name)).map(AsRef::as_ref)
    }

    /// A field has come twice, and so has all that is below it.
    fn forget(&mut self, wanted: &'a Wanted, work: &mut Work) -> Result<(), TooCostly> {
        work.pay_counted(STEPS_A_NAME)?;
        self.ambiguous.extend(wanted.name.as_deref());
        wanted.below.values().flat_map(BTreeMap::values).try_for_each(|below| self.forget(below, work))
    }
}

/// The text of a value, unless it is an array or an object.
fn scalar(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'{' | b'[' => None,
        b'"' => Text(PhantomData).deserialize(&mut serde_json::Deserializer::from_str(value)).ok(),
        _ => Some(value.into()),
    }
}

/// Reads the members of an object.
struct Members<'a, 'f> {
    wanted: &'a Wanted,
    fields: &'f mut Fields<'a>,
    work: &'f mut Work,
}

impl<'a> Visitor<'a> for Members<'a, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { wanted, fields, work } = self;
        let len_max = wanted.below.keys().map(String::len).max().unwrap_or(0);
        let mut seen = BTreeMap::new();
        while let Some(key) = map.next_key_seed(Text(PhantomData))? {
            let too_costly = |TooCostly| A::Error::custom("too many fields");
            // To fold what is not ASCII takes longer than to read it.
            let folded = match (key.is_ascii(), key.contains('.')) {
                (true, _) => 0,
                (false, true) => key.len(),
                (false, false) => key.len().min(len_max),
            };
            let folding = folded.saturating_mul(STEPS_A_FOLD);
            work.pay_counted(folding.saturating_add(STEPS_A_NAME)).map_err(too_costly)?;
            if key.contains('.') {
                wanted.forget_dotted(&key, fields, work).map_err(too_costly)?;
            }
            // No field has a NUL in its name. Some readers stop there, and some leave it out.
            if key.contains('\0') {
                for looks in [alike(&key, len_max), alike(&key.replace('\0', ""), len_max)] {
                    if let Some((looks, group)) = wanted.below.get_key_value(&looks) {
                        seen.insert(looks, 2u8);
                        group.values().try_for_each(|field| fields.forget(field, work)).map_err(too_costly)?;
                    }
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Some((looks, group)) = wanted.below.get_key_value(&alike(&key, len_max)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let times = seen.entry(looks).or_insert(0u8);
            *times = times.saturating_add(1);
            if *times == 2 {
                group.values().try_for_each(|field| fields.forget(field, work)).map_err(too_costly)?;
            }
            match group.get(&*key).filter(|_| *times == 1) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(field) if field.name.is_none() => {
                    map.next_value_seed(Members { wanted: field, fields, work })?;
                }
                Some(field) => {
                    let value: &'a RawValue = map.next_value()?;
                    fields.texts.extend(field.name.as_deref().zip(scalar(value.get())));
                    if !field.below.is_empty() {
                        let steps = value.get().len().saturating_mul(STEPS_A_BYTE);
                        work.pay_counted(steps).map_err(|TooCostly| A::Error::custom("too long"))?;
                        field.read_object(value.get(), fields, work);
                    }
                }
            }
        }
        Ok(())
    }

    // What is wanted is below an object; of anything else nothing is.

    fn visit_seq<A: SeqAccess<'a>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, _: &'a str) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

impl<'a> DeserializeSeed<'a> for Members<'a, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Steps of a byte of a body, and of each name in an object on the way, beside its bytes.
const STEPS_A_BYTE: usize = 1;
const STEPS_A_NAME: usize = 25;

/// Steps of a byte of a name that is not ASCII.
const STEPS_A_FOLD: usize = 10;

/// Bytes of a part of a dotted name that are looked at: as many as a line has.
const FIELD_PART_LEN_MAX: usize = 4 * 1024;

/// Reads a string, and copies it only if it has escapes.
struct Text<'a>(PhantomData<&'a str>);

impl<'a> DeserializeSeed<'a> for Text<'a> {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Text<'a> {
    type Value = Cow<'a, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString as _};
    use std::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The text of one field, in a set that looks at others as well.
    fn text(body: impl AsRef<[u8]>, name: &str) -> Option<String> {
        let mut wanted = Wanted::default();
        for name in [name, "a", "a.b", "x.y.z"] {
            wanted.add(name);
        }
        wanted.read(body.as_ref(), &mut Work::default()).text(name).map(Into::into)
    }

    /// What is left to spend after reading a body.
    fn left(body: &str, names: &[&str]) -> Work {
        let (mut wanted, mut work) = (Wanted::default(), Work::default());
        names.iter().for_each(|name| wanted.add(name));
        wanted.read(body.as_bytes(), &mut work);
        work
    }

    #[test]
    fn l5_scalars_are_text() {
        for (value, expected) in [
            ("false", "false"),
            ("true", "true"),
            ("null", "null"),
            ("12", "12"),
            ("-0", "-0"),
            ("1.0", "1.0"),
            ("1e2", "1e2"),
            ("1E+2", "1E+2"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("0.1000", "0.1000"),
            ("1e999999", "1e999999"),
            ("\"\"", ""),
            ("\"false\"", "false"),
            (r#""a\"b\\c\/\n""#, "a\"b\\c/\n"),
            (r#""\u00e9\ud83d\ude00é""#, "é😀é"),
            (r#""\u0000""#, "\0"),
            (" \t\r\n 7 \n", "7"),
        ] {
            assert_eq!(text(format!("{{\"f\":{value}}}"), "f").as_deref(), Some(expected), "{value}");
            assert_eq!(text(format!(" {{ \"o\" : {{\"f\":{value}}} }} "), "o.f").as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn l5_a_dotted_name_descends() {
        let body = r#"{"fields":{"project":{"key":"JRA","id":[1]},"n":1},"fields.project.keys":"X","a":{"b":2}}"#;
        assert_eq!(text(body, "fields.project.key").as_deref(), Some("JRA"));
        assert_eq!(text(body, "fields.n").as_deref(), Some("1"));
        assert_eq!(text(body, "a.b").as_deref(), Some("2"));
        for absent in [
            "fields",
            "fields.project",
            "fields.project.id",
            "fields.project.key.x",
            "fields.n.x",
            "key",
            "Fields",
            "a",
        ] {
            assert_eq!(text(body, absent), None, "{absent}");
        }
    }

    #[test]
    fn l5_a_duplicate_of_a_named_field_or_of_one_on_the_way_leaves_nothing() {
        for body in [r#"{"f":1,"f":1}"#, r#"{"f":1,"\u0066":2}"#, r#"{"f":1,"f":{}}"#, r#"{"f":1,"f":1,"f":1}"#] {
            assert_eq!(text(body, "f"), None, "{body}");
            assert_eq!(text(format!("{{\"o\":{body}}}"), "o.f"), None, "{body}");
        }
        assert_eq!(text(r#"{"o":{"f":1},"o":{}}"#, "o.f"), None);
        assert_eq!(text(r#"{"o":{},"o":{"f":1}}"#, "o.f"), None);
        assert_eq!(text(r#"{"a":1,"a":{"b":1}}"#, "a.b"), None, "it is wanted itself, and for what is below it");
        // Not on the way.
        for body in [
            r#"{"f":1,"g":{"x":1,"x":2}}"#,
            r#"{"f":1,"g":1,"g":2}"#,
            r#"{"g":1,"\u0067":2,"f":1}"#,
            r#"{"f":1,"":2,"":3}"#,
            r#"{"f":1,"\u212a":2,"k":3}"#,
            r#"{"f":1,"x":{"y":{"z":1,"z":2}},"a":{"b":1,"b":2}}"#,
        ] {
            assert_eq!(text(body, "f").as_deref(), Some("1"), "{body}");
        }
    }

    #[test]
    fn attack_l10_a_twin_of_a_named_field_that_some_reader_takes_for_it() {
        for twin in [
            "Kiss",
            "KISS",
            "\u{212a}iss",
            "ki\u{17f}s",
            "k\u{131}ss",
            " kiss",
            "kiss ",
            "kiss\\u0000",
            "kiss\\u0000x",
            "\u{ff4b}iss",
            "ki\u{ad}ss",
            "\\u006Biss",
            "\\tkiss",
            "\u{feff}kiss",
        ] {
            for body in [format!(r#"{{"kiss":1,"{twin}":2}}"#), format!(r#"{{"{twin}":2,"kiss":1}}"#)] {
                assert_eq!(text(&body, "kiss"), None, "{body}");
                assert_eq!(text(format!(r#"{{"o":{body}}}"#), "o.kiss"), None, "{body}");
            }
            // Alone it is not the field, but for one that is written with an escape.
            let alone = text(format!(r#"{{"{twin}":2}}"#), "kiss");
            assert_eq!(alone.as_deref(), (twin == "\\u006Biss").then_some("2"), "{twin}");
            assert_eq!(text(format!(r#"{{"kiss":{{"b":1}},"{twin}":{{"b":1}}}}"#), "kiss.b"), None, "{twin}");
        }
        assert_eq!(text(r#"{"kiss":1,"kisses":2,"ki ss":3,"iss":4}"#, "kiss").as_deref(), Some("1"));
        for body in [
            r#"{"o":{"f":1},"o.f":2}"#,
            r#"{"O.F":2,"o":{"f":1}}"#,
            r#"{"o":{"f":1},"o.f.x":2,"o.f":{}}"#,
            r#"{"o":{"f":1},"o_":{}}"#,
            r#"{"o":{"f":1,"\u0000f":2}}"#,
            r#"{"o":{"f":1,"\u0001 f":2}}"#,
            r#"{"o":{"f":1,"_f-":2}}"#,
        ] {
            assert_eq!(text(body, "o.f"), None, "{body}");
        }
        assert_eq!(text(r#"{"ab":1,"a\u0000b":2}"#, "ab"), None);
        assert_eq!(text(r#"{"o":{"f":1},"o.g":2,"p.f":3}"#, "o.f").as_deref(), Some("1"));
    }

    #[test]
    fn attack_l11_a_body_of_very_many_fields_costs_no_more_than_is_paid_for() {
        let keys = |count: usize| {
            let keys: Vec<String> = (0..count).map(|key| format!("\"key{key}\":1")).collect();
            format!("{{\"f\":1,{}}}", keys.join(","))
        };
        assert_eq!(text(keys(10_000), "f").as_deref(), Some("1"));
        assert_eq!(text(keys(200_000), "f"), None);
        // Where nothing is wanted, fields are bytes.
        assert_eq!(text(format!("{{\"f\":1,\"w\":{}}}", keys(70_000)), "f").as_deref(), Some("1"));
        let work = left(&keys(10_000), &["f"]);
        assert_eq!(work.counted(), keys(10_000).len() * STEPS_A_BYTE + 10_001 * STEPS_A_NAME);
    }

    #[test]
    fn attack_l11_a_duplicate_that_comes_again_and_again_is_forgotten_once() {
        let names: Vec<String> = (0..1000).map(|name| format!("f.n{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let body = format!("{{{}\"x\":1}}", "\"f\":{},".repeat(40_000));
        assert!(left(&body, &names).counted() < 2_000_000);
    }

    #[test]
    fn l5_what_is_not_json_leaves_nothing() {
        let utf16: Vec<u8> = "{\"f\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let good = r#"{"f":1}"#;
        let mut bodies: Vec<Vec<u8>> = [
            "",
            " ",
            "null",
            "1",
            "\"f\"",
            "[1]",
            "[{\"f\":1}]",
            "f=1",
            "{",
            "}",
            "{}}",
            "{\"f\"}",
            "{\"f\":}",
            "{\"f\":1",
            "{\"f\":1,}",
            "{,\"f\":1}",
            "{\"f\":1 \"g\":2}",
            "{f:1}",
            "{'f':1}",
            "{\"f\":1}x",
            "{\"f\":1}{}",
            "{\"f\":1},",
            "{\"f\":1}//",
            "/**/{\"f\":1}",
            "\u{feff}{\"f\":1}",
            "{\"f\":1}\0",
            "\0{\"f\":1}",
            "\u{a0}{\"f\":1}",
            "{\"f\":NaN}",
            "{\"f\":Infinity}",
            "{\"f\":-}",
            "{\"f\":+1}",
            "{\"f\":01}",
            "{\"f\":-01}",
            "{\"f\":1.}",
            "{\"f\":.5}",
            "{\"f\":1e}",
            "{\"f\":0x1}",
            "{\"f\":1_0}",
            "{\"f\":tru}",
            "{\"f\":True}",
            "{\"f\":\"\u{1}\"}",
            "{\"f\":\"a\nb\"}",
            "{\"f\":\"\\x41\"}",
            "{\"f\":\"\\u12\"}",
            "{\"f\":\"\\ud800\"}",
            "{\"f\":\"\\udc00\\ud800\"}",
            "{\"f\":\"\\ud800\\u0041\"}",
            "{\"f\":1,\"\\ud800\":2}",
            "{\"f\":1,\"g\":[1,]}",
            "{\"f\":1,\"g\":{\"x\"}}",
            "{\"f\":1,\"g\":\"\t\"}",
            "{\"f\":1,\"g\":[}",
            "{\"f\":1,1:2}",
            "{\"f\":1,null:2}",
        ]
        .map(|body| body.as_bytes().to_vec())
        .into();
        bodies.extend([
            utf16,
            b"{\"f\":\"\xff\"}".to_vec(),
            b"{\"f\":1,\"g\":\"\xc0\xaf\"}".to_vec(),
            b"{\"f\":\"\xed\xa0\x80\"}".to_vec(),
            b"{\"f\":\"\xf4\x90\x80\x80\"}".to_vec(),
            b"\xef\xbb\xbf{\"f\":1}".to_vec(),
            [good.as_bytes(), b"\xff"].concat(),
            b"\x1f\x8b\x08\x00".to_vec(),
        ]);
        for body in bodies {
            assert_eq!(text(&body, "f"), None, "{:?}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn attack_nesting_bombs() {
        for open in ["[", "{\"f\":", "{\"x\":[", "[{\"f\":"] {
            assert_eq!(text(open.repeat(100_000), "f"), None);
            assert_eq!(text(format!("{{\"f\":1,\"x\":{}", open.repeat(100_000)), "f"), None);
        }
        // Complete, and not on the way: JSON knows no depth, and no stack is needed to pass over it.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text(format!("{{\"f\":1,\"x\":{deep}}}"), "f").as_deref(), Some("1"));
        assert_eq!(text(format!("{{\"f\":{deep}}}"), "f"), None);
        assert_eq!(text(format!("{{\"f\":1,\"x\":{{\"y\":{deep}}}}}"), "f").as_deref(), Some("1"));
    }

    #[test]
    fn a_body_that_speaks_of_our_reader_is_a_body_like_others() {
        let token = "$serde_json::private::RawValue";
        assert_eq!(text(format!(r#"{{"{token}":"{{\"f\":1}}"}}"#), "f"), None);
        assert_eq!(text(format!(r#"{{"f":{{"{token}":"1"}}}}"#), "f"), None);
        assert_eq!(text(format!(r#"{{"{token}":5}}"#), token).as_deref(), Some("5"));
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body: Vec<u8>, name in "[a-c](\\.[a-c]){0,3}") {
            let _ = text(&body, &name);
        }

        #[test]
        fn no_text_of_the_right_letters_panics(body in r#"(\{|\}|\[|\]|"|\\|"a":|"b":|,|:|1|-|\.|e|null|\\u0061|\\ud800| ){0,24}"#) {
            let _ = text(&body, "a");
            let _ = text(format!("{{\"a\":{body}}}"), "a.b");
        }

        #[test]
        fn l5_a_field_is_what_serde_json_finds(value in value(), pretty: bool, name in "[a-c](\\.[a-c]){0,2}") {
            let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let pointer = format!("/{}", name.replace('.', "/"));
            // Names are of objects: a number in a pointer would be an index.
            let expected = value.is_object().then(|| value.pointer(&pointer)).flatten().and_then(|field| match field {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
                other => Some(other.to_string()),
            });
            prop_assert_eq!(text(body, &name), expected);
        }
    }
}
