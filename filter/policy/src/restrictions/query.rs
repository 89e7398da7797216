//! Parameters of a query (L4), read as servers read those of a form: pairs between `&`, `=` between name and value, `+` for
//! a space, percent-encoded UTF-8 in both.
//!
//! Where servers differ in what a pair is, the query cannot be read: `;` was a separator in HTML 4 and still is to some, and
//! a control character ends a name for others. Where they differ in what a name is, a parameter counts under every name that
//! some of them give it ([`path_in_query`]). A pair without `=` has the empty value.

use super::alike::path_in_query;
use crate::path::hex_digit;
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// All of them, decoded.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    names: BTreeSet<Cow<'a, str>>,
    /// By what some reader takes their names for.
    values: BTreeMap<String, Vec<Cow<'a, str>>>,
    /// Names in which others are: to readers of arrays an object, with keys that the client chose.
    objects: BTreeSet<String>,
}

/// The name of a parameter that is restricted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    /// What it looks like to the most liberal reader.
    looks: String,
    /// The same of each name in which it is.
    above: Vec<String>,
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        let path = path_in_query(text);
        Self { text: text.into(), looks: path.concat(), above: above(&path).collect() }
    }
}

/// The names in which this one is.
fn above(path: &[String]) -> impl Iterator<Item = String> {
    (1..path.len()).map(|length| path.iter().take(length).map(String::as_str).collect())
}

impl<'a> Parameters<'a> {
    /// `None`: an escape that is none (`%zz`, `%2`), no UTF-8, a `;`, a control character in a name, or too many.
    pub(super) fn read(query: &'a [u8]) -> Option<Self> {
        let mut parameters = Self::default();
        if query.contains(&b';') {
            return None;
        }
        for (index, pair) in query.split(|byte| *byte == b'&').enumerate() {
            if index >= PARAMETERS_MAX {
                return None;
            }
            if pair.is_empty() {
                continue;
            }
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at_checked(equals)?;
            let value = value.strip_prefix(b"=").unwrap_or_default();
            let name = decoded(name).filter(|name| !name.contains(char::is_control))?;
            let path = path_in_query(&name);
            parameters.objects.extend(above(&path));
            parameters.values.entry(path.concat()).or_default().push(decoded(value)?);
            parameters.names.insert(name);
        }
        Some(parameters)
    }

    /// The values that some reader may take for those of this name: which of them the backend takes, the first or the last,
    /// we do not know. `None` if there is none under this very name; or if some reader finds an object under it, or a value in
    /// place of the object in which it is.
    pub(super) fn values(&self, name: &Name) -> Option<impl Iterator<Item = &str>> {
        let Name { text, looks, above } = name;
        let is_there = self.names.contains(text.as_str());
        let replaced = self.objects.contains(looks) || above.iter().any(|above| self.values.contains_key(above));
        let values = self.values.get(looks).filter(|_| is_there && !replaced)?;
        Some(values.iter().map(AsRef::as_ref))
    }
}

fn decoded(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return core::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => (hex_digit(*rest.next()?)? << 4) | hex_digit(*rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Pairs of a query: as many as PHP reads. Servers differ in where they stop reading, and behind that place a parameter
/// says nothing to the one and something to the other.
const PARAMETERS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The values of one name, if the query can be read.
    fn values(query: &[u8], name: &str) -> Option<Vec<String>> {
        let (parameters, name) = (Parameters::read(query)?, Name::new(name));
        Some(parameters.values(&name).map(|values| values.map(Into::into).collect()).unwrap_or_default())
    }

    #[test]
    fn l4_names_and_values_are_decoded() {
        for (query, expected) in [
            ("n=v", &["v"][..]),
            ("%6E=%76", &["v"]),
            ("n=a+b%20c%2Bd", &["a b c+d"]),
            ("n=%C3%A9", &["é"]),
            ("n=é", &["é"]),
            ("n=a=b==c", &["a=b==c"]),
            ("n", &[""]),
            ("n=", &[""]),
            ("n=%26%3D", &["&="]),
            ("n=1&m=2&&n=3&", &["1", "3"]),
            ("n=1%3bn=2", &["1;n=2"]),
            ("n=1?n=2", &["1?n=2"]),
            ("m=1", &[]),
            ("N=1", &[]),
            ("n=1&N=2&+n=3&n[]=4&x=5&[n]=6", &["1", "2", "3", "4", "6"]),
            ("n=1&n[7]=3&n[=5&N[]=6", &["1", "3", "5", "6"]),
            ("n=1&n[a]=2", &[]),
            ("n=1&n[0][b]=4", &[]),
            ("n=1&n[[]]=6", &[]),
            ("n=1&n[-1]=7", &[]),
            ("", &[]),
            ("&&&", &[]),
            ("=1", &[]),
        ] {
            assert_eq!(values(query.as_bytes(), "n").unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn l4_a_query_that_cannot_be_read() {
        for query in [
            &b"n=%zz"[..],
            b"n=%2",
            b"n=%",
            b"%=1",
            b"m=%+1",
            b"n=%ff",
            b"n=\xff",
            b"n=%c0%af",
            b"n=%ed%a0%80",
            b"n=1;n=2",
            b"x=1;n=2&n=1",
            b";",
            b"n%00=1",
            b"x%0a=1",
            b"x%c2%85=1",
        ] {
            assert_eq!(values(query, "n"), None, "{query:?}");
        }
    }

    #[test]
    fn l4_a_query_has_as_many_parameters_as_servers_read() {
        let many = |count| format!("{}n=1", "a&".repeat(count));
        assert!(values(many(PARAMETERS_MAX - 1).as_bytes(), "n").is_some());
        assert!(values(many(PARAMETERS_MAX).as_bytes(), "n").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(query: Vec<u8>) {
            let _ = Parameters::read(&query);
        }

        #[test]
        fn what_is_encoded_comes_back(name in "[^\\pC]{1,5}", value: String) {
            let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let query = format!("{}={}", encoded(&name), encoded(&value));
            // An empty name in brackets is one within itself.
            let found = values(query.as_bytes(), &name).unwrap();
            prop_assert!(found == [value] || name.contains('['));
        }
    }
}
