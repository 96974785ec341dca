//! What an edge does around its machine: sockets, the write itself, the link and the lease. And the charger.

use domain::edge::{CloseReason, Input, Item, Output, Socket};
use domain::ids::{CommandId, Incarnation, Nonce};

use crate::judge::Writing;
use crate::scale::{ANSWER_TICKS, WRITE_TICKS, lease_ends};
use crate::state::{Call, Edge, Message, PAIR, State, answer, charge_point, command_id, command_of};

/// Incarnations of an edge begin here.
const FIRST_LIFE: u64 = 1;

impl State {
    /// Gives an edge's machine an input and does what it says.
    pub(crate) fn feed(&mut self, index: u8, input: Input) {
        let now = self.now;
        let edge = self.edges[usize::from(index)].edit();
        let time = edge.time(now);
        let mut out = Vec::new();
        let Edge { machine, nonces, .. } = edge;
        let mut fresh = || {
            *nonces += 1;
            Nonce(*nonces * 2 + u64::from(index))
        };
        machine.handle(time, input, &mut fresh, &mut out);
        for output in out {
            self.put_out(index, output);
        }
    }

    fn put_out(&mut self, index: u8, output: Output) {
        match output {
            Output::ToRouter(item) => {
                let edge = &self.edges[usize::from(index)];
                let (link, number) = (edge.link, edge.link_number);
                if let (Some(_), Item::NoteDone { charge_point, note }) = (link, &item) {
                    // At once: a note that is sent again says nothing new, as a doubled record shows.
                    self.store.edit().slot.note_done(charge_point, note);
                } else if let Some(router) = link {
                    self.post(Message::Up {
                        edge: index,
                        router,
                        link: number,
                        item,
                    });
                }
            }
            Output::Write(write) => {
                let edge = self.edges[usize::from(index)].edit();
                edge.mail.push((write.socket, write.id));
            }
            Output::Close { socket, .. } => {
                if self.charger.connection == Some((index, socket)) {
                    self.charger.connection = None;
                }
                self.post(Message::SocketEnd { edge: index, socket });
            }
        }
    }

    /// The next CALL is written, unless the last look forbids it. Bytes that go to a socket which the charger has
    /// left are written all the same.
    pub(crate) fn write(&mut self, index: u8, slowly: bool) {
        let edge = self.edges[usize::from(index)].edit();
        let (socket, id) = edge.mail.remove(0);
        let charge_point = charge_point();
        if !edge.machine.may_write(id, edge.time(self.now)) {
            return self.feed(
                index,
                Input::NotWritten {
                    charge_point,
                    socket,
                    id,
                },
            );
        }
        self.put_on_the_wire(index, socket, id);
        if slowly {
            self.edges[usize::from(index)].edit().hanging = Some(Call {
                socket,
                id,
                until: self.now + WRITE_TICKS,
            });
        } else {
            self.feed(
                index,
                Input::Wrote {
                    charge_point,
                    socket,
                    id,
                },
            );
        }
    }

    fn put_on_the_wire(&mut self, index: u8, socket: Socket, id: CommandId) {
        let edge = self.edges[usize::from(index)].edit();
        let writing = Writing {
            now: self.now,
            edge,
            pod: &self.store.pods[usize::from(index)],
            slot: &self.store.slot,
            roll_backs: self.store.epoch - 1,
            busy: edge.call.is_some_and(|call| call.socket == socket),
        };
        let command = command_of(id);
        self.judge.see_write(command, &writing);
        edge.call = Some(Call {
            socket,
            id,
            until: self.now + ANSWER_TICKS,
        });
        if self.charger.connection == Some((index, socket)) {
            self.charger.owes[command] += 1;
        }
    }

    /// A connection learns that its CALL is out.
    pub(crate) fn wrote(&mut self, index: u8) {
        if let Some(Call { socket, id, .. }) = self.edges[usize::from(index)].edit().hanging.take() {
            self.feed(
                index,
                Input::Wrote {
                    charge_point: charge_point(),
                    socket,
                    id,
                },
            );
        }
    }

    /// A write took too long: the connection ends.
    pub(crate) fn give_up_writing(&mut self, index: u8) {
        let Some(Call { socket, .. }) = self.edges[usize::from(index)].edit().hanging.take() else {
            return;
        };
        self.put_out(
            index,
            Output::Close {
                charge_point: charge_point(),
                socket,
                why: CloseReason::Displaced,
            },
        );
    }

