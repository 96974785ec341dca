//! The charger's CALLs that are not answered yet, and the one answered last. Leaves out their content.
//!
//! A charger may repeat a messageId that got no answer (E16 §3.1, Part 4 §4.1.4). One still in work must not be
//! worked on twice; one already answered is worked on again, marked as a duplicate.

use crate::stable_hash::stable_hash;

/// The most CALLs a charger may have open. The standard allows one; 1.6 only recommends it, and buffered
/// messages are known to be sent in bursts.
const MAX_OPEN_CALLS: usize = 16;

/// What becomes of a charger's CALL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    New,
    AnsweredBefore,
    StillOpen,
    TooMany,
}

/// Unanswered ids, and the hash of the last answered one.
///
/// The list lives only while something is open. Of the last answered id a hash is enough: mistaking another for
/// it only sets a flag.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    #[expect(
        clippy::box_collection,
        reason = "a null pointer of 8 bytes while idle, where a Vec has 24"
    )]
    open: Option<Box<Vec<Box<str>>>>,
    last_answered: u64,
}

impl OpenCalls {
    /// Takes in a CALL, unless it is open already or too many are.
    pub(super) fn admit(&mut self, id: &str) -> Admission {
        let open = self.open.get_or_insert_default();
        if open.iter().any(|known| **known == *id) {
            return Admission::StillOpen;
        }
        if open.len() >= MAX_OPEN_CALLS {
            return Admission::TooMany;
        }
        open.push(id.into());
        if stable_hash(&[id]) == self.last_answered {
            Admission::AnsweredBefore
        } else {
            Admission::New
        }
    }

    /// Notes a CALL as answered.
    pub(super) fn close(&mut self, id: &str) {
        let Some(open) = &mut self.open else { return };
        let before = open.len();
        open.retain(|known| **known != *id);
        if open.len() < before {
            self.last_answered = stable_hash(&[id]);
        }
        if open.is_empty() {
            self.open = None;
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.len())
    }
}
