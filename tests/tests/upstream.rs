//! What a charger says reaches Kafka, and for what bills a session the charger's answer waits until it has.

use std::time::Duration;

use integration::wait::stays_silent;
use integration::{BrokerNeed, Charger, Records, Reply, System, SystemSpec};
use serde_json::{Value, json};

/// What no gateway that answers before Kafka has the event would delay.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn start_transaction() -> Value {
    json!({"connectorId": 1, "idTag": "TAG-1", "meterStart": 17, "timestamp": "2026-01-01T00:00:00Z"})
}

async fn boot(charger: &mut Charger) {
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    assert!(matches!(
        charger.call("BootNotification", &boot).await,
        Reply::Result(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_message_is_answered_only_when_kafka_has_it() {
    let system = System::start(SystemSpec::new("upstream").broker(BrokerNeed::Own)).await;
    let mut events = Records::of_events(system.kafka()).await;
    let id = system.charger_id("billing");
    let mut charger = Charger::connect(system.edge(1), &id).await;
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    assert!(matches!(
        charger.call("BootNotification", &boot).await,
        Reply::Result(_)
    ));
    let Reply::Result(started) = charger.call("StartTransaction", &start_transaction()).await else {
        panic!()
    };
    assert!(started["transactionId"].is_i64());
    events.event(&id, "transaction.started").await;

    system.pause("kafka").await;
    let call = charger.send_call("StartTransaction", &start_transaction()).await;
    let early = stays_silent(charger.next_reply(), A_WHILE).await;
    assert!(
        early.is_none(),
        "answered although Kafka cannot have it: {early:?}"
    );
    // A neighbour is served meanwhile, and what bills nothing is answered.
    let mut neighbour = Charger::connect(system.edge(1), &system.charger_id("neighbour")).await;
    assert!(matches!(
        neighbour.call("Heartbeat", &json!({})).await,
        Reply::Result(_)
    ));
    system.resume("kafka");
    let mut reply = charger.reply_to(&call).await;
    // A charger repeats what was not accepted, under the same id or another.
    while !matches!(reply, Reply::Result(_)) {
        reply = charger.call("StartTransaction", &start_transaction()).await;
    }
    events.event(&id, "transaction.started").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_a_charger_is_an_event_with_its_payload_untouched() {
    let system = System::start(SystemSpec::new("events")).await;
    let mut events = Records::of_events(system.kafka()).await;
    let id = system.charger_id("talking");
    let mut charger = Charger::connect(system.edge(1), &id).await;
    boot(&mut charger).await;

    let status = r#"{"connectorId":1, "errorCode":"NoError","status":"Available","vendorX":1.10}"#;
    charger
        .send_text(&format!(r#"[2,"my-id-1","StatusNotification",{status}]"#))
        .await;
    assert!(matches!(charger.reply_to("my-id-1").await, Reply::Result(_)));
    let (key, event) = events.event(&id, "connector.status_changed").await;
    assert_eq!(key, id);
    assert_eq!(event["chargePointId"], id);
    assert_eq!(event["gatewayId"], system.pod(1));
    assert_eq!(event["ocppVersion"], "1.6");
    assert_eq!(
        (&event["messageId"], &event["action"]),
        (&json!("my-id-1"), &json!("StatusNotification"))
    );
    assert_eq!(event["payload"], serde_json::from_str::<Value>(status).unwrap());
    assert!(!event["eventId"].as_str().unwrap().is_empty());
    let timestamp = event["timestamp"].as_str().unwrap();
    assert!(
        timestamp.len() >= 20 && timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
        "{timestamp}"
    );
    let mut names: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "action",
        "chargePointId",
        "eventId",
        "eventType",
        "gatewayId",
        "messageId",
        "ocppVersion",
        "payload",
        "timestamp",
    ];
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_a_series_of_events_between_connected_and_disconnected() {
    let system = System::start(SystemSpec::new("session")).await;
    let mut events = Records::of_events(system.kafka()).await;
    let id = system.charger_id("charging");
    let mut charger = Charger::connect(system.edge(1), &id).await;
    let (_, connected) = events.event(&id, "charge_point.connected").await;
    assert_eq!(
        (&connected["gatewayId"], &connected["ocppVersion"]),
        (&json!(system.pod(1)), &json!("1.6"))
    );
    boot(&mut charger).await;
    let meter_values = json!({"connectorId": 1, "transactionId": 5, "meterValue": []});
    let stop = json!({"transactionId": 5, "meterStop": 20, "timestamp": "2026-01-01T00:10:00Z"});
    for (action, payload, event_type) in [
        ("StartTransaction", start_transaction(), "transaction.started"),
        ("MeterValues", meter_values, "transaction.meter_values"),
        ("StopTransaction", stop, "transaction.stopped"),
    ] {
        assert!(
            matches!(charger.call(action, &payload).await, Reply::Result(_)),
            "{action}"
        );
        assert_eq!(events.event(&id, event_type).await.1["payload"], payload);
    }
    charger.close().await;
    events.event(&id, "charge_point.disconnected").await;
}
