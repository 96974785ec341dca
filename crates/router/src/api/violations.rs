//! Collecting what is wrong with a request, and the checks that several requests share.

use domain::command::Deadline;
use domain::ids::{ChargePointId, Micros};
use tonic_types::FieldViolation;
use wire::{Timestamp, WireError, map};

use crate::config::DeliveryConfig;
use crate::error::ApiError;

/// Longest action, in characters.
const ACTION_MAX: usize = 50;

/// A collector of violations.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// The value, or a violation of this field.
    pub(crate) fn ok<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|description| self.0.push(FieldViolation::new(field, description)))
            .ok()
    }

    /// A violation of this field if there is one.
    pub(crate) fn check(&mut self, field: &str, result: Result<(), String>) {
        let _ = self.ok(field, result);
    }

    /// The charger of a filter; an empty one filters nothing.
    pub(crate) fn charge_point(&mut self, field: &str, id: &str) -> Option<ChargePointId> {
        if id.is_empty() {
            return None;
        }
        self.ok(field, ChargePointId::parse(id).map_err(|e| e.to_string()))
    }

    /// A range of time, from the first to before the second; either may be open.
    pub(crate) fn range(
        &mut self,
        (from_field, from): (&str, Option<&Timestamp>),
        (until_field, until): (&str, Option<&Timestamp>),
    ) -> (Option<Micros>, Option<Micros>) {
        let from = from.and_then(|at| self.ok(from_field, moment(at)));
        let until = until.and_then(|at| self.ok(until_field, moment(at)));
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            self.check(until_field, Err(format!("must be later than {from_field}")));
        }
        (from, until)
    }

    /// True if nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is wrong.
    pub(crate) fn into_list(self) -> Vec<FieldViolation> {
        self.0
    }

    /// The value if nothing is wrong.
    pub(crate) fn or<T>(self, value: T) -> Result<T, ApiError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::Invalid(self.0))
        }
    }
}

/// Checks an OCPP action.
pub(crate) fn action(action: &str) -> Result<(), String> {
    if action.is_empty() || action.len() > ACTION_MAX || !action.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(format!("must be 1 to {ACTION_MAX} letters or digits"));
    }
    Ok(())
}

/// The deadline of a request; none means the default.
pub(crate) fn deadline(at: Option<&Timestamp>, config: &DeliveryConfig) -> Result<Deadline, String> {
    match at {
        None => Ok(Deadline::After(config.deadline_default_ms * 1_000)),
        Some(at) => Ok(Deadline::At {
            at: moment(at)?,
            max_us: config.deadline_max_ms * 1_000,
        }),
    }
}

/// Says of an enum's number only that nobody knows it: the field is named beside it.
pub(crate) fn known<T>(read: Result<T, WireError>) -> Result<T, String> {
    read.map_err(|error| match error {
        WireError::Unknown { value, .. } => format!("has the unknown value {value}"),
        other => other.to_string(),
    })
}

/// The known values of a repeated enum; unspecified ones filter nothing.
pub(crate) fn each_known<T>(
    values: &[i32],
    read: impl Fn(i32) -> Result<Option<T>, WireError>,
) -> Result<Vec<T>, String> {
    let all: Result<Vec<_>, _> = values.iter().map(|value| known(read(*value))).collect();
    Ok(all?.into_iter().flatten().collect())
}

fn moment(at: &Timestamp) -> Result<Micros, String> {
    map::micros(at).ok_or_else(|| "is not a moment after 1970".to_owned())
}
