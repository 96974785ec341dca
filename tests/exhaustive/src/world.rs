//! How a state changes: one function an action. The parts of production are called for every decision; what is
//! modelled here is what lies between them.

mod clock;
mod dispatch;
mod edges;
mod faults;
mod items;
mod routers;
mod spent;

use crate::action::Action;
use crate::cases::{Case, Fault};
use crate::state::{Message, State};

/// Takes a step.
pub(crate) fn step(case: &Case, state: &State, action: Action) -> State {
    let mut next = state.clone();
    next.take(case, action);
    next.seal();
    next
}

impl State {
    fn take(&mut self, case: &Case, action: Action) {
        match action {
            Action::Accept => self.accept(case),
            Action::Deliver(index) => {
                let envelope = self.net.remove(usize::from(index));
                self.deliver(&envelope.message);
            }
            Action::RunDue(router) => self.run_due(router),
            Action::Write(edge) => self.write(edge, false),
            Action::Wrote(edge) => self.wrote(edge),
            Action::GiveUpWriting(edge) => self.give_up_writing(edge),
            Action::Tick(edge) => self.tick(edge),
            Action::TimeOut(edge) => self.time_out(edge),
            Action::Reply(command, late) => self.reply(command, late),
            Action::Connect(edge) => self.connect(edge),
            Action::Restart(edge) => self.restart(edge),
            Action::Relink(edge) => self.relink(edge),
            Action::Lapse(edge) => self.lapse(edge),
            Action::TakeLife(edge) => self.take_life(edge),
            Action::Advance => self.advance(case),
            fault => self.go_wrong(fault),
        }
    }

    fn go_wrong(&mut self, action: Action) {
        match action {
            Action::Cancel(command) => self.fault(Fault::Cancel, |s| s.cancel(command)),
            Action::Delay(index) => self.fault(Fault::Delay, |s| s.net[usize::from(index)].late = true),
            Action::Duplicate(index) => self.fault(Fault::Duplicate, |s| {
                let copy = s.net[usize::from(index)].clone();
                s.net.push(copy);
            }),
            Action::LoseReport(index) => self.fault(Fault::LostReport, |s| s.lose_report(index)),
            Action::AnswerLate(command) => self.fault(Fault::LateReply, |s| {
                s.charger.owes[usize::from(command)] -= 1;
                s.charger.owes_late[usize::from(command)] += 1;
            }),
            Action::StaySilent(command) => self.fault(Fault::Silence, |s| {
                s.charger.owes[usize::from(command)] -= 1;
            }),
            Action::Reconnect(edge) => self.fault(Fault::Reconnect, |s| s.reconnect(edge)),
            Action::Crash(edge, mute) => self.fault(Fault::EdgeCrash, |s| s.crash(edge, mute)),
            Action::WriteSlowly(edge) => self.fault(Fault::SlowWrite, |s| s.write(edge, true)),
            Action::Stall => self.fault(Fault::Stall, Self::stall),
            Action::Pause(edge) => self.fault(Fault::Pause, |s| s.pause(edge)),
            Action::Cut(edge) => self.fault(Fault::LinkCut, |s| s.cut(edge)),
            Action::CrashRouter(router) => self.fault(Fault::RouterCrash, |s| s.crash_router(router)),
            Action::RollBack => self.fault(Fault::RollBack, Self::roll_back),
            _ => {}
        }
    }

    fn fault(&mut self, fault: Fault, change: impl FnOnce(&mut Self)) {
        self.left.spend(fault);
        change(self);
    }

    fn deliver(&mut self, message: &Message) {
        match message {
            Message::Up {
                edge,
                router,
                link,
                item,
            } => self.handle_item((*edge, *link), *router, item),
            Message::Down { edge, input } | Message::Record { edge, input } => {
                if self.edges[usize::from(*edge)].alive {
                    self.feed(*edge, input.clone());
                }
            }
            Message::Claim { router: _, claimed } => self.dispatch(&claimed.command),
            Message::Suspect {
                edge,
                incarnation,
                link,
                ..
            } => self.suspect(*edge, *incarnation, *link),
            Message::SocketEnd { edge, socket } => self.socket_ended(*edge, *socket),
        }
    }
}
