//! The mapping between the generated types and the domain, one module a proto package.

pub mod command;
pub mod dead_letter;
pub mod event;
pub mod link;
pub mod record;
mod time;

pub use time::{micros, timestamp};

use domain::ids::IdError;

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be set is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds no such id.
    #[error("{field} {source}")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// A field holds a number or an enum value that means nothing.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The bytes are no such message.
    #[error("ill-formed record")]
    Decode(#[from] prost::DecodeError),
}

/// Names the field of an ill-formed id.
pub(crate) fn id<T>(field: &'static str, parsed: Result<T, IdError>) -> Result<T, WireError> {
    parsed.map_err(|source| WireError::Id { field, source })
}
