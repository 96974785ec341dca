//! One system for all tests of a file: it lives in a runtime of its own, since each test would take its runtime
//! along when it ends.
//!
//! It is never dropped; the guards of its processes end them when the test process is gone.

use tokio::runtime::{Builder, Runtime};

use crate::spec::SystemSpec;
use crate::system::System;

/// A system and the runtime that it lives in.
#[derive(Debug)]
pub struct World {
    runtime: Runtime,
    system: System,
}

impl World {
    /// Starts the system.
    #[must_use]
    pub fn start(spec: SystemSpec) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let system = runtime.block_on(System::start(spec));
        Self { runtime, system }
    }

    /// Runs a test against the system; several may run at a time. A failing one shows the services' logs.
    pub fn run<T>(&self, test: impl AsyncFnOnce(&System) -> T) -> T {
        let _shown_if_it_fails = ShowLogs(&self.system);
        self.runtime.block_on(test(&self.system))
    }
}

struct ShowLogs<'a>(&'a System);

impl Drop for ShowLogs<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.show_logs();
        }
    }
}
