//! How a setting is read from JSON: each by its own rule, and every error with the place where it is.

use super::shape::Shape;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// A JSON pointer (RFC 6901) to the value, such as `/ip_rules/3`.
    pub pointer: String,
    /// What the value must be.
    pub must: Cow<'static, str>,
}

impl Invalid {
    /// Something wrong with the value itself.
    pub(super) fn here(must: impl Into<Cow<'static, str>>) -> Vec<Self> {
        alloc::vec![Self { pointer: String::new(), must: must.into() }]
    }

    /// The same, seen from the value that holds it under this name.
    pub(super) fn below(mut self, name: &str) -> Self {
        self.pointer = format!("/{}{}", name.replace('~', "~0").replace('/', "~1"), self.pointer);
        self
    }
}

/// A type of setting.
pub(super) trait Field: Sized {
    /// Reads one; every error is given, not only the first.
    fn read(value: &Value) -> Result<Self, Vec<Invalid>>;

    /// What it can be.
    fn shape() -> Shape;
}

/// A type of which a setting can hold a list.
pub(super) trait Item: Field {
    /// Entries that a list may have.
    const LIST_LEN_MAX: usize;
}

impl Field for bool {
    fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
        value.as_bool().ok_or_else(|| Invalid::here("must be true or false"))
    }

    fn shape() -> Shape {
        Shape::Boolean
    }
}

impl<T: Field> Field for Option<T> {
    fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }

    fn shape() -> Shape {
        Shape::OrNull(Box::new(T::shape()))
    }
}

impl<T: Item> Field for Vec<T> {
    fn read(value: &Value) -> Result<Self, Vec<Invalid>> {
        let values = value.as_array().ok_or_else(|| Invalid::here("must be a list"))?;
        if values.len() > T::LIST_LEN_MAX {
            return Err(Invalid::here(format!("must have at most {} entries", T::LIST_LEN_MAX)));
        }
        let (mut items, mut errors) = (Self::with_capacity(values.len()), Vec::new());
        for (index, value) in values.iter().enumerate() {
            match T::read(value) {
                Ok(item) => items.push(item),
                Err(wrong) => errors.extend(wrong.into_iter().map(|error| error.below(&format!("{index}")))),
            }
        }
        if errors.is_empty() { Ok(items) } else { Err(errors) }
    }

    fn shape() -> Shape {
        Shape::List { of: Box::new(T::shape()), len_max: T::LIST_LEN_MAX }
    }
}

/// Reads a text by the rule of its type.
pub(super) fn text<T>(value: &Value) -> Result<T, Vec<Invalid>>
where
    T: for<'a> TryFrom<&'a str, Error = &'static str>,
{
    let text = value.as_str().ok_or_else(|| Invalid::here("must be a text in quotes"))?;
    T::try_from(text).map_err(Invalid::here)
}
