//! Timers and what leaves the store: due rounds, the outbox and the notes.

use domain::command::Answer;
use domain::ids::{ChargePointId, CommandId, Incarnation, Micros, Slot, Version};
use domain::slot::{Claimed, Note, NoteKind, OutboxEntry, OutboxKind};

use crate::keys::Place;
use crate::reply::{Reader, Reply};
use crate::{Store, StoreError, scripts};

/// What a timer round did, and what the slot holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRound {
    /// Commands whose timer was handled or held back; as many as the limit means that more may be due.
    pub handled: Vec<CommandId>,
    /// Dispatches that the round claimed.
    pub claimed: Vec<Claimed>,
    /// Entries in the outbox.
    pub outbox: u64,
    /// Notes that wait for their confirmation.
    pub notes: u64,
    /// When the next timer is due; none without open commands.
    pub next_due: Option<Micros>,
    /// Entries that the outbox ever had: every end of a command made one.
    pub outbox_numbers: u64,
}

/// What is known of a slot without a round over its timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The slot.
    pub slot: Slot,
    /// It has open commands, whose rounds must not stop, something to leave, or something to forget.
    pub wants_round: bool,
    /// As a round tells it.
    pub outbox_numbers: u64,
}

/// What is to leave the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainReply {
    /// False: another drainer holds the slot, and there is nothing here.
    pub held: bool,
    /// The head of the outbox, in order, with the numbers for `trim`.
    pub entries: Vec<(u64, OutboxEntry)>,
    /// Notes that are due to be sent; they come again until they are confirmed.
    pub notes: Vec<(ChargePointId, Note)>,
}

impl Store {
    /// Handles up to `limit` timers of a slot that are due, and forgets some listings whose retention ended.
    pub async fn run_due(&self, slot: Slot, limit: usize) -> Result<Reply<DueRound>, StoreError> {
        self.run_overdue(slot, limit, 0).await
    }

    /// The same for timers that have been due for `late_us`: whoever should leave them to others takes only these.
    pub async fn run_overdue(
        &self,
        slot: Slot,
        limit: usize,
        late_us: u64,
    ) -> Result<Reply<DueRound>, StoreError> {
        let read = |r: &mut Reader| {
            let round = DueRound {
                handled: r.list(Reader::command_id)?,
                claimed: r.claimed()?,
                outbox: r.number()?,
                notes: r.number()?,
                next_due: match r.text()?.as_str() {
                    "" => None,
                    text => Some(Micros(text.parse().map_err(|_| r.error("next timer"))?)),
                },
                outbox_numbers: r.number()?,
            };
            Ok((round, [r.text()?, r.text()?]))
        };
        let mut args = vec![limit.to_string()];
        args.extend(self.core.swept(slot));
        args.push(late_us.to_string());
        let reply = self.call(scripts::RUN_DUE, Place::Slot(slot), args, read).await?;
        self.core.set_swept(slot, reply.value.1.clone());
        Ok(reply.map(|(round, _)| round))
    }

    /// Looks at several slots in one call, for which they must lie on one server: a cluster refuses it. A slot in which
    /// this process walks over listings to forget wants rounds until it is through.
    pub async fn look_at(&self, slots: &[Slot]) -> Result<Vec<Look>, StoreError> {
        let Some(first) = slots.first() else {
            return Ok(vec![]);
        };
        let read = |r: &mut Reader| {
            let look = |slot: &Slot| {
                Ok(Look {
                    slot: *slot,
                    wants_round: r.flag()? || self.core.swept(*slot) != <[String; 2]>::default(),
                    outbox_numbers: r.number()?,
                })
            };
            slots.iter().map(look).collect()
        };
        let base = |slot: &Slot| self.core.keys.base(Place::Slot(*slot));
        let bases = slots.iter().map(base).collect();
        let reply = self
            .call(scripts::LOOK_AT_SLOTS, Place::Slot(*first), bases, read)
            .await?;
        Ok(reply.value)
    }

    /// Takes or renews the drain lease of a slot for `holder` and reads what is to leave: the entries after the number
    /// `after`, 0 for all. Who finds nothing has no lease afterwards, unless it had one and reads after a number. Behind the barrier: everything returned is durable, so it may be produced. Runs also while
    /// Redis is out of memory.
    pub async fn drain(
        &self,
        slot: Slot,
        holder: &str,
        limit: usize,
        after: u64,
    ) -> Result<Reply<DrainReply>, StoreError> {
        let lease_us = self.core.config.drain_lease_ms.saturating_mul(1_000);
        let args = vec![
            holder.to_owned(),
            lease_us.to_string(),
            limit.to_string(),
            after.to_string(),
        ];
        self.call(scripts::DRAIN, Place::Slot(slot), args, read_drain)
            .await
    }

    /// Removes outbox entries that the broker confirmed, and notes whose pod has no such life any more; gives the
    /// drain lease back if `holder` has it. True: entries are left.
    pub async fn trim(
        &self,
        slot: Slot,
        holder: &str,
        numbers: &[u64],
        notes: &[(ChargePointId, String)],
    ) -> Result<Reply<bool>, StoreError> {
        let mut args = vec![holder.to_owned(), numbers.len().to_string()];
        args.extend(numbers.iter().map(u64::to_string));
        args.extend(notes.iter().map(|(id, name)| note_member(id, name)));
        self.call(scripts::TRIM, Place::Slot(slot), args, Reader::flag)
            .await
    }

    /// Removes a note that its edge confirmed; false if there was none.
    pub async fn note_done(&self, id: &ChargePointId, name: &str) -> Result<Reply<bool>, StoreError> {
        self.call(
            scripts::CONFIRM_NOTE,
            self.place_of(id),
            vec![note_member(id, name)],
            Reader::flag,
        )
        .await
    }
}

fn note_member(id: &ChargePointId, name: &str) -> String {
    format!("{id}\n{name}")
}

fn read_drain(r: &mut Reader) -> Result<DrainReply, StoreError> {
    let held = r.flag()?;
    let entries = r.list(read_entry)?;
    let notes = r.list(read_note)?;
    Ok(DrainReply { held, entries, notes })
}

pub(crate) fn read_entry(r: &mut Reader) -> Result<(u64, OutboxEntry), StoreError> {
    let number = r.number()?;
    let (kind, answer, attempts, ocpp_version) = (r.text()?, r.answer()?, r.attempts()?, r.text()?);
    let kind = match (kind.as_str(), answer) {
        ("end", _) => OutboxKind::Ended { dead_letter: false },
        ("dead", _) => OutboxKind::Ended { dead_letter: true },
        ("late", answer) => OutboxKind::LateAnswer(answer.unwrap_or(Answer::Result(String::new()))),
        _ => return Err(r.error("unknown outbox entry")),
    };
    Ok((
        number,
        OutboxEntry {
            kind,
            command: r.command()?,
            attempts,
            ocpp_version,
        },
    ))
}

pub(crate) fn read_note(r: &mut Reader) -> Result<(ChargePointId, Note), StoreError> {
    let charge_point = r.charge_point()?;
    let (pod, incarnation) = (r.pod()?, Incarnation(r.number()?));
    let kind = match r.text()?.as_str() {
        "kick" => NoteKind::Kick {
            version: Version(r.number()?),
            newer: Version(r.number()?),
        },
        "cancel" => NoteKind::Cancel {
            id: r.command_id()?,
            deadline: r.micros()?,
        },
        _ => return Err(r.error("unknown note")),
    };
    Ok((
        charge_point,
        Note {
            pod,
            incarnation,
            kind,
            next_send: r.micros()?,
        },
    ))
}
