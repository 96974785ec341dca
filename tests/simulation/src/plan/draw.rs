//! Drawing a plan from its seed.

use domain::command::{Priority, RedeliveryClass};
use domain::settings::DeliverySettings;

use super::{CallPlan, Durability, Fault, FaultPlan, MS, Plan, Point, SECOND};
use crate::dice::Dice;

/// Faults begin from here on.
const FIRST_FAULT: u64 = 3 * SECOND;

impl Plan {
    /// The plan of a seed. With `relaxed`, the store loses what it had not flushed.
    #[must_use]
    pub fn of_seed(seed: u64, relaxed: bool) -> Self {
        let mut dice = Dice::new(seed, 1);
        let (routers, edges) = (dice.index(2) + 2, dice.index(2) + 2);
        let (chargers, slots) = (dice.index(4) + 1, if dice.chance(500) { 1 } else { 2 });
        let heal_at = dice.between(20, 70) * SECOND;
        let durability = match dice.below(3) {
            _ if relaxed => Durability::Relaxed,
            0 => Durability::Replicated,
            _ => Durability::Fsync,
        };
        let slow_us = [0, 0, 20, 150, 600, 2_000][dice.index(6)] * MS;
        let duplicate = [0, 0, 50, 300][dice.index(4)];
        let late_leases = [0, 0, 100, 400][dice.index(4)];
        let linger_us = [0, 25, 25, 25, 200, 1_000][dice.index(6)] * MS;
        let settings = settings(&mut dice);
        let skew_s = (0..routers + edges)
            .map(|_| dice.below(241).cast_signed() - 120)
            .collect();
        let mut plan = Self {
            seed,
            fate: 0,
            routers,
            edges,
            chargers,
            slots,
            durability,
            settings,
            slow_us,
            duplicate,
            late_leases,
            heeds_links: true,
            linger_us,
            skew_s,
            calls: Vec::new(),
            faults: Vec::new(),
            heal_at,
        };
        plan.draw_calls(&mut dice);
        plan.draw_faults(&mut dice);
        plan
    }

    fn draw_calls(&mut self, dice: &mut Dice) {
        // Some seeds fill the queues of their chargers beyond the bound.
        let calls = if dice.chance(100) {
            dice.between(80, 160)
        } else {
            dice.between(6, 60)
        };
        let mut keys = 0;
        let (unsafe_share, urgent_share) = (dice.between(200, 700), dice.between(50, 400));
        for _ in 0..calls {
            let key = match dice.below(10) {
                0..2 => None,
                2..4 if keys > 0 => Some(u32::try_from(dice.below(u64::from(keys))).unwrap_or(0)),
                _ => {
                    keys += 1;
                    Some(keys)
                }
            };
            let call = self.draw_call(dice, key, unsafe_share, urgent_share);
            self.calls.push(call);
        }
        self.calls.sort_by_key(|call| call.at);
    }

    fn draw_call(&self, dice: &mut Dice, key: Option<u32>, unsafe_share: u64, urgent_share: u64) -> CallPlan {
        // One key is one charger's: it is scoped to it.
        let charger = match key {
            Some(key) => key as usize % self.chargers,
            None => dice.index(self.chargers),
        };
        let unsafe_one = match key {
            Some(key) => (u64::from(key) * 367) % 1_000 < unsafe_share,
            None => dice.chance(unsafe_share),
        };
        let priority = if dice.chance(urgent_share) {
            Priority::Urgent
        } else {
            Priority::ALL[dice.index(3)]
        };
        CallPlan {
            at: dice.between(SECOND, self.heal_at),
            charger,
            priority,
            class: if unsafe_one {
                RedeliveryClass::Unsafe
            } else {
                RedeliveryClass::Safe
            },
            key,
            content: u8::from(dice.chance(150)),
            deadline_us: if dice.chance(150) {
                dice.between(50, 2_000) * MS
            } else {
                dice.between(2, 40) * SECOND
            },
            at_a_moment: dice.chance(200),
            max_attempts: u32::try_from(dice.between(1, 3)).unwrap_or(1),
            answer_timeout_us: dice.between(1_000, 6_000) * MS,
            cancel_after: dice.chance(200).then(|| dice.between(0, 8_000) * MS),
        }
    }

