//! `tokengate envoy-config`: the project's own `envoy/envoy.yaml`, with this site's values in the lines that name a
//! variable.
//!
//! The file is valid as it stands, with the local stack's values; every value that can differ stands on a line which
//! ends with a comment of its variable's name, and that is all the rendering knows.

use clap::Args;

const TEMPLATE: &str = include_str!("../../envoy/envoy.yaml");

/// Where the part that goes into somebody's own Envoy begins.
const STATIC_RESOURCES: &str = "static_resources:";

pub(crate) const HELP: &str = "\
The sync key is not part of the configuration: Envoy passes the filter the
variable TOKENGATE_SYNC_KEY of its own process. `tokengate sync-key` prints it.

Example:
  tokengate envoy-config --bootstrap \\
      --backend-address jira.internal --backend-port 8080 >envoy.yaml
  export TOKENGATE_SYNC_KEY=\"$(tokengate sync-key --data /var/lib/tokengate)\"
  envoy -c envoy.yaml";

/// What somebody must know who takes the listener and the clusters into a file of their own.
const FOR_AN_OWN_ENVOY: &str = "\
# For your own Envoy: merge this into the `static_resources` of its configuration. Take the listener whole: its
# early_header_mutation and the filter tokengate-guard are what keeps requests out when the filter fails.
#
# The sync key, which the filter shares with the control plane, is not here: set TOKENGATE_SYNC_KEY in the environment of
# the Envoy process, to what `tokengate sync-key` prints where the control plane runs.
#
# A limit on connections belongs into the `overload_manager`, and the labels of the filter's counters into `stats_config`,
# outside of this part; `--bootstrap` shows both.

";

/// What can differ from site to site.
#[derive(Args)]
pub(crate) struct Options {
    /// Print a whole bootstrap file, with the admin interface.
    #[arg(long)]
    bootstrap: bool,
    /// Address on which Envoy accepts requests.
    #[arg(long, env = "TOKENGATE_ENTRANCE_ADDRESS", default_value = "127.0.0.1")]
    entrance_address: Host,
    /// Port on which Envoy accepts requests.
    #[arg(long, env = "TOKENGATE_ENTRANCE_PORT", default_value_t = 8080)]
    entrance_port: u16,
    /// Address of the backend.
    #[arg(long, env = "TOKENGATE_BACKEND_ADDRESS", default_value = "127.0.0.1")]
    backend_address: Host,
    /// Port of the backend.
    #[arg(long, env = "TOKENGATE_BACKEND_PORT", default_value_t = 8082)]
    backend_port: u16,
    /// Where the backend lives below the host, such as /jira; not given: at the root.
    #[arg(long, env = "TOKENGATE_CONTEXT_PATH", value_name = "PATH")]
    context_path: Option<ContextPath>,
    /// Address of the control plane.
    #[arg(long, env = "TOKENGATE_CONTROL_ADDRESS", default_value = "127.0.0.1")]
    control_address: Host,
    /// Port of the control plane.
    #[arg(long, env = "TOKENGATE_CONTROL_PORT", default_value_t = 8081)]
    control_port: u16,
    /// File (PEM) of the root that vouches for the control plane's certificate, where Envoy finds it: with it, Envoy
    /// speaks TLS to the control plane, and to nobody else who takes its place.
    #[arg(long, env = "TOKENGATE_CONTROL_CA", value_name = "FILE")]
    control_ca: Option<FilePath>,
    /// Port of Envoy's admin interface, on 127.0.0.1.
    #[arg(long, env = "TOKENGATE_ENVOY_ADMIN_PORT", default_value_t = 9901)]
    envoy_admin_port: u16,
    /// File of the filter.
    #[arg(long, env = "TOKENGATE_FILTER", default_value = "/etc/envoy/tokengate.wasm")]
    filter: FilePath,
}

/// A host name or address: nothing that would mean something to YAML.
#[derive(Clone)]
struct Host(String);

