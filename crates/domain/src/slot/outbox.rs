//! What leaves a slot: results in order, and kicks and cancels until their edge confirmed them.

use super::SlotModel;
use crate::command::{Answer, Attempt, Command};
use crate::ids::{ChargePointId, CommandId, Incarnation, Micros, PodId, Version};

/// One entry of the outbox: the command as it was when the entry was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboxEntry {
    /// What happened.
    pub kind: OutboxKind,
    /// To which command.
    pub command: Command,
    /// Of a dead letter: its newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The OCPP subprotocol of the charger's last connection, empty if it never had one.
    pub ocpp_version: String,
}

/// What an outbox entry reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OutboxKind {
    /// The command ended.
    Ended {
        /// It is also a dead letter.
        dead_letter: bool,
    },
    /// The charger answered a command that had ended otherwise.
    LateAnswer(Answer),
}

/// A kick or a cancel on its way to one life of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// The pod.
    pub pod: PodId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Which of the two.
    pub kind: NoteKind,
    /// Not sent again before this.
    pub next_send: Micros,
}

/// What a note asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// Close the connection of this version.
    Kick {
        /// The displaced version.
        version: Version,
        /// The one that displaced it.
        newer: Version,
    },
    /// Do not write this command.
    Cancel {
        /// The command.
        id: CommandId,
        /// How long to remember it.
        deadline: Micros,
    },
}

impl Note {
    /// Its name among the charger's notes; an edge confirms it by this name.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.kind {
            NoteKind::Kick { version, .. } => format!("kick:{}:{version}", self.incarnation),
            NoteKind::Cancel { id, .. } => format!("cancel:{id}"),
        }
    }
}

impl SlotModel {
    /// The first entries of the outbox, in order.
    #[must_use]
    pub fn outbox_head(&self, limit: usize) -> Vec<(u64, OutboxEntry)> {
        self.outbox
            .iter()
            .take(limit)
            .map(|(n, e)| (*n, e.clone()))
            .collect()
    }

    /// Removes what the broker confirmed.
    pub fn outbox_done(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.outbox.remove(number);
        }
    }

    /// Notes that are due to be sent, marked as sent now; those that waited longest come first, so that no
    /// number of unconfirmed notes keeps another from being sent.
    pub fn notes_to_send(&mut self, now: Micros, limit: usize) -> Vec<(ChargePointId, Note)> {
        let again = now.plus(self.settings.note_resend_us);
        let mut due: Vec<_> = self
            .notes
            .iter_mut()
            .filter(|(_, n)| n.next_send <= now)
            .collect();
        due.sort_by_key(|(_, n)| n.next_send);
        let send = |((id, _), note): (&(ChargePointId, String), &mut Note)| {
            note.next_send = again;
            (id.clone(), note.clone())
        };
        due.into_iter().take(limit).map(send).collect()
    }

    /// Removes a note that its edge confirmed, or whose pod has no such life any more.
    pub fn note_done(&mut self, id: &ChargePointId, name: &str) -> bool {
        self.notes.remove(&(id.clone(), name.to_owned())).is_some()
    }

    pub(super) fn push_outbox(&mut self, entry: OutboxEntry) {
        self.outbox_numbers += 1;
        self.outbox.insert(self.outbox_numbers, entry);
    }
}
