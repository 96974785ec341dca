//! What a drain has to know of a shard: which connections may be closed, and what is not yet confirmed.

use domain::edge::Socket;

use super::{Shard, socket_of};

impl Shard {
    /// The open connections; without the `busy` ones, only those whose charger has no CALL to answer.
    #[must_use]
    pub fn sockets(&self, busy: bool) -> Vec<Socket> {
        let state = self.lock();
        let busy_ones = if busy {
            Default::default()
        } else {
            state.machine.busy_sockets()
        };
        let live = state.slots.iter().enumerate().filter(|(_, slot)| slot.is_live());
        let sockets =
            live.map(|(at, slot)| socket_of(u32::try_from(at).unwrap_or_default(), slot.generation));
        sockets.filter(|socket| !busy_ones.contains(socket)).collect()
    }

    /// How many commands have something to tell a router that no router has confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.lock().machine.unconfirmed()
    }
}
