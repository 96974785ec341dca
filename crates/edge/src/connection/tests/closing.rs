//! What still counts behind the close.

use domain::command::RedeliveryClass;
use domain::edge::Input;
use domain::ids::{ChargePointId, Version};
use ocpp::Version::V16;
use tokio_tungstenite::tungstenite::Message;
use wire::gateway::link::v1::up_item::Item;

use super::Raw;
use crate::testing::{Bench, LIFE};

#[tokio::test]
async fn an_answer_that_crosses_the_close_is_told() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    assert!(charger.hear_text().await.contains(&id.to_string()));
    let (charge_point, version) = (ChargePointId::parse("CP-1").unwrap(), Version(100));
    bench.hub.route(Input::Kick {
        incarnation: LIFE,
        charge_point,
        version,
    });
    assert!(matches!(charger.hear().await, Message::Close(_)));
    // As a text frame with an empty mask, because the library says nothing more once it knows of the close.
    let text = format!(r#"[3,"{id}",{{"status":"Accepted"}}]"#);
    let length = u8::try_from(text.len()).unwrap();
    charger
        .ws
        .get_mut()
        .write_all_raw(&[0x81, 0x80 | length, 0, 0, 0, 0])
        .await;
    charger.ws.get_mut().write_all_raw(text.as_bytes()).await;
    let answer = bench
        .told(|item| if let Item::Answer(a) = item { Some(a) } else { None })
        .await;
    assert_eq!(answer.command_id, id.to_string());
}