    /// The charger answers over the connection that it has now.
    pub(crate) fn reply(&mut self, command: u8, late: bool) {
        let Some((index, socket)) = self.charger.connection else {
            return;
        };
        let command = usize::from(command);
        let owed = if late {
            &mut self.charger.owes_late
        } else {
            &mut self.charger.owes
        };
        owed[command] = owed[command].saturating_sub(1);
        self.charger.replied[command] = true;
        let id = command_id(command);
        let edge = self.edges[usize::from(index)].edit();
        edge.call = edge.call.filter(|call| (call.socket, call.id) != (socket, id));
        let input = Input::Answer {
            charge_point: charge_point(),
            id,
            answer: answer(),
        };
        self.feed(index, input);
    }

    /// The charger did not answer in time: the CALL slot is given up.
    pub(crate) fn time_out(&mut self, index: u8) {
        let edge = self.edges[usize::from(index)].edit();
        if let Some(Call { socket, id, .. }) = edge.call.take() {
            self.feed(
                index,
                Input::CallTimeout {
                    charge_point: charge_point(),
                    socket,
                    id,
                },
            );
        }
    }

    /// Time passes for the machine.
    pub(crate) fn tick(&mut self, index: u8) {
        self.edges[usize::from(index)].edit().tick_due = false;
        self.feed(index, Input::Tick);
    }

    /// The charger connects. CALLs for a former socket here are taken back first, as the shard does it.
    pub(crate) fn connect(&mut self, index: u8) {
        let edge = self.edges[usize::from(index)].edit();
        edge.sockets += 1;
        let socket = Socket(edge.sockets);
        let mail = std::mem::take(&mut edge.mail);
        for (socket, id) in mail {
            self.feed(
                index,
                Input::NotWritten {
                    charge_point: charge_point(),
                    socket,
                    id,
                },
            );
        }
        self.charger.connection = Some((index, socket));
        let (charge_point, ocpp_version) = (charge_point(), "");
        self.feed(
            index,
            Input::Opened {
                charge_point,
                socket,
                ocpp_version,
            },
        );
    }

    /// An edge notices that a socket is closed.
    pub(crate) fn socket_ended(&mut self, index: u8, socket: Socket) {
        if !self.edges[usize::from(index)].alive {
            return;
        }
        let edge = self.edges[usize::from(index)].edit();
        edge.call = edge.call.filter(|call| call.socket != socket);
        edge.hanging = edge.hanging.filter(|hanging| hanging.socket != socket);
        let (unwritten, mail) = std::mem::take(&mut edge.mail)
            .into_iter()
            .partition(|(s, _)| *s == socket);
        edge.mail = mail;
        let unwritten: Vec<_> = unwritten;
        for (socket, id) in unwritten {
            self.feed(
                index,
                Input::NotWritten {
                    charge_point: charge_point(),
                    socket,
                    id,
                },
            );
        }
        self.feed(
            index,
            Input::Closed {
                charge_point: charge_point(),
                socket,
            },
        );
    }

    /// A link opens, to the other router than before.
    pub(crate) fn relink(&mut self, index: u8) {
        let place = usize::from(index);
        let pod = &mut self.store.edit().pods[place];
        pod.link.0 += 1;
        let edge = self.edges[place].edit();
        if pod.incarnation == edge.incarnation {
            pod.suspect = false;
        }
        edge.link_number = pod.link;
        let routers = u64::try_from(PAIR).unwrap_or(1);
        edge.link = u8::try_from((edge.link_number.0 + u64::from(index)) % routers).ok();
        edge.back_by = 0;
        self.feed(index, Input::LinkUp);
    }

    /// The router says that the lease has lapsed.
    pub(crate) fn lapse(&mut self, index: u8) {
        let edge = self.edges[usize::from(index)].edit();
        (edge.incarnation, edge.lease_until_us) = (Incarnation(0), 0);
        self.feed(index, Input::LeaseLapsed);
    }

    /// A new life begins, with a lease.
    pub(crate) fn take_life(&mut self, index: u8) {
        let place = usize::from(index);
        let (expires, until_us) = lease_ends(self.now);
        let epoch = self.store.epoch;
        let pod = &mut self.store.edit().pods[place];
        pod.incarnation = Incarnation((pod.incarnation.0 + 1).max(FIRST_LIFE));
        (pod.expires, pod.suspect) = (expires, false);
        let incarnation = pod.incarnation;
        let edge = self.edges[place].edit();
        (edge.incarnation, edge.lease_until_us) = (incarnation, until_us);
        let changed = edge.epoch != 0 && edge.epoch != epoch;
        edge.epoch = epoch;
        if changed {
            self.feed(index, Input::EpochChanged);
        }
        self.feed(index, Input::IncarnationTaken(incarnation));
    }

    /// A process starts, links and takes a life.
    pub(crate) fn restart(&mut self, index: u8) {
        let edge = self.edges[usize::from(index)].edit();
        edge.alive = true;
        self.relink(index);
        self.take_life(index);
    }
}
