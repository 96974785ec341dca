//! All lines of a run, by kind, in the order of the machine's clock.

use crate::event::{
    Answered, Applied, Audit, Call, Canary, Charger, Close, Dispatch, Ended, Get, Heal, Inject, Lapsed,
    Lease, Leased, Mark, Open, Pass, Placed, Published, Quarantine, Ready, Record, Registered, Repair, Reply,
    Swept, Taken, Unregistered, Unwritten, Versioned, Write,
};

/// Declares the log: a vector a kind of line, and how to put all of them in order.
macro_rules! log {
    ($($(#[$doc:meta])* $field:ident: $line:ident,)*) => {
        /// The lines of a run.
        #[derive(Debug, Default)]
        pub struct Log {
            $($(#[$doc])* pub $field: Vec<$line>,)*
        }

        impl Log {
            /// Puts every kind in the order of the machine's clock; a file's own order holds among equal times.
            pub fn sort(&mut self) {
                $(self.$field.sort_by_key(|line| {
                    let at = line.at();
                    (at.m_us, at.file, at.line)
                });)*
            }
        }
    };
}

log! {
    /// Calls of `SendCommand`.
    calls: Call,
    /// Their replies.
    replies: Reply,
    /// Reads of commands.
    gets: Get,
    /// Connections that got a version.
    registered: Registered,
    /// Leases that the store gave.
    leased: Leased,
    /// Connections given up.
    unregistered: Unregistered,
    /// Claims on their way.
    dispatches: Dispatch,
    /// Decisions of the store.
    applied: Applied,
    /// Ends.
    ended: Ended,
    /// Timers that a round handled.
    swept: Swept,
    /// Ends put on Kafka.
    published: Published,
    /// Poison put aside.
    quarantines: Quarantine,
    /// Chargers that connected to an edge.
    opens: Open,
    /// Chargers that left it.
    closes: Close,
    /// Versions that edges learned.
    versions: Versioned,
    /// Leases that edges got.
    leases: Lease,
    /// Leases that edges lost.
    lapsed: Lapsed,
    /// Records that reached their connection.
    taken: Taken,
    /// CALLs about to be written.
    writes: Write,
    /// Those of which no byte was written.
    unwritten: Unwritten,
    /// Answers that edges heard.
    answers: Answered,
    /// Canaries that came round.
    canaries: Canary,
    /// Changes of readiness.
    readies: Ready,
    /// The chargers' own log.
    chargers: Charger,
    /// Records on the result topics.
    records: Record,
    /// The auditor's lines.
    audits: Audit,
    /// Faults that began.
    injects: Inject,
    /// Faults that ended.
    heals: Heal,
    /// The milestones of the run.
    marks: Mark,
    /// Sweepers' passes.
    passes: Pass,
    /// What sweepers mended.
    repairs: Repair,
}
