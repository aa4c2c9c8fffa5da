//! Hosts that cannot be used: each says why, and nothing is made elsewhere in its place.
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use poolkeeper_testkit::local_server::{Said, until};
use serde_json::json;

use crate::hosts::{Hosts, IMAGE, NAMES};

/// `openssl s_server` with a certificate. It does not outlive the test.
struct Server(Child, u16);

impl Server {
    fn start(hosts: &Hosts, name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("openssl");
        command.current_dir(hosts.dir.join("pki")).args([
            "s_server",
            "-quiet",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ]);
        command.args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap(), port);
        until("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An engine that takes 30 s for each answer. Goes with the process.
fn slow(socket: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, socket) = (listener.local_addr().unwrap().port(), socket.trim_start_matches("unix://").to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, socket) = (client.unwrap(), socket.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(30));
                let mut engine = UnixStream::connect(&socket).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let _ = std::io::copy(&mut engine, &mut client);
            });
        }
    });
    port
}

#[test]
fn each_mistake_has_its_own_message_and_nothing_is_made_elsewhere() {
    let Some(hosts) = Hosts::find() else { return };
    let pki = hosts.dir.join("pki").display().to_string();
    let tls = |at: &str, ca: &str, cert: &str| {
        format!("tcp://{at},ca={pki}/{ca}.pem,cert={pki}/{cert}.pem,key={pki}/{cert}.key")
    };
    let engine = format!("{}:2376", hosts.address);
    let old = Server::start(&hosts, "expired");
    let bad = [
        ("authority", tls(&engine, "other", "client"), "is not signed by the authority in"),
        ("client", tls(&engine, "ca", "stranger"), "it refuses the client certificate"),
        ("name", tls(&format!("localhost:{}", old.1), "ca", "client"), "certificate"),
        ("expired", tls(&format!("127.0.0.1:{}", old.1), "ca", "client"), "its certificate has expired"),
        ("plain", format!("tcp://{engine}"), "HTTP request to an HTTPS server"),
        ("files", tls(&engine, "nothing", "client"), "nothing.pem"),
        (
            "unknown",
            "ssh://pk-far@unknown".to_owned(),
            "ssh does not know the host key of unknown: run `ssh pk-far@unknown` once",
        ),
        ("changed", "ssh://pk-far@changed".to_owned(), "the host key of changed is not the one that ssh knows"),
        ("refused", "ssh://pk-far@refused".to_owned(), "refused refuses the login"),
        ("nobody", "ssh://pk-far@127.0.0.1:1".to_owned(), "ssh says: "),
        ("elsewhere", "ssh://pk-far@far/nonexistent/d.sock".to_owned(), "/nonexistent/d.sock"),
        (
            "slow",
            format!("tcp://127.0.0.1:{}", slow(&hosts.socket("local"))),
            "is too slow: it did not answer within 25 s",
        ),
    ];
    let mut up = vec!["local", "up"];
    let flags: Vec<String> = bad.iter().map(|(name, endpoint, _)| format!("{name}={endpoint}")).collect();
    up.extend(flags.iter().flat_map(|flag| ["--host", flag]));
    hosts.poolkeeper(&up).exits(0);
    let names: Vec<&str> = bad.iter().map(|(name, ..)| *name).collect();
    hosts.pool("bad", &names, json!({"min": 20, "max": 20}));
    for (name, _, words) in &bad {
        until(&format!("host {name} says {words:?}"), || hosts.unreachable("bad", name).contains(words));
    }
    let status = hosts.poolkeeper(&["status", "bad"]).exits(0).stdout;
    assert!(status.contains("HostUnreachable") && status.contains("is not signed by the authority"), "{status}");
    assert!(!status.contains("BEGIN") && hosts.status("bad")["counts"]["workers"] == 0, "{status}");
    for host in NAMES {
        assert_eq!(hosts.containers(host), Vec::<String>::new(), "{host}");
    }
    // Another pool does not mind, and neither does one that has a host which can be used.
    hosts.pool("good", &["authority", "local"], json!({"min": 2, "max": 2}));
    hosts.ready("good", 2);
    assert_eq!(hosts.containers("local").len(), 2);
    assert!(hosts.unreachable("good", "local").is_empty());
    hosts.end();
}

