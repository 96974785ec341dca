//! An edge's sockets: a mailbox of CALLs, a last look before each write, one CALL at a time, and an end.

use std::collections::VecDeque;

use domain::command::Answer;
use domain::edge::{Input, Write};
use domain::ids::CommandId;

use super::super::event::{EdgeEvent, Event};
use super::super::net::Stream;
use super::super::{Node, World};
use crate::judge::WriteSeen;
use crate::plan::{MS, Point, SECOND};

/// A charger that takes nothing for so long is given up.
const WRITE_TIMEOUT_US: u64 = 10 * SECOND;

/// A charger's connection at its edge.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) charger: usize,
    pub(super) connection: u64,
    mailbox: VecDeque<Mail>,
    /// The CALL without answer, and its number.
    outstanding: Option<(CommandId, u64)>,
    /// What the socket took and did not pass on yet.
    flushing: Option<CommandId>,
    closing: bool,
}

/// A CALL to be written.
#[derive(Debug, Clone, Copy)]
struct Mail {
    id: CommandId,
    attempt: u32,
    timeout_us: u64,
}

impl World {
    /// A charger connects. Its older socket's mail will not be written.
    pub(super) fn socket_opens(&mut self, n: usize, charger: usize, connection: u64) {
        let now = self.schedule.now();
        if !self.edges[n].is_ready(now) {
            let us = self.delay();
            return self
                .schedule
                .after(us, Event::ChargerLost { charger, connection });
        }
        let charge_point = self.charge_points[charger].clone();
        if let Some(old) = self.edges[n].machine.socket_of(&charge_point) {
            self.recall(n, old.0);
        }
        let socket = self.new_name();
        let state = Socket {
            charger,
            connection,
            mailbox: VecDeque::new(),
            outstanding: None,
            flushing: None,
            closing: false,
        };
        self.edges[n].sockets.insert(socket, state);
        let input = Input::Opened {
            charge_point,
            socket: domain::edge::Socket(socket),
            ocpp_version: "ocpp2.0.1",
        };
        self.edge_input(n, input);
        let life = self.edges[n].process.life;
        if !self.charger_is_connected(charger, connection, (n, life, socket)) {
            // It went elsewhere meanwhile.
            let us = self.delay();
            self.plan_edge(n, us, EdgeEvent::SocketGone { socket });
        }
    }

    /// What lies in a mailbox was not written.
    fn recall(&mut self, n: usize, socket: u64) {
        let Some(state) = self.edges[n].sockets.get_mut(&socket) else {
            return;
        };
        let charge_point = self.charge_points[state.charger].clone();
        for Mail { id, .. } in std::mem::take(&mut state.mailbox) {
            let (charge_point, socket) = (charge_point.clone(), domain::edge::Socket(socket));
            self.edge_input(
                n,
                Input::NotWritten {
                    charge_point,
                    socket,
                    id,
                },
            );
        }
    }

    /// The machine hands a CALL over; one for a socket that is gone was not written.
    pub(super) fn hand_over(&mut self, n: usize, write: Write) -> Option<Input> {
        let Write {
            charge_point,
            socket,
            id,
            answer_timeout_us: timeout_us,
            terms,
            ..
        } = write;
        let Some(state) = self.edges[n].sockets.get_mut(&socket.0) else {
            return Some(Input::NotWritten {
                charge_point,
                socket,
                id,
            });
        };
        state.mailbox.push_back(Mail {
            id,
            attempt: terms.attempt,
            timeout_us,
        });
        let us = if self.dice.chance(900) {
            0
        } else {
            self.dice.between(1, 300) * MS
        };
        self.plan_edge(n, us, EdgeEvent::SocketTurn { socket: socket.0 });
        None
    }

    /// The socket gets to its mail: a last look, then the write.
    pub(super) fn socket_turn(&mut self, n: usize, socket: u64) {
        let now = self.schedule.now();
        let edge = &mut self.edges[n];
        let Some(state) = edge.sockets.get_mut(&socket) else {
            return;
        };
        if state.closing || state.flushing.is_some() {
            return;
        }
        let Some(mail) = state.mailbox.pop_front() else {
            return;
        };
        let id = mail.id;
        let (free, charger) = (state.outstanding.is_none(), state.charger);
        if free && edge.machine.may_write(id, edge.time(now)) {
            self.write(n, socket, mail);
        } else {
            let charge_point = self.charge_points[charger].clone();
            let socket = domain::edge::Socket(socket);
            self.edge_input(
                n,
                Input::NotWritten {
                    charge_point,
                    socket,
                    id,
                },
            );
        }
        self.plan_edge(n, 0, EdgeEvent::SocketTurn { socket });
    }

    /// Bytes leave.
    fn write(&mut self, n: usize, socket: u64, mail: Mail) {
        let Mail {
            id,
            attempt,
            timeout_us,
        } = mail;
        let (now, number) = (self.schedule.now(), self.new_name());
        let Some(state) = self.edges[n].sockets.get_mut(&socket) else {
            return;
        };
        state.outstanding = Some((id, number));
        let (charger, connection) = (state.charger, state.connection);
        let seen = WriteSeen {
            id,
            edge: n,
            pod: self.pod_of(n),
            life: self.edges[n].process.life,
            incarnation: self.edges[n].keeper.incarnation,
            socket,
            at: self.redis_now(),
            moment: now,
            attempt,
            timeout_us,
        };
        self.trace.mix(number);
        let short = super::super::store::short;
        self.trace.line(now, || {
            format!("edge {n} writes {} on socket {socket}", short(id))
        });
        self.judge.wrote(&seen, &self.redis.data);
        self.plan_edge(n, timeout_us, EdgeEvent::CallTimer { socket, id, number });
        self.deliver(charger, connection, id);
        if !self.edge_dies_at(n, Point::AfterWrite) {
            self.flush_socket(n, socket, charger, id);
        }
    }

