//! What a subscription has heard of each slot, without I/O. Redis promises no delivery of what it publishes, and a
//! connection may die without a word; but every end of a command carries the next number of its slot, and the
//! timers' rounds, or the looks in their place, tell each second how far the numbers are. So a lost end shows, and
//! nobody needs to ask for it. What is said of a round here holds of a look.

use domain::ids::Slot;

/// The numbers of all slots.
#[derive(Debug)]
pub(super) struct Heard(Vec<Option<Numbers>>);

/// The numbers of one slot.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    /// The last one that was published here, or passed over.
    heard: u64,
    /// How far the slot was at the round before, or by a message that overtook that round; 0 before the first one.
    told: u64,
}

impl Heard {
    /// Nothing is known of so many slots.
    pub(super) fn new(slots: u16) -> Self {
        Self(vec![None; usize::from(slots)])
    }

    /// A new subscription begins: what was missed before it is everybody's business.
    pub(super) fn forget(&mut self) {
        self.0.fill(None);
    }

    /// A message with this number came; true if one before it was lost. The first one may overtake the first round.
    pub(super) fn published(&mut self, slot: Slot, number: u64) -> bool {
        let Some(entry) = self.0.get_mut(usize::from(slot.0)) else {
            return false;
        };
        let numbers = entry.get_or_insert(Numbers {
            heard: number,
            told: 0,
        });
        let lost = number > numbers.heard.saturating_add(1);
        numbers.heard = numbers.heard.max(number);
        lost
    }

    /// A round tells how far the slot is; true if what was there at the round before was never published here, or
    /// if the store was rolled back. A message and a round come by two connections, so one may overtake the other.
    pub(super) fn told(&mut self, slot: Slot, number: u64) -> bool {
        let Some(entry) = self.0.get_mut(usize::from(slot.0)) else {
            return false;
        };
        let numbers = entry.get_or_insert(Numbers {
            heard: number,
            told: number,
        });
        let (lost, back) = (numbers.told > numbers.heard, number < numbers.told);
        if lost {
            numbers.heard = numbers.told;
        }
        if back {
            numbers.heard = number;
        }
        // The next round runs after what was heard by now: one that tells of less is of a store that was rolled back.
        numbers.told = number.max(numbers.heard);
        lost || back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = Slot(1);

    fn heard(number: u64) -> Heard {
        let mut heard = Heard::new(2);
        assert!(!heard.told(SLOT, number));
        heard
    }

    #[test]
    fn what_comes_in_order_or_is_overtaken_by_a_round_is_no_loss() {
        let mut heard = heard(10);
        assert!(!heard.published(SLOT, 11));
        // The round has run after the end of 12, whose message is still on its way.
        assert!(!heard.told(SLOT, 12));
        assert!(!heard.published(SLOT, 12));
        assert!(!heard.told(SLOT, 12));
        assert!(!heard.told(SLOT, 12));
    }

    #[test]
    fn a_lost_message_shows_at_the_next_one_or_at_the_second_round() {
        let mut between = heard(10);
        assert!(between.published(SLOT, 12));
        assert!(!between.published(SLOT, 13));
        let mut last = heard(10);
        assert!(!last.told(SLOT, 11));
        assert!(last.told(SLOT, 11));
        assert!(!last.told(SLOT, 11), "a loss is told once");
        assert!(!last.published(SLOT, 12));
    }

    #[test]
    fn a_store_that_was_rolled_back_shows_and_is_followed() {
        let mut heard = heard(10);
        assert!(heard.told(SLOT, 4));
        assert!(!heard.published(SLOT, 5));
        assert!(!heard.told(SLOT, 5));
    }

    #[test]
    fn a_new_subscription_begins_where_the_slot_is() {
        let mut heard = heard(10);
        heard.forget();
        assert!(!heard.told(SLOT, 60));
        assert!(!heard.told(SLOT, 60));
        assert!(!heard.published(Slot(9), 1) && !heard.told(Slot(9), 1));
    }

    #[test]
    fn the_first_message_may_overtake_the_first_round() {
        let mut heard = Heard::new(2);
        assert!(!heard.published(SLOT, 50));
        // The round has run before the end of 50.
        assert!(!heard.told(SLOT, 49));
        assert!(!heard.told(SLOT, 50));
        assert!(!heard.told(SLOT, 50), "50 was heard of");
        assert!(!heard.told(SLOT, 51));
        assert!(heard.told(SLOT, 51), "51 was not");
    }

    #[test]
    fn a_store_that_was_rolled_back_behind_a_message_shows_at_the_second_round() {
        let mut heard = Heard::new(2);
        assert!(!heard.published(SLOT, 50));
        assert!(!heard.told(SLOT, 40), "it may have run before");
        assert!(heard.told(SLOT, 41));
        assert!(heard.published(SLOT, 43), "42 was lost");
    }
}
