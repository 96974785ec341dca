//! The supervisor and its guards with real processes: whoever is killed, nothing is left.
//!
//! Left out: Redis, Kafka and our services; the whole-system tests start those by the same means.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail as the test does")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::guard::is_alive;
use xtask::supervise::guarded::use_guard_program;
use xtask::supervise::{ChildSpec, Guarded, Ready, Supervisor};

/// The program with the `guard` subcommand.
const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// Where the process that plays the supervisor writes what it started.
const REPORT: &str = "SUPERVISION_TEST_REPORT";

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_closing_pipe_ends_the_child_and_removes_the_folder() {
    let folder = owned_folder();
    let (mut guard, child) = guarded_sleep(&folder);
    drop(guard.stdin.take());
    wait_until("the sleep is gone", || !is_alive(child));
    wait_until("the folder is gone", || !folder.exists());
    guard.wait().unwrap();
}

#[test]
fn a_killed_guard_takes_its_child_along() {
    let folder = owned_folder();
    let (mut guard, child) = guarded_sleep(&folder);
    guard.kill().unwrap();
    guard.wait().unwrap();
    wait_until("the sleep is gone", || !is_alive(child));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_guard_reports_its_childs_exit_code_and_signal() {
    for (script, expected) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let mut guard = Command::new(XTASK)
            .args(["guard", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let _held = guard.stdin.take();
        assert_eq!(guard.wait().unwrap().code(), Some(expected), "{script}");
    }
}

#[test]
fn a_sigkill_of_the_supervisor_leaves_no_process_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut supervisor = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plays_the_supervisor", "--ignored"])
        .env(REPORT, &report)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the supervisor has started all", || report.exists());
    let text = std::fs::read_to_string(&report).unwrap();
    let mut lines = text.lines();
    let scratch = PathBuf::from(lines.next().unwrap());
    let pids: Vec<i32> = lines.map(|line| line.parse().unwrap()).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)), "{text}");
    // A paused process would not notice a closing pipe by itself.
    kill(Pid::from_raw(pids[1]), Signal::SIGSTOP).unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_until("the processes are gone", || {
        pids.iter().all(|pid| !is_alive(*pid))
    });
    wait_until("the scratch folder is gone", || !scratch.exists());
}

