//! Random interleavings: whatever the world does, the machine keeps the rules that protect a charger.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{Bench, LIFE, MS, SECOND, answer, charger, command};
use crate::command::{Priority, RedeliveryClass};
use crate::edge::{Failed, Input, Item, Output, Socket, Write};
use crate::ids::{CommandId, Incarnation, Nonce, Sequence, Version};

/// One thing that the world may do; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Act {
    Open(u64),
    Close(u64),
    Gone(usize),
    Reply(usize, u64),
    Kick(u64, u64),
    Record {
        charger: u64,
        id: u8,
        ahead: u64,
        attempt: u32,
        deadline_ms: u64,
        priority: u8,
    },
    Grant(usize, u64),
    RefuseIntent(usize),
    ConfirmNonWrite(usize),
    Answer(u64, u8),
    ConfirmAnswer(u8),
    Cancel(u64, u8),
    Fail(u8),
    Socket(usize, bool),
    Timeout(u64),
    Link(bool),
    Lapse,
    NewLife,
    LeaseEnds(u64),
    Pass(u64),
}

/// The world's view: what was asked, granted, handed out and written.
#[derive(Default)]
struct World {
    sockets: BTreeMap<u64, u64>,
    last_socket: u64,
    /// Replaced sockets whose end was not said yet.
    replaced: Vec<(u64, Socket)>,
    registers: Vec<(u64, Sequence)>,
    intents: Vec<(CommandId, Nonce)>,
    grants: BTreeMap<CommandId, Vec<(Nonce, u64)>>,
    handed: Vec<Write>,
    out: BTreeMap<Socket, CommandId>,
    written: BTreeMap<CommandId, u32>,
    attempts: BTreeMap<CommandId, u32>,
    non_written: Vec<(CommandId, Nonce)>,
    life: u64,
    versions: u64,
    dispatches: u64,
}

/// Commands of odd number are unsafe.
fn class(id: u8) -> RedeliveryClass {
    if id % 2 == 1 {
        RedeliveryClass::Unsafe
    } else {
        RedeliveryClass::Safe
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..2_u64).prop_map(Act::Open),
        1 => (0..2_u64).prop_map(Act::Close),
        2 => any::<usize>().prop_map(Act::Gone),
        4 => (any::<usize>(), 0..3_u64).prop_map(|(n, up)| Act::Reply(n, up)),
        1 => (0..2_u64, 0..3_u64).prop_map(|(c, back)| Act::Kick(c, back)),
        8 => (0..2_u64, 0..6_u8, 0..3_u64, 1..4_u32, 0..8_000_u64, 0..4_u8).prop_map(
            |(charger, id, ahead, attempt, deadline_ms, priority)| Act::Record {
                charger, id, ahead, attempt, deadline_ms, priority,
            }
        ),
        5 => (any::<usize>(), 0..6_000_u64).prop_map(|(n, ms)| Act::Grant(n, ms)),
        1 => any::<usize>().prop_map(Act::RefuseIntent),
        1 => any::<usize>().prop_map(Act::ConfirmNonWrite),
        3 => (0..2_u64, 0..6_u8).prop_map(|(c, id)| Act::Answer(c, id)),
        1 => (0..6_u8).prop_map(Act::ConfirmAnswer),
        1 => (0..2_u64, 0..6_u8).prop_map(|(c, id)| Act::Cancel(c, id)),
        1 => (0..6_u8).prop_map(Act::Fail),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(n, go)| Act::Socket(n, go)),
        2 => (0..2_u64).prop_map(Act::Timeout),
        2 => any::<bool>().prop_map(Act::Link),
        1 => Just(Act::Lapse),
        2 => Just(Act::NewLife),
        1 => (0..20_000_u64).prop_map(Act::LeaseEnds),
        6 => (0..3_000_u64).prop_map(Act::Pass),
    ]
}

