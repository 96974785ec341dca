//! Connections, and the one way in which scripts are called: with a time limit, with the epoch of the server's
//! present life, at most once, and behind the barrier where the script asks for it.

mod life;
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use domain::ids::{Micros, Slot};
use domain::settings::{DeliverySettings, Jitter};
use fred::clients::Client;
use fred::error::Error as RedisError;
use fred::interfaces::ClientLike;
use fred::types::config::{
    ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, ServerConfig, TcpConfig,
    UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand, Value};
use rand::Rng as _;

use crate::config::{Durability, StoreConfig};
use crate::error::{StoreError, is_no_script};
use crate::keys::{Keys, Place};
use crate::metrics;
use crate::reply::{Reader, Reply};
use crate::scripts::{Life, Rendered, Script};

use servers::Servers;

/// A clock offset that was never learned.
const UNKNOWN: i64 = i64::MIN;
/// A script that Redis does not know is loaded, and one whose time limit came from an outdated clock is
/// sent once more; a call that needs more rounds than these meets a Redis that is not stable.
const ROUNDS: usize = 4;

/// What a test says instead of Redis's clock, the store's epoch and chance.
#[derive(Debug, Clone)]
pub struct FakeCall {
    /// The time.
    pub now: Micros,
    /// Later than this the script refuses.
    pub not_after: Micros,
    /// The epoch.
    pub epoch: String,
    /// The jitter of every backoff.
    pub jitter: Jitter,
}

/// What is known of the server of one place.
struct PlaceState {
    /// Redis time minus the process's own time, microseconds, at the last reply: a lower bound.
    offset: AtomicI64,
    /// The server's present life and its scripts.
    life: std::sync::RwLock<Option<Arc<Life>>>,
    /// A call failed on the way since that life was asked for.
    doubtful: AtomicBool,
}

/// Everything that operations share.
pub(crate) struct Core {
    pub(crate) servers: Servers,
    pub(crate) config: StoreConfig,
    pub(crate) settings: DeliverySettings,
    pub(crate) keys: Keys,
    prelude: Arc<str>,
    places: Vec<PlaceState>,
    /// The charger and the command of each slot after which the next timer round looks for what is forgotten:
    /// rounds go round, a few commands at a time, and a process that starts anew may start anywhere.
    swept: Vec<std::sync::Mutex<[String; 2]>>,
    lives: std::sync::Mutex<Vec<Arc<Life>>>,
    loading: tokio::sync::Mutex<()>,
    started: Instant,
}

impl Core {
    /// Connects every client, at most as long as one attempt may take.
    pub(crate) async fn connect(
        config: StoreConfig,
        settings: DeliverySettings,
        prelude: String,
    ) -> Result<Self, StoreError> {
        let keys = Keys::new(&config.prefix, config.slots);
        let places = keys.places().iter().map(|_| PlaceState::new()).collect();
        let swept = (0..config.slots).map(|_| std::sync::Mutex::default()).collect();
        Ok(Self {
            servers: Servers::connect(&config, &keys).await?,
            config,
            settings,
            keys,
            prelude: prelude.into(),
            places,
            swept,
            lives: std::sync::Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            started: Instant::now(),
        })
    }

    /// Ends every connection and waits for its task.
    pub(crate) async fn close(&self) {
        self.servers.close().await;
    }

    /// Calls a script.
    pub(crate) async fn call<T>(
        &self,
        script: Script,
        place: Place,
        fake: Option<&FakeCall>,
        args: Vec<String>,
        read: impl FnOnce(&mut Reader) -> Result<T, StoreError>,
    ) -> Result<Reply<T>, StoreError> {
        let started = Instant::now();
        let limit = self.config.command_timeout();
        let ran = tokio::time::timeout(limit, self.rounds(script, place, fake, args, started)).await;
        let ran = ran.unwrap_or(Err(StoreError::Timeout {
            operation: script.name,
        }));
        let reply = ran.and_then(|(redis_now, mut reader)| {
            let wants_drain = reader.flag()?;
            let value = read(&mut reader)?;
            if reader.is_empty() {
                Ok(Reply {
                    value,
                    redis_now,
                    wants_drain,
                })
            } else {
                Err(reader.error("too long"))
            }
        });
        metrics::script_took(script.name, started.elapsed());
        if let Err(error) = &reply {
            metrics::failed(script.name, error.kind());
            if matches!(error, StoreError::Unavailable { .. } | StoreError::Timeout { .. }) {
                self.doubt(place);
                self.servers.suspect().await;
            }
        }
        reply
    }

