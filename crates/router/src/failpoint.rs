//! Places at which a crash test ends or stops this process, by `HOLDFAST_FAILPOINTS="name=exit,other=stop"`.
//!
//! Compiled into builds for development, and with the cargo feature `failpoints`; in a release [`hit`] is empty.

/// After a claim came back from the store, before anything is done about it.
pub const AFTER_CLAIM: &str = "router.after_claim";
/// After a record was handed to the producer.
pub const AFTER_PRODUCE: &str = "router.after_produce";
/// After the broker's report on a record came in, before anybody acts on it.
pub const BEFORE_DELIVERY_REPORT: &str = "router.before_delivery_report";

/// The process passes the place `name`.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
#[inline]
pub fn hit(_name: &'static str) {}

/// The process passes the place `name`: it ends or stops here if the environment says so.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub fn hit(name: &'static str) {
    match action(name).as_deref() {
        Some("exit") => std::process::abort(),
        Some("stop") => {
            let pid = std::process::id().to_string();
            // A process that could not stop itself would pass the test without the fault in it.
            let stopped = std::process::Command::new("kill").args(["-STOP", &pid]).status();
            if !stopped.is_ok_and(|s| s.success()) {
                std::process::abort();
            }
        }
        _ => {}
    }
}

/// What the environment wants at `name`.
#[cfg(any(debug_assertions, feature = "failpoints"))]
fn action(name: &str) -> Option<String> {
    let points = std::env::var("HOLDFAST_FAILPOINTS").ok()?;
    points
        .split([',', ';'])
        .find_map(|p| p.split_once('=').filter(|(n, _)| *n == name))
        .map(|(_, a)| a.to_owned())
}
