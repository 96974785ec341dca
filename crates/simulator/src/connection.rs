//! The task of one charger: dial, talk until the connection ends, wait, dial again. It performs what `charger`
//! decides, the log before the wire.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use nix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;

use crate::charger::{Charger, Now, Turn};
use crate::config::Config;
use crate::dial::Dialer;
use crate::dice::Dice;
use crate::journal::Journal;
use crate::stats::Counters;

/// How long a handshake or a write may take before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a clean close may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// What the tasks of a simulator have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) dialer: Dialer,
    pub(crate) handshakes: Semaphore,
    pub(crate) journal: Option<Journal>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: CancellationToken,
    pub(crate) clock: Clock,
}

/// The clocks of a simulator.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Begins to count.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mono = self.0.elapsed();
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Now {
            wall_us: micros(wall),
            mono_us: micros(mono),
            machine_us: machine_us(),
        }
    }

    /// The instant of a monotonic time; never is a day away, when it is simply looked at again.
    fn instant(&self, mono_us: u64) -> Instant {
        const DAY: Duration = Duration::from_secs(86_400);
        let latest = self.0.elapsed() + DAY;
        self.0 + Duration::from_micros(mono_us).min(latest)
    }
}

/// The monotonic clock that all processes of the machine read alike.
fn machine_us() -> u64 {
    let reading = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    u64::try_from(reading.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// How a connection ended.
#[derive(Debug)]
struct Ended {
    reason: String,
    /// The gateway said something, so the next attempt need not hold back.
    was_useful: bool,
}

/// The decision to end a connection.
struct End {
    reason: String,
    /// Whether the closing handshake can still be done.
    says_goodbye: bool,
}

/// Something that happens to a connection.
enum Event {
    Message(Option<Result<Message, WsError>>),
    Due,
    Stop,
}

/// Runs a charger until the simulator stops.
pub(crate) async fn run(mut charger: Charger, index: usize, shared: Arc<Shared>) {
    let mut backoff = Backoff::new(&shared.config, index);
    let mut turn = index;
    while !shared.stop.is_cancelled() {
        let useful = match connect(&charger, turn, &shared).await {
            Some(socket) => live(socket, &mut charger, &shared).await,
            None => false,
        };
        turn += 1;
        let delay = backoff.next(useful);
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// One attempt to connect; `None` if it failed or the simulator stops.
async fn connect(charger: &Charger, turn: usize, shared: &Shared) -> Option<WebSocketStream<TcpStream>> {
    let attempt = async {
        // The semaphore is never closed, so this only waits.
        let _permit = shared.handshakes.acquire().await.ok()?;
        let dialled = tokio::time::timeout(PATIENCE, shared.dialer.dial(charger.id(), turn)).await;
        match dialled {
            Ok(Ok(socket)) => return Some(socket),
            Ok(Err(error)) => {
                tracing::debug!(
                    charge_point_id = charger.id(),
                    error = &error as &dyn std::error::Error,
                    "no connection"
                );
            }
            Err(_elapsed) => tracing::debug!(charge_point_id = charger.id(), "the handshake took too long"),
        }
        shared.counters.connect_failed();
        None
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => None,
        socket = Box::pin(attempt) => socket,
    }
}

/// A connection from its opening to its end; whether it was useful.
async fn live(mut socket: WebSocketStream<TcpStream>, charger: &mut Charger, shared: &Shared) -> bool {
    let opening = charger.connected(shared.clock.now());
    write_log(&opening, shared);
    shared.counters.connected();
    let ended = match send(&mut socket, opening.frames).await {
        Ok(()) => talk(&mut socket, charger, shared).await,
        Err(reason) => Ended {
            reason,
            was_useful: false,
        },
    };
    let closing = charger.disconnected(&ended.reason, shared.clock.now());
    write_log(&closing, shared);
    shared.counters.disconnected();
    ended.was_useful
}

/// Takes turns until the connection ends.
async fn talk(socket: &mut WebSocketStream<TcpStream>, charger: &mut Charger, shared: &Shared) -> Ended {
    let mut was_useful = false;
    let mut stopped = std::pin::pin!(shared.stop.cancelled());
    let mut due_us = charger.next_due_us();
    let mut alarm = std::pin::pin!(tokio::time::sleep_until(shared.clock.instant(due_us)));
    let reason = loop {
        let event = tokio::select! {
            biased;
            () = &mut stopped => Event::Stop,
            message = socket.next() => Event::Message(message),
            () = &mut alarm => Event::Due,
        };
        was_useful |= matches!(event, Event::Message(Some(Ok(Message::Text(_)))));
        let has_rung = matches!(event, Event::Due);
        let turn = match decide(event, charger, shared.clock.now()) {
            Ok(turn) => turn,
            Err(End { reason, says_goodbye }) => {
                if says_goodbye {
                    close(socket).await;
                }
                break reason;
            }
        };
        write_log(&turn, shared);
        if let Err(reason) = send(socket, turn.frames).await {
            break reason;
        }
        // An alarm that rang stays silent until it is set anew, even if the same time is still due.
        if has_rung || due_us != charger.next_due_us() {
            due_us = charger.next_due_us();
            alarm.as_mut().reset(shared.clock.instant(due_us));
        }
    };
    Ended { reason, was_useful }
}

/// What an event leads to: a turn, or the end.
fn decide(event: Event, charger: &mut Charger, now: Now) -> Result<Turn, End> {
    let end = |reason: String, says_goodbye| Err(End { reason, says_goodbye });
    match event {
        Event::Stop => end("stopped".to_owned(), true),
        Event::Due => Ok(charger.due(now)),
        Event::Message(Some(Ok(Message::Text(text)))) => Ok(charger.received(text.as_str(), now)),
        Event::Message(Some(Ok(Message::Close(frame)))) => end(
            frame.map_or("closed".to_owned(), |frame| format!("closed: {frame}")),
            true,
        ),
        Event::Message(Some(Ok(_ping_pong_or_binary))) => Ok(Turn::default()),
        Event::Message(Some(Err(error))) => end(error.to_string(), false),
        Event::Message(None) => end("ended".to_owned(), false),
    }
}

/// Writes frames. An error is the reason why the connection is over.
async fn send(socket: &mut WebSocketStream<TcpStream>, frames: Vec<String>) -> Result<(), String> {
    for frame in frames {
        match tokio::time::timeout(PATIENCE, socket.send(Message::text(frame))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_elapsed) => return Err("a write took too long".to_owned()),
        }
    }
    Ok(())
}

/// Records a turn in the log and the statistics. The log first: whoever waits for a count may read the log.
fn write_log(turn: &Turn, shared: &Shared) {
    if let Some(Err(error)) = shared.journal.as_ref().map(|journal| journal.append(&turn.log)) {
        tracing::error!(%error, "the log cannot be written; its account is incomplete from here on");
    }
    shared.counters.add(turn);
}

/// Says goodbye, and waits a little for the other side to do so.
async fn close(socket: &mut WebSocketStream<TcpStream>) {
    let goodbye = async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_rest)) = socket.next().await {}
        }
    };
    if tokio::time::timeout(CLOSE_PATIENCE, goodbye).await.is_err() {
        tracing::debug!("the gateway did not close in time");
    }
}

