//! What a simulator is told to do. Leaves out the command line, which is in `main`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ocpp::Version;
use tokio_tungstenite::tungstenite::http::Uri;

/// The settings of one simulator. [`Config::new`] has defaults for all but the target.
#[derive(Debug, Clone)]
pub struct Config {
    /// The endpoints, `ws://host:port/path`; the id is appended. Chargers spread over them and move on to the
    /// next with every reconnect.
    pub urls: Vec<String>,
    /// How many charge points.
    pub count: usize,
    /// Ids are `<prefix>000001`, counted from `first`.
    pub prefix: String,
    /// The number of the first id, so that several processes can share a range.
    pub first: usize,
    /// The subprotocol to ask for.
    pub version: Version,
    /// The password of Basic authentication, whose user name is the id; `None` sends no credentials.
    pub password: Option<String>,
    /// The range of the random delay before a command is answered.
    pub answer_delay_ms: (u64, u64),
    /// How commands are answered.
    pub answers: AnswerMix,
    /// The time between heartbeats; zero sends none.
    pub heartbeat: Duration,
    /// The time between meter values; zero sends none.
    pub meter: Duration,
    /// The time between the start and the end of transactions; zero makes none.
    pub transaction: Duration,
    /// Whether chargers skip BootNotification and StatusNotification, for tests of sheer numbers.
    pub quiet: bool,
    /// How long a charger waits for the answer to its own CALL.
    pub call_timeout: Duration,
    /// How many chargers are started a second; `None` starts all at once.
    pub ramp_per_s: Option<u32>,
    /// How many connection attempts may be under way at a time.
    pub max_connecting: usize,
    /// The first delay before a reconnect, doubled with every failure.
    pub backoff_base: Duration,
    /// The longest delay before a reconnect.
    pub backoff_cap: Duration,
    /// Addresses to connect from, with ports chosen here: far faster than the kernel's choice, and the way past
    /// the 64 k ports of one address. Empty leaves the choice to the kernel.
    pub source_ips: Vec<Ipv4Addr>,
    /// Where the JSON lines are appended; `None` logs nothing.
    pub log: Option<PathBuf>,
    /// Makes the random choices repeatable.
    pub seed: Option<u64>,
}

/// Shares of the ways to answer a command; what remains is answered positively.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AnswerMix {
    /// Answered with a CALLRESULT that refuses.
    pub rejected: f64,
    /// Answered with CALLERROR.
    pub errors: f64,
    /// Never answered.
    pub silent: f64,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No endpoint is given.
    #[error("no URL is given")]
    NoUrl,
    /// An endpoint is no `ws://` URL with a host.
    #[error("{0:?} is no ws:// URL")]
    BadUrl(String),
    /// The delay's range is upside down.
    #[error("the answer delay {0}..{1} ms is empty")]
    BadDelay(u64, u64),
    /// The shares are negative or sum to more than one.
    #[error("the shares of rejected, errors and silent must lie in 0..=1 and sum to at most 1")]
    BadShares,
    /// The backoff's base exceeds its cap or is zero.
    #[error("the backoff base must be above zero and at most the cap")]
    BadBackoff,
    /// A ramp or a limit of zero never starts anything.
    #[error("the ramp and the number of connection attempts must be above zero")]
    NeverStarts,
}

impl Config {
    /// `count` chargers of `version` at `url`, without a log and with short delays.
    #[must_use]
    pub fn new(url: impl Into<String>, count: usize, version: Version) -> Self {
        Self {
            urls: vec![url.into()],
            count,
            prefix: "CP-".to_owned(),
            first: 1,
            version,
            password: None,
            answer_delay_ms: (0, 0),
            answers: AnswerMix::default(),
            heartbeat: Duration::from_secs(300),
            meter: Duration::ZERO,
            transaction: Duration::ZERO,
            quiet: false,
            call_timeout: Duration::from_secs(30),
            ramp_per_s: None,
            max_connecting: 1000,
            backoff_base: Duration::from_millis(200),
            backoff_cap: Duration::from_secs(5),
            source_ips: Vec::new(),
            log: None,
            seed: None,
        }
    }

