//! The Spadina IR: the `.ir` front end, typed structured SSA, its two texts, its verifier and its reference interpreter.
//!
//! Read [`func`] first: it states what a program is. [`op`] is the table of operations, [`builder`] the only way
//! programs are made, [`walk`] the ways they are read.

pub mod builder;
pub mod diag;
pub mod frontend;
pub mod func;
pub mod interp;
pub mod math;
pub mod op;
pub mod project;
pub mod span;
pub mod text;
pub mod types;
pub mod verify;
pub mod walk;
