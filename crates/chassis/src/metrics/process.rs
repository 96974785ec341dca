//! Metrics of the process under Prometheus' standard names, read from `/proc` when a scrape asks.
//!
//! What cannot be read is left out of the scrape: a guessed zero would look like a measurement. Leaves out
//! systems other than Linux, where nothing is there to read.

use std::{
    fmt::{Display, Write},
    fs,
};

/// Clock ticks a second in `/proc`; the kernel fixes it at 100 for user space on all its common machines.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc` says about this process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit of open file descriptors.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// CPU time used, user and system together.
    pub cpu_seconds: Option<f64>,
    /// The start by the wall clock, in seconds since 1970.
    pub start_time_seconds: Option<f64>,
}

impl ProcessStats {
    /// Reads them now.
    pub fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = file("/proc/self/status");
        let (cpu_seconds, start_after_boot) = cpu_and_start(&file("/proc/self/stat")).unzip();
        let boot_time = number_after(&file("/proc/stat"), "btime");
        Self {
            resident_bytes: number_after(&status, "VmRSS:").map(|kib| kib * 1_024),
            open_fds: open_fds(),
            max_fds: number_after(&file("/proc/self/limits"), "Max open files"),
            threads: number_after(&status, "Threads:"),
            cpu_seconds,
            #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float")]
            start_time_seconds: boot_time
                .zip(start_after_boot)
                .map(|(boot, after)| boot as f64 + after),
        }
    }
}

/// Appends the process's metrics to the text of a scrape.
pub(super) fn render(out: &mut String) {
    let stats = ProcessStats::read();
    metric(
        out,
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory",
        stats.resident_bytes,
    );
    metric(
        out,
        "process_open_fds",
        "gauge",
        "Open file descriptors",
        stats.open_fds,
    );
    metric(
        out,
        "process_max_fds",
        "gauge",
        "Limit of open file descriptors",
        stats.max_fds,
    );
    metric(out, "process_threads", "gauge", "Threads", stats.threads);
    metric(
        out,
        "process_cpu_seconds_total",
        "counter",
        "CPU time, user and system",
        stats.cpu_seconds,
    );
    metric(
        out,
        "process_start_time_seconds",
        "gauge",
        "Start since 1970",
        stats.start_time_seconds,
    );
}

/// Appends one metric if it could be read.
fn metric(out: &mut String, name: &str, kind: &str, help: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
        );
    }
}

/// The first number behind `label` at the beginning of a line.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Open descriptors. Since Linux 6.2 the size of the folder is their number; with a million chargers, listing
/// them would take long.
fn open_fds() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    if size > 0 {
        return Some(size);
    }
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

/// CPU seconds used, and the start in seconds after boot, from `/proc/self/stat`. The second field is the
/// program's name in parentheses and may hold anything, so fields are counted from its end.
fn cpu_and_start(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let (user, system, start) = (ticks(11)?, ticks(12)?, ticks(19)?);
    Some(((user + system) / TICKS_PER_SECOND, start / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn this_process_can_be_read() {
        let stats = ProcessStats::read();
        assert!(stats.resident_bytes.unwrap() > 100_000);
        assert!(stats.open_fds.unwrap() >= 3);
        assert!(stats.max_fds.unwrap() >= stats.open_fds.unwrap());
        assert!(stats.threads.unwrap() >= 1);
        let started_ms = (stats.start_time_seconds.unwrap() * 1_000.0) as u64;
        let hour_ms = 3_600_000;
        assert!(clock::wall_ms().abs_diff(started_ms) < hour_ms);
    }

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 4 0 12345 0 0";
        assert_eq!(cpu_and_start(stat), Some((3.0, 123.45)));
        assert_eq!(cpu_and_start("garbage"), None);
    }
}
