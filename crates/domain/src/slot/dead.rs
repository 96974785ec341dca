//! Dead letters: commands that failed or expired. They stay longer than other ended commands, with everything
//! that was tried; beyond the slot's bound the oldest leave. They are replayed as new commands, and purged.

use super::{AcceptReply, Call, SlotModel, TooLate, in_time};
use crate::command::{
    Attempt, Command, Deadline, FailureReason, IdempotencyKey, RedeliveryClass, Request, Status,
};
use crate::ids::{CommandId, Micros};

/// Why a command is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    /// Every attempt was written, none was answered.
    NoAnswer,
    /// Unsafe to repeat, possibly written, never answered.
    OutcomeUnknown,
    /// The deadline passed.
    Expired,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::NoAnswer, Self::OutcomeUnknown, Self::Expired];

    /// The reason of a command; none if it is no dead letter.
    #[must_use]
    pub fn of(command: &Command) -> Option<Self> {
        match (command.progress.status, command.progress.reason) {
            (Status::Expired, _) => Some(Self::Expired),
            (Status::Failed, Some(FailureReason::OutcomeUnknown)) => Some(Self::OutcomeUnknown),
            (Status::Failed, _) => Some(Self::NoAnswer),
            _ => None,
        }
    }

    /// The letter that stands for it in the scripts.
    #[must_use]
    pub fn code(self) -> char {
        match self {
            Self::NoAnswer => 'n',
            Self::OutcomeUnknown => 'u',
            Self::Expired => 'e',
        }
    }
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The command as it ended, with its payload.
    pub command: Command,
    /// The newest attempts, oldest first; `command.progress.attempts` says how many writes there were.
    pub attempts: Vec<Attempt>,
    /// The command that replays it.
    pub replayed_as: Option<CommandId>,
}

impl DeadLetter {
    /// Why it is one; none for a value that was not read from a slot.
    #[must_use]
    pub fn reason(&self) -> Option<DeadLetterReason> {
        DeadLetterReason::of(&self.command)
    }

    /// The request that replays it as `id`: the same action for the same charger, under the dead letter's id as
    /// the key. `content_hash` is the hash that a caller's own request with that key would have.
    #[must_use]
    pub fn replay(&self, id: CommandId, deadline: Deadline, content_hash: String) -> Request {
        let of = &self.command.request;
        Request {
            id,
            deadline,
            idempotency: Some(IdempotencyKey {
                key: of.id.to_string(),
                content_hash,
            }),
            replay_of: Some(of.id),
            ..of.clone()
        }
    }
}

/// Asks for a dead letter to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// From [`DeadLetter::replay`]; its `replay_of` names the dead letter.
    pub request: Request,
    /// Permits to replay a command that is unsafe to repeat.
    pub allow_unsafe: bool,
}

/// What a replay is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayReply {
    /// It went to acceptance; `Known` if the dead letter had been replayed before, as that command.
    Tried(AcceptReply),
    /// There is no such command, or not for this charger.
    NotFound,
    /// The command has not failed or expired.
    NotADeadLetter,
    /// The command is unsafe to repeat, which was not permitted.
    UnsafeToRepeat,
}

/// What the slot keeps of a dead letter beside its command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeadEntry {
    /// When it is forgotten.
    pub forget: Micros,
    /// The command that replays it.
    pub replayed_as: Option<CommandId>,
}

/// Dead letters that one timer round forgets at most.
pub const FORGOTTEN_A_ROUND: usize = 100;

impl SlotModel {
    /// A dead letter; none if the command is unknown or no dead letter.
    #[must_use]
    pub fn dead_letter(&self, id: CommandId) -> Option<DeadLetter> {
        let command = self.commands.get(&id)?;
        DeadLetterReason::of(command)?;
        Some(DeadLetter {
            command: command.clone(),
            attempts: self.attempts.get(&id).cloned().unwrap_or_default(),
            replayed_as: self.dead_letters.get(&id).and_then(|d| d.replayed_as),
        })
    }

    /// Accepts a command that replays a dead letter. The dead letter remembers it, so that a repetition is
    /// answered with the same command, also when the key's retention is over.
    pub fn replay(&mut self, replay: Replay, call: &Call) -> Result<ReplayReply, TooLate> {
        in_time(call)?;
        let charge_point = &replay.request.charge_point;
        let Some(of) = replay.request.replay_of.and_then(|id| self.commands.get(&id)) else {
            return Ok(ReplayReply::NotFound);
        };
        if of.request.charge_point != *charge_point {
            return Ok(ReplayReply::NotFound);
        }
        if DeadLetterReason::of(of).is_none() {
            return Ok(ReplayReply::NotADeadLetter);
        }
        let (of, class) = (of.request.id, of.request.class);
        if let Some(id) = self.dead_letters.get(&of).and_then(|d| d.replayed_as) {
            let status = self.commands.get(&id).map(|c| c.progress.status);
            return Ok(ReplayReply::Tried(AcceptReply::Known { id, status }));
        }
        if class == RedeliveryClass::Unsafe && !replay.allow_unsafe {
            return Ok(ReplayReply::UnsafeToRepeat);
        }
        let id = replay.request.id;
        let reply = self.accept(replay.request, call)?;
        let replayed_as = match &reply {
            AcceptReply::Accepted { .. } => Some(id),
            AcceptReply::Known { id, .. } => Some(*id),
            AcceptReply::Refused(_) => None,
        };
        if let Some(entry) = self.dead_letters.get_mut(&of) {
            entry.replayed_as = replayed_as;
        }
        Ok(ReplayReply::Tried(reply))
    }

    /// Removes dead letters with their commands; returns those that were there and were dead letters.
    pub fn purge(&mut self, ids: &[CommandId], call: &Call) -> Result<Vec<CommandId>, TooLate> {
        in_time(call)?;
        let mut purged = Vec::new();
        for id in ids {
            if self.dead_letter(*id).is_some() && self.forget(*id) {
                purged.push(*id);
            }
        }
        Ok(purged)
    }

    /// Keeps an ended command as a dead letter; beyond the bound, the oldest leaves.
    pub(super) fn bury(&mut self, id: CommandId, now: Micros) {
        let entry = DeadEntry {
            forget: now.plus(self.settings.dead_letter_retention_us),
            replayed_as: None,
        };
        self.dead_letters.insert(id, entry);
        if self.dead_letters.len() > self.settings.max_dead_letters as usize
            && let Some(oldest) = self.oldest_dead_letters().first()
        {
            self.forget(*oldest);
        }
    }

    /// Forgets dead letters whose retention ended.
    pub(super) fn forget_dead_letters(&mut self, now: Micros) {
        let over = |id: &CommandId| self.dead_letters.get(id).is_some_and(|d| d.forget <= now);
        let gone: Vec<CommandId> = self
            .oldest_dead_letters()
            .into_iter()
            .filter(over)
            .take(FORGOTTEN_A_ROUND)
            .collect();
        for id in gone {
            self.forget(id);
        }
    }

    fn oldest_dead_letters(&self) -> Vec<CommandId> {
        let mut all: Vec<_> = self
            .dead_letters
            .iter()
            .map(|(id, d)| (d.forget, id.to_string(), *id))
            .collect();
        all.sort();
        all.into_iter().map(|(_, _, id)| id).collect()
    }

    fn forget(&mut self, id: CommandId) -> bool {
        self.dead_letters.remove(&id);
        self.attempts.remove(&id);
        self.commands.remove(&id).is_some()
    }
}
