//! A machine with hands: clock, nonces, and short words for inputs.

use crate::command::{Answer, Priority, RedeliveryClass};
use crate::edge::{EdgeMachine, EdgeSettings, EdgeTime, Input, Item, Output, RoutedCommand, Socket, Write};
use crate::ids::{
    ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Nonce, Sequence, Slot, Version,
};

pub(super) const MS: u64 = 1_000;
pub(super) const SECOND: u64 = 1_000_000;
/// Redis time when the monotonic clock shows 0.
pub(super) const EPOCH: u64 = 1_000_000_000;
pub(super) const LIFE: Incarnation = Incarnation(7);

pub(super) fn charger(n: u64) -> ChargePointId {
    ChargePointId::parse(&format!("CP-{n}")).unwrap()
}

pub(super) fn command(n: u8) -> CommandId {
    CommandId::new(u64::from(n), [n; 10], Slot(1))
}

pub(super) fn answer(text: &str) -> Answer {
    Answer::Result(text.to_owned())
}

pub(super) struct Bench {
    pub(super) machine: EdgeMachine,
    pub(super) time: EdgeTime,
    pub(super) nonces: u64,
    pub(super) sequences: Vec<Sequence>,
}

impl Bench {
    /// An edge with a link, a lease of an hour and a life.
    pub(super) fn new() -> Self {
        Self::with(EdgeSettings::default())
    }

    pub(super) fn with(settings: EdgeSettings) -> Self {
        let time = EdgeTime {
            mono_us: SECOND,
            redis_upper: Micros(EPOCH),
            lease_until_mono_us: 3_600 * SECOND,
        };
        let machine = EdgeMachine::new(settings, 0, 1);
        let mut bench = Self {
            machine,
            time,
            nonces: 0,
            sequences: Vec::new(),
        };
        bench.input(Input::LinkUp);
        bench.input(Input::IncarnationTaken(LIFE));
        bench
    }

    pub(super) fn input(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        let nonces = &mut self.nonces;
        let mut next = || {
            *nonces += 1;
            Nonce(*nonces)
        };
        self.machine.handle(self.time, input, &mut next, &mut out);
        for output in &out {
            if let Output::ToRouter(Item::Register { sequence, .. }) = output {
                self.sequences.push(*sequence);
            }
        }
        out
    }

    pub(super) fn advance(&mut self, us: u64) {
        self.time.mono_us += us;
        self.time.redis_upper.0 += us;
    }

    /// Lets time pass in ticks of 100 ms; everything that came out.
    pub(super) fn pass(&mut self, us: u64) -> Vec<Output> {
        let mut out = Vec::new();
        for _ in 0..us.div_ceil(100 * MS) {
            self.advance(100 * MS);
            out.extend(self.input(Input::Tick));
        }
        out
    }

    pub(super) fn open(&mut self, n: u64, socket: u64) -> Vec<Output> {
        self.input(Input::Opened {
            charge_point: charger(n),
            socket: Socket(socket),
            ocpp_version: "ocpp1.6",
        })
    }

    pub(super) fn close(&mut self, n: u64, socket: u64) -> Vec<Output> {
        self.input(Input::Closed {
            charge_point: charger(n),
            socket: Socket(socket),
        })
    }

    pub(super) fn registered(&mut self, n: u64, sequence: Sequence, version: u64) -> Vec<Output> {
        let (charge_point, version) = (charger(n), Version(version));
        self.input(Input::Registered {
            charge_point,
            sequence,
            version,
        })
    }

    pub(super) fn last_sequence(&self) -> Sequence {
        *self.sequences.last().unwrap()
    }

    /// Opens a charger and has it registered.
    pub(super) fn connect(&mut self, n: u64, socket: u64, version: u64) {
        self.open(n, socket);
        let sequence = self.last_sequence();
        self.registered(n, sequence, version);
    }

    pub(super) fn routed(&self, n: u64, id: u8, dispatch: u64, version: u64) -> RoutedCommand {
        RoutedCommand {
            id: command(id),
            charge_point: charger(n),
            action: "ChangeAvailability".into(),
            payload: "{}".into(),
            priority: Priority::Normal,
            class: RedeliveryClass::Safe,
            deadline: Micros(EPOCH + 300 * SECOND),
            dispatch: DispatchNumber(dispatch),
            version: Version(version),
            attempt: 1,
            answer_timeout_us: 30 * SECOND,
        }
    }

    pub(super) fn record(&mut self, command: RoutedCommand) -> Vec<Output> {
        self.input(Input::Record {
            incarnation: LIFE,
            command,
        })
    }

    pub(super) fn wrote(&mut self, n: u64, socket: u64, id: u8) -> Vec<Output> {
        self.input(Input::Wrote {
            charge_point: charger(n),
            socket: Socket(socket),
            id: command(id),
        })
    }

    pub(super) fn answered(&mut self, n: u64, id: u8) -> Vec<Output> {
        self.input(Input::Answer {
            charge_point: charger(n),
            id: command(id),
            answer: answer("{}"),
        })
    }

