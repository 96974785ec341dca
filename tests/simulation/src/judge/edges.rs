//! The judge at an edge's machine: what a record brings that is not new, what is handed to a socket, and what is
//! written again.
//!
//! Behind each of these rules stands a second check: the memory of a command behind the numbers of dispatches, the
//! socket's own look at its CALL behind the machine's, the store's compare-and-set behind all. So a rule that is
//! broken harms nobody, and only a judgement of the rule itself notices.

use std::collections::BTreeMap;

use domain::edge::{Input, Item, Output};
use domain::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Version};

use super::Judge;

/// What one life of an edge's process did.
#[derive(Default)]
pub(super) struct Machine {
    /// The highest dispatch of each command that it spoke of.
    spoken: BTreeMap<CommandId, DispatchNumber>,
    /// The highest attempt of each command that it wrote.
    written: BTreeMap<CommandId, u32>,
    /// The newest version of each charger's connection that it was told.
    told: BTreeMap<ChargePointId, Version>,
    /// The CALL that each socket was given and that is not known to be over.
    handed: BTreeMap<u64, (ChargePointId, CommandId)>,
}

/// What the machine was given.
pub(crate) enum Given {
    /// A record of an old dispatch, or for another life.
    Old(CommandId, DispatchNumber),
    /// Anything else.
    Other,
}

impl Judge {
    /// An edge's machine is given something.
    pub(crate) fn given(
        &mut self,
        who: (usize, u32),
        life: Incarnation,
        now: Micros,
        input: &Input,
    ) -> Given {
        let machine = self.machines.entry(who).or_default();
        match input {
            Input::Record { incarnation, command } => {
                let spoken = machine.spoken.get(&command.id).copied().unwrap_or_default();
                let old = spoken >= command.dispatch && now < command.deadline;
                if old || *incarnation != life {
                    return Given::Old(command.id, command.dispatch);
                }
            }
            Input::NotWritten { socket, id, .. } | Input::CallTimeout { socket, id, .. }
                if machine.handed.get(&socket.0).is_some_and(|(_, h)| h == id) =>
            {
                machine.handed.remove(&socket.0);
            }
            Input::Answer { charge_point, id, .. } => {
                machine
                    .handed
                    .retain(|_, (c, h)| (&*c, &*h) != (charge_point, id));
            }
            Input::Closed { socket, .. } => drop(machine.handed.remove(&socket.0)),
            Input::Registered {
                charge_point,
                version,
                ..
            } => {
                let told = machine.told.entry(charge_point.clone()).or_default();
                *told = (*version).max(*told);
            }
            _ => {}
        }
        Given::Other
    }

    /// It says or does something.
    pub(crate) fn gave(&mut self, who: (usize, u32), given: &Given, output: &Output) {
        if let Some(id) = about(output)
            && let Given::Old(old, dispatch) = given
        {
            self.expect(8, id != *old, || {
                format!(
                    "edge {} took dispatch {dispatch} of {id} once more: {output:?}",
                    who.0
                )
            });
        }
        let machine = self.machines.entry(who).or_default();
        if let Some((id, dispatch)) = dispatch_of(output) {
            let spoken = machine.spoken.entry(id).or_default();
            *spoken = dispatch.max(*spoken);
        }
        if let Output::Write(write) = output {
            let call = (write.charge_point.clone(), write.id);
            let before = machine.handed.insert(write.socket.0, call);
            let (id, socket) = (write.id, write.socket.0);
            self.check(12, before.is_none(), || {
                format!("{id} was handed to socket {socket} while it had {before:?}")
            });
        }
    }

    /// It has done with what it was given.
    pub(crate) fn has_done(&mut self, given: &Given) {
        if matches!(given, Given::Old(..)) {
            self.rule("a record that is not new", 8, true, String::new);
        }
    }

    /// Whether an edge was told a version.
    pub(super) fn was_told(&self, who: (usize, u32), charge_point: &ChargePointId, version: Version) -> bool {
        let told = |m: &Machine| m.told.get(charge_point) == Some(&version);
        self.machines.get(&who).is_some_and(told)
    }

    /// An edge writes a command again only for a higher attempt.
    pub(super) fn judge_again(&mut self, who: (usize, u32), id: CommandId, attempt: u32) {
        let machine = self.machines.entry(who).or_default();
        if let Some(before) = machine.written.insert(id, attempt) {
            self.rule("written again by the same edge", 15, attempt > before, || {
                format!(
                    "edge {} wrote attempt {attempt} of {id} after attempt {before}",
                    who.0
                )
            });
        }
    }
}

/// The command that an output is about.
fn about(output: &Output) -> Option<CommandId> {
    match output {
        Output::ToRouter(Item::Answer { id, .. }) => Some(*id),
        other => dispatch_of(other).map(|(id, _)| id),
    }
}

/// The dispatch that an output speaks of.
fn dispatch_of(output: &Output) -> Option<(CommandId, DispatchNumber)> {
    match output {
        Output::ToRouter(
            Item::Intent { dispatch, .. }
            | Item::NonWrite { dispatch, .. }
            | Item::Written { dispatch }
            | Item::Refusal { dispatch, .. },
        ) => Some((dispatch.id, dispatch.dispatch)),
        Output::Write(write) => Some((write.id, write.terms.dispatch)),
        _ => None,
    }
}
