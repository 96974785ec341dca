//! The lines of each command.

use std::collections::HashMap;

use crate::event::{
    Answered, Applied, At, Call, Charger, Dispatch, Ended, Get, Published, Reason, Record, Reply, Said, Seen,
    State, Taken, Verdict, Write,
};
use crate::log::Log;
use crate::symbols::Sym;
use crate::world::{World, number, pick};

/// A command: where in the log its lines are.
#[derive(Debug, Default)]
pub struct Command {
    /// Its id.
    pub id: Sym,
    accepted: Option<(u32, u32)>,
    end: Option<End>,
    gets: Vec<u32>,
    dispatches: Vec<u32>,
    applied: Vec<u32>,
    ended: Vec<u32>,
    published: Vec<u32>,
    taken: Vec<u32>,
    writes: Vec<u32>,
    unwritten: Vec<u32>,
    answers: Vec<u32>,
    chargers: Vec<u32>,
    records: Vec<u32>,
}

/// A line that says that a command ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The line.
    pub at: At,
    /// How.
    pub state: State,
    /// Why it failed, where the line says so.
    pub reason: Option<Reason>,
    /// When, by Redis time, where the line says so.
    pub redis_us: Option<u64>,
}

/// What a call and its first acceptance say.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// The call.
    pub call: &'a Call,
    /// Its reply.
    pub reply: &'a Reply,
}

impl Command {
    /// The call that was answered with this command first.
    #[must_use]
    pub fn accepted<'a>(&self, world: &'a World) -> Option<Accepted<'a>> {
        let (call, reply) = self.accepted?;
        Some(Accepted {
            call: world.log.calls.get(call as usize)?,
            reply: world.log.replies.get(reply as usize)?,
        })
    }

    /// Reads of it.
    pub fn gets<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Get> {
        pick(&world.log.gets, &self.gets)
    }

    /// Its claims.
    pub fn dispatches<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Dispatch> {
        pick(&world.log.dispatches, &self.dispatches)
    }

    /// What the store decided about it.
    pub fn applied<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Applied> {
        pick(&world.log.applied, &self.applied)
    }

    /// When it reached its connection.
    pub fn taken<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Taken> {
        pick(&world.log.taken, &self.taken)
    }

    /// Its writes.
    pub fn writes<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Write> {
        pick(&world.log.writes, &self.writes)
    }

    /// It was about to be written, and no byte was: the first word about that behind a write on the same socket.
    #[must_use]
    pub fn is_unwritten(&self, world: &World, write: &Write) -> bool {
        let mut told = pick(&world.log.unwritten, &self.unwritten);
        let next = self
            .writes(world)
            .map(|w| w.at.m_us)
            .find(|&m_us| m_us > write.at.m_us);
        told.any(|u| {
            u.socket == write.socket
                && u.at.same_process(&write.at)
                && u.at.m_us >= write.at.m_us
                && next.is_none_or(|next| u.at.m_us <= next)
        })
    }

    /// Its answers, as edges heard them.
    pub fn answers<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Answered> {
        pick(&world.log.answers, &self.answers)
    }

    /// That it was put on Kafka.
    pub fn published<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Published> {
        pick(&world.log.published, &self.published)
    }

    /// Its records on Kafka.
    pub fn records<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Record> {
        pick(&world.log.records, &self.records)
    }

    /// The CALLs that the charger received.
    pub fn received<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Charger> {
        pick(&world.log.chargers, &self.chargers).filter(|line| line.seen == Seen::Call)
    }

    /// The charger's replies.
    pub fn replied<'a>(&'a self, world: &'a World) -> impl DoubleEndedIterator<Item = &'a Charger> {
        pick(&world.log.chargers, &self.chargers).filter(|line| line.seen == Seen::Reply)
    }

    /// Everything that says that it ended, in the order of the machine's clock.
    #[must_use]
    pub fn ends(&self, world: &World) -> Vec<End> {
        let ended = pick::<Ended>(&world.log.ended, &self.ended).map(|e| End {
            at: e.at,
            state: e.state,
            reason: None,
            redis_us: Some(e.now_us),
        });
        let applied = self.applied(world).filter_map(|a| {
            let state = a.status.filter(|s| s.is_terminal())?;
            Some(End {
                at: a.at,
                state,
                reason: None,
                redis_us: (a.verdict == Verdict::Applied).then_some(a.now_us),
            })
        });
        let records = self.records(world).map(|r| End {
            at: r.at,
            state: r.state,
            reason: r.reason,
            redis_us: None,
        });
        let gets = self.gets(world).filter_map(|g| {
            let state = g.state.filter(|s| s.is_terminal())?;
            Some(End {
                at: g.at,
                state,
                reason: g.reason,
                redis_us: (g.ended_us > 0).then_some(g.ended_us),
            })
        });
        let mut ends: Vec<End> = ended.chain(applied).chain(records).chain(gets).collect();
        ends.sort_by_key(|e| (e.at.m_us, e.at.file, e.at.line));
        ends
    }

    /// Its end: the first line that tells of it, with the earliest Redis time that any line gives.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The charger it is for.
    #[must_use]
    pub fn charger(&self, world: &World) -> Sym {
        self.accepted(world)
            .map(|a| a.call.cp)
            .or_else(|| self.dispatches(world).next().map(|d| d.cp))
            .or_else(|| self.writes(world).next().map(|w| w.cp))
            .or_else(|| self.records(world).next().map(|r| r.cp))
            .or_else(|| self.received(world).next().map(|c| c.cp))
            .unwrap_or(Sym::NONE)
    }

    /// When to give it up, if anybody says so.
    #[must_use]
    pub fn deadline_us(&self, world: &World) -> Option<u64> {
        let told = self.writes(world).map(|w| w.deadline_us).next();
        let asked = self.accepted(world).map(|a| a.call.deadline_us);
        told.or(asked).filter(|&us| us > 0)
    }

    /// Somebody says that it is unsafe to repeat.
    #[must_use]
    pub fn is_unsafe(&self, world: &World) -> bool {
        self.accepted(world).is_some_and(|a| a.call.is_unsafe) || self.writes(world).any(|w| w.is_unsafe)
    }

    /// It ended as answered.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.end.is_some_and(|e| e.state == State::Acknowledged)
    }

    /// The charger refused it, by a CALLERROR or by a status, in the last reply up to a moment.
    #[must_use]
    pub fn refusal<'a>(&'a self, world: &'a World, until_m_us: u64) -> Option<&'a Charger> {
        self.replied(world)
            .rfind(|line| line.at.m_us <= until_m_us)
            .filter(|line| match line.said {
                Some(Said::Error(_)) => true,
                Some(Said::Status(status)) => world.name(status) == "Rejected",
                None => false,
            })
    }
}

