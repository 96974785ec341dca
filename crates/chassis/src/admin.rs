//! The admin port: `/metrics`, `/livez`, `/readyz` over HTTP/1.1.
//!
//! `/livez` says only that the process serves requests: were it to ask Redis or Kafka, their outage would have
//! every pod restarted at once. `/readyz` is 503 with a list of what is waited for (`?format=json` for
//! programs). Leaves out TLS and authentication: the port is bound inside the pod's network.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{config::AdminConfig, health::Readiness, metrics::Metrics};

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// A bound admin port.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    config: AdminConfig,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    readiness: Readiness,
    metrics: Metrics,
}

impl AdminServer {
    /// Binds the port; connections wait in the kernel's queue until `serve` runs.
    pub async fn bind(config: &AdminConfig, readiness: Readiness, metrics: Metrics) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { readiness, metrics });
        Ok(Self {
            listener,
            address,
            config: config.clone(),
            state,
        })
    }

    /// The address, with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `token` is cancelled; connections in progress are dropped then, since probes and scrapes
    /// are repeated by whoever made them.
    pub async fn serve(self, token: CancellationToken) {
        let mut connections = JoinSet::new();
        let slots = Arc::new(Semaphore::new(self.config.max_connections));
        while let Some(accepted) = token.run_until_cancelled(self.accept(&slots)).await {
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, slot)) => {
                    let served = serve_connection(stream, self.config.clone(), Arc::clone(&self.state));
                    connections.spawn(async move {
                        served.await;
                        drop(slot);
                    });
                }
                // Out of descriptors, or a client that is gone already: neither gets better by trying at once.
                Err(error) => {
                    tracing::warn!("the admin port cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        connections.shutdown().await;
    }

    /// Waits for a free slot and then for a connection.
    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, impl Drop + Send + use<>)> {
        let slot = Arc::clone(slots)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, slot))
    }
}

/// Serves one connection: one request, within the configured times.
async fn serve_connection(stream: TcpStream, config: AdminConfig, state: Arc<State>) {
    let service = service_fn(move |request| {
        let response = respond(&request, &state);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_timeout_ms))
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(Duration::from_millis(config.connection_timeout_ms), connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("admin connection ended: {error}"),
        Err(_) => tracing::debug!("admin connection took too long"),
    }
}

/// Answers one request; nothing here waits for anything.
fn respond<B>(request: &Request<B>, state: &State) -> Response<Full<Bytes>> {
    let page: fn(&State, bool) -> Response<Full<Bytes>> = match request.uri().path() {
        "/metrics" => |state, _| response(StatusCode::OK, PROMETHEUS, state.metrics.render()),
        "/livez" => |_, _| response(StatusCode::OK, TEXT, "alive\n".into()),
        "/readyz" => readyz,
        _ => {
            return response(
                StatusCode::NOT_FOUND,
                TEXT,
                "try /metrics, /livez or /readyz\n".into(),
            );
        }
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let as_json = request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "format=json"));
    page(state, as_json)
}

/// The page of what is waited for. The conditions are read once, so status and list agree.
fn readyz(state: &State, as_json: bool) -> Response<Full<Bytes>> {
    let conditions = state.readiness.snapshot();
    let waiting: Vec<_> = conditions
        .iter()
        .filter_map(|c| Some((&c.name, c.waiting.as_ref()?)))
        .collect();
    let status = if waiting.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if !as_json {
        let lines: String = waiting
            .iter()
            .map(|(name, why)| format!("waiting for {name}: {why}\n"))
            .collect();
        return response(
            status,
            TEXT,
            if lines.is_empty() { "ready\n".into() } else { lines },
        );
    }
    let clock = state.readiness.clock();
    let conditions: Vec<_> = conditions
        .iter()
        .map(|condition| {
            let for_ms = u64::try_from(clock.since(condition.since_us).as_millis()).unwrap_or(u64::MAX);
            let ready = condition.waiting.is_none();
            json!({"name": condition.name, "ready": ready, "reason": condition.waiting, "for_ms": for_ms})
        })
        .collect();
    let body = json!({"ready": waiting.is_empty(), "conditions": conditions});
    response(status, JSON, format!("{body}\n"))
}

/// A response that no cache keeps.
fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
