//! The payloads of a charger's own CALLs, by the schemas of each version. Leaves out all optional fields that
//! nothing here looks at.

use ocpp::Version;
use ocpp::timestamp::rfc3339;
use serde_json::json;

use crate::charger::Now;

/// BootNotification.
pub(super) fn boot(version: Version) -> String {
    let payload = if version.is_2x() {
        json!({"chargingStation": {"model": "Simulator", "vendorName": "Holdfast"}, "reason": "PowerUp"})
    } else {
        json!({"chargePointModel": "Simulator", "chargePointVendor": "Holdfast"})
    };
    payload.to_string()
}

/// StatusNotification of a free connector.
pub(super) fn status(version: Version, now: Now) -> String {
    let timestamp = time(now);
    let payload = if version.is_2x() {
        json!({"timestamp": timestamp, "connectorStatus": "Available", "evseId": 1, "connectorId": 1})
    } else {
        json!({"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": timestamp})
    };
    payload.to_string()
}

/// MeterValues; `transaction_id` is the number that a 1.6 gateway gave.
pub(super) fn meter_values(
    version: Version,
    transaction_id: Option<&str>,
    meter_wh: u64,
    now: Now,
) -> String {
    let timestamp = time(now);
    if version.is_2x() {
        let values = json!([{"timestamp": timestamp, "sampledValue": [{"value": meter_wh}]}]);
        return json!({"evseId": 1, "meterValue": values}).to_string();
    }
    let values = json!([{"timestamp": timestamp, "sampledValue": [{"value": meter_wh.to_string()}]}]);
    let mut payload = json!({"connectorId": 1, "meterValue": values});
    if let Some(id) = transaction_id.and_then(number) {
        payload["transactionId"] = id.into();
    }
    payload.to_string()
}

/// StartTransaction of 1.6.
pub(super) fn start(meter_wh: u64, now: Now) -> String {
    json!({"connectorId": 1, "idTag": "SIMULATED", "meterStart": meter_wh, "timestamp": time(now)})
        .to_string()
}

/// StopTransaction of 1.6.
pub(super) fn stop(transaction_id: &str, meter_wh: u64, now: Now) -> String {
    let id = number(transaction_id);
    json!({"transactionId": id, "meterStop": meter_wh, "timestamp": time(now)}).to_string()
}

/// TransactionEvent of 2.x. The token is told at both ends.
pub(super) fn transaction_event(
    event_type: &str,
    transaction_id: &str,
    sequence: u64,
    meter_wh: u64,
    now: Now,
) -> String {
    let (trigger, tells_token) = match event_type {
        "Started" => ("Authorized", true),
        "Ended" => ("StopAuthorized", true),
        _ => ("MeterValuePeriodic", false),
    };
    let timestamp = time(now);
    let mut payload = json!({
        "eventType": event_type,
        "timestamp": timestamp,
        "triggerReason": trigger,
        "seqNo": sequence,
        "transactionInfo": {"transactionId": transaction_id},
        "meterValue": [{"timestamp": timestamp, "sampledValue": [{"value": meter_wh}]}],
    });
    if tells_token {
        payload["idToken"] = json!({"idToken": "SIMULATED", "type": "Central"});
    }
    payload.to_string()
}

/// A transaction id of 1.6 as the number it is.
fn number(transaction_id: &str) -> Option<i64> {
    transaction_id.parse().ok()
}

/// The wall clock as OCPP writes it.
fn time(now: Now) -> String {
    rfc3339(now.wall_us / 1000)
}
