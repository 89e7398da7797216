//! Tokengate's control plane: owns users, tokens and their audit, and tells every proxy what it must know to decide.
//!
//! ```text
//! REST ─▶ Caller ─▶ permission ─▶ Change (row + audit + revision, one transaction) ─▶ Image ─▶ feed ─▶ proxies
//! ```

mod api;
mod change;
mod clock;
mod commands;
mod envoy_config;
mod fault;
mod feed;
mod image;
mod keys;
mod permission;
mod proxies;
mod prune;
mod serve;
mod server;
mod store;
mod tls;
mod usage;

use clap::{Parser, Subcommand, ValueEnum};
pub(crate) use serve::App;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// API tokens for any REST backend, checked inside the proxy: the control plane.
#[derive(Parser)]
#[command(name = "tokengate", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane: REST API, database, and the feed to the proxies.
    ///
    /// On the first start it makes the database, a master key, the sysadmin `admin`, and a token for it, which is in
    /// `admin-token` in the data directory. Stop it with Ctrl-C or SIGTERM.
    #[command(after_help = SERVE_HELP)]
    Serve {
        #[command(flatten)]
        data: Data,
        /// Address and port to listen on.
        #[arg(long, env = "TOKENGATE_LISTEN", default_value = "127.0.0.1:8081")]
        listen: SocketAddr,
        /// Certificate (PEM, followed by those that lead to a root): with it, TLS is spoken, and nothing else. A new one
        /// needs a restart, which no request to the backend notices.
        #[arg(long, env = "TOKENGATE_TLS_CERT", requires = "tls_key", value_name = "FILE")]
        tls_cert: Option<PathBuf>,
        /// Its private key (PEM).
        #[arg(long, env = "TOKENGATE_TLS_KEY", requires = "tls_cert", value_name = "FILE")]
        tls_key: Option<PathBuf>,
        /// Whether tokens stay as they were made, and are shown once. `false` (standard mode) lets their label, end, scope,
        /// addresses and restrictions be edited, and keeps a sealed copy of each new one, which its owner can have shown
        /// again; a start in secure mode wipes these copies.
        #[arg(long, env = "TOKENGATE_SECURE_MODE", default_value_t = true, action = clap::ArgAction::Set)]
        secure_mode: bool,
        /// Addresses of proxies, as in `ip_rules`, whose `X-Forwarded-For` says who the client is: for address rules, and
        /// to tell those apart who try passwords.
        #[arg(long, env = "TOKENGATE_TRUSTED_PROXIES", value_name = "RULE", value_delimiter = ',')]
        trusted_proxies: Vec<policy::IpRule>,
        /// Form of the log lines on standard error; RUST_LOG chooses which (default: info).
        #[arg(long, env = "TOKENGATE_LOG_FORMAT", default_value = "text")]
        log_format: LogFormat,
    },
    /// Revoke tokens, through the API.
    #[command(subcommand)]
    Token(commands::Token),
    /// See the proxies that decide from this control plane, through the API.
    #[command(subcommand)]
    Proxy(commands::Proxy),
    /// Print the sync key: the secret that proxies and control plane share.
    ///
    /// Put it into the environment variable TOKENGATE_SYNC_KEY of the proxy process; never into its configuration,
    /// which its admin interface shows. It is derived from the master key, which is made if it is not there.
    #[command(after_help = SYNC_KEY_HELP)]
    SyncKey {
        #[command(flatten)]
        data: Data,
    },
    /// Print the secret by which a backend verifies the assertions of the proxies (HS256).
    ///
    /// With the setting `identity` at `assertion`, each admitted request carries a signed JSON Web Token; its claims
    /// are listed in envoy/identity.md. The text, as it is printed, is the secret to give to your library. Each audience has its own.
    #[command(after_help = ASSERTION_KEY_HELP)]
    AssertionKey {
        #[command(flatten)]
        data: Data,
        /// For whom the assertions are: the setting `assertion_audience`.
        #[arg(long, default_value = "backend")]
        audience: Audience,
    },
    /// Print Envoy configuration: a listener with the filter and its guards, and the clusters it needs.
    ///
    /// Without --bootstrap it is the `static_resources` to merge into your own Envoy's; with it, a whole file.
    #[command(after_help = envoy_config::HELP)]
    EnvoyConfig(envoy_config::Options),
}

const SERVE_HELP: &str = "\
Environment:
  TOKENGATE_MASTER_KEY  the master key (64 hexadecimal digits), in place of the
                        file master.key
  TOKENGATE_SYNC_KEY    the sync key, in place of the one derived from the
                        master key

Example:
  tokengate serve --data /var/lib/tokengate
  admin=\"admin:$(cat /var/lib/tokengate/admin-token)\"
  curl -u \"$admin\" http://127.0.0.1:8081/api/v1/users";

const SYNC_KEY_HELP: &str = "\
Environment:
  TOKENGATE_MASTER_KEY  the master key, in place of the file master.key
  TOKENGATE_SYNC_KEY    if set, this is what is printed

Example:
  export TOKENGATE_SYNC_KEY=\"$(tokengate sync-key --data /var/lib/tokengate)\"
  envoy -c envoy.yaml";

const ASSERTION_KEY_HELP: &str = "\
Example, in Python with PyJWT:
  secret = subprocess.check_output([\"tokengate\", \"assertion-key\"]).strip()
  jwt.decode(request.headers[\"X-Tokengate-Assertion\"], secret,
             algorithms=[\"HS256\"], audience=\"backend\", issuer=\"tokengate\")";

/// An audience on the command line.
#[derive(Clone)]
struct Audience(policy::settings::Audience);

impl std::str::FromStr for Audience {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.try_into().map(Self)
    }
}

#[derive(clap::Args)]
struct Data {
    /// Directory of the database, the master key and the first sysadmin's token.
    #[arg(long, env = "TOKENGATE_DATA", default_value = "data")]
    data: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve { data: Data { data }, listen, tls_cert, tls_key, secure_mode, trusted_proxies, log_format } => {
            start_log(log_format);
            let tls = tls_cert.as_deref().zip(tls_key.as_deref());
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(serve::ServeError::Server)
                .and_then(|runtime| {
                    let trusted_proxies = server::TrustedProxies(trusted_proxies);
                    runtime.block_on(serve::serve(&data, listen, tls, secure_mode, trusted_proxies))
                })
        }
        Command::Token(command) => return commands::exit(command.run()),
        Command::Proxy(command) => return commands::exit(command.run()),
        Command::SyncKey { data: Data { data } } => serve::open_data(&data).and_then(|master| {
            master.sync_key()?; // says what is wrong with one from the environment
            println!("{}", *master.sync_key_text());
            Ok(())
        }),
        Command::AssertionKey { data: Data { data }, audience: Audience(audience) } => {
            serve::open_data(&data).map(|master| println!("{}", *master.assertion_secret(audience.as_str())))
        }
        Command::EnvoyConfig(options) => {
            print!("{}", envoy_config::render(&options));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokengate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,sea_orm=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
