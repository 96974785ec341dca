//! What chargers say, on its way to Kafka: the event's envelope, the bound of what is in flight, and the rule
//! that a charger is answered only after what bills a session is durable.
//!
//! The policy when full: an event that must be durable is not taken, so its CALL stays unanswered and the charger
//! repeats it; any other event is dropped. Both are counted. Leaves out which actions are which (`ocpp::policy`).

mod kafka;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::ids::{ChargePointId, PodId};
use serde::Serialize;
use serde_json::value::RawValue;

pub use kafka::KafkaSink;

/// True once the event is durable, false if it is not or nobody knows.
pub type Confirmation = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The event was not taken: there is no room, or it can never be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event was not taken")]
pub struct NotTaken;

/// Where events go; Kafka, or something slower in tests.
pub trait EventSink: Send + Sync + 'static {
    /// Takes an event whose fate matters.
    fn send(&self, charge_point_id: &str, event: Vec<u8>) -> Result<Confirmation, NotTaken>;
    /// Takes an event whose fate does not matter to the charger.
    fn send_and_forget(&self, charge_point_id: &str, event: Vec<u8>);
}

/// The upstream side of an edge.
pub struct Upstream {
    sink: Arc<dyn EventSink>,
    gateway_id: PodId,
}

/// One thing a charger said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Who.
    pub charge_point: &'a ChargePointId,
    /// Its OCPP version.
    pub version: ocpp::Version,
    /// The messageId.
    pub message_id: &'a str,
    /// The action.
    pub action: &'a str,
    /// The payload, untouched.
    pub payload: &'a RawValue,
}

/// The record on `ocpp-events-up`: key = charge point id, value = this as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_id: String,
    event_type: &'a str,
    charge_point_id: &'a str,
    gateway_id: &'a str,
    timestamp: String,
    ocpp_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Ocpp(&'a RawValue),
    Connected {},
    Disconnected { reason: &'a str },
}

impl Upstream {
    /// Events go to `sink` and name `gateway_id`.
    #[must_use]
    pub fn new(sink: Arc<dyn EventSink>, gateway_id: PodId) -> Self {
        Self { sink, gateway_id }
    }

    /// Sends what a charger said and gives the proof that it is durable.
    pub fn say_durably(&self, said: &Said<'_>) -> Result<Confirmation, NotTaken> {
        self.sink.send(said.charge_point.as_str(), self.of_said(said))
    }

    /// Sends what a charger said.
    pub fn say(&self, said: &Said<'_>) {
        self.sink
            .send_and_forget(said.charge_point.as_str(), self.of_said(said));
    }

    /// A charger connected.
    pub fn connected(&self, charge_point: &ChargePointId, version: ocpp::Version) {
        let event = self.event(
            "charge_point.connected",
            charge_point,
            version,
            Payload::Connected {},
        );
        self.sink.send_and_forget(charge_point.as_str(), bytes(&event));
    }

    /// A charger disconnected, for this reason.
    pub fn disconnected(&self, charge_point: &ChargePointId, version: ocpp::Version, reason: &str) {
        let payload = Payload::Disconnected { reason };
        let event = self.event("charge_point.disconnected", charge_point, version, payload);
        self.sink.send_and_forget(charge_point.as_str(), bytes(&event));
    }

    fn of_said(&self, said: &Said<'_>) -> Vec<u8> {
        let event_type = ocpp::event_type(said.action, said.payload.get());
        let payload = Payload::Ocpp(said.payload);
        let event = self.event(&event_type, said.charge_point, said.version, payload);
        bytes(&Event {
            message_id: Some(said.message_id),
            action: Some(said.action),
            ..event
        })
    }

    fn event<'a>(
        &'a self,
        event_type: &'a str,
        charge_point: &'a ChargePointId,
        version: ocpp::Version,
        payload: Payload<'a>,
    ) -> Event<'a> {
        Event {
            event_id: uuid::Uuid::now_v7().to_string(),
            event_type,
            charge_point_id: charge_point.as_str(),
            gateway_id: self.gateway_id.as_str(),
            timestamp: chassis::clock::rfc3339_now(),
            ocpp_version: version.number(),
            message_id: None,
            action: None,
            payload,
        }
    }
}

/// The event as JSON. Texts and numbers always have a JSON form, so nothing can fail here.
fn bytes(event: &Event<'_>) -> Vec<u8> {
    serde_json::to_vec(event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<(String, serde_json::Value)>>);

    impl EventSink for Kept {
        fn send(&self, charge_point_id: &str, event: Vec<u8>) -> Result<Confirmation, NotTaken> {
            self.send_and_forget(charge_point_id, event);
            Ok(Box::pin(async { true }))
        }

        fn send_and_forget(&self, charge_point_id: &str, event: Vec<u8>) {
            let value = serde_json::from_slice(&event).unwrap();
            self.0.lock().unwrap().push((charge_point_id.to_owned(), value));
        }
    }

    #[test]
    fn the_envelope_is_the_platforms_and_the_payload_is_untouched() {
        let kept = Arc::new(Kept::default());
        let upstream = Upstream::new(Arc::clone(&kept) as _, PodId::parse("edge-1").unwrap());
        let charge_point = ChargePointId::parse("CP-1").unwrap();
        let payload: Box<RawValue> = serde_json::from_str(r#"{"meterStart": 1.50, "b":[1]}"#).unwrap();
        upstream.say(&Said {
            charge_point: &charge_point,
            version: ocpp::Version::V16,
            message_id: "m1",
            action: "StartTransaction",
            payload: &payload,
        });
        upstream.connected(&charge_point, ocpp::Version::V201);
        upstream.disconnected(&charge_point, ocpp::Version::V201, "idle");
        let events = kept.0.lock().unwrap();
        let (key, event) = &events[0];
        assert_eq!(key, "CP-1");
        let mut keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "action",
                "chargePointId",
                "eventId",
                "eventType",
                "gatewayId",
                "messageId",
                "ocppVersion",
                "payload",
                "timestamp",
            ]
        );
        assert_eq!(event["eventType"], "transaction.started");
        assert_eq!(event["payload"]["meterStart"], 1.5);
        assert_eq!(
            (&event["gatewayId"], &event["ocppVersion"]),
            (&"edge-1".into(), &"1.6".into())
        );
        assert_eq!(events[1].1["eventType"], "charge_point.connected");
        assert_eq!(events[2].1["payload"]["reason"], "idle");
    }
}
