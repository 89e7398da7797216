//! What the proxy's own configuration says: the facts that matter while there is no snapshot yet.

use crate::headers::IdentityHeaders;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Which paths are looked at, which go to the control plane, and what the identity headers are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the backend lives below the host, such as `/jira`; empty: at the root.
    pub context_path: String,
    /// Paths on which tokens are accepted, below the context path (U5).
    pub protected_prefixes: Vec<String>,
    /// Paths that the proxy routes to the control plane; always protected, never below the context path.
    pub control_plane_prefixes: Vec<String>,
    /// The names under which the backend is told who is calling.
    pub identity: IdentityHeaders,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            context_path: String::new(),
            protected_prefixes: ["/rest/"].map(String::from).to_vec(),
            control_plane_prefixes: ["/api/v1/", "/tokengate/"].map(String::from).to_vec(),
            identity: IdentityHeaders::default(),
        }
    }
}

/// Which part of a [`Site`] cannot be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteError {
    /// The name of the field.
    pub field: &'static str,
    /// What it must be.
    pub must: &'static str,
}

impl fmt::Display for SiteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.field, self.must)
    }
}

impl core::error::Error for SiteError {}

impl Site {
    /// Says what in it would protect less than its author thinks: a prefix that nothing matches, for one.
    pub fn check(&self) -> Result<(), SiteError> {
        if !self.context_path.is_empty() && (!is_plain_path(&self.context_path) || self.context_path.ends_with('/')) {
            let must =
                "must be empty or begin, and not end, with a slash, without `;`, `%`, `?`, `#` or doubled slashes";
            return Err(SiteError { field: "context_path", must });
        }
        let prefixes_are_plain = |prefixes: &[String]| prefixes.iter().all(|prefix| is_plain_path(prefix));
        let must = "must each begin with a slash and hold no `;`, `%`, `?`, `#` or doubled slashes";
        if self.protected_prefixes.is_empty() {
            return Err(SiteError {
                field: "protected_prefixes",
                must: "must not be empty: nothing would be protected",
            });
        }
        if !prefixes_are_plain(&self.protected_prefixes) {
            return Err(SiteError { field: "protected_prefixes", must });
        }
        if !prefixes_are_plain(&self.control_plane_prefixes) {
            return Err(SiteError { field: "control_plane_prefixes", must });
        }
        self.identity.check()
    }
}

/// Whether a path reads the same to everyone.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.starts_with('/')
        && path.is_ascii()
        && !path.contains("//")
        && !path.contains("/.")
        && !path.contains(|c: char| matches!(c, ';' | '%' | '?' | '#' | '\\') || c.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_default_is_in_order() {
        assert_eq!(Site::default().check(), Ok(()));
    }

    #[test]
    fn a_prefix_that_would_protect_nothing_is_refused() {
        let with = |prefixes: &[&str]| Site {
            protected_prefixes: prefixes.iter().map(|prefix| (*prefix).into()).collect(),
            ..Site::default()
        };
        for prefixes in [vec![], vec!["rest/"], vec!["/rest/%2e/"], vec!["/a//b"], vec!["/rest/", "/x/../"]] {
            assert_eq!(with(&prefixes).check().unwrap_err().field, "protected_prefixes", "{prefixes:?}");
        }
        let site = Site { context_path: "/jira/".into(), ..Site::default() };
        assert_eq!(site.check().unwrap_err().field, "context_path");
    }
}
