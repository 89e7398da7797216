//! JSON of which there are no two opinions: parsers differ on what counts if a field comes twice, and on what a body is
//! that calls itself by another type. Whoever looked at it before us, a proxy or a filter, must have read the same.

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// Whether a body is meant to be JSON as it stands, by its own account: in UTF-8, which JSON is by RFC 8259, and not
/// compressed.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| media_type == "application/json")
}

/// The type of a body, in lower case, if it says one, and is in UTF-8 and not compressed by its own account.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(content_type)), None) = (types.next().map(HeaderValue::to_str), types.next()) else {
        return None;
    };
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let of_another_charset =
        parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset") && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    let as_it_stands =
        !of_another_charset && headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding == "identity");
    as_it_stands.then(|| media_type.trim().to_ascii_lowercase())
}

/// Reads it.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let Unambiguous = serde_json::from_slice(bytes)?;
    serde_json::from_slice(bytes)
}

/// JSON that every reader understands alike, and every database can store: no object with two fields of one name, no
/// NUL. It says where, and never what: that may be a secret in the wrong place.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') { Err(E::custom("a text must not hold the character NUL")) } else { Ok(self) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a field stands there twice"));
            }
            fields.next_value::<Self>()?;
        }
        Ok(self)
    }
}
