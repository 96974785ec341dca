//! Where routers, timeout, retries and output format come from: flags, then the environment, then the config file,
//! then the defaults. Every problem is reported at once. Leaves out the use of the values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use crate::cli::values::{Address, Span};
use crate::cli::{ConnectionArgs, Output};
use crate::failure::Failure;

/// What the program takes from the process around it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The environment's variables; only those of gatewayctl, `HOME` and `XDG_CONFIG_HOME` are read.
    pub variables: BTreeMap<String, String>,
    /// The moment from which `--deadline` counts.
    pub now: SystemTime,
}

impl Environment {
    /// Reads the process's environment and clock.
    pub fn from_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            now: SystemTime::now(),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// The values in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) routers: Vec<Address>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) output: Output,
}

/// Merges the layers, and names everything that is wrong in the layer that is in force.
pub(crate) fn resolve(flags: &ConnectionArgs, environment: &Environment) -> Result<Settings, Failure> {
    let mut figment = Figment::from(Layer::defaults());
    if let Some(path) = config_path(flags, environment) {
        let text = std::fs::read_to_string(&path).map_err(|source| Failure::ReadConfig {
            path: path.clone(),
            source,
        })?;
        figment = figment.merge(Named::file(&path, &text)?);
    }
    figment = figment
        .merge(Layer::environment(environment))
        .merge(Layer::flags(flags));
    let mut reader = Reader {
        figment,
        problems: Vec::new(),
    };
    let settings = reader.settings();
    reader.refuse_unknown_keys();
    match settings {
        Some(settings) if reader.problems.is_empty() => Ok(settings),
        _ => Err(Failure::Settings {
            problems: reader.problems,
        }),
    }
}

/// The variable of a key; not with the prefix of the services, which read every variable that has theirs.
fn variable(key: &str) -> String {
    format!("GATEWAYCTL_{}", key.to_uppercase())
}

/// The config file: the one that was named, else the usual one if it exists.
fn config_path(flags: &ConnectionArgs, environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = &flags.config {
        return Some(path.clone());
    }
    let folder = match environment.variable("XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(environment.variable("HOME")?).join(".config"),
    };
    Some(folder.join("holdfast").join("gatewayctl.toml")).filter(|path| path.exists())
}

/// One source of values, as texts: one parser then serves all sources.
#[derive(Debug)]
struct Layer {
    source: &'static str,
    values: BTreeMap<&'static str, Value>,
}

/// Every key there is.
const KEYS: [&str; 4] = ["router", "timeout", "retries", "output"];

impl Layer {
    fn defaults() -> Self {
        let values = [("timeout", "10s"), ("retries", "5"), ("output", "table")];
        let mut values: BTreeMap<_, _> = values.map(|(key, value)| (key, Value::from(value))).into();
        values.insert("router", Value::from(vec!["127.0.0.1:7000"]));
        Self {
            source: "defaults",
            values,
        }
    }

    fn environment(environment: &Environment) -> Self {
        let mut values = BTreeMap::new();
        for key in KEYS {
            if let Some(text) = environment.variable(&variable(key)) {
                values.insert(key, Value::from(text));
            }
        }
        Self {
            source: "environment",
            values,
        }
    }

    fn flags(flags: &ConnectionArgs) -> Self {
        let mut values = BTreeMap::new();
        if !flags.routers.is_empty() {
            let routers: Vec<String> = flags.routers.iter().map(Address::to_string).collect();
            values.insert("router", Value::from(routers));
        }
        let output = flags.output.and_then(|output| output.to_possible_value());
        let texts = [
            ("timeout", flags.timeout.map(|timeout| timeout.to_string())),
            ("retries", flags.retries.map(|retries| retries.to_string())),
            ("output", output.map(|output| output.get_name().to_owned())),
        ];
        values.extend(
            texts
                .into_iter()
                .filter_map(|(key, text)| Some((key, Value::from(text?)))),
        );
        Self {
            source: "flags",
            values,
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source)
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Serialized::defaults(&self.values).data()
    }
}

/// The config file's values under the file's name.
#[derive(Debug)]
struct Named {
    name: String,
    values: Map<Profile, Dict>,
}

impl Named {
    fn file(path: &Path, text: &str) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let values = Toml::string(text).data().map_err(|error| Failure::Settings {
            // The parser shows the place in several lines.
            problems: format!("{name}: {error}").lines().map(str::to_owned).collect(),
        })?;
        Ok(Self { name, values })
    }
}

impl Provider for Named {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(self.values.clone())
    }
}

/// Takes the merged values apart, and goes on after a problem.
struct Reader {
    figment: Figment,
    problems: Vec<String>,
}

impl Reader {
    fn settings(&mut self) -> Option<Settings> {
        let routers = self
            .texts("router")
            .into_iter()
            .filter_map(|text| self.parsed("router", &text))
            .collect();
        let timeout = self
            .one("timeout")
            .and_then(|text| self.parsed::<Span>("timeout", &text));
        let retries = self.one("retries").and_then(|text| match text.parse() {
            Ok(retries) => Some(retries),
            Err(_) => self.problem("retries", &format!("`{text}` is not a whole number")),
        });
        let output = self
            .one("output")
            .and_then(|text| match Output::from_str(&text, false) {
                Ok(output) => Some(output),
                Err(_) => self.problem("output", &format!("`{text}` is neither table nor json")),
            });
        Some(Settings {
            routers,
            timeout: timeout?.0,
            retries: retries?,
            output: output?,
        })
    }

    /// A value as texts: a text is split at commas, a list is taken entry by entry.
    fn texts(&mut self, key: &str) -> Vec<String> {
        let value = self.figment.find_value(key).ok();
        let entries: Vec<String> = match &value {
            Some(Value::Array(_, entries)) => entries
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(value) => value
                .as_str()
                .unwrap_or_default()
                .split(',')
                .map(|part| part.trim().to_owned())
                .collect(),
            None => Vec::new(),
        };
        let whole = !matches!(&value, Some(Value::Array(_, all)) if all.len() != entries.len());
        if entries.is_empty() || !whole {
            return self
                .problem(key, "is not a text or a list of texts")
                .unwrap_or_default();
        }
        entries
    }

    /// A value as one text; a number in the file is taken as its digits.
    fn one(&mut self, key: &str) -> Option<String> {
        match self.figment.find_value(key).ok()? {
            Value::String(_, text) => Some(text),
            Value::Num(_, number) => match number.to_i128() {
                Some(number) => Some(number.to_string()),
                None => self.problem(key, "is not a text"),
            },
            _ => self.problem(key, "is not a text"),
        }
    }

    fn parsed<T: std::str::FromStr<Err = String>>(&mut self, key: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(problem) => self.problem(key, &problem),
        }
    }

    fn refuse_unknown_keys(&mut self) {
        let keys: Vec<String> = match self.figment.extract::<BTreeMap<String, Value>>() {
            Ok(values) => values.into_keys().collect(),
            Err(error) => return self.problems.push(error.to_string()),
        };
        for key in keys.iter().filter(|key| !KEYS.contains(&key.as_str())) {
            self.problem::<()>(
                key,
                &format!("is not a known key; known here: {}", KEYS.join(", ")),
            );
        }
    }

    /// Notes a problem with the key's name and the layer that the value came from.
    fn problem<T>(&mut self, key: &str, what: &str) -> Option<T> {
        let source = self
            .figment
            .find_metadata(key)
            .map_or("unknown source", |metadata| metadata.name.as_ref());
        self.problems.push(format!("{key}: {what} ({source})"));
        None
    }
}

#[cfg(test)]
mod tests;
