//! The gRPC server: the services, health, reflection, the bounds, and the drain.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use chassis::Readiness;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use wire::gateway::command::v1::command_service_server::CommandServiceServer;
use wire::gateway::command::v1::dead_letter_service_server::DeadLetterServiceServer;
use wire::gateway::link::v1::edge_link_service_server::EdgeLinkServiceServer;
use wire::gateway::registry::v1::registry_service_server::RegistryServiceServer;

use crate::api::{CommandApi, DeadLetterApi};
use crate::config::{GrpcConfig, RouterConfig};
use crate::engine::EngineCell;
use crate::link::LinkService;
use crate::registry_api::RegistryApi;

/// The services whose health is reported; the empty name stands for the whole.
const SERVICES: [&str; 5] = [
    "",
    "gateway.command.v1.CommandService",
    "gateway.command.v1.DeadLetterService",
    "gateway.registry.v1.RegistryService",
    "gateway.link.v1.EdgeLinkService",
];

/// Serves until `token` is cancelled and every call and stream has ended.
pub(crate) async fn serve(
    config: &RouterConfig,
    listener: TcpListener,
    engine: &EngineCell,
    readiness: &Readiness,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    let most = config.grpc.max_message_bytes;
    let sessions = TaskTracker::new();
    let command = CommandServiceServer::new(CommandApi::new(engine.clone(), token.clone()));
    let dead_letters = DeadLetterServiceServer::new(DeadLetterApi::new(engine.clone()));
    let registry = RegistryServiceServer::new(RegistryApi::new(engine.clone()));
    let link = EdgeLinkServiceServer::new(LinkService::new(engine.clone(), token.clone(), sessions.clone()));
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = reflection()?;
    let follow = follow(reporter, readiness, token);
    let serve = builder(&config.grpc)
        .add_service(health)
        .add_service(reflection.0)
        .add_service(reflection.1)
        .add_service(
            command
                .max_decoding_message_size(most)
                .max_encoding_message_size(most),
        )
        .add_service(
            dead_letters
                .max_decoding_message_size(most)
                .max_encoding_message_size(most),
        )
        .add_service(registry.max_encoding_message_size(most))
        .add_service(
            link.max_decoding_message_size(most)
                .max_encoding_message_size(most),
        )
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            token.clone().cancelled_owned(),
        );
    let patience = config.shutdown.drain() / 5;
    let (served, ()) = tokio::join!(bounded(serve, token, patience), follow);
    sessions.close();
    sessions.wait().await;
    served.context("the gRPC server failed")
}

/// Awaits the server, after the drain began only for so long: streams of health and reflection belong to
/// their callers, who need not end them, and the server would wait for those for ever.
async fn bounded<E>(
    serve: impl Future<Output = Result<(), E>>,
    token: &CancellationToken,
    patience: Duration,
) -> Result<(), E> {
    let out_of_patience = async {
        token.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        served = serve => served,
        () = out_of_patience => {
            tracing::info!("callers keep streams open; the router ends without them");
            Ok(())
        }
    }
}

/// The bounds of a connection.
fn builder(config: &GrpcConfig) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(config.keepalive()))
        .http2_keepalive_timeout(Some(config.keepalive_timeout()))
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .max_concurrent_streams(Some(config.max_streams))
        // A router that wakes from a pause finds the calls that were given up meanwhile, all at once. The default of 20
        // took that for an attack and ended the others of the connection with RESOURCE_EXHAUSTED.
        .http2_max_pending_accept_reset_streams(usize::try_from(config.max_streams).ok())
        .concurrency_limit_per_connection(config.max_calls)
}

/// Reflection in both versions, with the details of errors, so that clients can print those.
fn reflection() -> anyhow::Result<(
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    tonic_reflection::server::v1alpha::ServerReflectionServer<
        impl tonic_reflection::server::v1alpha::ServerReflection,
    >,
)> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (v1, v1alpha) = (builder().build_v1(), builder().build_v1alpha());
    Ok((v1.context("reflection")?, v1alpha.context("reflection")?))
}

/// Reports the readiness as health until the drain, during which nothing is served.
async fn follow(reporter: HealthReporter, readiness: &Readiness, token: &CancellationToken) {
    let mut ready = readiness.watch();
    loop {
        let serving = *ready.borrow_and_update() && !token.is_cancelled();
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
        if token.is_cancelled() {
            return;
        }
        token.run_until_cancelled(ready.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_its_caller_keeps_open_does_not_hold_up_the_drain() {
        let token = CancellationToken::new();
        let never = std::future::pending::<Result<(), ()>>();
        let (served, ()) = tokio::join!(bounded(never, &token, Duration::from_secs(5)), async {
            token.cancel();
        });
        assert_eq!(served, Ok(()));
    }

    #[tokio::test]
    async fn a_server_that_fails_is_reported() {
        let token = CancellationToken::new();
        let failed = bounded(async { Err("no socket") }, &token, Duration::from_secs(5));
        assert_eq!(failed.await, Err("no socket"));
    }
}
