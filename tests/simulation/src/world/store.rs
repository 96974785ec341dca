//! Redis: a server that executes one request after the other, stands still, dies, and has a replica or a disk
//! behind it. What a request does is in `store/data.rs`.

mod data;
mod leases;
mod said;

use std::collections::VecDeque;

use domain::ids::Micros;

use super::event::{Event, RouterEvent};
use super::{Node, World};
use crate::plan::{Durability, MS, Plan, SECOND};

pub(crate) use data::{CallFacts, Data, Held, Op};
pub(crate) use leases::{RenewReply, TakeReply};
pub(crate) use said::{Said, short};

/// The server.
pub(crate) struct Server {
    pub(crate) data: Data,
    /// What a lost server leaves: a replica, or the disk; none if it leaves everything.
    behind: Option<Behind>,
    /// Grows with every start and every failover.
    pub(crate) epoch: u32,
    up: bool,
    stalled_until: u64,
    waiting: VecDeque<Request>,
    /// Writes are refused until then.
    full_until: u64,
    /// The replica does not follow until then.
    replica_paused_until: u64,
    executed: u64,
    /// How far its clock is behind the first server's.
    pub(crate) behind_us: u64,
}

/// What follows the server.
struct Behind {
    data: Data,
    /// What it has not yet executed, and as what.
    lag: VecDeque<(u64, Op, CallFacts)>,
}

/// A request of a router.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) router: usize,
    pub(crate) life: u32,
    pub(crate) token: u64,
    pub(crate) op: Op,
    pub(crate) not_after: Micros,
    /// The epoch as the router knows it; another one is told and nothing is done.
    pub(crate) epoch: u32,
    /// Of the backoffs that it may set.
    pub(crate) jitter: u16,
}

/// What Redis replies.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) token: u64,
    /// The server's life that said so: what it had in its sockets when it died may be lost.
    pub(crate) epoch: u32,
    pub(crate) reply: StoreReply,
}

/// A reply, or why there is none.
pub(crate) type StoreReply = Result<(Micros, Said), StoreFailure>;

/// Why a request was not executed, as far as its sender can know.
#[derive(Debug)]
pub(crate) enum StoreFailure {
    /// The server lives in another epoch; the request comes back.
    OtherEpoch(u32, Box<Op>),
    /// It came too late and was not executed; it comes back with the time.
    TooLate(Micros, Box<Op>),
    /// Refused, timed out, not confirmed: what it did is unknown.
    Unavailable,
}

impl Server {
    pub(super) fn new(plan: &Plan) -> Self {
        let data = Data::new(plan);
        Self {
            behind: (plan.durability != Durability::Fsync).then(|| Behind {
                data: data.clone(),
                lag: VecDeque::new(),
            }),
            data,
            epoch: 1,
            up: true,
            stalled_until: 0,
            waiting: VecDeque::new(),
            full_until: 0,
            replica_paused_until: 0,
            executed: 0,
            behind_us: 0,
        }
    }
}

impl Behind {
    /// Executes what came up to a number.
    fn follow(&mut self, upto: u64) {
        while self.lag.front().is_some_and(|(number, ..)| *number <= upto) {
            if let Some((_, op, facts)) = self.lag.pop_front() {
                drop(self.data.execute(op, &facts));
            }
        }
    }
}

impl World {
    /// A request arrives.
    pub(super) fn redis_request(&mut self, request: Request) {
        if !self.redis.up {
            return self.redis_replies(&request, Err(StoreFailure::Unavailable));
        }
        if self.redis.stalled_until > self.schedule.now() {
            return self.redis.waiting.push_back(request);
        }
        self.redis_executes(request);
    }

    fn redis_executes(&mut self, mut request: Request) {
        if let Some(failure) = self.redis_refuses(&mut request) {
            return self.redis_replies(&request, Err(failure));
        }
        let facts = CallFacts {
            now: self.redis_now(),
            not_after: request.not_after,
            epoch: self.redis.epoch,
            jitter: request.jitter,
        };
        let barrier = request.op.is_behind_the_barrier();
        let kept = (self.redis.behind.is_some() && request.op.writes()).then(|| request.op.clone());
        let before = self.judge.before(&request.op, &self.redis.data, facts.now);
        let Ok(said) = self.redis.data.execute(take_op(&mut request), &facts) else {
            return self.redis_replies(&request, Err(StoreFailure::Unavailable));
        };
        self.judge.after(&before, &said, &self.redis.data, facts.now);
        self.trace.mix(said.code());
        if !said.is_dull() {
            let router = request.router;
            let line = || format!("redis: router {router} {} -> {}", before.brief(), said.brief());
            self.trace.line(self.schedule.now(), line);
        }
        self.redis.executed += 1;
        if let (Some(behind), Some(op)) = (&mut self.redis.behind, kept) {
            behind.lag.push_back((self.redis.executed, op, facts));
        }
        let reply = Ok((facts.now, said));
        if barrier && self.plan.durability == Durability::Replicated {
            return self.await_replica(request, reply);
        }
        self.redis_replies(&request, reply);
    }

