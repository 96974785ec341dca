//! A Kafka broker inside this process, for tests and for trying the gateway where no Kafka is installed.
//!
//! It is librdkafka's mock cluster: it speaks the protocol over loopback and keeps records in memory, a few MiB
//! a partition. It is volatile, answers no admin requests, and holds every fetch for its whole wait, so latency
//! is the consumer's `fetch_wait_max_ms`. Its faults can be injected, which is its other use.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::config::BusConfig;
use crate::error::BusError;

/// The mock cluster may not leave the thread that made it, so one thread owns it and takes instructions.
pub struct EmbeddedBroker {
    bootstrap: String,
    instructions: Option<SyncSender<Instruction>>,
    thread: Option<JoinHandle<()>>,
}

/// A fault that the broker reports to producers instead of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut when the next produce request arrives.
    CutNextProduce,
    /// The next produce request is refused as too large.
    RefuseNextProduceAsTooLarge,
}

impl EmbeddedBroker {
    /// Starts a broker with these (topic, partitions) on a free port of 127.0.0.1.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, BusError> {
        let topics: Vec<(String, i32)> = topics
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        let (instructions, inbox) = sync_channel(16);
        let (started, bootstrap) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || host(&topics, &started, &inbox))
            .map_err(|error| failed("starting its thread")(KafkaError::ClientCreation(error.to_string())))?;
        let bootstrap = bootstrap
            .recv()
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(failed("starting"))?;
        Ok(Self {
            bootstrap,
            instructions: Some(instructions),
            thread: Some(thread),
        })
    }

    /// Where clients find it, `127.0.0.1:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A client configuration for this broker, its fetch wait short, because that is the latency here.
    pub fn config(&self) -> BusConfig {
        BusConfig {
            fetch_wait_max_ms: 5,
            ..BusConfig::at(&self.bootstrap)
        }
    }

    /// Adds a topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), BusError> {
        let topic = topic.to_owned();
        self.instruct("creating a topic", move |cluster| {
            cluster.create_topic(&topic, partitions, 1)
        })
    }

    /// Cuts all connections and refuses new ones; the records stay.
    pub fn take_down(&self) -> Result<(), BusError> {
        self.instruct("going down", |cluster| cluster.broker_down(-1))
    }

    /// Accepts connections again.
    pub fn bring_up(&self) -> Result<(), BusError> {
        self.instruct("coming up", |cluster| cluster.broker_up(-1))
    }

    /// Delays every answer by this time.
    pub fn set_round_trip(&self, delay: Duration) -> Result<(), BusError> {
        self.instruct("setting its delay", move |cluster| {
            cluster.broker_round_trip_time(-1, delay)
        })
    }

    /// Injects one fault.
    pub fn inject(&self, fault: Fault) -> Result<(), BusError> {
        use RDKafkaRespErr as Code;
        let (request, code) = match fault {
            Fault::CutNextProduce => (RDKafkaApiKey::Produce, Code::RD_KAFKA_RESP_ERR__TRANSPORT),
            Fault::RefuseNextProduceAsTooLarge => {
                (RDKafkaApiKey::Produce, Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
            }
        };
        self.instruct("injecting a fault", move |cluster| {
            cluster.request_errors(request, &[code]);
            Ok(())
        })
    }

    /// Has the thread perform an instruction and waits for the outcome.
    fn instruct(
        &self,
        operation: &'static str,
        act: impl FnOnce(&Cluster) -> KafkaResult<()> + Send + 'static,
    ) -> Result<(), BusError> {
        let (reply, outcome) = sync_channel(1);
        let instruction = Instruction {
            act: Box::new(act),
            reply,
        };
        let sent = self.instructions.as_ref().map(|inbox| inbox.send(instruction));
        if !matches!(sent, Some(Ok(()))) {
            return Err(BusError::Worker { operation });
        }
        outcome
            .recv()
            .map_err(|_| BusError::Worker { operation })?
            .map_err(failed(operation))
    }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        // A closed channel is the thread's sign to end.
        self.instructions = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the embedded broker's thread panicked");
        }
    }
}

/// The mock cluster with its own client.
type Cluster = MockCluster<'static, DefaultProducerContext>;

/// What an instruction does to the cluster.
type Act = dyn FnOnce(&Cluster) -> KafkaResult<()> + Send;

/// One instruction and where its outcome goes.
struct Instruction {
    act: Box<Act>,
    reply: SyncSender<KafkaResult<()>>,
}

/// The thread's whole life: make the cluster, say where it is, obey until the channel closes.
fn host(topics: &[(String, i32)], started: &SyncSender<KafkaResult<String>>, inbox: &Receiver<Instruction>) {
    let made = MockCluster::new(1).and_then(|cluster| {
        topics
            .iter()
            .try_for_each(|(name, partitions)| cluster.create_topic(name, *partitions, 1))?;
        Ok(cluster)
    });
    let bootstrap = made
        .as_ref()
        .map(MockCluster::bootstrap_servers)
        .map_err(Clone::clone);
    if started.send(bootstrap).is_err() {
        return;
    }
    let Ok(cluster) = made else { return };
    while let Ok(Instruction { act, reply }) = inbox.recv() {
        // The instructing side waits for this; if it is gone, nobody needs the outcome.
        let _ = reply.send(act(&cluster));
    }
}

/// Names the operation that failed.
fn failed(operation: &'static str) -> impl Fn(KafkaError) -> BusError {
    move |source| BusError::Embedded { operation, source }
}
