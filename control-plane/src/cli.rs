//! The command line: which commands there are, and what each is told.

use crate::commands::{self, CommandError};
use crate::config::{self, Config, LogFormat};
use crate::{envoy_config, serve};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// API tokens for any REST backend, checked inside the proxy: the control plane.
#[derive(Parser)]
#[command(name = "tokengate", version, max_term_width = 100, after_help = HELP)]
pub(crate) struct Cli {
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
    Serve(config::Serve),
    /// Create, show, edit and delete users; bring back a lost sysadmin.
    #[command(subcommand)]
    User(commands::User),
    /// Create, show, edit, rotate and revoke tokens.
    #[command(subcommand)]
    Token(commands::Token),
    /// Explain what becomes of a request with a token, and why: rule by rule.
    #[command(after_help = commands::EXPLAIN_HELP)]
    Explain(commands::Explain),
    /// Show and change settings, and go back to earlier ones.
    #[command(subcommand)]
    Settings(commands::Settings),
    /// Search what was changed and which calls were made, and export it.
    #[command(subcommand)]
    Audit(commands::Audit),
    /// See the proxies that decide from this control plane, and forget those that are gone.
    #[command(subcommand)]
    Proxy(commands::Proxy),
    /// Check this machine, the control plane and its proxies, and say what to do.
    #[command(after_help = commands::DOCTOR_HELP)]
    Doctor(commands::Doctor),
    /// Print Envoy configuration: a listener with the filter and its guards, and the clusters it needs.
    ///
    /// Without --bootstrap it is the `static_resources` to merge into your own Envoy's; with it, a whole file.
    #[command(after_help = envoy_config::HELP)]
    EnvoyConfig(envoy_config::Options),
    /// Print the sync key: the secret that proxies and control plane share.
    ///
    /// Put it into the environment variable TOKENGATE_SYNC_KEY of the proxy process; never into its configuration,
    /// which its admin interface shows. It is derived from the master key, which is made if it is not there.
    #[command(after_help = commands::SYNC_KEY_HELP)]
    SyncKey(commands::SyncKey),
    /// Print the secret by which a backend verifies the assertions of the proxies (HS256).
    ///
    /// With the setting `identity` at `assertion`, each admitted request carries a signed JSON Web Token; its claims
    /// are listed in envoy/identity.md. The text, as it is printed, is the secret to give to your library. Each
    /// audience has its own.
    #[command(after_help = commands::ASSERTION_KEY_HELP)]
    AssertionKey(commands::AssertionKey),
    /// Print a file of configuration for `serve` with every key, its variable and its default.
    #[command(
        after_help = "Example:\n  tokengate help-config >tokengate.toml\n  tokengate serve --config tokengate.toml"
    )]
    HelpConfig,
    /// Print a script that completes these commands in a shell.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

const HELP: &str = "\
Exit code: 0 done; 1 failed, and standard error says why; 2 the command line or
the configuration cannot be; 3 done, but a proxy has not confirmed it.

Commands that call the API take it from TOKENGATE_URL (a proxy in front of it
will do) and the token from TOKENGATE_TOKEN or the file TOKENGATE_TOKEN_FILE.
With --json they print what was answered, for programs.

First steps:
  tokengate serve --data /var/lib/tokengate &
  export TOKENGATE_TOKEN_FILE=/var/lib/tokengate/admin-token
  tokengate user create alice --email alice@example.org
  tokengate token create --owner alice --label \"my script\" --validity 90d
  tokengate doctor --data /var/lib/tokengate";

const SERVE_HELP: &str = "\
A flag goes before its variable, a variable before the file (--config), the file
before the default. `tokengate help-config` prints a file with every key. A
variable that begins with TOKENGATE_ and means nothing is refused.

Environment:
  TOKENGATE_MASTER_KEY  the master key (64 hexadecimal digits), in place of the
                        file master.key
  TOKENGATE_SYNC_KEY    the sync key, in place of the one derived from the
                        master key

Exit code: 0 if it was asked to stop, 1 if it failed, 2 if the configuration
cannot be.

Example:
  tokengate serve --data /var/lib/tokengate
  admin=\"admin:$(cat /var/lib/tokengate/admin-token)\"
  curl -u \"$admin\" http://127.0.0.1:8081/api/v1/users";

const COMPLETIONS_HELP: &str = "\
Example:
  tokengate completions bash >/etc/bash_completion.d/tokengate
  tokengate completions zsh >\"${fpath[1]}/_tokengate\"
  tokengate completions fish >~/.config/fish/completions/tokengate.fish";

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match self.command {
            Command::Serve(arguments) => {
                let variables = std::env::vars_os();
                config::refuse_unknown(
                    variables.map(|(name, value)| {
                        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
                    }),
                )?;
                serve(&arguments.resolve()?)
            }
            Command::User(command) => command.run(),
            Command::Token(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Settings(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Proxy(command) => command.run(),
            Command::Doctor(command) => command.run(),
            Command::EnvoyConfig(options) => commands::print(&envoy_config::render(&options)),
            Command::SyncKey(command) => command.run(),
            Command::AssertionKey(command) => command.run(),
            Command::HelpConfig => commands::print(&config::sample()),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "tokengate", &mut script);
                commands::print(&String::from_utf8_lossy(&script))
            }
        }
    }
}

fn serve(config: &Config) -> Result<ExitCode, CommandError> {
    start_log(config.log_format);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(serve::ServeError::Server)?;
    runtime.block_on(serve::serve(config))?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,sea_orm=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_arguments_of_a_command_are_in_each_others_way() {
        Cli::command().debug_assert();
    }
}