impl World {
    /// The input that an act stands for, if it makes sense now.
    #[allow(clippy::too_many_lines, reason = "one arm an act")]
    fn input(&mut self, act: &Act, b: &mut Bench) -> Option<Input> {
        Some(match act {
            Act::Open(n) => {
                self.last_socket += 1;
                let old = self.sockets.insert(*n, self.last_socket);
                self.replaced.extend(old.map(|old| (*n, Socket(old))));
                let (charge_point, socket) = (charger(*n), Socket(self.last_socket));
                Input::Opened {
                    charge_point,
                    socket,
                    ocpp_version: "ocpp2.0.1",
                }
            }
            Act::Close(n) => {
                let socket = Socket(self.sockets.remove(n)?);
                self.handed.retain(|w| w.socket != socket);
                self.out.remove(&socket);
                Input::Closed {
                    charge_point: charger(*n),
                    socket,
                }
            }
            Act::Gone(n) => {
                let at = n % self.replaced.len().max(1);
                let (n, socket) = *self.replaced.get(at)?;
                self.replaced.remove(at);
                self.handed.retain(|w| w.socket != socket);
                Input::Closed {
                    charge_point: charger(n),
                    socket,
                }
            }
            Act::Reply(n, up) => {
                let (n, sequence) = *pick(&self.registers, *n)?;
                self.versions += up;
                Input::Registered {
                    charge_point: charger(n),
                    sequence,
                    version: Version(self.versions),
                }
            }
            Act::Kick(n, back) => Input::Kick {
                incarnation: Incarnation(self.life),
                charge_point: charger(*n),
                version: Version(self.versions.saturating_sub(*back)),
            },
            Act::Record {
                charger,
                id,
                ahead,
                attempt,
                deadline_ms,
                priority,
            } => {
                self.dispatches += ahead;
                let mut command = b.routed(*charger, *id, self.dispatches, self.versions);
                command.class = class(*id);
                command.attempt = *attempt;
                command.priority = Priority::from_number(*priority).unwrap();
                command.deadline = b.time.redis_upper.plus(deadline_ms * MS);
                Input::Record {
                    incarnation: Incarnation(self.life),
                    command,
                }
            }
            Act::Pass(ms) => {
                b.advance(ms * MS);
                Input::Tick
            }
            Act::LeaseEnds(ms) => {
                b.time.lease_until_mono_us = b.time.mono_us + ms * MS;
                return None;
            }
            other => return self.progress(other, b),
        })
    }

    #[allow(clippy::too_many_lines, reason = "one arm an act")]
    fn progress(&mut self, act: &Act, b: &mut Bench) -> Option<Input> {
        Some(match act {
            Act::Grant(n, ms) => {
                let (id, nonce) = *pick(&self.intents, *n)?;
                let write_before = b.time.redis_upper.plus(ms * MS);
                self.grants.entry(id).or_default().push((nonce, write_before.0));
                Input::Grant {
                    id,
                    nonce,
                    write_before,
                }
            }
            Act::RefuseIntent(n) => {
                let (id, nonce) = *pick(&self.intents, *n)?;
                Input::IntentRefused { id, nonce }
            }
            Act::ConfirmNonWrite(n) => {
                let (id, nonce) = *pick(&self.non_written, *n)?;
                Input::NonWriteConfirmed { id, nonce }
            }
            Act::Answer(n, id) => {
                let socket = Socket(*self.sockets.get(n)?);
                self.out.retain(|s, out| *s != socket || *out != command(*id));
                Input::Answer {
                    charge_point: charger(*n),
                    id: command(*id),
                    answer: answer("{}"),
                }
            }
            Act::ConfirmAnswer(id) => Input::AnswerConfirmed {
                id: command(*id),
                charge_point: None,
            },
            Act::Cancel(n, id) => Input::Cancel {
                incarnation: Incarnation(self.life),
                charge_point: charger(*n),
                id: command(*id),
                deadline: b.time.redis_upper.plus(10 * SECOND),
            },
            Act::Fail(id) => Input::Failed(Failed::Command(command(*id))),
            Act::Socket(n, go) => self.socket(*n, *go, b)?,
            Act::Timeout(n) => {
                let socket = Socket(*self.sockets.get(n)?);
                let id = self.out.remove(&socket)?;
                Input::CallTimeout {
                    charge_point: charger(*n),
                    socket,
                    id,
                }
            }
            Act::Link(true) => Input::LinkUp,
            Act::Link(false) => Input::LinkDown,
            Act::Lapse => Input::LeaseLapsed,
            Act::NewLife => {
                self.life += 1;
                b.time.lease_until_mono_us = b.time.mono_us + 10 * SECOND;
                Input::IncarnationTaken(Incarnation(self.life))
            }
            _ => return None,
        })
    }

