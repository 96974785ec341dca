//! Where a service listens: for the log, for the ready file, for tests on port 0.
//!
//! Leaves out addresses the service connects to.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::json;

/// Bound addresses by name. Clones are handles of the same list.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Arc<Mutex<BTreeMap<String, SocketAddr>>>);

impl Addresses {
    /// Adds an address under a name such as `grpc`.
    pub fn add(&self, name: impl Into<String>, address: SocketAddr) {
        self.lock().insert(name.into(), address);
    }

    /// The address of that name.
    pub fn get(&self, name: &str) -> Option<SocketAddr> {
        self.lock().get(name).copied()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, SocketAddr> {
        self.lock().clone()
    }

    /// Writes `{"service", "pid", "addresses": {name: address}}` to `path`, whole or not at all: a reader that
    /// polls for the file never sees half of it.
    pub fn write(&self, service: &str, path: &Path) -> io::Result<()> {
        let body = json!({"service": service, "pid": process::id(), "addresses": self.all()});
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}.tmp", process::id()));
        let mut file = File::create(&unfinished)?;
        file.write_all(format!("{body}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> = self
            .lock()
            .iter()
            .map(|(name, address)| format!("{name} {address}"))
            .collect();
        f.write_str(&list.join(", "))
    }
}
