//! Looking at the running stack: its connections, and where a charger of the user's own may connect.

use std::collections::BTreeMap;
use std::fmt;

use crate::net;
use crate::progress::print;
use crate::stack::{Stack, settings};

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
    fn an_edge_is_down_only_once_its_process_has_ended() {
        let shown = |answer, has_ended| EdgeState::new(answer, has_ended).to_string();
        assert_eq!(shown(None, false), "no answer");
        assert_eq!(shown(None, true), "down");
        assert_eq!(shown(Some(7), false), "7");
    }
}
