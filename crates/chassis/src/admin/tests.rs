//! Tests of the admin port over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{clock::MonoClock, metrics};

struct Running {
    address: SocketAddr,
    readiness: Readiness,
    token: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(config: AdminConfig) -> Running {
    let (readiness, token) = (Readiness::new(MonoClock::system()), CancellationToken::new());
    let server = AdminServer::bind(&config, readiness.clone(), metrics::install().unwrap())
        .await
        .unwrap();
    let address = server.local_addr();
    let task = tokio::spawn(server.serve(token.clone()));
    Running {
        address,
        readiness,
        token,
        task,
    }
}

impl Running {
    /// Sends bytes and reads to the end.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The status line's code and the body.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self
            .exchange(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

#[tokio::test]
async fn readyz_flips_with_the_conditions_and_livez_does_not() {
    let admin = start(AdminConfig::default()).await;
    let redis = admin.readiness.condition("redis");
    redis.waiting("connection refused");
    assert_eq!(
        admin.get("/readyz").await,
        (503, "waiting for redis: connection refused\n".into())
    );
    assert_eq!(admin.get("/livez").await, (200, "alive\n".into()));
    redis.ready();
    assert_eq!(admin.get("/readyz").await, (200, "ready\n".into()));
    redis.waiting("timed out");
    assert_eq!(admin.get("/readyz").await.0, 503);
}

#[tokio::test]
async fn readyz_speaks_json_when_asked() {
    let admin = start(AdminConfig::default()).await;
    admin.readiness.condition("redis").ready();
    admin.readiness.condition("kafka").waiting("no broker");
    let (status, body) = admin.get("/readyz?x=1&format=json").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert_eq!(body["conditions"][0]["ready"], json!(true));
    assert_eq!(body["conditions"][1]["reason"], json!("no broker"));
    assert!(body["conditions"][1]["for_ms"].is_u64());
}

#[tokio::test]
async fn metrics_are_served_and_other_paths_and_methods_refused() {
    let admin = start(AdminConfig::default()).await;
    let (status, body) = admin.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("process_open_fds "));
    assert_eq!(admin.get("/").await.0, 404);
    let refused = admin
        .exchange("POST /readyz HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(
        refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD"),
        "{refused}"
    );
    let head = admin.exchange("HEAD /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn silent_and_slow_clients_lose_their_slot() {
    let config = AdminConfig {
        max_connections: 1,
        header_timeout_ms: 50,
        ..AdminConfig::default()
    };
    let admin = start(config).await;
    let silent = TcpStream::connect(admin.address).await.unwrap();
    let mut slow = TcpStream::connect(admin.address).await.unwrap();
    slow.write_all(b"GET /livez HT").await.unwrap();
    assert_eq!(admin.get("/livez").await.0, 200, "the only slot came free twice");
    drop((silent, slow));
}

#[tokio::test]
async fn a_shutdown_ends_the_server_also_with_open_connections() {
    let admin = start(AdminConfig::default()).await;
    let mut open = TcpStream::connect(admin.address).await.unwrap();
    assert_eq!(
        admin.get("/livez").await.0,
        200,
        "so the open one has been accepted before"
    );
    admin.token.cancel();
    admin.task.await.unwrap();
    let mut rest = Vec::new();
    // The end may arrive as a close or as a reset; either way nothing was answered.
    let _ = open.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}
