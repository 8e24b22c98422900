//! What the runtime must know of a compiled program to prepare and evaluate it.
//!
//! # Phases
//! The body of a program is a sequence of *phases*: each top-level loop that has effects is one (its iterations are
//! independent up to the order of additions), every other top-level effect is a phase with a single iteration. Phases run in order;
//! the iterations of one may be spread over threads.
//!
//! # Sums
//! Rank-0 outputs are summed in a fixed order: the contributions of one outer iteration, then blocks of
//! [`SUM_BLOCK`] iterations, then the blocks of all phases in order. So the bits do not depend on threads.

use crate::site::SiteShape;
use alloc::vec::Vec;

/// Outer iterations per partial sum.
pub const SUM_BLOCK: usize = 1024;

/// One emission site of a phase.
#[derive(Clone, PartialEq, Debug)]
pub struct SiteInfo {
    /// The number of the site in the IR.
    pub site: u32,
    /// Its shape. Sites without columns carry no matrix entries: they only tell which rows an iteration writes.
    pub shape: SiteShape,
    /// Emissions per outer iteration when that is known at compile time.
    pub per_iteration: Option<u32>,
    /// Whether each emission stores complete rows, so that it needs no slot records.
    pub direct: bool,
}

/// One phase.
#[derive(Clone, PartialEq, Debug)]
pub struct PhaseInfo {
    /// Sites that carry matrix entries, ascending by number.
    pub sites: Vec<SiteInfo>,
    /// Sites of the index program that only name rows the phase accumulates into (gradient, residual).
    pub row_sites: Vec<SiteInfo>,
    /// Rank-0 outputs the phase adds to: indices into the program's scalar outputs, ascending.
    pub sums: Vec<u32>,
    /// True where the phase writes scratch buffers: it then runs on one thread, in order.
    pub serial: bool,
}

/// A compiled program.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgramInfo {
    /// Phases in order.
    pub phases: Vec<PhaseInfo>,
    /// Number of rank-0 outputs.
    pub scalar_outputs: usize,
    /// Number of sites (matrix sites first, then row sites): site numbers are below this.
    pub sites: usize,
    /// Outputs that are stored beside complete rows, not added to.
    pub stored: Vec<StoredOutput>,
}

/// Elements of an output that one iteration computes whole, beside the complete rows of a direct emission: they are overwritten,
/// so nobody needs to zero them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOutput {
    /// The number of the buffer.
    pub buffer: u32,
    /// The direct site.
    pub site: u32,
    /// The rows among those of the site, as [`SiteShape::row_blocks`] counts them, whose elements are stored.
    pub rows: Vec<u32>,
    /// Buffers whose elements are counted by positions before the first of this one.
    pub before: Vec<u32>,
}

impl PhaseInfo {
    /// True where every iteration stores complete rows and does nothing else but sums: no other iteration writes what it writes, so
    /// iterations can be shared among threads as they are.
    pub fn stores_rows(&self) -> bool {
        !self.serial
            && !self.sites.is_empty()
            && self.sites.iter().all(|site| site.direct)
            && self.row_sites.is_empty()
    }
}
