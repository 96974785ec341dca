//! What is told of the surroundings of a command: what readers of topics found, the auditor, the faults, the sweepers.

use super::{At, Milestone, Place, Placed, Reason, State};
use crate::symbols::Sym;

lines! {
    /// A record that a reader of the results or dead letters found.
    Record {
        /// On the topic of the dead letters.
        dead: bool,
        /// The topic.
        topic: Sym,
        /// The partition.
        partition: i64,
        /// The offset.
        offset: i64,
        /// The command.
        id: Sym,
        /// Its unique id.
        record_id: Sym,
        /// The charger.
        cp: Sym,
        /// Its number among the charger's results.
        seq: u64,
        /// How the command ended.
        state: State,
        /// Why it failed.
        reason: Option<Reason>,
        /// The charger may have received it, if told.
        possibly_written: Option<bool>,
    }
    /// What the auditor saw.
    Audit {
        /// Open commands.
        open: u64,
        /// Those without a timer.
        untimed: u64,
        /// Those with two.
        doubly_timed: u64,
        /// What else is wrong.
        findings: Vec<String>,
    }
    /// A fault begins.
    Inject {
        /// What.
        kind: Sym,
        /// To whom.
        target: Sym,
        /// The poison record's topic, partition and offset, if told.
        place: Option<Place>,
    }
    /// A fault is over.
    Heal {
        /// What.
        kind: Sym,
        /// To whom.
        target: Sym,
    }
    /// A milestone of the run.
    Mark {
        /// Which.
        milestone: Milestone,
    }
    /// A sweeper mends something.
    Repair {
        /// What, in words.
        what: Sym,
        /// What it is about: a command, a charger, a slot or a pod.
        about: Sym,
        /// The pod, if one is named.
        pod: Sym,
        /// Its life, or 0.
        inc: u64,
        /// The version of the connection, or 0.
        version: u64,
        /// It still was as the sweeper had seen it.
        applied: bool,
        /// When.
        now_us: u64,
    }
    /// A sweeper's pass.
    Pass {
        /// It begins, or has come to its end.
        begins: bool,
    }
}
