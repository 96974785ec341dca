//! Strangers at the edges' doors, past all links: chargers that send more than is allowed, no JSON or no UTF-8, and
//! connections that never finish their handshake. What each saw of the edge is told and judged. One that is cut, or
//! closed because of a restart, is right only if its edge came to an end meanwhile, and is counted under a name of its own.
//!
//! Left out: anything that a charger which keeps to the protocol does (`chargers`).

mod frames;
mod life;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::net;
use crate::stack::settings::{EdgeAddresses, READY_PATH};
use frames::Heard;
use life::Life;

/// How long an edge gives a handshake in these runs, in milliseconds.
pub(super) const HANDSHAKE_MS: u64 = 4_000;

/// How long beyond that an edge may take while it is awake: the machine is busy.
const SLACK_MS: u64 = 8_000;

/// How often an edge is asked whether it is awake, and how quickly it answers then.
const LOOK: Duration = Duration::from_millis(250);

/// Longer than any pause of an edge, with all that it may take then.
const PATIENCE: Duration = Duration::from_secs(60);

/// A text message of a charger may have so many bytes.
const LARGEST: usize = 64 * 1024;

/// The codes by which an edge that ends says good-bye.
const FAREWELLS: [u16; 2] = [1001, 1012];

/// The number of the next stranger.
static SERIAL: AtomicU32 = AtomicU32::new(1);

/// The pause between two bytes of one who drips.
const DRIP: Duration = Duration::from_millis(200);

/// What a stranger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Sends a message of a byte more than is allowed.
    Oversized,
    /// Sends what is no JSON.
    Garbage,
    /// Sends text that is no UTF-8.
    NoText,
    /// Connects and says nothing.
    Silent,
    /// Sends half a request.
    Half,
    /// Sends a request byte by byte, without an end.
    Drip,
}

/// Those who finish their handshake, and those who never do.
pub(super) const SPEAKERS: [Manner; 3] = [Manner::Oversized, Manner::Garbage, Manner::NoText];
pub(super) const LORISES: [Manner; 3] = [Manner::Silent, Manner::Half, Manner::Drip];

/// What a stranger saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The edge closed the WebSocket with this code.
    Closed(u16),
    /// The connection ended.
    Cut,
    /// The connection ended for no other reason than that its edge did, or nobody can tell: the edge stood still.
    Ended,
    /// A CALLERROR.
    Refused,
    /// Nothing, for all the time that the edge had.
    Nothing,
    /// The edge did not let it in, as one does that is down or not ready.
    NotLetIn,
}

/// A stranger and what it saw.
#[derive(Debug, Clone)]
pub(super) struct Meeting {
    pub(super) edge: String,
    pub(super) manner: Manner,
    pub(super) seen: Seen,
}

impl Manner {
    /// The name in what is told.
    fn name(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Garbage => "no JSON",
            Self::NoText => "no UTF-8",
            Self::Silent => "silent",
            Self::Half => "half a request",
            Self::Drip => "byte by byte",
        }
    }
}

impl Meeting {
    /// In a few words.
    pub(super) fn told(&self) -> String {
        let seen = match self.seen {
            Seen::Closed(code) => format!("closed with {code}"),
            Seen::Cut => "cut".to_owned(),
            Seen::Ended => "its edge ended or stood still".to_owned(),
            Seen::Refused => "CALLERROR".to_owned(),
            Seen::Nothing => "left alone".to_owned(),
            Seen::NotLetIn => "not let in".to_owned(),
        };
        format!("{}: {seen}", self.manner.name())
    }

    /// What is wrong, if anything is. Only those who never finish their handshake are to be cut by an edge that lives.
    pub(super) fn wrong(&self) -> Option<String> {
        let expected = match (self.manner, self.seen) {
            (_, Seen::Ended | Seen::NotLetIn) => true,
            (Manner::Oversized, seen) => seen == Seen::Closed(1009),
            (Manner::NoText, seen) => seen == Seen::Closed(1007),
            (Manner::Garbage, Seen::Closed(code)) => !FAREWELLS.contains(&code),
            (Manner::Garbage, seen) => seen == Seen::Refused,
            (Manner::Silent | Manner::Half | Manner::Drip, seen) => {
                matches!(seen, Seen::Cut | Seen::Closed(_))
            }
        };
        (!expected).then(|| format!("a stranger at {}, {}", self.edge, self.told()))
    }
}

