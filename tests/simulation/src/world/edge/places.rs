//! The places that an edge consumes: the rules of `crates/edge`'s `Places`. Mostly one; two while its pod moves, and
//! the old one until what routers sent there before is surely there.

use domain::command::Lane;

use crate::plan::SECOND;

/// Both lanes must have brought a canary within this.
const FRESH_US: u64 = 5 * SECOND;
/// How long the old place is consumed after routers were told of the new one: the lease of a dispatch, and the
/// time in which a producer gives a record up.
const DRAIN_US: u64 = 12 * SECOND;

/// One place.
#[derive(Debug)]
pub(super) struct Place {
    /// Its name: a shard may be opened twice.
    pub(super) name: u64,
    pub(super) shard: usize,
    /// Older links were another process's, or came before these lanes were consumed.
    first_link: u64,
    pub(super) open: bool,
    /// The next record of each lane; none before the consumer stood at their ends.
    pub(super) offsets: Option<[usize; 2]>,
    /// When each lane last brought a canary.
    seen: [Option<u64>; 2],
}

/// All places.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Not proven yet.
    pub(super) coming: Option<Place>,
    /// Proven once, and perhaps published.
    pub(super) current: Option<Place>,
    /// Left, and until when it is consumed; none while routers may still be told to send there.
    pub(super) old: Option<(Place, Option<u64>)>,
    /// Where routers were told to send.
    published: Option<usize>,
}

impl Place {
    pub(super) fn new(name: u64, shard: usize, first_link: u64) -> Self {
        Self {
            name,
            shard,
            first_link,
            open: false,
            offsets: None,
            seen: [None; 2],
        }
    }

    fn is_proven(&self, now: u64) -> bool {
        let fresh = |at: &Option<u64>| at.is_some_and(|at| now.saturating_sub(at) <= FRESH_US);
        self.open && self.seen.iter().all(fresh)
    }
}

impl Places {
    /// The router said where to consume; true if that place has to be opened.
    ///
    /// A pod that is told to go back before routers were told of the new place goes back at once: the new place would
    /// never be published, the old one never drained, and no further move could begin.
    pub(super) fn wants(&mut self, shard: usize, now: u64) -> bool {
        let is = |place: &Option<Place>| place.as_ref().is_some_and(|p| p.shard == shard);
        if is(&self.coming) {
            return false;
        }
        self.coming = None;
        let back = |(place, until): &mut (Place, Option<u64>)| place.shard == shard && until.is_none();
        if let Some((place, _)) = self.old.take_if(back) {
            self.old = self.current.replace(place).map(|left| (left, None));
            self.drain(now);
        }
        !is(&self.current)
    }

    /// The shard whose lanes are proven now.
    pub(super) fn proven(&self, now: u64) -> Option<usize> {
        let current = self.current.as_ref().filter(|place| place.is_proven(now));
        current.map(|place| place.shard)
    }

    /// A canary came round.
    pub(super) fn seen(&mut self, shard: usize, lane: Lane, link: u64, now: u64) {
        for place in self.current.iter_mut().chain(&mut self.coming) {
            if place.shard == shard && link >= place.first_link {
                place.seen[lane as usize] = Some(now);
            }
        }
    }

    /// Moves if the new place is proven and the last move is over, and leaves the old one when it is drained.
    pub(super) fn advance(&mut self, now: u64) {
        self.old
            .take_if(|(_, until)| until.is_some_and(|until| until <= now));
        if self.old.is_none() && self.coming.as_ref().is_some_and(|p| p.is_proven(now)) {
            self.old = self.current.take().map(|place| (place, None));
            self.current = self.coming.take();
            self.drain(now);
        }
    }

    /// Routers were told to send there.
    pub(super) fn publish(&mut self, shard: usize, now: u64) {
        self.published = Some(shard);
        self.drain(now);
    }

    /// Where the present place is published, the time of the old one runs.
    fn drain(&mut self, now: u64) {
        let here = self.current.as_ref().map(|p| p.shard) == self.published;
        if let Some((_, until)) = self.old.as_mut().filter(|_| here) {
            until.get_or_insert(now + DRAIN_US);
        }
    }

    /// Every place.
    pub(super) fn all(&self) -> impl Iterator<Item = &Place> {
        let old = self.old.as_ref().map(|(place, _)| place);
        self.current.iter().chain(&self.coming).chain(old)
    }

    /// The place of a name.
    pub(super) fn named(&mut self, name: u64) -> Option<&mut Place> {
        let old = self.old.as_mut().map(|(place, _)| place);
        let all = self.current.iter_mut().chain(&mut self.coming).chain(old);
        all.into_iter().find(|place| place.name == name)
    }
}
