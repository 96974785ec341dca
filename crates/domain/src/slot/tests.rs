//! Properties of the slot model: its invariants under random events, and what it promises one by one.

mod dead;
mod promises;
mod random;
mod turns;

use super::{AcceptReply, Applied, Call, EventInput, RegisterReply, Registration, SlotModel};
use crate::command::{Answer, Command, Deadline, Priority, RedeliveryClass, Request, Status};
use crate::delivery::{Event, EventKind, Verdict};
use crate::ids::{ChargePointId, CommandId, Incarnation, Micros, Nonce, PodId, Sequence, Slot, Version};
use crate::settings::{DeliverySettings, Jitter};

const SECOND: u64 = 1_000_000;

/// A slot with a clock.
struct Bench {
    slot: SlotModel,
    now: Micros,
    ids: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            slot: SlotModel::new(DeliverySettings::default()),
            now: Micros(1_000 * SECOND),
            ids: 0,
        }
    }

    fn call(&self) -> Call<'static> {
        Call {
            now: self.now,
            not_after: self.now,
            epoch: "e",
            jitter: Jitter(32_768),
        }
    }

    fn pass(&mut self, us: u64) {
        self.now = self.now.plus(us);
    }

    /// The same while a router's timer loop runs.
    fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(SECOND);
            self.run_due();
        }
    }

    fn request(&mut self, class: RedeliveryClass, priority: Priority) -> Request {
        self.ids += 1;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.ids.to_be_bytes());
        Request {
            id: CommandId::new(self.ids, random, Slot(0)),
            charge_point: charger(0),
            action: "Reset".into(),
            payload: "{}".into(),
            priority,
            class,
            max_attempts: 2,
            answer_timeout_us: 10 * SECOND,
            deadline: Deadline::After(300 * SECOND),
            idempotency: None,
            replay_of: None,
        }
    }

    fn accept(&mut self, class: RedeliveryClass, priority: Priority) -> CommandId {
        let request = self.request(class, priority);
        let id = request.id;
        let reply = self.slot.accept(request, &self.call()).unwrap();
        assert!(matches!(reply, AcceptReply::Accepted { .. }), "{reply:?}");
        id
    }

    /// Registers a new socket of the first charger with a pod; returns its version.
    fn connect(&mut self, pod: &str, sequence: u64) -> Version {
        match self
            .slot
            .register(&registration(pod, sequence), &self.call())
            .unwrap()
        {
            RegisterReply::Registered { version, .. } => version,
            RegisterReply::Refused(why) => panic!("{why:?}"),
        }
    }

    fn command(&self, id: CommandId) -> &Command {
        &self.slot.commands[&id]
    }

    fn status(&self, id: CommandId) -> Status {
        self.command(id).progress.status
    }

    /// An event that speaks of the command's present dispatch.
    fn event(&self, id: CommandId, kind: EventKind) -> EventInput {
        let p = &self.command(id).progress;
        let route = p.route.as_ref();
        let event = Event {
            kind,
            dispatch: p.dispatch,
            version: route.map_or(Version(0), |r| r.version),
            nonce: if p.nonce.0 > 0 { p.nonce } else { Nonce(5) },
            incarnation: route.map_or(Incarnation(0), |r| r.incarnation),
        };
        let answer = (kind == EventKind::Answer).then(|| Answer::Result("{}".into()));
        EventInput {
            id,
            event,
            answer,
            charge_point: None,
        }
    }

    fn apply(&mut self, input: &EventInput) -> Applied {
        let applied = self.slot.apply(input, &self.call()).unwrap();
        assert_eq!(self.slot.audit(), Vec::<String>::new());
        applied
    }

    fn happens(&mut self, id: CommandId, kind: EventKind) -> Option<Verdict> {
        let input = self.event(id, kind);
        self.apply(&input).verdict
    }

    fn run_due(&mut self) {
        self.slot.run_due(100, &self.call()).unwrap();
        assert_eq!(self.slot.audit(), Vec::<String>::new());
    }
}

fn charger(n: u8) -> ChargePointId {
    ChargePointId::parse(&format!("CP-{n}")).unwrap()
}

fn registration(pod: &str, sequence: u64) -> Registration {
    Registration {
        charge_point: charger(0),
        pod: PodId::parse(pod).unwrap(),
        incarnation: Incarnation(7),
        sequence: Sequence(sequence),
        first_version: Version(0),
        floor: Version(0),
        ocpp_version: "ocpp1.6".into(),
    }
}
