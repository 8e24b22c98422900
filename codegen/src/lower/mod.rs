//! From a structured function to Cranelift: one file a concern, `entry` puts them together.

pub(crate) mod ahead;
pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod elementary;
pub(crate) mod emit;
pub(crate) mod entry;
pub(crate) mod lanes;
pub(crate) mod live;
pub(crate) mod memory;
pub(crate) mod pipeline;
pub(crate) mod place;
pub(crate) mod region;
pub(crate) mod reread;
pub(crate) mod rows;
pub(crate) mod scalar;
pub(crate) mod wide;
