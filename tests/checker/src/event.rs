//! What the histories tell, a type a kind of line. Leaves out how lines are read (`read`) and what they mean together
//! (`world`). Times named `m_us` are the machine's monotonic clock, those named `now_us`, `ended_us`, `deadline_us`
//! and `redis_upper_us` are Redis time, all in microseconds.

use crate::symbols::Sym;

mod words;

pub use around::{Audit, Heal, Inject, Mark, Pass, Record, Repair};
pub use words::{Kind, Lane, Milestone, Reason, Said, Seen, State, Verdict};

/// A record's topic, partition and offset.
pub type Place = (Sym, i64, i64);

/// Where and when a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct At {
    /// The machine's monotonic clock: comparable across processes.
    pub m_us: u64,
    /// The wall clock of the process, which a fault may have skewed.
    pub t_us: u64,
    /// The number of the file.
    pub file: u16,
    /// The line, counted from 1.
    pub line: u32,
    /// The name of the process.
    pub process: Sym,
    /// The process: a name may have several lives.
    pub pid: u32,
}

impl At {
    /// The same life of the same process wrote both lines.
    #[must_use]
    pub fn same_process(&self, other: &Self) -> bool {
        (self.process, self.pid) == (other.process, other.pid)
    }
}

/// A line with its place.
pub trait Placed {
    /// Where and when it was written.
    fn at(&self) -> &At;
}

/// Declares the types of lines: each has its place and the fields that the judges use.
macro_rules! lines {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            /// Where and when.
            pub at: At,
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl Placed for $name {
            fn at(&self) -> &At {
                &self.at
            }
        }
    )*};
}

// Behind the macro, which it uses.
mod around;

lines! {
    /// A caller sends a command.
    Call {
        /// Its number.
        n: u64,
        /// The idempotency key, or none.
        key: Sym,
        /// The charger.
        cp: Sym,
        /// The action.
        action: Sym,
        /// Unsafe to repeat.
        is_unsafe: bool,
        /// When to give up, 0 for the default.
        deadline_us: u64,
        /// Stands for the payload.
        payload: Sym,
    }
    /// What the call came to.
    Reply {
        /// The call's number.
        n: u64,
        /// Accepted.
        ok: bool,
        /// The code of a refusal: lower case, letters only.
        code: Sym,
        /// What the refusal says, if told.
        why: Sym,
        /// The command.
        id: Sym,
    }
    /// A caller reads a command.
    Get {
        /// The command.
        id: Sym,
        /// None if there is no such command.
        state: Option<State>,
        /// Why it failed.
        reason: Option<Reason>,
        /// What the charger said.
        answer: Option<Said>,
        /// When it ended, 0 if it did not.
        ended_us: u64,
        /// The charger may have received it, if told.
        possibly_written: Option<bool>,
    }
    /// A connection got a version.
    Registered {
        /// The charger.
        cp: Sym,
        /// The pod.
        pod: Sym,
        /// Its life.
        inc: u64,
        /// The registration's number within that life.
        seq: u64,
        /// The version.
        version: u64,
        /// When.
        now_us: u64,
    }
    /// The store gave an edge's life its lease, or renewed it.
    Leased {
        /// The pod.
        pod: Sym,
        /// Its life.
        inc: u64,
        /// Until when, by Redis time.
        expires_us: u64,
    }
    /// A connection was given up.
    Unregistered {
        /// The charger.
        cp: Sym,
        /// The version.
        version: u64,
        /// It was the current one.
        applied: bool,
        /// When, if told.
        now_us: Option<u64>,
    }
    /// A command was claimed and is on its way.
    Dispatch {
        /// The command.
        id: Sym,
        /// The charger.
        cp: Sym,
        /// The number of the claim.
        dispatch: u64,
        /// The version that it is for.
        version: u64,
    }
    /// The store decided about an event.
    Applied {
        /// The command.
        id: Sym,
        /// Which event.
        kind: Kind,
        /// The dispatch that it names, 0 for none.
        dispatch: u64,
        /// The version that it names.
        version: u64,
        /// The decision.
        verdict: Verdict,
        /// The state afterwards, if told.
        status: Option<State>,
        /// When.
        now_us: u64,
    }
    /// A command ended.
    Ended {
        /// The command.
        id: Sym,
        /// How.
        state: State,
        /// When.
        now_us: u64,
    }
    /// A round over the timers handled a command, or held it back.
    Swept {
        /// The command.
        id: Sym,
        /// When.
        now_us: u64,
    }
    /// An end was put on Kafka.
    Published {
        /// The command.
        id: Sym,
        /// As a dead letter too.
        dead: bool,
    }
    /// A record that cannot be read was put aside.
    Quarantine {
        /// The topic.
        topic: Sym,
        /// The partition.
        partition: i64,
        /// The offset.
        offset: i64,
    }
    /// A charger connected.
    Open {
        /// The charger.
        cp: Sym,
        /// The socket.
        socket: u64,
    }
    /// A charger's connection is over.
    Close {
        /// The charger.
        cp: Sym,
        /// The socket.
        socket: u64,
    }
    /// An edge learned a connection's version.
    Versioned {
        /// The charger.
        cp: Sym,
        /// The socket.
        socket: u64,
        /// The version.
        version: u64,
    }
    /// An edge has a lease.
    Lease {
        /// Its life.
        inc: u64,
        /// Until when.
        until_m_us: u64,
    }
    /// An edge's lease is over.
    Lapsed {
        /// Its life.
        inc: u64,
    }
    /// A record reached its connection.
    Taken {
        /// The command.
        id: Sym,
        /// The charger.
        cp: Sym,
        /// The claim.
        dispatch: u64,
    }
    /// A socket took no byte of a CALL that was about to be written.
    Unwritten {
        /// The command.
        id: Sym,
        /// The charger.
        cp: Sym,
        /// The socket.
        socket: u64,
    }
    /// A CALL is about to be written.
    Write {
        /// The command.
        id: Sym,
        /// The charger.
        cp: Sym,
        /// The socket.
        socket: u64,
        /// The connection's version.
        version: u64,
        /// The claim.
        dispatch: u64,
        /// The edge's life.
        inc: u64,
        /// Which write it is.
        attempt: u32,
        /// Unsafe to repeat.
        is_unsafe: bool,
        /// The nonce of the grant that it rests on, if it rests on one.
        nonce: Option<u64>,
        /// 0 low to 3 urgent.
        priority: u8,
        /// When to give up.
        deadline_us: u64,
        /// The latest that Redis time can be, as the edge believes.
        redis_upper_us: u64,
        /// The end of the edge's lease, as it believes.
        lease_until_m_us: u64,
    }
    /// An edge heard an answer.
    Answered {
        /// The command.
        id: Sym,
        /// The charger.
        cp: Sym,
        /// The socket.
        socket: u64,
    }
    /// A canary came round.
    Canary {
        /// On which lane.
        lane: Lane,
        /// Its topic, partition and offset, if told.
        place: Option<Place>,
    }
    /// An edge changed its readiness.
    Ready {
        /// To what.
        value: bool,
    }
    /// A line of the chargers' log.
    Charger {
        /// The charger.
        cp: Sym,
        /// What it tells of.
        seen: Seen,
        /// The messageId, which is the command's id.
        id: Sym,
        /// The action of a CALL, if told.
        action: Sym,
        /// Its payload, as it is.
        payload: Sym,
        /// What a reply says.
        said: Option<Said>,
    }
}
