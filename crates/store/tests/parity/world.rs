//! The model and Redis side by side: performs an operation on both and compares everything.

use std::fmt;

use domain::command::{FailureReason, Status};
use domain::ids::{ChargePointId, Incarnation, Micros, PodId, Slot};
use domain::settings::Jitter;
use domain::slot::{Call, EventInput, SlotModel, TooLate};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use store::testing::{self, Dump, FakeCall};
use store::{Held, Store, StoreError};

use crate::Counts;
use crate::expect::{as_stored, expiring, listing_problem};
use crate::generate::{self, Op};
use crate::support::samples;

/// Both sides, and where chance is.
pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) now: Micros,
    pub(crate) model: SlotModel,
    pub(crate) slot: Slot,
    pub(crate) slots: u16,
    seed: u64,
    store: Store,
    epoch: u64,
    charge_points: Vec<ChargePointId>,
    lives: Vec<(PodId, Incarnation)>,
    counts: Counts,
    log: Vec<String>,
}

/// The two sides differ.
pub(crate) struct Mismatch {
    seed: u64,
    what: String,
    log: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, line) in self.log.iter().enumerate() {
            writeln!(f, "{n:3} {line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// What an operation replied, in a form in which both sides can be compared.
type Said = String;

impl World {
    pub(crate) fn new(store: &Store, slot: Slot, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = Micros(1_790_000_000_000_000 + rng.random_range(0..1_000_000));
        let nothing = FakeCall {
            now,
            not_after: now,
            epoch: String::new(),
            jitter: Jitter(0),
        };
        Self {
            lives: generate::lives(&mut rng),
            rng,
            now,
            model: SlotModel::new(store.settings().clone()),
            slot,
            slots: store.slots(),
            seed,
            store: testing::faked(store, nothing),
            epoch: 1,
            charge_points: samples::charge_points(slot, store.slots(), 3),
            counts: Counts::new(),
            log: Vec::new(),
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.seed.is_multiple_of(2)
    }

    pub(crate) fn any_charge_point(&mut self) -> ChargePointId {
        self.charge_points.choose(&mut self.rng).unwrap().clone()
    }

    pub(crate) fn any_pod(&mut self) -> (PodId, Incarnation) {
        self.lives.choose(&mut self.rng).unwrap().clone()
    }

    /// Runs a sequence; leaves the slot empty.
    pub(crate) async fn run(mut self, events: usize) -> Result<Counts, Box<Mismatch>> {
        for _ in 0..events {
            if let Err(what) = self.event().await {
                return Err(self.mismatch(what));
            }
        }
        match testing::dump(&self.store, self.slot, true).await {
            Ok(_) => Ok(self.counts),
            Err(error) => Err(self.mismatch(format!("{error:?}"))),
        }
    }

    fn mismatch(self, what: String) -> Box<Mismatch> {
        Box::new(Mismatch {
            seed: self.seed,
            what,
            log: self.log,
        })
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    async fn event(&mut self) -> Result<(), String> {
        let overtakes = self.overtakes();
        let (op, call) = self.draw();
        testing::set(&self.store, call.clone());
        let expected = self.by_model(&op, &call);
        self.see_overtakes(&overtakes);
        let found = match self.by_store(&op).await {
            Ok(said) => said,
            Err(StoreError::TooLate { .. }) => "too late".to_owned(),
            Err(error) => return Err(format!("{error:?}")),
        };
        if expected != found {
            return Err(format!("replies differ\n  model {expected}\n  redis {found}"));
        }
        testing::set(
            &self.store,
            FakeCall {
                not_after: self.now,
                ..call
            },
        );
        let dump = testing::dump(&self.store, self.slot, false)
            .await
            .map_err(|e| format!("{e:?}"))?;
        self.compare(&dump)
    }

    /// The next operation, and under which circumstances.
    fn draw(&mut self) -> (Op, FakeCall) {
        let calm = self.is_calm();
        self.now = self.now.plus(generate::jump(&mut self.rng, calm));
        if self.rng.random_bool(0.01) {
            self.epoch += 1;
            self.count("epoch changed");
        }
        let op = generate::operation(self);
        let late = self.rng.random_bool(0.02);
        let not_after = if late { Micros(self.now.0 - 1) } else { self.now };
        let (epoch, jitter) = (format!("epoch-{}", self.epoch), Jitter(self.rng.random()));
        self.log.push(format!(
            "at {} epoch {epoch} late {late} {jitter:?} {op:?}",
            self.now
        ));
        (
            op,
            FakeCall {
                now: self.now,
                not_after,
                epoch,
                jitter,
            },
        )
    }

    fn compare(&self, dump: &Dump) -> Result<(), String> {
        let wrong = self.model.audit();
        if !wrong.is_empty() {
            return Err(format!("the model is wrong: {wrong:?}"));
        }
        let expected = as_stored(&self.model);
        if expected != dump.model {
            return Err(format!(
                "slots differ\n  model {expected:#?}\n  redis {:#?}",
                dump.model
            ));
        }
        let connected = self.model.devices.iter().filter(|(_, d)| d.connected);
        if !connected.map(|(id, d)| (id, &d.expires)).eq(&dump.connected) {
            return Err(format!("connected chargers differ: {:?}", dump.connected));
        }
        let expiring = expiring(&self.model);
        if expiring != dump.expiring {
            return Err(format!(
                "times to live differ\n  model {expiring:?}\n  redis {:?}",
                dump.expiring
            ));
        }
        listing_problem(&self.model, dump).map_or(Ok(()), Err)
    }

    fn by_model(&mut self, op: &Op, fake: &FakeCall) -> Said {
        let call = Call {
            now: fake.now,
            not_after: fake.not_after,
            epoch: &fake.epoch,
            jitter: fake.jitter,
        };
        if call.now > call.not_after {
            self.count("too late");
            // The model's outbox knows no time limit, the scripts all do.
            if matches!(op, Op::Drain(_) | Op::Trim(_) | Op::NoteDone(..)) {
                return "too late".to_owned();
            }
        }
        match op {
            Op::Accept(request) => {
                let reply = self
                    .model
                    .accept((**request).clone(), &call)
                    .map(|r| self.seen_accept(r));
                said(reply.map(|r| format!("{r:?}")))
            }
            Op::Register(r) => {
                let reply = self
                    .model
                    .register(r, &call)
                    .map(|reply| self.seen_register(reply));
                said(reply.map(|r| format!("{r:?}")))
            }
            Op::Renew(..) | Op::Unregister(..) => said(self.model_keeps(op, &call)),
            Op::Apply(events) => self.model_applies(events, &call),
            Op::RunDue(limit, late) => self.model_runs_due((*limit, *late), &call),
            Op::Drain(_) | Op::Trim(_) | Op::NoteDone(..) => self.model_drains(op),
            Op::Replay(_) | Op::Purge(_) | Op::DeadLetter(_) => said(self.model_handles_dead(op, &call)),
        }
    }

    fn model_keeps(&mut self, op: &Op, call: &Call<'_>) -> Result<Said, TooLate> {
        match op {
            Op::Renew(id, pod, incarnation, version, wake) => {
                let (current, claimed) = self.model.renew((id, pod, *incarnation, *version), *wake, call)?;
                self.count(if current {
                    "renewed"
                } else {
                    "renewal of a former version"
                });
                Ok(format!("{current} {claimed:?}"))
            }
            Op::Unregister(id, incarnation, version) => {
                let was_current = self.model.unregister(id, *incarnation, *version, call)?;
                if was_current {
                    self.count("unregistered");
                }
                Ok(format!("{was_current:?}"))
            }
            _ => Ok(String::new()),
        }
    }

    fn model_applies(&mut self, events: &[EventInput], call: &Call<'_>) -> Said {
        let mut all = Vec::new();
        for (n, input) in events.iter().enumerate() {
            let jitter = u16::try_from((usize::from(call.jitter.0) + n * 40_503) % 65_536).unwrap();
            let before = self.model.commands.get(&input.id).map(|c| c.progress.status);
            let Ok(applied) = self.model.apply(
                input,
                &Call {
                    jitter: Jitter(jitter),
                    ..*call
                },
            ) else {
                return "too late".to_owned();
            };
            self.see_applied(before, &applied, input);
            all.push(applied);
        }
        format!("{all:?}")
    }

    fn model_runs_due(&mut self, (limit, late): (usize, u64), call: &Call<'_>) -> Said {
        let before = self.model.clone();
        let Ok(reply) = self.model.run_overdue(limit, late, call) else {
            return "too late".to_owned();
        };
        for id in &reply.handled {
            let was = &before.commands[id].progress;
            let progress = self.model.commands.get(id).map(|c| c.progress.clone());
            if was.status == Status::Delivered && progress.as_ref().is_some_and(|p| p.timer > was.timer) {
                self.count("held back");
            }
            let lapsed = was.status == Status::Sent
                && was.timer <= call.now
                && before.commands[id].deadline > call.now;
            if lapsed {
                self.count("lapsed claim");
            }
            match progress.and_then(|p| p.reason) {
                Some(FailureReason::NoAnswer) => self.count("attempts exhausted"),
                Some(FailureReason::OutcomeUnknown) => self.count("outcome unknown"),
                None => {}
            }
        }
        self.see_forgotten(&before);
        format!("{:?} {:?}", reply.handled, reply.claimed)
    }

    fn model_drains(&mut self, op: &Op) -> Said {
        match op {
            Op::Drain(limit) => {
                let entries = as_stored(&self.model).outbox_head(*limit);
                let notes = self.model.notes_to_send(self.now, *limit);
                self.count(if entries.is_empty() {
                    "nothing to drain"
                } else {
                    "drained"
                });
                if !notes.is_empty() {
                    self.count("note sent");
                }
                format!("{entries:?} {notes:?}")
            }
            Op::Trim(count) => {
                let numbers = self.model.outbox.keys().take(*count).copied().collect::<Vec<_>>();
                self.model.outbox_done(&numbers);
                String::new()
            }
            Op::NoteDone(id, name) => {
                let done = self.model.note_done(id, name);
                if done {
                    self.count("note done");
                }
                format!("{done:?}")
            }
            _ => String::new(),
        }
    }

    async fn store_runs_due(&self, limit: usize, late: u64) -> Result<Said, StoreError> {
        let looks = self.store.look_at(&[self.slot]).await?;
        let reply = self.store.run_overdue(self.slot, limit, late).await?.value;
        for look in looks.iter().filter(|look| !look.wants_round) {
            let found = (
                reply.handled.len(),
                reply.outbox,
                reply.notes,
                reply.outbox_numbers,
            );
            assert_eq!(found, (0, 0, 0, look.outbox_numbers), "what a look passes over");
        }
        Ok(format!("{:?} {:?}", reply.handled, reply.claimed))
    }

    async fn by_store(&self, op: &Op) -> Result<Said, StoreError> {
        let store = &self.store;
        Ok(match op {
            Op::Accept(request) => format!("{:?}", store.accept(request).await?.value),
            Op::Register(r) => format!("{:?}", store.register(r).await?.value),
            Op::Renew(id, pod, incarnation, version, wake) => {
                let held = Held {
                    charge_point: id.clone(),
                    pod: pod.clone(),
                    incarnation: *incarnation,
                    version: *version,
                };
                let mut replies = store.renew(self.slot, &[held], *wake).await?.value;
                let reply = replies.remove(0);
                format!("{} {:?}", reply.current, reply.claimed)
            }
            Op::Unregister(id, incarnation, version) => {
                format!("{:?}", store.unregister(id, *incarnation, *version).await?.value)
            }
            Op::Apply(events) => format!("{:?}", store.apply_events(self.slot, events).await?.value),
            Op::RunDue(limit, late) => self.store_runs_due(*limit, *late).await?,
            Op::Drain(limit) => {
                let reply = store.drain(self.slot, "drainer", *limit, 0).await?.value;
                format!("{:?} {:?}", reply.entries, reply.notes)
            }
            Op::Trim(count) => {
                let head = testing::dump(store, self.slot, false).await?.model.outbox;
                let numbers: Vec<u64> = head.keys().take(*count).copied().collect();
                store.trim(self.slot, "drainer", &numbers, &[]).await?;
                String::new()
            }
            Op::NoteDone(id, name) => format!("{:?}", store.note_done(id, name).await?.value),
            Op::Replay(replay) => format!("{:?}", store.replay(replay).await?.value),
            Op::Purge(ids) => format!("{:?}", store.purge_dead_letters(self.slot, ids).await?.value),
            Op::DeadLetter(id) => format!("{:?}", store.get_dead_letter(*id).await?.value),
        })
    }
}

fn said<E>(reply: Result<Said, E>) -> Said {
    reply.unwrap_or_else(|_| "too late".to_owned())
}
