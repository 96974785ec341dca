//! The actions of each version and who may send them, so that an unknown one is answered with NotImplemented.
//! Leaves out their payloads.
//!
//! Sources: OCPP 1.6 chapter 6 and the Security Whitepaper edition 3 chapter 5, OCPP 2.0.1 and 2.1 Part 2. Each
//! table is sorted, as it is searched by halving.

use crate::version::Version;

/// The CALLs a charger may send to the gateway.
#[must_use]
pub const fn from_charger(version: Version) -> &'static [&'static str] {
    match version {
        Version::V16 => V16_FROM_CHARGER,
        Version::V201 => V201_FROM_CHARGER,
        Version::V21 => V21_FROM_CHARGER,
    }
}

/// The CALLs the gateway may send to a charger.
#[must_use]
pub const fn to_charger(version: Version) -> &'static [&'static str] {
    match version {
        Version::V16 => V16_TO_CHARGER,
        Version::V201 => V201_TO_CHARGER,
        Version::V21 => V21_TO_CHARGER,
    }
}

/// The unanswered SENDs of a charger, which exist since 2.1.
#[must_use]
pub const fn sends_from_charger(version: Version) -> &'static [&'static str] {
    match version {
        Version::V16 | Version::V201 => &[],
        Version::V21 => &["NotifyPeriodicEventStream"],
    }
}

/// Whether a charger of this version may CALL this action. Actions are case-sensitive.
#[must_use]
pub fn is_from_charger(version: Version, action: &str) -> bool {
    from_charger(version).binary_search(&action).is_ok()
}

/// Whether the gateway may CALL this action on a charger of this version.
#[must_use]
pub fn is_to_charger(version: Version, action: &str) -> bool {
    to_charger(version).binary_search(&action).is_ok()
}

const V16_FROM_CHARGER: &[&str] = &[
    "Authorize",
    "BootNotification",
    "DataTransfer",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SecurityEventNotification",
    "SignCertificate",
    "SignedFirmwareStatusNotification",
    "StartTransaction",
    "StatusNotification",
    "StopTransaction",
];

const V16_TO_CHARGER: &[&str] = &[
    "CancelReservation",
    "CertificateSigned",
    "ChangeAvailability",
    "ChangeConfiguration",
    "ClearCache",
    "ClearChargingProfile",
    "DataTransfer",
    "DeleteCertificate",
    "ExtendedTriggerMessage",
    "GetCompositeSchedule",
    "GetConfiguration",
    "GetDiagnostics",
    "GetInstalledCertificateIds",
    "GetLocalListVersion",
    "GetLog",
    "InstallCertificate",
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "ReserveNow",
    "Reset",
    "SendLocalList",
    "SetChargingProfile",
    "SignedUpdateFirmware",
    "TriggerMessage",
    "UnlockConnector",
    "UpdateFirmware",
];

const V201_FROM_CHARGER: &[&str] = &[
    "Authorize",
    "BootNotification",
    "ClearedChargingLimit",
    "DataTransfer",
    "FirmwareStatusNotification",
    "Get15118EVCertificate",
    "GetCertificateStatus",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyReport",
    "PublishFirmwareStatusNotification",
    "ReportChargingProfiles",
    "ReservationStatusUpdate",
    "SecurityEventNotification",
    "SignCertificate",
    "StatusNotification",
    "TransactionEvent",
];

const V201_TO_CHARGER: &[&str] = &[
    "CancelReservation",
    "CertificateSigned",
    "ChangeAvailability",
    "ClearCache",
    "ClearChargingProfile",
    "ClearDisplayMessage",
    "ClearVariableMonitoring",
    "CostUpdated",
    "CustomerInformation",
    "DataTransfer",
    "DeleteCertificate",
    "GetBaseReport",
    "GetChargingProfiles",
    "GetCompositeSchedule",
    "GetDisplayMessages",
    "GetInstalledCertificateIds",
    "GetLocalListVersion",
    "GetLog",
    "GetMonitoringReport",
    "GetReport",
    "GetTransactionStatus",
    "GetVariables",
    "InstallCertificate",
    "PublishFirmware",
    "RequestStartTransaction",
    "RequestStopTransaction",
    "ReserveNow",
    "Reset",
    "SendLocalList",
    "SetChargingProfile",
    "SetDisplayMessage",
    "SetMonitoringBase",
    "SetMonitoringLevel",
    "SetNetworkProfile",
    "SetVariableMonitoring",
    "SetVariables",
    "TriggerMessage",
    "UnlockConnector",
    "UnpublishFirmware",
    "UpdateFirmware",
];

