//! What is sent: actions, classes, priorities, deadlines, keys, and what is done besides. A pure function of the seed.

use wire::gateway::command::v1::{Priority, RedeliveryClass};

use super::super::dice::Dice;

/// One kind of command.
struct Sample {
    action: &'static str,
    payload: &'static str,
    /// Another payload, for a key that is used for something else.
    other: &'static str,
    class: RedeliveryClass,
}

/// Two fifths of it are unsafe to repeat.
const SAMPLES: [Sample; 5] = [
    Sample {
        action: "TriggerMessage",
        payload: r#"{"requestedMessage":"Heartbeat"}"#,
        other: r#"{"requestedMessage":"StatusNotification"}"#,
        class: RedeliveryClass::Safe,
    },
    Sample {
        action: "UnlockConnector",
        payload: r#"{"connectorId":1}"#,
        other: r#"{"connectorId":2}"#,
        class: RedeliveryClass::Unsafe,
    },
    Sample {
        action: "ChangeConfiguration",
        payload: r#"{"key":"HeartbeatInterval","value":"300"}"#,
        other: r#"{"key":"HeartbeatInterval","value":"301"}"#,
        class: RedeliveryClass::Safe,
    },
    Sample {
        action: "ReserveNow",
        payload: r#"{"connectorId":1,"expiryDate":"2030-01-01T00:00:00Z","idTag":"A","reservationId":1}"#,
        other: r#"{"connectorId":1,"expiryDate":"2030-01-01T00:00:00Z","idTag":"B","reservationId":1}"#,
        class: RedeliveryClass::Unsafe,
    },
    Sample {
        action: "GetConfiguration",
        payload: "{}",
        other: r#"{"key":["HeartbeatInterval"]}"#,
        class: RedeliveryClass::Safe,
    },
];

/// Chargers that never connect: their commands wait and expire.
const ABSENT: [&str; 4] = ["XX-000001", "XX-000002", "XX-000003", "XX-000004"];

/// One in so many ticks brings a backlog for one charger, with an urgent command behind it.
const BACKLOG_EACH: u64 = 90;

/// One in so many ticks brings more than a charger's queue takes.
const FLOOD_EACH: u64 = 700;

/// How long a flood is: above the bound of open commands.
const FLOOD: u64 = super::super::options::bounds::MAX_OPEN + 6;

/// A command to send, and what to do besides.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) charger: String,
    pub(super) action: &'static str,
    pub(super) payload: &'static str,
    pub(super) class: RedeliveryClass,
    pub(super) priority: Priority,
    /// How long it may take, in milliseconds.
    pub(super) deadline_ms: u64,
    /// Empty for none.
    pub(super) key: String,
    /// Sends it a second time with the same key.
    pub(super) twice: bool,
    /// Sends this payload with the same key.
    pub(super) reuse: Option<&'static str>,
    /// Cancels it after so many milliseconds.
    pub(super) cancel_ms: Option<u64>,
}

/// The stream of orders.
#[derive(Debug)]
pub(super) struct Mix {
    dice: Dice,
    chargers: Vec<String>,
    number: u64,
}

impl Mix {
    pub(super) fn new(dice: Dice, chargers: Vec<String>) -> Self {
        Self {
            dice,
            chargers,
            number: 0,
        }
    }

    /// What is sent at the next tick: mostly one command.
    pub(super) fn next_orders(&mut self) -> Vec<Order> {
        let number = self.number;
        self.number += 1;
        if number % FLOOD_EACH == FLOOD_EACH / 4 {
            let charger = (*self.dice.pick(&ABSENT).unwrap_or(&ABSENT[0])).to_owned();
            return (0..FLOOD).map(|_| self.plain(charger.clone(), 12_000)).collect();
        }
        let charger = self.charger();
        if number % BACKLOG_EACH == BACKLOG_EACH / 2 {
            return self.backlog(&charger);
        }
        vec![self.order(charger)]
    }

    /// Low commands and an urgent one behind them, all for one charger.
    fn backlog(&mut self, charger: &str) -> Vec<Order> {
        let mut orders: Vec<Order> = (0..8).map(|_| self.plain(charger.to_owned(), 18_000)).collect();
        for order in &mut orders {
            order.priority = Priority::Low;
        }
        let mut urgent = self.plain(charger.to_owned(), 15_000);
        urgent.priority = Priority::Urgent;
        orders.push(urgent);
        orders
    }

    /// A command with everything that may happen to it.
    fn order(&mut self, charger: String) -> Order {
        let deadline_ms = self.dice.between(4_000, 20_000);
        let mut order = self.plain(charger, deadline_ms);
        let dice = &mut self.dice;
        order.priority = match dice.between(0, 99) {
            0..20 => Priority::Low,
            20..75 => Priority::Normal,
            75..88 => Priority::High,
            _ => Priority::Urgent,
        };
        if dice.percent(5) {
            order.key = String::new();
            return order;
        }
        order.twice = dice.percent(10);
        let other = SAMPLES.iter().find(|sample| sample.action == order.action);
        order.reuse = other.map(|sample| sample.other).filter(|_| dice.percent(4));
        order.cancel_ms = dice.percent(8).then(|| dice.between(0, 3_000));
        order
    }

    fn plain(&mut self, charger: String, deadline_ms: u64) -> Order {
        let sample = self.dice.pick(&SAMPLES).unwrap_or(&SAMPLES[0]);
        Order {
            charger,
            action: sample.action,
            payload: sample.payload,
            class: sample.class,
            priority: Priority::Normal,
            deadline_ms,
            key: format!("{:016x}", self.dice.next()),
            twice: false,
            reuse: None,
            cancel_ms: None,
        }
    }

    fn charger(&mut self) -> String {
        if self.dice.percent(3) {
            return (*self.dice.pick(&ABSENT).unwrap_or(&ABSENT[0])).to_owned();
        }
        self.dice.pick(&self.chargers).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_sends_the_same_and_the_mix_has_everything() {
        let orders = |seed| {
            let mut mix = Mix::new(Dice::new(seed), vec!["A".to_owned(), "B".to_owned()]);
            (0..2_000).flat_map(|_| mix.next_orders()).collect::<Vec<_>>()
        };
        let (one, again) = (orders(5), orders(5));
        assert!(
            one.iter()
                .zip(&again)
                .all(|(a, b)| a.key == b.key && a.charger == b.charger)
        );
        assert!(one.iter().any(|order| order.class == RedeliveryClass::Unsafe));
        assert!(
            one.iter()
                .any(|order| order.priority == Priority::Urgent && order.cancel_ms.is_some())
        );
        assert!(
            one.iter()
                .any(|order| order.reuse.is_some_and(|other| other != order.payload))
        );
        assert!(one.iter().any(|order| order.key.is_empty() && !order.twice));
        let flooded = one.iter().filter(|order| order.charger == "XX-000001").count();
        assert!(flooded > 30 || one.iter().filter(|order| order.charger.starts_with("XX")).count() > 100);
    }
}
