//! Names that some reader takes for the same (L10): of parameters in a query, and of fields in JSON.
//!
//! Backends fold the names that they get in many ways: some ignore the case, some trim, some stop at a NUL, PHP writes `_`
//! for a dot and a space and begins an array at `[`. A restriction of a name that a client may write otherwise, beside it,
//! would be none. So a name counts as the restricted one if it does to the most liberal reader.

use crate::path::push_ascii;
use alloc::string::String;

/// A name as it looks to readers that ignore the case, trim, stop at a NUL, or take letters for those of ASCII which they
/// resemble. No more than `len_max` bytes of it and one character: nothing that is longer is alike to what is not.
pub(super) fn alike(name: &str, len_max: usize) -> String {
    let (mut looks, mut trimmed) = (String::new(), 0);
    for character in name.trim_start().chars().take_while(|character| *character != '\0') {
        if is_ignored(character) {
            continue;
        }
        push_ascii(character, &mut looks);
        if !looks.ends_with(char::is_whitespace) {
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

/// The same for the name of a parameter in a query, in each way in which PHP and those who read queries like it take it:
/// dots and spaces, and a bracket that nothing closes, are an underscore, and another bracket ends the name.
pub(super) fn alike_in_query(name: &str) -> [String; 2] {
    let underscored = |name: &str| {
        alike(name, usize::MAX)
            .chars()
            .map(|character| match character {
                '.' | ' ' | '+' | '[' => '_',
                other => other,
            })
            .collect()
    };
    // Some take `[name]` for the name.
    let begin = name.trim_start_matches(|character: char| character == '[' || character.is_whitespace());
    let end = begin.find(['[', ']']).unwrap_or(begin.len());
    [underscored(begin.get(..end).unwrap_or(begin)), underscored(name)]
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
        ] {
            assert_eq!(alike(twin, usize::MAX), "permissions", "{twin:?}");
            assert_eq!(alike(twin, "permissions".len()), "permissions", "{twin:?}");
        }
        for other in ["permission", "permissionss", "per missions", "", "x\0permissions"] {
            assert_ne!(alike(other, usize::MAX), "permissions", "{other:?}");
            assert_ne!(alike(other, "permissions".len()), "permissions", "{other:?}");
        }
    }

    #[test]
    fn l10_names_of_parameters_that_php_and_others_take_for_the_same() {
        for twin in [
            "date_from",
            "date.from",
            "date from",
            "date+from",
            "date[from",
            "Date.From",
            "date_from[]",
            "date_from[0][x]",
            "date.from[",
            "[date_from]",
            "[date.from",
            " [date_from",
            "date_from]x",
        ] {
            assert!(alike_in_query(twin).iter().any(|looks| looks == "date_from"), "{twin:?}");
        }
        for other in ["datefrom", "x[date_from]", "date__from", "date-from"] {
            assert!(alike_in_query(other).iter().all(|looks| looks != "date_from"), "{other:?}");
        }
    }
}
