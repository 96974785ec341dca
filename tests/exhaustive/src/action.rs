//! What can happen next in a state, and what has to happen before the clock moves on.

use crate::cases::{Case, Fault};
use crate::part::Part;
use crate::scale::{OUTAGE_TICKS, START_TICK};
use crate::state::{COMMANDS_MAX, Edge, Message, PAIR, State};

/// One step. Numbers are indices: of a message under way, an edge, a router or a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A caller sends the next command.
    Accept,
    /// A caller cancels a command.
    Cancel(u8),
    /// A message arrives.
    Deliver(u8),
    /// A message will arrive late.
    Delay(u8),
    /// A record is in Kafka twice.
    Duplicate(u8),
    /// A claim is produced, and its router believes that it was not.
    LoseReport(u8),
    /// A router handles the due timers.
    RunDue(u8),
    /// A connection takes its next CALL and writes it, if it still may.
    Write(u8),
    /// The same, but its connection does not learn that it is out.
    WriteSlowly(u8),
    /// It learns it.
    Wrote(u8),
    /// A write hung for too long, so its connection ends.
    GiveUpWriting(u8),
    /// An edge's machine is told that time passes.
    Tick(u8),
    /// A CALL was not answered in time.
    TimeOut(u8),
    /// The charger answers a CALL; the flag: one whose answer was late.
    Reply(u8, bool),
    /// The charger will answer a CALL late.
    AnswerLate(u8),
    /// The charger will never answer a CALL.
    StaySilent(u8),
    /// The charger, without a connection, opens one.
    Connect(u8),
    /// The charger opens another connection and forgets the old one.
    Reconnect(u8),
    /// An edge process dies; the flag: what it had just said is lost.
    Crash(u8, bool),
    /// It starts again.
    Restart(u8),
    /// An edge process is paused until its lease is over.
    Pause(u8),
    /// An edge's link breaks.
    Cut(u8),
    /// An edge links to the other router.
    Relink(u8),
    /// A router dies and starts again.
    CrashRouter(u8),
    /// An edge learns that its lease is over.
    Lapse(u8),
    /// An edge takes a new life.
    TakeLife(u8),
    /// The routers' timer loops stand still.
    Stall,
    /// The store crashes and comes back with what was durable.
    RollBack,
    /// The clock moves on.
    Advance,
}

/// Lists every step that is possible.
pub(crate) fn list(case: &Case, state: &State, actions: &mut Vec<Action>) {
    if state.over || state.judge.is_broken() {
        return;
    }
    urgent(case, state, actions);
    if actions.is_empty() {
        actions.push(Action::Advance);
    }
    lazy(state, actions);
    if faults_may_begin(case, state) {
        faults(state, actions);
    }
}

/// What happens before the clock moves on, in any order.
fn urgent(case: &Case, state: &State, actions: &mut Vec<Action>) {
    if usize::from(state.sent) < case.commands.len() {
        actions.push(Action::Accept);
    }
    messages(state, false, actions);
    if state.is_due() {
        actions.push(Action::RunDue(1));
    }
    for (index, edge) in (0..).zip(&state.edges) {
        urgent_of_edge(state, index, edge, actions);
    }
    for command in (0..).take(COMMANDS_MAX) {
        if state.charger.owes[usize::from(command)] > 0 && hears_charger(state) {
            actions.push(Action::Reply(command, false));
        }
    }
}

fn urgent_of_edge(state: &State, index: u8, edge: &Part<Edge>, actions: &mut Vec<Action>) {
    let overdue = edge.back_by <= state.now;
    if !edge.alive {
        if overdue {
            actions.push(Action::Restart(index));
        }
        return;
    }
    if edge.wakes > 0 {
        return;
    }
    if edge.link.is_none() && overdue {
        actions.push(Action::Relink(index));
    }
    if edge.has_mail() {
        actions.push(Action::Write(index));
    }
    if edge.hanging.is_some_and(|hanging| hanging.until <= state.now) {
        actions.push(Action::Wrote(index));
        actions.push(Action::GiveUpWriting(index));
    }
    if edge.tick_due {
        actions.push(Action::Tick(index));
    }
    if edge.call.is_some_and(|call| call.until <= state.now) {
        actions.push(Action::TimeOut(index));
    }
    if edge.link.is_some() && edge.incarnation.0 == 0 {
        actions.push(Action::TakeLife(index));
    } else if edge.link.is_some() && !edge.holds_lease(state.now) {
        actions.push(Action::Lapse(index));
    }
    if state.charger.connection.is_none() && edge.is_ready(state.now) {
        actions.push(Action::Connect(index));
    }
}

