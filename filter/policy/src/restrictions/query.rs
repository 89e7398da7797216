//! Parameters of a query (L4), read as servers read those of a form: pairs between `&`, `=` between name and value, `+` for
//! a space, percent-encoded UTF-8 in both.
//!
//! Where servers differ in what a pair is, the query cannot be read: `;` was a separator in HTML 4 and still is to some, and
//! a control character ends a name for others. Where they differ in what a name is, a parameter counts under every name that
//! some of them give it ([`alike_in_query`]). A pair without `=` has the empty value.

use super::alike::alike_in_query;
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
    values: BTreeMap<String, Vec<Value<'a>>>,
}

#[derive(Clone, Debug)]
struct Value<'a> {
    text: Cow<'a, str>,
    /// What stands in brackets in the name: an index, or nothing, in each pair; otherwise it is a key that the client chose,
    /// and readers of arrays see an object.
    is_index: Vec<bool>,
}

/// The name of a parameter that is restricted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    /// What it looks like to the most liberal reader.
    looks: String,
    /// Brackets that it holds itself. It is then compared with them, and what follows the last one counts for nothing, as
    /// readers of arrays ignore it.
    brackets: usize,
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        let [ends_at_bracket, whole] = alike_in_query(text);
        let brackets = text.matches('[').count();
        Self { text: text.into(), looks: if brackets > 0 { whole } else { ends_at_bracket }, brackets }
    }
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
            let (value, [one, other]) =
                (Value { text: decoded(value)?, is_index: indices(&name) }, alike_in_query(&name));
            if one != other {
                parameters.values.entry(one).or_default().push(value.clone());
            }
            parameters.values.entry(other).or_default().push(value);
            parameters.names.insert(name);
        }
        Some(parameters)
    }

    /// The values that some reader may take for those of this name, `None` in place of one that is no text to a reader of
    /// arrays; no values at all if there is none under this very name: which of them the backend takes, the first or the
    /// last, we do not know.
    pub(super) fn values<'s>(&'s self, name: &'s Name) -> Option<impl Iterator<Item = Option<&'s str>>> {
        let Name { text, looks, brackets } = name;
        let alike = self
            .values
            .range::<String, _>(looks..)
            .take_while(move |(other, _)| if *brackets > 0 { other.starts_with(looks) } else { *other == looks });
        let values = alike.flat_map(|(_, values)| values).map(|Value { text, is_index }| {
            is_index.iter().skip(*brackets).all(|is_index| *is_index).then_some(&**text)
        });
        self.names.contains(text.as_str()).then_some(values)
    }
}

/// Of each pair of brackets in a name, but one around all of it, whether there is an index in it, or nothing.
fn indices(name: &str) -> Vec<bool> {
    let mut rest = name.trim_start_matches(|character: char| character == '[' || character.is_whitespace());
    let mut indices = Vec::new();
    while let Some((_, behind)) = rest.split_once('[') {
        let (key, after) = behind.split_once(']').unwrap_or((behind, ""));
        indices.push(key.bytes().all(|byte| byte.is_ascii_digit()));
        rest = after;
    }
    indices
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
        Some(
            parameters
                .values(&name)
                .map(|values| values.map(|value| value.unwrap_or("(an object)").into()).collect())
                .unwrap_or_default(),
        )
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
            (
                "n=1&n[a]=2&n[7]=3&n[0][b]=4&n[=5&n[[]]=6&n[-1]=7",
                &["1", "(an object)", "3", "(an object)", "5", "(an object)", "(an object)"],
            ),
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
            prop_assert_eq!(values(query.as_bytes(), &name), Some(alloc::vec![value]));
        }
    }
}
