//! What leaves the store: the outbox of a slot is drained by whoever holds its lease, in order for each charger;
//! an entry is removed after Kafka confirmed it, a note after its edge did.

use std::collections::BTreeMap;
use std::rc::Rc;

use domain::command::Lane;
use domain::ids::ChargePointId;
use domain::slot::{Note, OutboxEntry, OutboxKind};

use super::super::World;
use super::super::event::ShardRecord;
use super::super::kafka::{Content, place_of};
use super::super::store::{Op, Said};
use super::told::LeaseView;
use super::{Chain, Reporting, Then};
use crate::plan::Point;

/// Entries, and notes, of one drain.
const LIMIT: usize = 20;

/// A router's drain of one slot.
#[derive(Default)]
pub(super) struct Drain {
    busy: bool,
    again: bool,
    full: bool,
    chains: Vec<Chain>,
    gone: Vec<u64>,
    dead: Vec<(ChargePointId, String)>,
    /// Chains and notes that are not done.
    left: usize,
    wanted: usize,
}

impl World {
    /// There may be something to drain.
    pub(super) fn wake_drain(&mut self, n: usize, slot: usize) {
        let model = &self.redis.data.slots[slot];
        let nothing = model.outbox.is_empty() && model.notes.is_empty();
        if nothing || self.routers[n].breaker.is_open() {
            return;
        }
        let drain = &mut self.routers[n].drains[slot];
        if drain.busy {
            drain.again = true;
            return;
        }
        *drain = Drain {
            busy: true,
            ..Drain::default()
        };
        let holder = self.routers[n].holder;
        self.ask(n, Op::Drain(slot, holder, LIMIT), Then::Drain { slot });
    }

    /// What is to leave was read.
    pub(super) fn drained(&mut self, n: usize, slot: usize, said: Option<Said>) {
        let Some(Said::Drained { held, entries, notes }) = said else {
            return self.end_drain(n, slot);
        };
        if self.router_dies_at(n, Point::AfterDrain) {
            return;
        }
        if !held || (entries.is_empty() && notes.is_empty()) {
            return self.end_drain(n, slot);
        }
        let chains = chains(entries);
        let drain = &mut self.routers[n].drains[slot];
        drain.wanted = chains
            .iter()
            .map(|c| c.iter().filter(|(_, last)| *last).count())
            .sum();
        drain.full = drain.wanted == LIMIT || notes.len() == LIMIT;
        drain.left = chains.len() + notes.len();
        drain.chains = chains;
        for chain in 0..self.routers[n].drains[slot].chains.len() {
            self.send_entry(n, slot, chain);
        }
        for note in notes {
            self.send_note(n, slot, Rc::new(note));
        }
    }

    /// Sends the first record of a charger's entries.
    fn send_entry(&mut self, n: usize, slot: usize, chain: usize) {
        let Some((entry, last)) = self.routers[n].drains[slot].chains[chain].front().cloned() else {
            return self.one_less(n, slot);
        };
        // A dead letter's first record is the result.
        let dead = last && matches!(entry.1.kind, OutboxKind::Ended { dead_letter: true });
        let token = self.routers[n].token();
        self.routers[n]
            .reports
            .insert(token, Reporting::Entry { slot, chain });
        self.produce_if_closed(n, token, Content::Left(entry, dead));
    }

    pub(super) fn entry_reported(&mut self, n: usize, slot: usize, chain: usize, stored: bool) {
        let drain = &mut self.routers[n].drains[slot];
        if !stored {
            return self.one_less(n, slot);
        }
        if let Some((entry, last)) = drain.chains[chain].pop_front()
            && last
        {
            drain.gone.push(entry.0);
        }
        self.send_entry(n, slot, chain);
    }

    fn send_note(&mut self, n: usize, slot: usize, note: Rc<(ChargePointId, Note)>) {
        let Some(pod) = self.pods.iter().position(|p| *p == note.1.pod) else {
            return;
        };
        match self.cached_lease(n, pod, note.1.incarnation) {
            Some(view) => self.send_note_by(n, slot, &note, Some(view)),
            None => {
                let begun = self.schedule.now();
                self.ask(
                    n,
                    Op::Lease(pod),
                    Then::LeaseForNote {
                        pod,
                        begun,
                        slot,
                        note,
                    },
                );
            }
        }
    }

    /// The lease of a note's pod was read, or not.
    pub(super) fn send_note_by(
        &mut self,
        n: usize,
        slot: usize,
        note: &Rc<(ChargePointId, Note)>,
        view: Option<LeaseView>,
    ) {
        let Some(view) = view else {
            return self.one_less(n, slot);
        };
        // By the time that came with the record: a lease that held then may have been renewed since.
        let now = view.told.redis_now;
        let live = view
            .lease
            .filter(|l| l.incarnation == note.1.incarnation && l.expires > now);
        let Some(lease) = live else {
            let name = (note.0.clone(), note.1.name());
            self.routers[n].drains[slot].dead.push(name);
            return self.one_less(n, slot);
        };
        let place = place_of(&lease.consumes, self.plan.edges);
        let token = self.routers[n].token();
        self.routers[n].reports.insert(token, Reporting::Note { slot });
        let record = ShardRecord::Note(Rc::clone(note));
        self.produce_if_closed(n, token, Content::Shard(place, Lane::Urgent, record));
    }

    /// A note was sent, or not: it stays until its edge confirms it.
    pub(super) fn note_reported(&mut self, n: usize, slot: usize) {
        self.one_less(n, slot);
    }

    /// When all is done, what Kafka has is removed.
    fn one_less(&mut self, n: usize, slot: usize) {
        let drain = &mut self.routers[n].drains[slot];
        drain.left = drain.left.saturating_sub(1);
        if drain.left > 0 {
            return;
        }
        drain.again |= drain.full && drain.gone.len() == drain.wanted;
        let (gone, dead) = (std::mem::take(&mut drain.gone), std::mem::take(&mut drain.dead));
        if gone.is_empty() && dead.is_empty() {
            return self.end_drain(n, slot);
        }
        if self.router_dies_at(n, Point::BeforeTrim) {
            return;
        }
        self.ask(n, Op::Trim(slot, gone, dead), Then::Trim { slot });
    }

    pub(super) fn trimmed(&mut self, n: usize, slot: usize, done: bool) {
        self.routers[n].drains[slot].again &= done;
        self.end_drain(n, slot);
    }

    fn end_drain(&mut self, n: usize, slot: usize) {
        let again = std::mem::take(&mut self.routers[n].drains[slot].again);
        self.routers[n].drains[slot].busy = false;
        if again {
            self.wake_drain(n, slot);
        }
    }
}

/// Each charger's records, in order: an entry's last one is marked.
fn chains(entries: Vec<(u64, OutboxEntry)>) -> Vec<Chain> {
    let mut chargers: BTreeMap<ChargePointId, Chain> = BTreeMap::new();
    for entry in entries {
        let charge_point = entry.1.command.request.charge_point.clone();
        let dead = matches!(entry.1.kind, OutboxKind::Ended { dead_letter: true });
        let chain = chargers.entry(charge_point).or_default();
        let entry = Rc::new(entry);
        if dead {
            chain.push_back((Rc::clone(&entry), false));
        }
        chain.push_back((entry, true));
    }
    chargers.into_values().collect()
}
