//! The state file of a detached stack, and what a listing shows.
//!
//! The supervisor process writes it by an atomic rename and its janitor removes it. A reader trusts it only
//! if the process it names still lives and is the same one. Left out: changing anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::running::Addresses;
use super::settings::{METRICS_PATH, ocpp_url, redis_url};
use crate::guard::is_alive;

/// What a listing shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// `apache` or `embedded`.
    pub broker: String,
    /// Every process in the order of its start.
    pub processes: Vec<ProcessState>,
}

/// One process of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: i32,
    /// `running`, or how it ended.
    pub state: String,
    /// The router's gRPC address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grpc: Option<SocketAddr>,
    /// The URL to which a charger appends its identity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ocpp: Option<String>,
    /// The metrics' URL; the probes are beside it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metrics: Option<String>,
    /// Redis' URL.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redis: Option<String>,
    /// The broker's bootstrap address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kafka: Option<SocketAddr>,
    /// Its log.
    pub log: PathBuf,
}

/// The content of a state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The stack's name.
    pub name: String,
    /// The process that supervises it.
    pub supervisor: ProcessIdentity,
    /// The folder with logs and data.
    pub scratch: PathBuf,
    /// The processes.
    #[serde(flatten)]
    pub view: View,
}

/// A process id that cannot be mistaken for a later process of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: i32,
    /// When it began, in the kernel's ticks since boot; 0 where that is not known.
    pub began: u64,
}

impl ProcessState {
    /// A process without addresses.
    #[must_use]
    pub fn new(name: &str, pid: i32, exited: Option<String>, log: PathBuf) -> Self {
        let state = exited.unwrap_or_else(|| "running".to_owned());
        Self {
            name: name.to_owned(),
            pid,
            state,
            log,
            ..Self::default()
        }
    }

    /// Fills in where this process listens.
    pub fn add_addresses(&mut self, addresses: &Addresses) {
        match self.name.as_str() {
            "redis" => self.redis = addresses.redis.map(redis_url),
            "kafka" => self.kafka = addresses.kafka,
            _ => {}
        }
        if let Some((_, router)) = addresses.routers.iter().find(|(name, _)| *name == self.name) {
            self.grpc = Some(router.grpc);
        }
        if let Some((_, edge)) = addresses.edges.iter().find(|(name, _)| *name == self.name) {
            self.ocpp = Some(ocpp_url(edge.ocpp));
        }
        self.metrics = addresses
            .admin_of(&self.name)
            .map(|admin| format!("http://{admin}{METRICS_PATH}"));
    }
}

impl ProcessIdentity {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        let pid = nix::unistd::getpid().as_raw();
        Self {
            pid,
            began: began(pid).unwrap_or(0),
        }
    }

    /// Whether exactly this process still lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        is_alive(self.pid) && (self.began == 0 || began(self.pid) == Some(self.began))
    }
}

impl State {
    /// Reads the state file of a stack that lives; a leftover of one that does not is removed.
    pub fn read(name: &str) -> Result<Option<Self>> {
        let path = path_of(name)?;
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(None);
        };
        check_owner(&path)?;
        let state: Self =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        if state.supervisor.lives() {
            return Ok(Some(state));
        }
        let _raced = std::fs::remove_file(&path);
        Ok(None)
    }

    /// Writes the state file.
    pub fn write(&self) -> Result<()> {
        let path = path_of(&self.name)?;
        let partial = path.with_extension("partial");
        let text = serde_json::to_string_pretty(self)?;
        let _absent = std::fs::remove_file(&partial);
        write_new(&partial, &(text + "\n")).with_context(|| format!("writing {}", partial.display()))?;
        std::fs::rename(&partial, &path).with_context(|| format!("renaming to {}", path.display()))
    }
}

/// Where the state file of a stack of this name is.
pub fn path_of(name: &str) -> Result<PathBuf> {
    check_name(name)?;
    Ok(folder().join(format!("holdfast-{}-stack-{name}.json", nix::unistd::getuid())))
}

/// A name becomes part of file names, so it is kept to what is safe there.
pub fn check_name(name: &str) -> Result<()> {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 40 || !name.chars().all(safe) {
        bail!("a stack's name is 1 to 40 letters, digits, '-' or '_', not {name:?}");
    }
    Ok(())
}

/// The folder for things that live as long as processes do: the user's own, else the temporary one.
fn folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir());
    runtime.unwrap_or_else(std::env::temp_dir)
}

/// The temporary folder is everybody's: what a state file says is believed only if it is ours.
fn check_owner(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::symlink_metadata(path)?.uid();
    if owner != nix::unistd::getuid().as_raw() {
        bail!("{} belongs to user {owner}", path.display());
    }
    Ok(())
}

/// Writes a file that must not exist yet, so that nobody's link is followed.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// When a process began, in ticks since boot: the 22nd field of its `stat`, the 20th behind its name.
fn began(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::settings::{EdgeAddresses, RouterAddresses};

    fn addresses() -> Addresses {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Addresses {
            redis: Some(at(1)),
            kafka: Some(at(2)),
            routers: vec![(
                "router-1".to_owned(),
                RouterAddresses {
                    grpc: at(3),
                    admin: at(4),
                },
            )],
            edges: vec![(
                "edge-1".to_owned(),
                EdgeAddresses {
                    ocpp: at(5),
                    admin: at(6),
                },
            )],
        }
    }

    fn process(name: &str) -> ProcessState {
        let mut process = ProcessState::new(name, 7, None, PathBuf::from("x.log"));
        process.add_addresses(&addresses());
        process
    }

    #[test]
    fn each_process_shows_its_own_addresses_only() {
        assert_eq!(process("redis").redis.as_deref(), Some("redis://127.0.0.1:1"));
        assert_eq!(process("redis").metrics, None);
        assert_eq!(
            process("router-1").metrics.as_deref(),
            Some("http://127.0.0.1:4/metrics")
        );
        assert_eq!(process("edge-1").ocpp.as_deref(), Some("ws://127.0.0.1:5/ocpp"));
        assert_eq!(process("edge-1").grpc, None);
    }

    #[test]
    fn a_state_survives_its_file_form() {
        let state = State {
            name: "default".to_owned(),
            supervisor: ProcessIdentity { pid: 1, began: 2 },
            scratch: PathBuf::from("scratch"),
            view: View {
                broker: "apache".to_owned(),
                processes: vec![process("kafka"), process("edge-1")],
            },
        };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }

    #[test]
    fn a_process_is_recognised_by_its_beginning_not_by_its_number_alone() {
        let own = ProcessIdentity::own();
        assert!(own.lives());
        assert!(
            !ProcessIdentity {
                began: own.began + 1,
                ..own
            }
            .lives()
        );
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        assert!(check_name("default").is_ok());
        for name in ["", "../x", "a b", &"x".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
