//! The turns of slots, hasty and patient.

use super::*;

fn begun(plan: &mut Plan, now: Instant) -> Vec<u16> {
    std::iter::from_fn(|| plan.begin(now))
        .map(|(slot, _)| slot.0)
        .collect()
}

fn first(slot: u16) -> (Slot, Which) {
    (Slot(slot), Which::First)
}

#[test]
fn a_slot_that_is_done_makes_room_at_once_whatever_the_slowest_does() {
    let (mut plan, now) = (Plan::new(9, (2, 2), Duration::ZERO), Instant::now());
    (0..5).for_each(|n| assert!(!plan.wake(Slot(n), Haste::Now, now)));
    assert_eq!(begun(&mut plan, now), [0, 1]);
    plan.ended(first(1), Drained::Empty, now, 0.0);
    assert_eq!(begun(&mut plan, now), [2]);
    plan.ended(first(2), Drained::More, now, 0.0);
    assert_eq!(begun(&mut plan, now), [3], "who has more queues up again");
    plan.ended(first(3), Drained::Empty, now, 0.0);
    plan.ended(first(0), Drained::Empty, now, 0.0);
    assert_eq!(begun(&mut plan, now), [4, 2]);
}

#[test]
fn a_wake_during_a_drain_is_not_lost_and_no_slot_is_drained_twice_at_a_time() {
    let (mut plan, now) = (Plan::new(2, (2, 2), Duration::ZERO), Instant::now());
    plan.wake(Slot(0), Haste::Now, now);
    assert_eq!(begun(&mut plan, now), [0]);
    plan.wake(Slot(0), Haste::Now, now);
    plan.wake(Slot(7), Haste::Now, now);
    assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
    plan.ended(first(0), Drained::Empty, now, 0.0);
    assert_eq!(begun(&mut plan, now), [0]);
}

