//! Facts about a function that several passes ask for.

pub mod activity;
pub mod affine;
pub mod cost;
pub mod effort;
pub mod facts;
pub mod pattern;
pub mod range;
pub mod structural;
