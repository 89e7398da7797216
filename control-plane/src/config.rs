//! The configuration of the control plane: each key from the command line, else from the environment, else from a file,
//! else as it is by default.
//!
//! The keys stand in one table, from which the flags, the file, `tokengate help-config` and the table in `administration.md` are made.
//! What nobody knows is refused by its name: a mistyped `TOKENGATE_SECUREMODE` must not leave a default in force that
//! somebody believes to have changed.

mod variables;

pub(crate) use variables::refuse_unknown;

use crate::server::TrustedProxies;
use clap::ValueEnum;
use serde::Deserialize;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One key, for whoever reads about it.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
    /// As it would stand in the file; empty: there is none.
    default: &'static str,
    example: &'static str,
    what: &'static str,
}

/// The table of keys: name, type, variable, name of the value, default and example as the file would have them.
macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $name:ident: [$($type:tt)+], $variable:literal, $value:literal, $default:literal, $example:literal $(, $extra:ident = $setting:expr)?;)+) => {
        /// All keys.
        pub(crate) const KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            variable: $variable,
            default: $default,
            example: $example,
            what: concat!($($doc),+),
        },)+];

        /// The keys as flags and variables.
        #[derive(clap::Args, Default)]
        pub(crate) struct Flags {
            $(#[arg(long, env = $variable, value_name = $value, help = help(concat!($($doc),+), $default) $(, $extra = $setting)?)]
            $name: Option<$($type)+>,)+
        }

        /// The keys as a file.
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct File {
            $($name: Option<$($type)+>,)+
        }

        impl Flags {
            /// These, and where there is nothing, those.
            fn or(self, file: File) -> Self {
                Self { $($name: self.$name.or(file.$name),)+ }
            }
        }
    };
}

keys! {
    /// Directory of the database, the master key and the first sysadmin's token.
    data: [PathBuf], "TOKENGATE_DATA", "DIR", r#""data""#, r#""/var/lib/tokengate""#;
    /// Address and port to listen on.
    listen: [SocketAddr], "TOKENGATE_LISTEN", "ADDRESS:PORT", r#""127.0.0.1:8081""#, r#""0.0.0.0:8081""#;
    /// Certificate (PEM, followed by those that lead to a root): with it, TLS is spoken, and nothing else. A new one
    /// needs a restart, which no request to the backend notices.
    tls_cert: [PathBuf], "TOKENGATE_TLS_CERT", "FILE", "", r#""/etc/tokengate/tls.pem""#;
    /// Its private key (PEM).
    tls_key: [PathBuf], "TOKENGATE_TLS_KEY", "FILE", "", r#""/etc/tokengate/tls.key""#;
    /// Whether tokens stay as they were made, and are shown once. `false` (standard mode) lets their label, end, scope,
    /// addresses and restrictions be edited, and keeps a sealed copy of each new one, which its owner can have shown
    /// again; a start in secure mode wipes these copies.
    secure_mode: [bool], "TOKENGATE_SECURE_MODE", "BOOL", "true", "false";
    /// Addresses of proxies, as in `ip_rules`, whose `X-Forwarded-For` says who the client is: for address rules, and
    /// to tell those apart who try passwords. Several are separated by commas, or are a list in the file.
    trusted_proxies: [Vec<policy::IpRule>], "TOKENGATE_TRUSTED_PROXIES", "RULE", "[]", r#"["127.0.0.1", "10.0.0.0/8"]"#, value_delimiter = ',';
    /// Form of the log lines on standard error, `text` or `json`; RUST_LOG chooses which lines (default: info).
    log_format: [LogFormat], "TOKENGATE_LOG_FORMAT", "FORMAT", r#""text""#, r#""json""#;
}

