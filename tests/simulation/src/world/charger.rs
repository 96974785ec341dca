//! Chargers: they connect, read CALLs, and answer at once, late, over another connection, or never. They log
//! everything.

use domain::command::Answer;
use domain::ids::CommandId;

use super::World;
use super::event::{EdgeEvent, Event};
use super::net::Stream;
use crate::plan::{MS, SECOND};

/// How long a charger waits for a handshake.
const HANDSHAKE_US: u64 = 5 * SECOND;

/// A charger.
#[derive(Debug)]
pub(crate) struct Charger {
    /// It wants to be connected.
    pub(super) awake: bool,
    /// The connection as it knows it; 0 for none.
    connection: u64,
    /// Where that is: edge, its life, its socket.
    pub(super) home: Option<(usize, u32, u64)>,
    /// It reads and does not answer until then.
    pub(super) silent_until: u64,
    /// It does not read until then.
    pub(super) deaf_until: u64,
    /// Answers that wait for a connection.
    late: Vec<(CommandId, Answer)>,
    answers: u64,
}

impl Charger {
    pub(super) fn new(awake: bool) -> Self {
        Self {
            awake,
            connection: 0,
            home: None,
            silent_until: 0,
            deaf_until: 0,
            late: Vec::new(),
            answers: 0,
        }
    }
}

impl World {
    /// A charger without a connection tries some edge; if nothing comes of it, another one later.
    pub(super) fn dial(&mut self, charger: usize) {
        if self.chargers[charger].home.is_some() || !self.chargers[charger].awake {
            return;
        }
        let up: Vec<usize> = (0..self.edges.len())
            .filter(|n| self.edges[*n].process.up)
            .collect();
        let (connection, at) = (self.new_name(), self.dice.index(up.len()));
        let to = up.get(at).copied().unwrap_or(0);
        self.chargers[charger].connection = connection;
        if self.edges[to].process.up {
            let life = self.edges[to].process.life;
            let us = self.delay();
            let what = EdgeEvent::Opened { charger, connection };
            self.schedule.after(us, Event::Edge { to, life, what });
            self.schedule.after(HANDSHAKE_US, Event::Dial(charger));
        } else {
            let us = self.dice.between(100, 900) * MS;
            self.schedule.after(us, Event::Dial(charger));
        }
    }

    /// An edge has taken a connection; false if the charger has given it up.
    pub(super) fn charger_is_connected(
        &mut self,
        charger: usize,
        connection: u64,
        home: (usize, u32, u64),
    ) -> bool {
        let now = self.schedule.now();
        let state = &mut self.chargers[charger];
        if state.connection != connection || state.home.is_some() {
            return false;
        }
        state.home = Some(home);
        let late = std::mem::take(&mut state.late);
        self.plan_hang_up(charger);
        for answer in late {
            let us = self.dice.between(0, 500) * MS;
            self.schedule.at(
                now + us,
                Event::Answer {
                    charger,
                    answer: Box::new(answer),
                },
            );
        }
        true
    }

    /// A charger learns that a connection is gone, and dials again.
    pub(super) fn charger_lost(&mut self, charger: usize, connection: u64) {
        let state = &mut self.chargers[charger];
        if state.connection != connection {
            return;
        }
        state.home = None;
        state.connection = 0;
        let us = self.dice.between(50, 2_500) * MS;
        self.schedule.after(us, Event::Dial(charger));
    }

    /// A CALL reaches a charger, if it still reads that connection. It makes up its mind.
    pub(super) fn charger_hears(&mut self, charger: usize, connection: u64, id: CommandId) {
        let now = self.schedule.now();
        let state = &mut self.chargers[charger];
        if state.connection != connection || state.home.is_none() {
            return;
        }
        state.answers += 1;
        let answers = state.answers;
        let silent = state.silent_until > now;
        self.judge.received(id);
        let fate = if self.healed {
            50 + self.dice.below(50)
        } else {
            self.dice.below(100)
        };
        let us = match fate {
            _ if silent => return,
            0..5 => return,
            5..17 => self.dice.between(1_000, 9_000) * MS,
            17..30 => self.dice.between(200, 2_000) * MS,
            _ => self.dice.between(1, 200) * MS,
        };
        let answer = match self.dice.below(20) {
            0 => Answer::Error(format!(r#"["InternalError","{answers}",{{}}]"#)),
            1 => Answer::Result(format!(r#"{{"status":"Rejected","n":{answers}}}"#)),
            _ => Answer::Result(format!(r#"{{"status":"Accepted","n":{answers}}}"#)),
        };
        self.schedule.after(
            us,
            Event::Answer {
                charger,
                answer: Box::new((id, answer)),
            },
        );
    }

    /// A charger answers: over the connection that it has, or the next one, if it does not forget.
    pub(super) fn charger_answers(&mut self, charger: usize, (id, answer): (CommandId, Answer)) {
        let Some((to, life, socket)) = self.chargers[charger].home else {
            if self.dice.chance(600) {
                self.chargers[charger].late.push((id, answer));
            }
            return;
        };
        self.judge.replied(id, &answer);
        if self.dice.chance(20) {
            let us = self.dice.between(1, 3_000) * MS;
            let answer = Box::new((id, answer.clone()));
            self.schedule.after(us, Event::Answer { charger, answer });
        }
        let connection = self.chargers[charger].connection;
        let us = self.delay();
        let at = self.in_order(Stream::Socket(connection, false), self.schedule.now() + us);
        let what = EdgeEvent::Heard {
            socket,
            answer: Box::new((id, answer)),
        };
        self.schedule.at(at, Event::Edge { to, life, what });
    }

    /// A charger's connection is gone. If it is half open, its edge learns of it late.
    pub(super) fn drop_charger(&mut self, charger: usize, half_open: bool, lasts: u64) {
        let Some(home) = self.chargers[charger].home else {
            return;
        };
        let connection = self.chargers[charger].connection;
        let us = if half_open { 2 * lasts } else { 0 };
        self.edge_learns_of_end(home, us);
        self.charger_lost(charger, connection);
    }

    /// A charger loses its connection again and again.
    pub(super) fn flap(&mut self, charger: usize, until: u64) {
        if self.schedule.now() >= until || self.healed {
            return;
        }
        let half_open = self.dice.chance(300);
        self.drop_charger(charger, half_open, SECOND);
        let us = self.dice.between(50, 3_000) * MS;
        self.schedule.after(us, Event::Flap { charger, until });
    }

    /// A second charger of the same identity wants to be connected, or no more.
    pub(super) fn wake_clone(&mut self, charger: usize, awake: bool) {
        let clone = charger + self.plan.chargers;
        self.chargers[clone].awake = awake;
        if awake {
            return self.dial(clone);
        }
        self.drop_charger(clone, false, 0);
    }

    /// A charger answers the newest command of every other one. Nobody may believe it.
    pub(super) fn forge(&mut self, charger: usize) {
        let Some((to, life, socket)) = self.chargers[charger].home else {
            return;
        };
        let own = self.charge_points[charger].clone();
        for id in self.redis.data.newest_of_others(&own) {
            let answer = Answer::Result(r#"{"status":"Forged"}"#.to_owned());
            let us = self.delay();
            let what = EdgeEvent::Heard {
                socket,
                answer: Box::new((id, answer)),
            };
            self.schedule.after(us, Event::Edge { to, life, what });
        }
    }
}
