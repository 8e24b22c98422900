//! Random well-typed programs with inputs, numerical derivatives to compare with, and a shrinker for what fails.
//!
//! [`generate::generate`] makes a [`case::Case`] from a seed; [`numeric`] differentiates it by differences;
//! [`shrink::shrink`] makes a failing case small; [`check`] holds properties that need nothing but the IR.

pub mod case;
pub mod check;
pub mod generate;
pub mod inputs;
pub mod numeric;
pub mod range;
pub mod rng;
pub mod shrink;
pub mod source;
