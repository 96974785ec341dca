//! The router's command line: the service, and two subcommands about Kafka topics.

use std::process::ExitCode;

use chassis::{CommonArgs, config, run_service_with};
use clap::{Parser, Subcommand};
use router::App;
use router::config::RouterConfig;
use router::topics::{self, Output};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Accepts commands for charge points and sees them delivered.
#[derive(Parser)]
#[command(name = "router", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

/// What to do instead of serving.
#[derive(Subcommand)]
enum Action {
    /// Prints the Kafka topics that the configuration needs.
    Topics {
        /// How.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Creates the Kafka topics that are missing.
    CreateTopics,
}

fn main() -> ExitCode {
    #[cfg(feature = "mutants")]
    plant();
    let arguments = Arguments::parse();
    match arguments.action {
        None => run_service_with::<App>(&arguments.common, |_| {}),
        Some(action) => match perform(&arguments.common, &action) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                use std::io::Write;
                // A closed stderr cannot be told that it is closed.
                let _ = writeln!(std::io::stderr(), "router: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn perform(common: &CommonArgs, action: &Action) -> anyhow::Result<()> {
    let config = config::load::<RouterConfig>(common)?;
    let mut out = std::io::stdout().lock();
    match action {
        Action::Topics { output } => topics::print(&config.topics, *output, &mut out),
        Action::CreateTopics => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(topics::create(&config, &mut out))
        }
    }
}

/// A build for the harness has the bug that the environment names.
#[cfg(feature = "mutants")]
fn plant() {
    let name = std::env::var("HOLDFAST_TEST_MUTANT").unwrap_or_default();
    domain::mutant::plant(domain::mutant::Mutant::from_name(&name));
}
