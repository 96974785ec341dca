//! The slot's invariants after every one of many random events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One random operation; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Op {
    Accept(u8, bool, u64),
    Register(bool, u64, bool),
    Renew(bool),
    Unregister,
    Event(u8, usize, u64),
    RunDue(usize),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..4u8, any::<bool>(), 1..60u64).prop_map(|(p, u, d)| Op::Accept(p, u, d)),
        2 => (any::<bool>(), 0..2u64, any::<bool>()).prop_map(|(a, s, f)| Op::Register(a, s, f)),
        1 => any::<bool>().prop_map(Op::Renew),
        1 => Just(Op::Unregister),
        6 => (1..12u8, 0..64usize, 0..8u64).prop_map(|(k, c, f)| Op::Event(k, c, f)),
        3 => (1..5usize).prop_map(Op::RunDue),
        3 => prop_oneof![0..SECOND, 0..20 * SECOND, 0..1_000 * SECOND].prop_map(Op::Pass),
    ]
}

/// What was seen before, to compare with what is.
#[derive(Default)]
struct Seen {
    version: Version,
    ended: BTreeMap<CommandId, Command>,
    dispatches: BTreeMap<CommandId, u64>,
    grants: BTreeMap<CommandId, usize>,
}

impl Seen {
    /// Versions, dispatches and revisions only grow; what has ended never changes.
    fn look(&mut self, slot: &SlotModel) {
        assert_eq!(slot.audit(), Vec::<String>::new());
        if let Some(device) = slot.devices.get(&charger(0)) {
            assert!(device.version >= self.version, "a version went back");
            self.version = device.version;
        }
        for (id, command) in &slot.commands {
            let last = self.dispatches.entry(*id).or_default();
            let open = !command.progress.status.is_terminal();
            assert!(
                !open || command.progress.dispatch.0 >= *last,
                "a dispatch number went back"
            );
            *last = command.progress.dispatch.0;
            if !open {
                assert_eq!(
                    self.ended.entry(*id).or_insert_with(|| command.clone()),
                    command,
                    "an end changed"
                );
            }
            assert!(command.progress.attempts <= command.request.max_attempts.max(1) + 1);
        }
        let results = slot
            .outbox
            .values()
            .filter(|e| matches!(e.kind, super::super::OutboxKind::Ended { .. }));
        assert_eq!(
            results.count(),
            self.ended.len(),
            "not one result a command that ended"
        );
    }
}

fn perform(b: &mut Bench, op: &Op, seen: &mut Seen) {
    match op {
        Op::Accept(priority, is_unsafe, seconds) => {
            let class = if *is_unsafe {
                RedeliveryClass::Unsafe
            } else {
                RedeliveryClass::Safe
            };
            let priority = Priority::from_number(*priority).unwrap();
            let request = b.request(class, priority);
            let request = Request {
                deadline: Deadline::After(seconds * SECOND),
                ..request
            };
            b.slot.accept(request, &b.call()).unwrap();
        }
        Op::Register(first, step, again) => register(b, *first, *step, *again),
        Op::Renew(wake) => {
            let device = b.slot.devices.get(&charger(0)).cloned();
            if let Some((pod, d)) = device.and_then(|d| Some((d.pod.clone()?, d))) {
                b.slot
                    .renew((&charger(0), &pod, d.incarnation, d.version), *wake, &b.call())
                    .unwrap();
            }
        }
        Op::Unregister => {
            let version = b.slot.devices.get(&charger(0)).map_or(Version(0), |d| d.version);
            b.slot
                .unregister(&charger(0), Incarnation(7), version, &b.call())
                .unwrap();
        }
        Op::Event(kind, choice, fence) => event(b, *kind, *choice, *fence, seen),
        Op::RunDue(limit) => drop(b.slot.run_due(*limit, &b.call()).unwrap()),
        Op::Pass(us) => b.pass(*us),
    }
}

fn register(b: &mut Bench, first: bool, step: u64, again: bool) {
    let device = b.slot.devices.get(&charger(0));
    let (sequence, version) = device.map_or((0, Version(0)), |d| (d.sequence.0, d.first_version));
    let again = if again { version } else { Version(0) };
    let pod = if first { "a" } else { "b" };
    let registration = Registration {
        first_version: again,
        ..registration(pod, sequence + step)
    };
    b.slot.register(&registration, &b.call()).unwrap();
}

fn event(b: &mut Bench, kind: u8, choice: usize, fence: u64, seen: &mut Seen) {
    let kind = EventKind::ALL[usize::from(kind)];
    let Some(id) = b
        .slot
        .commands
        .keys()
        .nth(choice % b.slot.commands.len().max(1))
        .copied()
    else {
        return;
    };
    if kind == EventKind::Displaced {
        return;
    }
    let mut input = b.event(id, kind);
    match fence {
        0 => input.event.dispatch.0 += 1,
        1 => input.event.version.0 += 1,
        2 => input.event.nonce.0 += 1,
        _ => {}
    }
    let applied = b.slot.apply(&input, &b.call()).unwrap();
    let granted = kind == EventKind::Intent && applied.verdict == Some(Verdict::Applied);
    let returned = kind == EventKind::NonWrite && applied.verdict == Some(Verdict::Applied);
    let open = seen.grants.entry(id).or_default();
    if granted {
        assert_eq!(*open, 0, "granted again without a non-write");
        *open = 1;
    } else if returned {
        *open = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_after_every_event(ops in prop::collection::vec(op(), 1..80)) {
        let (mut b, mut seen) = (Bench::new(), Seen::default());
        for op in &ops {
            perform(&mut b, op, &mut seen);
            seen.look(&b.slot);
        }
    }
}
