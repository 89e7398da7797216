//! The plugin configuration: a pure function of its bytes.
//!
//! Pure, because Envoy tries a configuration in a throw-away VM first and then takes the filter **out of the chain** of
//! a worker in which it fails: it must fail everywhere or nowhere (principle 4). An unknown field is reported and
//! otherwise ignored, so that an older filter survives a newer configuration.

use policy::Site;
use policy::feed::NAME_LEN_MAX;
use serde_json::{Map, Value};
use std::fmt;

/// Bytes a configuration may have.
const CONFIG_LEN_MAX: usize = 64 * 1024;

/// A configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Paths and header names.
    pub site: Site,
    /// The proxy's cluster that leads to the control plane; `None`: this plugin configuration only judges, and another
    /// one of the same VM keeps the snapshot current.
    pub feed_cluster: Option<String>,
    /// How the proxy calls itself towards the control plane.
    pub proxy_name: String,
    /// Fields that nobody knows, to be reported.
    pub unknown: Vec<String>,
}

/// Why bytes are no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the plugin configuration, a JSON object; every field is optional.
    ///
    /// ```
    /// let config = filter::config::Config::parse(br#"{"context_path": "/jira", "feed_cluster":
    /// "tokengate"}"#).unwrap(); assert_eq!(config.site.protected_prefixes, ["/rest/"]);
    /// assert!(filter::config::Config::parse(br#"{"protected_prefixes": []}"#).is_err());
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > CONFIG_LEN_MAX {
            return Err(ConfigError(format!("the configuration has more than {CONFIG_LEN_MAX} bytes")));
        }
        let mut fields: Map<String, Value> = if bytes.trim_ascii().is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(bytes).map_err(|error| ConfigError(format!("no JSON object: {error}")))?
        };
        let mut site = Site::default();
        if let Some(path) = text(&mut fields, "context_path")? {
            site.context_path = path;
        }
        if let Some(prefixes) = texts(&mut fields, "protected_prefixes")? {
            site.protected_prefixes = prefixes;
        }
        if let Some(prefixes) = texts(&mut fields, "control_plane_prefixes")? {
            site.control_plane_prefixes = prefixes;
        }
        let mut unknown = Vec::new();
        if let Some(identity) = fields.remove("identity_headers") {
            let Value::Object(mut names) = identity else {
                return Err(ConfigError("identity_headers must be an object of header names".into()));
            };
            let slots = [
                ("user", &mut site.identity.user),
                ("email", &mut site.identity.email),
                ("token_id", &mut site.identity.token_id),
                ("actor", &mut site.identity.actor),
                ("assertion", &mut site.identity.assertion),
            ];
            for (field, slot) in slots {
                if let Some(name) = text(&mut names, field)? {
                    *slot = name;
                }
            }
            unknown.extend(names.keys().map(|name| format!("identity_headers.{name}")));
        }
        let feed_cluster = text(&mut fields, "feed_cluster")?;
        let proxy_name = text(&mut fields, "proxy_name")?.unwrap_or_else(|| "unnamed".into());
        if !is_proxy_name(&proxy_name) {
            return Err(ConfigError(format!("proxy_name must have at most {NAME_LEN_MAX} printable bytes")));
        }
        site.check().map_err(|error| ConfigError(error.to_string()))?;
        unknown.extend(fields.keys().cloned());
        Ok(Self { site, feed_cluster, proxy_name, unknown })
    }
}

/// Whether a proxy can be called this.
pub fn is_proxy_name(name: &str) -> bool {
    name.len() <= NAME_LEN_MAX && !name.contains(char::is_control)
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ConfigError> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ConfigError(format!("{name} must be a string"))),
    }
}

fn texts(fields: &mut Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, ConfigError> {
    let wrong = || ConfigError(format!("{name} must be a list of strings"));
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => values
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_at_all_is_the_default() {
        for bytes in [b"".as_slice(), b" \n", b"{}"] {
            let config = Config::parse(bytes).unwrap();
            assert_eq!((config.site, config.feed_cluster), (Site::default(), None));
        }
    }

    #[test]
    fn an_unknown_field_is_reported_and_harmless() {
        let config =
            Config::parse(br#"{"new_in_2030": 1, "identity_headers": {"user": "x-remote-user", "x": 1}}"#).unwrap();
        assert_eq!(config.site.identity.user, "x-remote-user");
        assert_eq!(config.unknown, ["identity_headers.x", "new_in_2030"]);
    }

    #[test]
    fn an_assertion_may_go_as_authorization() {
        let config = Config::parse(br#"{"identity_headers": {"assertion": "authorization"}}"#).unwrap();
        assert_eq!(config.site.identity.assertion, "authorization");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bytes, named) in [
            (r#"[]"#, "JSON object"),
            (r#"{"protected_prefixes": "/rest/"}"#, "protected_prefixes"),
            (r#"{"protected_prefixes": []}"#, "protected_prefixes"),
            (r#"{"context_path": 1}"#, "context_path"),
            (r#"{"identity_headers": {"user": "Authorization"}}"#, "identity_headers.user"),
            (r#"{"identity_headers": {"user": "authorization"}}"#, "identity_headers.user"),
            (r#"{"identity_headers": {"actor": "x-forwarded-user"}}"#, "identity_headers"),
            (r#"{"identity_headers": []}"#, "identity_headers"),
        ] {
            let error = Config::parse(bytes.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{bytes}: {error}");
        }
    }
}
