//! Looking at the running stack: its connections, what its routers last said, and where a charger of the user's own may
//! connect.

use std::collections::BTreeMap;
use std::fmt;

use crate::net;
use crate::progress::print;
use crate::stack::state::ProcessState;
use crate::stack::{Stack, settings};
use crate::supervise::tail;

/// How many lines of a log are shown.
const LINES: usize = 8;

/// What one look at an edge showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgeState {
    /// It has this many connections.
    Holds(u64),
    /// It did not answer in time, which on a busy machine says nothing about its chargers.
    NoAnswer,
    /// Its process has ended.
    Down,
}

impl EdgeState {
    /// From the answer, if there was one, and whether the process has ended.
    fn new(answer: Option<u64>, has_ended: bool) -> Self {
        match (answer, has_ended) {
            (Some(count), _) => Self::Holds(count),
            (None, true) => Self::Down,
            (None, false) => Self::NoAnswer,
        }
    }

    /// The number of its connections, as far as it is known.
    pub(super) fn count(self) -> Option<u64> {
        match self {
            Self::Holds(count) => Some(count),
            Self::NoAnswer | Self::Down => None,
        }
    }
}

impl fmt::Display for EdgeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(count) => write!(f, "{count}"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Down => f.write_str("down"),
        }
    }
}

/// Every edge by name.
pub(super) async fn edges(stack: &Stack) -> BTreeMap<String, EdgeState> {
    let mut edges = BTreeMap::new();
    for (name, edge) in &stack.addresses().edges {
        let answer = active_connections(edge.admin).await;
        edges.insert(name.clone(), EdgeState::new(answer, stack.has_ended(name)));
    }
    edges
}

/// Scrapes one gauge; none if the edge does not answer.
async fn active_connections(admin: std::net::SocketAddr) -> Option<u64> {
    let (_, body) = net::http_get(admin, settings::METRICS_PATH).await.ok()?;
    let line = body
        .lines()
        .find(|line| line.starts_with(settings::CONNECTIONS_METRIC))?;
    line.rsplit(' ').next()?.split('.').next()?.parse().ok()
}

/// What to look at where calls got no answer: the routers, and whatever has ended. Their last lines are shown in place of
/// the logs' names, because the logs may be gone with the stack by the time somebody reads this.
pub(super) fn suspects(processes: &[ProcessState]) -> Vec<String> {
    let suspect = |process: &&ProcessState| process.grpc.is_some() || process.state != "running";
    let told = |process: &ProcessState| {
        let (name, state) = (&process.name, &process.state);
        let last = tail::of_file(&process.log, LINES);
        format!("look at {name}: {state}, and its log ends with\n{last}")
    };
    processes.iter().filter(suspect).map(told).collect()
}

/// Says where a charger may connect and how it gets a command.
pub(super) fn invite(stack: &Stack) {
    let Some((_, edge)) = stack.addresses().edges.first() else {
        return;
    };
    let Some((_, router)) = stack.addresses().routers.first() else {
        return;
    };
    let ctl = stack.binaries().path("gatewayctl");
    print(format!(
        "connect a charger to   {}/MY-CHARGER   (ocpp1.6, ocpp2.0.1 or ocpp2.1)",
        settings::ocpp_url(edge.ocpp)
    ));
    print(format!(
        "send it a command by   {} --router {} send MY-CHARGER TriggerMessage '{{\"requestedMessage\":\"Heartbeat\"}}' --wait",
        ctl.display(),
        router.grpc
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_and_what_has_ended_are_to_be_looked_at_with_the_end_of_their_logs() {
        let folder = tempfile::tempdir().unwrap();
        let process = |name: &str, exited: Option<&str>| {
            let log = folder.path().join(name);
            std::fs::write(&log, format!("{name} began\n{name} has no store\n")).unwrap();
            ProcessState::new(name, 7, exited.map(str::to_owned), log)
        };
        let mut router = process("router-1", None);
        router.grpc = Some(([127, 0, 0, 1], 1).into());
        let redis = process("redis", Some("exit code 1"));
        let told = suspects(&[redis, process("kafka", None), router]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("look at redis: exit code 1"), "{told:?}");
        assert!(told[1].starts_with("look at router-1: running"), "{told:?}");
        assert!(told[1].ends_with("router-1 has no store"), "{told:?}");
    }

    #[test]
    fn an_edge_is_down_only_once_its_process_has_ended() {
        let shown = |answer, has_ended| EdgeState::new(answer, has_ended).to_string();
        assert_eq!(shown(None, false), "no answer");
        assert_eq!(shown(None, true), "down");
        assert_eq!(shown(Some(7), false), "7");
    }
}
