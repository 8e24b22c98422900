//! Why a pattern could not be detected.

use spadina_ir::interp::InterpError;
use std::fmt;

/// Why detection was refused or stopped. Spans are byte offsets in the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DetectError {
    /// The data does not fit the function, or a subscript is out of range.
    Run(InterpError),
    /// A subscript, a loop bound or a stride depends on values that are not frozen at prepare.
    ValueDependent {
        /// What depends on them.
        what: &'static str,
        /// The instruction.
        span: (u32, u32),
    },
    /// A buffer of `Func::rows` is neither a result nor an unknown with an adjoint.
    NoRow {
        /// Its name.
        buffer: String,
    },
    /// The pattern, or what leads to it, has more entries than 31 bits can count.
    TooLarge,
}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => error.fmt(f),
            Self::ValueDependent { what, span } => write!(
                f,
                "{what} depends on floats that may change between evaluations, so the pattern would too (source {}..{})",
                span.0, span.1
            ),
            Self::NoRow { buffer } => write!(f, "`{buffer}` gives no rows: it is not a result"),
            Self::TooLarge => f.write_str("the pattern has 2^31 entries or more"),
        }
    }
}

impl std::error::Error for DetectError {}

impl From<InterpError> for DetectError {
    fn from(error: InterpError) -> Self {
        DetectError::Run(error)
    }
}