/// Not a test by itself: the process that the test above kills.
#[tokio::test]
#[ignore = "runs until it is killed; started by another test"]
async fn plays_the_supervisor() {
    let report = PathBuf::from(std::env::var_os(REPORT).unwrap());
    let mut supervisor = supervisor("killed");
    supervisor
        .start(ChildSpec::new("first", Guarded::new("sleep").arg("1000")))
        .await
        .unwrap();
    supervisor
        .start(ChildSpec::new("second", Guarded::new("sleep").arg("1000")))
        .await
        .unwrap();
    let pids: Vec<String> = supervisor
        .status()
        .iter()
        .map(|child| child.pid.to_string())
        .collect();
    let scratch = supervisor.scratch().path().display();
    let partial = report.with_extension("partial");
    std::fs::write(&partial, format!("{scratch}\n{}\n", pids.join("\n"))).unwrap();
    std::fs::rename(partial, report).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_child_comes_back_under_its_name() {
    let mut supervisor = supervisor("restart");
    supervisor
        .start(ChildSpec::new("sleep", Guarded::new("sleep").arg("1000")))
        .await
        .unwrap();
    let before = supervisor.status_one("sleep").unwrap().pid;
    supervisor.kill9("sleep").await.unwrap();
    assert_eq!(
        supervisor.status_one("sleep").unwrap().exited.as_deref(),
        Some("killed by SIGKILL")
    );
    assert!(!is_alive(before));
    supervisor.restart("sleep").await.unwrap();
    let after = supervisor.status_one("sleep").unwrap();
    assert!(after.exited.is_none() && after.pid != before && is_alive(after.pid));
    assert_eq!(supervisor.status().len(), 1);
    let scratch = supervisor.scratch().path().to_path_buf();
    supervisor.shutdown().await;
    assert!(!is_alive(after.pid));
    assert!(!scratch.exists());
}

#[tokio::test]
async fn a_stopped_child_got_sigterm_not_sigkill() {
    let mut supervisor = supervisor("stop");
    supervisor
        .start(ChildSpec::new("sleep", Guarded::new("sleep").arg("1000")))
        .await
        .unwrap();
    supervisor.stop("sleep").await.unwrap();
    assert_eq!(
        supervisor.status_one("sleep").unwrap().exited.as_deref(),
        Some("killed by SIGTERM")
    );
    supervisor.shutdown().await;
}

#[tokio::test]
async fn an_exit_nobody_asked_for_is_reported_with_the_last_lines() {
    let mut supervisor = supervisor("exit");
    let command = Guarded::new("sh").args(["-c", "echo the reason; exit 3"]);
    supervisor.start(ChildSpec::new("short", command)).await.unwrap();
    let exit = tokio::time::timeout(PATIENCE, supervisor.unexpected_exit())
        .await
        .unwrap();
    assert_eq!(
        (exit.name.as_str(), exit.status.as_str()),
        ("short", "exit code 3")
    );
    assert!(exit.tail.contains("the reason"));
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_child_that_dies_before_it_is_ready_fails_the_start_with_its_words() {
    let mut supervisor = supervisor("early");
    let ready = supervisor.ready_file("broken");
    let command = Guarded::new("sh").args(["-c", "echo no such part >&2; exit 1"]);
    let spec = ChildSpec::new("broken", command).ready(Ready::File(ready));
    let error = supervisor.start_ready(spec).await.unwrap_err().to_string();
    assert!(
        error.contains("exit code 1") && error.contains("no such part"),
        "{error}"
    );
}

#[tokio::test]
async fn a_ready_files_content_is_returned() {
    let mut supervisor = supervisor("ready");
    let ready = supervisor.ready_file("service");
    let script = format!(
        "echo '{{\"grpc\":\"127.0.0.1:1\"}}' > {0}.new && mv {0}.new {0} && sleep 1000",
        ready.display()
    );
    let spec = ChildSpec::new("service", Guarded::new("sh").args(["-c", &script])).ready(Ready::File(ready));
    let value = supervisor.start_ready(spec).await.unwrap();
    assert_eq!(value["grpc"], "127.0.0.1:1");
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_killed_at_the_deadline() {
    let mut supervisor = supervisor("stubborn");
    let ready = supervisor.ready_file("stubborn");
    let script = format!(
        "trap '' TERM; echo 1 > {0}.new; mv {0}.new {0}; sleep 1000 & wait; sleep 1000",
        ready.display()
    );
    let mut spec =
        ChildSpec::new("stubborn", Guarded::new("sh").args(["-c", &script])).ready(Ready::File(ready));
    spec.stop_within = Duration::from_millis(100);
    supervisor.start_ready(spec).await.unwrap();
    let pid = supervisor.status_one("stubborn").unwrap().pid;
    supervisor.shutdown().await;
    assert!(!is_alive(pid));
}

fn supervisor(name: &str) -> Supervisor {
    use_guard_program(PathBuf::from(XTASK));
    Supervisor::new(&format!("supervision-{name}"), &[]).unwrap()
}

fn owned_folder() -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix("holdfast-guard-")
        .tempdir()
        .unwrap()
        .keep();
    std::fs::write(folder.join("data"), "x").unwrap();
    folder
}

/// A guard over a long sleep, and the sleep's process id.
fn guarded_sleep(folder: &Path) -> (Child, i32) {
    let pid_file = folder.join("sleep.pid");
    let guard = Command::new(XTASK)
        .arg("guard")
        .args([Path::new("--owns"), folder, Path::new("--pid-file"), &pid_file])
        .args(["--", "sleep", "1000"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the guard wrote the process id", || pid_file.exists());
    let pid: i32 = std::fs::read_to_string(&pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(pid));
    (guard, pid)
}

/// Polls with a deadline.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
