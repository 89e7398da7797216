//! What the proxies protect, as whoever asks about them says it: to explain a request, or to try a change.

use super::error::ApiError;
use policy::Site;
use serde::Deserialize;
use utoipa::ToSchema;

/// What the proxies protect, as their own configuration says: it is not known here. What is left out is as it is by
/// default.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteBody {
    /// Where the backend lives below the host.
    #[schema(nullable = false, max_length = 255, example = "/jira")]
    context_path: Option<String>,
    /// Paths on which tokens are accepted, below it.
    #[schema(nullable = false, min_items = 1, max_items = 20, example = json!(["/rest/"]))]
    protected_prefixes: Option<Vec<String>>,
    /// Paths that go to the control plane.
    #[schema(nullable = false, max_items = 20, example = json!(["/api/v1/", "/tokengate/"]))]
    control_plane_prefixes: Option<Vec<String>>,
}

impl SiteBody {
    pub(super) fn read(self) -> Result<Site, ApiError> {
        let Self { context_path, protected_prefixes, control_plane_prefixes } = self;
        let default = Site::default();
        let site = Site {
            context_path: context_path.unwrap_or(default.context_path),
            protected_prefixes: protected_prefixes.unwrap_or(default.protected_prefixes),
            control_plane_prefixes: control_plane_prefixes.unwrap_or(default.control_plane_prefixes),
            identity: default.identity,
        };
        let texts = || site.protected_prefixes.iter().chain(&site.control_plane_prefixes).chain([&site.context_path]);
        let most = site.protected_prefixes.len().max(site.control_plane_prefixes.len());
        if most > PREFIXES_MAX || texts().any(|text| text.len() > PREFIX_LEN_MAX) {
            return Err(ApiError::BadRequest(format!(
                "site must have lists of at most {PREFIXES_MAX} prefixes, each of at most {PREFIX_LEN_MAX} bytes."
            )));
        }
        site.check().map_err(|error| ApiError::BadRequest(format!("site.{error}.")))?;
        Ok(site)
    }
}

/// Prefixes of a list: each path is held against each.
const PREFIXES_MAX: usize = 20;

/// Bytes of a prefix: longer ones could not be told apart in a record, which holds 300 characters of a path.
const PREFIX_LEN_MAX: usize = 255;
