//! The proof that a token was admitted.

use crate::assertion::For;
use crate::credential::BackendCredential;
use crate::{Owner, TokenRecord};

/// The proof that a token was admitted. Only [`decide`](super::decide) makes one, and only a grant sets identity headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    pub(super) to: For,
    pub(super) token: TokenRecord,
    pub(super) user: Owner,
    pub(super) actor: Option<Owner>,
    pub(super) assertion: Option<For>,
    pub(super) credential: Option<BackendCredential>,
}

impl Grant {
    /// Where the request goes.
    pub fn to(&self) -> For {
        self.to
    }

    /// The token that was admitted.
    pub fn token(&self) -> &TokenRecord {
        &self.token
    }

    /// The user as whom the request runs.
    pub fn user(&self) -> &Owner {
        &self.user
    }

    /// The name of the caller, if the request runs on behalf of somebody else.
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_ref().map(|actor| actor.name.as_str())
    }

    /// For whom an assertion must be signed, if one must.
    pub fn assertion(&self) -> Option<For> {
        self.assertion
    }

    pub(crate) fn credential(&self) -> Option<&BackendCredential> {
        self.credential.as_ref()
    }
}
