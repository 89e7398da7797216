//! The parts of a running Tokengate: where their programs are, and how each is started.

use crate::process::{Process, without_our_variables};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, as `make` built or installed them.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The control plane.
    pub tokengate: PathBuf,
    /// The demo backend.
    pub backend: PathBuf,
    /// The filter.
    pub filter: PathBuf,
    /// Envoy.
    pub envoy: PathBuf,
    /// The filter, with faults that data can provoke.
    pub faulty_filter: PathBuf,
    /// Regexes in Wasm, for a test that counts instructions.
    pub probe: PathBuf,
    /// Python with the packages of `clients.txt`.
    pub python: PathBuf,
    /// The packages of `npm/package.json`.
    pub npm: PathBuf,
    /// Node.js.
    pub node: PathBuf,
}

impl Tools {
    /// Finds them beside the program that asks, so in the build profile of its own; `ENVOY` names another Envoy,
    /// `TOKENGATE_FILTER` another filter. An error says what is missing and which command makes it.
    pub fn find() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut built = own.parent().unwrap_or(Path::new("."));
        if built.ends_with("deps") {
            built = built.parent().unwrap_or(built);
        }
        let target = built.parent().unwrap_or(built);
        let named = |variable: &str| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let tools = Self {
            tokengate: built.join("tokengate"),
            backend: built.join("demo-backend"),
            filter: named("TOKENGATE_FILTER").unwrap_or_else(|| target.join("wasm32-wasip1/wasm/filter.wasm")),
            envoy: named("ENVOY").unwrap_or_else(|| target.join("python/envoy")),
            faulty_filter: target.join("wasm32-wasip1/wasm-faults/filter.wasm"),
            probe: target.join("wasm32-unknown-unknown/wasm/probe.wasm"),
            python: target.join("python/bin/python"),
            npm: target.join("npm/node_modules"),
            node: target.join("npm/node"),
        };
        for path in [&tools.tokengate, &tools.backend, &tools.filter, &tools.envoy] {
            if !path.exists() {
                return Err(format!("{} is missing; `make build` makes it", path.display()));
            }
        }
        Ok(tools)
    }
}

/// The ports of a stack, each with the variable that names it.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Envoy, where requests come in.
    pub entrance: u16,
    /// The control plane.
    pub control: u16,
    /// The backend.
    pub backend: u16,
    /// Envoy's admin interface.
    pub admin: u16,
}

/// A stack that is to run in a directory on these ports.
#[derive(Clone, Debug)]
pub struct Site {
    /// The programs.
    pub tools: Tools,
    /// The control plane's data; Envoy's configuration and the logs go beside it.
    pub data: PathBuf,
    /// Where logs and configuration go.
    pub logs: PathBuf,
    /// The ports.
    pub ports: Ports,
    /// Envoy's worker threads.
    pub workers: u32,
    /// What the control plane logs.
    pub log_level: &'static str,
    /// Whether tokens stay as they were made.
    pub secure_mode: bool,
    /// The secret that Envoy and the control plane share, if it is not to be made from the control plane's own key.
    pub given_sync_key: Option<String>,
    /// More variables for the control plane.
    pub control_variables: Vec<(&'static str, String)>,
}

impl Site {
    /// Starts the control plane.
    pub fn start_control_plane(&self) -> io::Result<Process> {
        let Self { tools, data, ports, .. } = self;
        let arguments =
            ["serve".into(), format!("--data={}", data.display()), format!("--listen=127.0.0.1:{}", ports.control)];
        let mut variables =
            vec![("RUST_LOG", self.log_level.to_owned()), ("TOKENGATE_SECURE_MODE", self.secure_mode.to_string())];
        variables.extend(self.given_sync_key.clone().map(|key| ("TOKENGATE_SYNC_KEY", key)));
        variables.extend(self.control_variables.clone());
        Process::start("control plane", &tools.tokengate, &arguments, &variables, &self.log("control-plane"))
    }

    /// Starts the demo backend.
    pub fn start_backend(&self) -> io::Result<Process> {
        let arguments = [format!("127.0.0.1:{}", self.ports.backend)];
        Process::start("demo backend", &self.tools.backend, &arguments, &[], &self.log("backend"))
    }

    /// Envoy's configuration for this site, as `tokengate envoy-config` prints it.
    pub fn envoy_config(&self) -> io::Result<String> {
        let Ports { entrance, control, backend, admin } = self.ports;
        self.tokengate(&[
            "envoy-config".into(),
            "--bootstrap".into(),
            format!("--entrance-port={entrance}"),
            format!("--control-port={control}"),
            format!("--backend-port={backend}"),
            format!("--envoy-admin-port={admin}"),
            format!("--filter={}", self.tools.filter.display()),
        ])
    }

    /// The `envoy.yaml` of another release, filled in for this site as `tokengate envoy-config` of that release did: each
    /// value stands on a line that ends with the name of its variable.
    pub fn fill_in(&self, template: &str) -> String {
        let Ports { entrance, control, backend, admin } = self.ports;
        let values = [
            ("TOKENGATE_ENTRANCE_PORT", entrance.to_string()),
            ("TOKENGATE_CONTROL_PORT", control.to_string()),
            ("TOKENGATE_BACKEND_PORT", backend.to_string()),
            ("TOKENGATE_ENVOY_ADMIN_PORT", admin.to_string()),
            ("TOKENGATE_FILTER", format!("\"{}\"", self.tools.filter.display())),
        ];
        let filled = |line: &str| {
            let value = values.iter().find(|(variable, _)| line.ends_with(&format!(" # {variable}")));
            match (value, line.split_once(": ")) {
                (Some((variable, value)), Some((key, _))) => format!("{key}: {value} # {variable}\n"),
                _ => format!("{line}\n"),
            }
        };
        template.lines().map(filled).collect()
    }

    /// The secret that Envoy and the control plane share.
    pub fn sync_key(&self) -> io::Result<String> {
        if let Some(key) = &self.given_sync_key {
            return Ok(key.clone());
        }
        let key = self.tokengate(&["sync-key".into(), format!("--data={}", self.data.display())])?;
        Ok(key.trim().to_owned())
    }

    /// Starts Envoy with this configuration.
    pub fn start_envoy(&self, config: &str) -> io::Result<Process> {
        self.start_envoy_with(config, &[], &[])
    }

    /// Starts Envoy with this configuration, and with more arguments and variables than it needs.
    pub fn start_envoy_with(
        &self,
        config: &str,
        arguments: &[String],
        variables: &[(&'static str, String)],
    ) -> io::Result<Process> {
        let file = self.logs.join("envoy.yaml");
        std::fs::write(&file, config)?;
        let ours = [
            "--config-path".into(),
            file.display().to_string(),
            "--concurrency".into(),
            self.workers.to_string(),
            "--disable-hot-restart".into(),
            "--log-level".into(),
            "warning".into(),
            "--component-log-level".into(),
            "wasm:info".into(),
        ];
        let arguments = [&ours, arguments].concat();
        let variables = [&[("TOKENGATE_SYNC_KEY", self.sync_key()?)], variables].concat();
        Process::start("Envoy", &self.tools.envoy, &arguments, &variables, &self.log("envoy"))
    }

    /// The file into which a part of the stack writes.
    pub fn log(&self, part: &str) -> PathBuf {
        self.logs.join(format!("{part}.log"))
    }

    fn tokengate(&self, arguments: &[String]) -> io::Result<String> {
        let mut command = Command::new(&self.tools.tokengate);
        let output = without_our_variables(&mut command).args(arguments).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        String::from_utf8(output.stdout).map_err(io::Error::other)
    }
}