    fn draw_faults(&mut self, dice: &mut Dice) {
        // A few seeds have none: what is wrong there is wrong always.
        let faults = match dice.below(20) {
            0 => 0,
            1..6 => dice.between(1, 4),
            _ => dice.between(4, 28),
        };
        for _ in 0..faults {
            let fault = self.draw_fault(dice);
            let lasts = lasts(fault, dice);
            let at = dice.between(FIRST_FAULT, self.heal_at.saturating_sub(SECOND));
            self.faults.push(FaultPlan { at, lasts, fault });
            if matches!(fault, Fault::MovePod(..)) && dice.chance(300) {
                // What waits in a router that stands still names the former place, long after the edge has left it.
                let fault = Fault::PauseRouter(dice.index(self.routers));
                let lasts = dice.between(14, 24) * SECOND;
                self.faults.push(FaultPlan { at, lasts, fault });
            }
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    fn draw_fault(&self, dice: &mut Dice) -> Fault {
        let router = dice.index(self.routers);
        let edge = dice.index(self.edges);
        let charger = dice.index(self.chargers);
        let nth = u32::try_from(dice.between(1, 4)).unwrap_or(1);
        let (either, share) = (dice.chance(500), dice.between(100, 1_000));
        match dice.below(46) {
            0 => Fault::CrashRouter(router),
            1..3 => Fault::CrashEdge(edge),
            3..6 => Fault::RouterDiesAt(router, router_point(dice), nth),
            6..10 => Fault::EdgeDiesAt(edge, edge_point(dice), nth),
            10 => Fault::PauseRouter(router),
            11 => Fault::PauseEdge(edge),
            12 => Fault::CutLink(edge, router, either),
            13 => Fault::CutLinkBoth(edge, router),
            14 => Fault::CutStore(router, either),
            15 => Fault::CutRouterKafka(router),
            16 => Fault::CutEdgeKafka(edge),
            17 => Fault::CutClients(router, either),
            18 => Fault::BreakLink(edge),
            19..21 => Fault::StallRedis,
            21..23 => Fault::CrashRedis,
            23 => Fault::FullDisk,
            24 if self.durability == Durability::Replicated => Fault::PauseReplica,
            24 | 25 => Fault::StallKafka,
            26 => Fault::LoseReports(share),
            27 => Fault::RefuseProduce(share),
            28 => Fault::Duplicate(share),
            29 => Fault::RebuildConsumer(edge, either),
            30 => Fault::SlowNetwork(dice.between(5, 900)),
            31 => Fault::SilentCharger(charger),
            32 => Fault::DeafCharger(charger),
            33 => Fault::Twin(edge),
            34 => Fault::DrainEdge(edge),
            35 => Fault::DrainRouter(router),
            36..38 => Fault::FlappingCharger(charger),
            38 => Fault::CloneCharger(charger),
            39 => Fault::Forger(charger),
            40..42 => Fault::MovePod(edge, either),
            _ => Fault::DropCharger(charger, either),
        }
    }
}

/// Most faults are over soon; some outlast every lease.
fn lasts(fault: Fault, dice: &mut Dice) -> u64 {
    let us = match dice.below(4) {
        0 => dice.between(50, 1_000) * MS,
        1..3 => dice.between(1_000, 8_000) * MS,
        _ => dice.between(8_000, 25_000) * MS,
    };
    match fault {
        Fault::CrashRouter(_) | Fault::CrashEdge(_) | Fault::RouterDiesAt(..) | Fault::EdgeDiesAt(..) => {
            us / 2
        }
        _ => us,
    }
}

fn router_point(dice: &mut Dice) -> Point {
    [
        Point::AfterClaim,
        Point::AfterProduce,
        Point::AfterDrain,
        Point::BeforeTrim,
        Point::BeforeReply,
        Point::BeforeAccepted,
    ][dice.index(6)]
}

fn edge_point(dice: &mut Dice) -> Point {
    [
        Point::AfterConsume,
        Point::BeforeWrite,
        Point::AfterWrite,
        Point::AfterAnswer,
    ][dice.index(4)]
}

/// The shipped settings, or shorter ones of the same proportions.
fn settings(dice: &mut Dice) -> DeliverySettings {
    let shipped = DeliverySettings::default();
    let max_open_per_charger = u32::try_from(dice.between(6, 40)).unwrap_or(6);
    DeliverySettings {
        backoff_base_us: dice.between(200, 1_000) * MS,
        backoff_cap_us: dice.between(2, 8) * SECOND,
        max_open_per_charger,
        connection_ttl_us: if dice.chance(200) {
            30 * SECOND
        } else {
            shipped.connection_ttl_us
        },
        max_outbox: u32::try_from(dice.between(30, 400)).unwrap_or(30),
        max_overtakes: u32::try_from(dice.between(1, 8)).unwrap_or(1),
        ..shipped
    }
}
