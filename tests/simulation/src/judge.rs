//! The judge: it sees what reaches the store and what leaves it, what edges write, what chargers log and what
//! clients hear, keeps its own books, and says which invariant of `reliability.md` was broken. It decides
//! nothing by the code that it judges.
//!
//! Here: its books, and what clients see. In `judge/`: the store, claims, routes, edges, writes, ends, the audit.

mod audit;
mod claims;
mod edges;
mod ends;
mod events;
mod leases;
mod routes;
mod store;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use domain::command::{Answer, Command, FailureReason, Priority, RedeliveryClass, Status};
use domain::delivery::Verdict;
use domain::ids::{ChargePointId, CommandId, LinkNumber, Micros, Version};
use domain::settings::DeliverySettings;
use domain::slot::AcceptRefusal;

use crate::plan::{Durability, Plan};
use crate::world::Node;

pub(crate) use writes::WriteSeen;

/// What was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number in `reliability.md`.
    pub invariant: u8,
    /// How.
    pub text: String,
}

/// Everything the judge knows.
pub(crate) struct Judge {
    settings: DeliverySettings,
    /// The store may lose what it had not flushed: some invariants do not hold then.
    relaxed: bool,
    plan: Vec<CallBook>,
    violation: Option<Violation>,
    exercised: BTreeMap<u8, u64>,
    /// How often each rule was put to the test that has a judgement of its own.
    rules: BTreeMap<&'static str, u64>,
    commands: BTreeMap<CommandId, Book>,
    /// What a key names: the command and its content.
    keys: BTreeMap<u32, (CommandId, u8)>,
    /// Of each charger: the highest version ever given, and to whom which one was.
    versions: BTreeMap<ChargePointId, Versions>,
    /// Of each charger: how often its longest waiting command was overtaken in the normal lane.
    overtakes: BTreeMap<ChargePointId, u32>,
    /// Commands accepted so far.
    arrivals: u64,
    /// What each life of an edge's process did.
    machines: BTreeMap<(usize, u32), edges::Machine>,
    /// Of each charger: the sequence of the last new result.
    results: BTreeMap<ChargePointId, u64>,
    /// When the lease of an edge's life ends.
    leases: BTreeMap<(usize, u64), Micros>,
    /// The newest link of each pod.
    links: BTreeMap<usize, LinkNumber>,
    /// The CALL that is out on a socket.
    sockets: BTreeMap<u64, writes::Out>,
    /// What reached an edge and was not written yet.
    waiting: BTreeMap<(usize, ChargePointId), Vec<writes::Waiting>>,
    /// Answers that an edge's process heard.
    heard: BTreeSet<(usize, u32, CommandId)>,
    /// How often the store was rolled back.
    rollbacks: u32,
    last_deadline: Micros,
    healed_at: Option<Micros>,
}

/// A client's call.
struct CallBook {
    key: Option<u32>,
    content: u8,
    failed: u32,
    ok: Option<CommandId>,
}

#[derive(Default)]
struct Versions {
    highest: Version,
    /// The highest that the store told anybody: a roll-back may forget the others.
    told: Version,
    given: BTreeMap<(String, u64, u64), Version>,
    /// The version that the socket of the present route got first.
    first: Version,
    registrations: u32,
}

/// A command, as the judge knows it.
struct Book {
    charge_point: ChargePointId,
    class: RedeliveryClass,
    priority: Priority,
    max_attempts: u32,
    deadline: Micros,
    /// Its place among all that were accepted.
    arrival: u64,
    /// How often it was claimed.
    claims: u32,
    /// Registrations of its charger before it was accepted.
    registrations_before: u32,
    /// A client was told that it is accepted.
    promised: bool,
    writes: Vec<WriteSeen>,
    received: u32,
    replies: Vec<Answer>,
    end: Option<End>,
    results: u32,
    dead_letters: u32,
}

/// An end, as anybody saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    status: Status,
    reason: Option<FailureReason>,
    answer: Option<Answer>,
    possibly_written: bool,
}

impl End {
    fn of(command: &Command) -> Option<Self> {
        let p = &command.progress;
        is_end(p.status).then(|| Self {
            status: p.status,
            reason: p.reason,
            answer: p.answer.clone(),
            possibly_written: p.possibly_written,
        })
    }
}

/// Whether a status is an end.
fn is_end(status: Status) -> bool {
    matches!(
        status,
        Status::Acknowledged | Status::Failed | Status::Expired | Status::Cancelled
    )
}

