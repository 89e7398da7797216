//! TLS between proxy and control plane, with certificates made here.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::Method;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::process::Process;
use tests::{World, eventually};

/// A root, and a certificate for 127.0.0.1 under it.
struct Certificates {
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(directory: &Path, name: &str, host: &str) -> Self {
        let mut root = CertificateParams::new(Vec::new()).expect("a root");
        root.distinguished_name.push(DnType::CommonName, format!("the root of {name}"));
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().expect("a key")).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec![host.to_owned()]).expect("a certificate");
        let leaf = leaf.signed_by(&key, &root).expect("a certificate");
        let write = |kind: &str, text: String| {
            let path = directory.join(format!("{name}-{kind}.pem"));
            std::fs::write(&path, text).expect("a file");
            path
        };
        Self {
            root: write("root", root.pem()),
            certificate: write("certificate", leaf.pem()),
            key: write("key", key.serialize_pem()),
        }
    }
}

/// A world whose control plane speaks TLS alone, and whose Envoy trusts this root for it.
fn world(trusted: impl FnOnce(&Certificates, &Path) -> PathBuf, host: &str) -> (World, Process, Certificates) {
    let mut world = World::prepare(2);
    let certificates = Certificates::make(&world.site.logs, "own", host);
    let root = trusted(&certificates, &world.site.logs);
    let output = Command::new(&world.site.tools.tokengate)
        .args(["envoy-config", "--control-ca"])
        .arg(&root)
        .output()
        .expect("the configuration");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, tls) = printed.split_once("    transport_socket:\n").expect("TLS in the configuration");
    let tls = format!("    transport_socket:\n{}", &tls[..tls.find("    type:").expect("the end of it")]);
    world.edit_config("    # TLS belongs here (tokengate envoy-config --control-ca)\n", &tls);
    world.site.control_variables = vec![
        ("TOKENGATE_TLS_CERT", certificates.certificate.display().to_string()),
        ("TOKENGATE_TLS_KEY", certificates.key.display().to_string()),
    ];
    let process = world.site.start_control_plane().expect("the control plane starts");
    world.start_envoy();
    (world, process, certificates)
}

#[test]
fn feed_reports_and_api_go_through_tls() {
    let (world, _process, certificates) = world(|own, _| own.root.clone(), "127.0.0.1");
    world.wait_until_ready();
    let boss = world.admin_token();
    let as_admin = |method, path: &str| world.request(method, path).basic("admin", &boss);
    let reply = as_admin(Method::POST, "/api/v1/tokens").json(&json!({ "label": "made through TLS" })).send();
    assert_eq!(reply.status, 201, "{}", reply.text);
    let (id, token) = (reply.json["id"].as_str().expect("an id"), reply.json["token"].as_str().expect("a token"));
    eventually("it works", || (world.get("/rest/x").bearer(token).send().status == 200).then_some(()));
    eventually("its use is reported", || {
        let shown = as_admin(Method::GET, &format!("/api/v1/tokens/{id}")).send().json;
        (shown["usage_count"].as_u64() > Some(0)).then_some(())
    });
    // The command speaks TLS, too, and believes nobody for whom its root does not vouch.
    let revoke = |extra: &[&str]| {
        let url = format!("https://127.0.0.1:{}", world.site.ports.control);
        let mut command = Command::new(&world.site.tools.tokengate);
        command.args(["token", "revoke", id, "--wait", "5s", "--url", &url]).args(extra);
        command.env("TOKENGATE_TOKEN", &boss).output().expect("the command runs")
    };
    let refused = revoke(&[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("does not answer"), "{refused:?}");
    let revoked = revoke(&["--ca", &certificates.root.display().to_string()]);
    assert_eq!(revoked.status.code(), Some(0), "{revoked:?}");
    assert!(String::from_utf8_lossy(&revoked.stdout).contains("confirmed by 1 of 1 proxies"), "{revoked:?}");
    world.get("/rest/x").bearer(token).send().assert_refused(401, "token_deleted");
    assert_eq!(world.control_get("/healthz").send().status, 599, "nothing is spoken but TLS");
}

#[test]
fn attack_a_control_plane_for_which_the_root_does_not_vouch_is_told_nothing_and_believed_nothing() {
    let another = |_: &Certificates, directory: &Path| Certificates::make(directory, "another", "127.0.0.1").root;
    for (what, (world, process, _)) in [
        ("another root", world(another, "127.0.0.1")),
        ("another host's certificate", world(|own, _| own.root.clone(), "tokengate.example.org")),
    ] {
        eventually("the filter says so", || {
            world.log("envoy").contains("the control plane does not answer").then_some(())
        });
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(world.get("/.well-known/tokengate/ready").send().status, 503, "{what}");
        assert!(!world.log("control-plane").contains("a proxy has come"), "{what}");
        drop(process);
    }
}

#[test]
fn a_certificate_without_its_key_is_an_error_that_says_so() {
    let world = World::prepare(1);
    let own = Certificates::make(&world.site.logs, "own", "127.0.0.1");
    let other = Certificates::make(&world.site.logs, "other", "127.0.0.1");
    let serve = |certificate: &Path, key: &Path| {
        let mut command = Command::new(&world.site.tools.tokengate);
        command.arg("serve").arg("--data").arg(&world.site.data).args(["--listen", "127.0.0.1:0", "--tls-cert"]);
        let output = command.arg(certificate).arg("--tls-key").arg(key).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(serve(&own.certificate, &other.key).contains("certificate and private key"));
    assert!(serve(&own.key, &own.key).contains("there is none in it"));
    assert!(serve(&own.certificate, Path::new("/nowhere.pem")).contains("/nowhere.pem"));
}
