//! The admin port of a service: is it ready, what does it wait for, what does it count.

use std::net::SocketAddr;

use xtask::net::http_get;
use xtask::stack::settings::{METRICS_PATH, READY_PATH};

use crate::wait::eventually;

/// The status and text of the readiness probe; `None` where nothing answers.
pub async fn readiness(admin: SocketAddr) -> Option<(u16, String)> {
    http_get(admin, READY_PATH).await.ok()
}

/// Waits until a service is ready; the panic says what it waited for last.
pub async fn ready(name: &str, admin: SocketAddr) {
    let mut last = String::from("nothing answered");
    let waiting = eventually_ready(admin, &mut last);
    if tokio::time::timeout(crate::wait::DEADLINE, waiting)
        .await
        .is_err()
    {
        panic!("{name} did not become ready: {last}");
    }
}

/// Waits until a service is not ready and says a word of the reason.
pub async fn waits_for(name: &str, admin: SocketAddr, word: &str) -> String {
    eventually(format_args!("{name} says that it waits for {word}"), async || {
        let (status, text) = readiness(admin).await?;
        (status == 503 && text.contains(word)).then_some(text)
    })
    .await
}

/// The value of a metric without labels or of one series, or the sum over the labels.
pub async fn metric(admin: SocketAddr, name: &str) -> f64 {
    try_metric(admin, name).await.expect("the metrics page")
}

/// How often a router has called a script of the store.
pub async fn script_calls(admin: SocketAddr, script: &str) -> f64 {
    let series = format!("gateway_redis_script_duration_seconds_count{{script=\"{script}\"}}");
    metric(admin, &series).await
}

/// The value of a metric of a service that may not answer just now.
pub async fn try_metric(admin: SocketAddr, name: &str) -> Option<f64> {
    let (_, text) = http_get(admin, METRICS_PATH).await.ok()?;
    let of_name = |line: &str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    let values = text
        .lines()
        .filter(|line| of_name(line))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Some(values.sum())
}

async fn eventually_ready(admin: SocketAddr, last: &mut String) {
    eventually("the service is ready", async || {
        let (status, text) = readiness(admin).await?;
        last.clone_from(&text);
        (status == 200).then_some(())
    })
    .await;
}
