//! Texts that are checked in, so that a change of them is seen in review.

use std::path::Path;

/// Asserts that this text is the one in the file, which is named from the project's root. With `UPDATE_SNAPSHOTS=1` in
/// the environment it is written there instead.
pub fn assert_snapshot(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        std::fs::write(&path, text).expect("the file can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == text {
        return;
    }
    let (mut old, mut new) = (expected.lines(), text.lines());
    let mut number = 0;
    let (old, new) = loop {
        number += 1;
        let (old, new) = (old.next(), new.next());
        if old != new || old.is_none() {
            break (old.unwrap_or("(the end)"), new.unwrap_or("(the end)"));
        }
    };
    panic!(
        "{file} is not what it was, from line {number} on.\n  checked in: {old}\n  now:        {new}\nIf it is meant to be \
         so, renew it and look at the difference:\n  UPDATE_SNAPSHOTS=1 cargo test -p tests --test end_to_end --locked snapshot_of\n  git diff {file}"
    );
}
