//! Redis for the tests: servers of their own, which end with the test, or one that is named by an environment
//! variable. Leaves out what only one test does to its server.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod cluster;
pub(crate) mod samples;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use store::{Durability, StoreConfig};
use tempfile::TempDir;

/// A Redis server that ends with this value.
pub(crate) struct Redis {
    /// Its port on the loopback address.
    pub(crate) port: u16,
    dir: TempDir,
    args: Vec<String>,
    child: Option<Child>,
}

/// How the server keeps what it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Append-only file, flushed before every reply.
    Always,
    /// Nothing.
    Nothing,
}

impl Redis {
    /// Starts a server with further arguments.
    pub(crate) fn start(keeps: Keeps, more: &[&str]) -> Result<Self> {
        let mut args: Vec<String> = ["--save", ""].map(str::to_owned).to_vec();
        if keeps == Keeps::Always {
            args.extend(["--appendonly", "yes", "--appendfsync", "always"].map(str::to_owned));
        }
        args.extend(more.iter().map(|a| (*a).to_owned()));
        let mut redis = Self {
            port: free_port()?,
            dir: TempDir::new()?,
            args,
            child: None,
        };
        redis.run()?;
        Ok(redis)
    }

    /// Starts it again after `kill`, on the same port and data.
    pub(crate) fn run(&mut self) -> Result<()> {
        let log = self.dir.path().join("log");
        let child = Command::new(binary("HOLDFAST_TEST_REDIS_SERVER", "redis-server"))
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--protected-mode",
                "no",
            ])
            .arg("--dir")
            .arg(self.dir.path())
            .arg("--logfile")
            .arg(&log)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start redis-server")?;
        self.child = Some(child);
        self.wait_until_ready(&log)
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self
                .child
                .as_mut()
                .is_some_and(|c| c.try_wait().is_ok_and(|s| s.is_some()))
            {
                bail!(
                    "redis-server ended: {}",
                    std::fs::read_to_string(log).unwrap_or_default()
                );
            }
            if self.cli(&["PING"]).is_ok_and(|answer| answer.trim() == "PONG") {
                return Ok(());
            }
            std::thread::yield_now();
        }
        bail!(
            "redis-server is not ready: {}",
            std::fs::read_to_string(log).unwrap_or_default()
        )
    }

    /// Asks the server by its command line.
    pub(crate) fn cli(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(binary("HOLDFAST_TEST_REDIS_CLI", "redis-cli"))
            .args(["-p", &self.port.to_string()])
            .args(args)
            .output()
            .context("cannot run redis-cli")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: impl Into<Option<nix::sys::signal::Signal>>) -> Result<()> {
        let child = self.child.as_ref().context("not running")?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
        Ok(nix::sys::signal::kill(pid, signal.into())?)
    }

    /// Its address for the configuration.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A configuration for a server, with a prefix that no other test has.
pub(crate) fn config(url: String, durability: Durability) -> StoreConfig {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    StoreConfig {
        url,
        durability,
        prefix: format!("t{}x{count}", std::process::id()),
        slots: 16,
        connections: 2,
        connect_timeout_ms: 10_000,
        ..StoreConfig::default()
    }
}

/// Polls until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> Result<u16> {
    // Below the range of automatic ports, so that no outgoing connection takes it meanwhile, and low enough for
    // a cluster's second port, 10,000 above it.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..2_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id().wrapping_mul(37).wrapping_add(step) % 9_000);
        let port = u16::try_from(port)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// A program named by an environment variable, or found on PATH.
pub(crate) fn binary(variable: &str, name: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| name.to_owned())
}
