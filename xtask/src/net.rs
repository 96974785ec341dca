//! Small network helpers of the supervisor: free ports, a TCP probe, one HTTP GET over loopback.
//!
//! Left out: any HTTP beyond "status and body of a short answer"; the services' own probes need no more.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Ports this process has handed out; two parts that start at the same time must not get the same one.
static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The lowest port that is handed out.
const LOWEST: u16 = 12_000;

/// How long one probe may take.
const PROBE: Duration = Duration::from_secs(2);

/// A loopback address with a port nobody listens on.
///
/// The port lies below the kernel's range for outgoing connections: a part that is killed and restarted
/// on its old port must not find it taken by some client that connected meanwhile.
pub fn free_address() -> Result<SocketAddr> {
    for _ in 0..500 {
        let port = rand::rng().random_range(LOWEST..ephemeral_start());
        if may_be_used(port) {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
    bail!("no free port found between {LOWEST} and {}", ephemeral_start())
}

/// Whether something accepts connections at `address`.
pub async fn accepts(address: SocketAddr) -> bool {
    matches!(timeout(PROBE, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Whether `address` answers `request` with something that begins with `reply`.
pub async fn replies(address: SocketAddr, request: &str, reply: &str) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![0; reply.len()];
        stream.read_exact(&mut answer).await?;
        anyhow::Ok(answer == reply.as_bytes())
    };
    matches!(timeout(PROBE, exchange).await, Ok(Ok(true)))
}

/// One `GET`; returns the status code and the body.
pub async fn http_get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(PROBE, exchange).await.context("no answer in time")??;
    parse_answer(&answer).with_context(|| format!("http://{address}{path} did not answer in HTTP"))
}

fn parse_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn may_be_used(port: u16) -> bool {
    // Binding every address also notices a listener on one of them; the listener is dropped at once.
    let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    let mut handed_out = HANDED_OUT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    free && handed_out.insert(port)
}

/// Where the kernel's range for outgoing connections begins.
fn ephemeral_start() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .filter(|start| *start > LOWEST + 1_000)
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_are_distinct_and_can_be_bound() {
        let addresses: BTreeSet<SocketAddr> = (0..50).map(|_| free_address().unwrap()).collect();
        assert_eq!(addresses.len(), 50);
        for address in addresses {
            TcpListener::bind(address).unwrap();
            assert!(address.port() < ephemeral_start());
        }
    }

    #[test]
    fn an_http_answer_is_split_into_status_and_body() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\nwaiting for redis";
        assert_eq!(parse_answer(answer), Some((503, "waiting for redis".to_owned())));
        assert_eq!(parse_answer("garbage"), None);
    }
}
