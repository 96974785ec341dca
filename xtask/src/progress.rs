//! What xtask says while it works: short lines on standard error, so that standard output stays for results.
//!
//! Left out: log levels and files. A closed standard error is no reason to stop, so failures to write are ignored.

use std::io::{self, Write};
use std::time::Duration;

/// Says what is being done now.
pub fn say(text: impl AsRef<str>) {
    let _nobody_reads = writeln!(io::stderr().lock(), "· {}", text.as_ref());
}

/// Says what went wrong.
pub fn complain(text: impl AsRef<str>) {
    let _nobody_reads = writeln!(io::stderr().lock(), "✗ {}", text.as_ref());
}

/// Prints a result on standard output.
pub fn print(text: impl AsRef<str>) {
    let mut stdout = io::stdout().lock();
    let _nobody_reads = writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush());
}

/// A duration for people: `850 ms`, `12.3 s`, `4 min 05 s`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=59 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(human(Duration::from_millis(850)), "850 ms");
        assert_eq!(human(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(human(Duration::from_secs(245)), "4 min 05 s");
    }
}
