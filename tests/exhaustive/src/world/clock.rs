//! The clock moves on: leases are renewed, the paused wake, and the run ends.

use domain::delivery;
use domain::edge::Input;

use crate::cases::{Case, Fault};
use crate::part::Part;
use crate::scale::{START_TICK, lease_ends};
use crate::state::{PAIR, State};

impl State {
    /// The world begins: both edges live, and unless it is offline the charger connects at the first
    /// one and is registered.
    pub(crate) fn start(&mut self, case: &Case) {
        for index in (0..).take(PAIR) {
            self.restart(index);
        }
        if !case.offline {
            self.connect(0);
        }
        while !self.net.is_empty() {
            let envelope = self.net.remove(0);
            if let crate::state::Message::Up {
                edge,
                router,
                link,
                item,
            } = &*envelope.message
            {
                self.handle_item((*edge, *link), *router, item);
            } else if let crate::state::Message::Down { edge, input } = &*envelope.message {
                self.feed(*edge, input.clone());
            }
        }
        for index in (0..).take(PAIR) {
            self.tick(index);
        }
        if case.faults.contains(&Fault::RollBack) {
            self.durable = Some(Part::new(self.store.slot.clone()));
        }
    }

    /// One tick. The run ends with its last one, or when nothing can happen any more.
    pub(crate) fn advance(&mut self, case: &Case) {
        if self.now >= START_TICK + case.ticks || self.is_settled(case) {
            self.over = true;
            return self.judge.see_end_of_run(case, &self.store.slot);
        }
        if !self.barrier {
            self.flush();
        }
        self.now += 1;
        for index in (0..).take(PAIR) {
            self.pass_time(index);
        }
        // Routers look after timers all the time; where one is due, that is a step of its own.
        if self.stalled_until <= self.now {
            self.stalled_until = 0;
            if !self.is_due() {
                self.run_due(0);
            }
        }
        self.send_notes();
    }

    /// Whether a timer is due, and somebody looks.
    pub(crate) fn is_due(&self) -> bool {
        let now = self.time();
        self.stalled_until == 0
            && self
                .store
                .slot
                .commands
                .values()
                .any(|c| delivery::due(c, now).is_some())
    }

    /// Every command has ended and nothing is under way that could speak of one.
    pub(crate) fn is_settled(&self, case: &Case) -> bool {
        let all = (0..case.commands.len()).all(|c| self.judge.ended(c).is_some());
        let owed = self
            .charger
            .owes
            .iter()
            .chain(&self.charger.owes_late)
            .any(|n| *n > 0);
        all && !owed
            && self.net.is_empty()
            && self.store.slot.notes.is_empty()
            && self
                .edges
                .iter()
                .all(|e| e.mail.is_empty() && e.hanging.is_none() && e.machine.unconfirmed() == 0)
    }

    fn pass_time(&mut self, index: u8) {
        let place = usize::from(index);
        let now = self.now;
        if self.edges[place].wakes == now {
            self.edges[place].edit().wakes = 0;
        }
        if !self.edges[place].runs() {
            return;
        }
        self.renew_lease(index);
        // A tick that does nothing needs no step of its own.
        let mut probe = self.edges[place].machine.clone();
        let mut out = Vec::new();
        let time = self.edges[place].time(now);
        probe.handle(time, Input::Tick, &mut || domain::ids::Nonce(u64::MAX), &mut out);
        let idle = out.is_empty() && probe == self.edges[place].machine;
        if idle == self.edges[place].tick_due {
            self.edges[place].edit().tick_due = !idle;
        }
    }

    /// Leases are renewed all the time; a tick shows it. One that has lapsed is not.
    fn renew_lease(&mut self, index: u8) {
        let place = usize::from(index);
        let edge = &self.edges[place];
        let pod = self.store.pods[place];
        let held = edge.link.is_some()
            && edge.incarnation.0 > 0
            && edge.holds_lease(self.now)
            && pod.incarnation == edge.incarnation
            && pod.expires > self.time();
        if !held {
            return;
        }
        let (expires, until_us) = lease_ends(self.now);
        let floor = edge.machine.floor().max(pod.floor);
        let store = self.store.edit();
        (store.pods[place].expires, store.pods[place].floor) = (expires, floor);
        let epoch = store.epoch;
        let edge = self.edges[place].edit();
        edge.lease_until_us = until_us;
        let changed = edge.epoch != epoch;
        edge.epoch = epoch;
        self.feed(index, Input::LeaseRenewed);
        if changed {
            self.feed(index, Input::EpochChanged);
        }
    }
}
