//! Who may depend on whom: the borders that earn a crate its existence.
//!
//! Left out: what comes in through another library; the licence and ban checker looks at the whole graph.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::workspace::{Metadata, Package};

/// A library and the only members that may name it.
const FENCED: [(&str, &[&str]); 3] = [
    ("fred", &["store"]),
    ("rdkafka", &["bus"]),
    ("tokio-tungstenite", &["edge", "simulator", "integration"]),
];

/// Members that depend on no other member.
const PURE: [&str; 2] = ["domain", "ocpp"];

/// Members that are deployed; none depends on another.
const SERVICES: [&str; 3] = ["edge", "router", "registry-sweeper"];

/// The only members that may depend on a service: they run services in process.
const RUN_SERVICES: [&str; 1] = ["integration"];

/// Every dependency that crosses a border; `read` gives a manifest's text.
pub(super) fn check(metadata: &Metadata, read: impl Fn(&Path) -> String) -> Vec<Finding> {
    let members: Vec<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let manifest = read(&package.manifest_path);
        for dependency in &package.dependencies {
            if let Some(problem) = problem(package, &dependency.name, &members) {
                let line = line_of(&manifest, &dependency.name);
                findings.push(Finding {
                    file: relative(metadata, package),
                    line,
                    problem,
                });
            }
        }
    }
    findings
}

fn problem(package: &Package, dependency: &str, members: &[&str]) -> Option<String> {
    let name = package.name.as_str();
    if let Some((_, allowed)) = FENCED.iter().find(|(fenced, _)| *fenced == dependency)
        && !allowed.contains(&name)
    {
        return Some(format!(
            "{name} must not name {dependency}: only {} may",
            allowed.join(", ")
        ));
    }
    if PURE.contains(&name) && members.contains(&dependency) {
        return Some(format!(
            "{name} is pure and depends on no member, not on {dependency}"
        ));
    }
    if SERVICES.contains(&dependency) && !RUN_SERVICES.contains(&name) {
        return Some(format!("{name} must not depend on the service {dependency}"));
    }
    None
}

/// The line that declares a dependency, or the first line when it is declared under another name.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let declares = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency)?;
        rest.starts_with(['.', ' ', '=']).then_some(())
    };
    manifest
        .lines()
        .position(|line| declares(line).is_some())
        .map_or(1, |index| index + 1)
}

fn relative(metadata: &Metadata, package: &Package) -> PathBuf {
    let path = &package.manifest_path;
    path.strip_prefix(&metadata.workspace_root)
        .unwrap_or(path)
        .to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of the given members, each with its dependencies.
    fn findings(packages: &[(&str, &[&str])]) -> Vec<String> {
        let list: Vec<serde_json::Value> = packages
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<_> = dependencies
                    .iter()
                    .map(|name| serde_json::json!({"name": name}))
                    .collect();
                let manifest = format!("/r/crates/{name}/Cargo.toml");
                serde_json::json!({"name": name, "manifest_path": manifest, "dependencies": dependencies})
            })
            .collect();
        let metadata =
            serde_json::json!({"packages": list, "target_directory": "/r/target", "workspace_root": "/r"});
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let manifest =
            "[dependencies]\ntokio.workspace = true\nfred.workspace = true\nedge = { path = \"x\" }\n";
        check(&metadata, |_| manifest.to_owned())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_workspace_within_its_borders_is_clean() {
        let packages: [(&str, &[&str]); 4] = [
            ("domain", &["serde"]),
            ("store", &["fred", "domain"]),
            ("edge", &["tokio-tungstenite", "domain"]),
            ("integration", &["edge", "store", "tokio-tungstenite"]),
        ];
        assert_eq!(findings(&packages), Vec::<String>::new());
    }

    #[test]
    fn redis_in_the_edge_is_found_at_its_line() {
        let found = findings(&[("edge", &["tokio", "fred"])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/edge/Cargo.toml:3: "), "{}", found[0]);
    }

    #[test]
    fn pure_crates_and_services_stand_alone() {
        let found = findings(&[
            ("domain", &["ocpp"]),
            ("ocpp", &[]),
            ("router", &["edge"]),
            ("edge", &[]),
        ]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("pure"));
        assert!(
            found[1].starts_with("crates/router/Cargo.toml:4: "),
            "{}",
            found[1]
        );
    }
}
