//! Makes a failing plan small: leaves faults and calls out as long as the same invariant is broken.

use crate::plan::Plan;
use crate::run::run;
use crate::trace::Lines;

/// Runs that may be spent.
const BUDGET: u32 = 12_000;
/// Fates in which a smaller plan is tried.
const FATES: u64 = 40;

/// The smaller plan, and how many runs it took. The moments and numbers of what is left stay as they were.
#[must_use]
pub fn shrink(plan: &Plan, invariant: u8) -> (Plan, u32) {
    let mut small = plan.clone();
    let mut runs = 0;
    loop {
        let before = small.faults.len() + small.calls.len();
        small = leave_out(small, invariant, &mut runs, |plan| &mut plan.faults);
        small = leave_out(small, invariant, &mut runs, |plan| &mut plan.calls);
        if small.faults.len() + small.calls.len() == before || runs >= BUDGET {
            return (small, runs);
        }
    }
}

/// Leaves out halves, quarters and so on of one list, down to single items.
fn leave_out<T: Copy>(
    mut small: Plan,
    invariant: u8,
    runs: &mut u32,
    list: impl Fn(&mut Plan) -> &mut Vec<T>,
) -> Plan {
    let mut size = list(&mut small).len().div_ceil(2);
    while size > 0 && *runs < BUDGET {
        let mut at = 0;
        while at < list(&mut small).len() && *runs < BUDGET {
            let mut less = small.clone();
            let items = list(&mut less);
            items.drain(at..items.len().min(at + size));
            match still_breaks(less, invariant, runs) {
                Some(less) => small = less,
                None => at += size,
            }
        }
        size /= 2;
    }
    small
}

/// The plan under a fate in which it breaks the invariant: what is left out shifts everything that is drawn behind
/// it, so one fate alone would say little.
fn still_breaks(mut plan: Plan, invariant: u8, runs: &mut u32) -> Option<Plan> {
    let first = plan.fate;
    for fate in (first..first + FATES).chain(0..1) {
        plan.fate = fate;
        *runs += 1;
        let violation = run(plan.clone(), Lines::None).violation;
        if violation.is_some_and(|v| v.invariant == invariant) {
            return Some(plan);
        }
    }
    None
}