/// A file's path: likewise.
#[derive(Clone)]
struct FilePath(String);

/// A path with a slash at its beginning and none at its end: nothing that would mean something to YAML, JSON or a reader
/// of paths.
#[derive(Clone)]
struct ContextPath(String);

impl std::str::FromStr for ContextPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~');
        let segments = text.strip_prefix('/').unwrap_or_default().split('/');
        if text.len() <= 200 && text.chars().all(allowed) && segments.into_iter().all(|segment| !segment.is_empty()) {
            Ok(Self(text.into()))
        } else {
            Err(
                "must begin, and not end, with a slash, and hold letters, digits, hyphens and underscores, such as /jira",
            )
        }
    }
}

impl std::str::FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name = (1..=253).contains(&text.len()) && text.chars().all(allowed);
        if name || text.parse::<std::net::Ipv6Addr>().is_ok() {
            Ok(Self(text.into()))
        } else {
            Err("must be a host name or an address; the port has an option of its own")
        }
    }
}

impl std::str::FromStr for FilePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = !text.is_empty() && !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
        if whole {
            Ok(Self(text.into()))
        } else {
            Err("must not be empty or hold quotes, backslashes or control characters")
        }
    }
}

/// The configuration with these values.
pub(crate) fn render(options: &Options) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    let values = [
        ("TOKENGATE_ENTRANCE_ADDRESS", quoted(&options.entrance_address.0)),
        ("TOKENGATE_ENTRANCE_PORT", options.entrance_port.to_string()),
        ("TOKENGATE_BACKEND_ADDRESS", quoted(&options.backend_address.0)),
        ("TOKENGATE_BACKEND_PORT", options.backend_port.to_string()),
        ("TOKENGATE_CONTROL_ADDRESS", quoted(&options.control_address.0)),
        ("TOKENGATE_CONTROL_PORT", options.control_port.to_string()),
        ("TOKENGATE_ENVOY_ADMIN_PORT", options.envoy_admin_port.to_string()),
        ("TOKENGATE_FILTER", quoted(&options.filter.0)),
    ];
    let (from, mut text) = match TEMPLATE.find(STATIC_RESOURCES) {
        Some(from) if !options.bootstrap => (from, FOR_AN_OWN_ENVOY.to_owned()),
        _ => (0, String::new()),
    };
    for line in TEMPLATE[from..].lines() {
        if let (true, Some(ca)) = (line.ends_with(TLS_BELONGS_HERE), &options.control_ca) {
            text += &tls(&options.control_address, ca);
            continue;
        }
        if let Some(ContextPath(path)) = &options.context_path {
            if line.ends_with(CONTEXT_PATH_BELONGS_HERE) {
                text += &without_context_path(path);
                continue;
            }
            if line.trim_start().starts_with(NO_CONTEXT_PATH) {
                text += &format!("{}\n", line.replace(NO_CONTEXT_PATH, &format!("\"context_path\": \"{path}\",")));
                continue;
            }
        }
        let value = values.iter().find(|(variable, _)| line.ends_with(&format!(" # {variable}")));
        match (value, line.split_once(": ")) {
            (Some((variable, value)), Some((key, _))) => text += &format!("{key}: {value} # {variable}\n"),
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

/// How the lines end in whose place TLS towards the control plane is put.
const TLS_BELONGS_HERE: &str = "(tokengate envoy-config --control-ca)";

/// How the line ends in whose place a context path is taken off.
const CONTEXT_PATH_BELONGS_HERE: &str = "(tokengate envoy-config --context-path)";

/// What the filter's configuration says where there is no context path.
const NO_CONTEXT_PATH: &str = "\"context_path\": \"\",";

/// A route to the control plane's facades, which are below the context path (scripts begin with the backend's base URL).
fn without_context_path(path: &str) -> String {
    format!(
        "              - match: {{ prefix: {path}/, headers: [{{ name: x-tokengate-judged, string_match: {{ exact: control-plane }} }}] }}
                route: {{ cluster: tokengate, prefix_rewrite: /, timeout: 60s, idle_timeout: 15s }}
"
    )
}

/// A transport socket that speaks TLS with this host alone.
fn tls(host: &Host, ca: &FilePath) -> String {
    let (host, ca) = (&host.0, &ca.0);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let (kind, sni) =
        if is_address { ("IP_ADDRESS", String::new()) } else { ("DNS", format!("        sni: \"{host}\"\n")) };
    format!(
        "    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{sni}        common_tls_context:
          validation_context:
            trusted_ca: {{ filename: \"{ca}\" }}
            match_typed_subject_alt_names:
            - {{ san_type: {kind}, matcher: {{ exact: \"{host}\" }} }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn rendered(arguments: &[&str]) -> String {
        render(&Line::parse_from([&["x"], arguments].concat()).options)
    }

    #[test]
    fn every_option_appears_in_what_is_printed() {
        let text = rendered(&[
            "--bootstrap",
            "--entrance-address=0.0.0.0",
            "--entrance-port=1",
            "--backend-address=jira",
            "--backend-port=2",
            "--control-address=tokengate",
            "--control-port=3",
            "--envoy-admin-port=4",
            "--filter=/a b.wasm",
        ]);
        for line in [
            r#"address: "0.0.0.0" #"#,
            "port_value: 1 #",
            r#"address: "jira" #"#,
            "port_value: 2 #",
            r#"address: "tokengate" #"#,
            "port_value: 3 #",
            "port_value: 4 #",
            r#"filename: "/a b.wasm" #"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn what_goes_into_an_own_envoy_is_the_static_resources_alone() {
        let text = rendered(&[]);
        assert!(text.contains("TOKENGATE_SYNC_KEY in the environment"), "it says where the sync key comes from");
        let first = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(first, Some(STATIC_RESOURCES));
        assert!(!text.contains("\nadmin:"));
    }

    #[test]
    fn tls_towards_the_control_plane_names_whom_to_trust_and_for_whom() {
        assert!(!rendered(&[]).contains("transport_socket:"));
        let text = rendered(&["--control-address=tokengate.internal", "--control-ca=/etc/ca.pem"]);
        assert_eq!(text.matches("transport_socket:").count(), 2, "both clusters");
        assert_eq!(text.matches(r#"san_type: DNS, matcher: { exact: "tokengate.internal" }"#).count(), 2);
        assert_eq!(text.matches(r#"sni: "tokengate.internal""#).count(), 2);
        let text = rendered(&["--control-address=10.0.0.7", "--control-ca=/etc/ca.pem"]);
        assert!(text.contains(r#"san_type: IP_ADDRESS, matcher: { exact: "10.0.0.7" }"#) && !text.contains("sni:"));
    }

    #[test]
    fn below_a_context_path_lie_protected_paths_and_facades() {
        assert!(!rendered(&[]).contains("prefix_rewrite"));
        let text = rendered(&["--context-path=/jira"]);
        assert!(text.contains(r#""context_path": "/jira","#), "{text}");
        assert!(text.contains("match: { prefix: /jira/, headers: ["), "{text}");
        for wrong in ["/", "jira", "/jira/", "/a//b", "/a b", "/a\"", "/.."] {
            assert!(Line::try_parse_from(["x", "--context-path", wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn long_names_and_addresses_are_hosts() {
        let long = format!("{}.elb.example.org", "x".repeat(60));
        for value in [long.as_str(), "127.0.0.1", "::1", "fe80::1", "my_backend"] {
            assert!(Line::try_parse_from(["x", "--backend-address", value]).is_ok(), "{value:?}");
        }
    }

    #[test]
    fn attack_a_value_that_is_yaml() {
        for value in ["a\nb", "a: b", "a\"b", "", "{x}", "jira.internal:8080"] {
            assert!(Line::try_parse_from(["x", "--backend-address", value]).is_err(), "{value:?}");
        }
    }
}
