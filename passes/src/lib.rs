//! IR passes: differentiation, sparsification, simplification. Verified IR in, verified IR out.
//!
//! Start with [`pipeline`], the only file that names all passes; each pass file opens with what it does, how, and why that is right.

pub mod ad;
pub mod analysis;
pub mod dce;
pub mod factor;
pub mod inline;
pub mod loops;
pub mod pass;
pub mod pipeline;
pub mod rewrite;
pub mod simplify;
pub mod sparse;
