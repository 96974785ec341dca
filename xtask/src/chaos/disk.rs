//! A small disk for Redis that can be filled: a tmpfs in a mount namespace of its own, which lives as long as a process
//! that holds it. However the run ends, the kernel takes the mount away with the holder; nothing is left to unmount.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::supervise::{ChildSpec, Guarded, Supervisor, find_program};

/// How large the disk is: room for the append-only file and its rewriting.
const SIZE: &str = "256m";

/// The file that takes the rest of the room.
const FILLER: &str = "filler";

/// How long mounting may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The disk.
#[derive(Debug)]
pub(super) struct Disk {
    holder: i32,
    folder: PathBuf,
}

impl Disk {
    /// Mounts over `folder` for those who enter the namespace. An error says why it cannot be had here.
    pub(super) async fn mount(supervisor: &mut Supervisor, folder: &Path) -> Result<Self> {
        if find_program(&["unshare"]).is_none() || find_program(&["nsenter"]).is_none() {
            bail!("there is no unshare and nsenter (util-linux)");
        }
        let script =
            "mount -t tmpfs -o size=\"$0\" tmpfs \"$1\" && : > \"$1/mounted\" && exec sleep infinity";
        let command = Guarded::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "--",
                "sh",
                "-c",
                script,
                SIZE,
            ])
            .arg(folder);
        supervisor.start(ChildSpec::new("redis-disk", command)).await?;
        let holder = supervisor.status_one("redis-disk")?.pid;
        let folder = folder.to_owned();
        let disk = Self { holder, folder };
        let deadline = Instant::now() + PATIENCE;
        while !disk.seen_from_outside("mounted").exists() {
            let status = supervisor.status_one("redis-disk")?;
            if status.exited.is_some() || Instant::now() > deadline {
                let said = crate::supervise::tail::of_file(&status.log, 3);
                bail!(
                    "a tmpfs cannot be mounted in a namespace of its own: {}",
                    said.trim()
                );
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(disk)
    }

    /// The command, run where the disk is seen.
    pub(super) fn within(&self, command: &Guarded) -> Guarded {
        let inner = Guarded::new("nsenter")
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder))
            .arg("--")
            .arg(&command.program)
            .args(&command.args);
        command
            .envs
            .iter()
            .fold(inner, |inner, (key, value)| inner.env(key, value))
    }

    /// Takes all the room that is left.
    pub(super) fn fill(&self) -> Result<()> {
        let path = self.seen_from_outside(FILLER);
        let mut file = std::fs::File::create(&path).context("filling the disk")?;
        // In ever smaller pieces, down to the last byte that is free.
        for size in [1 << 20, 4096, 1] {
            while file.write(&vec![0; size]).is_ok_and(|written| written > 0) {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn free(&self) -> Result<()> {
        match std::fs::remove_file(self.seen_from_outside(FILLER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("freeing the disk")
            }
            _ => Ok(()),
        }
    }

    /// Where a file of the disk is found without entering the namespace.
    pub(super) fn seen_from_outside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder));
        let folder = self.folder.strip_prefix("/").unwrap_or(&self.folder);
        root.join(folder).join(name)
    }
}
