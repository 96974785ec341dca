//! Tests of a service's whole life. Each runs a service in a process of its own: this test binary started
//! again, so that signals, standard input and exit codes are the real ones.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    config::{AdminConfig, LogConfig, ShutdownConfig, TelemetryConfig},
    problems::Problems,
};

/// How the child behaves, as its test wants it.
const BEHAVIOUR: &str = "CHASSIS_TEST_BEHAVIOUR";
/// Where the child writes its ready file.
const READY_FILE: &str = "CHASSIS_TEST_READY_FILE";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Config {
    behaviour: String,
    log: LogConfig,
    telemetry: TelemetryConfig,
    admin: AdminConfig,
    shutdown: ShutdownConfig,
}

impl ServiceConfig for Config {
    fn validate(&self, problems: &mut Problems) {
        problems.not_empty("behaviour", &self.behaviour);
    }

    fn chassis(&self) -> ChassisConfig {
        let Self {
            log,
            telemetry,
            admin,
            shutdown,
            ..
        } = self.clone();
        ChassisConfig {
            log,
            telemetry,
            admin,
            shutdown,
        }
    }
}

struct Tested {
    behaviour: String,
    tasks: Tasks,
}

impl Service for Tested {
    type Config = Config;
    const NAME: &'static str = "tested";

    async fn bind(config: Config, context: Context) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        context.addresses.add("echo", listener.local_addr()?);
        match config.behaviour.as_str() {
            "bind-fails" => anyhow::bail!("no such topic"),
            "bind-hangs" => {
                context
                    .addresses
                    .write(Self::NAME, Path::new(&std::env::var(READY_FILE)?))?;
                std::future::pending().await
            }
            _ => Ok(Self {
                behaviour: config.behaviour,
                tasks: context.tasks,
            }),
        }
    }

    async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        match self.behaviour.as_str() {
            "returns" => return Ok(()),
            "fails" => anyhow::bail!("broken"),
            "task-panics" => self
                .tasks
                .spawn("renewals", async { assert!(false_positive(), "lost") }),
            "drain-hangs" | "drain-hangs-for-long" => std::future::pending().await,
            _ => {}
        }
        token.cancelled().await;
        Ok(())
    }
}

/// False, in a way that no lint takes for a constant.
fn false_positive() -> bool {
    std::env::var_os(BEHAVIOUR).is_none()
}

#[test]
#[ignore = "it is the child process of the other tests"]
fn child() {
    let Ok(behaviour) = std::env::var(BEHAVIOUR) else {
        return;
    };
    let drain_ms = if behaviour == "drain-hangs" { 200 } else { 60_000 };
    let behaviour = format!("behaviour={behaviour}");
    let set = vec![
        behaviour,
        format!("shutdown.drain_ms={drain_ms}"),
        "log.format=json".into(),
    ];
    let ready_file = std::env::var_os(READY_FILE).map(Into::into);
    let args = CommonArgs {
        set,
        ready_file,
        exit_on_stdin_close: true,
        ..CommonArgs::default()
    };
    let code = run_service_with::<Tested>(&args, |_| {});
    let codes = (0..=2).map(|code| (code, ExitCode::from(code)));
    let code = codes
        .into_iter()
        .find(|(_, other)| *other == code)
        .map_or(99, |(code, _)| code);
    std::process::exit(code.into());
}

/// A child process with a behaviour; killed if the test ends before it does.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    fn start(behaviour: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runner::tests::child", "--ignored", "--nocapture"])
            .env(BEHAVIOUR, behaviour)
            .env(READY_FILE, folder.path().join("ready.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Polls until `probe` finds something.
    fn poll<T>(&mut self, what: &str, mut probe: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = probe(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not come");
            std::thread::yield_now();
        }
    }

    fn ready_file(&mut self) -> serde_json::Value {
        let path = self.folder.path().join("ready.json");
        let text = self.poll("the ready file", |_| fs::read_to_string(&path).ok());
        serde_json::from_str(&text).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end; the exit code and what was logged.
    fn end(mut self) -> (Option<i32>, String) {
        let status: ExitStatus = self.poll("the end", |running| running.child.try_wait().unwrap());
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (status.code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_announces_its_addresses_and_ends_on_a_signal() {
    let mut service = Running::start("serves");
    let ready = service.ready_file();
    assert_eq!(ready["service"], "tested");
    let admin: std::net::SocketAddr = ready["addresses"]["admin"].as_str().unwrap().parse().unwrap();
    std::net::TcpStream::connect(admin).unwrap();
    service.signal(Signal::SIGTERM);
    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    let address = ready["addresses"]["echo"].as_str().unwrap();
    assert!(
        log.lines()
            .any(|line| line.contains("tested listens on admin ") && line.contains(address)),
        "{log}"
    );
}

#[test]
fn a_service_ends_with_its_supervisor() {
    let mut service = Running::start("serves");
    service.ready_file();
    drop(service.child.stdin.take());
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_second_signal_ends_a_service_that_drains() {
    let mut service = Running::start("drain-hangs-for-long");
    service.ready_file();
    service.signal(Signal::SIGINT);
    // Two signals at once may reach the process as one, so they are repeated until the end.
    let status = service.poll("the end", |running| {
        running.signal(Signal::SIGTERM);
        running.child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(shutdown::EXIT_INTERRUPTED));
}

#[test]
fn a_drain_that_takes_too_long_is_cut_off_and_is_a_failure() {
    let mut service = Running::start("drain-hangs");
    service.ready_file();
    service.signal(Signal::SIGTERM);
    let (code, log) = service.end();
    assert_eq!(code, Some(1));
    assert!(log.contains("the drain took longer than 200 ms"), "{log}");
}

#[test]
fn a_signal_also_ends_a_service_that_still_waits_to_bind() {
    let mut service = Running::start("bind-hangs");
    service.ready_file();
    service.signal(Signal::SIGTERM);
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn failures_are_told_and_end_with_a_code() {
    for (behaviour, code, line) in [
        ("returns", 0, "tested ended"),
        ("fails", 1, "tested failed: broken"),
        ("bind-fails", 1, "tested failed: cannot start: no such topic"),
        ("task-panics", 1, "tested failed: task renewals panicked: lost"),
        ("", 2, "behaviour: must not be empty (flag --set behaviour)"),
    ] {
        let (found, log) = Running::start(behaviour).end();
        assert_eq!(found, Some(code), "{behaviour}: {log}");
        assert!(log.contains(line), "{behaviour}: {log}");
    }
}
