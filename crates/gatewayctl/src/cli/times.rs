//! Arguments that mean moments: until when a command may take, and which stretch of time a list is about. Durations
//! count from the moment at which the program began, by this machine's clock.

use std::time::SystemTime;

use clap::Args;
use prost_types::Timestamp;

use super::values::{self, Moment, Span};
use crate::failure::Failure;

/// When to give up.
#[derive(Debug, Args)]
pub(crate) struct Deadline {
    /// Give up after this long, counted from now by this machine's clock [default: the router's]
    #[arg(
        long,
        value_name = "DURATION",
        conflicts_with = "deadline_at",
        allow_hyphen_values = true
    )]
    pub(crate) deadline: Option<Span>,
    /// Give up at this moment, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = values::timestamp)]
    pub(crate) deadline_at: Option<Timestamp>,
}

impl Deadline {
    /// The moment; none leaves it to the router.
    pub(crate) fn timestamp(&self, now: SystemTime) -> Option<Timestamp> {
        self.deadline
            .map(|span| Timestamp::from(now + span.0))
            .or(self.deadline_at)
    }
}

/// A stretch of time; either side may be open.
#[derive(Debug, Default, Args)]
pub(crate) struct Period {
    /// Only from this moment on: RFC 3339, or a duration such as 2h for that long ago
    #[arg(long, value_name = "TIME|DURATION")]
    pub(crate) since: Option<Moment>,
    /// Only before this moment, written alike
    #[arg(long, value_name = "TIME|DURATION")]
    pub(crate) until: Option<Moment>,
}

impl Period {
    /// The first moment within, and the first behind.
    pub(crate) fn bounds(&self, now: SystemTime) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
        let at = |moment: Option<Moment>| moment.map(|moment| moment.timestamp(now));
        match (at(self.since), at(self.until)) {
            (Some(since), Some(until)) if (since.seconds, since.nanos) >= (until.seconds, until.nanos) => {
                Err(Failure::Period { since, until })
            }
            bounds => Ok(bounds),
        }
    }
}
