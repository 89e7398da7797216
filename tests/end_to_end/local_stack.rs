//! `make run`, as a newcomer meets it (that it sets everything up on a fresh clone is what CI shows by running
//! there); and the entry points and configuration of the containers, as plain processes.

use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tests::process::Process;
use tests::stack::Tools;
use tests::{eventually, free_port};
use yaml_rust2::{Yaml, YamlLoader};

struct LocalStack {
    child: Child,
    lines: mpsc::Receiver<String>,
    ports: [u16; 4],
}

const VARIABLES: [&str; 4] =
    ["TOKENGATE_ENTRANCE_PORT", "TOKENGATE_CONTROL_PORT", "TOKENGATE_BACKEND_PORT", "TOKENGATE_ENVOY_ADMIN_PORT"];

impl LocalStack {
    fn start(data: &Path) -> Self {
        let ports = [free_port(), free_port(), free_port(), free_port()];
        // As a terminal does: in a process group of its own, which gets the Ctrl-C as a whole.
        let mut child = Command::new("make")
            .arg("run")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project"))
            .process_group(0)
            .env("TOKENGATE_DATA", data)
            .envs(VARIABLES.into_iter().zip(ports.map(|port| port.to_string())))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the local stack starts");
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, ports }
    }

    /// Its output up to the line that contains this.
    fn output_until(&self, end: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(300)).unwrap_or_else(|_| panic!("{lines:#?}"));
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(end)) {
                return lines;
            }
        }
    }

    fn ctrl_c(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process_group(pid, Signal::INT).expect("the signal is sent");
        self.child.wait().expect("it ends");
        let rest: Vec<String> = self.lines.iter().collect();
        assert!(rest.iter().any(|line| line.contains("Stopping")), "{rest:#?}");
        for port in self.ports {
            assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "somebody still listens on {port}");
        }
    }
}

impl Drop for LocalStack {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn make_run_prints_a_line_that_can_be_pasted_and_ctrl_c_ends_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let first = LocalStack::start(&data);
    let output = first.output_until("Ctrl-C ends it");
    let printed_tokens = output.iter().filter(|line| line.trim().starts_with("tgt_")).count();
    assert_eq!(printed_tokens, 1, "the admin's token is printed once: {output:#?}");
    let lines: Vec<&String> = output.iter().filter(|line| line.trim().starts_with("curl ")).collect();
    let pasted = Command::new("sh").args(["-c", lines[0]]).env("no_proxy", "*").output().expect("a shell");
    let answer: serde_json::Value = serde_json::from_slice(&pasted.stdout).expect("JSON");
    assert_eq!(answer["user"], "admin", "{answer}");
    assert!(!answer.to_string().contains("tgt_"), "{answer}");
    first.ctrl_c();

    let second = LocalStack::start(&data);
    let output = second.output_until("Ctrl-C ends it");
    assert!(!output.iter().any(|line| line.contains("tgt_")), "{output:#?}");
    let line = output.iter().find(|line| line.trim().starts_with("curl ")).expect("a line");
    let pasted = Command::new("sh").args(["-c", line]).env("no_proxy", "*").output().expect("a shell");
    assert!(
        String::from_utf8_lossy(&pasted.stdout).contains(r#""user":"admin""#),
        "the token of the first start still works"
    );
    second.ctrl_c();
}

#[test]
fn make_run_says_which_variable_moves_a_port_that_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    for (index, variable) in VARIABLES.into_iter().enumerate() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let mut ports = [free_port(), free_port(), free_port(), free_port()];
        ports[index] = taken.local_addr().expect("its address").port();
        let output = Command::new(env!("CARGO_BIN_EXE_local-stack"))
            .env("TOKENGATE_DATA", directory.path().join("data"))
            .envs(VARIABLES.into_iter().zip(ports.map(|port| port.to_string())))
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(variable) && said.contains(&ports[index].to_string()),
            "{said}"
        );
        assert!(!directory.path().join("data").exists(), "and nothing was made");
    }
}

