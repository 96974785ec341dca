//! What crashes of a Redis that promises little took: commands that were accepted and are unknown, unsafe ones that a
//! charger received twice, ends that changed. Whether it was more than promised is the checker's business.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::read;

/// What was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// How often Redis crashed.
    crashes: u64,
    /// Accepted, and then unknown: how long before the next crash each was accepted, in milliseconds.
    forgotten: Vec<u64>,
    /// Unsafe commands that chargers received more than once.
    unsafe_twice: u64,
    /// Commands for which two different ends were told.
    changed: u64,
}

impl Losses {
    /// From the histories of a run.
    pub(super) fn read(folder: &Path, faults: &[Value], client: &[Value]) -> Result<Self> {
        let mut received = Vec::new();
        for name in ["chargers", "chargers-slow", "chargers-silent"] {
            received.extend(read(folder, name)?);
        }
        Ok(Self::of(faults, client, &read(folder, "results")?, &received))
    }

    /// As figures by name.
    pub(super) fn figures(&self) -> Vec<(String, Value)> {
        let named = [
            ("crashes_with_loss", json!(self.crashes)),
            ("accepted_and_forgotten", json!(self.forgotten.len())),
            (
                "ms_before_the_crash_of_the_oldest_forgotten",
                json!(self.forgotten.iter().max()),
            ),
            ("unsafe_ones_received_twice", json!(self.unsafe_twice)),
            ("ends_that_changed", json!(self.changed)),
        ];
        named.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn of(faults: &[Value], client: &[Value], results: &[Value], chargers: &[Value]) -> Self {
        let crashes: Vec<u64> = of(faults, "inject")
            .filter_map(|line| line["m_us"].as_u64())
            .collect();
        let unsafe_calls: BTreeSet<u64> = of(client, "call")
            .filter(|line| line["unsafe"] == json!(true))
            .filter_map(|line| line["n"].as_u64())
            .collect();
        let mut accepted: BTreeMap<&str, u64> = BTreeMap::new();
        let mut is_unsafe = BTreeSet::new();
        for line in of(client, "reply").filter(|line| line["ok"] == json!(true)) {
            let (Some(id), Some(at)) = (line["id"].as_str(), line["m_us"].as_u64()) else {
                continue;
            };
            accepted.entry(id).or_insert(at);
            if line["n"].as_u64().is_some_and(|n| unsafe_calls.contains(&n)) {
                is_unsafe.insert(id);
            }
        }
        let forgotten = of(client, "get")
            .filter(|line| line["state"] == json!("NOT_FOUND"))
            .filter_map(|line| {
                let at = *accepted.get(line["id"].as_str()?)?;
                let crash = crashes.iter().find(|crash| **crash >= at)?;
                Some((crash - at) / 1_000)
            });
        Self {
            forgotten: forgotten.collect(),
            unsafe_twice: twice(chargers, &is_unsafe),
            changed: changed(results, client),
            crashes: crashes.len() as u64,
        }
    }
}

/// How many of these commands a charger received more than once: a command's id is the id of its message.
fn twice(chargers: &[Value], ids: &BTreeSet<&str>) -> u64 {
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for line in chargers {
        if let (Some("call_received"), Some(id)) = (line["kind"].as_str(), line["message_id"].as_str())
            && ids.contains(id)
        {
            *times.entry(id).or_default() += 1;
        }
    }
    times.values().filter(|count| **count > 1).count() as u64
}

/// How many commands ended in more than one way by the records and the last reads.
fn changed(results: &[Value], client: &[Value]) -> u64 {
    const ENDS: [&str; 4] = ["ACKNOWLEDGED", "FAILED", "EXPIRED", "CANCELLED"];
    let mut ends: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in of(results, "record").chain(of(client, "get")) {
        if let (Some(id), Some(state)) = (line["id"].as_str(), line["state"].as_str())
            && ENDS.contains(&state)
        {
            ends.entry(id).or_default().insert(state);
        }
    }
    ends.values().filter(|states| states.len() > 1).count() as u64
}

fn of<'a>(lines: &'a [Value], event: &'a str) -> impl Iterator<Item = &'a Value> {
    lines
        .iter()
        .filter(move |line| line["ev"].as_str() == Some(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_took_is_counted_by_what_it_was() {
        let reply =
            |n: u64, id: &str, at: u64| json!({"ev": "reply", "n": n, "ok": true, "id": id, "m_us": at});
        let get = |id: &str, state: &str| json!({"ev": "get", "id": id, "state": state});
        let client = [
            json!({"ev": "call", "n": 1, "unsafe": true}),
            json!({"ev": "call", "n": 2, "unsafe": false}),
            reply(1, "a", 1_000_000),
            reply(2, "b", 2_000_000),
            reply(3, "c", 9_000_000),
            get("a", "FAILED"),
            get("b", "NOT_FOUND"),
            get("c", "ACKNOWLEDGED"),
        ];
        let faults = [json!({"ev": "inject", "m_us": 3_500_000})];
        let received = |id: &str| json!({"kind": "call_received", "message_id": id});
        let chargers = [received("a"), received("a"), received("b"), received("b")];
        let results = [
            json!({"ev": "record", "id": "a", "state": "ACKNOWLEDGED"}),
            json!({"ev": "record", "id": "c", "state": "ACKNOWLEDGED"}),
        ];
        let losses = Losses::of(&faults, &client, &results, &chargers);
        let expected = Losses {
            crashes: 1,
            forgotten: vec![1_500],
            unsafe_twice: 1,
            changed: 1,
        };
        assert_eq!(losses, expected);
    }

    #[test]
    fn nothing_taken_is_nothing() {
        assert_eq!(Losses::of(&[], &[], &[], &[]), Losses::default());
    }
}
