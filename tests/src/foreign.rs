//! Scripts around libraries that nobody here wrote: their installation, once, below the folder of build products,
//! and what they say while they run: a JSON object a line.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::sync::OnceCell;
use xtask::supervise::Guarded;
use xtask::workspace::{Metadata, root};

use crate::system::System;
use crate::tools::Tools;
use crate::wait::eventually;

/// The Python whose environment has exactly the pinned packages.
pub async fn python() -> &'static Path {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON.get_or_init(install_python).await
}

/// A call of Node with the pinned packages.
pub async fn node() -> Guarded {
    static MODULES: OnceCell<PathBuf> = OnceCell::const_new();
    let modules = MODULES.get_or_init(install_node).await;
    Guarded::new("node").env("NODE_PATH", modules)
}

/// One of our scripts.
#[must_use]
pub fn script(path: &str) -> PathBuf {
    scripts().join(path)
}

/// Waits until a running script has said something that fits.
pub async fn said(system: &System, name: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(format_args!("{name} says {what}"), async || {
        sayings(system, name).into_iter().find(|saying| fits(saying))
    })
    .await
}

/// Everything that a running script has said.
#[must_use]
pub fn sayings(system: &System, name: &str) -> Vec<Value> {
    // Libraries may complain between the lines, and the last line may be unfinished.
    system
        .log(name)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

async fn install_python() -> PathBuf {
    let folder = build_products("foreign-venv").await;
    let python = folder.join("bin/python");
    let requirements = script("python/requirements.txt");
    once(&folder, &requirements, async || {
        let create = Guarded::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder);
        create
            .output()
            .await
            .expect("python3 with venv (on Debian: apt-get install python3-venv)");
        let install = Guarded::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]);
        install
            .arg(&requirements)
            .output()
            .await
            .expect("pip installs the pinned packages");
    })
    .await;
    python
}

async fn install_node() -> PathBuf {
    let folder = build_products("foreign-node").await;
    once(&folder, &script("node/package-lock.json"), async || {
        std::fs::create_dir_all(&folder).expect("a folder for the packages");
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(script("node").join(file), folder.join(file)).expect("the list of packages");
        }
        let install = Guarded::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .folder(&folder);
        install
            .output()
            .await
            .expect("npm installs the pinned packages (on Debian: apt-get install nodejs npm)");
    })
    .await;
    folder.join("node_modules")
}

/// Installs where that was not done, not finished or done from another list.
async fn once(folder: &Path, list: &Path, install: impl AsyncFnOnce()) {
    let wanted = std::fs::read_to_string(list).expect("the list of packages");
    let stamp = folder.join("installed-from");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return;
    }
    install().await;
    std::fs::write(stamp, wanted).expect("a note of what is installed");
}

async fn build_products(name: &str) -> PathBuf {
    // They name the guard that everything runs under, installations too.
    let _prepared = Tools::get().await;
    Metadata::load()
        .await
        .expect("cargo metadata")
        .target_directory
        .join(name)
}

fn scripts() -> PathBuf {
    root().expect("the workspace").join("tests/foreign")
}
