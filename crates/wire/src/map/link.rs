//! The link between edge and router: what each side says, as the other side's domain understands it.
//!
//! Hello, the placement and the lease have no counterpart in the command machines; router and edge read those
//! messages themselves.

mod down;
mod up;

pub use down::{charge_point_of, failed, input};
pub use up::{dispatch_ref, event, registration, up_item};
