//! What may pass before a charger's BootNotification is accepted. Leaves out who accepts it.

use crate::version::Version;

/// How strictly the boot sequence is enforced. A policy, because some chargers in the field never boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BootGate {
    /// Every known action is taken at any time.
    #[default]
    Lenient,
    /// Before acceptance anything but BootNotification, and while pending what the gateway may have asked for,
    /// is answered with SecurityError (E16 §3.10, Part 2 B02.FR.09 and B03).
    Strict,
}

/// Where a charger's boot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BootState {
    /// No BootNotification was seen, nor is an earlier acceptance known.
    #[default]
    Unknown,
    /// Answered with Accepted.
    Accepted,
    /// Answered with Pending: the charger may be configured but starts nothing.
    Pending,
    /// Answered with Rejected: the charger stays silent and takes no commands.
    Rejected,
}

impl BootState {
    /// The state that a BootNotification answer's `status` leads to.
    #[must_use]
    pub fn from_status(status: &str) -> Option<Self> {
        match status {
            "Accepted" => Some(Self::Accepted),
            "Pending" => Some(Self::Pending),
            "Rejected" => Some(Self::Rejected),
            _ => None,
        }
    }
}

impl BootGate {
    /// Whether a charger's CALL may pass.
    pub(super) fn admits(self, boot: BootState, version: Version, action: &str) -> bool {
        match (self, boot) {
            (Self::Lenient, _) | (Self::Strict, BootState::Accepted) => true,
            (Self::Strict, BootState::Pending) => action == "BootNotification" || on_request(version, action),
            (Self::Strict, BootState::Unknown | BootState::Rejected) => action == "BootNotification",
        }
    }
}

/// The actions that start or stop a transaction, which a pending charger must not be asked for.
pub(super) fn waits_for_acceptance(action: &str) -> bool {
    matches!(
        action,
        "RemoteStartTransaction"
            | "RemoteStopTransaction"
            | "RequestStartTransaction"
            | "RequestStopTransaction"
    )
}

/// What a pending charger sends because a TriggerMessage or a report was asked of it. Whether it really was
/// asked is not remembered.
fn on_request(version: Version, action: &str) -> bool {
    let common = matches!(
        action,
        "FirmwareStatusNotification"
            | "Heartbeat"
            | "LogStatusNotification"
            | "MeterValues"
            | "SignCertificate"
            | "StatusNotification"
    );
    let of_version = match version {
        Version::V16 => action == "DiagnosticsStatusNotification",
        Version::V201 | Version::V21 => {
            matches!(
                action,
                "NotifyReport" | "PublishFirmwareStatusNotification" | "TransactionEvent"
            )
        }
    };
    common || of_version
}
