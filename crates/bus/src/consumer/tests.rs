//! The bookkeeping of positions, without any broker.

use super::*;

fn progress() -> Progress {
    let at = |topic: &str, partition, next| Position {
        lane: Lane::new(topic, partition),
        next,
    };
    Progress::new(vec![at("b", 1, 7), at("a", 0, 3), at("b", 0, 5)])
}

fn next(progress: &Progress, topic: &str, partition: i32) -> i64 {
    progress
        .lanes
        .iter()
        .find(|at| at.lane == Lane::new(topic, partition))
        .unwrap()
        .next
}

#[test]
fn a_record_moves_only_its_own_lane() {
    let mut progress = progress();
    assert_eq!(&*progress.advance("b", 0, 5), "b");
    assert_eq!(
        (
            next(&progress, "a", 0),
            next(&progress, "b", 0),
            next(&progress, "b", 1)
        ),
        (3, 6, 7)
    );
}

#[test]
fn a_log_that_began_anew_takes_the_position_back() {
    let mut progress = progress();
    progress.advance("a", 0, 0);
    assert_eq!(next(&progress, "a", 0), 1);
}

#[test]
fn deleted_records_are_skipped() {
    let mut progress = progress();
    progress.advance("b", 1, 100);
    assert_eq!(next(&progress, "b", 1), 101);
}
