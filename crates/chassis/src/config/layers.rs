//! The layers a configuration is made of, and how they are laid over each other.
//!
//! Each environment variable and each flag is a figment layer of its own, so that every value keeps the name
//! of the very place it came from. Their values stay text here; `lenient.rs` gives them a type. Leaves out
//! checking types.

use std::{fs, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use crate::problems::{Problem, Problems};

/// Everything a configuration is read from, apart from the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// The environment, of which only variables with the prefix are looked at.
    pub env: Vec<(String, String)>,
    /// Flags of the form `key.path=value`.
    pub set: Vec<String>,
}

/// One layer: values and the name of their source.
pub(super) struct Layer {
    name: String,
    dict: Dict,
}

impl Layer {
    /// A layer from `name` with the values of `dict`.
    pub(super) fn new(name: impl Into<String>, dict: Dict) -> Self {
        Self {
            name: name.into(),
            dict,
        }
    }

    /// A layer with one text at a dotted path.
    fn single(name: String, path: &str, text: &str) -> Self {
        let leaf = Value::from(text);
        let (first, rest) = path
            .split_once('.')
            .map_or((path, None), |(first, rest)| (first, Some(rest)));
        let value = rest.map_or_else(
            || leaf.clone(),
            |rest| {
                rest.rsplit('.').fold(leaf.clone(), |value, key| {
                    Value::from(Dict::from([(key.into(), value)]))
                })
            },
        );
        Self::new(name, Dict::from([(first.to_owned(), value)]))
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// Lays file, environment and flags over `defaults`. What cannot be laid over is left out and reported.
pub(super) fn merge(defaults: &Dict, prefix: &str, sources: &Sources, problems: &mut Problems) -> Figment {
    let file = sources
        .file
        .iter()
        .filter_map(|path| read_file(path, problems))
        .collect::<Vec<_>>();
    let env = environment(defaults, prefix, &sources.env, problems);
    let flags = flags(&sources.set, problems);
    let mut merged = Figment::from(Layer::new("default", defaults.clone()));
    for mut layer in file.into_iter().chain(env).chain(flags) {
        fit(&mut layer.dict, defaults, &mut Vec::new(), &layer.name, problems);
        merged = merged.merge(layer);
    }
    merged
}

/// Reads the TOML file. figment's own file provider is silent about a file that is not there.
fn read_file(path: &PathBuf, problems: &mut Problems) -> Option<Layer> {
    let name = format!("file {}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.add("", format!("{name} cannot be read: {error}"));
            return None;
        }
    };
    match Toml::string(&text).data() {
        Ok(mut profiles) => Some(Layer::new(
            name,
            profiles.remove(&Profile::Default).unwrap_or_default(),
        )),
        Err(error) => {
            problems.add("", format!("{name} is not TOML: {}", error.to_string().trim()));
            None
        }
    }
}

/// One layer a variable, in the order of their names. A variable that leads nowhere because an underscore is missing
/// in it is reported with the name that is meant.
fn environment(
    defaults: &Dict,
    prefix: &str,
    env: &[(String, String)],
    problems: &mut Problems,
) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (name, value) in env {
        let Some(key) = name.strip_prefix(prefix).map(str::to_ascii_lowercase) else {
            continue;
        };
        let foreign =
            key == "config" || is_for_tests(&key) || (!defaults.contains_key(&key) && is_service_link(&key));
        if foreign {
            continue;
        }
        let path = key.replace("__", ".");
        let source = format!("environment variable {name}");
        match meant(defaults, &key).filter(|meant| *meant != key) {
            Some(meant) if !leads_somewhere(defaults, &path) => problems.push(Problem {
                key: path,
                message: format!(
                    "is not a known key; {prefix}{} is: two underscores lead into a section",
                    meant.to_ascii_uppercase()
                ),
                source: Some(source),
            }),
            _ => layers.push(Layer::single(source, &path, value)),
        }
    }
    layers.sort_by(|a, b| a.name.cmp(&b.name));
    layers
}

/// True if there is a key at a dotted path.
fn leads_somewhere(defaults: &Dict, path: &str) -> bool {
    match path.split_once('.') {
        Some((first, rest)) => match defaults.get(first) {
            // What stands in an empty section is for its map to judge.
            Some(Value::Dict(_, section)) => section.is_empty() || leads_somewhere(section, rest),
            Some(_) => true,
            None => false,
        },
        None => defaults.contains_key(path),
    }
}

