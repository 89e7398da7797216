//! Where each key comes from, what is refused, and that the documents say what the table says.

use super::*;
use clap::{CommandFactory as _, Parser};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: Serve,
}

fn resolved(arguments: &[&str]) -> Result<Config, ConfigError> {
    Line::parse_from([&["x"], arguments].concat()).serve.resolve()
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokengate.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

#[test]
fn without_anything_the_defaults_hold() {
    toml::from_str::<File>(&defaults_text()).unwrap();
    let config = resolved(&[]).unwrap();
    assert_eq!(
        config,
        Config {
            data: "data".into(),
            listen: "127.0.0.1:8081".parse().unwrap(),
            tls: None,
            secure_mode: true,
            trusted_proxies: Vec::new(),
            log_format: LogFormat::Text,
        }
    );
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let text =
        "listen = '127.0.0.1:1'\nsecure_mode = false\ntrusted_proxies = ['10.0.0.0/8', '::1']\nlog_format = 'json'\n";
    let (_directory, path) = file(text);
    let config = resolved(&["--config", &path, "--listen", "127.0.0.1:2"]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:2".parse().unwrap());
    assert!(!config.secure_mode && config.log_format == LogFormat::Json);
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.data, PathBuf::from("data"));
    let config = resolved(&["--config", &path, "--trusted-proxies", "127.0.0.1,192.0.2.0/24,::1"]).unwrap();
    assert_eq!(config.trusted_proxies.len(), 3, "a list is replaced whole");
}

#[test]
fn certificate_and_key_may_come_from_different_places_but_not_alone() {
    let (_directory, path) = file("tls_cert = '/cert.pem'\n");
    let config = resolved(&["--config", &path, "--tls-key", "/key.pem"]).unwrap();
    assert_eq!(config.tls, Some(("/cert.pem".into(), "/key.pem".into())));
    assert!(matches!(resolved(&["--config", &path]), Err(ConfigError::Half("tls_cert", "tls_key"))));
    assert!(matches!(resolved(&["--tls-key", "/key.pem"]), Err(ConfigError::Half("tls_key", "tls_cert"))));
}

#[test]
fn attack_an_unknown_key_is_refused_by_name_with_its_place() {
    for (text, expected) in [
        ("listen = '127.0.0.1:1'\nsecuremode = false\n", ["securemode", "line 2, column 1"]),
        ("secure_mode = 'off'\n", ["expected a boolean", "line 1, column 15"]),
        ("trusted_proxies = ['10.0.0.0/99']\n", ["line 1, column", "10.0.0.0/99"]),
        ("[serve]\n", ["serve", "line 1"]),
    ] {
        let (_directory, path) = file(text);
        let error = resolved(&["--config", &path]).unwrap_err().to_string();
        for expected in expected.into_iter().chain([path.as_str()]) {
            assert!(error.contains(expected), "{expected} is missing in: {error}");
        }
    }
    let error = resolved(&["--config", "/nowhere.toml"]).unwrap_err().to_string();
    assert!(error.contains("/nowhere.toml"), "{error}");
}

#[test]
fn attack_a_mistyped_variable_is_refused_by_name() {
    let refused = |name: &str, value: &str| {
        refuse_unknown([(name.to_owned(), value.to_owned())].into_iter()).err().map(|error| error.to_string())
    };
    for (name, value, meant) in [
        ("TOKENGATE_SECUREMODE", "false", Some("TOKENGATE_SECURE_MODE")),
        ("TOKENGATE_LISTENS", "x", Some("TOKENGATE_LISTEN")),
        ("TOKENGATE_TRUSTED_PROXY", "x", None),
        ("TOKENGATE_PORT", "8081", None),
        ("TOKENGATE_LISTEN_PORT", "8081", None),
        ("TOKENGATE_", "", None),
    ] {
        let error = refused(name, value).unwrap_or_else(|| panic!("{name} is not refused"));
        assert!(error.contains(name), "{error}");
        assert!(meant.is_none_or(|meant| error.contains(&format!("did you mean {meant}?"))), "{error}");
        assert!(value.len() < 3 || !error.contains(value), "values are nobody's business: {error}");
    }
    for (name, value) in [
        ("TOKENGATE_SERVICE_HOST", "10.0.0.1"),
        ("TOKENGATE_SERVICE_PORT", "8081"),
        ("TOKENGATE_SERVICE_PORT_HTTP", "8081"),
        ("TOKENGATE_PORT", "tcp://10.0.0.1:8081"),
        ("TOKENGATE_PORT_8081_TCP", "tcp://10.0.0.1:8081"),
        ("TOKENGATE_PORT_8081_TCP_ADDR", "10.0.0.1"),
        ("TOKENGATE_PORT_8081_TCP_PROTO", "tcp"),
        ("TOKENGATE_ENVOY_SERVICE_HOST", "10.0.0.1"),
        ("TOKENGATE_ENVOY_PORT_9901_TCP", "tcp://10.0.0.1:9901"),
        ("TOKENGATE_SYNC_KEY", "x"),
        ("HOME", "/root"),
    ] {
        assert_eq!(refused(name, value), None, "{name}");
    }
}

#[test]
fn every_variable_that_a_command_reads_is_known() {
    fn look(command: &clap::Command) {
        for variable in command.get_arguments().filter_map(clap::Arg::get_env) {
            assert!(variables::is_known(&variable.to_string_lossy()), "{}", variable.display());
        }
        command.get_subcommands().for_each(look);
    }
    look(&crate::cli::Cli::command());
}

#[test]
fn the_file_that_help_config_prints_is_one() {
    let sample = sample();
    let keys: String = sample
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|l| format!("{}\n", l.trim_start_matches('#')))
        .collect();
    let file: File = toml::from_str(&keys).unwrap();
    assert!(file.tls_cert.is_some() && file.data.is_some() && file.trusted_proxies.is_some());
    assert!(sample.lines().all(|line| line.len() <= 80), "{sample}");
    let (_directory, path) = super::tests::file(&sample);
    assert_eq!(resolved(&["--config", &path]).unwrap(), resolved(&[]).unwrap(), "as it stands, it changes nothing");
    for Key { name, example, .. } in KEYS {
        toml::from_str::<File>(&format!("{name} = {example}")).unwrap();
    }
}

#[test]
fn the_table_in_the_manual_has_every_key() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/administration.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for Key { name, variable, default, what, .. } in KEYS {
        let default = if default.is_empty() { "–".into() } else { format!("`{default}`") };
        let row = format!("| `{name}` | `{variable}` | {default} | {} |", what.trim());
        assert!(manual.lines().any(|line| line == row), "administration.md lacks this row:\n{row}");
    }
    for (variable, what) in variables::ALONE {
        let row = format!("| – | `{variable}` | – | {what} |");
        assert!(manual.lines().any(|line| line == row), "administration.md lacks this row:\n{row}");
    }
}
