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
//!
//! # Common rows
//! The rows of unknowns that every iteration names by the same literal subscripts (a scalar, the parameters of a model) are *common*: the
//! matrix is an arrow. What all iterations add to one place, entries with common row and column and elements of results there, is the
//! *corner*: sums, formed as those of rank-0 outputs, and added to their places once at the end. So no iteration belongs to the owner of a
//! common row; its other entries belong to the owners of their columns, which as rows the same iterations write. What a program sums up in
//! a scratch buffer of rank 0, to emit it once or to compute with it, is formed in the same way when its phase has ended.

use crate::site::SiteShape;
use alloc::vec::Vec;

/// Outer iterations per partial sum; matrix values are zeroed just ahead of those of one block, so that zeroing and adding overlap.
pub const SUM_BLOCK: usize = 64;

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
    /// The row blocks whose rows are common: not what an iteration is shared by.
    pub common: Vec<u32>,
}

impl SiteInfo {
    /// Whether the row of a local index is common.
    pub fn is_common(&self, local: u32) -> bool {
        let block = SiteShape::locate(&self.shape.row_blocks, local);
        block.is_some_and(|(block, _)| self.common.contains(&(block as u32)))
    }

    /// The values whose row and column are common. Only symmetric sites have any.
    pub fn corner_entries(&self) -> Vec<u32> {
        let entries = (0..).zip(&self.shape.entries);
        let corner = entries.filter(|&(_, &(a, b))| self.is_common(a) && self.is_common(b));
        if self.shape.symmetric { corner.map(|(k, _)| k).collect() } else { Vec::new() }
    }
}

/// One phase.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PhaseInfo {
    /// Sites that carry matrix entries, ascending by number.
    pub sites: Vec<SiteInfo>,
    /// Sites of the index program that only name rows the phase accumulates into (gradient, residual).
    pub row_sites: Vec<SiteInfo>,
    /// Rank-0 outputs the phase adds to: indices into the program's scalar outputs, ascending.
    pub sums: Vec<u32>,
    /// True where the phase writes scratch buffers: it then runs on one thread, in order.
    pub serial: bool,
    /// What the phase adds to the corner: further sums, after those of the rank-0 outputs.
    pub corner: Vec<CornerSum>,
    /// True where the phase reads what earlier phases sum up: it starts when they have ended.
    pub waits: bool,
}

/// A sum over all iterations of a phase that is added to one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CornerSum {
    /// A value of a matrix site, whose row and column are common; with its mirror image where the site is symmetric.
    Entry {
        /// The site.
        site: u32,
        /// The number of the value among [`SiteShape::entries`].
        entry: u32,
        /// The position of its row.
        row: CommonPosition,
        /// The position of its column.
        col: CommonPosition,
    },
    /// An element of an output.
    Element {
        /// The number of the buffer.
        buffer: u32,
        /// The element, row-major.
        element: u32,
    },
    /// A scratch buffer of rank 0, which later phases read.
    Scratch {
        /// The number of the buffer.
        buffer: u32,
    },
}

/// A position that is known but for the sizes of buffers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommonPosition {
    /// Buffers whose elements are counted before.
    pub before: Vec<u32>,
    /// How many more positions lie before this one.
    pub element: u32,
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
    /// Scratch buffers and outputs, by number, every element of which is stored once before it is read: nobody needs to zero them.
    pub filled: Vec<u32>,
    /// Whether values that no other emission adds to are to be stored: worth preparing for where rows belong to iterations.
    pub may_store: bool,
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
    /// Number of sums: of rank-0 outputs, then of the corner.
    pub fn width(&self) -> usize {
        self.sums.len() + self.corner.len()
    }

    /// True where every iteration stores complete rows and does nothing else but sums: no other iteration writes what it writes, so
    /// iterations can be shared among threads as they are.
    pub fn stores_rows(&self) -> bool {
        !self.serial
            && !self.sites.is_empty()
            && self.sites.iter().all(|site| site.direct)
            && self.row_sites.is_empty()
    }
}
