//! Loads a service's configuration: defaults, TOML file, environment, flags, `validate()`.
//!
//! Every problem is reported in one go, with the dotted key and the place the value came from. Values that
//! came as text are read by the type the field wants (`config/lenient.rs`). Config structs serialise every
//! field (no `skip`, no `flatten`); durations are whole numbers with the unit in the name (`lease_ms`).
//! Leaves out reloading: a change of configuration is a restart.

mod dump;
mod layers;
mod lenient;
mod numbers;
mod secret;
mod sections;

use std::{cell::RefCell, env, fmt, fs, path::PathBuf};

use clap::Args;
use figment::{
    Figment, Profile, Provider,
    value::{Dict, Value},
};
use serde::{Serialize, de::DeserializeOwned};

pub use layers::Sources;
pub use secret::{REDACTED, Secret};
pub use sections::{AdminConfig, ChassisConfig, LogConfig, LogFormat, ShutdownConfig, TelemetryConfig};

use crate::problems::{Problem, Problems};

/// The configuration of a service. Its `Default` is the first layer and the list of the known keys.
pub trait ServiceConfig: Default + Serialize + DeserializeOwned + Send + 'static {
    /// What the names of the environment's variables begin with; `__` leads into a section.
    const ENV_PREFIX: &'static str = "HOLDFAST_";

    /// Checks values against each other and against bounds; reports all, by dotted key.
    fn validate(&self, problems: &mut Problems);

    /// The sections `log`, `telemetry`, `admin` and `shutdown`.
    fn chassis(&self) -> ChassisConfig;
}

/// The flags every service has.
#[derive(Args, Clone, Debug, Default)]
pub struct CommonArgs {
    /// The TOML file to read [env: HOLDFAST_CONFIG]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Sets one key, over file and environment; repeatable
    #[arg(long, global = true, value_name = "KEY.PATH=VALUE")]
    pub set: Vec<String>,
    /// Prints the effective configuration as TOML, secrets redacted, and ends
    #[arg(long, global = true)]
    pub dump_config: bool,
    /// Shuts down when standard input closes, so that a supervised service dies with its supervisor
    #[arg(long, global = true)]
    pub exit_on_stdin_close: bool,
    /// Writes the bound addresses to this file as JSON once they are bound
    #[arg(long, global = true, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// Everything that is wrong with a configuration; one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The problems in the order of their keys; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Loads the configuration from the flags, the file they name and this process's environment.
pub fn load<C: ServiceConfig>(args: &CommonArgs) -> Result<C, ConfigErrors> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    let env: Vec<_> = env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    let from_env = env::var_os(format!("{}CONFIG", C::ENV_PREFIX)).filter(|path| !path.is_empty());
    let file = args.config.clone().or_else(|| from_env.map(PathBuf::from));
    load_from(&Sources {
        file,
        env,
        set: args.set.clone(),
    })
}

/// Loads the configuration from given sources only.
pub fn load_from<C: ServiceConfig>(sources: &Sources) -> Result<C, ConfigErrors> {
    let mut problems = Problems::new();
    let defaults = defaults::<C>();
    let figment = layers::merge(&defaults, C::ENV_PREFIX, sources, &mut problems);
    let given = merged_value(&figment);
    let mut merged = given.clone();
    read_secret_files(&mut merged, &defaults, &mut Vec::new(), &mut problems);
    let config = read_all::<C>(merged.clone(), &defaults, &mut problems);
    if let Some(config) = &config {
        config.validate(&mut problems);
        config.chassis().validate(&mut problems);
    }
    problems.explain(|key| {
        let value = find(&merged, key).or_else(|| find(&given, key))?;
        figment
            .get_metadata(value.tag())
            .map(|metadata| metadata.name.to_string())
    });
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigErrors {
            problems: problems.into_sorted(),
        }),
    }
}

/// The configuration as TOML, secrets redacted.
pub fn dump<C: ServiceConfig>(config: &C) -> String {
    dump::to_toml(&as_dict(config))
}

/// The defaults as figment's values, secrets as they are: they are the layer the others lie on.
fn defaults<C: ServiceConfig>() -> Dict {
    secret::revealing(|| as_dict(&C::default()))
}

/// A config as figment's values. A config is a struct; anything else has no keys and so no values.
fn as_dict(config: &impl Serialize) -> Dict {
    Value::serialize(config)
        .ok()
        .and_then(Value::into_dict)
        .unwrap_or_default()
}

