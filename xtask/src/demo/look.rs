//! Looking at the running stack: its connections, and where a charger of the user's own may connect.

use crate::net;
use crate::progress::print;
use crate::stack::{Stack, settings};

/// Scrapes one gauge; none if the edge does not answer.
pub(super) async fn active_connections(admin: std::net::SocketAddr) -> Option<u64> {
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
