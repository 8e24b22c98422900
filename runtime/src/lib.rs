//! Prepare and evaluate: from a compiled program and its data to a value, a gradient and a sparse matrix.
//!
//! *Prepare* runs the index program once: it checks subscripts, builds the pattern and gives every emission its slots.
//! *Evaluate* overwrites values in that pattern, without allocating, with the same bits for any number of threads. The crate
//! knows no IR and no code generator: compiled functions come in through [`program::IndexProgram`] and [`program::EvalProgram`].

pub mod array;
pub mod assemble;
pub mod buffer;
mod complete;
pub mod compressed;
pub mod convert;
mod corner;
pub mod csr;
pub mod error;
pub mod evaluate;
pub mod flat;
mod found;
mod frontier;
mod gaps;
pub mod gauss_newton;
pub mod options;
pub mod partition;
pub mod plan;
pub mod prepare;
pub mod program;
pub mod room;
pub mod select;
pub mod stages;
pub mod storage;
pub mod streams;
mod sums;
pub mod team;
mod traverse;
pub mod workspace;