/// The merged layers. They are all in memory and well formed, so figment has no error to report.
fn merged_value(figment: &Figment) -> Value {
    let dict = figment
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&Profile::Default));
    Value::from(dict.unwrap_or_default())
}

/// Replaces each `<key>_file` by `<key>` with the file's content, if `<key>` is known and `<key>_file` is not
/// a key of its own. Both given is a problem: which one is meant cannot be told.
fn read_secret_files(value: &mut Value, defaults: &Dict, path: &mut Vec<String>, problems: &mut Problems) {
    let Value::Dict(_, dict) = value else { return };
    for key in dict.keys().cloned().collect::<Vec<_>>() {
        if let (Some(Value::Dict(_, section)), Some(value)) = (defaults.get(&key), dict.get_mut(&key)) {
            path.push(key);
            read_secret_files(value, section, path, problems);
            path.pop();
            continue;
        }
        let Some(base) = key.strip_suffix("_file") else {
            continue;
        };
        if defaults.contains_key(&key)
            || !matches!(defaults.get(base), Some(Value::String(..) | Value::Empty(..)))
        {
            continue;
        }
        let name = path.iter().chain([&key]).cloned().collect::<Vec<_>>().join(".");
        if dict.get(base) != defaults.get(base) {
            problems.add(
                name.clone(),
                format!("is given beside `{base}`: give one of the two"),
            );
        }
        match dict.remove(&key).map(|file| read_secret(&file)) {
            Some(Ok(secret)) => drop(dict.insert(base.to_owned(), secret)),
            Some(Err(message)) => problems.add(name, message),
            None => {}
        }
    }
}

/// The content of a secret's file, without the newline editors put at the end; its source stays the key.
fn read_secret(file: &Value) -> Result<Value, String> {
    let path = file.as_str().ok_or("must be the path of a file")?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(Value::String(
            file.tag(),
            text.trim_end_matches(['\r', '\n']).to_owned(),
        )),
        Err(error) => Err(format!("cannot be read: {path}: {error}")),
    }
}

/// Reads the merged value; each value that cannot be read is reported and its default put in its place, until
/// the rest can be read. `None` only if the defaults themselves cannot be read.
fn read_all<C: ServiceConfig>(mut merged: Value, defaults: &Dict, problems: &mut Problems) -> Option<C> {
    loop {
        let unknown = RefCell::new(Vec::new());
        let result = lenient::read::<C>(&merged, &unknown);
        for lenient::UnknownKey { path, known } in unknown.into_inner() {
            problems.add(
                path.join("."),
                format!("is not a known key; known here: {}", known.join(", ")),
            );
        }
        let error = match result {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        problems.add(error.path.join("."), error.message);
        if !revert(&mut merged, defaults, &error.path) {
            return None;
        }
    }
}

/// Puts the default in the place of the deepest value on `path` that differs from it; false if none does.
/// Each call makes one value more equal to its default, so `read_all` comes to an end.
fn revert(merged: &mut Value, defaults: &Dict, path: &[String]) -> bool {
    (1..=path.len()).rev().any(|depth| {
        let (parents, last) = (&path[..depth - 1], &path[depth - 1]);
        let default = at(defaults, parents).and_then(|dict| dict.get(last));
        let mut dict = match &mut *merged {
            Value::Dict(_, dict) => Some(dict),
            _ => None,
        };
        for parent in parents {
            dict = match dict.and_then(|dict| dict.get_mut(parent)) {
                Some(Value::Dict(_, dict)) => Some(dict),
                _ => None,
            };
        }
        match (dict, default) {
            (Some(dict), Some(default)) if dict.get(last) != Some(default) => {
                dict.insert(last.clone(), default.clone());
                true
            }
            (Some(dict), None) => dict.remove(last).is_some(),
            _ => false,
        }
    })
}

/// The section at `path`.
fn at<'d>(dict: &'d Dict, path: &[String]) -> Option<&'d Dict> {
    path.iter().try_fold(dict, |dict, key| dict.get(key)?.as_dict())
}

/// The value at a dotted key, or the list that the key leads into. A secret read from a file carries the tag
/// of the layer that named the file.
fn find<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(value, |value, segment| match value {
        Value::Dict(_, dict) => dict.get(segment),
        Value::Array(..) => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
