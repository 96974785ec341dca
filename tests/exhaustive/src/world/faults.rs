//! What goes wrong.

use domain::edge::{EdgeMachine, Input};
use domain::ids::Incarnation;

use crate::scale::{OUTAGE_TICKS, STALL_TICKS, edge_settings};
use crate::state::{Call, Edge, Message, PAIR, State};

impl State {
    /// The charger forgets its connection and opens another; the former edge notices some time.
    pub(crate) fn reconnect(&mut self, index: u8) {
        if let Some((edge, socket)) = self.charger.connection.take() {
            self.post(Message::SocketEnd { edge, socket });
        }
        self.connect(index);
    }

    /// A process dies. What it said before may be lost, and so are the records that it had not taken: the next life
    /// begins at the end of its lanes.
    pub(crate) fn crash(&mut self, index: u8, mute: bool) {
        let place = usize::from(index);
        self.net.retain(|e| match &*e.message {
            Message::Up { edge, .. } => !mute || *edge != index,
            Message::Down { edge, .. } | Message::SocketEnd { edge, .. } => *edge != index,
            Message::Record { edge, .. } => *edge != index,
            Message::Claim { .. } | Message::Suspect { .. } => true,
        });
        self.break_link(index, true);
        if self.charger.connection.is_some_and(|(edge, _)| edge == index) {
            self.charger.connection = None;
        }
        let back_by = self.now;
        let edge = self.edges[place].edit();
        let none: Option<Call> = None;
        *edge = Edge {
            machine: EdgeMachine::new(edge_settings(), 0, 1),
            alive: false,
            back_by,
            incarnation: Incarnation(0),
            lease_until_us: 0,
            epoch: 0,
            mail: Vec::new(),
            call: none,
            hanging: None,
            tick_due: false,
            ..edge.clone()
        };
    }

    /// A process stands still until its lease is over.
    pub(crate) fn pause(&mut self, index: u8) {
        let wakes = self.now + OUTAGE_TICKS;
        self.edges[usize::from(index)].edit().wakes = wakes;
    }

    /// No timer is looked after for one tick more than the stall rule tolerates.
    pub(crate) fn stall(&mut self) {
        self.stalled_until = self.now + STALL_TICKS;
    }

    /// A link breaks, with what was on it.
    pub(crate) fn cut(&mut self, index: u8) {
        self.net.retain(|e| match &*e.message {
            Message::Up { edge, .. } | Message::Down { edge, .. } => *edge != index,
            _ => true,
        });
        self.break_link(index, true);
        let back_by = self.now + OUTAGE_TICKS;
        self.edges[usize::from(index)].edit().back_by = back_by;
        self.feed(index, Input::LinkDown);
    }

    /// A router dies: its claims are gone, its links broken, and nobody marks their edges.
    pub(crate) fn crash_router(&mut self, router: u8) {
        self.net.retain(|e| match &*e.message {
            Message::Claim { router: r, .. } | Message::Suspect { router: r, .. } => *r != router,
            _ => true,
        });
        for index in (0..).take(PAIR) {
            if self.edges[usize::from(index)].link != Some(router) {
                continue;
            }
            self.net.retain(|e| match &*e.message {
                Message::Up { edge, .. } | Message::Down { edge, .. } => *edge != index,
                _ => true,
            });
            self.break_link(index, false);
            let back_by = self.now;
            self.edges[usize::from(index)].edit().back_by = back_by;
            if self.edges[usize::from(index)].runs() {
                self.feed(index, Input::LinkDown);
            }
        }
    }

    /// The store crashes: what was not behind the barrier is gone, and its epoch is another one.
    pub(crate) fn roll_back(&mut self) {
        let Some(durable) = self.durable.clone() else {
            return;
        };
        let store = self.store.edit();
        store.slot = (*durable).clone();
        store.epoch += 1;
    }

    fn break_link(&mut self, index: u8, noticed: bool) {
        let edge = self.edges[usize::from(index)].edit();
        let (link, incarnation, number) = (edge.link.take(), edge.incarnation, edge.link_number);
        if let Some(router) = link.filter(|_| noticed && incarnation.0 > 0) {
            self.post(Message::Suspect {
                router,
                edge: index,
                incarnation,
                link: number,
            });
        }
    }
}
