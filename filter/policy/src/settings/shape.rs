//! What a setting can be, for those who describe the settings to others, such as an OpenAPI document: said by the types
//! that read them, so that no limit is written twice.

use alloc::boxed::Box;

/// A setting as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What it can be.
    pub shape: Shape,
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// True or false.
    Boolean,
    /// A whole number within these limits.
    Integer {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// One of these names.
    Choice(&'static [&'static str]),
    /// A text. Pattern (as in JSON Schema) and length are limits; there may be more.
    Text {
        /// What it looks like.
        pattern: &'static str,
        /// Characters it has at most.
        len_max: usize,
    },
    /// A list.
    List {
        /// Of what.
        of: Box<Shape>,
        /// Entries it has at most.
        len_max: usize,
    },
    /// That, or `null`.
    OrNull(Box<Shape>),
}
