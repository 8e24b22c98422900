//! How compiled functions come in: safe traits over an environment of addresses.
//!
//! # Contract
//! The runtime fills the environment so that every address a function uses is live, of the length that the program's
//! buffers, sites and phases imply, and not aliased by a Rust reference while the function runs; concurrent calls write
//! disjoint memory if the functions keep the contract of [`spadina_layout::abi`]. An implementation that calls machine code
//! may rely on that, and nobody else should call these functions. An implementation vouches for its part when it is
//! constructed: that the code is what its [`ProgramInfo`] says.

use spadina_layout::abi::EnvLayout;
use spadina_layout::env::Env;
use spadina_layout::program::ProgramInfo;
use spadina_layout::site::SlotLayout;
use std::ops::Range;

/// The functions that prepare needs.
pub trait IndexProgram: Sync {
    /// Phases and sites.
    fn info(&self) -> &ProgramInfo;

    /// The layout of the environment, the same for all functions of a program.
    fn env_layout(&self) -> EnvLayout;

    /// Stores the outer iterations of every phase.
    fn trips(&self, env: &Env, trips: &mut [i64]);

    /// Stores emissions per site and iteration: matrix sites then row sites of the phase, one row of `range.len()` each.
    /// False after writing the error record.
    fn count(&self, phase: usize, env: &Env, range: Range<i64>, counts: &mut [u32]) -> bool;

    /// Writes the streams of iterations and checks every subscript. False after writing the error record.
    fn index(&self, phase: usize, env: &Env, range: Range<i64>) -> bool;
}

/// The functions that evaluate needs.
pub trait EvalProgram: Sync {
    /// The slot records that the code reads.
    fn slot_layout(&self) -> SlotLayout;

    /// Runs iterations and writes every row. Stores the sums over the range of the phase's rank-0 outputs (each iteration
    /// summed first, from 0; then their sum in order, from 0).
    fn eval(&self, phase: usize, env: &Env, range: Range<i64>, sums: &mut [f64]);

    /// Runs the listed iterations in order and writes only rows whose owner is `me`; the sums of iterations marked with
    /// [`spadina_layout::abi::COUNTED`] go to `element_sums`.
    fn eval_owned(&self, phase: usize, env: &Env, elements: &[u32]);

    /// The same for iterations all of whose rows are `me`'s: they need not be asked.
    fn eval_listed(&self, phase: usize, env: &Env, elements: &[u32]) {
        self.eval_owned(phase, env, elements);
    }
}
