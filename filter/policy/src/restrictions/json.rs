//! Fields of a JSON body (L5), as text.
//!
//! A field counts only if every reader would find the same in it. So there is no text for it if the body is not JSON in
//! UTF-8 without a byte order mark, if it is not an object, or if any object on the way to the field has two keys that are
//! one, however they are written (`"a"`, `"\u0061"`, and `"A"`, since some readers ignore the case): some take the first,
//! others the last. Nor is there one for
//! an array, an object, or a field that is not there.
//!
//! Strings are compared without quotes and escapes, everything else as it was written: `false`, `null`, `1.0` is not `1`,
//! and twenty digits are twenty digits. `"false"` and `false` are the same text.
//!
//! What is not on the way is only required to be JSON, however deeply nested: serde_json passes over it without recursion.
//! The body is read once, and what stands in a wanted field once more, when it is an object with wanted fields.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields that a set looks at, as a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The whole name of this field, if it is one of them.
    name: Option<Box<str>>,
    below: BTreeMap<Box<str>, Wanted>,
}

impl Wanted {
    /// Adds a field by its name, which has at most as many dots as the grammar takes.
    pub(super) fn add(&mut self, name: &str) {
        let leaf = name.split('.').fold(self, |above, part| above.below.entry(part.into()).or_default());
        leaf.name = Some(name.into());
    }

    /// Reads what can be read.
    pub(super) fn read<'a>(&'a self, body: &'a [u8]) -> Fields<'a> {
        let mut fields = Fields::default();
        if let Ok(body) = core::str::from_utf8(body) {
            self.read_object(body, &mut fields);
        }
        fields
    }

    /// Reads all or nothing of this object itself: after an error, nothing that was found in it is kept.
    fn read_object<'a>(&'a self, object: &'a str, fields: &mut Fields<'a>) {
        let mut deserializer = serde_json::Deserializer::from_str(object);
        let members = deserializer.deserialize_map(Members(self));
        let Ok(members) = members.and_then(|members| deserializer.end().map(|()| members)) else {
            return;
        };
        for (wanted, value) in members {
            if let Some(name) = &wanted.name
                && let Some(text) = scalar(value)
            {
                fields.0.insert(name, text);
            }
            if !wanted.below.is_empty() {
                wanted.read_object(value, fields);
            }
        }
    }
}

/// What was found, by whole names.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(BTreeMap<&'a str, Cow<'a, str>>);

impl Fields<'_> {
    /// `None`: nothing that could be read.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref)
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

/// Reads an object: its wanted members, each with its value as it was written.
struct Members<'w>(&'w Wanted);

impl<'a> Visitor<'a> for Members<'a> {
    type Value = alloc::vec::Vec<(&'a Wanted, &'a str)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Self::Value::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Text(PhantomData))? {
            let value: &'a RawValue = map.next_value()?;
            if let Some(wanted) = self.0.below.get(key.as_ref()) {
                found.push((wanted, value.get()));
            }
            // Without regard to case, as Go's reader compares: the Kelvin sign is a k, and the long s an s.
            let folded: String =
                key.chars().flat_map(char::to_lowercase).map(|c| if c == 'ſ' { 's' } else { c }).collect();
            if !seen.insert(folded) {
                return Err(A::Error::custom("a key that was there before"));
            }
        }
        Ok(found)
    }
}

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
        wanted.read(body.as_ref()).text(name).map(Into::into)
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
        let body = r#"{"fields":{"project":{"key":"JRA","id":[1]},"n":1},"fields.project.key":"X","a":{"b":2}}"#;
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
    fn l5_a_duplicate_key_on_the_way_leaves_nothing() {
        for body in [
            r#"{"f":1,"f":1}"#,
            r#"{"f":1,"\u0066":2}"#,
            r#"{"f":1,"g":1,"g":2}"#,
            r#"{"g":1,"g":2,"f":1}"#,
            r#"{"\u0067":1,"g":2,"f":1}"#,
            r#"{"f":1,"":2,"":3}"#,
            r#"{"f":1,"F":2}"#,
            r#"{"F":1,"f":2}"#,
            r#"{"f":1,"\u212a":2,"k":3}"#,
            r#"{"f":1,"ſ":2,"S":3}"#,
        ] {
            assert_eq!(text(body, "f"), None, "{body}");
            assert_eq!(text(format!("{{\"o\":{body}}}"), "o.f"), None, "{body}");
        }
        assert_eq!(text(r#"{"o":{"f":1},"o":{}}"#, "o.f"), None);
        assert_eq!(text(r#"{"o":{"f":1},"p":{},"p":{}}"#, "o.f"), None);
        // Not on the way.
        assert_eq!(text(r#"{"f":1,"g":{"x":1,"x":2}}"#, "f").as_deref(), Some("1"));
        assert_eq!(text(r#"{"f":1,"x":{"y":{"z":1,"z":2}},"a":{"b":1,"b":2}}"#, "f").as_deref(), Some("1"));
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
