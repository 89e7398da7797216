//! Other methods than the one that was judged: headers, and parameters of the query, by which a client tells some backends
//! another one (U15).
//!
//! Frameworks that were made for browsers, which send forms by GET and POST alone, take the method from `_method` (Rails,
//! Laravel, Symfony) or from headers such as `X-HTTP-Method-Override`. A restriction to `[get]`, or the scope `read_only`,
//! would say nothing there. (A form in the body can hold `_method` as well; nothing here reads forms, and only a POST can
//! carry one to these frameworks.)

use crate::path::hex_digit;

/// Names without what stands between their letters, in small letters.
const NAMES: [&[u8]; 12] = [
    b"xhttpmethodoverride",
    b"xhttpmethod",
    b"xhttpverboverride",
    b"xhttpverb",
    b"xmethodoverride",
    b"xmethod",
    b"xverboverride",
    b"xverb",
    b"httpmethodoverride",
    b"httpverboverride",
    b"methodoverride",
    b"verboverride",
];

/// Those that count only behind a mark: `_method`, but not `method`, which APIs of their own have.
const MARKED_NAMES: [&[u8]; 4] = [b"method", b"httpmethod", b"verb", b"httpverb"];

/// Bytes of the longest of these.
const NAME_LEN_MAX: usize = 19;

/// Whether a header by this name overrides the method for some backend.
pub(crate) fn overrides_method(name: &[u8]) -> bool {
    // Every header of every request comes here. Pseudo-headers are no headers.
    let may_be = |first: &u8| b"xhmv".contains(&first.to_ascii_lowercase()) || !first.is_ascii_alphanumeric();
    !name.starts_with(b":") && name.first().is_some_and(may_be) && names_method(name.iter().copied())
}

/// The same for the name of a parameter, as it stands in the query.
pub(crate) fn parameter_overrides_method(name: &[u8]) -> bool {
    let mut rest = name.iter().copied();
    names_method(core::iter::from_fn(move || match rest.next()? {
        b'%' => {
            let mut digits = rest.clone();
            let value = digits.next().and_then(hex_digit).zip(digits.next().and_then(hex_digit));
            Some(value.map_or(b'%', |(high, low)| {
                rest = digits.clone();
                (high << 4) | low
            }))
        }
        byte => Some(byte),
    }))
}

/// Servers write names as variables, and make one character of all that is neither letter nor digit. Some read `a[b]` and
/// `a.b` as names within names.
fn names_method(name: impl Iterator<Item = u8>) -> bool {
    let (mut letters, mut length) = ([0; NAME_LEN_MAX], 0usize);
    let mut marked = false;
    let is_method = |letters: &[u8; NAME_LEN_MAX], length: usize, marked: bool| {
        let letters = letters.get(..length).unwrap_or_default();
        NAMES.contains(&letters) || (marked && MARKED_NAMES.contains(&letters))
    };
    for byte in name.take_while(|byte| *byte != 0) {
        if length > 0 && matches!(byte, b'[' | b']' | b'.') {
            if is_method(&letters, length, marked) {
                return true;
            }
            (length, marked) = (0, false);
        } else if !byte.is_ascii_alphanumeric() {
            marked |= length == 0;
        } else {
            if let Some(place) = letters.get_mut(length) {
                *place = byte.to_ascii_lowercase();
            }
            length = length.saturating_add(1);
        }
    }
    is_method(&letters, length, marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_otherwise_is_none_of_them() {
        assert!(NAMES.iter().chain(&MARKED_NAMES).all(|name| b"xhmv".contains(&name[0])));
    }

    #[test]
    fn attack_u15_headers_by_which_some_backends_take_another_method() {
        for name in [
            "x-http-method-override",
            "X-HTTP-Method-Override",
            "x_http_method",
            "x-http-verb-override",
            "x-method",
            "x-method-override",
            "http-method-override",
            "-method",
        ] {
            assert!(overrides_method(name.as_bytes()), "{name}");
        }
        for name in
            [":method", "method", "x-methods", "x-request-method", "access-control-request-method", "content-type", ""]
        {
            assert!(!overrides_method(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn attack_u15_parameters_by_which_some_backends_take_another_method() {
        for name in [
            "_method",
            "_METHOD",
            "%5Fmethod",
            "%5fMe%74hod",
            "_method[]",
            "_method%5B%5D",
            "_method%00x",
            "__method",
            ".method",
            "+method",
            "$httpMethod",
            "x-http-method-override",
            "X_HTTP_Method",
            "_method%",
            "_method[0]",
            "_method.x",
            "form[_method]",
            "_http_method",
        ] {
            assert!(parameter_overrides_method(name.as_bytes()), "{name}");
        }
        for name in [
            "method",
            "methods",
            "_methods",
            "m",
            "payment_method",
            "",
            "%",
            "%zzmethod1",
            "httpMethod",
            "x.method",
            "filter[method]",
        ] {
            assert!(!parameter_overrides_method(name.as_bytes()), "{name}");
        }
    }
}
