//! Names that some reader takes for the same (L10): of parameters in a query, and of fields in JSON.
//!
//! Backends fold the names that they get in many ways: some ignore the case, some trim, some stop at a NUL, PHP writes `_`
//! for a dot and a space and begins an array at `[`. A restriction of a name that a client may write otherwise, beside it,
//! would be none. So a name counts as the restricted one if it does to the most liberal reader.

use crate::path::push_ascii;
use alloc::string::String;
use alloc::vec::Vec;

/// A name as it looks to readers that ignore the case, trim, stop at a NUL, take letters for those of ASCII which they
/// resemble, or make one name of `project_key`, `project-key` and `projectKey`. No more than `len_max` bytes of it and one
/// character: nothing that is longer is alike to what is not.
pub(super) fn alike(name: &str, len_max: usize) -> String {
    squeezed(name, len_max, &['_', '-'])
}

/// The same without these characters, wherever they stand.
fn squeezed(name: &str, len_max: usize, without: &[char]) -> String {
    let (mut looks, mut trimmed) = (String::new(), 0);
    let shown = name.trim_start_matches(|character: char| character.is_whitespace() || is_ignored(character));
    for character in shown.chars().take_while(|character| *character != '\0') {
        if is_ignored(character) || without.contains(&character) {
            continue;
        }
        let before = looks.len();
        match character {
            ascii if ascii.is_ascii() => {
                looks.push(ascii.to_ascii_lowercase());
                if ascii != ' ' {
                    trimmed = looks.len();
                }
                if trimmed > len_max {
                    break;
                }
                continue;
            }
            'ß' | 'ẞ' => looks.push_str("ss"),
            other => push_ascii(other, &mut looks),
        }
        if looks.get(before..).is_some_and(|added| added.chars().all(|added| without.contains(&added))) {
            looks.truncate(before);
        } else if !looks.ends_with(char::is_whitespace) {
            trimmed = looks.len();
        }
        if trimmed > len_max {
            break;
        }
    }
    looks.truncate(trimmed);
    looks
}

/// What no reader shows, and some leave out.
fn is_ignored(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The name of a parameter in a query, as names within names: `filter[status]` is a `status` in a `filter`. An index, or
/// nothing, in brackets is none. PHP and those who read queries like it make one name of `date.from`, `date from`, `date[from`
/// and `date_from`; some take `[name]` for the name, or put quotes into brackets; what stands between brackets and behind
/// them is left out.
pub(super) fn path_in_query(name: &str) -> Vec<String> {
    const WITHOUT: [char; 8] = ['_', '-', '.', ' ', '+', '\'', '"', '`'];
    let looks = |part: &str| squeezed(part, usize::MAX, &WITHOUT);
    let name = name.trim_start_matches(|character: char| character == '[' || character.is_whitespace());
    let (base, mut rest) = name.split_at(name.find(['[', ']']).unwrap_or(name.len()));
    let mut path = alloc::vec![looks(base)];
    while let Some((_, behind)) = rest.split_once('[') {
        let (key, after) = behind.split_once(']').unwrap_or((behind, ""));
        if !key.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push(looks(key));
        }
        rest = after;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn l10_names_that_some_reader_takes_for_the_same() {
        for twin in [
            "permissions",
            "Permissions",
            "PERMISSIONS",
            " permissions",
            "permissions ",
            "\tpermissions",
            "\u{a0}permissions",
            "permissions\0",
            "permissions\0x",
            "per\u{ad}missions",
            "\u{feff}permissions",
            "perm\u{131}ss\u{130}ons",
            "permi\u{17f}\u{17f}ions",
            "\u{ff50}ermissions",
            "permissions\u{3000}",
            "\0permissions",
            "\u{1} permissions",
            "\u{feff} permissions",
            "per_miss-ions",
        ] {
            assert_eq!(alike(twin, usize::MAX), "permissions", "{twin:?}");
            assert_eq!(alike(twin, "permissions".len()), "permissions", "{twin:?}");
        }
        for other in ["permission", "permissionss", "per missions", "", "x\0permissions", "per.missions"] {
            assert_ne!(alike(other, usize::MAX), "permissions", "{other:?}");
            assert_ne!(alike(other, "permissions".len()), "permissions", "{other:?}");
        }
    }

    #[test]
    fn l10_names_of_parameters_that_php_and_others_take_for_the_same() {
        let path = |name: &str| path_in_query(name).join("/");
        for (twins, looks) in [
            (
                &["date_from", "date.from", "date from", "date+from", "Date.From", "date-from", "dateFrom"][..],
                "datefrom",
            ),
            (&["date_from[]", "date_from[0]", "date.from[7]", "[date_from]", " [date.from", "date_from]x"], "datefrom"),
            (
                &["filter[status]", "[filter][status]", "filter[ Status]", "filter['status']x", "filter[][status][]"],
                "filter/status",
            ),
            (&["date[from", "date[from]"], "date/from"),
            (&["x[a][b]"], "x/a/b"),
        ] {
            for twin in twins {
                assert_eq!(path(twin), looks, "{twin:?}");
            }
        }
    }
}
