//! What the demo killed, when, and what that looks like afterwards. Leaves out the killing.

use std::collections::BTreeMap;
use std::time::Duration;

/// One process that was killed with SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    /// Its name in the stack.
    pub(super) name: String,
    /// The chargers it held; none for a router.
    pub(super) held: Option<u64>,
    /// When, since the demo began.
    pub(super) at: Duration,
    /// When it was ready again.
    pub(super) back: Option<Duration>,
}

/// Rows for the table: every kill, and where the chargers are now.
pub(super) fn rows(kills: &[Kill], connections: &BTreeMap<String, Option<u64>>) -> Vec<(String, String)> {
    let mut rows: Vec<_> = kills
        .iter()
        .map(|kill| (format!("kill -9 of {}", kill.name), kill.told()))
        .collect();
    let edges = connections
        .iter()
        .map(|(edge, count)| format!("{edge} {}", number(*count)));
    rows.push((
        "chargers at the end".to_owned(),
        edges.collect::<Vec<_>>().join(", "),
    ));
    rows
}

/// Why an edge that runs holds no charger; none if none was killed or it has some again.
pub(super) fn explanation(kills: &[Kill], connections: &BTreeMap<String, Option<u64>>) -> Option<String> {
    let empty = |kill: &&Kill| kill.held.is_some() && connections.get(&kill.name) == Some(&Some(0));
    kills.iter().find(empty).map(|kill| {
        format!(
            "{} holds no charger although it is back: its chargers reconnected to the other edges when it was killed, \
             and a charger stays where its connection holds",
            kill.name
        )
    })
}

/// A number of connections.
pub(super) fn number(count: Option<u64>) -> String {
    count.map_or_else(|| "down".to_owned(), |count| count.to_string())
}

impl Kill {
    fn told(&self) -> String {
        let at = format!("at {:.1} s", self.at.as_secs_f64());
        let back = match self.back {
            Some(back) => format!("back at {:.1} s", back.as_secs_f64()),
            None => "not brought back".to_owned(),
        };
        match self.held {
            Some(held) => format!("{at} with {held} chargers, {back}"),
            None => format!("{at}, {back}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills() -> [Kill; 2] {
        let kill = |name: &str, held, at, back: Option<u64>| Kill {
            name: name.to_owned(),
            held,
            at: Duration::from_secs(at),
            back: back.map(Duration::from_secs),
        };
        [
            kill("edge-2", Some(333), 6, Some(18)),
            kill("router-1", None, 14, None),
        ]
    }

    fn connections(edge_2: Option<u64>) -> BTreeMap<String, Option<u64>> {
        BTreeMap::from([("edge-1".to_owned(), Some(1000)), ("edge-2".to_owned(), edge_2)])
    }

    #[test]
    fn every_kill_is_told_and_where_the_chargers_are() {
        let told: Vec<String> = rows(&kills(), &connections(Some(0)))
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            told,
            [
                "kill -9 of edge-2: at 6.0 s with 333 chargers, back at 18.0 s",
                "kill -9 of router-1: at 14.0 s, not brought back",
                "chargers at the end: edge-1 1000, edge-2 0",
            ]
        );
    }

    #[test]
    fn an_empty_edge_is_explained_and_one_that_holds_chargers_or_is_down_is_not() {
        let explained = explanation(&kills(), &connections(Some(0))).unwrap();
        assert!(explained.starts_with("edge-2 holds no charger"), "{explained}");
        assert_eq!(explanation(&kills(), &connections(Some(3))), None);
        assert_eq!(explanation(&kills(), &connections(None)), None);
        assert_eq!(explanation(&[], &connections(Some(0))), None);
    }
}
