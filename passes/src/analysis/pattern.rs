//! Sparsity patterns of Jacobians and Hessians, found by running a program on index sets instead of numbers.
//!
//! Start with [`detect`]. `sets` holds the index sets, `pairs` the second-order pairs, `compile` turns a function into the
//! compact `code` that `machine` runs on the data of `bind`.

mod bind;
mod classes;
mod code;
mod compile;
pub mod csr;
pub mod detect;
pub mod error;
mod machine;
mod pairs;
mod sets;
