//! Plausible answers of a charger to each command. Leaves out any effect: a reset resets nothing.

use ocpp::Version;
use serde_json::{Map, Value, json};

/// The payload of the CALLRESULT to a command, positive or refusing. Where an action has no way to refuse, both
/// are the same.
pub(crate) fn answer(version: Version, action: &str, payload: &str, accept: bool) -> String {
    if let Some(answer) = answer_list(action, payload, accept) {
        return answer;
    }
    match (action, version) {
        ("GetConfiguration", _) => {
            let interval = json!({"key": "HeartbeatInterval", "readonly": false, "value": "300"});
            json!({"configurationKey": [interval], "unknownKey": []}).to_string()
        }
        ("GetDiagnostics", _) if accept => json!({"fileName": "diagnostics.log"}).to_string(),
        ("GetDiagnostics" | "CostUpdated" | "GetPeriodicEventStream" | "NotifyWebPaymentStarted", _)
        | ("UpdateFirmware", Version::V16) => "{}".to_owned(),
        ("GetLocalListVersion", Version::V16) => json!({"listVersion": 1}).to_string(),
        ("GetLocalListVersion", _) => json!({"versionNumber": 1}).to_string(),
        ("GetTransactionStatus", _) => json!({"messagesInQueue": false}).to_string(),
        ("GetLog", _) if accept => json!({"status": "Accepted", "filename": "charger.log"}).to_string(),
        ("ClearTariffs", _) => {
            json!({"clearTariffsResult": [{"status": if accept { "Accepted" } else { "Rejected" }}]})
                .to_string()
        }
        _ => json!({"status": status(action, accept)}).to_string(),
    }
}

/// The status word of the many actions whose answer is just that.
fn status(action: &str, accept: bool) -> &'static str {
    let (positive, negative) = match action {
        "UnlockConnector" => ("Unlocked", "UnlockFailed"),
        "UnpublishFirmware" => ("Unpublished", "NoFirmware"),
        "SendLocalList" | "DeleteCertificate" => ("Accepted", "Failed"),
        "ClearChargingProfile" | "ClearDisplayMessage" | "GetDisplayMessages" => ("Accepted", "Unknown"),
        "GetChargingProfiles" => ("Accepted", "NoProfiles"),
        "GetTariffs" => ("Accepted", "NoTariff"),
        "GetInstalledCertificateIds" => ("NotFound", "NotFound"),
        _ => ("Accepted", "Rejected"),
    };
    if accept { positive } else { negative }
}

/// The answers to the actions that ask for a list; `None` for the others.
fn answer_list(action: &str, payload: &str, accept: bool) -> Option<String> {
    let (asked, told, status) = match action {
        "GetVariables" => ("getVariableData", "getVariableResult", "attributeStatus"),
        "SetVariables" => ("setVariableData", "setVariableResult", "attributeStatus"),
        "SetVariableMonitoring" => ("setMonitoringData", "setMonitoringResult", "status"),
        "ClearVariableMonitoring" => return Some(clear_monitoring(payload, accept)),
        _ => return None,
    };
    Some(answer_each(payload, asked, told, status, accept))
}

/// Answers each element of a list in the request with its component, its variable and a status.
fn answer_each(payload: &str, asked: &str, told: &str, status: &str, accept: bool) -> String {
    let request: Value = serde_json::from_str(payload).unwrap_or_default();
    let elements = request[asked].as_array().map(Vec::as_slice).unwrap_or_default();
    let answers = elements.iter().map(|element| {
        let mut answer = Map::new();
        for field in ["component", "variable", "attributeType", "type", "severity"] {
            if let Some(value) = element.get(field) {
                answer.insert(field.to_owned(), value.clone());
            }
        }
        answer.insert(
            status.to_owned(),
            if accept { "Accepted" } else { "Rejected" }.into(),
        );
        if told == "getVariableResult" && accept {
            answer.insert("attributeValue".to_owned(), "1".into());
        }
        Value::Object(answer)
    });
    json!({told: answers.collect::<Vec<_>>()}).to_string()
}

/// Answers each id of a ClearVariableMonitoring.
fn clear_monitoring(payload: &str, accept: bool) -> String {
    let request: Value = serde_json::from_str(payload).unwrap_or_default();
    let ids = request["id"].as_array().cloned().unwrap_or_default();
    let status = if accept { "Accepted" } else { "NotFound" };
    let answers: Vec<_> = ids
        .into_iter()
        .map(|id| json!({"id": id, "status": status}))
        .collect();
    json!({"clearMonitoringResult": answers}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_every_version_has_an_object_as_its_answer() {
        for version in Version::ALL {
            for action in ocpp::actions::to_charger(version) {
                for accept in [true, false] {
                    let text = answer(version, action, "{}", accept);
                    assert!(
                        serde_json::from_str::<Map<_, _>>(&text).is_ok(),
                        "{action}: {text}"
                    );
                }
            }
        }
    }

    #[test]
    fn status_words_fit_their_action() {
        for (action, accepted, rejected) in [
            ("Reset", r#"{"status":"Accepted"}"#, r#"{"status":"Rejected"}"#),
            (
                "UnlockConnector",
                r#"{"status":"Unlocked"}"#,
                r#"{"status":"UnlockFailed"}"#,
            ),
            ("UpdateFirmware", "{}", "{}"),
        ] {
            assert_eq!(answer(Version::V16, action, "{}", true), accepted);
            assert_eq!(answer(Version::V16, action, "{}", false), rejected);
        }
    }

    #[test]
    fn variables_are_answered_one_by_one() {
        let request =
            json!({"getVariableData": [{"component": {"name": "A"}, "variable": {"name": "x"}}]}).to_string();
        let told: Value =
            serde_json::from_str(&answer(Version::V201, "GetVariables", &request, true)).unwrap();
        assert_eq!(told["getVariableResult"][0]["component"]["name"], "A");
        assert_eq!(told["getVariableResult"][0]["attributeStatus"], "Accepted");
    }
}
