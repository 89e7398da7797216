//! `make run`: Envoy with the filter, the control plane and the demo backend on this machine, until Ctrl-C.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tests::client;
use tests::process::Process;
use tests::stack::{Ports, Site, Tools};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("make run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How long the stack may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn run() -> Result<(), String> {
    let (stop, stopped) = mpsc::channel();
    let handler = move || {
        let _ = stop.send(());
    };
    ctrlc::set_handler(handler).map_err(|error| error.to_string())?;
    let data =
        std::path::absolute(std::env::var_os("TOKENGATE_DATA").map_or_else(|| PathBuf::from("data"), PathBuf::from))
            .map_err(|error| error.to_string())?;
    let ports = Ports {
        entrance: free_port("TOKENGATE_ENTRANCE_PORT", 8080)?,
        control: free_port("TOKENGATE_CONTROL_PORT", 8081)?,
        backend: free_port("TOKENGATE_BACKEND_PORT", 8082)?,
        admin: free_port("TOKENGATE_ENVOY_ADMIN_PORT", 9901)?,
    };
    let all = [ports.entrance, ports.control, ports.backend, ports.admin];
    if all.iter().enumerate().any(|(index, port)| all[..index].contains(port)) {
        return Err("TOKENGATE_ENTRANCE_PORT, TOKENGATE_CONTROL_PORT, TOKENGATE_BACKEND_PORT and \
                    TOKENGATE_ENVOY_ADMIN_PORT must be four different ports"
            .into());
    }
    let first_start = !data.join("tokengate.db").exists();
    let logs = data.join("logs");
    let site = Site {
        tools: Tools::find()?,
        data,
        logs,
        ports,
        workers: 2,
        log_level: "info",
        secure_mode: true,
        given_sync_key: None,
        // Envoy is here: it says who its clients are.
        control_variables: vec![("TOKENGATE_TRUSTED_PROXIES", "127.0.0.1".into())],
    };
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");

    step("control plane");
    // Makes the data directory, for its owner alone; what it gives is not needed yet.
    site.sync_key().map(drop).map_err(told("cannot make the keys"))?;
    fs::create_dir_all(&site.logs).map_err(told("cannot make the directory of the logs"))?;
    let mut processes = vec![site.start_control_plane().map_err(told("cannot start the control plane"))?];
    wait_for(&mut processes, &stopped, &format!("http://127.0.0.1:{}/readyz", ports.control))?;
    step("demo backend");
    processes.push(site.start_backend().map_err(told("cannot start the demo backend"))?);
    wait_for(&mut processes, &stopped, &format!("http://127.0.0.1:{}/failed-logins", ports.backend))?;
    step("Envoy");
    let config = site.envoy_config().map_err(told("cannot make Envoy's configuration"))?;
    processes.push(site.start_envoy(&config).map_err(told("cannot start Envoy"))?);
    wait_for(&mut processes, &stopped, &format!("http://127.0.0.1:{}/.well-known/tokengate/ready", ports.entrance))?;

    greet(&site, first_start).map_err(told("cannot print"))?;
    let outcome = loop {
        match stopped.recv_timeout(Duration::from_millis(200)) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            _ => break Ok(()),
        }
        if let Err(error) = check(&mut processes) {
            break Err(error);
        }
    };
    println!("\nStopping …");
    while let Some(process) = processes.pop() {
        process.stop(Duration::from_secs(5));
    }
    outcome
}

fn step(what: &str) {
    println!("Starting {what} …");
}

/// The port that this variable names, if nobody listens there.
fn free_port(variable: &str, default: u16) -> Result<u16, String> {
    let port = match std::env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| format!("{variable} must be a port number, not {text:?}"))?
        }
        _ => default,
    };
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(error) => {
            Err(format!("port {port} cannot be used ({error}); choose another with {variable}=PORT make run"))
        }
    }
}

fn check(processes: &mut [Process]) -> Result<(), String> {
    for process in processes {
        if let Some(status) = process.ended() {
            let log = fs::read(process.log()).unwrap_or_default();
            let lines: Vec<String> = log.lines().map_while(Result::ok).collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n  ");
            let (name, log) = (process.name(), process.log().display());
            return Err(format!("{name} ended ({status}). The end of its log, {log}:\n  {last}"));
        }
    }
    Ok(())
}

fn wait_for(processes: &mut [Process], stopped: &mpsc::Receiver<()>, url: &str) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let client = client().build().map_err(|error| error.to_string())?;
    loop {
        if client.get(url).send().is_ok_and(|reply| reply.status().is_success()) {
            return Ok(());
        }
        if stopped.recv_timeout(Duration::from_millis(50)) != Err(mpsc::RecvTimeoutError::Timeout) {
            return Err("stopped".into());
        }
        check(processes)?;
        if Instant::now() > until {
            return Err(format!("{url} does not answer after {} s", PATIENCE.as_secs()));
        }
    }
}

fn greet(site: &Site, first_start: bool) -> io::Result<()> {
    let Ports { entrance, control, backend, admin } = site.ports;
    let token_file = site.data.join("admin-token");
    let mut out = io::stdout().lock();
    writeln!(out, "\nTokengate is running.")?;
    writeln!(out, "  entrance (Envoy)  http://127.0.0.1:{entrance}    control plane  http://127.0.0.1:{control}")?;
    writeln!(out, "  demo backend      http://127.0.0.1:{backend}    Envoy's admin  http://127.0.0.1:{admin}")?;
    writeln!(out, "  data and logs     {}", site.data.display())?;
    if first_start {
        let token = fs::read_to_string(&token_file)?;
        writeln!(
            out,
            "\nThe first sysadmin is `admin`. Its token is in {}; it is shown here this once:",
            token_file.display()
        )?;
        writeln!(out, "  {}", token.trim())?;
    }
    let file = token_file.display().to_string().replace('\'', "'\\''");
    writeln!(out, "\nTry it; the backend shows who it thinks is calling, and no token:")?;
    writeln!(out, "  curl -u \"admin:$(cat '{file}')\" http://127.0.0.1:{entrance}/rest/api/2/issue/JRA-1")?;
    writeln!(out, "\nMake a token of your own:")?;
    writeln!(out, "  curl -u \"admin:$(cat '{file}')\" http://127.0.0.1:{entrance}/api/v1/tokens \\")?;
    writeln!(out, "       -H 'Content-Type: application/json' -d '{{\"label\": \"my script\"}}'")?;
    writeln!(out, "\nCtrl-C ends it.")?;
    out.flush()
}