    /// A socket gets to a CALL that was handed to it: it looks once more, then writes or gives back.
    fn socket(&mut self, n: usize, go: bool, b: &Bench) -> Option<Input> {
        let at = n % self.handed.len().max(1);
        if at >= self.handed.len() {
            return None;
        }
        let write = self.handed.remove(at);
        let (charge_point, socket, id) = (write.charge_point, write.socket, write.id);
        if !go || !b.machine.may_write(id, b.time) {
            return Some(Input::NotWritten {
                charge_point,
                socket,
                id,
            });
        }
        assert!(b.time.lease_is_held(), "written without a lease");
        *self.written.entry(id).or_default() += 1;
        assert_eq!(self.out.insert(socket, id), None, "two CALLs out on {socket:?}");
        let unsafe_id = (0..6).any(|n| command(n) == id && class(n) == RedeliveryClass::Unsafe);
        if unsafe_id {
            assert_eq!(self.written[&id], 1, "an unsafe command was written twice");
            let granted = self.grants.get(&id).into_iter().flatten();
            let mut valid = granted.filter(|(nonce, before)| {
                *before > b.time.redis_upper.0 && !self.non_written.contains(&(id, *nonce))
            });
            assert!(valid.next().is_some(), "written without a grant that is in force");
        } else {
            let most = self.attempts.get(&id).copied().unwrap_or(0);
            assert!(
                self.written[&id] <= most.max(1),
                "written more often than attempts"
            );
        }
        Some(Input::Wrote {
            charge_point,
            socket,
            id,
        })
    }

    /// Notes what came out.
    fn note(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Write(write) => self.handed.push(*write),
                Output::ToRouter(Item::Register {
                    charge_point,
                    sequence,
                    ..
                }) => {
                    let n = (0..2).find(|n| charger(*n) == charge_point).unwrap();
                    self.registers.push((n, sequence));
                }
                Output::ToRouter(Item::Intent { dispatch, nonce }) => self.intents.push((dispatch.id, nonce)),
                Output::ToRouter(Item::NonWrite { dispatch, nonce }) => {
                    self.non_written.push((dispatch.id, nonce));
                }
                Output::ToRouter(_) | Output::Close { .. } => {}
            }
        }
    }
}

fn pick<T>(list: &[T], n: usize) -> Option<&T> {
    list.get(n % list.len().max(1))
}

/// Lets the world act, and keeps its books.
fn perform(acts: &[Act], b: &mut Bench) -> World {
    let mut world = World {
        life: LIFE.0,
        ..World::default()
    };
    for act in acts {
        if let Act::Record { id, attempt, .. } = act {
            let most = world.attempts.entry(command(*id)).or_default();
            *most = (*most).max(*attempt);
        }
        let Some(input) = world.input(act, b) else {
            continue;
        };
        let opened = matches!(input, Input::Opened { .. });
        let out = b.input(input);
        world.note(out);
        // The charger's former socket is dead once it opened another; what it was handed is said by it or by its end.
        if opened {
            let live: Vec<Socket> = world.sockets.values().map(|s| Socket(*s)).collect();
            world.out.retain(|s, _| live.contains(s));
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// The rules are asserted where the world writes.
    #[test]
    fn whatever_happens_the_charger_is_safe(acts in prop::collection::vec(act(), 1..150)) {
        perform(&acts, &mut Bench::new());
    }

    /// Once the world is quiet and everything is confirmed, the machine says nothing more and forgets.
    #[test]
    fn a_quiet_world_ends_all_repetition_and_all_memory(acts in prop::collection::vec(act(), 1..100)) {
        let mut b = Bench::new();
        let mut world = perform(&acts, &mut b);
        let sockets = world.sockets.iter().map(|(n, socket)| (*n, Socket(*socket)));
        for (n, socket) in sockets.chain(world.replaced.iter().copied()) {
            b.input(Input::Closed { charge_point: charger(n), socket });
        }
        let said = b.input(Input::LinkUp);
        world.note(said);
        for id in 0..6 {
            b.input(Input::AnswerConfirmed { id: command(id), charge_point: None });
        }
        for (id, nonce) in world.non_written.clone() {
            b.input(Input::NonWriteConfirmed { id, nonce });
        }
        b.pass(120 * SECOND);
        prop_assert_eq!(b.machine.remembered(), 0);
        prop_assert!(b.pass(60 * SECOND).is_empty());
    }
}