    pub(super) fn confirmed(&mut self, n: u64, id: u8) -> Vec<Output> {
        self.input(Input::AnswerConfirmed {
            id: command(id),
            charge_point: Some(charger(n)),
        })
    }

    pub(super) fn timeout(&mut self, n: u64, socket: u64, id: u8) -> Vec<Output> {
        self.input(Input::CallTimeout {
            charge_point: charger(n),
            socket: Socket(socket),
            id: command(id),
        })
    }

    pub(super) fn grant(&mut self, id: u8, nonce: Nonce, write_before_in_us: u64) -> Vec<Output> {
        let write_before = self.time.redis_upper.plus(write_before_in_us);
        self.input(Input::Grant {
            id: command(id),
            nonce,
            write_before,
        })
    }

    /// Sends an unsafe record; the nonce of the intent that came out.
    pub(super) fn intend(&mut self, n: u64, id: u8, dispatch: u64, version: u64) -> Nonce {
        let mut record = self.routed(n, id, dispatch, version);
        record.class = RedeliveryClass::Unsafe;
        let out = self.record(record);
        intents(&out).first().copied().unwrap()
    }

    /// Writes a safe command through to the notice.
    pub(super) fn write(&mut self, n: u64, socket: u64, id: u8, dispatch: u64, version: u64) {
        let record = self.routed(n, id, dispatch, version);
        assert_eq!(writes(&self.record(record)), [command(id)]);
        assert_eq!(notices(&self.wrote(n, socket, id)), [dispatch]);
    }
}

pub(super) fn items(out: &[Output]) -> Vec<Item> {
    let item = |o: &Output| {
        if let Output::ToRouter(item) = o {
            Some(item.clone())
        } else {
            None
        }
    };
    out.iter().filter_map(item).collect()
}

pub(super) fn calls(out: &[Output]) -> Vec<Write> {
    out.iter()
        .filter_map(|o| {
            if let Output::Write(w) = o {
                Some((**w).clone())
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn writes(out: &[Output]) -> Vec<CommandId> {
    calls(out).into_iter().map(|w| w.id).collect()
}

pub(super) fn closes(out: &[Output]) -> Vec<Socket> {
    out.iter()
        .filter_map(|o| {
            if let Output::Close { socket, .. } = o {
                Some(*socket)
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn intents(out: &[Output]) -> Vec<Nonce> {
    let nonce = |i: Item| {
        if let Item::Intent { nonce, .. } = i {
            Some(nonce)
        } else {
            None
        }
    };
    items(out).into_iter().filter_map(nonce).collect()
}

pub(super) fn non_writes(out: &[Output]) -> Vec<Nonce> {
    let nonce = |i: Item| {
        if let Item::NonWrite { nonce, .. } = i {
            Some(nonce)
        } else {
            None
        }
    };
    items(out).into_iter().filter_map(nonce).collect()
}

/// The dispatches of written notices.
pub(super) fn notices(out: &[Output]) -> Vec<u64> {
    let dispatch = |i: Item| {
        if let Item::Written { dispatch } = i {
            Some(dispatch.dispatch.0)
        } else {
            None
        }
    };
    items(out).into_iter().filter_map(dispatch).collect()
}

/// The dispatches of refusals with their reason.
pub(super) fn refusals(out: &[Output]) -> Vec<(u64, crate::edge::RefusalReason)> {
    let refusal = |i: Item| match i {
        Item::Refusal { dispatch, reason, .. } => Some((dispatch.dispatch.0, reason)),
        _ => None,
    };
    items(out).into_iter().filter_map(refusal).collect()
}

pub(super) fn answers(out: &[Output]) -> Vec<CommandId> {
    items(out)
        .into_iter()
        .filter_map(|i| {
            if let Item::Answer { id, .. } = i {
                Some(id)
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn notes(out: &[Output]) -> Vec<String> {
    items(out)
        .into_iter()
        .filter_map(|i| {
            if let Item::NoteDone { note, .. } = i {
                Some(note)
            } else {
                None
            }
        })
        .collect()
}

/// The versions of unregistrations.
pub(super) fn unregisters(out: &[Output]) -> Vec<u64> {
    let version = |i: Item| {
        if let Item::Unregister { version, .. } = i {
            Some(version.0)
        } else {
            None
        }
    };
    items(out).into_iter().filter_map(version).collect()
}

/// The sequences and first versions of registrations.
pub(super) fn registers(out: &[Output]) -> Vec<(Sequence, u64)> {
    let register = |i: Item| match i {
        Item::Register {
            sequence,
            first_version,
            ..
        } => Some((sequence, first_version.0)),
        _ => None,
    };
    items(out).into_iter().filter_map(register).collect()
}

/// The chargers of renewals.
pub(super) fn renewals(out: &[Output]) -> Vec<(u64, Vec<ChargePointId>)> {
    let renewal = |i: Item| match i {
        Item::RenewConnections {
            request, connections, ..
        } => Some((request, connections.into_iter().map(|(c, _)| c).collect())),
        _ => None,
    };
    items(out).into_iter().filter_map(renewal).collect()
}
