//! The folder of one run under the system's temporary folder, and the janitor that removes it in every case.
//!
//! The janitor is a guard without a command: it waits until xtask is gone and the run's processes are too,
//! then removes the folder. A normal end goes the same way, so that path is tried by every run.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use super::guarded::self_command;

/// A folder that exists as long as this value, and no longer than the process.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Makes the folder in the system's temporary folder; the files `also` are removed with it.
    pub fn new(name: &str, also: &[PathBuf]) -> Result<Self> {
        Self::new_in(&std::env::temp_dir(), &format!("holdfast-{name}"), also)
    }

    /// Makes the folder in `base` and starts its janitor.
    pub fn new_in(base: &Path, name: &str, also: &[PathBuf]) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        let folder = builder
            .prefix(&format!("{name}-"))
            .tempdir_in(base)
            .context("making a scratch folder")?;
        let mut command = self_command("guard").into_std();
        for path in also.iter().map(PathBuf::as_path).chain([folder.path()]) {
            command.arg("--owns").arg(path);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let janitor = command
            .spawn()
            .context("starting the janitor of the scratch folder")?;
        Ok(Self {
            folder: folder.keep(),
            janitor,
        })
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes a folder within and returns its path.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Closing the pipe is the signal; waiting makes "nothing is left" true when xtask returns.
        drop(self.janitor.stdin.take());
        let _already_gone = self.janitor.wait();
    }
}