#[test]
fn a_run_says_why_its_host_cannot_be_used() {
    let Some(hosts) = Hosts::find() else { return };
    let run = |host: &str, path: Option<&str>| {
        let mut command = hosts.rig.poolkeeper(&["run", "--local", "--image", IMAGE, "--host", host, "--", "true"]);
        hosts.around(&mut command);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        Said::of(command.output().unwrap())
    };
    let said = run("far=ssh://pk-far@127.0.0.1:2222", Some("/nonexistent")).exits(6);
    assert!(said.stderr.contains("the program `ssh` is not on the PATH"), "{}", said.stderr);
    let said = run("far", None).exits(2);
    assert!(said.stderr.contains("Docker host \"far\" is not known: write --host far=ENDPOINT"), "{}", said.stderr);
    let said = run("far=ssh://me:sesame@far", None).exits(2);
    assert!(
        said.stderr.contains("a password is never part of an address") && !said.stderr.contains("sesame"),
        "{}",
        said.stderr
    );
    let said = run("far=context:nowhere", None).exits(2);
    assert!(
        said.stderr.contains("docker context \"nowhere\"") && said.stderr.contains("docker context ls"),
        "{}",
        said.stderr
    );
    let said = hosts.poolkeeper(&["local", "up", "--host", "far=context:nowhere"]).exits(2);
    assert!(said.stderr.contains("docker context \"nowhere\""), "{}", said.stderr);
    let said = hosts.poolkeeper(&["local", "up", "--host", "local=ssh://far"]).exits(2);
    assert!(said.stderr.contains("use --docker-host"), "{}", said.stderr);
    let said = hosts.poolkeeper(&["local", "up", "--unset-host", "far"]).exits(2);
    assert!(said.stderr.contains("named no such host"), "{}", said.stderr);
    let mut command = hosts.rig.poolkeeper(&["run", "--local", "--host", "far=ssh://far", "--", "true"]);
    let said = Said::of(command.output().unwrap()).exits(2);
    assert!(said.stderr.contains("hosts are for runtime Docker only"), "{}", said.stderr);
    // Variables of docker hold here too.
    for (host, more) in [
        ("ssh://pk-far@127.0.0.1:2222", vec![]),
        (
            &*format!("tcp://{}:2376", hosts.address),
            vec![("DOCKER_TLS_VERIFY", "1".to_owned()), ("DOCKER_CERT_PATH", certs(&hosts))],
        ),
    ] {
        let mut command =
            hosts.rig.poolkeeper(&["run", "--local", "--image", IMAGE, "--", "sh", "-c", "echo $((6 * 7)); exit 9"]);
        hosts.around(&mut command);
        let said = Said::of(command.env("DOCKER_HOST", host).envs(more).output().unwrap()).exits(9);
        assert_eq!(said.stdout, "42\n");
    }
}

/// A directory as DOCKER_CERT_PATH names one.
fn certs(hosts: &Hosts) -> String {
    let dir = hosts.rig.file("certs");
    std::fs::create_dir(&dir).unwrap();
    for (from, to) in [("ca.pem", "ca.pem"), ("client.pem", "cert.pem"), ("client.key", "key.pem")] {
        std::fs::copy(hosts.dir.join("pki").join(from), dir.join(to)).unwrap();
    }
    dir.display().to_string()
}

#[test]
fn a_program_that_is_no_engine_is_named() {
    let Some(hosts) = Hosts::find() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 16]);
            let _ = client.write_all(b"SSH-2.0-something\r\n\r\n");
        }
    });
    let pki = hosts.dir.join("pki").display().to_string();
    let host = format!("odd=tcp://127.0.0.1:{port},ca={pki}/ca.pem,cert={pki}/client.pem,key={pki}/client.key");
    let said = hosts.poolkeeper(&["run", "--local", "--image", IMAGE, "--host", &host, "--", "true"]).exits(6);
    assert!(said.stderr.contains("it does not speak TLS on this port"), "{}", said.stderr);
}
