//! The messageIds of commands that a charger knows, over all its connections. Leaves out what they were.

use std::collections::{HashSet, VecDeque};

/// How many ids are remembered; the oldest is forgotten first. The log has them all.
const CAPACITY: usize = 4096;

/// Whether an id is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    First,
    Before,
}

/// A bounded set of ids; nothing is allocated before the first.
#[derive(Debug, Default)]
pub(super) struct SeenIds(Option<Box<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    ids: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl SeenIds {
    /// Adds an id, and says whether it was there.
    pub(super) fn note(&mut self, id: &str) -> Seen {
        let inner = self.0.get_or_insert_default();
        if !inner.ids.insert(id.into()) {
            return Seen::Before;
        }
        inner.order.push_back(id.into());
        if inner.order.len() > CAPACITY
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.ids.remove(&oldest);
        }
        Seen::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_until_too_many_newer_ones_came() {
        let mut seen = SeenIds::default();
        assert_eq!(seen.note("first"), Seen::First);
        assert_eq!(seen.note("first"), Seen::Before);
        for number in 0..CAPACITY {
            assert_eq!(seen.note(&number.to_string()), Seen::First);
        }
        assert_eq!(seen.note("first"), Seen::First);
        assert_eq!(seen.note(&(CAPACITY - 1).to_string()), Seen::Before);
    }
}
