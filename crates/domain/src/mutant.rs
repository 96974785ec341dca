//! Planted bugs: each is a small, plausible mistake in one of the pure functions, so that the harness can show
//! that it would notice. They exist only with the feature `mutants`, which no build without debug assertions
//! accepts; without it [`active`] is a constant and leaves nothing behind.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` plants bugs; it is for builds with debug assertions only");

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// Events are not compared with the dispatch that they speak of.
    SkipFence,
    /// A claim gets no timer.
    DropTimer,
    /// An answer ends a command that has ended.
    DoubleAck,
    /// An edge writes an unsafe command without having asked.
    ForgetIntent,
    /// A charger that comes back after its registration ended gets the version that it had.
    ReuseVersion,
    /// The end of a connection is not compared with the connection that is registered.
    BlindUnregister,
    /// An end leaves no entry in the outbox.
    SilentEnd,
    /// An unsafe command without an answer is tried again.
    RetryUnsafe,
    /// An edge does not look at the deadline before it writes.
    IgnoreDeadline,
    /// An edge does not look at its lease before it writes.
    StaleLease,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::SkipFence,
        Self::DropTimer,
        Self::DoubleAck,
        Self::ForgetIntent,
        Self::ReuseVersion,
        Self::BlindUnregister,
        Self::SilentEnd,
        Self::RetryUnsafe,
        Self::IgnoreDeadline,
        Self::StaleLease,
    ];

    /// Its name on command lines and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SkipFence => "skip-fence",
            Self::DropTimer => "drop-timer",
            Self::DoubleAck => "double-ack",
            Self::ForgetIntent => "forget-intent",
            Self::ReuseVersion => "reuse-version",
            Self::BlindUnregister => "blind-unregister",
            Self::SilentEnd => "silent-end",
            Self::RetryUnsafe => "retry-unsafe",
            Self::IgnoreDeadline => "ignore-deadline",
            Self::StaleLease => "stale-lease",
        }
    }

    /// The one of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// Whether this bug is planted in the process.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn active(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use planted::{active, plant};

#[cfg(feature = "mutants")]
mod planted {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Mutant;

    /// The number of the planted bug, from 1; 0 for none.
    static PLANTED: AtomicUsize = AtomicUsize::new(0);

    /// Whether this bug is planted in the process.
    #[must_use]
    pub fn active(mutant: Mutant) -> bool {
        PLANTED.load(Ordering::Relaxed) == mutant as usize + 1
    }

    /// Plants a bug in the whole process, or takes it out.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.store(mutant.map_or(0, |m| m as usize + 1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_name_of_its_own_and_none_is_planted() {
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::from_name(mutant.name()), Some(mutant));
            assert!(!active(mutant));
        }
    }
}
