//! One part of the edge: its command machine and the mailboxes of its connections, behind one lock.
//!
//! A connection's mailbox is nothing while it is empty. A connection is woken by the waker that it left here; who
//! puts something into a mailbox wakes it after the lock is given back. Leaves out the sockets themselves.

mod drain;
mod slots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use domain::command::Priority;
use domain::edge::{CloseReason, EdgeMachine, EdgeSettings, EdgeTime, Input, Item, Output, Socket, Write};
use domain::ids::{ChargePointId, CommandId, Nonce, Version};
use tracing::Span;

use self::slots::{Slot, socket_of};

/// Spans that are kept in one shard.
const MAX_SPANS: usize = 1_024;

/// Something for a connection to do.
#[derive(Debug)]
pub enum Outbound {
    /// Write a CALL.
    Call(Box<Call>),
    /// Write a text.
    Text(String),
    /// Send a ping.
    Ping,
    /// A time that the connection asked for has come.
    Timer,
    /// Close, with a WebSocket close code.
    Close(u16, &'static str),
}

/// A CALL on its way to its connection.
#[derive(Debug)]
pub struct Call {
    /// What to write.
    pub write: Write,
    /// The span of the record that it comes from; none where there is no trace.
    pub span: Span,
}

/// What waits for one connection.
pub type Mailbox = VecDeque<Outbound>;

/// A part of the edge.
#[derive(Debug)]
pub struct Shard {
    state: Mutex<State>,
}

/// Where what the machine says to the router goes.
pub trait ItemSink {
    /// Takes one item; must not block. A patient one may wait for others like it.
    fn take(&self, item: Item, patient: bool);
}

/// What a sweep looks for, in seconds of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// Now.
    pub now_s: u32,
    /// A silent connection is pinged this often.
    pub ping_s: u32,
    /// A connection silent for so long is closed.
    pub idle_s: u32,
}

#[derive(Debug)]
struct State {
    machine: EdgeMachine,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// When which connection wants to be woken, in milliseconds.
    timers: BTreeSet<(u64, Socket)>,
    /// The spans of traced commands that were taken and not written yet, the latest only.
    spans: BTreeMap<CommandId, Span>,
    /// Reused between calls.
    outputs: Vec<Output>,
}

impl Shard {
    /// The shard `index` of `count`.
    #[must_use]
    pub fn new(settings: EdgeSettings, index: u64, count: u64) -> Self {
        let machine = EdgeMachine::new(settings, index, count);
        let (slots, free, timers, spans, outputs) = Default::default();
        Self {
            state: Mutex::new(State {
                machine,
                slots,
                free,
                timers,
                spans,
                outputs,
            }),
        }
    }

    /// Gives the machine an input and passes on what it says.
    pub fn input(&self, time: EdgeTime, input: Input, sink: &impl ItemSink) {
        let mut wakers = Vec::new();
        self.lock().handle(time, input, sink, &mut wakers);
        wake(wakers);
    }

    /// A new connection: its number, and the machine told.
    pub fn open(
        &self,
        time: EdgeTime,
        charge_point: &ChargePointId,
        ocpp_version: &'static str,
        sink: &impl ItemSink,
    ) -> Socket {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.recall(time, charge_point, sink, &mut wakers);
        let socket = state.take_slot(time);
        let charge_point = charge_point.clone();
        let input = Input::Opened {
            charge_point,
            socket,
            ocpp_version,
        };
        state.handle(time, input, sink, &mut wakers);
        drop(state);
        wake(wakers);
        socket
    }

