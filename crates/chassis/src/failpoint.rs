//! Places at which a crash test ends or stops this process, by `HOLDFAST_FAILPOINTS="name=exit,other=stop"`.
//!
//! Compiled into builds for development, and with the cargo feature `failpoints`; otherwise [`hit`] is empty. Leaves
//! out the names, which are those of the services.

/// The process passes the place `name`.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
#[inline]
pub fn hit(_name: &'static str) {}

/// The process passes the place `name`: it ends or stops here if the environment says so.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub fn hit(name: &'static str) {
    match action(name) {
        Some("exit") => std::process::abort(),
        // A process that could not stop itself would pass the test without the fault in it.
        Some("stop") if nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).is_err() => {
            std::process::abort();
        }
        _ => {}
    }
}

/// What the environment wants at `name`; it is read once.
#[cfg(any(debug_assertions, feature = "failpoints"))]
fn action(name: &str) -> Option<&'static str> {
    static POINTS: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let points = POINTS.get_or_init(|| std::env::var("HOLDFAST_FAILPOINTS").unwrap_or_default());
    points
        .split([',', ';'])
        .find_map(|p| p.split_once('=').filter(|(n, _)| *n == name))
        .map(|(_, a)| a)
}
