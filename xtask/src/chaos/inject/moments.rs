//! When what begins and what ends, in order.

use crate::chaos::plan::Injection;

/// A beginning or an end of a fault.
pub(super) struct Moment<'a> {
    pub(super) at_ms: u64,
    pub(super) begins: bool,
    pub(super) injection: &'a Injection,
}

/// Everything that begins and ends, in order; an end before a beginning at the same time.
pub(super) fn moments(plan: &[Injection]) -> Vec<Moment<'_>> {
    let both = plan.iter().flat_map(|injection| {
        let moment = |at_ms, begins| Moment {
            at_ms,
            begins,
            injection,
        };
        [
            moment(injection.at_ms, true),
            moment(injection.at_ms + injection.lasts_ms, false),
        ]
    });
    let mut moments: Vec<Moment<'_>> = both.collect();
    // Stable, so that a fault that lasts no time still begins before it ends.
    moments.sort_by_key(|moment| (moment.at_ms, moment.begins && moment.injection.lasts_ms > 0));
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::Kind;

    #[test]
    fn faults_end_in_time_order_and_those_that_last_no_time_end_after_they_began() {
        let injection = |at_ms, lasts_ms, kind| Injection {
            at_ms,
            lasts_ms,
            kind,
            target: "x".to_owned(),
            detail: String::new(),
        };
        let plan = [
            injection(10, 50, Kind::Cut),
            injection(60, 0, Kind::Storm),
            injection(60, 5, Kind::Cut),
        ];
        let order: Vec<(u64, bool, Kind)> = moments(&plan)
            .iter()
            .map(|moment| (moment.at_ms, moment.begins, moment.injection.kind))
            .collect();
        let expected = [
            (10, true, Kind::Cut),
            (60, false, Kind::Cut),
            (60, true, Kind::Storm),
            (60, false, Kind::Storm),
            (60, true, Kind::Cut),
            (65, false, Kind::Cut),
        ];
        assert_eq!(order, expected);
    }
}
