//! The decision as a finite table, for the store to render into its scripts.

use super::{Cell, EventKind, Outcome, decide};
use crate::command::{Mark, RedeliveryClass, Status};

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The event.
    pub event: EventKind,
    /// What it meets.
    pub cell: Cell,
    /// What is decided.
    pub outcome: Outcome,
}

/// The key of a row: event, then one letter or digit a fact. Scripts build the same text.
#[must_use]
pub fn key(event: EventKind, cell: Cell) -> String {
    let class = match cell.class {
        RedeliveryClass::Safe => 's',
        RedeliveryClass::Unsafe => 'u',
    };
    format!(
        "{}:{}{}{}{}{}{}",
        event.name(),
        cell.status.code(),
        class,
        u8::from(cell.exposed),
        u8::from(cell.attempts_left),
        cell.mark.code(),
        u8::from(cell.fits),
    )
}

/// Every row that meets an open command; an ended one answers every event with `Ended`.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for event in EventKind::ALL {
        for cell in cells() {
            rows.push(Row {
                event,
                cell,
                outcome: decide(cell, event),
            });
        }
    }
    rows
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for status in Status::ALL.into_iter().filter(|s| !s.is_terminal()) {
        for class in RedeliveryClass::ALL {
            for mark in Mark::ALL {
                for bits in 0..8u8 {
                    cells.push(Cell {
                        status,
                        class,
                        exposed: bits & 1 != 0,
                        attempts_left: bits & 2 != 0,
                        mark,
                        fits: bits & 4 != 0,
                    });
                }
            }
        }
    }
    cells
}
