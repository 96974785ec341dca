//! The decision table of `delivery`, as code: one function an event, exhaustive over the status.

use super::{Also, Attempts, Cell, Change, EventKind, Outcome, Place, Timer, Verdict};
use crate::command::{AttemptOutcome, FailureReason, Mark, RedeliveryClass, Status};
use crate::mutant::{self, Mutant};

/// Decides one cell.
#[must_use]
pub fn decide(cell: Cell, event: EventKind) -> Outcome {
    let again = mutant::active(Mutant::DoubleAck) && event == EventKind::Answer;
    if cell.status.is_terminal() && !again {
        return told(Verdict::Ended);
    }
    if !cell.fits {
        return told(Verdict::Stale);
    }
    match event {
        EventKind::Claim => claim(cell),
        EventKind::Intent => intent(cell),
        EventKind::Written => written(cell),
        EventKind::NonWrite => non_write(cell),
        EventKind::StaleRoute => refusal(cell, Timer::Clear, Also::TombstoneRoute),
        EventKind::NotReady | EventKind::Undelivered => refusal(cell, Timer::Backoff, Also::Nothing),
        EventKind::Timer => timer(cell),
        EventKind::Deadline => deadline(cell),
        EventKind::Cancel => cancel(cell),
        EventKind::Displaced => displaced(cell),
        EventKind::Answer => applied(end(Status::Acknowledged)),
    }
}

fn claim(cell: Cell) -> Outcome {
    match cell.status {
        Status::Pending => applied(Change {
            place: Place::Lane,
            timer: Timer::DispatchLease,
            ..stay(Status::Sent)
        }),
        _ => told(Verdict::Stale),
    }
}

/// Unsafe only: the write is granted before it happens.
fn intent(cell: Cell) -> Outcome {
    match (cell.class, cell.status) {
        (RedeliveryClass::Unsafe, Status::Sent) => applied(Change {
            attempts: Attempts::Spend,
            timer: Timer::Settle,
            also: Also::Grant,
            ..stay(Status::Delivered)
        }),
        (RedeliveryClass::Unsafe, Status::Delivered) => told(Verdict::Repeated),
        _ => told(Verdict::Stale),
    }
}

fn written(cell: Cell) -> Outcome {
    let timer = match cell.class {
        RedeliveryClass::Safe => Timer::Answer,
        RedeliveryClass::Unsafe => Timer::Settle,
    };
    match cell.status {
        Status::Sent => applied(Change {
            attempts: Attempts::Spend,
            timer,
            ..stay(Status::Delivered)
        }),
        Status::Delivered => told(Verdict::Repeated),
        _ => told(Verdict::Stale),
    }
}

/// A mark that was noted while the command was out becomes its end in the same step, so it cannot be lost.
fn non_write(cell: Cell) -> Outcome {
    if cell.class == RedeliveryClass::Safe {
        return told(Verdict::Stale);
    }
    let returned = match cell.mark {
        Mark::None => back_to_queue(Timer::Backoff),
        Mark::Deadline => end(Status::Expired),
        Mark::Cancel => end(Status::Cancelled),
    };
    match cell.status {
        Status::Delivered => applied(Change {
            attempts: Attempts::Return,
            attempt_over: Some(AttemptOutcome::NotWritten),
            ..returned
        }),
        // Its intent was never applied: nothing was granted, the late intent finds the command gone.
        Status::Sent => applied(back_to_queue(Timer::Backoff)),
        _ => told(Verdict::Stale),
    }
}

fn refusal(cell: Cell, timer: Timer, also: Also) -> Outcome {
    match cell.status {
        Status::Sent => applied(Change {
            also,
            ..back_to_queue(timer)
        }),
        _ => told(Verdict::Stale),
    }
}

