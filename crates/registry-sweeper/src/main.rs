//! The sweeper's command line: one pass, a report, an exit code.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use chassis::config::{self, CommonArgs};
use clap::{Parser, ValueEnum};
use domain::settings::DeliverySettings;
use registry_sweeper::{Outcome, Report, SweeperConfig, sweep};
use store::Store;

/// Audits the registry and the timers once and repairs what is wrong.
///
/// Exit codes: 0 nothing was wrong; 3 something was wrong and is repaired (with --dry-run: would be); 1 the pass
/// failed, or timers are overdue that only a router can handle; 2 wrong flags or configuration.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArgs,
    /// Changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// How the report is printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match config::load::<SweeperConfig>(&arguments.common) {
        Ok(config) => config,
        Err(errors) => return complain(&format!("the configuration is wrong\n{errors}"), 2),
    };
    if arguments.common.dump_config {
        return print(&config::dump(&config), 0);
    }
    match pass(config, arguments.dry_run).await {
        Ok(report) => print(&render(&report, arguments.output), report.outcome().code()),
        Err(error) => complain(&format!("{error:#}"), Outcome::Failed.code()),
    }
}

async fn pass(config: SweeperConfig, dry_run: bool) -> anyhow::Result<Report> {
    if let Some(path) = &config.telemetry.history_file {
        let opened = chassis::history::open(path);
        opened.with_context(|| format!("cannot open telemetry.history_file {}", path.display()))?;
    }
    let retention_us = config.audit.retention_ms.saturating_mul(1_000);
    let settings = DeliverySettings {
        retention_us,
        ..DeliverySettings::default()
    };
    let store = Store::connect(config.redis, settings)
        .await
        .context("connecting to Redis")?;
    let report = sweep(&store, &config.audit, dry_run).await;
    store.close().await;
    report.context("auditing the store")
}

fn render(report: &Report, output: Output) -> String {
    match output {
        Output::Table => report.table(),
        // A report of numbers and strings always has a JSON form.
        Output::Json => serde_json::to_string(report).unwrap_or_default(),
    }
}

fn print(text: &str, code: u8) -> ExitCode {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _nobody_reads = writeln!(std::io::stderr().lock(), "registry-sweeper: {text}");
    ExitCode::from(code)
}