fn help(what: &str, default: &str) -> String {
    let default =
        if matches!(default, "" | "[]") { String::new() } else { format!(" [default: {}]", default.replace('"', "")) };
    format!("{}{default}", what.trim())
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Where the file is.
#[derive(clap::Args, Default)]
pub(crate) struct ConfigFile {
    /// File (TOML) of what is given neither here nor by the environment; `tokengate help-config` prints one.
    #[arg(long, env = "TOKENGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The arguments of `tokengate serve`.
#[derive(clap::Args, Default)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    file: ConfigFile,
}

/// Where the data directory is, for the commands that need no more.
#[derive(clap::Args, Default)]
pub(crate) struct Data {
    #[arg(long, env = "TOKENGATE_DATA", value_name = "DIR", help = help(KEYS[0].what, KEYS[0].default))]
    data: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
}

/// What `serve` works by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) secure_mode: bool,
    pub(crate) trusted_proxies: Vec<policy::IpRule>,
    pub(crate) log_format: LogFormat,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} has more than {FILE_LEN_MAX} bytes; it is no configuration of this program")]
    TooLong { path: PathBuf },
    #[error("{path}: {source}")]
    Toml { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{0} and {1} belong together; {1} is missing")]
    Half(&'static str, &'static str),
    #[error("{0} has no value")]
    NoValue(&'static str),
    #[error("{0}")]
    Variables(String),
}

impl Serve {
    /// Puts it together.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        let Flags { data, listen, tls_cert, tls_key, secure_mode, trusted_proxies, log_format } =
            self.flags.or(self.file.read()?).or(defaults());
        let tls = match (tls_cert, tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Half("tls_cert", "tls_key")),
            (None, Some(_)) => return Err(ConfigError::Half("tls_key", "tls_cert")),
        };
        Ok(Config {
            data: data.ok_or(ConfigError::NoValue("data"))?,
            listen: listen.ok_or(ConfigError::NoValue("listen"))?,
            tls,
            secure_mode: secure_mode.ok_or(ConfigError::NoValue("secure_mode"))?,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            log_format: log_format.ok_or(ConfigError::NoValue("log_format"))?,
        })
    }
}

impl Config {
    /// The proxies whose word about clients counts.
    pub(crate) fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies(self.trusted_proxies.clone())
    }
}

impl Data {
    /// The directory, and whether anybody named it.
    pub(crate) fn resolve(self) -> Result<(PathBuf, bool), ConfigError> {
        let named = match self.data {
            Some(data) => Some(data),
            None => self.file.read()?.data,
        };
        let is_named = named.is_some();
        Ok((named.or(defaults().data).ok_or(ConfigError::NoValue("data"))?, is_named))
    }
}

impl ConfigFile {
    fn read(&self) -> Result<File, ConfigError> {
        let Some(path) = &self.config else {
            return Ok(File::default());
        };
        let failed = |source| ConfigError::File { path: path.clone(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(FILE_LEN_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_LEN_MAX {
            return Err(ConfigError::TooLong { path: path.clone() });
        }
        toml::from_str(&text).map_err(|source| ConfigError::Toml { path: path.clone(), source: Box::new(source) })
    }
}

/// Bytes a file may have: some thousand times what is needed.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// The keys that have a default, with it. A test reads them, so this cannot fail.
fn defaults() -> File {
    toml::from_str(&defaults_text()).unwrap_or_default()
}

fn defaults_text() -> String {
    let with_default = KEYS.iter().filter(|key| !key.default.is_empty());
    with_default.map(|key| format!("{} = {}\n", key.name, key.default)).collect()
}

/// A file with every key, for `tokengate help-config`: as it stands, it changes nothing.
pub(crate) fn sample() -> String {
    let mut text = String::from(SAMPLE_HEAD);
    for Key { name, variable, default, example, what } in KEYS {
        let flag = name.replace('_', "-");
        let (state, value) = if default.is_empty() { ("none by default", example) } else { ("default", default) };
        for line in wrapped(&format!("{} Also --{flag} and {variable}; {state}:", what.trim())) {
            text += &format!("# {line}\n");
        }
        text += &format!("#{name} = {value}\n\n");
    }
    text += "# From the environment alone:\n";
    for (variable, what) in variables::ALONE {
        for (index, line) in wrapped(&format!("{variable}: {what}")).into_iter().enumerate() {
            text += &format!("# {}{line}\n", if index == 0 { "- " } else { "  " });
        }
    }
    text
}

const SAMPLE_HEAD: &str = "\
# Tokengate's control plane: tokengate serve --config FILE, or TOKENGATE_CONFIG.
#
# A flag goes before a variable, a variable before this file. Paths are relative
# to the directory in which the program is started. Unknown keys are refused.

";

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= 76 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