impl Judge {
    pub(crate) fn new(plan: &Plan) -> Self {
        let book = |call: &crate::plan::CallPlan| CallBook {
            key: call.key,
            content: call.content,
            failed: 0,
            ok: None,
        };
        Self {
            settings: plan.settings.clone(),
            relaxed: plan.durability == Durability::Relaxed,
            plan: plan.calls.iter().map(book).collect(),
            violation: None,
            exercised: BTreeMap::new(),
            rules: BTreeMap::new(),
            commands: BTreeMap::new(),
            keys: BTreeMap::new(),
            versions: BTreeMap::new(),
            overtakes: BTreeMap::new(),
            arrivals: 0,
            machines: BTreeMap::new(),
            results: BTreeMap::new(),
            leases: BTreeMap::new(),
            links: BTreeMap::new(),
            sockets: BTreeMap::new(),
            waiting: BTreeMap::new(),
            heard: BTreeSet::new(),
            rollbacks: 0,
            last_deadline: Micros(0),
            healed_at: None,
        }
    }

    /// The first violation.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// How often each invariant was put to the test.
    pub(crate) fn exercised(&self) -> &BTreeMap<u8, u64> {
        &self.exercised
    }

    /// How often each rule was put to the test.
    pub(crate) fn rules(&self) -> &BTreeMap<&'static str, u64> {
        &self.rules
    }

    /// Notes a violation, if it is the first.
    pub(crate) fn fail(&mut self, invariant: u8, text: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let text = text();
            self.violation = Some(Violation { invariant, text });
        }
    }

    /// It must hold, but this was no test of it.
    fn expect(&mut self, invariant: u8, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(invariant, text);
        }
    }

    /// It was put to the test.
    fn exercise(&mut self, invariant: u8) {
        *self.exercised.entry(invariant).or_default() += 1;
    }

    /// An invariant was put to the test, and held or not.
    fn check(&mut self, invariant: u8, holds: bool, text: impl FnOnce() -> String) {
        *self.exercised.entry(invariant).or_default() += 1;
        if !holds {
            self.fail(invariant, text);
        }
    }

    /// A rule with a judgement of its own was put to the test, and with it its invariant.
    fn rule(&mut self, name: &'static str, invariant: u8, holds: bool, text: impl FnOnce() -> String) {
        *self.rules.entry(name).or_default() += 1;
        self.check(invariant, holds, text);
    }

    /// The last deadline of any command.
    pub(crate) fn last_deadline(&self) -> Micros {
        self.last_deadline
    }

    /// A process died.
    pub(crate) fn died(&mut self, node: Node) {
        if matches!(node, Node::Router(_)) {
            self.exercise(17);
        }
    }

    /// Everything was mended.
    pub(crate) fn healed(&mut self, now: Micros) {
        self.healed_at = Some(now);
    }

    /// A client's call failed: what became of it is unknown.
    pub(crate) fn call_failed(&mut self, call: usize) {
        self.plan[call].failed += 1;
    }

    /// A client was told that its command is accepted.
    pub(crate) fn accepted(&mut self, call: usize, id: CommandId) {
        let (key, content, failed) = (
            self.plan[call].key,
            self.plan[call].content,
            self.plan[call].failed,
        );
        self.plan[call].ok = Some(id);
        let known = self
            .commands
            .get_mut(&id)
            .map(|book| book.promised = true)
            .is_some();
        if !self.relaxed {
            self.check(1, known, || {
                format!("{id} was promised, but the store never accepted it")
            });
        }
        let Some(key) = key else { return };
        match self.keys.get(&key).copied() {
            Some((first, first_content)) if !self.relaxed => {
                self.check(2, first == id, || format!("key {key} names {first} and {id}"));
                self.check(3, first_content == content, || {
                    format!("key {key} was accepted with contents {first_content} and {content}")
                });
            }
            _ => {
                if failed > 0 {
                    self.exercise(2);
                }
                self.keys.insert(key, (id, content));
            }
        }
    }

    /// A client was refused.
    pub(crate) fn refused(&mut self, call: usize, refusal: AcceptRefusal) {
        let (key, content) = (self.plan[call].key, self.plan[call].content);
        if refusal == AcceptRefusal::OtherContent {
            let same = key
                .and_then(|k| self.keys.get(&k))
                .is_some_and(|(_, first)| *first == content);
            self.check(3, !same || self.relaxed, || {
                format!("key {key:?} was refused for the same content")
            });
        }
    }

    /// A cancel was answered.
    pub(crate) fn cancelled(&mut self, id: CommandId, verdict: Option<Verdict>, status: Option<Status>) {
        let end = self
            .commands
            .get(&id)
            .and_then(|b| b.end.as_ref())
            .map(|e| e.status);
        let known = verdict.is_some() && status.is_some();
        self.check(1, known || self.relaxed, || {
            format!("{id} was promised and is not known")
        });
        let seen = status.filter(|s| is_end(*s));
        if let (Some(end), Some(seen)) = (end, seen) {
            self.check(4, seen == end || self.relaxed, || {
                format!("{id} ended as {end:?} and was {status:?} at a cancel")
            });
        }
    }

    /// A client looked at its command.
    pub(crate) fn looked(&mut self, id: CommandId, command: Option<&Command>) {
        self.check(1, command.is_some() || self.relaxed, || {
            format!("{id} was promised and is not found")
        });
        if let Some(command) = command {
            self.see_end(command);
        }
    }
}
