//! Differentiation: one table of partials, forward and reverse mode over functions, elimination inside one element.

pub mod eliminate;
pub mod forward;
pub mod given;
pub mod graph;
pub mod order;
pub mod reverse;
pub mod rules;
pub mod sweep;
