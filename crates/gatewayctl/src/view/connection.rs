//! A charge point's connection as it is shown.

use serde::Serialize;
use wire::gateway::registry::v1::Connection;

use super::filled;

/// A connection's fields, in the order in which they are printed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConnectionView {
    pub(crate) charge_point_id: String,
    pub(crate) connected: bool,
    pub(crate) pod_id: Option<String>,
    pub(crate) incarnation: u64,
    pub(crate) version: u64,
    pub(crate) ocpp_version: Option<String>,
    pub(crate) registered_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) open_commands: u32,
}

impl From<Connection> for ConnectionView {
    fn from(connection: Connection) -> Self {
        Self {
            charge_point_id: connection.charge_point_id,
            connected: connection.connected,
            pod_id: filled(connection.pod_id),
            incarnation: connection.incarnation,
            version: connection.version,
            ocpp_version: filled(connection.ocpp_version),
            registered_at: connection.registered_at.map(|time| time.to_string()),
            expires_at: connection.expires_at.map(|time| time.to_string()),
            open_commands: connection.open_commands,
        }
    }
}
