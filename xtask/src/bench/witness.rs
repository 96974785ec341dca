//! Whether the machine itself kept its speed. The host of a virtual machine may give it a fraction of its speed for a
//! tenth of a second, again and again; the slowest hundredth of the commands then tells of the host.
//!
//! A thread does the same small piece of work every few milliseconds and takes its own processor time, in which what
//! else runs on this machine hardly shows. Where that is much more than usual, the machine was slow. Left out: disks.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

use super::rig::wall_us;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(4);

/// Steps of the work, some 50 microseconds of them.
const STEPS: u32 = 40_000;

/// So many times the usual is slow.
const SLOW: f64 = 1.5;

/// How long what gathered while the machine was slow may take to be worked off.
const AFTERMATH_US: u64 = 100_000;

/// One look: when, by the wall clock, and how much processor time the work took.
type Look = (u64, Duration);

/// The thread that looks; dropping it ends it.
#[derive(Debug)]
pub(super) struct Witness {
    looks: Arc<Mutex<Vec<Look>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// When the machine was slow.
#[derive(Debug, Default)]
pub(super) struct SlowTimes {
    /// The looks that say so, in their order.
    at_us: Vec<u64>,
    looks: usize,
}

impl Witness {
    /// Begins to look.
    pub(super) fn begin() -> Result<Self> {
        let (looks, ends) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (seen, end) = (Arc::clone(&looks), Arc::clone(&ends));
        let thread = std::thread::Builder::new().name("witness".to_owned());
        let thread = thread.spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if let Ok(took) = work() {
                    lock(&seen).push((wall_us(), took));
                }
                std::thread::sleep(PERIOD);
            }
        });
        Ok(Self {
            looks,
            ends,
            thread: Some(thread.context("starting the witness")?),
        })
    }

    /// What was seen so far.
    pub(super) fn slow_times(&self) -> SlowTimes {
        SlowTimes::of(&lock(&self.looks))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It ends within a period; a panic of it has been printed already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl SlowTimes {
    fn of(looks: &[Look]) -> Self {
        let mut times: Vec<Duration> = looks.iter().map(|(_, took)| *took).collect();
        times.sort_unstable();
        let usual = times.get(times.len() / 2).copied().unwrap_or_default();
        let slow = looks.iter().filter(|(_, took)| *took > usual.mul_f64(SLOW));
        Self {
            at_us: slow.map(|(at, _)| *at).collect(),
            looks: looks.len(),
        }
    }

    /// Whether the machine was slow within this time, or so shortly before that it may still have been busy with it.
    pub(super) fn touch(&self, begun_us: u64, took: Duration) -> bool {
        let from = begun_us.saturating_sub(AFTERMATH_US);
        let until = begun_us + u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let next = self.at_us.partition_point(|at| *at < from);
        self.at_us.get(next).is_some_and(|at| *at <= until)
    }

    /// The share of the looks that found it slow, in percent.
    pub(super) fn percent(&self) -> usize {
        self.at_us.len() * 100 / self.looks.max(1)
    }
}

/// The work; how much processor time of this thread it took.
fn work() -> Result<Duration> {
    let begun = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let mut x = 0_u32;
    for _ in 0..STEPS {
        x = black_box(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    }
    let ended = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::from(ended) - Duration::from(begun))
}

fn lock(looks: &Mutex<Vec<Look>>) -> std::sync::MutexGuard<'_, Vec<Look>> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn a_command_is_touched_by_slow_times_within_it_and_shortly_before_it() {
        let mut looks: Vec<Look> = (0..100).map(|n| (1_000_000 + n * 4_000, us(50))).collect();
        looks[50].1 = us(80);
        looks[51].1 = us(70);
        let slow = SlowTimes::of(&looks);
        assert_eq!(slow.percent(), 1);
        let at = looks[50].0;
        assert!(!slow.touch(at - 2_000, us(1_999)));
        assert!(slow.touch(at - 2_000, us(2_000)));
        assert!(slow.touch(at + AFTERMATH_US, us(1)));
        assert!(!slow.touch(at + AFTERMATH_US + 1, us(1)));
    }

    #[test]
    fn it_looks_until_it_is_dropped() {
        let witness = Witness::begin().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while lock(&witness.looks).len() < 3 {
            assert!(std::time::Instant::now() < deadline, "nobody looks");
            std::thread::yield_now();
        }
        let looks = Arc::clone(&witness.looks);
        drop(witness);
        assert_eq!(Arc::strong_count(&looks), 1, "the thread has ended");
        assert!(lock(&looks).iter().all(|(_, took)| *took > Duration::ZERO));
    }
}
