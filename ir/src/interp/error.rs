//! What can go wrong when a program is run: wrong arrays, broken promises, subscripts out of range.

use crate::types::Ty;
use std::fmt;

/// Why a run was refused or stopped. Spans are byte offsets in the source (`(0, 0)` where unknown).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InterpError {
    /// A name that no buffer or size of the function has.
    UnknownName {
        /// The name asked for.
        name: String,
    },
    /// A size has no value.
    UnboundSize {
        /// Name of the size.
        size: String,
    },
    /// A size is below zero.
    NegativeSize {
        /// Name of the size.
        size: String,
        /// Its value.
        value: i64,
    },
    /// A dimension is below zero under the bound sizes, or does not fit.
    BadDimension {
        /// Name of the buffer.
        buffer: String,
        /// Which dimension.
        axis: usize,
        /// Its value; `None` where computing it overflows.
        value: Option<i64>,
    },
    /// The product of the dimensions does not fit into memory.
    TooLarge {
        /// Name of the buffer.
        buffer: String,
    },
    /// An input has no data and no default.
    UnboundBuffer {
        /// Name of the buffer.
        buffer: String,
    },
    /// Data was given for a buffer that is not an input.
    NotAnInput {
        /// Name of the buffer.
        buffer: String,
    },
    /// The data has another element type than the buffer.
    WrongType {
        /// Name of the buffer.
        buffer: String,
        /// What it was declared with.
        expected: Ty,
        /// What was given.
        found: Ty,
    },
    /// The data has another number of elements than the buffer.
    WrongLength {
        /// Name of the buffer.
        buffer: String,
        /// The product of its dimensions.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// The array has another number of dimensions than the buffer.
    WrongRank {
        /// Name of the buffer.
        buffer: String,
        /// The number of declared dimensions.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Two dimensions disagree about a size.
    SizeConflict {
        /// Name of the buffer that does not fit.
        buffer: String,
        /// Which dimension of it.
        axis: usize,
        /// Its extent.
        found: i64,
        /// The extent it should have, `None` where no size makes it fit.
        expected: Option<i64>,
        /// The dimension expression (`V + 1`).
        expr: String,
        /// Where the sizes in the expression were taken from: `V = 5 from axis 0 of x`.
        because: Vec<String>,
    },
    /// An entry of an index array lies outside its range.
    IndexEntry {
        /// Name of the buffer.
        buffer: String,
        /// Row-major position of the entry.
        at: usize,
        /// The entry.
        value: i64,
        /// Exclusive bound.
        bound: i64,
    },
    /// An offset array decreases, starts below zero or ends above its bound.
    OffsetsEntry {
        /// Name of the buffer.
        buffer: String,
        /// Row-major position of the entry.
        at: usize,
        /// The entry.
        value: i64,
        /// The least it may be.
        least: i64,
        /// The most it may be.
        most: i64,
    },
    /// A subscript out of range.
    Subscript {
        /// Name of the buffer.
        buffer: String,
        /// Which dimension.
        axis: usize,
        /// The subscript.
        index: i64,
        /// Exclusive bound.
        bound: i64,
        /// The access.
        span: (u32, u32),
    },
    /// A matrix position out of range.
    MatrixPosition {
        /// `row` or `column`.
        side: &'static str,
        /// The position.
        position: i64,
        /// Exclusive bound.
        bound: i64,
        /// The emission.
        span: (u32, u32),
    },
    /// The function breaks an invariant that [`crate::verify`] states.
    IllFormed {
        /// What is wrong.
        what: String,
        /// The instruction.
        span: (u32, u32),
    },
}

impl fmt::Display for InterpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName { name } => write!(f, "the function has no `{name}`"),
            Self::UnboundSize { size } => write!(f, "size `{size}` is not determined by any bound array"),
            Self::NegativeSize { size, value } => write!(f, "size `{size}` is {value}; sizes are 0 or more"),
            Self::BadDimension { buffer, axis, value: Some(value) } => {
                write!(f, "axis {axis} of `{buffer}` would have {value} elements")
            }
            Self::BadDimension { buffer, axis, value: None } => {
                write!(f, "computing axis {axis} of `{buffer}` overflows")
            }
            Self::TooLarge { buffer } => write!(f, "`{buffer}` does not fit into memory"),
            Self::UnboundBuffer { buffer } => write!(f, "`{buffer}` is not bound and has no default"),
            Self::NotAnInput { buffer } => write!(f, "`{buffer}` is not an input"),
            Self::WrongType { buffer, expected, found } => {
                write!(f, "`{buffer}` holds {expected}, but {found} was given")
            }
            Self::WrongLength { buffer, expected, found } => {
                write!(f, "`{buffer}` has {expected} elements, but {found} were given")
            }
            Self::WrongRank { buffer, expected, found } => {
                write!(f, "`{buffer}` has {expected} dimensions, but an array with {found} was given")
            }
            Self::SizeConflict { buffer, axis, found, expected, expr, because } => {
                write!(f, "axis {axis} of `{buffer}` is `{expr}`, but has {found} elements")?;
                match expected {
                    Some(expected) => write!(f, " instead of {expected}")?,
                    None => write!(f, ", which no size makes true")?,
                }
                if !because.is_empty() {
                    write!(f, " ({})", because.join(", "))?;
                }
                Ok(())
            }
            Self::IndexEntry { buffer, at, value, bound } => {
                write!(f, "entry {at} of `{buffer}` is {value}, outside 0..{bound}")?;
                if value == bound {
                    write!(f, " (is the array one-based?)")?;
                }
                Ok(())
            }
            Self::OffsetsEntry { buffer, at, value, least, most } => {
                write!(f, "entry {at} of the offsets `{buffer}` is {value}, outside {least}..={most}")
            }
            Self::Subscript { buffer, axis, index, bound, span } => write!(
                f,
                "subscript {index} of axis {axis} of `{buffer}` is outside 0..{bound} (source {}..{})",
                span.0, span.1
            ),
            Self::MatrixPosition { side, position, bound, span } => {
                write!(f, "matrix {side} {position} is outside 0..{bound} (source {}..{})", span.0, span.1)
            }
            Self::IllFormed { what, span } => {
                write!(f, "ill-formed function: {what} (source {}..{})", span.0, span.1)
            }
        }
    }
}

impl std::error::Error for InterpError {}
