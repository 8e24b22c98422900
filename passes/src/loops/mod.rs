//! Passes on loops and branches that prepare for differentiation or for code.

pub mod branches;
pub mod confine;
pub mod distribute;
pub mod guards;
pub mod hoist;
pub mod interchange;
pub mod materialize;
pub mod normalize;
pub mod sink;
pub mod speculate;
pub mod unroll;
