//! The small world as `stateright` explores it.

use stateright::{Model, Property};

use domain::command::{FailureReason, Status};

use crate::action::{self, Action};
use crate::cases::Case;
use crate::judge::Invariant;
use crate::state::{COMMANDS_MAX, State};
use crate::world;

impl Model for Case {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::list(self, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = world::step(self, state, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = invariants();
        properties.extend([
            Property::sometimes("a command is acknowledged", |_, s: &State| {
                ended(s, Status::Acknowledged)
            }),
            Property::sometimes("a command is written twice", |_, s: &State| {
                (0..COMMANDS_MAX).any(|c| s.judge.writes(c) > 1)
            }),
            Property::sometimes("a command expires", |_, s: &State| ended(s, Status::Expired)),
            Property::sometimes("a command is cancelled", |_, s: &State| {
                ended(s, Status::Cancelled)
            }),
            Property::sometimes("a command fails without an answer", |_, s: &State| {
                failed(s, FailureReason::NoAnswer)
            }),
            Property::sometimes("an outcome is unknown", |_, s: &State| {
                failed(s, FailureReason::OutcomeUnknown)
            }),
        ]);
        properties
    }
}

/// One property an invariant: a condition is a plain function, so each names its invariant.
fn invariants() -> Vec<Property<Case>> {
    macro_rules! always {
        ($($invariant:ident),*) => {
            Invariant::ALL
                .into_iter()
                .map(|(invariant, name)| match invariant {
                    $(Invariant::$invariant => {
                        Property::always(name, |_: &Case, s: &State| s.holds(Invariant::$invariant))
                    })*
                })
                .collect()
        };
    }
    always!(
        NoneOpenAtTheEnd,
        EndsStay,
        AnswersAreReal,
        AnswersEnd,
        StaleIsRefused,
        VersionsGrow,
        WritesHoldALease,
        OldEndsAreHarmless,
        OneCallInFlight,
        NoWriteAfterDeadline,
        WritesAreBounded,
        OpenMeansTimed,
        EndsArePublished,
        NothingIsStuck
    )
}

fn ended(state: &State, status: Status) -> bool {
    (0..COMMANDS_MAX).any(|c| state.judge.ended(c).is_some_and(|(s, _)| s == status))
}

fn failed(state: &State, reason: FailureReason) -> bool {
    (0..COMMANDS_MAX).any(|c| state.judge.ended(c).is_some_and(|(_, r)| r == Some(reason)))
}
