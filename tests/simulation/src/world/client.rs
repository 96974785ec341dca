//! Clients: they send commands, repeat what failed under the same key, take some back, and look at others.

use domain::command::{Command, Deadline, IdempotencyKey, Request, Status};
use domain::delivery::Verdict;
use domain::ids::{ChargePointId, CommandId, Micros, Slot};
use domain::slot::AcceptRefusal;

use super::event::{Event, RouterEvent};
use super::{Node, World};
use crate::plan::{CallPlan, MS, SECOND};

/// How long a client waits for a reply.
const PATIENCE_US: u64 = 3 * SECOND;
/// How often it tries.
const TRIES: u32 = 10;

/// A client's call.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// The present try; replies to others are heard by nobody.
    round: u32,
    waiting: bool,
    /// What is asked for: the first thing is to send.
    asking: Asking,
    id: Option<CommandId>,
    begun: bool,
    tries: u32,
}

/// What a client is at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Asking {
    #[default]
    Send,
    Cancel,
    Look,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Rpc {
    pub(crate) router: usize,
    pub(crate) call: usize,
    pub(crate) round: u32,
    pub(crate) body: Body,
}

/// What is called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    Send,
    Cancel(CommandId),
    Get(CommandId),
}

/// A reply on its way.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) call: usize,
    round: u32,
    outcome: Outcome,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Accepted(CommandId),
    Known(CommandId),
    Refused(AcceptRefusal),
    Failed,
    Cancelled(Option<Verdict>, Option<Status>),
    Found(Option<Box<Command>>),
}

impl Client {
    /// Whether nothing more is expected of it.
    pub(super) fn is_done(&self) -> bool {
        self.begun && !self.waiting
    }
}

impl CallPlan {
    /// The request, but for its id.
    pub(super) fn request(&self, charge_point: ChargePointId, begun: Micros) -> Request {
        let deadline = if self.at_a_moment {
            Deadline::At {
                at: begun.plus(self.deadline_us),
                max_us: 3_600 * SECOND,
            }
        } else {
            Deadline::After(self.deadline_us)
        };
        let content = format!("{}{}", self.content, self.key.map_or(0, |key| key % 7));
        Request {
            id: CommandId::new(0, [0; 10], Slot(0)),
            action: "TriggerMessage".into(),
            payload: format!(r#"{{"content":{content}}}"#),
            priority: self.priority,
            class: self.class,
            max_attempts: self.max_attempts,
            answer_timeout_us: self.answer_timeout_us,
            deadline,
            idempotency: self.key.map(|key| IdempotencyKey {
                key: format!("key-{key}"),
                content_hash: format!("{charge_point}-{content}-{:?}", self.class),
            }),
            replay_of: None,
            charge_point,
        }
    }
}

impl World {
    /// A client begins a call, or a further try.
    pub(super) fn client_calls(&mut self, call: usize) {
        self.clients[call].begun = true;
        let body = match (self.clients[call].asking, self.clients[call].id) {
            (Asking::Cancel, Some(id)) => Body::Cancel(id),
            (Asking::Look, Some(id)) => Body::Get(id),
            _ => Body::Send,
        };
        let client = &mut self.clients[call];
        client.round += 1;
        client.tries += 1;
        client.waiting = true;
        let round = client.round;
        let router = self.dice.index(self.routers.len());
        let at = self.arrival(Node::Clients, Node::Router(router));
        self.schedule.at(
            at,
            Event::Rpc(Box::new(Rpc {
                router,
                call,
                round,
                body,
            })),
        );
        self.schedule
            .after(PATIENCE_US, Event::CallTimeout { call, round });
    }

    /// A call reaches a router; a dead one refuses it.
    pub(super) fn rpc(&mut self, rpc: Rpc) {
        let to = rpc.router;
        if self.routers[to].process.up {
            let life = self.routers[to].process.life;
            return self.router_event(to, life, RouterEvent::Rpc(Box::new(rpc)));
        }
        self.reply_to_client(to, rpc.call, rpc.round, Outcome::Failed);
    }

    /// A router replies.
    pub(super) fn reply_to_client(&mut self, router: usize, call: usize, round: u32, outcome: Outcome) {
        let at = self.arrival(Node::Router(router), Node::Clients);
        self.schedule
            .at(at, Event::Reply(Box::new(Reply { call, round, outcome })));
    }

    /// A reply reaches its client, if that still waits for it.
    pub(super) fn client_hears(&mut self, reply: Reply) {
        let (call, now) = (reply.call, self.schedule.now());
        if self.clients[call].round != reply.round || !self.clients[call].waiting {
            return;
        }
        self.trace
            .line(now, || format!("client {call} hears {}", brief(&reply.outcome)));
        self.clients[call].waiting = false;
        match reply.outcome {
            Outcome::Accepted(id) | Outcome::Known(id) => {
                self.judge.accepted(call, id);
                self.clients[call].id = Some(id);
                if let Some(us) = self.plan.calls[call].cancel_after {
                    self.schedule.after(us, Event::Cancel { call });
                } else if self.dice.chance(400) {
                    let us = self.dice.between(0, 15_000) * MS;
                    self.schedule.after(us, Event::Look { call });
                }
            }
            Outcome::Refused(refusal) => self.judge.refused(call, refusal),
            Outcome::Failed => self.client_failed(call),
            Outcome::Cancelled(verdict, status) => {
                if let Some(id) = self.clients[call].id {
                    self.judge.cancelled(id, verdict, status);
                }
                let us = self.dice.between(0, 3_000) * MS;
                self.schedule.after(us, Event::Look { call });
            }
            Outcome::Found(command) => {
                if let Some(id) = self.clients[call].id {
                    self.judge.looked(id, command.as_deref());
                }
            }
        }
    }

    /// A client has waited long enough.
    pub(super) fn client_waited(&mut self, call: usize, round: u32) {
        if self.clients[call].round == round && self.clients[call].waiting {
            self.clients[call].waiting = false;
            self.client_failed(call);
        }
    }

    /// What became of the call is unknown: with a key it is repeated, and so is what is safe to repeat.
    fn client_failed(&mut self, call: usize) {
        let keyed = self.plan.calls[call].key.is_some();
        let client = &mut self.clients[call];
        if client.asking == Asking::Send {
            self.judge.call_failed(call);
        }
        if client.tries >= TRIES || (client.asking == Asking::Send && !keyed) {
            return;
        }
        client.waiting = true;
        let us = self.dice.between(100, 1_500) * MS;
        self.schedule.after(us, Event::Call(call));
    }

    /// A client takes its command back.
    pub(super) fn client_cancels(&mut self, call: usize) {
        let client = &mut self.clients[call];
        client.asking = Asking::Cancel;
        client.tries = 0;
        self.client_calls(call);
    }

    /// A client looks what became of its command.
    pub(super) fn client_looks(&mut self, call: usize) {
        let client = &mut self.clients[call];
        client.asking = Asking::Look;
        client.tries = 0;
        self.client_calls(call);
    }
}

/// What the trace says of an outcome.
fn brief(outcome: &Outcome) -> String {
    let short = super::store::short;
    match outcome {
        Outcome::Accepted(id) => format!("accepted {}", short(*id)),
        Outcome::Known(id) => format!("known {}", short(*id)),
        Outcome::Found(command) => format!("found {:?}", command.as_ref().map(|c| c.progress.status)),
        other => format!("{other:?}"),
    }
}