    /// Why a request is not executed, if it is not: it was prepared for another life of the server, it came too
    /// late, or nothing can be written.
    fn redis_refuses(&mut self, request: &mut Request) -> Option<StoreFailure> {
        let (now, writes) = (self.redis_now(), request.op.writes());
        if request.epoch != self.redis.epoch {
            return Some(StoreFailure::OtherEpoch(
                self.redis.epoch,
                Box::new(take_op(request)),
            ));
        }
        if writes && now > request.not_after {
            return Some(StoreFailure::TooLate(now, Box::new(take_op(request))));
        }
        let full = self.redis.full_until > self.schedule.now();
        (writes && full).then_some(StoreFailure::Unavailable)
    }

    /// The reply leaves once the replica has everything up to here.
    fn await_replica(&mut self, request: Request, reply: StoreReply) {
        let (life, upto) = (self.redis.epoch, self.redis.executed);
        let wait = self.delay().max(
            self.redis
                .replica_paused_until
                .saturating_sub(self.schedule.now()),
        );
        if wait > SECOND {
            // WAIT gives up; the replica may still follow.
            self.redis_replies(&request, Err(StoreFailure::Unavailable));
            let reply = Box::new(None);
            return self.schedule.after(wait, Event::Replicated { life, upto, reply });
        }
        let reply = Box::new(Some((request, reply)));
        self.schedule.after(wait, Event::Replicated { life, upto, reply });
    }

    /// The replica has everything up to a number.
    pub(super) fn replicated(&mut self, life: u32, upto: u64, reply: Option<(Request, StoreReply)>) {
        if life != self.redis.epoch {
            return;
        }
        if let Some(behind) = &mut self.redis.behind {
            behind.follow(upto);
        }
        if let Some((request, reply)) = reply {
            self.redis_replies(&request, reply);
        }
    }

    /// Everything that is older than this moment is on the disk.
    pub(super) fn flush(&mut self) {
        if self.plan.durability != Durability::Relaxed {
            return;
        }
        let upto = self.redis.executed;
        if let Some(behind) = &mut self.redis.behind {
            behind.follow(upto);
        }
        let us = self.dice.between(200, 1_900) * MS;
        self.schedule.after(us, Event::Flush);
    }

    fn redis_replies(&mut self, request: &Request, reply: StoreReply) {
        let (to, life, token) = (request.router, request.life, request.token);
        let at = self.arrival(Node::Redis, Node::Router(to));
        let what = RouterEvent::Store(Box::new(Response {
            token,
            epoch: self.redis.epoch,
            reply,
        }));
        self.schedule.at(at, Event::Router { to, life, what });
    }

    /// Redis stands still.
    pub(super) fn stall_redis(&mut self, until: u64) {
        self.redis.stalled_until = until.max(self.redis.stalled_until);
        self.schedule.at(until, Event::Wake(Node::Redis));
    }

    /// It goes on, with everything that came meanwhile.
    pub(super) fn redis_wakes(&mut self) {
        if self.redis.stalled_until > self.schedule.now() || !self.redis.up {
            return;
        }
        while let Some(request) = self.redis.waiting.pop_front() {
            self.redis_executes(request);
        }
    }

    /// Redis dies; what was on its way to it dies with it. What it knew is what its durability says.
    pub(super) fn crash_redis(&mut self, down_us: u64) {
        if !self.redis.up {
            return;
        }
        self.redis.up = false;
        self.redis.waiting.clear();
        self.redis.stalled_until = 0;
        if let Some(behind) = &mut self.redis.behind {
            let lost = behind.lag.len();
            behind.lag.clear();
            self.redis.data = behind.data.clone();
            self.trace.line(self.schedule.now(), || {
                format!("redis dies and loses {lost} writes")
            });
            self.judge
                .rolled_back(&self.redis.data, self.plan.durability == Durability::Relaxed);
            if self.plan.durability == Durability::Replicated && self.dice.chance(400) {
                self.redis.behind_us += self.dice.below(15_000) * MS;
            }
        } else {
            self.trace.line(self.schedule.now(), || "redis dies".to_owned());
        }
        self.redis.epoch += 1;
        let down_us = down_us.clamp(50 * MS, 8 * SECOND);
        self.schedule.after(down_us, Event::Start(Node::Redis));
    }

    /// It starts, or its replica took over.
    pub(super) fn redis_starts(&mut self) {
        self.redis.up = true;
    }

    /// Writes are refused for a while.
    pub(super) fn fill_disk(&mut self, until: u64) {
        self.redis.full_until = until;
    }

    /// The replica does not follow for a while.
    pub(super) fn pause_replica(&mut self, until: u64) {
        self.redis.replica_paused_until = until;
    }

    /// Everything about Redis is mended.
    pub(super) fn mend_redis(&mut self) {
        self.redis.full_until = 0;
        self.redis.replica_paused_until = 0;
        self.redis.stalled_until = 0;
        self.redis_starts();
        self.redis_wakes();
    }
}

/// Takes the script out of a request.
fn take_op(request: &mut Request) -> Op {
    std::mem::replace(&mut request.op, Op::Leases)
}