/// Works every command's end out, once.
pub(super) fn find_ends(world: &mut World) {
    let found = |command: &Command| {
        let ends = command.ends(world);
        let first = *ends.first()?;
        Some(End {
            redis_us: ends.iter().filter_map(|e| e.redis_us).min(),
            reason: ends.iter().find_map(|e| e.reason),
            ..first
        })
    };
    let ends: Vec<Option<End>> = world.commands.iter().map(found).collect();
    for (command, end) in world.commands.iter_mut().zip(ends) {
        command.end = end;
    }
}

/// Finds the lines of each command.
pub(super) fn index(log: &Log) -> (Vec<Command>, HashMap<Sym, usize>) {
    let mut indexer = Indexer::default();
    indexer.acceptances(log);
    indexer.each(&log.gets, |l| l.id, |c| &mut c.gets);
    indexer.each(&log.dispatches, |l| l.id, |c| &mut c.dispatches);
    indexer.each(&log.applied, |l| l.id, |c| &mut c.applied);
    indexer.each(&log.ended, |l| l.id, |c| &mut c.ended);
    indexer.each(&log.published, |l| l.id, |c| &mut c.published);
    indexer.each(&log.taken, |l| l.id, |c| &mut c.taken);
    indexer.each(&log.writes, |l| l.id, |c| &mut c.writes);
    indexer.each(&log.unwritten, |l| l.id, |c| &mut c.unwritten);
    indexer.each(&log.records, |l| l.id, |c| &mut c.records);
    // A charger may answer and be asked under ids that are no command's: those make no command.
    indexer.known(&log.answers, |l| l.id, |c| &mut c.answers);
    indexer.each_if(
        &log.chargers,
        |l| l.id,
        |l| l.seen == Seen::Call,
        |c| &mut c.chargers,
    );
    indexer.known_if(
        &log.chargers,
        |l| l.id,
        |l| l.seen == Seen::Reply,
        |c| &mut c.chargers,
    );
    for command in &mut indexer.commands {
        command.chargers.sort_unstable();
    }
    (indexer.commands, indexer.index)
}

#[derive(Default)]
struct Indexer {
    commands: Vec<Command>,
    index: HashMap<Sym, usize>,
}

impl Indexer {
    /// The first reply that names each command, with its call.
    fn acceptances(&mut self, log: &Log) {
        let calls: HashMap<(Sym, u64), usize> = log
            .calls
            .iter()
            .enumerate()
            .map(|(i, call)| ((call.at.process, call.n), i))
            .collect();
        for (i, reply) in log.replies.iter().enumerate().filter(|(_, r)| r.ok) {
            if let Some(&call) = calls.get(&(reply.at.process, reply.n)) {
                let numbers = (number(call), number(i));
                self.command(reply.id).accepted.get_or_insert(numbers);
            }
        }
    }

    fn command(&mut self, id: Sym) -> &mut Command {
        let next = self.commands.len();
        let i = *self.index.entry(id).or_insert(next);
        if i == next {
            self.commands.push(Command {
                id,
                ..Command::default()
            });
        }
        &mut self.commands[i]
    }

    fn each<T>(&mut self, lines: &[T], id: fn(&T) -> Sym, list: fn(&mut Command) -> &mut Vec<u32>) {
        self.each_if(lines, id, |_| true, list);
    }

    fn each_if<T>(
        &mut self,
        lines: &[T],
        id: fn(&T) -> Sym,
        wanted: fn(&T) -> bool,
        list: fn(&mut Command) -> &mut Vec<u32>,
    ) {
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| wanted(line)) {
            list(self.command(id(line))).push(number(i));
        }
    }

    fn known<T>(&mut self, lines: &[T], id: fn(&T) -> Sym, list: fn(&mut Command) -> &mut Vec<u32>) {
        self.known_if(lines, id, |_| true, list);
    }

    fn known_if<T>(
        &mut self,
        lines: &[T],
        id: fn(&T) -> Sym,
        wanted: fn(&T) -> bool,
        list: fn(&mut Command) -> &mut Vec<u32>,
    ) {
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| wanted(line)) {
            if let Some(&command) = self.index.get(&id(line)) {
                list(&mut self.commands[command]).push(number(i));
            }
        }
    }
}
