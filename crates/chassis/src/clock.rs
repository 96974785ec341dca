//! Time: monotonic microseconds for leases and timeouts, wall clock time for records and people.
//!
//! A lease is only ever judged by [`MonoClock`]; the wall clock may be set back at any moment. Leaves out time
//! zones (all is UTC), leap seconds (as Unix time does) and parsing.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A monotonic clock in microseconds since the process started. Cheap to clone; by hand in tests.
#[derive(Clone, Debug, Default)]
pub struct MonoClock(Reading);

/// The hand of a clock that tests move.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

#[derive(Clone, Debug, Default)]
enum Reading {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
}

impl MonoClock {
    /// The system's monotonic clock. It goes on while the process is stopped, so a lease that ended during a
    /// SIGSTOP has ended; it stands still while the whole machine sleeps.
    pub fn system() -> Self {
        let _ = process_start();
        Self(Reading::System)
    }

    /// A clock that stands at 0 until its hand is moved.
    pub fn manual() -> (Self, ManualClock) {
        let hand = Arc::new(AtomicU64::new(0));
        (Self(Reading::Manual(Arc::clone(&hand))), ManualClock(hand))
    }

    /// Microseconds since the process started; two readings never go backwards.
    pub fn now_us(&self) -> u64 {
        match &self.0 {
            Reading::System => u64::try_from(process_start().elapsed().as_micros()).unwrap_or(u64::MAX),
            Reading::Manual(hand) => hand.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds since the process started.
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    /// The time since an earlier reading; zero if that reading is not earlier.
    pub fn since(&self, earlier_us: u64) -> Duration {
        Duration::from_micros(self.now_us().saturating_sub(earlier_us))
    }
}

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(
            u64::try_from(by.as_micros()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
    }
}

/// Milliseconds since 1970 by the wall clock; 0 if the clock stands before that.
pub fn wall_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock now as RFC 3339, such as `2026-11-21T06:24:29.123Z`.
pub fn rfc3339_now() -> String {
    rfc3339(wall_ms())
}

/// Milliseconds since 1970 as RFC 3339 with milliseconds, in UTC.
pub fn rfc3339(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1_000, unix_ms % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The instant all monotonic readings count from: the first use of a clock, which the runner makes its first act.
fn process_start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Counted in years that begin in March, the leap day is the last day of a year, and 400 years have 146,097 days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;
    let days = days + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March to July and August to December have the same pattern of lengths, 153 days in five months.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_gregorian_calendar_day_by_day() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil_from_days(days), (year, month, day), "day {days}");
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == last => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_827_696_007), "2000-02-29T12:34:56.007Z");
        assert_eq!(rfc3339(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = MonoClock::manual();
        let start = clock.now_us();
        assert_eq!(clock.now_us(), start);
        hand.advance(Duration::from_millis(2));
        assert_eq!(clock.since(start), Duration::from_millis(2));
        assert_eq!(clock.now_ms(), 2);
    }

    #[test]
    fn the_system_clock_never_goes_backwards() {
        let clock = MonoClock::system();
        let readings: Vec<_> = (0..1_000).map(|_| clock.now_us()).collect();
        assert!(readings.is_sorted());
    }
}
