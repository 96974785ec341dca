//! The lines of each charger.

use std::collections::HashMap;

use crate::event::{Charger as Line, Close, Open, Registered, Seen, Unregistered, Versioned, Write};
use crate::log::Log;
use crate::symbols::Sym;
use crate::world::{World, number, pick};

/// A charger: where in the log its lines are.
#[derive(Debug, Default)]
pub struct Charger {
    /// Its name.
    pub cp: Sym,
    registered: Vec<u32>,
    unregistered: Vec<u32>,
    opens: Vec<u32>,
    closes: Vec<u32>,
    versions: Vec<u32>,
    writes: Vec<u32>,
    own: Vec<u32>,
}

impl Charger {
    /// Its registrations.
    pub fn registered<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Registered> {
        pick(&world.log.registered, &self.registered)
    }

    /// Its unregistrations.
    pub fn unregistered<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Unregistered> {
        pick(&world.log.unregistered, &self.unregistered)
    }

    /// Its sockets at edges.
    pub fn opens<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Open> {
        pick(&world.log.opens, &self.opens)
    }

    /// Their ends.
    pub fn closes<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Close> {
        pick(&world.log.closes, &self.closes)
    }

    /// The versions that edges learned for it.
    pub fn versions<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Versioned> {
        pick(&world.log.versions, &self.versions)
    }

    /// The CALLs written to it.
    pub fn writes<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Write> {
        pick(&world.log.writes, &self.writes)
    }

    /// Those of a span, its end left out.
    pub fn writes_between<'a>(
        &'a self,
        world: &'a World,
        from_m_us: u64,
        to_m_us: u64,
    ) -> impl Iterator<Item = &'a Write> {
        let writes = &world.log.writes;
        let before = |m_us| move |&i: &u32| writes.get(i as usize).is_some_and(|w| w.at.m_us < m_us);
        let from = self.writes.partition_point(before(from_m_us));
        let to = self.writes.partition_point(before(to_m_us)).max(from);
        pick(writes, &self.writes[from..to])
    }

    /// Its own log.
    pub fn own<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Line> {
        pick(&world.log.chargers, &self.own)
    }

    /// By its own log it was connected at a moment.
    #[must_use]
    pub fn is_connected(&self, world: &World, m_us: u64) -> bool {
        let last = self
            .own(world)
            .rfind(|line| line.at.m_us <= m_us && matches!(line.seen, Seen::Connected | Seen::Disconnected));
        last.is_some_and(|line| line.seen == Seen::Connected)
    }
}

/// Finds the lines of each charger.
pub(super) fn index(log: &Log) -> (Vec<Charger>, HashMap<Sym, usize>) {
    let mut indexer = Indexer::default();
    indexer.each(&log.registered, |l| l.cp, |c| &mut c.registered);
    indexer.each(&log.unregistered, |l| l.cp, |c| &mut c.unregistered);
    indexer.each(&log.opens, |l| l.cp, |c| &mut c.opens);
    indexer.each(&log.closes, |l| l.cp, |c| &mut c.closes);
    indexer.each(&log.versions, |l| l.cp, |c| &mut c.versions);
    indexer.each(&log.writes, |l| l.cp, |c| &mut c.writes);
    indexer.each(&log.chargers, |l| l.cp, |c| &mut c.own);
    (indexer.chargers, indexer.index)
}

#[derive(Default)]
struct Indexer {
    chargers: Vec<Charger>,
    index: HashMap<Sym, usize>,
}

impl Indexer {
    fn each<T>(&mut self, lines: &[T], cp: fn(&T) -> Sym, list: fn(&mut Charger) -> &mut Vec<u32>) {
        for (i, line) in lines.iter().enumerate() {
            let next = self.chargers.len();
            let charger = *self.index.entry(cp(line)).or_insert(next);
            if charger == next {
                self.chargers.push(Charger {
                    cp: cp(line),
                    ..Charger::default()
                });
            }
            list(&mut self.chargers[charger]).push(number(i));
        }
    }
}