    /// Sends until Redis knows the script and runs it in time. Neither "unknown" nor "too late" ran anything.
    async fn rounds(
        &self,
        script: Script,
        place: Place,
        fake: Option<&FakeCall>,
        args: Vec<String>,
        started: Instant,
    ) -> Result<(Micros, Reader), StoreError> {
        let mut late = false;
        for _ in 0..ROUNDS {
            let life = self.life(place).await?;
            let rendered = life.script(script);
            let args = self.arguments(&rendered, &life, script, place, fake, &args, started);
            match self.send(script, place, args).await {
                Err(Failed::Redis(error)) if is_no_script(&error) => self.reload(script, place).await?,
                Err(Failed::Redis(error)) => return Err(StoreError::from_redis(script.name, error)),
                Err(Failed::Store(error)) => return Err(error),
                Ok(value) => {
                    let mut reader = Reader::new(script.name, value)?;
                    let now = reader.micros()?;
                    self.learn(place, now);
                    if !is_late(&reader) {
                        return Ok((now, reader));
                    }
                    if late || fake.is_some() {
                        return Err(StoreError::TooLate {
                            operation: script.name,
                        });
                    }
                    late = true;
                }
            }
        }
        Err(StoreError::TooLate {
            operation: script.name,
        })
    }

    /// Hash, key, and what every script is told: its time limit, the epoch, jitter, whether it must write, and
    /// the time if it is not Redis's.
    #[allow(clippy::too_many_arguments, reason = "private; each is one field of the call")]
    fn arguments(
        &self,
        rendered: &Rendered,
        life: &Life,
        script: Script,
        place: Place,
        fake: Option<&FakeCall>,
        args: &[String],
        started: Instant,
    ) -> Vec<Value> {
        let touch = script.barrier && self.config.durability == Durability::Replicated;
        let mut all: Vec<Value> = Vec::with_capacity(args.len() + 8);
        all.push(rendered.sha.as_str().into());
        all.push("1".into());
        all.push(self.keys.base(place).into());
        match fake {
            Some(fake) => all.push(fake.not_after.to_string().into()),
            None => all.push(self.not_after(place, started).to_string().into()),
        }
        all.push(fake.map_or(life.epoch.as_str(), |f| f.epoch.as_str()).into());
        all.push(fake.map_or_else(jitter, |f| f.jitter).0.to_string().into());
        all.push(if touch { "1" } else { "0" }.into());
        all.push(fake.map_or(String::new(), |f| f.now.to_string()).into());
        all.extend(args.iter().map(|a| Value::from(a.as_str())));
        all
    }

    async fn send(&self, script: Script, place: Place, args: Vec<Value>) -> Result<Value, Failed> {
        let connection = self.client(place, script.name).map_err(Failed::Store)?;
        let client = connection.with_options(&options());
        if !(script.barrier && self.config.durability == Durability::Replicated) {
            return client
                .custom(command("EVALSHA"), args)
                .await
                .map_err(Failed::Redis);
        }
        // Both on one connection without a gap: `WAIT` speaks of its own connection's writes only.
        let pipeline = client.pipeline();
        let counts = vec![
            self.config.replicas.to_string(),
            self.config.wait_timeout_ms.to_string(),
        ];
        pipeline
            .custom::<(), _>(command("EVALSHA"), args)
            .await
            .map_err(Failed::Redis)?;
        pipeline
            .custom::<(), _>(command("WAIT"), counts)
            .await
            .map_err(Failed::Redis)?;
        let mut results = pipeline.try_all::<Value>().await.into_iter();
        let mut result = || results.next().unwrap_or_else(|| Err(nothing()));
        let value = result().map_err(Failed::Redis)?;
        let got: u32 = result().and_then(Value::convert).map_err(Failed::Redis)?;
        let wanted = self.config.replicas;
        if got < wanted {
            return Err(Failed::Store(StoreError::Barrier {
                operation: script.name,
                wanted,
                got,
            }));
        }
        Ok(value)
    }

