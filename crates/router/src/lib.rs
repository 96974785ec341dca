//! The router: the command API, the retry state machine's hands, the edges' links, the shard producers.
//!
//! It keeps nothing that dies with it: what it knows is in the store, and any replica continues where another
//! one stopped. Left out: every decision about a command, which is `domain`'s, and charger sockets, which are
//! the edge's.

mod account;
pub mod api;
mod beat;
pub mod breaker;
pub mod changes;
pub mod config;
pub mod dispatcher;
pub mod due;
pub mod engine;
pub mod error;
pub mod failpoint;
pub mod fullness;
pub mod leases;
pub mod link;
pub mod metrics;
pub mod outbox;
pub mod precedence;
pub mod producers;
pub mod registry_api;
mod server;
mod shared_read;
pub mod slots;
mod start;
pub mod told;
pub mod topics;
pub mod trace;

use crate::producers::Producers;
use anyhow::Context as _;
use chassis::{Context, Service};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::RouterConfig;
use crate::engine::EngineCell;
use crate::start::Workers;

/// The service.
pub struct App {
    config: RouterConfig,
    context: Context,
    listener: TcpListener,
    producers: Producers,
    engine: EngineCell,
}

impl Service for App {
    type Config = RouterConfig;

    const NAME: &'static str = "router";

    async fn bind(mut config: RouterConfig, context: Context) -> anyhow::Result<Self> {
        metrics::describe();
        store::metrics::describe();
        bus::metrics::describe();
        if config.router.id.is_empty() {
            config.router.id = format!("router-{}", std::process::id());
        }
        let listen = config.grpc.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot bind grpc.listen {listen}"))?;
        context.addresses.add("grpc", listener.local_addr()?);
        // Known from the start, so that there is no moment at which nothing seems to be waited for.
        for part in start::PARTS {
            context.readiness.condition(part);
        }
        let producers = Producers::new(&config.kafka, config.delivery.low_priority_produce_linger())?;
        Ok(Self {
            config,
            context,
            listener,
            producers,
            engine: EngineCell::default(),
        })
    }

    async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        let Self {
            config,
            context,
            listener,
            producers,
            engine,
        } = self;
        let workers = Workers::new(&token);
        start::kafka(&context, &config, &producers, &token);
        start::store(&context, &config, &producers, &engine, &workers);
        let served = server::serve(&config, listener, &engine, &context.readiness, &token).await;
        token.cancel();
        workers.finish(&config, &engine, producers).await;
        served
    }
}
