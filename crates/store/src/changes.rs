//! The channel of changes: which command changed, as it happens. The latest state is promised, each
//! intermediate one is not: a watcher subscribes, then reads, then reads again after a gap.

use std::time::Duration;

use domain::ids::CommandId;
use fred::clients::Client;
use fred::error::Error as RedisError;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ConnectHandle, Message};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::{Store, StoreError, client};

/// A command changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub id: CommandId,
    /// Its revision now.
    pub revision: u64,
    /// The number of the outbox entry that its end, or an answer after it, made; none if there is none. They
    /// leave no gap in a slot, so one that is missing tells that a message was lost.
    pub outbox_number: Option<u64>,
}

/// What a subscription tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeEvent {
    /// A command changed.
    Change(Change),
    /// Changes may have been missed before this: read what is watched again.
    Gap,
}

/// A subscription to the changes of every slot, on a connection of its own. A cluster sends every message to
/// every server, so one server is enough.
pub struct Changes {
    client: Client,
    task: ConnectHandle,
    messages: Receiver<Message>,
    errors: Receiver<(RedisError, Option<Server>)>,
}

impl Store {
    /// Subscribes. One subscription a process is enough; what is watched is sorted out by its reader, which
    /// reads what it watches once this has returned.
    pub async fn subscribe_changes(&self) -> Result<Changes, StoreError> {
        let core = &self.core;
        let server = match core.servers.any_client().filter(|_| core.servers.is_cluster()) {
            Some(connected) => connected.client_config().server,
            None => core.config.client()?.server,
        };
        let client = client::client_of(&core.config, server)?;
        let (messages, errors) = (client.message_rx(), client.error_rx());
        let task = client.connect();
        let changes = Changes {
            client,
            task,
            messages,
            errors,
        };
        let limit = Duration::from_millis(core.config.connect_timeout_ms);
        let started = tokio::time::timeout(limit, changes.start(core.keys.channels())).await;
        match started.unwrap_or(Err(StoreError::Timeout {
            operation: "subscribe",
        })) {
            Ok(()) => Ok(changes),
            Err(error) => {
                changes.close().await;
                Err(error)
            }
        }
    }
}

impl Changes {
    async fn start(&self, pattern: String) -> Result<(), StoreError> {
        let connected = self.client.wait_for_connect().await;
        connected.map_err(|source| StoreError::Connect { source })?;
        let done = self.client.psubscribe(pattern).await;
        done.map_err(|error| StoreError::from_redis("subscribe", error))
    }

    /// Waits for the next event. None once the connection was lost: changes may be missed until the reader has
    /// subscribed again. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<ChangeEvent> {
        loop {
            tokio::select! {
                message = self.messages.recv() => match message {
                    Ok(message) => if let Some(change) = read(&message) {
                        return Some(ChangeEvent::Change(change));
                    },
                    Err(RecvError::Lagged(_)) => return Some(ChangeEvent::Gap),
                    Err(RecvError::Closed) => return None,
                },
                _ = self.errors.recv() => return None,
            }
        }
    }

    /// Ends the subscription and waits for its connection.
    pub async fn close(self) {
        if self.client.is_connected() {
            let _ = tokio::time::timeout(Duration::from_millis(200), self.client.quit()).await;
        }
        self.task.abort();
        let _ = self.task.await;
    }
}

fn read(message: &Message) -> Option<Change> {
    let text = message.value.as_str()?;
    let mut parts = text.split(' ');
    Some(Change {
        id: CommandId::parse(parts.next()?).ok()?,
        revision: parts.next()?.parse().ok()?,
        outbox_number: Some(parts.next()?.parse().ok()?).filter(|n| *n > 0),
    })
}