    /// Where the sweep of a slot's listings is.
    pub(crate) fn swept(&self, slot: Slot) -> [String; 2] {
        let swept = self.swept.get(usize::from(slot.0));
        swept.map_or_else(Default::default, |s| lock(s).clone())
    }

    pub(crate) fn set_swept(&self, slot: Slot, after: [String; 2]) {
        if let Some(swept) = self.swept.get(usize::from(slot.0)) {
            *lock(swept) = after;
        }
    }

    /// The client of a place.
    pub(crate) fn client(&self, place: Place, operation: &'static str) -> Result<Client, StoreError> {
        let client = self.servers.client(self.keys.index(place));
        client.map_err(|source| StoreError::Unavailable { operation, source })
    }

    /// The time limit of a call that started at a moment: no later than its caller gives up.
    fn not_after(&self, place: Place, started: Instant) -> Micros {
        let offset = self.places[self.keys.index(place)].offset.load(Ordering::Relaxed);
        let own = i64::try_from((started - self.started).as_micros()).unwrap_or(i64::MAX);
        let limit = i64::try_from(self.config.command_timeout().as_micros()).unwrap_or(i64::MAX);
        Micros(u64::try_from(offset.saturating_add(own).saturating_add(limit)).unwrap_or(0))
    }

    fn learn(&self, place: Place, redis_now: Micros) {
        let own = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let offset = i64::try_from(redis_now.0).unwrap_or(i64::MAX).saturating_sub(own);
        self.places[self.keys.index(place)]
            .offset
            .store(offset, Ordering::Relaxed);
    }
}

impl PlaceState {
    fn new() -> Self {
        Self {
            offset: AtomicI64::new(UNKNOWN),
            life: std::sync::RwLock::default(),
            doubtful: AtomicBool::new(false),
        }
    }
}

/// How a call failed: in Redis, or at the barrier.
enum Failed {
    Redis(RedisError),
    Store(StoreError),
}

/// A script that refused says so where others have a flag.
fn is_late(reader: &Reader) -> bool {
    reader.peek() == Some("late")
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn jitter() -> Jitter {
    Jitter(rand::rng().random())
}

fn nothing() -> RedisError {
    RedisError::new(fred::error::ErrorKind::Protocol, "no reply in the pipeline")
}

/// Not connected is told at once; a caller that wants to wait does so itself.
pub(crate) fn options() -> Options {
    Options {
        fail_fast: true,
        max_attempts: Some(1),
        ..Options::default()
    }
}

/// A command for the server that a client belongs to.
pub(crate) fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

/// One client. A command is sent at most once: repetition is the protocol's business.
pub(crate) fn client_of(config: &StoreConfig, server: ServerConfig) -> Result<Client, StoreError> {
    let connect = Duration::from_millis(config.connect_timeout_ms);
    let performance = PerformanceConfig {
        default_command_timeout: config.command_timeout(),
        broadcast_channel_capacity: 4_096,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: connect,
        internal_command_timeout: connect,
        max_command_attempts: 1,
        max_command_buffer_len: 100_000,
        auto_client_setname: false,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(config.command_timeout() * 2),
            interval: Duration::from_secs(1),
        },
        tcp: TcpConfig {
            nodelay: Some(true),
            ..TcpConfig::default()
        },
        ..ConnectionConfig::default()
    };
    let mut policy =
        ReconnectPolicy::new_exponential(0, 50, u32::try_from(config.reconnect_max_ms).unwrap_or(500), 2);
    policy.set_jitter(50);
    let redis = fred::types::config::Config {
        server,
        ..config.client()?
    };
    Ok(Client::new(
        redis,
        Some(performance),
        Some(connection),
        Some(policy),
    ))
}
