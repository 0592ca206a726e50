//! The simulator by itself: it says where it is, and why it cannot be there.

use crate::harness::process::Program;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::TcpStream;

#[tokio::test]
async fn a_simulator_says_how_to_reach_it_and_stops_when_told_to() {
    let mut simulator = Program::new(&["simulate", "--port", "0"]).start().await;
    let line = simulator.line("export RECOMAMP_AMC_URL_NA=").await;
    let url = line.split('\'').nth(1).expect("a value in quotes").to_owned();
    let address = url.strip_prefix("http://").expect("a web address");
    TcpStream::connect(address).expect("it listens");
    simulator.line("RECOMAMP_LWA_CLIENT_SECRET=").await;
    simulator.line("Atzr|").await;

    let port = address.rsplit(':').next().expect("a port");
    let taken = Program::new(&["simulate", "--port", port]).run().await;
    assert_eq!(taken.status.code(), Some(1));
    let why = format!("cannot listen on 127.0.0.1:{port}");
    assert!(taken.stderr.contains(&why), "{}", taken.stderr);
    assert!(taken.stderr.contains("choose another port, or 0"), "{}", taken.stderr);

    simulator.signal(Signal::SIGTERM);
    assert!(simulator.finish().await.status.success());
    assert!(TcpStream::connect(address).is_err(), "it is gone");
}

#[tokio::test]
async fn settings_and_faults_come_from_files_and_the_memory_goes_to_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (settings, faults, memory) = (file("settings"), file("faults"), file("memory"));
    std::fs::write(&settings, r#"{"seed": 7, "client_id": "us"}"#).expect("written");
    std::fs::write(&faults, r#"[{"kind": "html"}]"#).expect("written");
    let files = ["--settings", &settings, "--faults", &faults, "--memory", &memory];
    let mut simulator = Program::new(&[&["simulate", "--json"], &files[..]].concat()).start().await;
    simulator.line_where("the end of the JSON", |line| line == "}").await;
    let told: Value = serde_json::from_str(&simulator.log()).expect("it is JSON");
    assert_eq!(told["environment"]["RECOMAMP_LWA_CLIENT_ID"], "us");
    assert_eq!(told["environment"]["RECOMAMP_AMC_URL_EU"], told["base_url"]);
    simulator.signal(Signal::SIGINT);
    assert!(simulator.finish().await.status.success());
    assert!(std::path::Path::new(&memory).exists());

    std::fs::write(&faults, r#"[{"kind": "hmtl"}]"#).expect("written");
    let wrong = Program::new(&["simulate", "--faults", &faults]).run().await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("hmtl") && wrong.stderr.contains(&faults), "{}", wrong.stderr);
}
