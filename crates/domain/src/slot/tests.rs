//! Properties of the slot model under random events.
