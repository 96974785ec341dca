//! Dead letters: reading, replaying and purging them. They are read behind the barrier, as every command.

use domain::ids::{ChargePointId, CommandId, Micros, Slot};
use domain::slot::{DeadLetter, DeadLetterReason, Replay, ReplayReply};

use crate::delivery::{accept_args, read_accept};
use crate::keys::Place;
use crate::read::Listing;
use crate::reply::{Reader, Reply};
use crate::{Store, StoreError, flag, scripts};

/// Which dead letters to list; all conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only this charger's.
    pub charge_point: Option<ChargePointId>,
    /// Only of this OCPP action.
    pub action: Option<String>,
    /// Only these; empty means all.
    pub reasons: Vec<DeadLetterReason>,
    /// Only those that ended at or after this.
    pub ended_after: Option<Micros>,
    /// Only those that ended before this.
    pub ended_before: Option<Micros>,
}

/// A page of dead letters, by slot and end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The dead letters; a charger's oldest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page starts; none after the last. It belongs to the filter that it was given for.
    pub next: Option<String>,
}

/// What reading one dead letter finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundDeadLetter {
    /// There it is.
    Found(Box<DeadLetter>),
    /// The command is open, was answered or was cancelled.
    NotADeadLetter,
    /// The command is unknown, or its retention ended.
    NotFound,
}

impl Store {
    /// A page of dead letters. `after` is the `next` of the page before.
    pub async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLetterPage, StoreError> {
        let listing = Listing {
            script: scripts::LIST_DEAD_LETTERS,
            of: filter.charge_point.as_ref(),
            filter: filter_args(filter),
            position,
        };
        let (found, next) = self.walk(listing, after, limit, Reader::dead_letter).await?;
        let dead_letters = found.into_iter().map(|(dead_letter, _)| dead_letter).collect();
        Ok(DeadLetterPage { dead_letters, next })
    }

    /// One dead letter.
    pub async fn get_dead_letter(&self, id: CommandId) -> Result<Reply<FoundDeadLetter>, StoreError> {
        let slot = id.slot(self.slots()).ok_or(StoreError::WrongSlot)?;
        let read = |r: &mut Reader| match r.text()?.as_str() {
            "dead" => Ok(FoundDeadLetter::Found(Box::new(r.dead_letter()?))),
            "other" => Ok(FoundDeadLetter::NotADeadLetter),
            "unknown" => Ok(FoundDeadLetter::NotFound),
            other => Err(r.error(format!("unknown answer {other:?}"))),
        };
        let args = vec![id.to_string()];
        self.call(scripts::GET_DEAD_LETTER, Place::Slot(slot), args, read)
            .await
    }

    /// Accepts the command that replays a dead letter; both are of one slot. Behind the barrier. A repetition is
    /// answered with the command that the first one made, as long as the dead letter is kept.
    pub async fn replay(&self, replay: &Replay) -> Result<Reply<ReplayReply>, StoreError> {
        let request = &replay.request;
        let slot = self.slot_of(&request.charge_point);
        let of = request.replay_of.ok_or(StoreError::WrongSlot)?;
        if [request.id, of]
            .iter()
            .any(|id| id.slot(self.slots()) != Some(slot))
        {
            return Err(StoreError::WrongSlot);
        }
        let mut args = vec![of.to_string(), flag(replay.allow_unsafe)];
        args.extend(accept_args(request));
        let read = |r: &mut Reader| match r.text()?.as_str() {
            "tried" => read_accept(r).map(ReplayReply::Tried),
            "other" => Ok(ReplayReply::NotADeadLetter),
            "unknown" => Ok(ReplayReply::NotFound),
            "unsafe" => Ok(ReplayReply::UnsafeToRepeat),
            other => Err(r.error(format!("unknown answer {other:?}"))),
        };
        self.call(scripts::REPLAY_COMMAND, Place::Slot(slot), args, read)
            .await
    }

    /// Removes dead letters of one slot, with their commands, before their retention ends; returns those that
    /// were there and were dead letters. Behind the barrier: what is reported as removed does not come back.
    pub async fn purge_dead_letters(
        &self,
        slot: Slot,
        ids: &[CommandId],
    ) -> Result<Reply<Vec<CommandId>>, StoreError> {
        if ids.iter().any(|id| id.slot(self.slots()) != Some(slot)) {
            return Err(StoreError::WrongSlot);
        }
        let args = ids.iter().map(ToString::to_string).collect();
        let read = |r: &mut Reader| r.list(Reader::command_id);
        self.call(scripts::PURGE_DEAD_LETTERS, Place::Slot(slot), args, read)
            .await
    }
}

fn filter_args(filter: &DeadLetterFilter) -> Vec<String> {
    let time = |t: Option<Micros>| t.map_or(String::new(), |t| t.to_string());
    vec![
        filter
            .charge_point
            .as_ref()
            .map_or(String::new(), ToString::to_string),
        filter.reasons.iter().map(|r| r.code()).collect(),
        filter.action.clone().unwrap_or_default(),
        time(filter.ended_after),
        time(filter.ended_before),
    ]
}

/// The score and the id that a listing goes on after. Scripts compare the score as text, so it must be the very
/// text that a script returned.
fn position(rest: &str) -> Result<[String; 2], StoreError> {
    let (score, id) = rest.split_once(':').unwrap_or(("0", ""));
    let number: u64 = score.parse().map_err(|_| StoreError::Cursor)?;
    if !id.is_empty() {
        CommandId::parse(id).map_err(|_| StoreError::Cursor)?;
    }
    Ok([number.to_string(), id.to_owned()])
}
