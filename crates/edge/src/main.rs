//! The edge as a process. What it does is in the library.

use std::process::ExitCode;

/// Frees small allocations promptly, which counts with a million connections.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    chassis::run_service::<edge::App>()
}