fn timer(cell: Cell) -> Outcome {
    match (cell.status, cell.class) {
        // The backoff is over; the claim that follows finds the command due.
        (Status::Pending, _) => applied(Change {
            timer: Timer::Clear,
            ..stay(Status::Pending)
        }),
        (Status::Sent, _) => applied(back_to_queue(Timer::Backoff)),
        (_, RedeliveryClass::Safe) if cell.attempts_left => applied(Change {
            attempt_over: Some(AttemptOutcome::NoAnswer),
            ..back_to_queue(Timer::Backoff)
        }),
        (_, RedeliveryClass::Safe) => applied(Change {
            reason: Some(FailureReason::NoAnswer),
            attempt_over: Some(AttemptOutcome::NoAnswer),
            ..end(Status::Failed)
        }),
        (_, RedeliveryClass::Unsafe) if cell.attempts_left && mutant::active(Mutant::RetryUnsafe) => {
            applied(back_to_queue(Timer::Backoff))
        }
        (_, RedeliveryClass::Unsafe) => applied(Change {
            reason: Some(FailureReason::OutcomeUnknown),
            attempt_over: Some(AttemptOutcome::Unknown),
            ..end(Status::Failed)
        }),
    }
}

fn deadline(cell: Cell) -> Outcome {
    match (cell.class, cell.status, cell.mark) {
        (RedeliveryClass::Unsafe, Status::Delivered, Mark::None) => noted(Change {
            mark: Some(Mark::Deadline),
            ..stay(Status::Delivered)
        }),
        (RedeliveryClass::Unsafe, Status::Delivered, _) => told(Verdict::Noted),
        (_, status, _) => applied(Change {
            possibly_written: possibly_written(cell),
            attempt_over: (status == Status::Delivered).then_some(AttemptOutcome::Unknown),
            ..end(Status::Expired)
        }),
    }
}

/// A cancel outranks a deadline that was marked before: the caller is told what it asked for.
fn cancel(cell: Cell) -> Outcome {
    let also = if cell.exposed {
        Also::CancelNote
    } else {
        Also::Nothing
    };
    match (cell.class, cell.status, cell.mark) {
        (RedeliveryClass::Unsafe, Status::Delivered, Mark::Cancel) => told(Verdict::Noted),
        (RedeliveryClass::Unsafe, Status::Delivered, _) => noted(Change {
            mark: Some(Mark::Cancel),
            also: Also::CancelNote,
            ..stay(Status::Delivered)
        }),
        _ => applied(Change {
            possibly_written: possibly_written(cell),
            also,
            ..end(Status::Cancelled)
        }),
    }
}

/// The charger is connected elsewhere now: what was on its way there is due again, at once.
fn displaced(cell: Cell) -> Outcome {
    match (cell.status, cell.class) {
        (Status::Sent, _) => applied(back_to_queue(Timer::Clear)),
        (Status::Delivered, RedeliveryClass::Safe) if cell.attempts_left => applied(Change {
            attempt_over: Some(AttemptOutcome::Displaced),
            ..back_to_queue(Timer::Clear)
        }),
        (Status::Delivered, RedeliveryClass::Unsafe) => applied(Change {
            place: Place::Aside,
            ..stay(Status::Delivered)
        }),
        _ => told(Verdict::Repeated),
    }
}

/// An unsafe command that is not out was surely not written: it is written under a grant only.
fn possibly_written(cell: Cell) -> bool {
    cell.class == RedeliveryClass::Safe && cell.exposed
}

fn stay(to: Status) -> Change {
    Change {
        to,
        reason: None,
        possibly_written: false,
        attempts: Attempts::Keep,
        place: Place::Keep,
        timer: Timer::Keep,
        mark: None,
        also: Also::Nothing,
        attempt_over: None,
    }
}

fn back_to_queue(timer: Timer) -> Change {
    Change {
        place: Place::Queue,
        timer,
        ..stay(Status::Pending)
    }
}

fn end(to: Status) -> Change {
    Change {
        place: Place::Gone,
        timer: Timer::Clear,
        ..stay(to)
    }
}

fn applied(change: Change) -> Outcome {
    Outcome {
        verdict: Verdict::Applied,
        change: Some(change),
    }
}

fn noted(change: Change) -> Outcome {
    Outcome {
        verdict: Verdict::Noted,
        change: Some(change),
    }
}

fn told(verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        change: None,
    }
}
