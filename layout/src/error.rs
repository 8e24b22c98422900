//! What can be wrong with streams, plans and limits.

use core::fmt;

/// Why a layout cannot be made or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// A stream names a block that does not lie inside the positions.
    Position {
        /// Index of the site in the list that was given.
        site: usize,
        /// The base position.
        base: u32,
        /// Number of positions.
        bound: usize,
    },
    /// A stream is shorter than its emissions need.
    Stream {
        /// Index of the site in the list that was given.
        site: usize,
    },
    /// More rows, references or entries than 32 bits can count.
    TooLarge,
    /// A workspace or output slice is too short.
    Workspace,
    /// The bytes are not a plan of this version, or contradict themselves; names what.
    Plan(&'static str),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Position { site, base, bound } => {
                write!(f, "site {site}: a block at position {base} reaches beyond the {bound} positions")
            }
            LayoutError::Stream { site } => write!(f, "site {site}: the stream is too short"),
            LayoutError::TooLarge => f.write_str("more rows, references or entries than 32 bits can count"),
            LayoutError::Workspace => f.write_str("a workspace slice is too short"),
            LayoutError::Plan(what) => write!(f, "not a valid plan: {what}"),
        }
    }
}

impl core::error::Error for LayoutError {}