/// Sends so many of each manner to every edge and waits for what they see.
pub(super) async fn visit(
    edges: Vec<(String, EdgeAddresses)>,
    manners: [Manner; 3],
    each: usize,
) -> Vec<Meeting> {
    let mut strangers = JoinSet::new();
    let mut awake = Vec::new();
    for (edge, listens) in edges {
        let clock = Awake::watch(listens.admin);
        for manner in manners
            .into_iter()
            .flat_map(|manner| std::iter::repeat_n(manner, each))
        {
            let (edge, clock) = (edge.clone(), Arc::clone(&clock.0));
            // No two have the same identity: the newer one would displace the older.
            let id = format!("IN-{:06}", SERIAL.fetch_add(1, Ordering::Relaxed));
            strangers.spawn(async move {
                let seen = timeout(PATIENCE, meet(listens, &id, manner, &clock)).await;
                let seen = seen.unwrap_or(Seen::Nothing);
                Meeting { edge, manner, seen }
            });
        }
        awake.push(clock);
    }
    strangers.join_all().await
}

async fn meet(edge: EdgeAddresses, id: &str, manner: Manner, awake: &AtomicU64) -> Seen {
    if LORISES.contains(&manner) {
        return linger(edge.ocpp, id, manner, awake).await;
    }
    let life = Life::of(edge.admin).await;
    let seen = speak(edge.ocpp, id, manner, awake).await;
    let let_go = match seen {
        Seen::Closed(code) => FAREWELLS.contains(&code),
        seen => seen == Seen::Cut,
    };
    if let_go && !life.goes_on(edge).await {
        return Seen::Ended;
    }
    seen
}

/// Finishes its handshake, says what it has to say, and listens.
async fn speak(door: SocketAddr, id: &str, manner: Manner, awake: &AtomicU64) -> Seen {
    let Some(mut socket) = frames::upgrade(door, id).await else {
        return Seen::NotLetIn;
    };
    let said = match manner {
        Manner::Oversized => frames::text(&vec![b'x'; LARGEST + 1]),
        Manner::NoText => frames::text(b"[2,\"a\",\"Heart\xff\xfebeat\",{}]"),
        _ => frames::text(b"[2, this is no JSON"),
    };
    // An edge may close before it has read all of it.
    let _cut_short = socket.write_all(&said).await;
    let begun = awake.load(Ordering::Relaxed);
    let mut heard = Vec::new();
    while awake.load(Ordering::Relaxed) < begun + SLACK_MS {
        match timeout(LOOK, socket.read_buf(&mut heard)).await {
            Ok(Ok(0) | Err(_)) => return Seen::Cut,
            Ok(Ok(_)) => match frames::first(&heard) {
                Some(Heard::Close(code)) => return Seen::Closed(code),
                Some(Heard::CallError) => return Seen::Refused,
                None => {}
            },
            Err(_nothing_yet) => {}
        }
    }
    Seen::Nothing
}

/// Never finishes its handshake, and waits to be thrown out.
async fn linger(door: SocketAddr, id: &str, manner: Manner, awake: &AtomicU64) -> Seen {
    let Ok(Ok(mut socket)) = timeout(PATIENCE, TcpStream::connect(door)).await else {
        return Seen::NotLetIn;
    };
    let head = format!("GET /ocpp/{id} HTTP/1.1\r\nHost: {door}\r\nX-Long: ");
    if manner == Manner::Half && socket.write_all(head.as_bytes()).await.is_err() {
        return Seen::Cut;
    }
    let mut bytes = head.bytes().chain(std::iter::repeat(b'z'));
    let begun = awake.load(Ordering::Relaxed);
    let mut heard = [0; 64];
    while awake.load(Ordering::Relaxed) < begun + HANDSHAKE_MS + SLACK_MS {
        let dripped = match (manner, bytes.next()) {
            (Manner::Drip, Some(byte)) => socket.write_all(&[byte]).await,
            _ => Ok(()),
        };
        if dripped.is_err() {
            return Seen::Cut;
        }
        // What an edge says before it cuts, such as 408, is its own business.
        if let Ok(Ok(0) | Err(_)) = timeout(DRIP, socket.read(&mut heard)).await {
            return Seen::Cut;
        }
    }
    Seen::Nothing
}

/// How long an edge has been awake since the watch began, in milliseconds: one that is stopped closes nothing.
struct Awake(Arc<AtomicU64>, JoinHandle<()>);