const V21_FROM_CHARGER: &[&str] = &[
    "Authorize",
    "BatterySwap",
    "BootNotification",
    "ClearedChargingLimit",
    "ClosePeriodicEventStream",
    "DataTransfer",
    "FirmwareStatusNotification",
    "Get15118EVCertificate",
    "GetCertificateChainStatus",
    "GetCertificateStatus",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyPriorityCharging",
    "NotifyReport",
    "NotifySettlement",
    "OpenPeriodicEventStream",
    "PublishFirmwareStatusNotification",
    "PullDynamicScheduleUpdate",
    "ReportChargingProfiles",
    "ReportDERControl",
    "ReservationStatusUpdate",
    "SecurityEventNotification",
    "SignCertificate",
    "StatusNotification",
    "TransactionEvent",
    "VatNumberValidation",
];

const V21_TO_CHARGER: &[&str] = &[
    "AFRRSignal",
    "AdjustPeriodicEventStream",
    "CancelReservation",
    "CertificateSigned",
    "ChangeAvailability",
    "ChangeTransactionTariff",
    "ClearCache",
    "ClearChargingProfile",
    "ClearDERControl",
    "ClearDisplayMessage",
    "ClearTariffs",
    "ClearVariableMonitoring",
    "CostUpdated",
    "CustomerInformation",
    "DataTransfer",
    "DeleteCertificate",
    "GetBaseReport",
    "GetChargingProfiles",
    "GetCompositeSchedule",
    "GetDERControl",
    "GetDisplayMessages",
    "GetInstalledCertificateIds",
    "GetLocalListVersion",
    "GetLog",
    "GetMonitoringReport",
    "GetPeriodicEventStream",
    "GetReport",
    "GetTariffs",
    "GetTransactionStatus",
    "GetVariables",
    "InstallCertificate",
    "NotifyAllowedEnergyTransfer",
    "NotifyWebPaymentStarted",
    "PublishFirmware",
    "RequestBatterySwap",
    "RequestStartTransaction",
    "RequestStopTransaction",
    "ReserveNow",
    "Reset",
    "SendLocalList",
    "SetChargingProfile",
    "SetDERControl",
    "SetDefaultTariff",
    "SetDisplayMessage",
    "SetMonitoringBase",
    "SetMonitoringLevel",
    "SetNetworkProfile",
    "SetVariableMonitoring",
    "SetVariables",
    "TriggerMessage",
    "UnlockConnector",
    "UnpublishFirmware",
    "UpdateDynamicSchedule",
    "UpdateFirmware",
    "UsePriorityCharging",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sorted_without_doubles() {
        for version in Version::ALL {
            for table in [
                from_charger(version),
                to_charger(version),
                sends_from_charger(version),
            ] {
                assert!(
                    table.windows(2).all(|pair| pair[0] < pair[1]),
                    "{version}: {table:?}"
                );
            }
        }
    }

    #[test]
    fn the_tables_have_as_many_actions_as_the_specifications() {
        // DataTransfer goes both ways and is one message: 28 + 11 of the whitepaper, 64, 64 + 26 and one SEND.
        let sizes = Version::ALL.map(|version| from_charger(version).len() + to_charger(version).len() - 1);
        assert_eq!(sizes, [39, 64, 90]);
    }

    #[test]
    fn direction_and_version_matter() {
        assert!(is_from_charger(Version::V16, "StartTransaction"));
        assert!(!is_from_charger(Version::V201, "StartTransaction"));
        assert!(!is_from_charger(Version::V16, "Reset"));
        assert!(is_to_charger(Version::V16, "Reset"));
        assert!(!is_to_charger(Version::V201, "AFRRSignal"));
        assert!(is_to_charger(Version::V21, "AFRRSignal"));
        assert!(!is_from_charger(Version::V16, "heartbeat"));
    }
}
