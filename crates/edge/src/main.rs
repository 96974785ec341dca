//! The edge as a process. What it does is in the library.

use std::process::ExitCode;

/// Frees small allocations promptly, which counts with a million connections.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(feature = "mutants")]
    plant();
    chassis::run_service::<edge::App>(env!("CARGO_PKG_DESCRIPTION"))
}

/// A build for the harness has the bug that the environment names.
#[cfg(feature = "mutants")]
fn plant() {
    let name = std::env::var("HOLDFAST_TEST_MUTANT").unwrap_or_default();
    domain::mutant::plant(domain::mutant::Mutant::from_name(&name));
}