impl Awake {
    fn watch(admin: SocketAddr) -> Self {
        let awake = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&awake);
        let task = tokio::spawn(async move {
            let each = u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX);
            loop {
                let (pause, asked) =
                    tokio::join!(sleep(LOOK), timeout(LOOK, net::http_get(admin, READY_PATH)));
                let () = pause;
                if matches!(asked, Ok(Ok(_))) {
                    counted.fetch_add(each, Ordering::Relaxed);
                }
            }
        });
        Self(awake, task)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.1.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn meeting(manner: Manner, seen: Seen) -> Meeting {
        Meeting {
            edge: "edge-1".to_owned(),
            manner,
            seen,
        }
    }

    #[test]
    fn one_that_is_left_alone_is_wrong_and_one_that_is_closed_as_promised_is_not() {
        for manner in SPEAKERS.into_iter().chain(LORISES) {
            assert!(meeting(manner, Seen::Nothing).wrong().is_some(), "{manner:?}");
            assert_eq!(meeting(manner, Seen::Ended).wrong(), None);
        }
        assert_eq!(meeting(Manner::Oversized, Seen::Closed(1009)).wrong(), None);
        assert!(meeting(Manner::Oversized, Seen::Refused).wrong().is_some());
        assert!(meeting(Manner::NoText, Seen::Closed(1009)).wrong().is_some());
        assert_eq!(meeting(Manner::Garbage, Seen::Refused).wrong(), None);
        assert!(
            meeting(Manner::Silent, Seen::Nothing)
                .told()
                .contains("left alone")
        );
    }

    #[test]
    fn only_one_that_never_finishes_its_handshake_may_be_cut_by_an_edge_that_lives() {
        for manner in SPEAKERS {
            for seen in [Seen::Cut, Seen::Closed(1001), Seen::Closed(1012)] {
                assert!(meeting(manner, seen).wrong().is_some(), "{manner:?} {seen:?}");
            }
        }
        for manner in LORISES {
            assert_eq!(meeting(manner, Seen::Cut).wrong(), None);
        }
    }

    /// What a pretended edge does once it has let a stranger in.
    #[derive(Clone, Copy)]
    enum Parting {
        Cuts,
        Restarts,
        ShutsItsDoor,
    }

    /// Metrics of two lives of an edge, and such as tell of none.
    const FIRST: &str = "process_start_time_seconds 1.5";
    const SECOND: &str = "process_start_time_seconds 2.5";
    const UNKNOWN: &str = "process_threads 7";

    /// What one sees of an edge that parts like this, and whose metrics are these, before and after.
    async fn seen(parting: Parting, told: [&'static str; 2]) -> Seen {
        let doors = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admins = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let edge = EdgeAddresses {
            ocpp: doors.local_addr().unwrap(),
            admin: admins.local_addr().unwrap(),
        };
        let metrics = async move {
            for metrics in told {
                let mut asked = after_head(&admins).await;
                let answer = format!("HTTP/1.1 200 OK\r\n\r\n{metrics}\n");
                asked.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let door = async move {
            let mut stranger = after_head(&doors).await;
            stranger
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                .await
                .unwrap();
            match parting {
                Parting::Cuts => drop(stranger),
                Parting::Restarts => stranger.write_all(&[0x88, 2, 0x03, 0xf4]).await.unwrap(),
                Parting::ShutsItsDoor => drop((doors, stranger)),
            }
            std::future::pending::<()>().await;
        };
        let awake = AtomicU64::new(0);
        tokio::select! {
            seen = meet(edge, "IN-1", Manner::Oversized, &awake) => seen,
            ((), ()) = async { tokio::join!(metrics, door) } => unreachable!("the door stays"),
        }
    }

    /// One who came and whose request was read.
    async fn after_head(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream
    }

    #[tokio::test]
    async fn a_connection_that_an_edge_cuts_and_outlives_is_no_end_of_the_edge() {
        assert_eq!(seen(Parting::Cuts, [FIRST, FIRST]).await, Seen::Cut);
        assert_eq!(seen(Parting::Restarts, [FIRST, FIRST]).await, Seen::Closed(1012));
    }

    #[tokio::test]
    async fn a_connection_that_ends_with_its_edge_or_its_door_is_and_so_is_one_of_an_edge_that_tells_nothing()
    {
        assert_eq!(seen(Parting::Cuts, [FIRST, SECOND]).await, Seen::Ended);
        assert_eq!(seen(Parting::Restarts, [FIRST, SECOND]).await, Seen::Ended);
        assert_eq!(seen(Parting::ShutsItsDoor, [FIRST, FIRST]).await, Seen::Ended);
        assert_eq!(seen(Parting::Cuts, [UNKNOWN, UNKNOWN]).await, Seen::Ended);
    }
}
