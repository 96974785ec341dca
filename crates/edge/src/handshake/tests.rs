//! Raw requests, and what becomes of them.

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Open;
struct Shut(&'static str);

impl Door for Open {
    fn refusal(&self) -> Option<&'static str> {
        None
    }
}

impl Door for Shut {
    fn refusal(&self) -> Option<&'static str> {
        Some(self.0)
    }
}

const LIMIT: Duration = Duration::from_secs(10);

fn request(path: &str, subprotocols: &str) -> String {
    let offers = if subprotocols.is_empty() {
        String::new()
    } else {
        format!("{SUBPROTOCOL}: {subprotocols}\r\n")
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offers}\r\n"
    )
}

/// The identity and version that a request leads to, or the status and what the peer read.
async fn shake(
    bytes: &[u8],
    door: &impl Door,
) -> Result<(String, Option<ocpp::Version>), (HandshakeError, String)> {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(bytes).await.unwrap();
    match read_upgrade(near, LIMIT, door).await {
        Ok(upgrade) => Ok((upgrade.charge_point.to_string(), upgrade.version)),
        Err(error) => {
            let mut said = String::new();
            far.read_to_string(&mut said).await.unwrap();
            Err((error, said))
        }
    }
}

#[tokio::test]
async fn a_well_formed_upgrade_has_an_identity_and_the_clients_first_known_version() {
    use ocpp::Version::{V16, V21, V201};
    for (path, offers, identity, version) in [
        ("/ocpp/CP-1", "ocpp1.6", "CP-1", Some(V16)),
        ("/CP-1", "ocpp2.1, ocpp1.6", "CP-1", Some(V21)),
        ("/deep/er/EVB%2DP1", "soap, ocpp2.0.1", "EVB-P1", Some(V201)),
        ("/CP-1?token=x", "OCPP1.6", "CP-1", Some(V16)),
        ("/CP-1", "", "CP-1", None),
        ("/CP-1", "ocpp1.5", "CP-1", None),
    ] {
        let got = shake(request(path, offers).as_bytes(), &Open).await;
        assert_eq!(got.ok(), Some((identity.to_owned(), version)), "{path} {offers}");
    }
}

#[tokio::test]
async fn refusals_are_answered_with_the_status_that_fits() {
    let good = request("/CP-1", "ocpp1.6");
    let large = request(&format!("/CP-1?{}", "x".repeat(9_000)), "ocpp1.6");
    for (bytes, status, reason) in [
        (request("/ocpp/", "ocpp1.6"), 404, reasons::BAD_IDENTITY),
        (request("/CP%zz", "ocpp1.6"), 404, reasons::BAD_IDENTITY),
        (request("/CP%3A1", "ocpp2.0.1"), 404, reasons::BAD_IDENTITY),
        (request("/CP%201", "ocpp1.6"), 404, reasons::BAD_IDENTITY),
        (
            request(&format!("/{}", "x".repeat(49)), "ocpp1.6"),
            404,
            reasons::BAD_IDENTITY,
        ),
        (good.replace("GET", "POST"), 400, reasons::BAD_REQUEST),
        (
            good.replace("Upgrade: websocket\r\n", ""),
            400,
            reasons::BAD_REQUEST,
        ),
        (
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            400,
            reasons::BAD_REQUEST,
        ),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 400, reasons::BAD_REQUEST),
        ("\u{1}\u{2}garbage\r\n\r\n".to_owned(), 400, reasons::BAD_REQUEST),
        (large, 431, reasons::HEAD_TOO_LARGE),
    ] {
        let (error, said) = shake(bytes.as_bytes(), &Open).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{bytes}");
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        assert_explained(&said, reason);
        assert!(error.is_the_chargers_fault());
    }
}

/// Every refusal has a body that says why, of the length that its head announces.
fn assert_explained(said: &str, reason: &'static str) {
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{said}"
    );
    assert_eq!(body.trim_end(), explanation(reason));
}

#[tokio::test]
async fn a_refused_peer_is_named_by_what_it_asked_for() {
    let (error, _) = shake(request("/ocpp/CP%3A1", "ocpp2.0.1").as_bytes(), &Open)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"refused with 404: bad_identity, "/ocpp/CP%3A1""#
    );
}

#[tokio::test]
async fn no_room_and_not_ready_are_503_with_a_hint_when_to_come_back() {
    for reason in [reasons::NOT_READY, reasons::TOO_MANY] {
        let (error, said) = shake(request("/CP-1", "ocpp1.6").as_bytes(), &Shut(reason))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(
            said.starts_with("HTTP/1.1 503 ") && said.contains("Retry-After"),
            "{said}"
        );
        assert_explained(&said, reason);
        assert!(!error.is_the_chargers_fault());
    }
}

#[tokio::test]
async fn a_request_in_pieces_is_put_together_and_a_frame_right_behind_it_is_not_lost() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut bytes = request("/CP-1", "ocpp1.6").into_bytes();
    // A masked text frame "hi", its mask zero.
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let feed = async {
        for piece in bytes.chunks(7) {
            far.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (upgrade, ()) = tokio::join!(read_upgrade(near, LIMIT, &Open), feed);
    let mut ws = upgrade
        .unwrap()
        .accept(LIMIT, WebSocketConfig::default())
        .await
        .unwrap();
    assert_eq!(
        ws.next().await.unwrap().unwrap().into_text().unwrap().as_str(),
        "hi"
    );
}

#[tokio::test]
async fn the_response_names_the_version_in_common_and_no_other() {
    for (offers, named) in [("ocpp2.0.1, ocpp1.6", Some("ocpp2.0.1")), ("ocpp1.5", None)] {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(request("/CP-1", offers).as_bytes()).await.unwrap();
        let upgrade = read_upgrade(near, LIMIT, &Open).await.unwrap();
        drop(upgrade.accept(LIMIT, WebSocketConfig::default()).await.unwrap());
        let mut said = String::new();
        far.read_to_string(&mut said).await.unwrap();
        let said = said.to_lowercase();
        assert!(said.starts_with("http/1.1 101 "), "{said}");
        assert!(
            said.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{said}"
        );
        match named {
            Some(name) => assert!(
                said.contains(&format!("sec-websocket-protocol: {name}\r\n")),
                "{said}"
            ),
            None => assert!(!said.contains("sec-websocket-protocol"), "{said}"),
        }
    }
}

#[tokio::test]
async fn a_slow_request_ends_with_its_deadline_and_a_vanished_peer_at_once() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(b"GET /CP-1 HTTP/1.1\r\n").await.unwrap();
    let error = read_upgrade(near, Duration::from_millis(5), &Open)
        .await
        .err()
        .unwrap();
    assert_eq!(error.reason(), reasons::HANDSHAKE_TIMEOUT);
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let error = read_upgrade(near, LIMIT, &Open).await.err().unwrap();
    assert_eq!(error.reason(), reasons::IO);
}
