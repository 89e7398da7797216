//! For tests: forms as 0.1.0 wrote them, made by its own code (commit a239766). They never change.

use alloc::vec::Vec;

/// The bytes of this form.
pub(crate) fn of_0_1_0(name: &str) -> Vec<u8> {
    let lines = include_str!("../tests/golden/0.1.0.txt").lines();
    let (_, hex) = lines.filter_map(|line| line.split_once(' ')).find(|(form, _)| *form == name).unwrap();
    let digits = hex.as_bytes().chunks(2).map(|pair| core::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
