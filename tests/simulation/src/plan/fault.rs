//! The faults that a run may have.

/// A fault and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// When it begins.
    pub at: u64,
    /// How long it lasts.
    pub lasts: u64,
    /// What it is.
    pub fault: Fault,
}

/// Steps of a process behind which it may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A router got claims from the store and did not dispatch them.
    AfterClaim,
    /// A router produced a record and did not hear of it.
    AfterProduce,
    /// A router read the outbox and produced nothing.
    AfterDrain,
    /// A router produced results and did not trim the outbox.
    BeforeTrim,
    /// A router applied an edge's event and did not answer.
    BeforeReply,
    /// A router accepted a command and did not tell the client.
    BeforeAccepted,
    /// An edge read a record and did nothing about it.
    AfterConsume,
    /// An edge got a grant and did not write.
    BeforeWrite,
    /// An edge wrote and told nobody.
    AfterWrite,
    /// An edge heard an answer and told nobody.
    AfterAnswer,
}

/// What can go wrong. Numbers name a process or a charger of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A router dies, and is started again at the end.
    CrashRouter(usize),
    /// An edge dies, and is started again at the end.
    CrashEdge(usize),
    /// A router dies behind the nth passing of a step.
    RouterDiesAt(usize, Point, u32),
    /// An edge dies behind the nth passing of a step.
    EdgeDiesAt(usize, Point, u32),
    /// A router stands still.
    PauseRouter(usize),
    /// An edge stands still.
    PauseEdge(usize),
    /// Nothing comes through from an edge to a router (true) or back (false).
    CutLink(usize, usize, bool),
    /// Nothing comes through between an edge and a router.
    CutLinkBoth(usize, usize),
    /// Nothing comes through from a router to Redis (true) or back (false).
    CutStore(usize, bool),
    /// A router does not reach Kafka.
    CutRouterKafka(usize),
    /// An edge does not reach Kafka.
    CutEdgeKafka(usize),
    /// Clients do not reach a router (true), or do not hear it (false).
    CutClients(usize, bool),
    /// A link between an edge and its router breaks at once.
    BreakLink(usize),
    /// Redis stands still.
    StallRedis,
    /// Redis dies and starts again, or its replica takes over, as the durability says.
    CrashRedis,
    /// Redis refuses to write: its disk is full.
    FullDisk,
    /// The replica does not follow.
    PauseReplica,
    /// Kafka stands still.
    StallKafka,
    /// Kafka's reports get lost, so often in a thousand.
    LoseReports(u64),
    /// Kafka refuses, so often in a thousand.
    RefuseProduce(u64),
    /// Kafka has records twice, so often in a thousand.
    Duplicate(u64),
    /// An edge replaces its consumer (true: it reads its lanes from their start).
    RebuildConsumer(usize, bool),
    /// The configuration gives an edge's pod another place; true: at one router only.
    MovePod(usize, bool),
    /// A second process of an edge's pod is started.
    Twin(usize),
    /// An edge is told to stop, and is started again.
    DrainEdge(usize),
    /// A router is told to stop, and is started again.
    DrainRouter(usize),
    /// A charger loses its connection again and again.
    FlappingCharger(usize),
    /// A second charger of the same identity connects.
    CloneCharger(usize),
    /// A charger answers what another one was asked.
    Forger(usize),
    /// Every message takes up to so many milliseconds.
    SlowNetwork(u64),
    /// A charger loses its connection; true: its edge does not notice.
    DropCharger(usize, bool),
    /// A charger reads and does not answer.
    SilentCharger(usize),
    /// A charger does not read.
    DeafCharger(usize),
}

impl Fault {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CrashRouter(_) => "router killed",
            Self::CrashEdge(_) => "edge killed",
            Self::RouterDiesAt(..) => "router killed at a step",
            Self::EdgeDiesAt(..) => "edge killed at a step",
            Self::PauseRouter(_) => "router paused",
            Self::PauseEdge(_) => "edge paused",
            Self::CutLink(..) => "link cut one way",
            Self::CutLinkBoth(..) => "link cut both ways",
            Self::CutStore(..) => "router cut from redis",
            Self::CutRouterKafka(_) => "router cut from kafka",
            Self::CutEdgeKafka(_) => "edge cut from kafka",
            Self::CutClients(..) => "router cut from clients",
            Self::BreakLink(_) => "link broken",
            Self::StallRedis => "redis stalled",
            Self::CrashRedis => "redis killed",
            Self::FullDisk => "redis disk full",
            Self::PauseReplica => "replica paused",
            Self::StallKafka => "kafka stalled",
            Self::LoseReports(_) => "kafka reports lost",
            Self::RefuseProduce(_) => "kafka refuses",
            Self::Duplicate(_) => "kafka records doubled",
            Self::RebuildConsumer(_, false) => "consumer rebuilt",
            Self::RebuildConsumer(_, true) => "consumer starts over",
            Self::MovePod(_, false) => "pod moved",
            Self::MovePod(_, true) => "pod moved by one router",
            Self::Twin(_) => "edge twinned",
            Self::DrainEdge(_) => "edge drained",
            Self::DrainRouter(_) => "router drained",
            Self::FlappingCharger(_) => "charger flapping",
            Self::CloneCharger(_) => "charger doubled",
            Self::Forger(_) => "answers forged",
            Self::SlowNetwork(_) => "network slow",
            Self::DropCharger(_, false) => "charger dropped",
            Self::DropCharger(_, true) => "charger half open",
            Self::SilentCharger(_) => "charger silent",
            Self::DeafCharger(_) => "charger deaf",
        }
    }
}
