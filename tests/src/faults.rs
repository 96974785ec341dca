//! Faults between processes: a TCP forwarder whose listener can be closed and opened again on the same address.
//!
//! Left out: faults of processes, which are signals; here is only how one sees that such a signal took effect.

use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use xtask::net::free_address;

use crate::wait::eventually;

/// Forwards every connection to a target that may change while it is closed.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    target: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Listens on a free address and forwards to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let address = free_address().expect("a free port");
        let task = None;
        let mut forwarder = Self {
            address,
            target,
            task,
        };
        forwarder.open(target).await;
        forwarder
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens again, on the same address.
    pub async fn open(&mut self, target: SocketAddr) {
        self.close().await;
        let listener = eventually("the forwarder's address is free", async || {
            TcpListener::bind(self.address).await.ok()
        })
        .await;
        self.target = target;
        self.task = Some(tokio::spawn(forward(listener, target)));
    }

    /// Listens again and forwards to where it did before.
    pub async fn reopen(&mut self) {
        self.open(self.target).await;
    }

    /// Stops listening and cuts every connection.
    pub async fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // An abort is what was asked for.
            let _aborted = task.await;
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Owns the connections: when it is aborted, they are cut.
async fn forward(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(couple(client, target));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn couple(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        // Either side may end the connection in any way; both are closed then.
        let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

/// The state of a thread: the first field behind the parenthesised name, which itself may hold anything.
pub(crate) fn thread_state(stat: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(stat).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}
