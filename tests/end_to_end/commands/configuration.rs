//! From where `serve` takes its configuration, and what it refuses.

use std::fs;
use std::process::Command;
use std::time::Duration;
use tests::process::Process;
use tests::{World, client, eventually, free_port};

#[test]
fn a_flag_goes_before_a_variable_a_variable_before_the_file_and_the_file_before_the_default() {
    let world = World::prepare(1);
    let [flag, variable, file] = [free_port(), free_port(), free_port()];
    let (path, data) = (world.site.logs.join("tokengate.toml"), world.site.data.display());
    fs::write(&path, format!("listen = '127.0.0.1:{file}'\ndata = '{data}'\nlog_format = 'json'\n")).expect("a file");
    let answers = |port: u16| {
        let reply = client().build().expect("a client").get(format!("http://127.0.0.1:{port}/healthz")).send();
        reply.is_ok_and(|reply| reply.status() == 200)
    };
    let config = ("TOKENGATE_CONFIG", path.display().to_string());
    let listen = ("TOKENGATE_LISTEN", format!("127.0.0.1:{variable}"));
    // As Kubernetes puts them there, for a service of this name.
    let of_kubernetes = ("TOKENGATE_PORT", "tcp://10.0.0.1:8081".to_owned());
    let log = world.site.log("configured");
    for (arguments, variables, port) in [
        (vec![], vec![config.clone()], file),
        (vec![], vec![config.clone(), listen.clone(), of_kubernetes], variable),
        (vec![format!("--listen=127.0.0.1:{flag}")], vec![config.clone(), listen.clone()], flag),
    ] {
        let arguments = [vec!["serve".to_owned()], arguments].concat();
        let tokengate = &world.site.tools.tokengate;
        let process = Process::start("control plane", tokengate, &arguments, &variables, &log).expect("it starts");
        eventually("it listens there", || answers(port).then_some(()));
        let others = [flag, variable, file].into_iter().filter(|other| *other != port);
        assert!(others.into_iter().all(|other| !answers(other)));
        assert!(process.stop(Duration::from_secs(10)));
    }
    assert!(world.site.data.join("admin-token").exists(), "the file says where the data is");
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.lines().any(|line| line.starts_with('{') && line.contains("listening")), "{log}");
}

#[test]
fn attack_a_mistyped_key_or_variable_leaves_no_default_in_force() {
    let world = World::prepare(1);
    let path = world.site.logs.join("tokengate.toml");
    fs::write(&path, "# of the control plane\nsecuremode = false\n").expect("a file");
    let serve = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(&world.site.tools.tokengate);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&world.site.data);
        let output = command.args(arguments).envs(variables.iter().copied()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{}", super::said(&output));
        assert!(!world.site.data.exists(), "and nothing was made");
        super::said(&output)
    };
    let error = serve(&["--config", &path.display().to_string()], &[]);
    assert!(error.contains("securemode") && error.contains("line 2, column 1"), "{error}");
    assert!(error.contains("tokengate.toml"), "{error}");
    let error = serve(&[], &[("TOKENGATE_SECUREMODE", "false")]);
    assert!(error.contains("TOKENGATE_SECUREMODE (did you mean TOKENGATE_SECURE_MODE?)"), "{error}");
    let error = serve(&[], &[("TOKENGATE_SECURE_MODE", "off")]);
    assert!(error.contains("off") && error.contains("--secure-mode"), "{error}");
    let error = serve(&["--tls-cert", "/cert.pem"], &[]);
    assert!(error.contains("tls_key is missing"), "{error}");
    serve(&["--unheard-of"], &[]);
}

#[test]
fn help_teaches_and_completions_know_every_command() {
    let world = World::prepare(1);
    let printed = |arguments: &[&str]| {
        let output = Command::new(&world.site.tools.tokengate).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", super::said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for command in
            ["serve", "user", "token", "settings", "audit", "explain", "proxy", "envoy-config", "doctor", "recover"]
        {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    for arguments in [
        &["serve"][..],
        &["doctor"],
        &["user", "recover"],
        &["user", "delete"],
        &["token", "create"],
        &["token", "revoke"],
        &["token", "delete"],
        &["settings", "set"],
        &["audit", "export"],
        &["explain"],
    ] {
        let help = printed(&[arguments, &["--help"]].concat());
        assert!(help.contains("Example"), "{arguments:?} has no example:\n{help}");
    }
    assert!(printed(&["--help"]).contains("Exit code: 0 done; 1 failed"));
    assert!(printed(&["help-config"]).contains("#secure_mode = true"));
}