#[test]
fn what_envoy_config_prints_for_an_own_envoy_is_accepted_by_envoy() {
    let directory = tempfile::tempdir().expect("a directory");
    let tools = Tools::find().expect("the programs");
    let filter = format!("--filter={}", tools.filter.display());
    let printed = Command::new(&tools.tokengate).args(["envoy-config", &filter]).output().expect("it runs");
    assert!(printed.status.success());
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(text.contains("TOKENGATE_SYNC_KEY in the environment"), "{text}");
    let file = directory.path().join("pasted.yaml");
    fs::write(&file, &printed.stdout).expect("a file");
    let validated = Command::new(&tools.envoy).args(["--mode", "validate", "--config-path"]).arg(&file).output();
    let validated = validated.expect("Envoy runs");
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));
}

#[test]
fn the_entry_points_and_configuration_of_the_containers_work_as_plain_processes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project");
    let compose = fs::read_to_string(root.join("envoy/docker-compose.yml")).expect("the file");
    let compose = YamlLoader::load_from_str(&compose).expect("YAML").remove(0);
    let dockerfile = fs::read_to_string(root.join("envoy/Dockerfile")).expect("the file");
    let directory = tempfile::tempdir().expect("a directory");
    let tools = Tools::find().expect("the programs");
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    for (program, name) in [(&tools.tokengate, "tokengate"), (&tools.backend, "demo-backend"), (&tools.envoy, "envoy")]
    {
        symlink(program, bin.join(name)).expect("a link");
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    let ports: BTreeMap<&str, u16> = ["8080", "8081", "8082"].into_iter().map(|port| (port, free_port())).collect();
    let admin_port = free_port();
    let mut processes = Vec::new();
    for service in ["control-plane", "backend", "envoy"] {
        let image = compose["services"][service]["build"]["target"].as_str().expect("a target");
        assert!(dockerfile.contains(&format!("ENTRYPOINT [\"entrypoint.sh\", \"{image}\"]")), "{image}");
        let environment = compose["services"][service]["environment"].as_hash().expect("variables");
        // What differs here from there: every host is this one, ports are free ones, and files lie elsewhere.
        let here = |value: &Yaml| {
            let mut value = value.as_str().expect("a string").to_owned();
            if value.starts_with("${TOKENGATE_SYNC_KEY:?") {
                value = "an-example-of-a-sync-key-of-the-test".into();
            }
            for (port, own) in &ports {
                value = value.replace(port, &own.to_string());
            }
            value = value.replace("0.0.0.0", "127.0.0.1");
            for host in ["backend", "control-plane"] {
                value = value.replace(host, "localhost"); // a name, as there
            }
            value
                .replace("/etc/envoy/tokengate.wasm", &tools.filter.display().to_string())
                .replace("/data", &directory.path().join("data").display().to_string())
        };
        let mut variables: Vec<(&str, String)> =
            environment.iter().map(|(name, value)| (name.as_str().expect("a name"), here(value))).collect();
        variables.push(("PATH", path.clone()));
        variables.push(("TOKENGATE_ENVOY_ADMIN_PORT", admin_port.to_string()));
        variables.push(("TOKENGATE_ENVOY_CONFIG", directory.path().join("envoy.yaml").display().to_string()));
        let log = directory.path().join(format!("{service}.log"));
        let script = root.join("envoy/entrypoint.sh");
        processes.push(Process::start("container", &script, &[image.to_owned()], &variables, &log).expect("it starts"));
    }
    let url = format!("http://127.0.0.1:{}", ports["8080"]);
    let get = |path: &str| tests::client().build().expect("a client").get(format!("{url}{path}"));
    eventually("the entrance is ready", || {
        get("/.well-known/tokengate/ready").send().is_ok_and(|reply| reply.status() == 200).then_some(())
    });
    let token = fs::read_to_string(directory.path().join("data/admin-token")).expect("the admin's token");
    let reply = get("/rest/api/2/issue/JRA-1").basic_auth("admin", Some(token.trim())).send().expect("a reply");
    assert!(reply.text().expect("a body").contains(r#""user":"admin""#));
    for process in processes {
        assert!(process.stop(Duration::from_secs(10)), "each ends when it is asked to");
    }
    assert!(TcpStream::connect(("127.0.0.1", ports["8080"])).is_err());
}
