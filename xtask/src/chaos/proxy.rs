//! The links of a run: TCP that can be cut, stalled, delayed and half-opened on command, each way on its own.
//!
//! A stalled direction is not read, as if packets were dropped: what was sent waits and arrives when the link heals,
//! which is what TCP's own repeats make of a healed network. Left out: losing, doubling or reordering bytes, which TCP
//! hides from those who use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How much is read at a time.
const CHUNK: usize = 16 * 1024;

/// The pause after an accept that failed, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// They pass after so many milliseconds.
    Delay(u64),
    /// They wait.
    Hold,
}

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// From the one who connects to the one who listens.
    up: Flow,
    down: Flow,
    /// New connections are thrown out.
    refuses: bool,
    /// Grows when all connections are thrown out.
    generation: u64,
    /// Grows when some connections are half-opened, with what decides which ones.
    half_opened: (u64, u64),
}

/// A link: one listener or several, one state.
#[derive(Debug)]
pub(super) struct Link {
    name: String,
    state: watch::Sender<State>,
    connections: Arc<AtomicU64>,
    listeners: Vec<JoinHandle<()>>,
}

impl Link {
    /// A link that passes everything and listens nowhere yet.
    #[must_use]
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: watch::Sender::new(State::default()),
            connections: Arc::default(),
            listeners: Vec::new(),
        }
    }

    /// Its name: the two ends, the one who connects first.
    #[must_use]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Listens at `listen` and passes on to `target`.
    pub(super) async fn lead(&mut self, listen: SocketAddr, target: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening for the link {}", self.name))?;
        let (state, numbers) = (self.state.subscribe(), Arc::clone(&self.connections));
        self.listeners
            .push(tokio::spawn(accept(listener, target, state, numbers)));
        Ok(())
    }

    /// Resets all connections and refuses new ones.
    pub(super) fn cut(&self) {
        self.state.send_modify(|state| {
            state.generation += 1;
            state.refuses = true;
        });
    }

    /// What happens to bytes from now on.
    pub(super) fn set(&self, up: Flow, down: Flow) {
        self.state
            .send_modify(|state| (state.up, state.down) = (up, down));
    }

    /// Throws out all present connections.
    pub(super) fn reset(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Takes one end away from about a third of the connections and leaves the other in the dark; `salt` decides
    /// which connections and which ends.
    pub(super) fn half_open(&self, salt: u64) {
        self.state
            .send_modify(|state| state.half_opened = (state.half_opened.0 + 1, salt));
    }

    /// Passes everything again. Connections with one end only are thrown out: the dark end learns it now.
    pub(super) fn heal(&self) {
        self.state.send_modify(|state| {
            (state.up, state.down, state.refuses) = (Flow::Pass, Flow::Pass, false);
            state.half_opened.1 = 0;
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    state: watch::Receiver<State>,
    numbers: Arc<AtomicU64>,
) {
    // Dropping the set ends every connection with the link.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if state.borrow().refuses => throw_out(&stream),
                Ok((stream, _)) => {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(carry(stream, target, state.clone(), number));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection's life.
async fn carry(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>, number: u64) {
    let born = *state.borrow_and_update();
    let Ok(server) = TcpStream::connect(target).await else {
        return throw_out(&client);
    };
    let _best_effort = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut client, mut server) = (client, server);
    let lot = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let up = flow(from_client, to_server, state.clone(), |state| state.up);
        let down = flow(from_server, to_client, state.clone(), |state| state.down);
        tokio::select! {
            _both = async { tokio::join!(up, down) } => return,
            lot = fate(&mut state, born, number) => lot,
        }
    };
    let dark = match lot {
        Lot::Reset => {
            throw_out(&client);
            return throw_out(&server);
        }
        Lot::ServerGone => {
            throw_out(&server);
            drop(server);
            client
        }
        Lot::ClientGone => {
            throw_out(&client);
            drop(client);
            server
        }
    };
    // Until the link is healed or reset, the end that is left hears nothing.
    let _closed = state
        .wait_for(|now| now.half_opened.1 == 0 || now.generation != born.generation)
        .await;
    throw_out(&dark);
}

/// How a connection ends before either end wants it.
enum Lot {
    Reset,
    ServerGone,
    ClientGone,
}

async fn fate(state: &mut watch::Receiver<State>, born: State, number: u64) -> Lot {
    loop {
        if state.changed().await.is_err() {
            return Lot::Reset;
        }
        let now = *state.borrow_and_update();
        if now.generation != born.generation {
            return Lot::Reset;
        }
        let drawn = super::dice::Dice::new(number ^ now.half_opened.1).next();
        if now.half_opened.0 != born.half_opened.0 && now.half_opened.1 != 0 && drawn.is_multiple_of(3) {
            let gone = if drawn & (1 << 20) == 0 {
                Lot::ServerGone
            } else {
                Lot::ClientGone
            };
            return gone;
        }
    }
}

/// Passes bytes one way until either end has had enough.
async fn flow(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
    way: impl Fn(&State) -> Flow + Copy,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        released(&mut state, way).await;
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let now = way(&state.borrow_and_update());
        match now {
            Flow::Pass => {}
            Flow::Delay(ms) => sleep(Duration::from_millis(ms)).await,
            Flow::Hold => released(&mut state, way).await,
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        if read == 0 || to.write_all(bytes).await.is_err() {
            let _gone = to.shutdown().await;
            return;
        }
    }
}

/// Waits until a direction is not held. A link that is gone holds for ever; its connections are ended with it.
async fn released(state: &mut watch::Receiver<State>, way: impl Fn(&State) -> Flow) {
    if state.wait_for(|now| way(now) != Flow::Hold).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The other end is to see a reset, not an orderly end.
fn throw_out(stream: &TcpStream) {
    let _best_effort = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::net::free_address;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(100);

    /// An echo server behind a link, and a client of it.
    async fn linked() -> (Link, SocketAddr, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ended = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let (mut link, listen) = (Link::new("a~b"), free_address().unwrap());
        link.lead(listen, target).await.unwrap();
        let client = TcpStream::connect(listen).await.unwrap();
        (link, listen, client)
    }

    async fn echo(client: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        client.write_all(text).await?;
        let mut heard = vec![0; text.len()];
        client.read_exact(&mut heard).await?;
        Ok(heard)
    }

    #[tokio::test]
    async fn a_stalled_way_loses_nothing_and_tells_nobody() {
        let (link, _, mut client) = linked().await;
        assert_eq!(echo(&mut client, b"one").await.unwrap(), b"one");
        link.set(Flow::Pass, Flow::Hold);
        client.write_all(b"two").await.unwrap();
        let mut heard = [0; 3];
        assert!(timeout(A_WHILE, client.read_exact(&mut heard)).await.is_err());
        link.heal();
        timeout(SOON, client.read_exact(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&heard, b"two");
    }

    #[tokio::test]
    async fn a_cut_link_resets_what_there_is_and_refuses_until_it_is_healed() {
        let (link, listen, mut client) = linked().await;
        assert_eq!(echo(&mut client, b"one").await.unwrap(), b"one");
        link.cut();
        let ended = timeout(SOON, client.read(&mut [0; 1])).await.unwrap();
        assert!(!matches!(ended, Ok(1..)));
        let mut refused = TcpStream::connect(listen).await.unwrap();
        let said = timeout(SOON, echo(&mut refused, b"two")).await.unwrap();
        assert!(said.is_err());
        link.heal();
        let mut again = TcpStream::connect(listen).await.unwrap();
        let said = timeout(SOON, echo(&mut again, b"three")).await.unwrap();
        assert_eq!(said.unwrap(), b"three");
    }

    #[tokio::test]
    async fn half_opening_hits_some_connections_and_leaves_their_other_end_in_the_dark_until_the_heal() {
        let (link, listen, first) = linked().await;
        let mut clients = vec![first];
        for _ in 1..30 {
            clients.push(TcpStream::connect(listen).await.unwrap());
        }
        for client in &mut clients {
            assert_eq!(echo(client, b"x").await.unwrap(), b"x");
        }
        link.half_open(77);
        let (mut fine, mut gone, mut dark) = (0, 0, 0);
        let mut in_the_dark = Vec::new();
        for mut client in clients {
            match timeout(A_WHILE, echo(&mut client, b"y")).await {
                Ok(Ok(_)) => fine += 1,
                Ok(Err(_)) => gone += 1,
                Err(_) => {
                    dark += 1;
                    in_the_dark.push(client);
                }
            }
        }
        assert!(fine > 5 && gone > 0 && dark > 0, "{fine} {gone} {dark}");
        link.heal();
        for mut client in in_the_dark {
            let ended = timeout(SOON, client.read(&mut [0; 1])).await.unwrap();
            assert!(!matches!(ended, Ok(1..)));
        }
    }
}
