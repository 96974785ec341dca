//! Getting Redis from Debian's packages: unpacked into the cache folder, or installed when that runs as root.
//!
//! Left out: other systems; there the error names what to do by hand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache_folder;
use super::redis::RedisProgram;
use crate::progress::say;
use crate::supervise::{Guarded, Scratch, find_program};

/// What to do by hand.
const ADVICE: &str = "install it with one of:\n    sudo apt-get install redis-server\n    sudo dnf install valkey\n    brew install redis";

/// Gets a server that is not on PATH: from the cache, by installing as root, or by unpacking packages.
pub async fn get(offline: bool) -> Result<RedisProgram> {
    let unpacked = cache_folder()?.join("redis");
    if let Some(program) = in_folder(&unpacked) {
        return Ok(program);
    }
    if offline {
        bail!("there is no Redis 7 or later on PATH, and --offline forbids fetching it; {ADVICE}");
    }
    if find_program(&["apt-get"]).is_none() || find_program(&["dpkg"]).is_none() {
        bail!("there is no Redis 7 or later on PATH, and no apt-get to fetch it with; {ADVICE}");
    }
    if nix::unistd::geteuid().is_root() {
        match install().await {
            Ok(program) => return Ok(program),
            Err(error) => say(format!("installing failed, unpacking instead: {error:#}")),
        }
    }
    unpack(&unpacked)
        .await
        .with_context(|| format!("Redis could not be fetched; {ADVICE}"))
}

/// Installs the package, without letting it start a server of its own.
async fn install() -> Result<RedisProgram> {
    say("Redis is missing: installing Debian's package redis-server (root)");
    let install = || apt(&[]).args(["install", "-y", "--no-install-recommends", "redis-server"]);
    if install().output().await.is_err() {
        apt(&[]).arg("update").output().await?;
        install().output().await?;
    }
    let server = find_program(&["redis-server"]).context("the package brought no redis-server")?;
    let cli = find_program(&["redis-cli"]).context("the package brought no redis-cli")?;
    let program = RedisProgram {
        server,
        cli,
        library_path: None,
    };
    program
        .major_version()
        .filter(|major| *major >= 7)
        .context("the package's Redis is older than 7")?;
    Ok(program)
}

/// Downloads the package and what it needs beyond the installed ones, and unpacks all into `target`.
async fn unpack(target: &Path) -> Result<RedisProgram> {
    say(format!(
        "Redis is missing: unpacking Debian's package redis-server into {}",
        target.display()
    ));
    let parent = target.parent().context("the cache folder has no parent")?;
    let work = Scratch::new_in(parent, "redis", &[])?;
    let packages = match missing_packages(&[]).await {
        Ok(packages) if download(&[], &packages, work.path()).await.is_ok() => packages,
        _ => download_with_own_lists(work.path()).await?,
    };
    let tree = work.path().join("tree");
    for package in files_ending(work.path(), ".deb")? {
        Guarded::new("dpkg")
            .arg("-x")
            .arg(&package)
            .arg(&tree)
            .output()
            .await?;
    }
    say(format!("unpacked {}", packages.join(", ")));
    // A rename is the marker: a half unpacked tree never bears the name.
    std::fs::rename(&tree, target).with_context(|| format!("renaming to {}", target.display()))?;
    in_folder(target).context("the unpacked Redis does not run")
}

/// The packages that `redis-server` needs and that are not installed, itself included.
async fn missing_packages(options: &[String]) -> Result<Vec<String>> {
    let simulate = ["install", "--simulate", "--no-install-recommends", "redis-server"];
    let packages = parse_simulation(&apt(options).args(simulate).output().await?);
    if packages.is_empty() {
        bail!("apt-get would install nothing");
    }
    Ok(packages)
}

async fn download(options: &[String], packages: &[String], folder: &Path) -> Result<()> {
    apt(options)
        .arg("download")
        .args(packages)
        .folder(folder)
        .output()
        .await?;
    Ok(())
}

/// The same with package lists of our own, since only root may refresh the system's.
async fn download_with_own_lists(folder: &Path) -> Result<Vec<String>> {
    say("the package lists are stale: fetching fresh ones beside the system's");
    let own = folder.join("apt");
    for name in ["lists/partial", "archives/partial"] {
        std::fs::create_dir_all(own.join(name))?;
    }
    let option = |key: &str, path: &str| format!("{key}={}", own.join(path).display());
    let options = [option("Dir::State::Lists", "lists"), option("Dir::Cache", "")];
    apt(&options).arg("update").output().await?;
    let packages = missing_packages(&options).await?;
    download(&options, &packages, folder).await?;
    Ok(packages)
}

/// An apt-get that asks nothing; the run level keeps a package's scripts from starting its server.
fn apt(options: &[String]) -> Guarded {
    let command = Guarded::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .arg("-q");
    options
        .iter()
        .fold(command, |command, option| command.arg("-o").arg(option))
}

/// The package names of `apt-get install --simulate`.
fn parse_simulation(text: &str) -> Vec<String> {
    let packages = text
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    packages.map(str::to_owned).collect()
}

/// The programs of an unpacked tree, if they run.
fn in_folder(tree: &Path) -> Option<RedisProgram> {
    let bin = tree.join("usr/bin");
    let libraries = library_folders(tree);
    let program = RedisProgram {
        server: bin.join("redis-server"),
        cli: bin.join("redis-cli"),
        library_path: Some(std::env::join_paths(libraries).ok()?),
    };
    program
        .major_version()
        .filter(|major| *major >= 7)
        .map(|_| program)
}

/// The folders below `tree` that hold shared libraries: one per architecture's name.
fn library_folders(tree: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for base in ["usr/lib", "lib"] {
        let base = tree.join(base);
        let entries = std::fs::read_dir(&base).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        folders.push(base);
    }
    folders
}

fn files_ending(folder: &Path, ending: &str) -> Result<Vec<OsString>> {
    let entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    Ok(entries
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(PathBuf::into_os_string)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulation_names_what_is_missing() {
        let text = "Reading package lists...\nInst libjemalloc2 (5.3.0-1 Debian:12 [amd64])\n\
                    Inst redis-server (5:7.0.15 Debian:12 [amd64])\nConf redis-server (5:7.0.15)\n";
        assert_eq!(parse_simulation(text), ["libjemalloc2", "redis-server"]);
    }
}
