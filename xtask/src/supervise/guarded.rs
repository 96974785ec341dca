//! Commands that run under a guard (`crate::guard`), and tools that run to their end that way.
//!
//! Everything xtask starts, compilers included, goes through here: that is what keeps "no process left
//! behind" true for a SIGKILL as well. Left out: names, logs and readiness (`super::Supervisor`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// The program that has the `guard` subcommand, where that is not the running one.
static GUARD_PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// A command that will run under a guard.
#[derive(Debug, Clone)]
pub struct Guarded {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) envs: Vec<(OsString, OsString)>,
    hidden: Vec<OsString>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) grace: Duration,
    owns: Vec<PathBuf>,
    pid_file: Option<PathBuf>,
}

/// How a command ended and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Names the program that has the `guard` subcommand, for tests whose own executable is another one.
///
/// Only the first call counts.
pub fn use_guard_program(program: PathBuf) {
    let _first_call_counts = GUARD_PROGRAM.set(program);
}

impl Guarded {
    /// A command without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            hidden: Vec::new(),
            folder: None,
            grace: Duration::ZERO,
            owns: Vec::new(),
            pid_file: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Hides variables of our own environment.
    #[must_use]
    pub fn hide(mut self, keys: impl IntoIterator<Item = OsString>) -> Self {
        self.hidden.extend(keys);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((key.into(), value.into()));
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How long the child may take to end by itself after its standard input closed.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// A file or folder that the guard removes at the end.
    #[must_use]
    pub fn owns(mut self, path: impl Into<PathBuf>) -> Self {
        self.owns.push(path.into());
        self
    }

    /// Where the guard writes the child's process id.
    #[must_use]
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// Starts the guard, and through it the command. Dropping the returned child's `stdin` ends both.
    pub(crate) fn spawn(&self, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        let mut command = self_command("guard");
        for path in &self.owns {
            command.arg("--owns").arg(path);
        }
        if let Some(path) = &self.pid_file {
            command.arg("--pid-file").arg(path);
        }
        command.arg("--grace-ms").arg(self.grace.as_millis().to_string());
        command.arg("--").arg(&self.program).args(&self.args);
        for key in &self.hidden {
            command.env_remove(key);
        }
        command.envs(self.envs.iter().map(|(key, value)| (key, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        command
            .spawn()
            .with_context(|| format!("starting {}", self.program.to_string_lossy()))
    }

    /// Runs to the end with xtask's own output streams. Dropping the future kills the command.
    pub async fn run(&self) -> Result<ExitStatus> {
        let mut child = self.spawn(Stdio::inherit(), Stdio::inherit())?;
        // `wait` would close the standard input, which is what ends a guarded command.
        let _held = child.stdin.take();
        child.wait().await.context("waiting for a command")
    }

    /// Runs to the end and returns standard output; a failure carries standard error.
    pub async fn output(&self) -> Result<String> {
        let Outcome { status, out, err } = self.outcome().await?;
        if !status.success() {
            bail!(
                "{} failed ({status}):\n{}",
                self.describe(),
                super::tail::last_lines(&format!("{out}{err}"), 20)
            );
        }
        Ok(out)
    }

    /// Runs to the end, for those whose exit code is part of the answer.
    pub async fn outcome(&self) -> Result<Outcome> {
        let mut child = self.spawn(Stdio::piped(), Stdio::piped())?;
        let _held = child.stdin.take();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let read_out = async { read_all(stdout.as_mut(), &mut out).await };
        let read_err = async { read_all(stderr.as_mut(), &mut err).await };
        let (status, (), ()) = tokio::try_join!(async { Ok(child.wait().await?) }, read_out, read_err)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, err) = (text(out), text(err));
        Ok(Outcome { status, out, err })
    }

    /// The command as one would type it.
    #[must_use]
    pub fn describe(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// xtask itself, about to run a hidden subcommand.
pub(crate) fn self_command(subcommand: &str) -> Command {
    let running = Path::new("/proc/self/exe");
    let program = match GUARD_PROGRAM.get() {
        Some(program) => program.clone(),
        // This name still works after a newer build has replaced the file.
        None if running.exists() => running.to_path_buf(),
        None => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("xtask")),
    };
    let mut command = Command::new(program);
    command.arg0(format!("holdfast-{subcommand}")).arg(subcommand);
    command
}

async fn read_all(from: Option<&mut (impl AsyncReadExt + Unpin)>, into: &mut Vec<u8>) -> Result<()> {
    if let Some(from) = from {
        from.read_to_end(into).await?;
    }
    Ok(())
}