/// The known key that reads as `key` when one underscore and two are the same; in the spelling of a variable.
fn meant(defaults: &Dict, key: &str) -> Option<String> {
    let key = key.replace("__", "_");
    if defaults.contains_key(&key) {
        return Some(key);
    }
    defaults.iter().find_map(|(name, value)| {
        let rest = key.strip_prefix(name.as_str())?.strip_prefix('_')?;
        let within = meant(value.as_dict()?, rest)?;
        Some(format!("{name}__{within}"))
    })
}

/// True for the variables that carry our prefix and are no configuration: what a test tells its own harness, and
/// the script of fail points, which its module reads by itself where it is compiled in.
fn is_for_tests(key: &str) -> bool {
    key == "failpoints" || key.starts_with("test_")
}

/// True for the variables Kubernetes and Docker put into every container for a service: with a service named
/// `holdfast-router` they carry our prefix and would all be unknown keys.
fn is_service_link(key: &str) -> bool {
    let port = key.split_once("_port").map(|(_, rest)| rest);
    let is_port = |rest: &str| {
        let mut parts = rest.trim_start_matches('_').split('_');
        let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
        let protocol = matches!(parts.next(), Some("tcp" | "udp" | "sctp"));
        rest.is_empty()
            || (number && protocol && matches!(parts.next(), None | Some("proto" | "port" | "addr")))
    };
    !key.contains("__")
        && (key.ends_with("_service_host") || key.contains("_service_port") || port.is_some_and(is_port))
}

/// One layer a flag, in the order given.
fn flags(set: &[String], problems: &mut Problems) -> Vec<Layer> {
    let mut layers = Vec::new();
    for flag in set {
        match flag.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                layers.push(Layer::single(
                    format!("flag --set {}", key.trim()),
                    key.trim(),
                    value,
                ));
            }
            _ => problems.add("", format!("--set {flag}: must have the form key.path=value")),
        }
    }
    layers
}

/// Takes out of a layer what would replace a section by a single value or the other way round: merged, it
/// would tear a hole into the defaults, and each value missing there would look like a problem of its own.
fn fit(layer: &mut Dict, defaults: &Dict, path: &mut Vec<String>, name: &str, problems: &mut Problems) {
    layer.retain(|key, value| {
        path.push(key.clone());
        let message = match (defaults.get(key), &mut *value) {
            (Some(Value::Dict(_, section)), Value::Dict(_, dict)) => {
                if !section.is_empty() {
                    fit(dict, section, path, name, problems);
                }
                None
            }
            (Some(Value::Dict(..)), _) => Some("is a section: set the keys in it"),
            (Some(Value::Empty(..)) | None, _) => None,
            (Some(_), Value::Dict(..)) => Some("is a single value, not a section"),
            _ => None,
        };
        if let Some(message) = message {
            let (key, source) = (path.join("."), Some(name.to_owned()));
            problems.push(Problem {
                key,
                message: message.into(),
                source,
            });
        }
        path.pop();
        message.is_none()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_put_into_the_environment_is_no_key() {
        for name in ["failpoints", "test_kafka", "test_"] {
            assert!(is_for_tests(name), "{name}");
        }
        for key in ["failpoint", "failpoints__x", "test", "testing"] {
            assert!(!is_for_tests(key), "{key}");
        }
    }

    #[test]
    fn a_key_is_found_whichever_way_its_underscores_are_spelled() {
        let dict = |entries: Vec<(&str, Value)>| -> Dict {
            let own = |(key, value): (&str, Value)| (key.to_owned(), value);
            entries.into_iter().map(own).collect()
        };
        let redis = dict(vec![
            ("url", Value::from("x")),
            ("wait_timeout_ms", Value::from(1)),
        ]);
        let defaults = dict(vec![("pod_id", Value::from("x")), ("redis", Value::from(redis))]);
        for (key, found) in [
            ("redis_url", Some("redis__url")),
            ("redis__url", Some("redis__url")),
            ("redis_wait_timeout_ms", Some("redis__wait_timeout_ms")),
            ("redis__wait__timeout_ms", Some("redis__wait_timeout_ms")),
            ("pod__id", Some("pod_id")),
            ("redis_port", None),
            ("redis", Some("redis")),
        ] {
            assert_eq!(meant(&defaults, key).as_deref(), found, "{key}");
        }
    }

    #[test]
    fn variables_of_kubernetes_services_are_told_from_keys() {
        for link in [
            "router_service_host",
            "router_service_port_grpc",
            "router_port",
            "edge_port_80_tcp_addr",
        ] {
            assert!(is_service_link(link), "{link}");
        }
        for key in ["redis__port", "pod_id", "portal", "edge_port_limit"] {
            assert!(!is_service_link(key), "{key}");
        }
    }
}
