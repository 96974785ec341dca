//! A router's claims: dispatched to the place that the lease names, or given back.

use domain::command::Command;
use domain::delivery::{Event, EventKind};
use domain::dispatch::{self, Consumes, Lease, Step};
use domain::edge::{Input, RoutedCommand};
use domain::ids::{Incarnation, LinkNumber, Nonce, Version};
use domain::slot::EventInput;

use crate::state::{Message, State, edge_of};

impl State {
    /// A claim is dispatched, or given back.
    pub(crate) fn dispatch(&mut self, command: &Command) {
        let Some((edge, step)) = self.decide(command) else {
            return;
        };
        match step {
            Step::Produce(_) => self.produce(edge, command),
            Step::GiveBack(_) => self.give_back(command),
            Step::Done => {}
        }
    }

    /// The record is in Kafka, but its producer believes that it is not.
    pub(crate) fn lose_report(&mut self, index: u8) {
        let envelope = self.net.remove(usize::from(index));
        let Message::Claim { claimed, .. } = &*envelope.message else {
            return;
        };
        if let Some((edge, Step::Produce(_))) = self.decide(&claimed.command) {
            self.produce(edge, &claimed.command);
        }
        self.give_back(&claimed.command);
    }

    /// A link broke, as its router noticed: a link opened since then wins.
    pub(crate) fn suspect(&mut self, edge: u8, incarnation: Incarnation, link: LinkNumber) {
        let pod = &mut self.store.edit().pods[usize::from(edge)];
        if pod.incarnation == incarnation && pod.link == link {
            pod.suspect = true;
        }
    }

    fn decide(&self, command: &Command) -> Option<(u8, Step)> {
        let route = command.progress.route.as_ref()?;
        let edge = edge_of(&route.pod);
        let record = self.store.pods[usize::from(edge)];
        let lease = (record.incarnation.0 > 0).then(|| Lease {
            pod: route.pod.clone(),
            incarnation: record.incarnation,
            link: record.link,
            expires: record.expires,
            suspect: record.suspect,
            draining: false,
            consumes: Consumes {
                topic: String::new(),
                normal: 0,
                urgent: 0,
            },
            floor: record.floor,
        });
        let read = dispatch::Input::LeaseRead(lease);
        Some((
            edge,
            dispatch::step(route, command.progress.timer, self.time(), read),
        ))
    }

    fn produce(&mut self, edge: u8, command: &Command) {
        let Some(route) = &command.progress.route else {
            return;
        };
        let request = &command.request;
        let routed = RoutedCommand {
            id: request.id,
            charge_point: request.charge_point.clone(),
            action: request.action.clone(),
            payload: request.payload.clone(),
            priority: request.priority,
            class: request.class,
            deadline: command.deadline,
            dispatch: command.progress.dispatch,
            version: route.version,
            attempt: command.progress.attempts + 1,
            answer_timeout_us: request.answer_timeout_us,
        };
        let input = Input::Record {
            incarnation: route.incarnation,
            command: routed,
        };
        self.post(Message::Record { edge, input });
    }

    fn give_back(&mut self, command: &Command) {
        let version = command.progress.route.as_ref().map_or(Version(0), |r| r.version);
        let event = Event {
            kind: EventKind::Undelivered,
            dispatch: command.progress.dispatch,
            version,
            nonce: Nonce(0),
            incarnation: Incarnation(0),
        };
        self.apply(
            0,
            &EventInput {
                id: command.request.id,
                event,
                answer: None,
                charge_point: None,
            },
        );
    }
}
