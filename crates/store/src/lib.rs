//! Redis: the registry, the commands with their timers, the outbox and the leases of the pods, one typed
//! method a script. What a script does is specified by `domain::slot`; nothing is decided here.
//!
//! Every operation is sent at most once and carries a time limit: when it fails as timed out, it may have run
//! before, but it will not run later. Repeating it is the protocol's business.

mod audit;
mod barrier;
mod changes;
mod client;
mod config;
mod dead;
mod delivery;
mod error;
mod keys;
mod leases;
pub mod metrics;
mod outbox;
mod pins;
mod read;
mod registry;
mod render;
mod reply;
mod scripts;
#[doc(hidden)]
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{ChargePointId, Micros, Slot};
use domain::settings::DeliverySettings;

pub use audit::{Finding, TimerAudit};
pub use changes::{Change, ChangeEvent, Changes};
pub use config::{Durability, StoreConfig};
pub use dead::{DeadLetterFilter, DeadLetterPage, FoundDeadLetter};
pub use error::StoreError;
pub use leases::{LinkReply, Mark, Renewal, TakeReply, Taking};
pub use outbox::{DrainReply, DueRound, Look};
pub use read::{CommandFilter, CommandPage, Connection, ConnectionPage, SlotCount};
pub use registry::{Held, HeldReply};
pub use reply::Reply;

use client::{Core, FakeCall};
use keys::Place;
use render::Clock;
use reply::Reader;
use scripts::Script;

/// A connection to the store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    core: Arc<Core>,
    fake: Option<Arc<std::sync::Mutex<FakeCall>>>,
}

impl Store {
    /// Connects, checks that Redis can promise the configured durability, and pins slot count, hash and
    /// schema, or refuses if they are pinned to others. Tries for `connect_timeout_ms`; the caller repeats.
    pub async fn connect(config: StoreConfig, settings: DeliverySettings) -> Result<Self, StoreError> {
        let prelude = render::prelude(&settings, Clock::Redis);
        Self::connect_with(config, settings, prelude).await
    }

    async fn connect_with(
        config: StoreConfig,
        settings: DeliverySettings,
        prelude: String,
    ) -> Result<Self, StoreError> {
        let core = Arc::new(Core::connect(config, settings, prelude).await?);
        let store = Self { core, fake: None };
        match store.prepare().await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let places = self.core.keys.places();
        let limit = Duration::from_millis(self.core.config.connect_timeout_ms);
        let all = futures_util::future::try_join_all(places.iter().map(|p| self.core.refresh(*p)));
        let asked = tokio::time::timeout(limit, all).await;
        asked.unwrap_or(Err(StoreError::Timeout { operation: "connect" }))?;
        self.core.check_durability().await?;
        self.core.pin().await
    }

    /// Ends every connection and waits for it. Operations fail afterwards.
    pub async fn close(&self) {
        self.core.close().await;
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> u16 {
        self.core.config.slots
    }

    /// The slot of a charger.
    #[must_use]
    pub fn slot_of(&self, charge_point: &ChargePointId) -> Slot {
        charge_point.slot(self.slots())
    }

    /// Every slot.
    pub fn all_slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.slots()).map(Slot)
    }

    /// Whether slots may lie on several servers.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.core.servers.is_cluster()
    }

    /// The settings that the scripts were rendered with.
    #[must_use]
    pub fn settings(&self) -> &DeliverySettings {
        &self.core.settings
    }

    /// The store epoch as last seen: another text after any Redis server restarted, failed over or failed back.
    /// It may also change without that, when a first replica arrives or the last one has been gone for long.
    #[must_use]
    pub fn epoch(&self) -> String {
        self.core.epoch()
    }

    /// Asks Redis for its time, and every server for its present life; also the readiness check.
    pub async fn redis_now(&self) -> Result<Micros, StoreError> {
        let limit = self.core.config.command_timeout();
        // First, so that the time is fresh; a server that stalls takes only a part of the time.
        let _ = tokio::time::timeout(limit / 4, self.core.refresh_others()).await;
        let asked = tokio::time::timeout(limit, self.core.refresh(Place::Pods)).await;
        asked
            .unwrap_or(Err(StoreError::Timeout {
                operation: "readServer",
            }))
            .map(|(now, _)| now)
    }

    async fn call<T>(
        &self,
        script: Script,
        place: Place,
        args: Vec<String>,
        read: impl FnOnce(&mut Reader) -> Result<T, StoreError>,
    ) -> Result<Reply<T>, StoreError> {
        let fake = self.fake.as_ref().map(|f| {
            f.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone()
        });
        self.core.call(script, place, fake.as_ref(), args, read).await
    }

    fn place_of(&self, charge_point: &ChargePointId) -> Place {
        Place::Slot(self.slot_of(charge_point))
    }
}

/// A flag among a script's arguments.
fn flag(value: bool) -> String {
    if value { "1" } else { "0" }.to_owned()
}
