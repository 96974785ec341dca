//! Where the workspace and its build products are, and how cargo is called.
//!
//! Left out: what is built for which purpose (`crate::stack::binaries`, `crate::test`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::supervise::Guarded;

/// What `cargo metadata --no-deps` says, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// The members.
    pub packages: Vec<Package>,
    /// Where build products go.
    pub target_directory: PathBuf,
    /// The folder of the root manifest.
    pub workspace_root: PathBuf,
}

/// One workspace member.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub manifest_path: PathBuf,
    /// Its declared dependencies of every kind.
    pub dependencies: Vec<Dependency>,
}

/// One declared dependency.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The package's name, not what it may be renamed to.
    pub name: String,
}

impl Metadata {
    /// Asks cargo.
    pub async fn load() -> Result<Self> {
        let text = cargo(&root()?)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .await?;
        serde_json::from_str(&text).context("reading cargo metadata")
    }
}

/// The workspace's folder: that of the nearest manifest with a `[workspace]`, from here upwards.
pub fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the working folder")?;
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let found = [Some(here), manifest]
        .into_iter()
        .flatten()
        .find_map(|start| find_root(&start));
    found.context("no Cargo workspace here; run `cargo xtask` from within the repository")
}

/// A guarded call of the cargo that runs us, in the workspace's folder.
///
/// It must not see what `cargo run` tells us of our own package: build scripts watch those variables, and every
/// change between a call from here and one by hand would compile half of the dependencies again.
#[must_use]
pub fn cargo(root: &Path) -> Guarded {
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")
    });
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Guarded::new(program).folder(root).hide(ours)
}

fn find_root(start: &Path) -> Option<PathBuf> {
    let is_root = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
    };
    start.ancestors().find(is_root).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_a_folder_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("crates/some/src");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(find_root(&below), None);
        std::fs::write(folder.path().join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
        assert_eq!(find_root(&below), Some(folder.path().to_path_buf()));
    }
}