/// What may happen now or at any later time.
fn lazy(state: &State, actions: &mut Vec<Action>) {
    messages(state, true, actions);
    for (index, edge) in (0..).zip(&state.edges) {
        // A cut is over within its tick, or outlasts the lease.
        if edge.runs() && edge.link.is_none() && edge.back_by == state.now + OUTAGE_TICKS {
            actions.push(Action::Relink(index));
        }
        if edge.runs() && edge.hanging.is_some_and(|hanging| hanging.until > state.now) {
            actions.push(Action::Wrote(index));
        }
    }
    for command in (0..).take(COMMANDS_MAX) {
        if state.charger.owes_late[usize::from(command)] > 0 && hears_charger(state) {
            actions.push(Action::Reply(command, true));
        }
    }
}

/// Faults begin early, and only while there is something to disturb.
fn faults_may_begin(case: &Case, state: &State) -> bool {
    state.now < START_TICK + case.fault_ticks && !(state.is_settled(case))
}

fn faults(state: &State, actions: &mut Vec<Action>) {
    let has = |fault| state.left.has(fault);
    for (index, edge) in (0..).zip(&state.edges) {
        let runs = edge.runs();
        if runs && has(Fault::EdgeCrash) {
            actions.push(Action::Crash(index, false));
            if state
                .net
                .iter()
                .any(|e| matches!(&*e.message, Message::Up { edge, .. } if *edge == index))
            {
                actions.push(Action::Crash(index, true));
            }
        }
        if runs && has(Fault::Pause) {
            actions.push(Action::Pause(index));
        }
        if runs && edge.has_mail() && has(Fault::SlowWrite) {
            actions.push(Action::WriteSlowly(index));
        }
        if runs && edge.link.is_some() && has(Fault::LinkCut) {
            actions.push(Action::Cut(index));
        }
        if edge.is_ready(state.now) && state.charger.connection.is_some() && has(Fault::Reconnect) {
            actions.push(Action::Reconnect(index));
        }
    }
    if has(Fault::RouterCrash) {
        actions.extend((0..).take(PAIR).map(Action::CrashRouter));
    }
    if has(Fault::Stall) {
        actions.push(Action::Stall);
    }
    if has(Fault::RollBack) && state.durable.as_deref().is_some_and(|d| *d != state.store.slot) {
        actions.push(Action::RollBack);
    }
    for command in (0..).take(COMMANDS_MAX) {
        faults_of_command(state, command, actions);
    }
    faults_of_messages(state, actions);
}

fn faults_of_command(state: &State, command: u8, actions: &mut Vec<Action>) {
    let index = usize::from(command);
    if command < state.sent && state.judge.ended(index).is_none() && state.left.has(Fault::Cancel) {
        actions.push(Action::Cancel(command));
    }
    if state.charger.owes[index] > 0 {
        if state.left.has(Fault::LateReply) {
            actions.push(Action::AnswerLate(command));
        }
        if state.left.has(Fault::Silence) {
            actions.push(Action::StaySilent(command));
        }
    }
}

fn faults_of_messages(state: &State, actions: &mut Vec<Action>) {
    for (index, envelope) in distinct(state) {
        match &*envelope.message {
            Message::Claim { .. } if state.left.has(Fault::LostReport) => {
                actions.push(Action::LoseReport(index));
            }
            Message::Record { .. } if state.left.has(Fault::Duplicate) => {
                actions.push(Action::Duplicate(index));
            }
            _ => {}
        }
        if !envelope.late && state.left.has(Fault::Delay) {
            actions.push(Action::Delay(index));
        }
    }
}

/// The arrivals of messages that are late, or of those that are not.
fn messages(state: &State, late: bool, actions: &mut Vec<Action>) {
    for (index, envelope) in distinct(state) {
        if envelope.late == late && arrives(state, &envelope.message) {
            actions.push(Action::Deliver(index));
        }
    }
}

/// Messages with their places, equal ones once.
fn distinct(state: &State) -> impl Iterator<Item = (u8, &crate::state::Envelope)> {
    let net = &state.net;
    (0u8..)
        .zip(net)
        .filter(|(index, envelope)| *index == 0 || net[usize::from(*index) - 1] != **envelope)
}

/// A paused process takes nothing; a dead one loses what comes.
fn arrives(state: &State, message: &Message) -> bool {
    match message {
        Message::Up { .. } | Message::Claim { .. } | Message::Suspect { .. } => true,
        Message::Down { edge, .. } | Message::Record { edge, .. } | Message::SocketEnd { edge, .. } => {
            state.edges[usize::from(*edge)].wakes == 0
        }
    }
}

/// Whether an answer of the charger would be taken now.
fn hears_charger(state: &State) -> bool {
    state
        .charger
        .connection
        .is_some_and(|(edge, _)| state.edges[usize::from(edge)].runs())
}
