//! The protocol versions and their negotiation by WebSocket subprotocol. Leaves out what the versions contain,
//! which is in `actions`, and the HTTP headers themselves.

use std::fmt;
use std::str::FromStr;

/// A version of OCPP-J that this crate speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// OCPP 1.6 JSON, with the messages of the security whitepaper.
    V16,
    /// OCPP 2.0.1.
    V201,
    /// OCPP 2.1.
    V21,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V16, Self::V201, Self::V21];

    /// The name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::V16 => "ocpp1.6",
            Self::V201 => "ocpp2.0.1",
            Self::V21 => "ocpp2.1",
        }
    }

    /// The bare number, for events, labels and logs.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::V16 => "1.6",
            Self::V201 => "2.0.1",
            Self::V21 => "2.1",
        }
    }

    /// The version of a subprotocol name. Names compare without regard to case, as some chargers shout.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.subprotocol().eq_ignore_ascii_case(name))
    }

    /// Whether this is 2.0.1 or 2.1, which share the framework of Part 4.
    #[must_use]
    pub const fn is_2x(self) -> bool {
        !matches!(self, Self::V16)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// The text names no version of OCPP-J that is spoken here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown OCPP version {0:?}: expected 1.6, 2.0.1 or 2.1")]
pub struct UnknownVersion(pub String);

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Reads a bare number (`1.6`) or a subprotocol name (`ocpp1.6`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|version| version.number() == text)
            .or_else(|| Self::from_subprotocol(text))
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

/// Chooses the version of a connection: the first of the client's offers, in its order of preference, that is
/// also in `supported`.
///
/// `offered` is the value of each `Sec-WebSocket-Protocol` header of the request, a comma-separated list. `None`
/// means that nothing is common: the handshake is then completed without the header and the socket closed.
pub fn negotiate<'a>(offered: impl IntoIterator<Item = &'a str>, supported: &[Version]) -> Option<Version> {
    offered
        .into_iter()
        .flat_map(|header| header.split(','))
        .filter_map(|name| Version::from_subprotocol(name.trim()))
        .find(|version| supported.contains(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_order_decides_and_not_the_servers() {
        assert_eq!(
            negotiate(["ocpp1.6, ocpp2.0.1"], &[Version::V201, Version::V16]),
            Some(Version::V16)
        );
        assert_eq!(
            negotiate(["ocpp2.1", "ocpp2.0.1"], &[Version::V16, Version::V201]),
            Some(Version::V201)
        );
    }

    #[test]
    fn unknown_offers_are_passed_over_and_no_common_version_is_none() {
        assert_eq!(
            negotiate(["ocpp1.5, soap", " OCPP1.6 "], &Version::ALL),
            Some(Version::V16)
        );
        assert_eq!(negotiate(["ocpp1.5"], &Version::ALL), None);
        assert_eq!(negotiate(["ocpp2.1"], &[Version::V16]), None);
        assert_eq!(negotiate([], &Version::ALL), None);
    }

    #[test]
    fn numbers_and_subprotocols_are_read_back() {
        for version in Version::ALL {
            assert_eq!(version.number().parse(), Ok(version));
            assert_eq!(version.subprotocol().parse(), Ok(version));
        }
        assert_eq!("2.0".parse::<Version>(), Err(UnknownVersion("2.0".into())));
    }
}
