//! What is said of chargers that misbehave.

use futures_util::SinkExt;
use ocpp::Version::V16;
use tokio_tungstenite::tungstenite::Message;

use super::HEARTBEAT;
use crate::testing::Bench;

#[tokio::test]
async fn each_misbehaviour_is_told_once_with_the_charger_and_the_reason() {
    let bench = Bench::new();
    let mut malformed = bench.connect("CP-malformed", V16, 100).await;
    for text in ["[2,", "[9,\"x\"]", "hello"] {
        malformed.say(text).await;
    }
    malformed.ask(HEARTBEAT).await;
    let mut binary = bench.connect("CP-binary", V16, 101).await;
    binary.ws.send(Message::binary(vec![1])).await.unwrap();
    binary.hear_close().await;
    let mut large = bench.connect("CP-large", V16, 102).await;
    large.say(&"x".repeat(64 * 1024 + 1)).await;
    large.hear_close().await;
    let mut twice = bench.connect("CP-twice", V16, 103).await;
    let _newer = bench.connect("CP-twice", V16, 104).await;
    twice.hear_close().await;
    let expected = [
        "CP-malformed malformed_message",
        "CP-binary binary_message",
        "CP-large message_too_large",
        "CP-twice duplicate_identity",
    ];
    assert_eq!(*bench.complaints.lock().unwrap(), expected, "however often");
}
