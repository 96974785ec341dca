//! What the demo killed, when, and what that looks like afterwards. Leaves out the killing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::look::EdgeState;

/// One process that was killed with SIGKILL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    /// Its name in the stack.
    pub(super) name: String,
    /// The chargers it held; none for a router, and for an edge that gave no answer just then.
    pub(super) held: Option<u64>,
    /// When, since the demo began.
    pub(super) at: Duration,
    /// When it was ready again.
    pub(super) back: Option<Duration>,
}

/// Rows for the table: every kill, and where the chargers are now.
pub(super) fn rows(kills: &[Kill], edges: &BTreeMap<String, EdgeState>) -> Vec<(String, String)> {
    let mut rows: Vec<_> = kills
        .iter()
        .map(|kill| (format!("kill -9 of {}", kill.name), kill.told()))
        .collect();
    let edges = edges.iter().map(|(edge, state)| format!("{edge} {state}"));
    rows.push((
        "chargers at the end".to_owned(),
        edges.collect::<Vec<_>>().join(", "),
    ));
    rows
}

/// Why an edge that runs holds no charger; none if none was killed or it has some again.
pub(super) fn explanation(kills: &[Kill], edges: &BTreeMap<String, EdgeState>) -> Option<String> {
    let empty = |kill: &&Kill| kill.held.is_some() && edges.get(&kill.name) == Some(&EdgeState::Holds(0));
    kills.iter().find(empty).map(|kill| {
        format!(
            "{} holds no charger although it is back: its chargers reconnected to the other edges when it was killed, \
             and a charger stays where its connection holds",
            kill.name
        )
    })
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

    fn edges(edge_2: EdgeState) -> BTreeMap<String, EdgeState> {
        BTreeMap::from([
            ("edge-1".to_owned(), EdgeState::Holds(1000)),
            ("edge-2".to_owned(), edge_2),
        ])
    }

    #[test]
    fn every_kill_is_told_and_where_the_chargers_are() {
        let told: Vec<String> = rows(&kills(), &edges(EdgeState::Holds(0)))
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
        let explained = explanation(&kills(), &edges(EdgeState::Holds(0))).unwrap();
        assert!(explained.starts_with("edge-2 holds no charger"), "{explained}");
        assert_eq!(explanation(&kills(), &edges(EdgeState::Holds(3))), None);
        assert_eq!(explanation(&kills(), &edges(EdgeState::Down)), None);
        assert_eq!(explanation(&kills(), &edges(EdgeState::NoAnswer)), None);
        assert_eq!(explanation(&[], &edges(EdgeState::Holds(0))), None);
    }
}
