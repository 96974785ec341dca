//! The simulator's log as facts: which CALL reached which charger when, which was answered, and when each
//! charger lost and regained its connection. What the gateway claims is in `ledger`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What chargers saw of one command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// When the CALL arrived, each time, wall clock, microseconds.
    pub received_us: Vec<u64>,
    /// When it was answered, each time.
    pub replied_us: Vec<u64>,
}

/// Connections of one charger, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connections {
    /// When each was made.
    pub connected_us: Vec<u64>,
    /// When each broke.
    pub disconnected_us: Vec<u64>,
}

/// The whole log.
#[derive(Debug, Default)]
pub struct Journal {
    /// By messageId, which is the command id.
    pub commands: BTreeMap<String, Seen>,
    /// By charger.
    pub chargers: BTreeMap<String, Connections>,
}

#[derive(Deserialize)]
struct Line {
    t_us: u64,
    cp: String,
    kind: String,
    message_id: Option<String>,
}

impl Journal {
    /// Reads a whole log; a last line without its end is not there yet.
    pub fn parse(text: &str) -> Result<Self> {
        let mut journal = Self::default();
        for (number, line) in text
            .split_inclusive('\n')
            .enumerate()
            .filter(|(_, line)| line.ends_with('\n'))
        {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("line {} of the simulator's log is no event: {line}", number + 1))?;
            journal.add(line);
        }
        Ok(journal)
    }

    /// The charger's loss and regain of its connection around a moment: the first loss from then on, and the
    /// first regain after it.
    #[must_use]
    pub fn outage_after(&self, charger: &str, moment_us: u64) -> Option<(u64, u64)> {
        let connections = self.chargers.get(charger)?;
        let lost = connections
            .disconnected_us
            .iter()
            .copied()
            .find(|t| *t >= moment_us)?;
        let regained = connections.connected_us.iter().copied().find(|t| *t >= lost)?;
        Some((lost, regained))
    }

    fn add(&mut self, line: Line) {
        match (line.kind.as_str(), line.message_id) {
            ("connected", _) => self
                .chargers
                .entry(line.cp)
                .or_default()
                .connected_us
                .push(line.t_us),
            ("disconnected", _) => self
                .chargers
                .entry(line.cp)
                .or_default()
                .disconnected_us
                .push(line.t_us),
            ("call_received", Some(id)) => self.commands.entry(id).or_default().received_us.push(line.t_us),
            ("reply_sent", Some(id)) => self.commands.entry(id).or_default().replied_us.push(line.t_us),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_facts_and_a_half_line_waits() {
        let log = concat!(
            r#"{"t_us":1,"mono_us":0,"cp":"A","conn":1,"kind":"connected"}"#,
            "\n",
            r#"{"t_us":2,"mono_us":0,"cp":"A","conn":1,"kind":"call_received","message_id":"x","action":"Reset"}"#,
            "\n",
            r#"{"t_us":3,"mono_us":0,"cp":"A","conn":1,"kind":"reply_sent","message_id":"x"}"#,
            "\n",
            r#"{"t_us":4,"mono_us":0,"cp":"A","conn":1,"kind":"disconnected"}"#,
            "\n",
            r#"{"t_us":9,"mono_us":0,"cp":"A","conn":2,"kind":"connected"}"#,
            "\n",
            r#"{"t_us":10,"mono"#,
        );
        let journal = Journal::parse(log).unwrap();
        assert_eq!(
            journal.commands["x"],
            Seen {
                received_us: vec![2],
                replied_us: vec![3]
            }
        );
        assert_eq!(journal.outage_after("A", 3), Some((4, 9)));
        assert_eq!(journal.outage_after("A", 5), None);
        assert_eq!(journal.outage_after("B", 0), None);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Journal::parse("{}\n").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
