//! The lane consumer: exactly the partitions it was given, at explicit offsets, without a consumer group.
//!
//! It starts by reading the offsets and assigning there, because "latest" skips what is produced before the
//! first fetch. It never splits partition queues, which can stall. Errors are events and counters, nothing more:
//! librdkafka heals most of them, and a fetch that died without an error is found by missing canaries
//! ([`crate::CanaryWatch`]), upon which the owner calls [`LaneConsumer::rebuild`].

mod context;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{Counter, counter};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use self::context::{LaneContext, error_kind};
use crate::config::BusConfig;
use crate::disposal::Disposals;
use crate::error::BusError;
use crate::metrics as names;
use crate::native::blocking;
use crate::record::{Headers, Record};

/// How long closing waits for a librdkafka client to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

/// Where a consumer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// Behind the last record at this moment: only later ones are seen.
    End,
    /// At the oldest record that is retained.
    Beginning,
    /// At these offsets; a lane that is not named begins at its end.
    Offsets(BTreeMap<Lane, i64>),
}

/// What `recv` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A record, each lane in the order of its offsets.
    Record(Record),
    /// librdkafka reported an error; the consumer goes on.
    Failed {
        /// One of [`names::CONSUMER_ERROR_KINDS`].
        kind: &'static str,
        /// librdkafka's words.
        detail: String,
    },
}

/// A consumer of a fixed list of lanes.
pub struct LaneConsumer {
    config: BusConfig,
    client: StreamConsumer<LaneContext>,
    progress: Progress,
    disposals: Disposals,
}

impl Lane {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl LaneConsumer {
    /// Reads the offsets, assigns the lanes there and begins to fetch. A lane that does not exist is an error;
    /// all offset requests together take at most `request_timeout_ms`.
    pub async fn start(config: &BusConfig, lanes: &[Lane], start: StartAt) -> Result<Self, BusError> {
        let config = config.clone();
        let lanes = lanes.to_vec();
        blocking("starting the consumer", move || {
            let client = build(&config)?;
            let progress = Progress::new(locate(&client, &lanes, &start, config.request_timeout())?);
            assign(&client, &progress.lanes)?;
            Ok(Self {
                config,
                client,
                progress,
                disposals: Disposals::default(),
            })
        })
        .await
    }

    /// The next record or error. Cancel safe: a record is handed out or still to come, never lost.
    pub async fn recv(&mut self) -> Event {
        match self.client.recv().await {
            Ok(message) => Event::Record(self.progress.take(&message)),
            Err(error) => {
                let kind = error_kind(&error);
                counter!(names::CONSUMER_ERRORS, names::KIND => kind).increment(1);
                Event::Failed {
                    kind,
                    detail: error.to_string(),
                }
            }
        }
    }

    /// Replaces the client; the new one continues behind the last record that `recv` handed out on each lane.
    /// It asks no broker, so it works while none answers. An offset that is out of range when the broker is
    /// back starts at the log's start, which shows in [`names::OFFSET_RESETS`].
    pub async fn rebuild(&mut self) -> Result<(), BusError> {
        let config = self.config.clone();
        let lanes = self.progress.lanes.clone();
        let fresh = blocking("rebuilding the consumer", move || {
            let client = build(&config)?;
            assign(&client, &lanes)?;
            Ok(client)
        })
        .await?;
        self.disposals.dispose(std::mem::replace(&mut self.client, fresh));
        counter!(names::CONSUMER_REBUILDS).increment(1);
        Ok(())
    }

    /// The lanes and the offset that comes next on each.
    pub fn positions(&self) -> impl Iterator<Item = (&Lane, i64)> {
        self.progress.lanes.iter().map(|at| (&at.lane, at.next))
    }

    /// The offset that comes next on one lane.
    pub fn position(&self, lane: &Lane) -> Option<i64> {
        self.positions().find(|(at, _)| *at == lane).map(|(_, next)| next)
    }

    /// Ends the clients and waits for them, for a bounded time.
    pub async fn close(self) -> Result<(), BusError> {
        let Self {
            client,
            mut disposals,
            ..
        } = self;
        blocking("closing the consumer", move || {
            disposals.dispose(client);
            disposals.wait(CLOSE_TIMEOUT);
            Ok(())
        })
        .await
    }
}

/// How far a lane has come.
#[derive(Clone, Debug)]
struct Position {
    lane: Lane,
    next: i64,
}

/// How far all lanes have come, sorted by lane.
struct Progress {
    lanes: Vec<Position>,
    consumed: Counter,
}

impl Progress {
    /// Begins at these positions.
    fn new(mut lanes: Vec<Position>) -> Self {
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        Self {
            lanes,
            consumed: counter!(names::CONSUMED),
        }
    }

    /// Copies a message out of librdkafka's buffer and moves its lane on.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> Record {
        self.consumed.increment(1);
        Record {
            topic: self.advance(message.topic(), message.partition(), message.offset()),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(Bytes::copy_from_slice),
            payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            headers: Headers::from_native(message.headers()),
            timestamp_ms: message.timestamp().to_millis(),
        }
    }

    /// Moves a lane behind `offset` and gives its topic's shared name. Any offset but the next one is a reset:
    /// higher when records were deleted before they were read, lower when the log began anew.
    fn advance(&mut self, topic: &str, partition: i32, offset: i64) -> Arc<str> {
        let found = self
            .lanes
            .binary_search_by(|at| (&*at.lane.topic, at.lane.partition).cmp(&(topic, partition)));
        let Some(at) = found.ok().and_then(|index| self.lanes.get_mut(index)) else {
            return Arc::from(topic);
        };
        if at.next != offset {
            counter!(names::OFFSET_RESETS).increment(1);
            tracing::warn!(lane = %at.lane, expected = at.next, found = offset, "the lane did not continue");
        }
        at.next = offset + 1;
        Arc::clone(&at.lane.topic)
    }
}

/// Builds a client that consumes nothing yet.
fn build(config: &BusConfig) -> Result<StreamConsumer<LaneContext>, BusError> {
    let client = config
        .consumer()
        .and_then(|native| native.create_with_context(LaneContext));
    client.map_err(|source| BusError::Client {
        client: "consumer",
        source,
    })
}

/// The offset at which each lane begins.
fn locate(
    client: &StreamConsumer<LaneContext>,
    lanes: &[Lane],
    start: &StartAt,
    timeout: Duration,
) -> Result<Vec<Position>, BusError> {
    let deadline = Instant::now() + timeout;
    let begin = |lane: &Lane| {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let (low, high) = client
            .fetch_watermarks(&lane.topic, lane.partition, left)
            .map_err(|source| BusError::Offsets {
                topic: Arc::clone(&lane.topic),
                partition: lane.partition,
                source,
            })?;
        let next = match start {
            StartAt::End => high,
            StartAt::Beginning => low,
            StartAt::Offsets(offsets) => offsets.get(lane).copied().unwrap_or(high),
        };
        Ok(Position {
            lane: lane.clone(),
            next,
        })
    };
    lanes.iter().map(begin).collect()
}

/// Assigns exactly these lanes at their offsets.
fn assign(client: &StreamConsumer<LaneContext>, lanes: &[Position]) -> Result<(), BusError> {
    let mut list = TopicPartitionList::with_capacity(lanes.len());
    for at in lanes {
        list.add_partition_offset(&at.lane.topic, at.lane.partition, Offset::Offset(at.next))
            .map_err(BusError::Assign)?;
    }
    client.assign(&list).map_err(BusError::Assign)
}

#[cfg(test)]
mod tests;
