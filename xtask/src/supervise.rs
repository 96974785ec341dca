//! The process supervisor: named children with logs in a scratch folder, readiness, kills, restarts, ordered end.
//!
//! Invariant: no child and no file outlives the supervisor, however it ends. Every child runs under a guard
//! (`crate::guard`) that notices the closing of a pipe; the scratch folder has a janitor of the same kind.
//! Left out: what the children are (`crate::parts`, `crate::stack`).

mod child;
pub mod guarded;
mod scratch;
pub mod tail;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use tokio::sync::mpsc;

use child::Child;
pub use child::{ChildSpec, Ready};
pub use guarded::Guarded;
pub use scratch::Scratch;

use crate::progress::complain;

/// How many unexpected exits are kept for a reader.
const EXIT_QUEUE: usize = 64;

/// A child that ended though nobody asked it to.
#[derive(Debug, Clone)]
pub struct UnexpectedExit {
    /// The child's name.
    pub name: String,
    /// How it ended, in words.
    pub status: String,
    /// The last lines of its log, indented.
    pub tail: String,
}

/// What a listing shows of one child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// The child's name.
    pub name: String,
    /// Its own process id, not that of its guard.
    pub pid: i32,
    /// How it ended, if it did.
    pub exited: Option<String>,
    /// Its log.
    pub log: PathBuf,
}

/// Named children and their scratch folder.
#[derive(Debug)]
pub struct Supervisor {
    // Declared first, dropped first: the guards must begin to kill before the janitor waits for them.
    children: Vec<Child>,
    exits: mpsc::Receiver<UnexpectedExit>,
    exit_sender: mpsc::Sender<UnexpectedExit>,
    scratch: Scratch,
}

impl Supervisor {
    /// A supervisor with a new scratch folder; the files `also` are removed together with it.
    pub fn new(name: &str, also: &[PathBuf]) -> Result<Self> {
        let (exit_sender, exits) = mpsc::channel(EXIT_QUEUE);
        Ok(Self {
            children: Vec::new(),
            exits,
            exit_sender,
            scratch: Scratch::new(name, also)?,
        })
    }

    /// The run's folder: logs, ready files, data.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Starts a child; a child of the same name that has ended is replaced in its place.
    pub async fn start(&mut self, spec: ChildSpec) -> Result<()> {
        let place = self
            .children
            .iter()
            .position(|child| child.spec.name == spec.name);
        if let Some(place) = place {
            self.children[place].stop().await;
        }
        let child = Child::start(spec, self.scratch.path(), self.exit_sender.clone()).await?;
        match place {
            Some(place) => self.children[place] = child,
            None => self.children.push(child),
        }
        Ok(())
    }

    /// Starts a child and waits until it is ready; returns its ready file's content, where it has one.
    pub async fn start_ready(&mut self, spec: ChildSpec) -> Result<serde_json::Value> {
        let name = spec.name.clone();
        self.start(spec).await?;
        self.wait_ready(&name).await
    }

    /// Waits until a child is ready.
    pub async fn wait_ready(&mut self, name: &str) -> Result<serde_json::Value> {
        self.child_mut(name)?.wait_ready().await
    }

    /// Kills a child as a crash would.
    pub async fn kill9(&mut self, name: &str) -> Result<()> {
        self.child_mut(name)?.kill9().await
    }

    /// Sends a signal to a child, for instance SIGSTOP.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        self.child(name)?.signal(signal)
    }

    /// Starts a child again with the specification it had, and waits until it is ready.
    pub async fn restart(&mut self, name: &str) -> Result<serde_json::Value> {
        let spec = self.child(name)?.spec.clone();
        self.start_ready(spec).await
    }

    /// Ends one child in order; it stays in the listing.
    pub async fn stop(&mut self, name: &str) -> Result<()> {
        let child = self.child_mut(name)?;
        if !child.stop().await {
            complain(format!(
                "{name} did not end within {} s and was killed",
                child.spec.stop_within.as_secs()
            ));
        }
        Ok(())
    }

    /// Ends all children, the last started first, then removes the scratch folder.
    pub async fn shutdown(mut self) {
        let names: Vec<String> = self
            .children
            .iter()
            .rev()
            .map(|child| child.spec.name.clone())
            .collect();
        // From here on nobody's exit is news, also of a child that misses a part that ended before it.
        for child in &self.children {
            child.expect_exit();
        }
        for name in names {
            let _known = self.stop(&name).await;
        }
    }

    /// The next exit nobody asked for.
    pub async fn unexpected_exit(&mut self) -> UnexpectedExit {
        match self.exits.recv().await {
            Some(exit) => exit,
            // The supervisor itself holds a sender, so the queue cannot close.
            None => std::future::pending().await,
        }
    }

    /// Every child in the order of its start.
    #[must_use]
    pub fn status(&self) -> Vec<ChildStatus> {
        self.children.iter().map(status_of).collect()
    }

    /// One child by name.
    pub fn status_one(&self, name: &str) -> Result<ChildStatus> {
        self.child(name).map(status_of)
    }

    /// A child's log.
    #[must_use]
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.log"))
    }

    /// Where a child's ready file belongs.
    #[must_use]
    pub fn ready_file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.ready.json"))
    }

    fn child(&self, name: &str) -> Result<&Child> {
        Ok(&self.children[self.position(name)?])
    }

    fn child_mut(&mut self, name: &str) -> Result<&mut Child> {
        let position = self.position(name)?;
        Ok(&mut self.children[position])
    }

    /// Where a child is among all; an error names those that there are.
    fn position(&self, name: &str) -> Result<usize> {
        let names = self.children.iter().map(|child| child.spec.name.as_str());
        match names.clone().position(|known| known == name) {
            Some(position) => Ok(position),
            None => {
                let known = names.collect::<Vec<_>>().join(", ");
                Err(anyhow!("nothing here is called {name:?}; there are {known}"))
            }
        }
    }
}

impl ChildSpec {
    /// A child that is ready when it runs, with a minute to become ready and ten seconds to end.
    pub fn new(name: impl Into<String>, command: Guarded) -> Self {
        Self {
            name: name.into(),
            command,
            ready: Ready::Started,
            ready_within: Duration::from_secs(60),
            stop_within: Duration::from_secs(10),
        }
    }

    /// Ready means this.
    #[must_use]
    pub fn ready(mut self, ready: Ready) -> Self {
        self.ready = ready;
        self
    }
}

/// The first of `names` that is an executable file on PATH.
#[must_use]
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn status_of(child: &Child) -> ChildStatus {
    ChildStatus {
        name: child.spec.name.clone(),
        pid: child.pid,
        exited: child.exited().map(child::describe),
        log: child.log.clone(),
    }
}
