//! The life of a service process: flags, config, telemetry, admin port, bind, run, drain, exit code.
//!
//! A service gives [`Service`] and nothing else; the order of coming up and going down is here, once. Tests
//! skip this file: they make a [`Context`] of their own and call `bind` and `run`. Leaves out what a service
//! does to drain, which happens inside its `run` after the token is cancelled.
//!
//! Exit codes: 0 ended as asked, 1 failed or did not drain in time, 2 wrong flags or config, 130 second signal.

mod addresses;

use std::{
    future::Future,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args as _, FromArgMatches};
use tokio_util::sync::CancellationToken;

pub use addresses::Addresses;

use crate::{
    admin::AdminServer,
    clock::MonoClock,
    config::{self, ChassisConfig, CommonArgs, ServiceConfig},
    health::Readiness,
    history,
    metrics::{self, Metrics, names},
    shutdown,
    supervise::{Period, every},
    tasks::Tasks,
    telemetry,
};

/// The version all services share.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A service: what it needs to come up, and its run.
pub trait Service: Sized + Send {
    /// Its configuration.
    type Config: ServiceConfig;

    /// Its name: of the binary, the image, the deployment.
    const NAME: &'static str;

    /// Binds listeners and connects to what it needs; says with `context.addresses` where it listens and with
    /// `context.readiness` what it waits for. May take long: the admin port answers meanwhile.
    fn bind(config: Self::Config, context: Context) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Works until `token` is cancelled, then drains and returns; or returns when its work is done.
    fn run(self, token: CancellationToken) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What the chassis hands to a service. Clones are handles of the same things.
#[derive(Clone, Debug)]
pub struct Context {
    /// What the service waits for.
    pub readiness: Readiness,
    /// The owner of its tasks; a failing one ends the service.
    pub tasks: Tasks,
    /// Where it listens; the admin port is in already, as `admin`.
    pub addresses: Addresses,
    /// The clock for leases and timeouts.
    pub clock: MonoClock,
    /// Cancelled when the service is to end; `bind` watches it where it waits.
    pub token: CancellationToken,
}

impl Context {
    /// A context with its own tasks and readiness.
    pub fn new(clock: MonoClock, token: CancellationToken) -> Self {
        let (readiness, tasks) = (Readiness::new(clock.clone()), Tasks::new(token.clone()));
        Self {
            readiness,
            tasks,
            addresses: Addresses::default(),
            clock,
            token,
        }
    }
}

/// The whole of a service's `main`, with the flags of [`CommonArgs`]. `about` is what `--help` says of it.
pub fn run_service<S: Service>(about: &'static str) -> ExitCode {
    // Last, since flags bring the description of their struct along.
    let command = CommonArgs::augment_args(clap::Command::new(S::NAME).version(VERSION)).about(about);
    let matches = command.get_matches();
    match CommonArgs::from_arg_matches(&matches) {
        Ok(args) => run_service_with::<S>(&args, |_| {}),
        Err(error) => error.exit(),
    }
}

/// The same for a service with flags of its own, which `adjust` carries into the loaded config.
pub fn run_service_with<S: Service>(args: &CommonArgs, adjust: impl FnOnce(&mut S::Config)) -> ExitCode {
    const EXIT_CONFIG: u8 = 2;
    let clock = MonoClock::system();
    let mut config = match config::load::<S::Config>(args) {
        Ok(config) => config,
        Err(errors) => {
            say(
                io::stderr(),
                &format!("{}: the configuration is wrong\n{errors}\n", S::NAME),
            );
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    adjust(&mut config);
    if args.dump_config {
        say(io::stdout(), &config::dump(&config));
        return ExitCode::SUCCESS;
    }
    match in_runtime::<S>(args, config, clock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{} failed: {error:#}", S::NAME);
            // Without a subscriber, as when telemetry itself failed, the line above went nowhere.
            if !tracing::enabled!(tracing::Level::ERROR) {
                say(io::stderr(), &format!("{} failed: {error:#}\n", S::NAME));
            }
            ExitCode::FAILURE
        }
    }
}

/// Builds the runtime and lives in it. What still runs at the end, as a blocking call, is not waited for.
fn in_runtime<S: Service>(args: &CommonArgs, config: S::Config, clock: MonoClock) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(S::NAME)
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(live::<S>(args, config, clock));
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// From telemetry to the last flush.
async fn live<S: Service>(args: &CommonArgs, config: S::Config, clock: MonoClock) -> anyhow::Result<()> {
    let chassis = config.chassis();
    let telemetry = telemetry::init(S::NAME, &chassis.log, &chassis.telemetry)?;
    if let Some(path) = &chassis.telemetry.history_file {
        let opened = history::open(path);
        opened.with_context(|| format!("cannot open telemetry.history_file {}", path.display()))?;
    }
    let metrics = metrics::install()?;
    metrics.build_info(S::NAME, VERSION);
    let token = CancellationToken::new();
    shutdown::on_signals(token.clone()).context("cannot listen for signals")?;
    if args.exit_on_stdin_close {
        shutdown::on_stdin_close(token.clone()).context("cannot watch standard input")?;
    }
    let context = Context::new(clock, token);
    let result = serve::<S>(args, config, &chassis, &context, metrics).await;
    telemetry.shutdown().await;
    result
}

/// The admin port around the service: it is up before `bind` and down after the drain, so that probes are
/// answered throughout.
async fn serve<S: Service>(
    args: &CommonArgs,
    config: S::Config,
    chassis: &ChassisConfig,
    context: &Context,
    metrics: Metrics,
) -> anyhow::Result<()> {
    let admin = AdminServer::bind(&chassis.admin, context.readiness.clone(), metrics.clone()).await;
    let admin = admin.with_context(|| format!("cannot bind admin.listen {}", chassis.admin.listen))?;
    context.addresses.add("admin", admin.local_addr());
    let after_drain = CancellationToken::new();
    let chores = Tasks::new(context.token.clone());
    chores.spawn("admin", admin.serve(after_drain.clone()));
    chores.spawn("metrics-upkeep", upkeep(metrics, after_drain.clone()));
    chores.spawn(
        "ready-gauge",
        ready_gauge(context.readiness.clone(), after_drain.clone()),
    );
    let result = bind_and_run::<S>(args, config, chassis.shutdown.drain(), context).await;
    after_drain.cancel();
    let ended = chores.join(Duration::from_secs(1)).await;
    result.and(ended.map_err(Into::into))
}

/// Binds, announces, runs, drains.
async fn bind_and_run<S: Service>(
    args: &CommonArgs,
    config: S::Config,
    drain: Duration,
    context: &Context,
) -> anyhow::Result<()> {
    let started = context.readiness.condition("start");
    started.waiting("binding");
    let token = &context.token;
    let bound = token
        .run_until_cancelled(Box::pin(S::bind(config, context.clone())))
        .await;
    let (result, left) = match bound {
        Some(Ok(service)) => match announce::<S>(args, context) {
            Ok(()) => {
                started.ready();
                run_and_drain(service, drain, context).await
            }
            Err(error) => (Err(error), drain),
        },
        Some(Err(error)) => (Err(error.context("cannot start")), drain),
        None => (Ok(()), drain),
    };
    token.cancel();
    let tasks = context.tasks.join(left).await;
    // A failed task is the cause of what the run may say afterwards, so it is reported first.
    tasks.map_err(anyhow::Error::from).and(result)?;
    tracing::info!("{} ended", S::NAME);
    Ok(())
}

/// Runs the service; from the shutdown on it has `drain` to return. Also returns what is left of that for the
/// tasks, since the supervisor's patience is one span for all.
async fn run_and_drain<S: Service>(
    service: S,
    drain: Duration,
    context: &Context,
) -> (anyhow::Result<()>, Duration) {
    let token = context.token.clone();
    let mut run = Box::pin(service.run(token.clone()));
    if let Some(result) = token.run_until_cancelled(&mut run).await {
        return (result, drain);
    }
    context.readiness.condition("shutdown").waiting("draining");
    let began_us = context.clock.now_us();
    let result = match tokio::time::timeout(drain, run).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!(
            "the drain took longer than {} ms",
            drain.as_millis()
        )),
    };
    (result, drain.saturating_sub(context.clock.since(began_us)))
}

/// Tells people by a log line, and supervisors by the ready file, where the service listens.
fn announce<S: Service>(args: &CommonArgs, context: &Context) -> anyhow::Result<()> {
    tracing::info!(
        service = S::NAME,
        version = VERSION,
        "{} listens on {}",
        S::NAME,
        context.addresses
    );
    if let Some(path) = &args.ready_file {
        let written = context.addresses.write(S::NAME, path);
        written.with_context(|| format!("cannot write the ready file {}", path.display()))?;
    }
    Ok(())
}

/// Moves samples into their histograms every few seconds, scraped or not.
async fn upkeep(metrics: Metrics, token: CancellationToken) {
    every(
        Period::new(Duration::from_secs(5)),
        &token,
        "metrics-upkeep",
        || {
            metrics.upkeep();
            async { Ok::<_, io::Error>(()) }
        },
    )
    .await;
}

/// Follows the readiness with a metric.
async fn ready_gauge(readiness: Readiness, token: CancellationToken) {
    let mut watch = readiness.watch();
    loop {
        let ready = *watch.borrow_and_update();
        ::metrics::gauge!(names::READY).set(if ready { 1.0 } else { 0.0 });
        if token.run_until_cancelled(watch.changed()).await.is_none() {
            return;
        }
    }
}

/// Writes to a stream of the process. One that is closed cannot be told about it.
fn say(mut stream: impl Write, text: &str) {
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

#[cfg(test)]
mod tests;
