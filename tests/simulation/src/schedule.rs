//! Virtual time: what happens when, in an order that the moment and then the order of planning decide.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Everything that is yet to happen.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    now: u64,
    planned: u64,
    heap: BinaryHeap<Entry<E>>,
}

/// One thing that will happen.
#[derive(Debug)]
struct Entry<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> Schedule<E> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            planned: 0,
            heap: BinaryHeap::new(),
        }
    }

    /// Microseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// How many things were ever planned.
    pub(crate) fn planned(&self) -> u64 {
        self.planned
    }

    /// Plans something for a moment; one that has passed is now.
    pub(crate) fn at(&mut self, at: u64, event: E) {
        self.planned += 1;
        let (at, number) = (at.max(self.now), self.planned);
        self.heap.push(Entry { at, number, event });
    }

    /// Plans something for so many microseconds from now.
    pub(crate) fn after(&mut self, us: u64, event: E) {
        self.at(self.now.saturating_add(us), event);
    }

    /// What happens next; time moves on to it.
    pub(crate) fn next(&mut self) -> Option<E> {
        let entry = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The heap gives its greatest first, which must be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_for_one_moment_happens_in_the_order_of_planning() {
        let mut schedule = Schedule::new();
        schedule.at(5, "b");
        schedule.at(3, "a");
        schedule.at(5, "c");
        assert_eq!(schedule.next(), Some("a"));
        schedule.at(1, "late");
        let rest: Vec<_> = std::iter::from_fn(|| schedule.next()).collect();
        assert_eq!(rest, ["late", "b", "c"]);
        assert_eq!(schedule.now(), 5);
    }
}
