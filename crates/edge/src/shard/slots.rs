//! The places of a shard's connections: numbered, used again, and never taken for one another.

use std::task::Waker;

use domain::edge::{EdgeTime, Socket};

use super::{Mailbox, Outbound, State};

/// A connection's place. A million of these may live in one process.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Odd while a connection lives here; grows with each, so that a number is never given twice.
    pub(super) generation: u32,
    pub(super) last_seen_s: u32,
    pub(super) waker: Option<Waker>,
    pub(super) mailbox: Option<Box<Mailbox>>,
}

impl Slot {
    pub(super) fn is_live(&self) -> bool {
        self.generation % 2 == 1
    }
}

impl State {
    pub(super) fn slot(&mut self, socket: Socket) -> Option<&mut Slot> {
        let (index, generation) = parts_of(socket);
        self.slots
            .get_mut(index as usize)
            .filter(|slot| slot.generation == generation && slot.is_live())
    }

    pub(super) fn post(&mut self, socket: Socket, out: Outbound) -> Option<Waker> {
        let slot = self.slot(socket)?;
        slot.mailbox.get_or_insert_default().push_back(out);
        slot.waker.clone()
    }

    pub(super) fn take_slot(&mut self, time: EdgeTime) -> Socket {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return Socket(0);
        };
        slot.generation = slot.generation.wrapping_add(1);
        slot.last_seen_s = u32::try_from(time.mono_us / 1_000_000).unwrap_or(u32::MAX);
        socket_of(index, slot.generation)
    }

    pub(super) fn give_slot_back(&mut self, socket: Socket) -> Option<Box<Mailbox>> {
        let slot = self.slot(socket)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.waker = None;
        let mailbox = slot.mailbox.take();
        self.free.push(parts_of(socket).0);
        mailbox
    }
}

pub(super) fn socket_of(index: u32, generation: u32) -> Socket {
    Socket(u64::from(generation) << 32 | u64::from(index))
}

fn parts_of(socket: Socket) -> (u32, u32) {
    (
        u32::try_from(socket.0 & u64::from(u32::MAX)).unwrap_or_default(),
        u32::try_from(socket.0 >> 32).unwrap_or_default(),
    )
}
