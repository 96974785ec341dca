//! One supervised child: its specification, its guard, its log, its exit.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child as Process, ChildStdin};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::UnexpectedExit;
use super::guarded::Guarded;
use super::tail;
use crate::guard::PID_SUFFIX;
use crate::net;

/// How often files and processes are looked at while waiting.
const POLL: Duration = Duration::from_millis(10);

/// How long a guard may take to start its child.
const SPAWN_PATIENCE: Duration = Duration::from_secs(20);

/// What to start under which name, and how one sees that it is ready.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// The name in listings, logs and for `kill9`.
    pub name: String,
    /// The command.
    pub command: Guarded,
    /// What "ready" means.
    pub ready: Ready,
    /// How long it may take to become ready.
    pub ready_within: Duration,
    /// How long it may take to end after SIGTERM.
    pub stop_within: Duration,
}

/// What "ready" means for a child.
#[derive(Debug, Clone)]
pub enum Ready {
    /// Running is enough.
    Started,
    /// It wrote this file with its addresses, a JSON object, by an atomic rename.
    File(PathBuf),
    /// It accepts connections here.
    Tcp(SocketAddr),
    /// It answers this request, sent over a new connection, with something that begins so.
    Reply {
        /// Where to connect.
        address: SocketAddr,
        /// What to send.
        request: &'static str,
        /// How the answer begins.
        reply: &'static str,
    },
}

/// A child that was started.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) log: PathBuf,
    pub(super) pid: i32,
    /// Ends the guard when dropped.
    stdin: Option<ChildStdin>,
    exit: watch::Receiver<Option<ExitStatus>>,
    expected: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

impl Child {
    /// Starts a child and waits until its process id is known.
    pub(super) async fn start(
        spec: ChildSpec,
        folder: &Path,
        exits: mpsc::Sender<UnexpectedExit>,
    ) -> Result<Self> {
        let log = folder.join(format!("{}.log", spec.name));
        let pid_file = folder.join(format!("{}.{PID_SUFFIX}", spec.name));
        let _absent = std::fs::remove_file(&pid_file);
        if let Ready::File(path) = &spec.ready {
            let _absent = std::fs::remove_file(path);
        }
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .context("opening a log")?;
        let err = out.try_clone().context("opening a log")?;
        let guarded = spec.command.clone().pid_file(&pid_file);
        let mut guard = guarded.spawn(Stdio::from(out), Stdio::from(err))?;
        let stdin = guard.stdin.take();
        let expected = Arc::new(AtomicBool::new(false));
        let (sender, exit) = watch::channel(None);
        let report = ExitReport {
            name: spec.name.clone(),
            log: log.clone(),
            exits,
            expected: expected.clone(),
        };
        let watcher = tokio::spawn(report.watch(guard, sender));
        let mut child = Self {
            spec,
            log,
            pid: 0,
            stdin,
            exit,
            expected,
            watcher,
        };
        child.pid = child.read_pid(&pid_file).await?;
        Ok(child)
    }

    /// The exit status, once there is one.
    pub(super) fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits until the child is ready; for [`Ready::File`] the file's content is returned.
    pub(super) async fn wait_ready(&mut self) -> Result<serde_json::Value> {
        let patience = self.spec.ready_within;
        let Ok(outcome) = timeout(patience, self.poll_ready()).await else {
            let tail = tail::of_file(&self.log, 15);
            bail!(
                "{} was not ready within {} s; its last lines:\n{tail}",
                self.spec.name,
                patience.as_secs()
            );
        };
        outcome
    }

