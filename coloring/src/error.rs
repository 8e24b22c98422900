//! The one error type of this crate: what can be wrong with a pattern, a coloring or a buffer.

use thiserror::Error;

/// Everything this crate refuses. Rows, columns and vertices in messages count from 0, colors from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ColoringError {
    /// `row_ptr` must have one entry a row and one more.
    #[error("row_ptr has {found} entries where {expected} (rows + 1) are needed")]
    RowPtrLength {
        /// Rows + 1.
        expected: usize,
        /// Length of the slice given.
        found: usize,
    },
    /// `row_ptr` must start at 0, never decrease and end at the number of entries.
    #[error(
        "row_ptr is not a list of offsets at row {row}: it must start at 0, not decrease, and end at the number of column indices"
    )]
    RowPtr {
        /// First row whose range is wrong.
        row: usize,
    },
    /// A column index is not below the number of columns.
    #[error("row {row} holds column {col}, but there are {ncols} columns")]
    ColumnOutOfRange {
        /// Row of the entry.
        row: usize,
        /// Column found.
        col: usize,
        /// Number of columns.
        ncols: usize,
    },
    /// A row index is not below the number of rows.
    #[error("entry ({row}, {col}) is outside the {nrows} rows")]
    RowOutOfRange {
        /// Row found.
        row: usize,
        /// Column of the entry.
        col: usize,
        /// Number of rows.
        nrows: usize,
    },
    /// The columns of a row must be strictly increasing.
    #[error("the columns of row {row} are not strictly increasing at column {col}")]
    NotIncreasing {
        /// Row of the entry.
        row: usize,
        /// Column that is not above its predecessor.
        col: usize,
    },
    /// A size does not fit the 32-bit indices used inside.
    #[error("{what} is too large for 32-bit indices")]
    TooLarge {
        /// What is too large.
        what: &'static str,
    },
    /// A symmetric coloring was asked of a rectangular pattern.
    #[error("a symmetric coloring needs a square pattern; this one is {nrows} x {ncols}")]
    NotSquare {
        /// Rows of the pattern.
        nrows: usize,
        /// Columns of the pattern.
        ncols: usize,
    },
    /// A symmetric coloring was asked of an unsymmetric pattern.
    #[error("the pattern is not symmetric: ({row}, {col}) is stored, ({col}, {row}) is not")]
    NotSymmetric {
        /// Row of the entry without partner.
        row: usize,
        /// Column of the entry without partner.
        col: usize,
    },
    /// The options hold no order.
    #[error("at least one order is needed")]
    NoOrder,
    /// Substitution makes no sense for one-sided colorings.
    #[error(
        "column and row colorings are decompressed directly; substitution is for symmetric and bidirectional ones"
    )]
    SubstitutionOneSided,
    /// The name of an order is not known.
    #[error(
        "unknown order `{name}`; known: natural, largest-first, smallest-last, incidence-degree, dynamic-largest-first, perfect-elimination, random, random:SEED"
    )]
    UnknownOrder {
        /// The name given.
        name: String,
    },
    /// A vector of colors has the wrong length.
    #[error("{found} colors were given for {expected} {what}")]
    ColorsLength {
        /// `columns`, `rows` or `vertices`.
        what: &'static str,
        /// Number of colors needed.
        expected: usize,
        /// Number of colors given.
        found: usize,
    },
    /// A color is larger than any coloring needs.
    #[error("color {color} is out of range: colors go from 1 to {limit}, 0 means neutral")]
    ColorOutOfRange {
        /// Color given.
        color: usize,
        /// Largest color allowed.
        limit: usize,
    },
    /// Two columns of one color meet in a row.
    #[error("columns {first} and {second} have the same color {color} and both have an entry in row {row}")]
    ColumnsMeet {
        /// Row where they meet.
        row: usize,
        /// One column.
        first: usize,
        /// The other column.
        second: usize,
        /// Their color.
        color: usize,
    },
    /// Two rows of one color meet in a column.
    #[error("rows {first} and {second} have the same color {color} and both have an entry in column {col}")]
    RowsMeet {
        /// Column where they meet.
        col: usize,
        /// One row.
        first: usize,
        /// The other row.
        second: usize,
        /// Their color.
        color: usize,
    },
    /// No color covers the entry.
    #[error("entry ({row}, {col}) cannot be recovered: no color covers it")]
    Uncovered {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        col: usize,
    },
    /// Two adjacent vertices of a symmetric pattern have one color.
    #[error("entry ({row}, {col}) joins two unknowns of the same color {color}")]
    Adjacent {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        col: usize,
        /// Their color.
        color: usize,
    },
    /// The entry is mixed with others in both of its compressed products.
    #[error(
        "entry ({row}, {col}) cannot be read directly: it is summed with another entry in both of its compressed products"
    )]
    NotDirect {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        col: usize,
    },
    /// Two colors close a cycle through the entry, so that substitution cannot start.
    #[error("entry ({row}, {col}) lies on a cycle of two colors: substitution cannot recover it")]
    TwoColoredCycle {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        col: usize,
    },
    /// A buffer has the wrong length.
    #[error("{what} has length {found}, expected {expected}")]
    BufferLength {
        /// Which buffer.
        what: &'static str,
        /// Length needed.
        expected: usize,
        /// Length given.
        found: usize,
    },
    /// One color alone cannot be decompressed by substitution.
    #[error("substitution needs the products of all colors at once")]
    SingleColorSubstitution,
    /// The search for an optimal coloring was cut off.
    #[error("the search for an optimal coloring gave up after {steps} steps")]
    SearchLimit {
        /// Steps allowed.
        steps: u64,
    },
}
