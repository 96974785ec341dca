//! The default redelivery class of every OCPP action that a platform sends, for 1.6, 2.0.1 and 2.1: one
//! table. A command whose repetition may act twice on the world is unsafe; reading, and setting something
//! to a stated value, is safe.

use crate::command::RedeliveryClass;

/// Actions that are unsafe to repeat.
///
/// Starting a session, opening a lock, restarting, installing, reserving and vendor-defined messages act
/// anew each time. A repeated stop or a repeated setting finds its work done.
const UNSAFE: &[&str] = &[
    // 1.6
    "RemoteStartTransaction",
    "Reset",
    "UnlockConnector",
    "UpdateFirmware",
    "SignedUpdateFirmware",
    "ReserveNow",
    "DataTransfer",
    // 2.0.1 and 2.1; Reset, UnlockConnector, UpdateFirmware, ReserveNow and DataTransfer as above
    "RequestStartTransaction",
    "PublishFirmware",
    // 2.1
    "RequestBatterySwap",
];

/// Actions that are known to be safe to repeat.
const SAFE: &[&str] = &[
    "CancelReservation",
    "ChangeAvailability",
    "ChangeConfiguration",
    "ClearCache",
    "ClearChargingProfile",
    "GetCompositeSchedule",
    "GetConfiguration",
    "GetDiagnostics",
    "GetLocalListVersion",
    "RemoteStopTransaction",
    "SendLocalList",
    "SetChargingProfile",
    "TriggerMessage",
    "ExtendedTriggerMessage",
    "CertificateSigned",
    "DeleteCertificate",
    "GetInstalledCertificateIds",
    "GetLog",
    "InstallCertificate",
    "ClearDisplayMessage",
    "ClearVariableMonitoring",
    "CostUpdated",
    "CustomerInformation",
    "GetBaseReport",
    "GetChargingProfiles",
    "GetDisplayMessages",
    "GetMonitoringReport",
    "GetReport",
    "GetTransactionStatus",
    "GetVariables",
    "RequestStopTransaction",
    "SetDisplayMessage",
    "SetMonitoringBase",
    "SetMonitoringLevel",
    "SetNetworkProfile",
    "SetVariableMonitoring",
    "SetVariables",
    "UnpublishFirmware",
    "AFRRSignal",
    "AdjustPeriodicEventStream",
    "ChangeTransactionTariff",
    "ClearDERControl",
    "ClearTariffs",
    "ClosePeriodicEventStream",
    "GetCRL",
    "GetDERControl",
    "GetPeriodicEventStream",
    "GetTariffs",
    "NotifyAllowedEnergyTransfer",
    "NotifyCRL",
    "NotifyWebPaymentStarted",
    "OpenPeriodicEventStream",
    "SetDERControl",
    "SetDefaultTariff",
    "UpdateDynamicSchedule",
    "UsePriorityCharging",
    "VatNumberValidation",
];

/// The class of an action. What is not in the table is unsafe: nothing is known of it.
#[must_use]
pub fn default_class(action: &str) -> RedeliveryClass {
    if SAFE.contains(&action) {
        RedeliveryClass::Safe
    } else {
        RedeliveryClass::Unsafe
    }
}

/// True if the table names the action.
#[must_use]
pub fn is_known(action: &str) -> bool {
    SAFE.contains(&action) || UNSAFE.contains(&action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_anew_each_time_is_unsafe_and_a_stop_is_safe() {
        assert!(
            UNSAFE
                .iter()
                .all(|a| default_class(a) == RedeliveryClass::Unsafe && is_known(a))
        );
        assert_eq!(default_class("RemoteStopTransaction"), RedeliveryClass::Safe);
        assert_eq!(default_class("RequestStopTransaction"), RedeliveryClass::Safe);
    }

    #[test]
    fn an_action_nobody_knows_is_unsafe() {
        assert_eq!(default_class("VendorThing"), RedeliveryClass::Unsafe);
        assert!(!is_known("VendorThing"));
    }

    #[test]
    fn no_action_is_in_both_lists() {
        assert!(UNSAFE.iter().all(|a| !SAFE.contains(a)));
    }
}