    /// What was written reaches the charger, if that still listens then.
    fn deliver(&mut self, charger: usize, connection: u64, call: CommandId) {
        let reads_at = self.schedule.now().max(self.chargers[charger].deaf_until);
        let at = self.in_order(Stream::Socket(connection, true), reads_at) + self.delay();
        let event = Event::ToCharger {
            charger,
            connection,
            call,
        };
        self.schedule.at(at, event);
    }

    /// The socket passes on what it took, at once or when the charger reads; one that does not read for long is
    /// given up.
    fn flush_socket(&mut self, n: usize, socket: u64, charger: usize, id: CommandId) {
        let deaf_us = self.chargers[charger]
            .deaf_until
            .saturating_sub(self.schedule.now());
        let slow = deaf_us > 0 || self.dice.chance(50);
        if !slow {
            return self.said_written(n, socket, id);
        }
        if let Some(state) = self.edges[n].sockets.get_mut(&socket) {
            state.flushing = Some(id);
        }
        if deaf_us > WRITE_TIMEOUT_US {
            return self.plan_edge(n, WRITE_TIMEOUT_US, EdgeEvent::SocketGone { socket });
        }
        let us = deaf_us + self.dice.between(1, 400) * MS;
        self.plan_edge(n, us, EdgeEvent::Flushed { socket, id });
    }

    /// What the socket took has left.
    pub(super) fn flushed(&mut self, n: usize, socket: u64, id: CommandId) {
        let Some(state) = self.edges[n].sockets.get_mut(&socket) else {
            return;
        };
        if state.flushing.take_if(|f| *f == id).is_some() {
            self.said_written(n, socket, id);
            self.plan_edge(n, 0, EdgeEvent::SocketTurn { socket });
        }
    }

    fn said_written(&mut self, n: usize, socket: u64, id: CommandId) {
        let Some(charger) = self.edges[n].sockets.get(&socket).map(|s| s.charger) else {
            return;
        };
        let charge_point = self.charge_points[charger].clone();
        let socket = domain::edge::Socket(socket);
        self.edge_input(
            n,
            Input::Wrote {
                charge_point,
                socket,
                id,
            },
        );
    }

    /// A CALL's time is over.
    pub(super) fn call_timer(&mut self, n: usize, socket: u64, id: CommandId, number: u64) {
        let Some(state) = self.edges[n].sockets.get_mut(&socket) else {
            return;
        };
        if state.outstanding != Some((id, number)) {
            return;
        }
        state.outstanding = None;
        let charge_point = self.charge_points[state.charger].clone();
        let socket = domain::edge::Socket(socket);
        self.edge_input(
            n,
            Input::CallTimeout {
                charge_point,
                socket,
                id,
            },
        );
    }

    /// A charger answered.
    pub(super) fn heard(&mut self, n: usize, socket: u64, (id, answer): (CommandId, Answer)) {
        let Some(state) = self.edges[n].sockets.get_mut(&socket) else {
            return;
        };
        state.outstanding.take_if(|(outstanding, _)| *outstanding == id);
        let charge_point = self.charge_points[state.charger].clone();
        if self.edge_dies_at(n, Point::AfterAnswer) {
            return;
        }
        let life = self.edges[n].process.life;
        self.judge
            .heard((n, life), (socket, &charge_point), id, &self.redis.data);
        self.edge_input(
            n,
            Input::Answer {
                charge_point,
                id,
                answer,
            },
        );
    }

    /// The machine closes a socket: nothing is written any more, what comes is heard until the charger left.
    pub(super) fn close_socket(&mut self, n: usize, socket: u64) {
        let Some(state) = self.edges[n].sockets.get_mut(&socket) else {
            return;
        };
        if state.closing {
            return;
        }
        state.closing = true;
        let (charger, connection) = (state.charger, state.connection);
        let us = self.dice.between(1, 2_000) * MS;
        self.plan_edge(n, us, EdgeEvent::SocketGone { socket });
        let at = self.in_order(Stream::Socket(connection, true), self.schedule.now());
        self.schedule.at(at, Event::ChargerLost { charger, connection });
    }

    /// A socket is over: what it had not begun to write was not written.
    pub(super) fn socket_gone(&mut self, n: usize, socket: u64) {
        let Some(charger) = self.edges[n].sockets.get(&socket).map(|s| s.charger) else {
            return;
        };
        self.recall(n, socket);
        let charge_point = self.charge_points[charger].clone();
        let gone = domain::edge::Socket(socket);
        self.edge_input(
            n,
            Input::Closed {
                charge_point,
                socket: gone,
            },
        );
        if let Some(state) = self.edges[n].sockets.remove(&socket) {
            let us = self.delay();
            let (charger, connection) = (state.charger, state.connection);
            self.schedule
                .after(us, Event::ChargerLost { charger, connection });
        }
        self.judge.socket_gone(socket);
    }

    /// The edge of a charger learns, sooner or later, that its connection is gone.
    pub(crate) fn edge_learns_of_end(&mut self, home: (usize, u32, u64), us: u64) {
        let (to, life, socket) = home;
        let at = self.arrival(Node::Clients, Node::Edge(to)) + us;
        let what = EdgeEvent::SocketGone { socket };
        self.schedule.at(at, Event::Edge { to, life, what });
    }
}