    /// Sends a signal to the child itself, not to its guard.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exited() {
            bail!("{} has ended already ({})", self.spec.name, describe(status));
        }
        kill(Pid::from_raw(self.pid), signal).with_context(|| format!("signalling {}", self.spec.name))
    }

    /// Kills the child as a crash would, and waits until it is gone.
    pub(super) async fn kill9(&mut self) -> Result<()> {
        if self.exited().is_none() {
            self.expect_exit();
            self.signal(Signal::SIGKILL)?;
            self.wait_exit().await;
        }
        Ok(())
    }

    /// SIGTERM, the deadline, SIGKILL; returns whether the deadline was kept.
    pub(super) async fn stop(&mut self) -> bool {
        self.expect_exit();
        if self.exited().is_some() {
            return true;
        }
        let group = Pid::from_raw(self.pid);
        let _gone = kill(group, Signal::SIGTERM);
        // A paused child could not act on SIGTERM.
        let _gone = kill(group, Signal::SIGCONT);
        let in_time = timeout(self.spec.stop_within, self.wait_exit()).await.is_ok();
        if !in_time {
            let _gone = killpg(group, Signal::SIGKILL);
        }
        drop(self.stdin.take());
        self.wait_exit().await;
        let _joined = (&mut self.watcher).await;
        in_time
    }

    /// From now on an exit is no news.
    pub(super) fn expect_exit(&self) {
        self.expected.store(true, Ordering::SeqCst);
    }

    async fn wait_exit(&mut self) {
        let _watcher_ended = self.exit.wait_for(Option::is_some).await;
    }

    async fn read_pid(&mut self, path: &Path) -> Result<i32> {
        let wait = async {
            loop {
                if let Ok(pid) = std::fs::read_to_string(path).unwrap_or_default().trim().parse() {
                    return Some(pid);
                }
                // A very short life may end before anybody has seen the file.
                if self.exited().is_some() {
                    return None;
                }
                sleep(POLL / 5).await;
            }
        };
        match timeout(SPAWN_PATIENCE, wait).await {
            Ok(Some(pid)) => Ok(pid),
            Ok(None) => self.ended_early(),
            Err(_) => bail!("the guard of {} did not start it", self.spec.name),
        }
    }

    async fn poll_ready(&mut self) -> Result<serde_json::Value> {
        loop {
            if self.exited().is_some() {
                return self.ended_early();
            }
            let ready = match &self.spec.ready {
                Ready::Started => true,
                Ready::Tcp(address) => net::accepts(*address).await,
                Ready::Reply {
                    address,
                    request,
                    reply,
                } => net::replies(*address, request, reply).await,
                Ready::File(path) => {
                    if let Ok(text) = std::fs::read_to_string(path) {
                        let name = &self.spec.name;
                        return serde_json::from_str(&text).with_context(|| format!("{name}'s ready file"));
                    }
                    false
                }
            };
            if ready {
                return Ok(serde_json::Value::Null);
            }
            sleep(POLL).await;
        }
    }

    fn ended_early<T>(&self) -> Result<T> {
        let status = self
            .exited()
            .map_or_else(String::new, |status| format!(" ({})", describe(status)));
        let tail = tail::of_file(&self.log, 15);
        bail!(
            "{} ended before it was ready{status}; its last lines:\n{tail}",
            self.spec.name
        )
    }
}

/// The task that owns the guard's process and reports its end.
struct ExitReport {
    name: String,
    log: PathBuf,
    exits: mpsc::Sender<UnexpectedExit>,
    expected: Arc<AtomicBool>,
}

impl ExitReport {
    async fn watch(self, mut guard: Process, sender: watch::Sender<Option<ExitStatus>>) {
        let status = guard.wait().await.unwrap_or_default();
        if !self.expected.load(Ordering::SeqCst) {
            let tail = tail::of_file(&self.log, 15);
            let exit = UnexpectedExit {
                name: self.name,
                status: describe(status),
                tail,
            };
            // With nobody reading, the queue may be full; the state still shows the exit.
            let _nobody_reads = self.exits.try_send(exit);
        }
        let _nobody_waits = sender.send(Some(status));
    }
}

/// A guard's exit status in words: it reports its child's signal as 128 plus the number.
pub(super) fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) if code > 128 => match Signal::try_from(code - 128) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("exit code {code}"),
        },
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}