#[test]
fn a_stuck_slot_rests_ever_longer_up_to_a_bound_however_often_it_is_woken() {
    let (mut plan, mut now) = (Plan::new(1, (1, 1), Duration::ZERO), Instant::now());
    plan.wake(Slot(0), Haste::Now, now);
    let mut rests = Vec::new();
    for _ in 0..6 {
        assert_eq!(begun(&mut plan, now), [0]);
        plan.ended(first(0), Drained::Stuck, now, 0.0);
        plan.wake(Slot(0), Haste::Now, now);
        assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
        let until = plan.next_end_of_wait().unwrap();
        rests.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(rests, [250, 500, 1_000, 2_000, 2_000, 2_000]);
    assert_eq!(begun(&mut plan, now), [0]);
    plan.ended(first(0), Drained::Empty, now, 0.0);
    plan.wake(Slot(0), Haste::Now, now);
    assert_eq!(begun(&mut plan, now), [0]);
    plan.ended(first(0), Drained::Stuck, now, 1.0);
    assert_eq!((plan.next_end_of_wait().unwrap() - now).as_millis(), 125);
}

#[test]
fn what_is_patient_has_few_turns_and_what_is_not_goes_before_it() {
    let (mut plan, now) = (Plan::new(30, (20, 8), Duration::ZERO), Instant::now());
    (0..12).for_each(|n| assert!(!plan.wake(Slot(n), Haste::Patient, now)));
    plan.wake(Slot(20), Haste::Now, now);
    // One that waits patiently becomes hasty, and is drained once.
    plan.wake(Slot(8), Haste::Now, now);
    assert_eq!(begun(&mut plan, now), [20, 8, 0, 1, 2, 3, 4, 5, 6, 7]);
    plan.wake(Slot(21), Haste::Now, now);
    assert_eq!(begun(&mut plan, now), [21]);
    plan.wake(Slot(0), Haste::Now, now);
    plan.ended(first(0), Drained::Empty, now, 0.0);
    plan.ended(first(1), Drained::More, now, 0.0);
    assert_eq!(
        begun(&mut plan, now),
        [0, 9, 10],
        "who was woken in haste needs no turn"
    );
    for slot in [20, 8, 2] {
        plan.ended(first(slot), Drained::Empty, now, 0.0);
    }
    assert_eq!(
        begun(&mut plan, now),
        [11],
        "the one with more is behind those that wait"
    );
    plan.ended(first(3), Drained::Empty, now, 0.0);
    assert_eq!(begun(&mut plan, now), [1]);
}

#[test]
fn a_wake_in_haste_overtakes_what_is_on_its_way_once_and_only_while_it_is() {
    let (mut plan, now) = (Plan::new(1, (1, 1), Duration::ZERO), Instant::now());
    plan.wake(Slot(0), Haste::Patient, now);
    assert_eq!(begun(&mut plan, now), [0]);
    assert!(
        !plan.wake(Slot(0), Haste::Now, now),
        "nobody knows what the first found"
    );
    assert!(plan.sending(Slot(0)));
    assert!(!plan.wake(Slot(0), Haste::Now, now), "one at a time");
    let second = (Slot(0), Which::Second);
    assert!(plan.ended(second, Drained::Empty, now, 0.0));
    assert!(!plan.wake(Slot(0), Haste::Patient, now), "what is patient waits");
    // It left something that is on its way with the first: there is no hurry before that has ended.
    assert!(!plan.ended(second, Drained::More, now, 0.0));
    assert!(plan.wake(Slot(0), Haste::Now, now));
    assert!(!plan.ended(first(0), Drained::Empty, now, 0.0));
    assert!(!plan.wake(Slot(0), Haste::Now, now), "the first has ended");
    assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
    assert!(!plan.ended(second, Drained::Empty, now, 0.0));
    assert_eq!(begun(&mut plan, now), [0]);
}

#[test]
fn a_slot_rests_when_one_of_its_drains_was_stuck() {
    for stuck in [Which::First, Which::Second] {
        let (mut plan, now) = (Plan::new(1, (1, 1), Duration::ZERO), Instant::now());
        plan.wake(Slot(0), Haste::Now, now);
        assert_eq!(begun(&mut plan, now), [0]);
        plan.sending(Slot(0));
        assert!(plan.wake(Slot(0), Haste::Now, now));
        for which in [Which::First, Which::Second] {
            let how = if which == stuck {
                Drained::Stuck
            } else {
                Drained::More
            };
            plan.ended((Slot(0), which), how, now, 0.0);
        }
        assert_eq!(begun(&mut plan, now), [] as [u16; 0], "{stuck:?}");
        assert_eq!(plan.next_end_of_wait(), Some(now + REST));
    }
}

#[test]
fn what_is_patient_waits_for_more_after_a_drain_and_what_is_not_ends_that() {
    const LINGER: Duration = Duration::from_millis(200);
    let mut plan = Plan::new(2, (2, 2), LINGER);
    let (now, later) = (plan.begun, plan.begun + 2 * LINGER);
    plan.wake(Slot(0), Haste::Patient, now);
    assert_eq!(begun(&mut plan, now), [0], "nothing was before it");
    plan.wake(Slot(0), Haste::Patient, now);
    plan.ended(first(0), Drained::Empty, now, 0.0);
    assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
    assert_eq!(plan.next_end_of_wait(), Some(later));
    assert_eq!(begun(&mut plan, later), [0]);
    plan.ended(first(0), Drained::Empty, later, 0.0);
    assert_eq!(plan.next_end_of_wait(), None);
    plan.wake(Slot(0), Haste::Patient, later);
    plan.wake(Slot(1), Haste::Patient, later);
    assert_eq!(begun(&mut plan, later), [1], "another slot does not wait with it");
    plan.wake(Slot(0), Haste::Now, later);
    assert_eq!(begun(&mut plan, later), [0]);
    plan.ended(first(0), Drained::Empty, later, 0.0);
    assert_eq!(plan.next_end_of_wait(), None);
    plan.ended(first(1), Drained::Full, later, 0.0);
    assert_eq!(begun(&mut plan, later), [1], "a full drain waits for nothing");
}

#[test]
fn slots_that_were_drained_together_wait_for_moments_of_their_own() {
    const LINGER: Duration = Duration::from_millis(200);
    let made = Instant::now();
    let mut plan = Plan::new(2, (2, 2), LINGER);
    assert!(plan.begun >= made + LINGER / BEHIND, "behind the calls");
    let now = plan.begun + Duration::from_millis(30);
    for slot in [0, 1] {
        plan.wake(Slot(slot), Haste::Patient, now);
    }
    assert_eq!(begun(&mut plan, now), [0, 1]);
    for slot in [0, 1] {
        plan.wake(Slot(slot), Haste::Patient, now);
        plan.ended(first(slot), Drained::Empty, now, 0.0);
    }
    let moments = [plan.begun + LINGER * 3 / 2, plan.begun + LINGER * 2];
    assert_eq!(plan.next_end_of_wait(), Some(moments[0]));
    assert_eq!(begun(&mut plan, moments[0]), [1]);
    assert_eq!(plan.next_end_of_wait(), Some(moments[1]));
    assert_eq!(begun(&mut plan, moments[1]), [0]);
}
