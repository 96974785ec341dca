//! The places that an edge consumes: mostly one, more while it moves.
//!
//! A pod that is given another place goes on where it is, opens the new place beside it, and moves once its canary
//! has come round there. The router publishes the new place, and only then the time runs for which the old one is
//! still consumed: until what routers sent there before is surely there. A pod that is moved again before that keeps
//! what it moved past as well, since the reply that named it as published may be lost. Leaves out what a record says,
//! and when the router publishes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, CanaryLimits, Event, Lane, Record};
use domain::dispatch::Consumes;
use domain::ids::LinkNumber;
use futures_util::future::select_all;

use super::LaneSource;
use crate::canary::CanaryGate;

/// How many places that the pod left are consumed at most, as each costs a client of Kafka.
const MOST_LEFT: usize = 2;

/// A place on its way to be consumed: whether it could be opened.
pub(super) type Opening<S> = Pin<Box<dyn Future<Output = (S, Result<(), BusError>)> + Send>>;
/// A place on its way out.
pub(super) type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One place that is consumed.
pub(super) struct Place<S> {
    pub(super) consumes: Consumes,
    pub(super) source: S,
    pub(super) gate: CanaryGate,
}

/// What became of a move.
pub(super) enum Moved<S> {
    /// The pod stays where it is.
    Not,
    /// The pod moved. Where that makes too many places that it left, this one is consumed no more: what routers send
    /// there is not read, but dispatched again when its claim ends.
    On(Option<Place<S>>),
}

/// All places.
pub(super) struct Places<S> {
    /// Opened, and not proven yet.
    pub(super) coming: Option<Place<S>>,
    /// Proven, and perhaps published.
    pub(super) current: Option<Place<S>>,
    /// The places that the pod moved away from, in that order. While no time is set for their end, any of them may be
    /// the one that routers send to.
    pub(super) left: Vec<Place<S>>,
    /// Until when those are consumed, in milliseconds; none while routers may still be told to send there.
    left_until_ms: Option<u64>,
}

impl<S: LaneSource> Place<S> {
    /// A place that was opened just now. Only canaries of `first_link` or later ones prove it.
    pub(super) fn new(
        consumes: Consumes,
        source: S,
        first_link: LinkNumber,
        limits: CanaryLimits,
        now_ms: u64,
    ) -> Self {
        let gate = CanaryGate::new(lanes_of(&consumes), first_link, limits, now_ms);
        Self {
            consumes,
            source,
            gate,
        }
    }
}

impl<S: LaneSource> Places<S> {
    pub(super) fn none() -> Self {
        Self {
            coming: None,
            current: None,
            left: Vec::new(),
            left_until_ms: None,
        }
    }

    /// The next record or error of any place. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        tokio::select! {
            event = next_of(self.current.as_mut()) => event,
            event = next_of(self.coming.as_mut()) => event,
            event = next_of_any(&mut self.left) => event,
        }
    }

    /// A canary came round.
    pub(super) fn seen(&mut self, record: &Record, link: LinkNumber, now_ms: u64) {
        let lane = Lane {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
        };
        // A place that was left may become the present one again, and is not deaf for having been left.
        let others = self.coming.iter_mut().chain(&mut self.left);
        for place in self.current.iter_mut().chain(others) {
            place.gate.seen(&lane, link, now_ms);
        }
    }

    /// Goes back to a place that was left if that is the one and routers may still be told to send there; whether it
    /// did. The new place would never be published, so no place that was left would end.
    pub(super) fn turn_back(&mut self, to: &Consumes) -> bool {
        let at = self.left.iter().position(|place| place.consumes == *to);
        let Some(at) = at.filter(|_| self.left_until_ms.is_none()) else {
            return false;
        };
        let back = self.left.remove(at);
        self.left.extend(self.current.replace(back));
        true
    }

    /// Moves to the coming place if it is proven and the last move is over, or came to nothing.
    pub(super) fn advance(&mut self, now_ms: u64) -> Moved<S> {
        let proven = self
            .coming
            .as_ref()
            .is_some_and(|place| place.gate.is_open(now_ms));
        if !proven || self.left_until_ms.is_some() {
            return Moved::Not;
        }
        self.left.extend(self.current.take());
        self.current = self.coming.take();
        // Neither the first, which routers were told of for certain unless the pod turned back since, nor the last, of
        // which they were told last.
        Moved::On((self.left.len() > MOST_LEFT).then(|| self.left.remove(1)))
    }

    /// The router published this place: if it is the present one, those that were left are drained for so long.
    pub(super) fn published(&mut self, published: &Consumes, drain: Duration, now_ms: u64) {
        let here = self
            .current
            .as_ref()
            .is_some_and(|place| place.consumes == *published);
        if here && !self.left.is_empty() && self.left_until_ms.is_none() {
            let drain_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
            self.left_until_ms = Some(now_ms.saturating_add(drain_ms));
        }
    }

    /// The places that were left, once they are drained.
    pub(super) fn take_drained(&mut self, now_ms: u64) -> Vec<Place<S>> {
        if self
            .left_until_ms
            .take_if(|until_ms| *until_ms <= now_ms)
            .is_none()
        {
            return Vec::new();
        }
        std::mem::take(&mut self.left)
    }

    /// The place whose lanes are proven now.
    pub(super) fn proven(&self, now_ms: u64) -> Option<&Consumes> {
        let current = self.current.as_ref().filter(|place| place.gate.is_open(now_ms));
        current.map(|place| &place.consumes)
    }

    /// Those whose canaries count.
    pub(super) fn watched(&mut self) -> impl Iterator<Item = &mut Place<S>> {
        self.current.iter_mut().chain(&mut self.coming)
    }
}

/// The lanes of a place: the normal one, then the urgent one.
pub(super) fn lanes_of(consumes: &Consumes) -> [Lane; 2] {
    let topic: Arc<str> = Arc::from(consumes.topic.as_str());
    [consumes.normal, consumes.urgent].map(|partition| Lane::new(Arc::clone(&topic), partition))
}

/// Tries once to open a place, after a pause.
pub(super) fn open<S: LaneSource>(mut source: S, lanes: [Lane; 2], pause: Duration) -> Opening<S> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        let opened = source.open(lanes).await;
        (source, opened)
    })
}

/// Ends a place.
pub(super) fn close<S: LaneSource>(place: Place<S>) -> Closing {
    Box::pin(async move {
        tracing::info!(topic = place.consumes.topic, "a former place is left");
        if let Err(error) = place.source.close().await {
            tracing::warn!(%error, "the consumer of a former place did not end well");
        }
    })
}

async fn next_of<S: LaneSource>(place: Option<&mut Place<S>>) -> Event {
    match place {
        Some(place) => place.source.next().await,
        None => std::future::pending().await,
    }
}

async fn next_of_any<S: LaneSource>(places: &mut [Place<S>]) -> Event {
    if places.is_empty() {
        return std::future::pending().await;
    }
    let each = places.iter_mut().map(|place| Box::pin(place.source.next()));
    select_all(each).await.0
}
