//! `cargo xtask tidy`: the repository's own rules that no compiler knows.
//!
//! Headers (`headers`), who may depend on whom (`fences`), and texts that must not appear (`texts`). Each
//! finding names file and line. Left out: formatting and lints, which rustfmt and clippy do.

mod fences;
mod headers;
mod texts;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::progress::{complain, print};
use crate::workspace::Metadata;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 6] = [".git", "target", "node_modules", ".venv", "venv", "__pycache__"];

/// The largest file that is looked into.
const LARGEST: u64 = 1 << 20;

/// `cargo xtask tidy`.
#[derive(Debug, clap::Args)]
pub struct TidyArgs {}

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}: {}",
            self.file.display(),
            self.line,
            self.problem
        )
    }
}

/// Prints every finding; exit code 1 if there is one.
pub async fn run(_args: &TidyArgs) -> Result<u8> {
    let findings = check().await?;
    for finding in &findings {
        print(finding.to_string());
    }
    if findings.is_empty() {
        return Ok(0);
    }
    complain(format!("tidy: {} findings", findings.len()));
    Ok(1)
}

/// Looks at the whole repository.
pub async fn check() -> Result<Vec<Finding>> {
    let metadata = Metadata::load().await?;
    let root = &metadata.workspace_root;
    let mut findings = fences::check(&metadata, |path| {
        std::fs::read_to_string(path).unwrap_or_default()
    });
    for path in files_below(root)? {
        let relative = path.strip_prefix(root).unwrap_or(&path);
        // What is not UTF-8 is not text of ours.
        if let Ok(text) = std::fs::read_to_string(&path) {
            findings.extend(check_file(relative, &text));
        }
    }
    findings.sort();
    Ok(findings)
}

/// Every rule that looks at one file.
fn check_file(file: &Path, text: &str) -> Vec<Finding> {
    let mut problems = texts::check(text);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => problems.extend(headers::check_rust(text)),
        Some("lua") => problems.extend(headers::check_lua(
            &file.file_stem().unwrap_or_default().to_string_lossy(),
            text,
        )),
        _ => {}
    }
    let finding = |(line, problem)| Finding {
        file: file.to_path_buf(),
        line,
        problem,
    };
    problems.into_iter().map(finding).collect()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() && entry.metadata()?.len() <= LARGEST {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_points_to_its_line() {
        let findings = check_file(Path::new("crates/x/src/lib.rs"), "use std::fmt;\n");
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].to_string().starts_with("crates/x/src/lib.rs:1: "),
            "{}",
            findings[0]
        );
    }

    #[test]
    fn build_products_are_not_looked_at() {
        let root = tempfile::tempdir().unwrap();
        for name in ["target/a.rs", "src/b.rs", "x/node_modules/c.js"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        assert_eq!(files_below(root.path()).unwrap(), [root.path().join("src/b.rs")]);
    }
}
