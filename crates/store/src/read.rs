//! Reading commands, connections and counts. A command is read behind the barrier, because its end must not
//! be seen before it is durable.

use domain::command::{Command, Status};
use domain::ids::{ChargePointId, CommandId, Micros, PodId, Slot};
use domain::slot::Device;

use crate::keys::Place;
use crate::reply::{Reader, Reply};
use crate::scripts::Script;
use crate::{Store, StoreError, scripts};

/// Which commands to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandFilter {
    /// Only this charger's.
    pub charge_point: Option<ChargePointId>,
    /// Only these; empty means all. Dead letters are `Failed` and `Expired`.
    pub statuses: Vec<Status>,
    /// Only those accepted at or after this.
    pub created_after: Option<Micros>,
    /// Only those accepted before this.
    pub created_before: Option<Micros>,
}

/// A page of commands, by slot, charger and id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandPage {
    /// The commands. The payload is there while a command is open, and of dead letters.
    pub commands: Vec<Command>,
    /// Where the next page starts; none after the last.
    pub next: Option<String>,
}

/// A charger and what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The charger.
    pub charge_point: ChargePointId,
    /// Its record.
    pub device: Device,
}

/// A page of connections, by slot and end of the registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionPage {
    /// The connections, each with the time of its server when it was read. One that was renewed meanwhile may come
    /// twice.
    pub connections: Vec<(Connection, Micros)>,
    /// Where the next page starts; none after the last.
    pub next: Option<String>,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotCount {
    /// Open commands.
    pub open: u64,
    /// Open and retained commands.
    pub commands: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Connected chargers, the lapsed ones included.
    pub connections: u64,
    /// Entries in the outbox.
    pub outbox: u64,
    /// Notes that wait for their confirmation.
    pub notes: u64,
    /// Timers that are due.
    pub overdue: u64,
}

impl Store {
    /// One command; none if it is unknown or its retention ended.
    pub async fn get_command(&self, id: CommandId) -> Result<Reply<Option<Command>>, StoreError> {
        let slot = id.slot(self.slots()).ok_or(StoreError::WrongSlot)?;
        let read = |r: &mut Reader| Ok(r.list(Reader::command)?.into_iter().next());
        self.call(
            scripts::GET_COMMAND,
            Place::Slot(slot),
            vec![id.to_string()],
            read,
        )
        .await
    }

