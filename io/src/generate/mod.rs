//! Inputs made by formula: the same size gives the same bytes, so tests, examples and benchmarks need no files.

pub mod closed;
pub mod kind;
pub mod line;
pub mod planar;
pub mod rest;
pub mod volume;
