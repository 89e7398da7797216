//! The environment variables of the product, so that one which nobody reads is noticed.

use super::{ConfigError, KEYS};

/// Variables that have no key, each with what it is for: secrets do not belong into the file.
pub(super) const ALONE: &[(&str, &str)] = &[
    ("TOKENGATE_CONFIG", "The file of configuration."),
    ("TOKENGATE_MASTER_KEY", "The master key (64 hexadecimal digits), in place of the file master.key."),
    ("TOKENGATE_SYNC_KEY", "The sync key, in place of the one that is derived from the master key."),
];

/// Variables of the commands, of the proxies, and of the containers: one environment may serve them all.
const OF_OTHERS: &[&str] = &[
    "TOKENGATE_URL",
    "TOKENGATE_TOKEN",
    "TOKENGATE_TOKEN_FILE",
    "TOKENGATE_USER",
    "TOKENGATE_CA",
    "TOKENGATE_PROXY_NAME",
    "TOKENGATE_ENTRANCE_ADDRESS",
    "TOKENGATE_ENTRANCE_PORT",
    "TOKENGATE_BACKEND_ADDRESS",
    "TOKENGATE_BACKEND_PORT",
    "TOKENGATE_BACKEND_LISTEN",
    "TOKENGATE_CONTEXT_PATH",
    "TOKENGATE_CONTROL_ADDRESS",
    "TOKENGATE_CONTROL_PORT",
    "TOKENGATE_CONTROL_CA",
    "TOKENGATE_ENVOY_ADMIN_PORT",
    "TOKENGATE_ENVOY_CONFIG",
    "TOKENGATE_FILTER",
];

const PREFIX: &str = "TOKENGATE_";

/// Refuses variables that begin with our name and are read by nobody.
pub(crate) fn refuse_unknown(variables: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
    let mut unknown: Vec<String> = variables
        .filter(|(name, value)| name.starts_with(PREFIX) && !is_known(name) && !is_of_kubernetes(name, value))
        .map(|(name, _)| match meant(&name) {
            Some(meant) => format!("{name} (did you mean {meant}?)"),
            None => name,
        })
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort();
    let names = unknown.join(", ");
    Err(ConfigError::Variables(format!("nobody reads this in the environment: {names}; see `tokengate help-config`")))
}

/// Whether somebody reads it.
pub(super) fn is_known(name: &str) -> bool {
    all().any(|known| known == name) || (cfg!(debug_assertions) && name == "TOKENGATE_FAULT")
}

fn all() -> impl Iterator<Item = &'static str> {
    let keys = KEYS.iter().map(|key| key.variable);
    keys.chain(ALONE.iter().map(|(name, _)| *name)).chain(OF_OTHERS.iter().copied())
}

/// Whether Kubernetes has put it there, for a service whose name is ours or begins with it: an address, which nobody types.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let of_a_port = |name: &str| {
        let protocols = ["_TCP", "_UDP", "_SCTP"].iter();
        protocols.flat_map(|protocol| name.find(protocol)).any(|at| name[..at].ends_with(|c: char| c.is_ascii_digit()))
    };
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_address)
        || (name.contains("_PORT_") && of_a_port(name))
}

/// The variable that differs only in underscores, or by one letter.
fn meant(name: &str) -> Option<&'static str> {
    let bare = |name: &str| name.replace('_', "");
    all().find(|known| bare(known) == bare(name)).or_else(|| all().find(|known| differ_by_one(known, name)))
}

fn differ_by_one(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.bytes().zip(long.bytes()).take_while(|(a, b)| a == b).count();
    let (short, long) = (&short.as_bytes()[same..], &long.as_bytes()[same..]);
    match long.len() - short.len() {
        0 => short.get(1..) == long.get(1..),
        1 => long.get(1..) == Some(short),
        _ => false,
    }
}
