//! Redis time as protobuf timestamps and back.

use domain::ids::Micros;
use prost_types::Timestamp;

/// A moment as a timestamp; none for 0, which means that there is no such moment.
#[must_use]
pub fn timestamp(at: Micros) -> Option<Timestamp> {
    let seconds = i64::try_from(at.0 / 1_000_000).ok()?;
    let nanos = i32::try_from(at.0 % 1_000_000 * 1_000).ok()?;
    (at.0 > 0).then_some(Timestamp { seconds, nanos })
}

/// A timestamp as a moment. None where it is before 1970 or no proper timestamp; fractions of a microsecond
/// are dropped.
#[must_use]
pub fn micros(at: &Timestamp) -> Option<Micros> {
    let nanos = u64::try_from(at.nanos).ok().filter(|n| *n < 1_000_000_000)?;
    let seconds = u64::try_from(at.seconds).ok()?;
    Some(Micros(
        seconds.checked_mul(1_000_000)?.checked_add(nanos / 1_000)?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_moment_survives_the_way_there_and_back(us in 1..9_000_000_000_000_000_u64) {
            prop_assert_eq!(micros(&timestamp(Micros(us)).unwrap()), Some(Micros(us)));
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        assert_eq!(timestamp(Micros(0)), None);
        assert_eq!(
            micros(&Timestamp {
                seconds: -1,
                nanos: 0
            }),
            None
        );
        assert_eq!(
            micros(&Timestamp {
                seconds: 1,
                nanos: -1
            }),
            None
        );
        assert_eq!(
            micros(&Timestamp {
                seconds: 1,
                nanos: 1_000_000_000
            }),
            None
        );
        assert_eq!(
            micros(&Timestamp {
                seconds: i64::MAX,
                nanos: 0
            }),
            None
        );
    }
}
