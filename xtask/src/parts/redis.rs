//! One Redis (or Valkey) server as the product expects it: append-only file, fsync before every answer.
//!
//! Left out: how the program gets onto the machine (`redis_install`) and clusters (`cluster`).

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::redis_install;
use crate::net;
use crate::progress::say;
use crate::supervise::{ChildSpec, Guarded, Ready, Supervisor, find_program};

/// The oldest major version that has everything the scripts use.
const OLDEST_MAJOR: u32 = 7;

/// The programs of one Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisProgram {
    /// `redis-server` or `valkey-server`.
    pub server: PathBuf,
    /// `redis-cli` or `valkey-cli`.
    pub cli: PathBuf,
    /// Where its libraries lie when it was unpacked instead of installed.
    pub library_path: Option<OsString>,
}

impl RedisProgram {
    /// Finds a server of a sufficient version on PATH, or gets one; says what it does.
    pub async fn find_or_get(offline: bool) -> Result<Self> {
        for (server, cli) in [("redis-server", "redis-cli"), ("valkey-server", "valkey-cli")] {
            let (Some(server), Some(cli)) = (find_program(&[server]), find_program(&[cli])) else {
                continue;
            };
            let program = Self {
                server,
                cli,
                library_path: None,
            };
            match program.major_version() {
                Some(major) if major >= OLDEST_MAJOR => return Ok(program),
                found => say(format!(
                    "{} is version {}, {OLDEST_MAJOR} or later is needed",
                    program.server.display(),
                    found.map_or_else(|| "unknown".to_owned(), |major| major.to_string()),
                )),
            }
        }
        redis_install::get(offline).await
    }

    /// A guarded call of the server.
    #[must_use]
    pub fn server_command(&self) -> Guarded {
        self.with_libraries(Guarded::new(&self.server))
    }

    /// A guarded call of the command line client.
    #[must_use]
    pub fn cli_command(&self) -> Guarded {
        self.with_libraries(Guarded::new(&self.cli))
    }

    /// The server's major version, if it runs at all.
    pub(super) fn major_version(&self) -> Option<u32> {
        let mut command = Command::new(&self.server);
        command.arg("--version");
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        parse_major_version(&String::from_utf8_lossy(&command.output().ok()?.stdout))
    }

    fn with_libraries(&self, command: Guarded) -> Guarded {
        match &self.library_path {
            Some(path) => command.env("LD_LIBRARY_PATH", path),
            None => command,
        }
    }
}

/// Starts a server on a free port with its data in the scratch folder, and waits until it answers.
pub async fn start(supervisor: &mut Supervisor, program: &RedisProgram, name: &str) -> Result<SocketAddr> {
    let data = supervisor.scratch().subfolder(name)?;
    let address = net::free_address()?;
    supervisor
        .start_ready(child_spec(program, name, address, &data, &[]))
        .await?;
    Ok(address)
}

/// How a server is started; `extra` are further arguments.
#[must_use]
pub fn child_spec(
    program: &RedisProgram,
    name: &str,
    address: SocketAddr,
    data: &Path,
    extra: &[String],
) -> ChildSpec {
    let command = program
        .server_command()
        .args([
            "--port",
            &address.port().to_string(),
            "--bind",
            &address.ip().to_string(),
        ])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--auto-aof-rewrite-min-size",
            "512mb",
            "--save",
            "",
            "--daemonize",
            "no",
        ])
        .arg("--dir")
        .arg(data)
        .args(extra);
    let mut spec = ChildSpec::new(name, command);
    // An answer other than PONG means that the append-only file is still being read.
    spec.ready = Ready::Reply {
        address,
        request: "PING\r\n",
        reply: "+PONG",
    };
    spec.ready_within = Duration::from_secs(30);
    spec
}

/// The major version in what `redis-server --version` and `valkey-server --version` print.
fn parse_major_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_servers_versions_are_understood() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=d8b";
        assert_eq!(parse_major_version(redis), Some(7));
        assert_eq!(
            parse_major_version("Valkey server v=8.0.1 sha=00000000:0 malloc=libc"),
            Some(8)
        );
        assert_eq!(parse_major_version("not a server"), None);
    }
}
