//! What can go wrong while preparing and evaluating.

use crate::array::Element;
use spadina_layout::error::LayoutError;
use spadina_layout::site::SlotLayout;

/// An error of prepare or evaluate; nothing has been written to the caller's results unless said otherwise.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A dimension is negative.
    #[error("axis {axis} of `{buffer}` has the negative length {size}")]
    NegativeSize {
        /// The buffer.
        buffer: String,
        /// The axis.
        axis: usize,
        /// Its length.
        size: i64,
    },
    /// The number of elements does not fit memory.
    #[error("`{buffer}` has too many elements")]
    Overflow {
        /// The buffer.
        buffer: String,
    },
    /// Memory for a buffer could not be had.
    #[error("not enough memory for `{buffer}`")]
    Memory {
        /// The buffer.
        buffer: String,
    },
    /// An array is missing.
    #[error("`{buffer}` is not bound")]
    Missing {
        /// The buffer.
        buffer: String,
    },
    /// An array was given for a buffer that takes none here.
    #[error("buffer number {buffer} takes no array here")]
    Unexpected {
        /// The number of the buffer.
        buffer: usize,
    },
    /// The element type differs.
    #[error("`{buffer}` holds {expected}, not {found}")]
    Type {
        /// The buffer.
        buffer: String,
        /// What the program reads.
        expected: Element,
        /// What was given.
        found: Element,
    },
    /// The length differs.
    #[error("`{buffer}` has {expected} elements, not {found}")]
    Length {
        /// The buffer (or `values`, `scalars`).
        buffer: String,
        /// Elements by its dimensions.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// A subscript is out of range.
    #[error("subscript {index} on axis {axis} of `{buffer}` is outside 0..{bound}")]
    Subscript {
        /// The buffer.
        buffer: String,
        /// The axis.
        axis: i64,
        /// The subscript.
        index: i64,
        /// Length of the axis.
        bound: i64,
        /// Source span (byte offsets).
        span: (i64, i64),
    },
    /// A loop runs too often.
    #[error("phase {phase} has {trip} iterations, more than 2^31 - 1")]
    Trip {
        /// The phase.
        phase: usize,
        /// Its iterations.
        trip: i64,
    },
    /// A site emits more often than 32 bits can count, or rows, columns or entries exceed that.
    #[error("{what} exceed what 32 bits can count")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
    },
    /// A matrix that is found from more positions than prepare begins with, or than there is memory for.
    #[error(
        "the {rows} x {cols} matrix is too large for the structural road: {emissions} emissions or more name {positions} positions ({limit}); \
         bind fewer unknowns, or ask for products with it (`hvp`, `jvp`, `vjp`), which store no matrix; where it has few entries, \
         `--strategy compressed` keeps no positions"
    )]
    Large {
        /// Rows of the matrix.
        rows: usize,
        /// Its columns.
        cols: usize,
        /// How often values are emitted.
        emissions: u64,
        /// The positions of all of them.
        positions: u64,
        /// What they exceed.
        limit: String,
    },
    /// Blocks that a matrix cannot be cut into.
    #[error("blocks of {} x {} do not divide a matrix of {} x {}", block.0, block.1, shape.0, shape.1)]
    Blocks {
        /// Rows and columns of a block.
        block: (usize, usize),
        /// Rows and columns of the matrix.
        shape: (usize, usize),
    },
    /// Options that contradict each other or the program.
    #[error("{0}")]
    Options(&'static str),
    /// The evaluation code was compiled for other slot records than the plan has.
    #[error("code compiled for {code:?} cannot use a plan with {plan:?}")]
    SlotLayout {
        /// What the code reads.
        code: SlotLayout,
        /// What the plan holds.
        plan: SlotLayout,
    },
    /// Program, plan and workspace do not belong together.
    #[error("{0} do not belong together")]
    Mismatch(&'static str),
    /// Streams or a stored plan are not what they should be.
    #[error("{0}")]
    Layout(#[from] LayoutError),
}