    /// The ids of the chargers, in order.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        (self.first..self.first + self.count).map(|number| format!("{}{number:06}", self.prefix))
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.urls.is_empty() {
            return Err(ConfigError::NoUrl);
        }
        for url in &self.urls {
            let uri: Result<Uri, _> = url.parse();
            if !uri.is_ok_and(|uri| uri.scheme_str() == Some("ws") && uri.host().is_some()) {
                return Err(ConfigError::BadUrl(url.clone()));
            }
        }
        let (least, most) = self.answer_delay_ms;
        if least > most {
            return Err(ConfigError::BadDelay(least, most));
        }
        let AnswerMix {
            rejected,
            errors,
            silent,
        } = self.answers;
        let shares = [rejected, errors, silent];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || shares.iter().sum::<f64>() > 1.0 {
            return Err(ConfigError::BadShares);
        }
        if self.backoff_base.is_zero() || self.backoff_base > self.backoff_cap {
            return Err(ConfigError::BadBackoff);
        }
        if self.ramp_per_s == Some(0) || self.max_connecting == 0 {
            return Err(ConfigError::NeverStarts);
        }
        Ok(())
    }

    /// How many chargers the ramp has started after `elapsed`.
    pub(crate) fn due_by(&self, elapsed: Duration) -> usize {
        match self.ramp_per_s {
            None => self.count,
            Some(rate) => {
                let due = elapsed.as_millis() * u128::from(rate) / 1000;
                usize::try_from(due)
                    .unwrap_or(usize::MAX)
                    .saturating_add(1)
                    .min(self.count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("ws://127.0.0.1:1/ocpp", 3, Version::V16)
    }

    #[test]
    fn ids_are_numbered_from_the_first() {
        let config = Config { first: 9, ..config() };
        assert_eq!(
            config.ids().collect::<Vec<_>>(),
            ["CP-000009", "CP-000010", "CP-000011"]
        );
    }

    /// What is wrong after a change to a good configuration.
    fn mistake(change: impl FnOnce(&mut Config)) -> ConfigError {
        let mut changed = config();
        change(&mut changed);
        changed.validate().unwrap_err()
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(config().validate(), Ok(()));
        assert_eq!(mistake(|config| config.urls.clear()), ConfigError::NoUrl);
        let tls = "wss://host/";
        assert_eq!(
            mistake(|config| config.urls = vec![tls.into()]),
            ConfigError::BadUrl(tls.into())
        );
        assert_eq!(
            mistake(|config| config.answer_delay_ms = (2, 1)),
            ConfigError::BadDelay(2, 1)
        );
        assert_eq!(
            mistake(|config| config.answers.silent = -0.1),
            ConfigError::BadShares
        );
        let shares = AnswerMix {
            rejected: 0.6,
            errors: 0.6,
            silent: 0.0,
        };
        assert_eq!(mistake(|config| config.answers = shares), ConfigError::BadShares);
        assert_eq!(
            mistake(|config| config.backoff_base = Duration::ZERO),
            ConfigError::BadBackoff
        );
        assert_eq!(
            mistake(|config| config.backoff_cap = Duration::ZERO),
            ConfigError::BadBackoff
        );
        assert_eq!(
            mistake(|config| config.ramp_per_s = Some(0)),
            ConfigError::NeverStarts
        );
        assert_eq!(
            mistake(|config| config.max_connecting = 0),
            ConfigError::NeverStarts
        );
    }

    #[test]
    fn the_ramp_starts_one_at_once_and_all_in_the_end() {
        let config = Config {
            count: 100,
            ramp_per_s: Some(10),
            ..config()
        };
        let due = [0, 1000, 60_000].map(|ms| config.due_by(Duration::from_millis(ms)));
        assert_eq!(due, [1, 11, 100]);
    }
}
