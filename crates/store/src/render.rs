//! Renders the prelude of every script: the decision table of `domain::delivery`, the settings, the clock.
//!
//! The table becomes one string constant with ten letters a row, found by arithmetic: a Lua table of 1,728
//! rows would be built again at every call.

use std::fmt::Write as _;

use domain::command::{ATTEMPTS_KEPT, AttemptOutcome, FailureReason, Mark, RedeliveryClass, Status};
use domain::delivery::table::{self, Row};
use domain::delivery::{Also, Attempts, Cell, Change, EventKind, Fence, Place, Timer, Verdict};
use domain::settings::{DeliverySettings, ROUND_NOTED_US, STALL_US};
use domain::slot::{ARRIVALS, FORGOTTEN_A_ROUND};

/// The parts of the prelude, in the order in which each builds on the ones before.
const PRELUDE: &[&str] = &[
    include_str!("lua/lib.lua"),
    include_str!("lua/command.lua"),
    include_str!("lua/device.lua"),
    include_str!("lua/change.lua"),
    include_str!("lua/claim.lua"),
    include_str!("lua/accept.lua"),
    include_str!("lua/lease.lua"),
];

/// Letters of one row.
#[cfg(test)]
const ROW: usize = 10;

/// Where scripts take the time from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Redis, read once a script.
    Redis,
    /// The caller, with every call. No configuration leads here.
    Caller,
}

/// The prelude.
pub(crate) fn prelude(settings: &DeliverySettings, clock: Clock) -> String {
    let clock = match clock {
        Clock::Redis => "(function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()",
        Clock::Caller => "tonumber(ARGV[5])",
    };
    PRELUDE
        .join("\n")
        .replace("@CLOCK@", clock)
        .replace("@ROWS@", &rows())
        .replace("@EVENTS@", &events())
        .replace("@FENCES@", &fences())
        .replace("@SETTINGS@", &settings_text(settings))
}

fn settings_text(s: &DeliverySettings) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("ARRIVALS", ARRIVALS),
        ("BACKOFF_BASE_US", s.backoff_base_us),
        ("BACKOFF_CAP_US", s.backoff_cap_us),
        ("DISPATCH_LEASE_US", s.dispatch_lease_us),
        ("GRANT_US", s.grant_us),
        ("POD_LEASE_US", s.pod_lease_us),
        ("CONNECTION_TTL_US", s.connection_ttl_us),
        ("MAX_OPEN", u64::from(s.max_open_per_charger)),
        ("MAX_OUTBOX", u64::from(s.max_outbox)),
        ("MAX_OVERTAKES", u64::from(s.max_overtakes)),
        ("STALL_US", STALL_US),
        ("ROUND_NOTED_US", ROUND_NOTED_US),
        ("ATTEMPTS_KEPT", ATTEMPTS_KEPT as u64),
        ("MAX_DEAD", u64::from(s.max_dead_letters)),
        ("DEAD_RETENTION_US", s.dead_letter_retention_us),
        ("FORGOTTEN_A_ROUND", FORGOTTEN_A_ROUND as u64),
        ("RETENTION_US", s.retention_us),
        ("KEY_RETENTION_US", s.idempotency_retention_us),
        ("NOTE_RESEND_US", s.note_resend_us),
    ] {
        let _ = writeln!(text, "local {name} = {value}");
    }
    text
}

fn events() -> String {
    let names: Vec<String> = EventKind::ALL
        .iter()
        .enumerate()
        .map(|(i, e)| format!("{} = {i}", e.name()))
        .collect();
    names.join(", ")
}

fn fences() -> String {
    let number = |event: EventKind| match event.fence() {
        Fence::Open => 0,
        Fence::Dispatch => 1,
        Fence::DispatchAndNonce => 2,
    };
    let fences: Vec<String> = EventKind::ALL
        .iter()
        .map(|e| format!("{} = {}", e.name(), number(*e)))
        .collect();
    fences.join(", ")
}

fn rows() -> String {
    let all = table::all();
    let mut slots = vec![String::new(); all.len()];
    for row in all {
        slots[index(row.event, row.cell)] = encode(&row);
    }
    slots.concat()
}

/// Where a row lies; the prelude computes the same number.
fn index(event: EventKind, cell: Cell) -> usize {
    let event = EventKind::ALL
        .iter()
        .position(|e| *e == event)
        .unwrap_or_default();
    let status = Status::ALL
        .iter()
        .position(|s| *s == cell.status)
        .unwrap_or_default();
    let class = usize::from(cell.class == RedeliveryClass::Unsafe);
    let mark = Mark::ALL.iter().position(|m| *m == cell.mark).unwrap_or_default();
    let bits = usize::from(cell.exposed) + 2 * usize::from(cell.attempts_left) + 4 * usize::from(cell.fits);
    (((event * 3 + status) * 2 + class) * 3 + mark) * 8 + bits
}

fn encode(row: &Row) -> String {
    let verdict = match row.outcome.verdict {
        Verdict::Applied => 'a',
        Verdict::Repeated => 'r',
        Verdict::Noted => 'n',
        Verdict::Stale => 's',
        Verdict::Ended => 'e',
    };
    match row.outcome.change {
        None => format!("{verdict}---------"),
        Some(change) => format!("{verdict}{}", encode_change(&change)),
    }
}

fn encode_change(change: &Change) -> String {
    let reason = match change.reason {
        None => '-',
        Some(FailureReason::NoAnswer) => 'n',
        Some(FailureReason::OutcomeUnknown) => 'u',
    };
    let attempts = match change.attempts {
        Attempts::Keep => 'k',
        Attempts::Spend => 's',
        Attempts::Return => 'r',
    };
    let place = match change.place {
        Place::Keep => 'k',
        Place::Lane => 'l',
        Place::Queue => 'q',
        Place::Aside => 'a',
        Place::Gone => 'g',
    };
    let timer = match change.timer {
        Timer::Keep => 'k',
        Timer::Clear => 'c',
        Timer::DispatchLease => 'd',
        Timer::Answer => 'a',
        Timer::Settle => 's',
        Timer::Backoff => 'b',
    };
    let also = match change.also {
        Also::Nothing => 'n',
        Also::Grant => 'g',
        Also::CancelNote => 'c',
        Also::TombstoneRoute => 't',
    };
    let written = u8::from(change.possibly_written);
    let mark = change.mark.map_or('k', Mark::code);
    let over = change.attempt_over.map_or('-', AttemptOutcome::code);
    format!(
        "{}{reason}{written}{attempts}{place}{timer}{mark}{also}{over}",
        change.to.code()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_place_of_its_own() {
        let places: std::collections::BTreeSet<usize> =
            table::all().iter().map(|r| index(r.event, r.cell)).collect();
        assert_eq!(places.len(), table::all().len());
        assert_eq!(places.last(), Some(&(table::all().len() - 1)));
        assert_eq!(rows().len(), table::all().len() * ROW);
    }

    #[test]
    fn distinct_outcomes_are_written_differently() {
        let mut seen = std::collections::BTreeMap::new();
        for row in table::all() {
            let outcome = seen.entry(encode(&row)).or_insert(row.outcome);
            assert_eq!(*outcome, row.outcome);
        }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for clock in [Clock::Redis, Clock::Caller] {
            let text = prelude(&DeliverySettings::default(), clock);
            assert!(!text.contains('@'), "a placeholder is left");
        }
    }
}
