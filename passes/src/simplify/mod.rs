//! Simplification by equality saturation: index algebra, guard algebra and float algebra on small scalar sub-graphs.

mod chunk;
pub mod cost;
pub mod extract;
pub mod fact;
pub mod language;
mod pass;
mod plan;
pub mod rules;
mod surroundings;

pub use pass::{Limits, PASS, Report, run, simplify_with};
