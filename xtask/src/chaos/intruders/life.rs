//! Whether an edge lived on while it let a stranger go: only the end of an edge explains a connection that is cut, or
//! closed because of a restart, rather than closed for what the stranger did. Left out: who ended the edge, and why.

use std::net::SocketAddr;

use crate::net;
use crate::stack::settings::{EdgeAddresses, METRICS_PATH};

/// The gauge that tells one life of a process from the next.
const STARTED_METRIC: &str = "process_start_time_seconds ";

/// A life of an edge by the time at which it began; none if the edge is down or stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life(Option<String>);

impl Life {
    /// The edge's life right now.
    pub(super) async fn of(admin: SocketAddr) -> Self {
        let told = net::http_get(admin, METRICS_PATH).await;
        Self(told.ok().and_then(|(_, metrics)| began(&metrics)))
    }

    /// The same life is still there, and takes chargers: one that drains has shut its door.
    pub(super) async fn goes_on(&self, edge: EdgeAddresses) -> bool {
        self.0.is_some() && net::accepts(edge.ocpp).await && *self == Self::of(edge.admin).await
    }
}

fn began(metrics: &str) -> Option<String> {
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(STARTED_METRIC));
    values.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_told_by_its_beginning_and_not_by_what_is_said_about_the_gauge() {
        let metrics = "# HELP process_start_time_seconds Start since 1970\n\
                       # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1760000000.25\n";
        assert_eq!(began(metrics), Some("1760000000.25".to_owned()));
        assert_eq!(began("process_threads 7\n"), None);
    }
}
