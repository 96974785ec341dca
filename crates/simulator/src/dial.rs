//! Opening a charger's WebSocket: the address it comes from, the request, the small buffers. Leaves out when to
//! dial again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicUsize, Ordering};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::config::{Config, ConfigError};

/// The unreserved characters of RFC 3986, which stay as they are in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The ports used with chosen source addresses.
const FIRST_PORT: usize = 1024;
const PORTS: usize = 65_536 - FIRST_PORT;

/// How many source ports are tried before an attempt counts as failed.
const PORT_TRIES: usize = 32;

/// Opens connections for all chargers.
#[derive(Debug)]
pub(crate) struct Dialer {
    endpoints: Vec<Endpoint>,
    source_ips: Vec<Ipv4Addr>,
    next_source: AtomicUsize,
    subprotocol: &'static str,
    password: Option<String>,
}

/// A URL and where it leads.
#[derive(Debug)]
struct Endpoint {
    url: String,
    host: String,
    port: u16,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot resolve the host")]
    Resolve(#[source] io::Error),
    #[error("the host has no address of the wanted family")]
    NoAddress,
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the id or the password does not fit an HTTP request")]
    Request,
    #[error("the WebSocket handshake failed")]
    Handshake(#[source] Box<tokio_tungstenite::tungstenite::Error>),
}

impl Dialer {
    /// Reads the endpoints of a configuration.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let endpoints = config
            .urls
            .iter()
            .map(|url| Endpoint::read(url))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            endpoints,
            source_ips: config.source_ips.clone(),
            next_source: AtomicUsize::new(0),
            subprotocol: config.version.subprotocol(),
            password: config.password.clone(),
        })
    }

    /// Connects a charger to the `turn`-th endpoint, counted round and round.
    pub(crate) async fn dial(&self, id: &str, turn: usize) -> Result<WebSocketStream<TcpStream>, DialError> {
        let endpoint = &self.endpoints[turn % self.endpoints.len()];
        let request = self.request(endpoint, id)?;
        let stream = self.connect(endpoint).await?;
        // One small frame at a time: waiting for more to send would only add latency.
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(512)
            .write_buffer_size(0)
            .max_write_buffer_size(1 << 20)
            .max_message_size(Some(1 << 20))
            .max_frame_size(Some(1 << 20));
        // Boxed: the handshake needs kilobytes that an open connection must not keep.
        let handshake = Box::pin(tokio_tungstenite::client_async_with_config(
            request,
            stream,
            Some(config),
        ));
        let (socket, _response) = handshake
            .await
            .map_err(|error| DialError::Handshake(Box::new(error)))?;
        Ok(socket)
    }

    /// The upgrade request.
    fn request(&self, endpoint: &Endpoint, id: &str) -> Result<Request, DialError> {
        let url = format!("{}/{}", endpoint.url, utf8_percent_encode(id, ENCODED));
        let mut request = url.into_client_request().map_err(|_error| DialError::Request)?;
        let headers = request.headers_mut();
        let protocol = HeaderName::from_static("sec-websocket-protocol");
        headers.insert(protocol, HeaderValue::from_static(self.subprotocol));
        if let Some(password) = &self.password {
            let credentials = format!("Basic {}", base64(format!("{id}:{password}").as_bytes()));
            let value = HeaderValue::try_from(credentials).map_err(|_error| DialError::Request)?;
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Opens the TCP connection, from a chosen address if there are any.
    async fn connect(&self, endpoint: &Endpoint) -> Result<TcpStream, DialError> {
        let chosen = !self.source_ips.is_empty();
        let mut addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(DialError::Resolve)?
            .filter(|address| !chosen || address.is_ipv4());
        let address = addresses.next().ok_or(DialError::NoAddress)?;
        if !chosen {
            return TcpStream::connect(address).await.map_err(DialError::Connect);
        }
        let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
        for _try in 0..PORT_TRIES {
            match connect_from(self.next_source(), address).await {
                Ok(stream) => return Ok(stream),
                Err(error) if is_port_taken(&error) => last_error = error,
                Err(error) => return Err(DialError::Connect(error)),
            }
        }
        Err(DialError::Connect(last_error))
    }

    /// Source addresses in turn, each with its ports in turn.
    fn next_source(&self) -> SocketAddr {
        let number = self.next_source.fetch_add(1, Ordering::Relaxed);
        let ip = self.source_ips[number % self.source_ips.len()];
        let port = FIRST_PORT + number / self.source_ips.len() % PORTS;
        SocketAddrV4::new(ip, u16::try_from(port).unwrap_or(u16::MAX)).into()
    }
}

impl Endpoint {
    /// Splits a URL.
    fn read(url: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::BadUrl(url.to_owned());
        let uri: Uri = url.parse().map_err(|_error| bad())?;
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            host,
            port: uri.port_u16().unwrap_or(80),
        })
    }
}

/// Connects from a given address and port. The port may still be in the last state of an earlier connection.
async fn connect_from(source: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(source)?;
    socket.connect(address).await
}

/// Whether another port may help.
fn is_port_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    )
}

/// Base64 with padding (RFC 4648), for the one header that wants it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = group[0] << 16 | group[1] << 8 | group[2];
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            let present = digit <= chunk.len();
            text.push(if present {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocpp::Version;

    #[test]
    fn base64_has_the_values_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn the_request_names_the_encoded_id_the_version_and_the_credentials() {
        let mut config = Config::new("ws://127.0.0.1:9/ocpp/", 1, Version::V201);
        config.password = Some("secret".into());
        let dialer = Dialer::new(&config).unwrap();
        let request = dialer.request(&dialer.endpoints[0], "RDAM 1").unwrap();
        assert_eq!(request.uri().path(), "/ocpp/RDAM%201");
        assert_eq!(request.headers()["sec-websocket-protocol"], "ocpp2.0.1");
        assert_eq!(
            request.headers()["authorization"],
            format!("Basic {}", base64(b"RDAM 1:secret"))
        );
    }

    #[test]
    fn sources_alternate_addresses_before_ports() {
        let mut config = Config::new("ws://127.0.0.1:9/", 1, Version::V16);
        config.source_ips = vec![Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];
        let dialer = Dialer::new(&config).unwrap();
        let sources: Vec<_> = (0..3).map(|_| dialer.next_source().to_string()).collect();
        assert_eq!(sources, ["127.0.1.1:1024", "127.0.1.2:1024", "127.0.1.1:1025"]);
    }
}
