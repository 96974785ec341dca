//! A well-behaved charger that runs beside a test: it accepts every CALL, reconnects to the next edge when it is
//! cut, and remembers what it got over all its connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::charger::{Call, Charger, OCPP16};
use crate::wait::eventually;

/// The handle of the running charger; dropping it cuts the connection.
#[derive(Debug)]
pub struct Companion {
    /// Its identity.
    pub id: String,
    shared: Arc<Mutex<Memory>>,
    task: JoinHandle<()>,
}

/// What it got.
#[derive(Debug, Default)]
struct Memory {
    calls: Vec<Call>,
    connections: usize,
}

impl Companion {
    /// Starts it; it connects to the edges in turn.
    #[must_use]
    pub fn start(id: &str, edges: Vec<SocketAddr>) -> Self {
        let shared = Arc::new(Mutex::new(Memory::default()));
        let task = tokio::spawn(live(id.to_owned(), edges, shared.clone()));
        Self {
            id: id.to_owned(),
            shared,
            task,
        }
    }

    /// Starts it and waits until it is connected.
    pub async fn connected(id: &str, edges: Vec<SocketAddr>) -> Self {
        let companion = Self::start(id, edges);
        eventually(format_args!("{id} connects"), async || {
            (companion.connections() > 0).then_some(())
        })
        .await;
        companion
    }

    /// Every CALL so far, over all connections.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How often one command was received.
    #[must_use]
    pub fn times_received(&self, command_id: &str) -> usize {
        self.lock()
            .calls
            .iter()
            .filter(|call| call.id == command_id)
            .count()
    }

    /// How many connections it had so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Cuts its connection for good; what it got is still remembered.
    pub fn cut(&self) {
        self.task.abort();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(id: String, edges: Vec<SocketAddr>, shared: Arc<Mutex<Memory>>) {
    for edge in edges.iter().cycle() {
        let Ok(mut charger) = Charger::try_connect(*edge, &id, OCPP16).await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        shared.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
        while let Some(call) = charger.next_call().await {
            // Remembered before it is answered: an answer that the platform sees is always in this memory.
            shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .calls
                .push(call.clone());
            let answer = json!([3, call.id, {"status": "Accepted"}]).to_string();
            if charger.try_send_text(&answer).await.is_err() {
                break;
            }
        }
    }
}
