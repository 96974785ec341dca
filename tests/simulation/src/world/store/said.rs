//! What the scripts reply, and how the digest and the trace tell of it.

use domain::command::Command;
use domain::dispatch::Lease;
use domain::ids::{ChargePointId, CommandId, LinkNumber};
use domain::slot::{AcceptReply, Applied, Claimed, Note, OutboxEntry, RegisterReply};

use super::leases::{RenewReply, TakeReply};

/// What a script replies.
#[derive(Debug)]
pub(crate) enum Said {
    Accepted(AcceptReply),
    Registered(RegisterReply),
    /// Whether each is current, and what was claimed.
    Renewed(Vec<bool>, Vec<Claimed>),
    Applied(Vec<Applied>),
    Due {
        handled: Vec<CommandId>,
        claimed: Vec<Claimed>,
        leaving: usize,
    },
    Drained {
        held: bool,
        entries: Vec<(u64, OutboxEntry)>,
        notes: Vec<(ChargePointId, Note)>,
    },
    Done(bool),
    Command(Option<Box<Command>>),
    Linked(LinkNumber),
    Taken(TakeReply),
    LeaseRenewed(RenewReply),
    Lease(Option<Lease>),
    Leases(Vec<Lease>),
}

impl Said {
    /// What the digest keeps of it.
    pub(crate) fn code(&self) -> u64 {
        match self {
            Self::Accepted(AcceptReply::Accepted { claimed, .. }) => 100 + claimed.len() as u64,
            Self::Accepted(AcceptReply::Known { .. }) => 200,
            Self::Accepted(AcceptReply::Refused(_)) => 201,
            Self::Registered(RegisterReply::Registered { version, .. }) => version.0,
            Self::Registered(RegisterReply::Refused(_)) => 202,
            Self::Renewed(current, claimed) => 300 + (current.len() * 16 + claimed.len()) as u64,
            Self::Applied(applied) => applied.iter().fold(400, |code, one| {
                code.rotate_left(6)
                    ^ (one.verdict.map_or(9, |v| v as u64) * 8 + one.status.map_or(7, |s| s as u64))
            }),
            Self::Due {
                handled,
                claimed,
                leaving,
            } => 500 + (handled.len() * 4_096 + claimed.len() * 64 + leaving) as u64,
            Self::Drained { entries, notes, .. } => 600 + (entries.len() * 64 + notes.len()) as u64,
            Self::Done(done) => 700 + u64::from(*done),
            Self::Command(command) => command.as_ref().map_or(800, |c| c.progress.revision),
            Self::Linked(link) => link.0,
            Self::Taken(reply) => reply.code(),
            Self::LeaseRenewed(reply) => reply.code(),
            Self::Lease(lease) => lease.as_ref().map_or(900, |l| l.expires.0),
            Self::Leases(leases) => 1_000 + leases.len() as u64,
        }
    }

    /// Whether it says nothing new.
    pub(crate) fn is_dull(&self) -> bool {
        match self {
            Self::Due { handled, claimed, .. } => handled.is_empty() && claimed.is_empty(),
            Self::LeaseRenewed(RenewReply::Renewed { .. }) | Self::Leases(_) | Self::Lease(_) => true,
            Self::Drained { entries, notes, .. } => entries.is_empty() && notes.is_empty(),
            _ => false,
        }
    }

    /// What the trace says of it.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Accepted(AcceptReply::Accepted { status, claimed }) => {
                format!("{status:?}, {}", claims(claimed))
            }
            Self::Accepted(AcceptReply::Known { id, status }) => format!("known {} {status:?}", short(*id)),
            Self::Registered(RegisterReply::Registered {
                version,
                claimed,
                kicked,
            }) => {
                let version = version.0 % 100_000_000;
                format!("v{version}, kicked {kicked}, {}", claims(claimed))
            }
            Self::Renewed(current, claimed) => format!("{current:?}, {}", claims(claimed)),
            Self::Applied(applied) => {
                let one = |a: &Applied| format!("{:?} {:?} {}", a.verdict, a.status, claims(&a.claimed));
                applied.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            Self::Due {
                handled,
                claimed,
                leaving,
            } => {
                let ids: Vec<_> = handled.iter().map(|id| short(*id)).collect();
                format!("handled {ids:?}, {}, {leaving} to leave", claims(claimed))
            }
            Self::Drained { held, entries, notes } => {
                format!("held {held}, {} entries, {} notes", entries.len(), notes.len())
            }
            Self::Command(command) => {
                let seen = command.as_ref().map(|c| (c.progress.status, c.progress.revision));
                format!("{seen:?}")
            }
            other => format!("{other:?}"),
        }
    }
}

/// What the trace says of claims.
fn claims(claimed: &[Claimed]) -> String {
    let name = |c: &Claimed| {
        let dispatch = c.command.progress.dispatch.0 % 100_000_000;
        format!("{}@{dispatch}", short(c.command.request.id))
    };
    let names: Vec<_> = claimed.iter().map(name).collect();
    format!("claims [{}]", names.join(" "))
}

/// The end of an id: what tells commands of one run apart.
pub(crate) fn short(id: CommandId) -> String {
    let text = id.to_string();
    text.get(24..32).unwrap_or_default().to_owned()
}
