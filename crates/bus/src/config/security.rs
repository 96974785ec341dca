//! Transport security and authentication of the Kafka clients, and the secret that is never printed.

use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};

/// Transport security and authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// The listener's protocol.
    pub protocol: SecurityProtocol,
    /// PEM file of the authorities that sign the brokers; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file of this client's certificate, for mutual TLS.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of this client's key, for mutual TLS.
    pub key_file: Option<PathBuf>,
    /// SASL mechanism.
    pub sasl_mechanism: SaslMechanism,
    /// SASL user name.
    pub username: String,
    /// SASL password; prefer `password_file`.
    pub password: Secret,
    /// File that holds the SASL password; read whenever a client is built.
    pub password_file: Option<PathBuf>,
}

/// The listener's protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Neither encryption nor authentication.
    #[default]
    Plaintext,
    /// TLS, with client certificates where configured.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

/// SASL mechanisms that the shipped librdkafka supports without a system library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaslMechanism {
    /// The password as it is; only over TLS.
    Plain,
    /// Salted challenge, SHA-256.
    ScramSha256,
    /// Salted challenge, SHA-512.
    #[default]
    ScramSha512,
}

/// A text that is never printed: neither by `Debug` nor when the configuration is dumped.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"***\"" })
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl Security {
    /// Combinations that cannot work, and files that cannot be read.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |key: &str, problem: &str| found.push((format!("security.{key}"), problem.to_owned()));
        if self.certificate_file.is_some() != self.key_file.is_some() {
            add("certificate_file", "needs key_file, and the other way round");
        }
        if self.is_sasl() && self.username.is_empty() {
            add("username", "is empty while the protocol is SASL");
        }
        if self.is_sasl() && self.password.expose().is_empty() && self.password_file.is_none() {
            add("password_file", "is missing while the protocol is SASL");
        }
        let files = [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
            ("password_file", &self.password_file),
        ];
        for (key, path) in files
            .iter()
            .filter_map(|(key, path)| path.as_ref().map(|path| (*key, path)))
        {
            if let Err(error) = std::fs::File::open(path) {
                add(key, &format!("{}: {error}", path.display()));
            }
        }
        found
    }

    /// Whether a user name and a password are used.
    fn is_sasl(&self) -> bool {
        matches!(
            self.protocol,
            SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl
        )
    }

    /// Writes these settings as librdkafka's properties.
    pub(super) fn apply(&self, native: &mut ClientConfig) -> Result<(), KafkaError> {
        let protocol = match self.protocol {
            SecurityProtocol::Plaintext => "plaintext",
            SecurityProtocol::Ssl => "ssl",
            SecurityProtocol::SaslPlaintext => "sasl_plaintext",
            SecurityProtocol::SaslSsl => "sasl_ssl",
        };
        native.set("security.protocol", protocol);
        let files = [
            ("ssl.ca.location", &self.ca_file),
            ("ssl.certificate.location", &self.certificate_file),
            ("ssl.key.location", &self.key_file),
        ];
        for (key, path) in files {
            if let Some(path) = path {
                native.set(key, path.display().to_string());
            }
        }
        if self.is_sasl() {
            let mechanism = match self.sasl_mechanism {
                SaslMechanism::Plain => "PLAIN",
                SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            native
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", &self.username);
            native.set("sasl.password", self.read_password()?);
        }
        Ok(())
    }

    /// The password, its file first, so that a rotated file is used by the next client that is built.
    fn read_password(&self) -> Result<String, KafkaError> {
        let Some(path) = &self.password_file else {
            return Ok(self.password.expose().to_owned());
        };
        let read = std::fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        read.map_err(|error| {
            let reason = format!("password file {}: {error}", path.display());
            KafkaError::ClientCreation(reason)
        })
    }
}
