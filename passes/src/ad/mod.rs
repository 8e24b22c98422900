//! Differentiation: one table of partials, forward and reverse mode over functions, elimination inside one element.

pub mod algebra;
pub mod eliminate;
pub mod form;
pub mod forward;
pub mod given;
pub mod graph;
pub mod invariance;
pub mod order;
pub mod reverse;
pub mod rules;
pub mod share;
pub mod sweep;
pub mod tape;
pub mod vertex;
