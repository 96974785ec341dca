//! The simulator's command line. Leaves out everything but flags, signals and the report.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use ocpp::Version;
use simulator::{AnswerMix, Config, Simulator, sink};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Simulated charge points over OCPP-J.
#[derive(Debug, Parser)]
#[command(name = "simulator", disable_version_flag = true)]
struct Flags {
    /// Endpoint, to which `/<id>` is appended; give it several times to spread the chargers.
    #[arg(long, default_value = "ws://127.0.0.1:8080/ocpp")]
    url: Vec<String>,
    /// How many charge points.
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// What ids begin with.
    #[arg(long, default_value = "CP-")]
    prefix: String,
    /// The number of the first id.
    #[arg(long, default_value_t = 1)]
    first: usize,
    /// OCPP version: 1.6, 2.0.1 or 2.1.
    #[arg(long, default_value = "1.6")]
    version: Version,
    /// Password of Basic authentication.
    #[arg(long, env = "SIMULATOR_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Random delay before a command is answered, `least..most` in milliseconds.
    #[arg(long, default_value = "0..50", value_parser = range)]
    answer_delay_ms: (u64, u64),
    /// Share of commands answered with a refusal.
    #[arg(long, default_value_t = 0.0)]
    rejected: f64,
    /// Share of commands answered with CALLERROR.
    #[arg(long, default_value_t = 0.0)]
    errors: f64,
    /// Share of commands not answered at all.
    #[arg(long, default_value_t = 0.0)]
    silent: f64,
    /// Seconds between heartbeats; 0 for none.
    #[arg(long, default_value_t = 300.0)]
    heartbeat_s: f64,
    /// Seconds between meter values; 0 for none.
    #[arg(long, default_value_t = 0.0)]
    meter_s: f64,
    /// Seconds between start and stop of transactions; 0 for none.
    #[arg(long, default_value_t = 0.0)]
    transaction_s: f64,
    /// Send neither BootNotification nor StatusNotification.
    #[arg(long)]
    quiet: bool,
    /// Chargers started a second; all at once by default.
    #[arg(long)]
    ramp: Option<u32>,
    /// Connection attempts under way at a time.
    #[arg(long, default_value_t = 1000)]
    max_connecting: usize,
    /// First wait before a reconnect, in milliseconds.
    #[arg(long, default_value_t = 200)]
    backoff_base_ms: u64,
    /// Longest wait before a reconnect, in milliseconds.
    #[arg(long, default_value_t = 5000)]
    backoff_cap_ms: u64,
    /// Addresses to connect from, separated by commas.
    #[arg(long, value_delimiter = ',')]
    source_ips: Vec<Ipv4Addr>,
    /// File to which JSON lines are appended.
    #[arg(long)]
    log: Option<PathBuf>,
    /// Makes random choices repeatable.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds between reports on standard output; 0 for one at the end only.
    #[arg(long, default_value_t = 0.0)]
    report_s: f64,
    /// Print the ids and exit.
    #[arg(long)]
    list_ids: bool,
    /// Stop when standard input ends, as it does when a supervising process dies.
    #[arg(long)]
    exit_on_stdin_close: bool,
    /// Print one line with the wall clock at the start and when all were connected at once.
    #[arg(long, hide = true)]
    time_connects: bool,
    /// Be no charger but a bare echo server at this address, to compare a gateway with.
    #[arg(long, hide = true)]
    sink: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_unset| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let flags = Flags::parse();
    let config = flags.config()?;
    if flags.list_ids {
        return print_lines(config.ids());
    }
    let stop = stop_requested(flags.exit_on_stdin_close)?;
    if let Some(address) = flags.sink {
        let listener = TcpListener::bind(address)
            .await
            .context("the sink cannot listen")?;
        return tokio::select! {
            () = stop => Ok(()),
            () = sink::serve(listener) => Ok(()),
        };
    }
    let began_us = wall_us();
    let simulator = Simulator::start(config).context("the simulator cannot start")?;
    tokio::select! {
        () = stop => {}
        failed = report(&simulator, flags.report_s) => failed?,
        failed = time_connects(&simulator, began_us), if flags.time_connects => failed?,
    }
    let stats = simulator.stop().await;
    print_lines([serde_json::to_string(&stats)?])
}

impl Flags {
    /// The library's configuration.
    fn config(&self) -> anyhow::Result<Config> {
        let seconds = |value: f64, flag: &str| {
            Duration::try_from_secs_f64(value).with_context(|| format!("--{flag} {value} is no duration"))
        };
        Ok(Config {
            urls: self.url.clone(),
            count: self.count,
            prefix: self.prefix.clone(),
            first: self.first,
            version: self.version,
            password: self.password.clone(),
            answer_delay_ms: self.answer_delay_ms,
            answers: AnswerMix {
                rejected: self.rejected,
                errors: self.errors,
                silent: self.silent,
            },
            heartbeat: seconds(self.heartbeat_s, "heartbeat-s")?,
            meter: seconds(self.meter_s, "meter-s")?,
            transaction: seconds(self.transaction_s, "transaction-s")?,
            quiet: self.quiet,
            call_timeout: Duration::from_secs(30),
            ramp_per_s: self.ramp,
            max_connecting: self.max_connecting,
            backoff_base: Duration::from_millis(self.backoff_base_ms),
            backoff_cap: Duration::from_millis(self.backoff_cap_ms),
            source_ips: self.source_ips.clone(),
            log: self.log.clone(),
            seed: self.seed,
        })
    }
}

/// Reads `least..most`, or one number for both.
fn range(text: &str) -> Result<(u64, u64), String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    Ok((number(least)?, number(most.trim_start_matches('='))?))
}

/// Completes on SIGTERM, Ctrl-C, or the end of standard input where that is asked for.
fn stop_requested(on_stdin_close: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let stdin_closed = on_stdin_close.then(watch_stdin).transpose()?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            // A dropped sender means that reading ended, which is the same message.
            Some(_closed) = async { Some(stdin_closed?.await) } => {}
        }
    })
}

/// Reads standard input to its end. On a thread of its own that nobody joins: a blocked read cannot be
/// cancelled, and would keep the runtime from ending.
fn watch_stdin() -> anyhow::Result<oneshot::Receiver<()>> {
    let (closed, is_closed) = oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut buffer = [0; 256];
            while std::io::stdin()
                .lock()
                .read(&mut buffer)
                .is_ok_and(|length| length > 0)
            {}
            // Nobody listens any more if the simulator is stopping already.
            let _stopping = closed.send(());
        })
        .context("cannot watch standard input")?;
    Ok(is_closed)
}

/// Prints the statistics as JSON lines at an interval, for ever.
async fn report(simulator: &Simulator, every_s: f64) -> anyhow::Result<()> {
    if every_s <= 0.0 {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(Duration::try_from_secs_f64(every_s)?);
    loop {
        tick.tick().await;
        print_lines([serde_json::to_string(&simulator.stats())?])?;
    }
}

/// Prints when all chargers were connected at once, and goes on waiting.
async fn time_connects(simulator: &Simulator, began_us: u64) -> anyhow::Result<()> {
    let all = u64::try_from(simulator.ids().len())?;
    while simulator.stats().connected < all {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let line = serde_json::json!({
        "began_us": began_us,
        "connected_us": wall_us(),
        "connect_failures": simulator.stats().connect_failures,
    });
    print_lines([line.to_string()])?;
    std::future::pending().await
}

/// The wall clock in microseconds, to be compared with another process of the same machine.
fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Writes lines to standard output.
fn print_lines(lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush().context("cannot write to standard output")
}
