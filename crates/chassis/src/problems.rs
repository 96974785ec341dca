//! Collects everything wrong with a configuration, so that one start shows all of it.
//!
//! A problem names the dotted key and says what is wrong in a sentence without a subject ("must be from 1 to
//! 10, not 0"). Where the value came from is added by the loader, which knows the layers. Leaves out types and
//! unknown keys: `config/lenient.rs` finds those.

use std::{
    fmt::{self, Display},
    net::SocketAddr,
    ops::RangeInclusive,
};

/// One thing wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The dotted name of the key, such as `admin.listen`; empty if the problem is with no single key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// Where the value came from, such as `environment variable HOLDFAST_ADMIN__LISTEN`.
    pub source: Option<String>,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.source
            .as_ref()
            .map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

/// A collector of problems; `validate` functions fill it and never stop at the first.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// An empty collector.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that `key` is wrong.
    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.push(Problem {
            key: key.into(),
            message: message.into(),
            source: None,
        });
    }

    /// Records `message` unless `holds`.
    pub fn check(&mut self, holds: bool, key: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.add(key, message);
        }
    }

    /// Requires a number within bounds, both included.
    pub fn range<T: Copy + PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            let message = format!("must be from {} to {}, not {value}", range.start(), range.end());
            self.add(key, message);
        }
    }

    /// Requires a text with something else than blanks in it.
    pub fn not_empty(&mut self, key: &str, value: &str) {
        self.check(!value.trim().is_empty(), key, "must not be empty");
    }

    /// Requires at least one element.
    pub fn not_empty_list<T>(&mut self, key: &str, value: &[T]) {
        self.check(!value.is_empty(), key, "must have at least one element");
    }

    /// Requires `address:port` with a numeric address, as a listener needs.
    pub fn is_socket_addr(&mut self, key: &str, value: &str) {
        let holds = value.parse::<SocketAddr>().is_ok();
        self.check(
            holds,
            key,
            format!("must be an address and port such as 127.0.0.1:8080, not `{value}`"),
        );
    }

    /// Requires `host:port`, as a client needs; the host may be a name.
    pub fn is_host_port(&mut self, key: &str, value: &str) {
        let holds = value.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        self.check(
            holds,
            key,
            format!("must be a host and port such as localhost:9092, not `{value}`"),
        );
    }

    /// Requires a URL of one of `schemes` with something behind it. The value itself is not repeated, since
    /// a URL may hold a password.
    pub fn is_url(&mut self, key: &str, value: &str, schemes: &[&str]) {
        let holds = value
            .split_once("://")
            .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.trim().is_empty());
        self.check(
            holds,
            key,
            format!("must be a URL that starts with {}://", schemes.join(":// or ")),
        );
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems in the order of their keys.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.list
            .sort_by(|a, b| (&a.key, &a.message).cmp(&(&b.key, &b.message)));
        self.list
    }

    /// Fills in the source of the problems that have none yet.
    pub(crate) fn explain(&mut self, source_of: impl Fn(&str) -> Option<String>) {
        for problem in self.list.iter_mut().filter(|problem| problem.source.is_none()) {
            problem.source = source_of(&problem.key);
        }
    }

    /// Records a problem once: repeated passes over the same values find the same problems again.
    pub(crate) fn push(&mut self, problem: Problem) {
        let known = |other: &Problem| other.key == problem.key && other.message == problem.message;
        if !self.list.iter().any(known) {
            self.list.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(check: impl FnOnce(&mut Problems)) -> Vec<String> {
        let mut problems = Problems::new();
        check(&mut problems);
        problems.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_at_the_bounds_are_accepted_and_beyond_them_refused() {
        assert!(
            messages(|p| {
                p.range("a", 1, 1..=3);
                p.range("a", 3, 1..=3);
            })
            .is_empty()
        );
        assert_eq!(
            messages(|p| p.range("a", 4, 1..=3)),
            ["a: must be from 1 to 3, not 4"]
        );
    }

    #[test]
    fn addresses_are_told_from_host_names() {
        assert!(messages(|p| p.is_socket_addr("a", "[::]:80")).is_empty());
        assert_eq!(messages(|p| p.is_socket_addr("a", "localhost:80")).len(), 1);
        assert!(messages(|p| p.is_host_port("a", "localhost:80")).is_empty());
        assert_eq!(messages(|p| p.is_host_port("a", "localhost")).len(), 1);
        assert_eq!(messages(|p| p.is_host_port("a", "http://localhost:80")).len(), 1);
    }

    #[test]
    fn a_refused_url_is_not_repeated() {
        let found = messages(|p| p.is_url("redis.url", "http://user:hush@host", &["redis", "rediss"]));
        assert_eq!(
            found,
            ["redis.url: must be a URL that starts with redis:// or rediss://"]
        );
    }

    #[test]
    fn the_same_problem_is_recorded_once() {
        assert_eq!(
            messages(|p| {
                p.add("a", "b");
                p.add("a", "b");
            })
            .len(),
            1
        );
    }
}
