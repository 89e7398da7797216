//! The log lines of calls (A3). Never a secret, whole or part; what a client chose is escaped and cut.

use crate::assertion::For;
use crate::credential::Credential;
use crate::token;
use crate::{DenyReason, Request, Verdict};
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write as _};

/// Characters of a name or path that are logged (what begins like a token counts as one); the rest is cut.
const LOGGED_CHARS_MAX: usize = 300;

/// Bytes that are looked at for them: a path may have very many, and is told in more than one place.
const LOGGED_BYTES_MAX: usize = 4096;

/// The line for this verdict; `None` where nobody presented a credential that concerns us.
pub fn line(verdict: &Verdict, request: &Request) -> Option<String> {
    let path = Escaped(&request.path);
    match verdict {
        Verdict::Admit(grant) => {
            let (token, user) = (grant.token(), &grant.user().name);
            let (id, created) = (&token.id, token.created_at.as_millis());
            let (caller, context) = match grant.actor() {
                Some(caller) => (caller, format!(" (on behalf of {})", Escaped(user.as_bytes()))),
                None => (user.as_str(), String::new()),
            };
            let caller = Escaped(caller.as_bytes());
            Some(format!(
                "{caller} has been authenticated via API Token ({id}) created on {created}. REST endpoint: \
                 {path}{context}"
            ))
        }
        Verdict::NeedBody => None, // the verdict is yet to come
        Verdict::Pass(to) => match (&request.credential, to) {
            (Credential::Basic { user, .. }, For::Backend) if request.needs_snapshot() => Some(format!(
                "User {} tried to authenticate with an invalid token or a regular password. Passing the request \
                 further to the default authenticator. REST endpoint: {path}",
                Escaped(user)
            )),
            _ => None,
        },
        Verdict::Deny(reason) => {
            let user: &[u8] = match &request.credential {
                Credential::None => return None,
                // What stands in the name's place may be a token.
                Credential::Basic { .. } if *reason == DenyReason::BadCredentials => b"(unnamed)",
                Credential::Basic { user, .. } => user,
                Credential::Bearer { .. } | Credential::Foreign | Credential::Unreadable => b"(unnamed)",
            };
            Some(format!(
                "User {} tried to authenticate with an invalid token or a regular password. The request is refused: \
                 {}. REST endpoint: {path}",
                Escaped(user),
                reason.code()
            ))
        }
    }
}

/// Bytes from outside, made fit for one line of a log: control characters, quotes and backslashes escaped, bytes that
/// are no UTF-8 replaced, and whatever begins like a token left out.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = self.0.get(..LOGGED_BYTES_MAX).unwrap_or(self.0);
        let text = String::from_utf8_lossy(begin);
        let mut rest = text.as_ref();
        for _ in 0..LOGGED_CHARS_MAX {
            let Some(character) = rest.chars().next() else {
                return Ok(());
            };
            if rest.as_bytes().starts_with(token::PREFIX) {
                formatter.write_str("tgt_…")?;
                rest = rest.get(token::PREFIX.len()..).unwrap_or_default();
                rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            } else {
                write!(formatter, "{}", character.escape_debug())?;
                rest = rest.get(character.len_utf8()..).unwrap_or_default();
            }
        }
        if rest.is_empty() && begin.len() == self.0.len() { Ok(()) } else { formatter.write_char('…') }
    }
}

/// The text that [`Escaped`] wrote so; `None` where that cannot be known: some of it may have been cut or left out, or was
/// no UTF-8.
pub fn unescaped(escaped: &str) -> Option<String> {
    if escaped.contains(['…', char::REPLACEMENT_CHARACTER]) {
        return None;
    }
    let (mut text, mut rest) = (String::with_capacity(escaped.len()), escaped.chars());
    while let Some(character) = rest.next() {
        text.push(match character {
            '\\' => match rest.next()? {
                '0' => '\0',
                't' => '\t',
                'r' => '\r',
                'n' => '\n',
                'u' => {
                    let digits = rest.as_str().strip_prefix('{')?.split_once('}')?.0;
                    let _ = rest.nth(digits.len().saturating_add(1));
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                itself @ ('\\' | '\'' | '"') => itself,
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString as _;

    proptest! {
        #[test]
        fn s9_what_is_read_back_is_what_was_written(
            bytes in prop_oneof![
                any::<std::vec::Vec<u8>>(),
                "([a-z/'\"\\\\\u{301}\u{1b}…]|tgt_|\\PC){0,8}".prop_map(|text| text.into_bytes()),
                "[a-z]{298,302}".prop_map(|text| text.into_bytes()),
            ],
        ) {
            let read = unescaped(&Escaped(&bytes).to_string());
            prop_assert!(read.is_none_or(|text| text.as_bytes() == bytes));
        }

        #[test]
        fn s9_whatever_was_written_whole_is_read_back(text in "[ -~\t\n\u{1b}éß\u{301}]{0,60}") {
            prop_assume!(!text.contains("tgt_"));
            prop_assert_eq!(unescaped(&Escaped(text.as_bytes()).to_string()), Some(text));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = unescaped(&text);
        }
    }

    #[test]
    fn attack_a_name_that_writes_a_log_line_of_its_own() {
        let text = Escaped(b"bob\r\n2026 admin has been authenticated\x1b[2J \xff").to_string();
        assert_eq!(text, "bob\\r\\n2026 admin has been authenticated\\u{1b}[2J \u{fffd}");
    }

    #[test]
    fn attack_a_token_in_the_path() {
        let text = Escaped(b"/rest/tgt_abcDEF123/x/tgt_zz?").to_string();
        assert_eq!(text, "/rest/tgt_…/x/tgt_…?");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(Escaped(&[b'a'; 5000]).to_string().chars().count(), LOGGED_CHARS_MAX + 1);
        let many = b"tgt_".repeat(1000);
        assert!(Escaped(&many).to_string().chars().count() <= LOGGED_CHARS_MAX * 5 + 1);
    }
}