    /// A connection is gone; `unwritten` are CALLs that it surely did not write, besides those in its mailbox.
    pub fn close(
        &self,
        time: EdgeTime,
        charge_point: &ChargePointId,
        socket: Socket,
        unwritten: impl IntoIterator<Item = CommandId>,
        sink: &impl ItemSink,
    ) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let mailbox = state.give_slot_back(socket).unwrap_or_default();
        let calls = mailbox.iter().filter_map(|out| {
            if let Outbound::Call(call) = out {
                Some(call.write.id)
            } else {
                None
            }
        });
        for id in unwritten.into_iter().chain(calls) {
            let input = Input::NotWritten {
                charge_point: charge_point.clone(),
                socket,
                id,
            };
            state.handle(time, input, sink, &mut wakers);
        }
        let input = Input::Closed {
            charge_point: charge_point.clone(),
            socket,
        };
        state.handle(time, input, sink, &mut wakers);
        drop(state);
        wake(wakers);
    }

    /// A connection has nothing more to do: it leaves its waker and takes its mail. `seen_s` is when the charger
    /// was last heard, if it was heard since the last call.
    pub fn sync(&self, socket: Socket, waker: &Waker, seen_s: Option<u32>) -> Option<Box<Mailbox>> {
        let mut state = self.lock();
        let slot = state.slot(socket)?;
        if let Some(seen_s) = seen_s {
            slot.last_seen_s = seen_s;
        }
        if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
        slot.mailbox.take()
    }

    /// The last look before a write.
    #[must_use]
    pub fn may_write(&self, id: CommandId, time: EdgeTime) -> bool {
        self.lock().machine.may_write(id, time)
    }

    /// Has a connection woken at a time.
    pub fn add_timer(&self, at_ms: u64, socket: Socket) {
        self.lock().timers.insert((at_ms, socket));
    }

    /// When the next connection wants to be woken.
    #[must_use]
    pub fn next_timer_ms(&self) -> Option<u64> {
        self.lock().timers.first().map(|(at, _)| *at)
    }

    /// Wakes the connections whose time has come.
    pub fn run_timers(&self, now_ms: u64) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        while let Some((at, socket)) = state.timers.first().copied().filter(|(at, _)| *at <= now_ms) {
            state.timers.remove(&(at, socket));
            wakers.extend(state.post(socket, Outbound::Timer));
        }
        drop(state);
        wake(wakers);
    }

    /// Pings the silent and closes the dead; how many were closed. Each connection is pinged at its own second.
    pub fn sweep(&self, sweep: Sweep) -> usize {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let mut closed = 0;
        for index in 0..state.slots.len() {
            let Some(slot) = state.slots.get(index).filter(|s| s.is_live()) else {
                continue;
            };
            let silent_s = sweep.now_s.saturating_sub(slot.last_seen_s);
            let place = u32::try_from(index).unwrap_or_default();
            let its_second = sweep.now_s.wrapping_add(place) % sweep.ping_s.max(1) == 0;
            let socket = socket_of(place, slot.generation);
            if silent_s >= sweep.idle_s {
                closed += 1;
                wakers.extend(state.post(socket, Outbound::Close(1001, "idle")));
            } else if its_second && silent_s >= sweep.ping_s / 2 && slot.mailbox.is_none() {
                wakers.extend(state.post(socket, Outbound::Ping));
            }
        }
        drop(state);
        wake(wakers);
        closed
    }

    /// Puts something into a connection's mailbox.
    pub fn post(&self, socket: Socket, out: Outbound) {
        let waker = self.lock().post(socket, out);
        wake(waker);
    }

    /// The highest version that the shard holds.
    #[must_use]
    pub fn floor(&self) -> Version {
        self.lock().machine.floor()
    }

    /// How many commands are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.lock().machine.remembered()
    }

    /// The version of a charger's connection, once it is registered.
    #[must_use]
    pub fn version_of(&self, charge_point: &ChargePointId) -> Option<Version> {
        self.lock().machine.version_of(charge_point)
    }

    /// The socket and the version of a charger's connection, once it is registered.
    #[must_use]
    pub fn holds(&self, charge_point: &ChargePointId) -> Option<(Socket, Version)> {
        let state = self.lock();
        let socket = state.machine.socket_of(charge_point)?;
        Some((socket, state.machine.version_of(charge_point)?))
    }

    /// A panic under the lock would poison it; the state is whole after each step of the machine.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn handle(&mut self, time: EdgeTime, input: Input, sink: &impl ItemSink, wakers: &mut Vec<Waker>) {
        let mut nonces = || Nonce(rand::random::<u64>().max(1));
        if let Input::Record { command, .. } = &input {
            self.keep_span(command.id);
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut outputs = std::mem::take(&mut self.outputs);
            self.machine.handle(time, input, &mut nonces, &mut outputs);
            for output in outputs.drain(..) {
                inputs.extend(self.perform(output, sink, wakers));
            }
            self.outputs = outputs;
        }
    }

    /// Keeps the span in which a record is taken until the CALL is written, which may be much later. Without a trace
    /// there is none.
    fn keep_span(&mut self, id: CommandId) {
        let span = Span::current();
        if span.is_disabled() {
            return;
        }
        self.spans.insert(id, span);
        if self.spans.len() > MAX_SPANS {
            // Ids grow with time: the first is the oldest.
            self.spans.pop_first();
        }
    }

    /// A charger's older connection is about to be replaced: what still lies in its mailbox will not be written.
    fn recall(
        &mut self,
        time: EdgeTime,
        charge_point: &ChargePointId,
        sink: &impl ItemSink,
        wakers: &mut Vec<Waker>,
    ) {
        let Some(socket) = self.machine.socket_of(charge_point) else {
            return;
        };
        let mailbox = self
            .slot(socket)
            .and_then(|slot| slot.mailbox.take())
            .unwrap_or_default();
        for out in *mailbox {
            let Outbound::Call(call) = out else { continue };
            let input = Input::NotWritten {
                charge_point: charge_point.clone(),
                socket,
                id: call.write.id,
            };
            self.handle(time, input, sink, wakers);
        }
    }

    /// Carries out one output. A CALL for a connection that is gone was not written, which is the next input.
    fn perform(&mut self, output: Output, sink: &impl ItemSink, wakers: &mut Vec<Waker>) -> Option<Input> {
        match output {
            Output::ToRouter(item) => {
                let patient = is_patient(&self.machine, &item);
                sink.take(item, patient);
            }
            Output::Close { socket, why, .. } => {
                let reason = match why {
                    CloseReason::Replaced => "replaced by a newer connection",
                    CloseReason::Displaced => "connected elsewhere",
                };
                wakers.extend(self.post(socket, Outbound::Close(1008, reason)));
            }
            Output::Write(write) if self.slot(write.socket).is_some() => {
                let span = self.spans.remove(&write.id).unwrap_or_else(Span::none);
                let call = Box::new(Call { write: *write, span });
                wakers.extend(self.post(call.write.socket, Outbound::Call(call)));
            }
            Output::Write(write) => {
                let Write {
                    charge_point,
                    socket,
                    id,
                    ..
                } = *write;
                return Some(Input::NotWritten {
                    charge_point,
                    socket,
                    id,
                });
            }
        }
        None
    }
}

/// Whether an item is about a command of low priority and asks for nothing that the charger waits for.
fn is_patient(machine: &EdgeMachine, item: &Item) -> bool {
    match item {
        Item::Written { dispatch } => machine.priority_of(dispatch.id) == Priority::Low,
        Item::Answer { id, .. } => machine.priority_of(*id) == Priority::Low,
        _ => false,
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
