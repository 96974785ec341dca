//! The life of the Redis server behind a place: its run id, role and replication id, which make the store's
//! epoch, and the scripts that were loaded into it.
//!
//! A restarted or promoted server knows no script. So "unknown script" is what tells of a new life, before
//! any script could run in it under the former epoch. A server that was master before, and is again after a
//! fail-back, still knows its scripts; but its replication id is another. It is asked for again after any call
//! that failed on the way, and with every readiness check.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::ids::{Micros, stable_hash};
use fred::interfaces::ClientLike;
use fred::types::Value;

use super::{Core, command, options};
use crate::error::StoreError;
use crate::keys::Place;
use crate::metrics;
use crate::reply::Reader;
use crate::scripts::{Life, Script};

/// Time and identity of the server that holds a key.
const READ_SERVER: &str = "local t = redis.call('TIME') \
    return {string.format('%.0f', t[1] * 1000000 + t[2]), \
    redis.call('INFO', 'server'), redis.call('INFO', 'replication')}";

impl Core {
    /// The life of a place's server as far as it is known; asks if it is not.
    pub(super) async fn life(&self, place: Place) -> Result<Arc<Life>, StoreError> {
        let doubtful = self.places[self.keys.index(place)]
            .doubtful
            .load(Ordering::Relaxed);
        match self.known_life(place).filter(|_| !doubtful) {
            Some(life) => Ok(life),
            None => self.refresh(place).await.map(|(_, life)| life),
        }
    }

    fn known_life(&self, place: Place) -> Option<Arc<Life>> {
        let state = &self.places[self.keys.index(place)];
        state
            .life
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Asks the server of a place for its time and its life.
    pub(crate) async fn refresh(&self, place: Place) -> Result<(Micros, Arc<Life>), StoreError> {
        const OPERATION: &str = "readServer";
        let client = self.client(place, OPERATION)?.with_options(&options());
        let args = vec![READ_SERVER.to_owned(), "1".to_owned(), self.keys.base(place)];
        let value: Value = client
            .custom(command("EVAL"), args)
            .await
            .map_err(|e| StoreError::from_redis(OPERATION, e))?;
        let mut reader = Reader::new(OPERATION, value)?;
        let now = reader.micros()?;
        let info = reader.text()? + &reader.text()?;
        let field = |name: &str| {
            let line = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::to_owned)
                .ok_or_else(|| reader.error(format!("INFO has no {name}")))
        };
        let identity = format!(
            "{} {} {}",
            field("run_id")?,
            field("role")?,
            field("master_replid")?
        );
        self.learn(place, now);
        self.places[self.keys.index(place)]
            .doubtful
            .store(false, Ordering::Relaxed);
        let life = self.enter(place, epoch_text(&identity));
        Ok((now, life))
    }

    /// Asks every server but that of the leases for its life, each once. None needs to answer: a call that needs
    /// one finds out itself.
    pub(crate) async fn refresh_others(&self) {
        let epoch = |place| self.known_life(place).map(|l| l.epoch.clone());
        let mut asked: Vec<String> = epoch(Place::Pods).into_iter().collect();
        for place in self.keys.places() {
            if epoch(place).is_some_and(|e| asked.contains(&e)) {
                continue;
            }
            match self.refresh(place).await {
                Ok((_, life)) => asked.push(life.epoch.clone()),
                Err(error) => tracing::debug!(?place, %error, "a server does not tell its life"),
            }
        }
    }

    /// A call to a place failed on the way: its server may live another life by now.
    pub(super) fn doubt(&self, place: Place) {
        self.places[self.keys.index(place)]
            .doubtful
            .store(true, Ordering::Relaxed);
    }

    /// Notes the epoch of a place's server. What else lay on the former life is asked for again at its next use:
    /// that server is gone, or the place has moved.
    fn enter(&self, place: Place, epoch: String) -> Arc<Life> {
        let life = self.life_of(epoch);
        let former = self.set_life(place, Some(Arc::clone(&life)));
        let Some(former) = former.filter(|f| f.epoch != life.epoch) else {
            return life;
        };
        metrics::epoch_changed();
        tracing::warn!(?place, epoch = %life.epoch, "the store's epoch changed: Redis restarted or failed over");
        for other in self.keys.places() {
            if self.known_life(other).is_some_and(|l| l.epoch == former.epoch) {
                self.set_life(other, None);
            }
        }
        life
    }

    fn set_life(&self, place: Place, life: Option<Arc<Life>>) -> Option<Arc<Life>> {
        let state = &self.places[self.keys.index(place)];
        std::mem::replace(
            &mut *state
                .life
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
            life,
        )
    }

    /// One life is shared by every place of its server, so that its scripts are rendered once.
    fn life_of(&self, epoch: String) -> Arc<Life> {
        const KEPT: usize = 16;
        let mut lives = self
            .lives
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = lives.iter().find(|l| l.epoch == epoch) {
            return Arc::clone(found);
        }
        let life = Arc::new(Life::new(epoch, Arc::clone(&self.prelude)));
        if lives.len() >= KEPT {
            lives.remove(0);
        }
        lives.push(Arc::clone(&life));
        life
    }

    /// Redis did not know a script: learns its present life, then loads the script as rendered for it.
    pub(super) async fn reload(&self, script: Script, place: Place) -> Result<(), StoreError> {
        const OPERATION: &str = "loadScript";
        // One at a time: hundreds of calls find out together, one load serves them all.
        let _turn = self.loading.lock().await;
        let (_, life) = self.refresh(place).await?;
        let rendered = life.script(script);
        let client = self.client(place, OPERATION)?.with_options(&options());
        let asked = client
            .custom(command("SCRIPT"), vec!["EXISTS".to_owned(), rendered.sha.clone()])
            .await;
        let exists: Vec<i64> = asked.map_err(|e| StoreError::from_redis(OPERATION, e))?;
        if exists.first() == Some(&1) {
            return Ok(());
        }
        metrics::loaded(script.name);
        let loaded = client
            .custom(command("SCRIPT"), vec!["LOAD".to_owned(), rendered.text.clone()])
            .await;
        let sha: String = loaded.map_err(|e| StoreError::from_redis(OPERATION, e))?;
        if sha != rendered.sha {
            let text = format!("loaded as {sha}, expected {}", rendered.sha);
            return Err(StoreError::Script {
                operation: script.name,
                text,
            });
        }
        Ok(())
    }

    /// One text for the lives of all servers: it changes when one of them restarts or fails over.
    pub(crate) fn epoch(&self) -> String {
        let mut epochs: Vec<String> = self
            .keys
            .places()
            .into_iter()
            .filter_map(|p| self.known_life(p).map(|l| l.epoch.clone()))
            .collect();
        epochs.sort();
        epochs.dedup();
        match epochs.as_slice() {
            [one] => one.clone(),
            many => epoch_text(&many.join(" ")),
        }
    }
}

/// An epoch as a decimal number, because Redis keeps numbers in less space than other texts, and every open command
/// has one.
fn epoch_text(identity: &str) -> String {
    (stable_hash(identity.as_bytes()) >> 8).to_string()
}