/// The wait between connections: doubled with every useless one up to a cap, and spread at random.
#[derive(Debug)]
struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    dice: Dice,
}

impl Backoff {
    /// The waits of the `index`-th charger.
    fn new(config: &Config, index: usize) -> Self {
        let seed = config
            .seed
            .unwrap_or_else(rand::random)
            .wrapping_add(index as u64);
        Self {
            base: config.backoff_base,
            cap: config.backoff_cap,
            failures: 0,
            dice: Dice::new(seed),
        }
    }

    /// The next wait: between a half and the whole of the current length.
    fn next(&mut self, was_useful: bool) -> Duration {
        if was_useful {
            self.failures = 0;
        }
        let longest = self.base.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures += 1;
        longest.mul_f64(0.5 + self.dice.fraction() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocpp::Version;

    #[test]
    fn the_task_of_a_charger_is_small_because_there_may_be_a_million() {
        let config = Arc::new(Config::new("ws://127.0.0.1:1", 1, Version::V16));
        let shared = Shared {
            dialer: Dialer::new(&config).unwrap(),
            handshakes: Semaphore::new(1),
            journal: None,
            counters: Arc::default(),
            stop: CancellationToken::new(),
            clock: Clock(Instant::now()),
            config: Arc::clone(&config),
        };
        let charger = Charger::new("CP-1".to_owned(), &config, Dice::new(1));
        let size = size_of_val(&run(charger, 0, Arc::new(shared)));
        assert!(size <= 3000, "{size} bytes");
    }

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_a_useful_connection() {
        let config = Config::new("ws://127.0.0.1:1", 1, Version::V16);
        let mut backoff = Backoff::new(&config, 0);
        for longest_ms in [200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = backoff.next(false);
            let longest = Duration::from_millis(longest_ms);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
        }
        assert!(backoff.next(true) <= Duration::from_millis(200));
    }
}