    /// A page of open and retained commands. `after` is the `next` of the page before.
    pub async fn list_commands(
        &self,
        filter: &CommandFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<CommandPage, StoreError> {
        let listing = Listing {
            script: scripts::LIST_COMMANDS,
            of: filter.charge_point.as_ref(),
            filter: filter_args(filter),
            position,
        };
        let (commands, next) = self.walk(listing, after, limit, Reader::command).await?;
        let commands = commands.into_iter().map(|(command, _)| command).collect();
        Ok(CommandPage { commands, next })
    }

    /// One charger's record; none if it was never seen.
    pub async fn get_connection(
        &self,
        charge_point: &ChargePointId,
    ) -> Result<Reply<Option<Connection>>, StoreError> {
        let read = |r: &mut Reader| Ok(r.list(read_connection)?.into_iter().next());
        let args = vec![charge_point.to_string()];
        self.call(scripts::GET_CONNECTION, self.place_of(charge_point), args, read)
            .await
    }

    /// A page of connected chargers. `after` is the `next` of the page before.
    pub async fn list_connections(
        &self,
        pod: Option<&PodId>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ConnectionPage, StoreError> {
        let listing = Listing {
            script: scripts::LIST_CONNECTIONS,
            of: None,
            filter: vec![pod.map_or(String::new(), ToString::to_string)],
            position: connection_position,
        };
        let (connections, next) = self.walk(listing, after, limit, read_connection).await?;
        Ok(ConnectionPage { connections, next })
    }

    /// A page of a listing: slot after slot, from where the page before ended, until there are `limit`; each with
    /// the time of the server that told it.
    pub(crate) async fn walk<T>(
        &self,
        listing: Listing<'_>,
        after: Option<&str>,
        limit: usize,
        read: fn(&mut Reader) -> Result<T, StoreError>,
    ) -> Result<(Vec<(T, Micros)>, Option<String>), StoreError> {
        let only = listing.of.map(|c| self.slot_of(c).0);
        let mut at = Cursor::start(after, only)?;
        let last = only.unwrap_or(self.slots() - 1);
        let mut found = Vec::new();
        while at.slot <= last {
            let mut args = listing.filter.clone();
            args.extend((listing.position)(&at.rest)?);
            args.push((limit - found.len()).to_string());
            let both = |r: &mut Reader| Ok((r.list(read)?, r.text()?));
            let place = Place::Slot(Slot(at.slot));
            let reply = self.call(listing.script, place, args, both).await?;
            let (some, next) = reply.value;
            found.extend(some.into_iter().map(|one| (one, reply.redis_now)));
            at = at.step(next);
            if found.len() >= limit {
                return Ok((found, (at.slot <= last).then(|| at.text())));
            }
        }
        Ok((found, None))
    }

    /// Counts what a slot holds.
    pub async fn count_slot(&self, slot: Slot) -> Result<Reply<SlotCount>, StoreError> {
        let read = |r: &mut Reader| {
            Ok(SlotCount {
                open: r.number()?,
                commands: r.number()?,
                dead_letters: r.number()?,
                connections: r.number()?,
                outbox: r.number()?,
                notes: r.number()?,
                overdue: r.number()?,
            })
        };
        self.call(scripts::COUNT_SLOT, Place::Slot(slot), vec![], read)
            .await
    }
}

pub(crate) fn read_connection(r: &mut Reader) -> Result<Connection, StoreError> {
    Ok(Connection {
        charge_point: r.charge_point()?,
        device: r.device()?,
    })
}

fn filter_args(filter: &CommandFilter) -> Vec<String> {
    let time = |t: Option<Micros>| t.map_or(String::new(), |t| t.to_string());
    vec![
        filter
            .charge_point
            .as_ref()
            .map_or(String::new(), ToString::to_string),
        filter.statuses.iter().map(|s| s.code()).collect(),
        time(filter.created_after),
        time(filter.created_before),
    ]
}

/// The charger and the id that a listing of commands goes on after.
fn position(rest: &str) -> Result<[String; 2], StoreError> {
    let (charge_point, id) = rest.split_once(':').unwrap_or((rest, ""));
    let fine = (charge_point.is_empty() || ChargePointId::parse(charge_point).is_ok())
        && (id.is_empty() || CommandId::parse(id).is_ok());
    fine.then(|| [charge_point.to_owned(), id.to_owned()])
        .ok_or(StoreError::Cursor)
}

/// The end of a registration, and the charger, that a listing of connections goes on after.
fn connection_position(rest: &str) -> Result<[String; 2], StoreError> {
    let (score, member) = rest.split_once(':').unwrap_or(("0", ""));
    score.parse::<u64>().map_err(|_| StoreError::Cursor)?;
    Ok([score.to_owned(), member.to_owned()])
}

/// What is listed.
pub(crate) struct Listing<'a> {
    /// The script that lists within a slot.
    pub(crate) script: Script,
    /// Only this charger's, which is in one slot.
    pub(crate) of: Option<&'a ChargePointId>,
    /// The script's first arguments.
    pub(crate) filter: Vec<String>,
    /// Reads where it goes on within a slot; the script's next arguments.
    pub(crate) position: fn(&str) -> Result<[String; 2], StoreError>,
}

/// Where a listing goes on: a slot, and the last thing seen in it.
struct Cursor {
    slot: u16,
    rest: String,
}

impl Cursor {
    /// Where a page starts: after the page before, or at the front; within one slot only, if so asked.
    fn start(after: Option<&str>, only: Option<u16>) -> Result<Self, StoreError> {
        let Some(text) = after else {
            return Ok(Self {
                slot: only.unwrap_or(0),
                rest: String::new(),
            });
        };
        let wrong = || StoreError::Cursor;
        let (slot, rest) = text.split_once('.').ok_or_else(wrong)?;
        let slot = slot.parse().map_err(|_| wrong())?;
        if only.is_some_and(|only| only != slot) {
            return Err(wrong());
        }
        Ok(Self {
            slot,
            rest: rest.to_owned(),
        })
    }

    fn text(&self) -> String {
        format!("{}.{}", self.slot, self.rest)
    }

    /// Goes on after `next`, or with the next slot if there is nothing more in this one.
    fn step(self, next: String) -> Self {
        if next.is_empty() {
            Self {
                slot: self.slot + 1,
                rest: String::new(),
            }
        } else {
            Self {
                slot: self.slot,
                rest: next,
            }
        }
    }
}
