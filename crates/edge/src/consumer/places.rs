//! The places that an edge consumes. Mostly one; two while it moves.
//!
//! A pod that is given another place goes on where it is, opens the new place beside it, and moves once its canary
//! has come round there. The router publishes the new place, and only then the time runs for which the old one is
//! still consumed: until what routers sent there before is surely there. Leaves out what a record says, and when the
//! router publishes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, CanaryLimits, Event, Lane, Record};
use domain::dispatch::Consumes;
use domain::ids::LinkNumber;

use super::LaneSource;
use crate::canary::CanaryGate;

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

/// A place that the pod moved away from.
pub(super) struct Old<S> {
    pub(super) place: Place<S>,
    /// Until when it is consumed, in milliseconds; none while routers may still be told to send there.
    pub(super) until_ms: Option<u64>,
}

/// What became of a move.
pub(super) enum Moved<S> {
    /// The pod stays where it is.
    Not,
    /// The pod moved.
    On,
    /// The pod moved past a place that no reply named as published; the one before is consumed until the new one is.
    /// Routers may still send to the place that is passed, until the new one is published, if a renewal named it whose
    /// reply was lost. What they send there is then not read: it is dispatched again when its claim ends.
    Past(Option<Place<S>>),
}

/// All places.
pub(super) struct Places<S> {
    /// Opened, and not proven yet.
    pub(super) coming: Option<Place<S>>,
    /// Proven, and perhaps published.
    pub(super) current: Option<Place<S>>,
    pub(super) old: Option<Old<S>>,
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
            old: None,
        }
    }

    /// The next record or error of any place. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        let old = self.old.as_mut().map(|old| &mut old.place);
        tokio::select! {
            event = next_of(self.current.as_mut()) => event,
            event = next_of(self.coming.as_mut()) => event,
            event = next_of(old) => event,
        }
    }

    /// A canary came round.
    pub(super) fn seen(&mut self, record: &Record, link: LinkNumber, now_ms: u64) {
        let lane = Lane {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
        };
        // The old place may become the present one again, and is not deaf for having been left.
        let old = self.old.as_mut().map(|old| &mut old.place);
        for place in self.current.iter_mut().chain(&mut self.coming).chain(old) {
            place.gate.seen(&lane, link, now_ms);
        }
    }

    /// Goes back to the old place if that is the one and routers may still be told to send there; whether it did.
    /// The new place would never be published, so the old one never drained, and no further move could begin.
    pub(super) fn turn_back(&mut self, to: &Consumes) -> bool {
        let back = |old: &mut Old<S>| old.until_ms.is_none() && old.place.consumes == *to;
        let Some(old) = self.old.take_if(back) else {
            return false;
        };
        let until_ms = None;
        let left = self.current.replace(old.place);
        self.old = left.map(|place| Old { place, until_ms });
        true
    }

    /// Moves to the coming place if it is proven and the last move is over, or came to nothing.
    pub(super) fn advance(&mut self, now_ms: u64) -> Moved<S> {
        let proven = self
            .coming
            .as_ref()
            .is_some_and(|place| place.gate.is_open(now_ms));
        if !proven || self.old.as_ref().is_some_and(|old| old.until_ms.is_some()) {
            return Moved::Not;
        }
        let left = self.current.take();
        self.current = self.coming.take();
        if self.old.is_some() {
            return Moved::Past(left);
        }
        let until_ms = None;
        self.old = left.map(|place| Old { place, until_ms });
        Moved::On
    }

    /// The router published this place: if it is the present one, the old one is drained for so long.
    pub(super) fn published(&mut self, published: &Consumes, drain: Duration, now_ms: u64) {
        let here = self
            .current
            .as_ref()
            .is_some_and(|place| place.consumes == *published);
        if let Some(old) = self.old.as_mut().filter(|old| here && old.until_ms.is_none()) {
            let drain_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
            old.until_ms = Some(now_ms.saturating_add(drain_ms));
        }
    }

    /// The old place, once it is drained.
    pub(super) fn take_drained(&mut self, now_ms: u64) -> Option<Place<S>> {
        let over = |old: &mut Old<S>| old.until_ms.is_some_and(|until| until <= now_ms);
        self.old.take_if(over).map(|old| old.place)
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
