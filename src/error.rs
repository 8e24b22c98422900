//! The one error type of the library, and the exit code of the command that each error becomes.

use crate::report::Report;
use spadina_codegen::error::CodegenError;
use spadina_ir::interp::InterpError;
use spadina_runtime::error::RuntimeError;

/// What can go wrong between a source text and a sparse matrix.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The source has errors, or a derivative was refused: messages with source lines.
    #[error("{0}")]
    Source(Box<Report>),
    /// The request makes no sense for this kernel: an unknown kernel, variable, derivative or option.
    #[error("{0}")]
    Usage(String),
    /// A program breaks an invariant that the verifier checks.
    #[error("{0}")]
    Verification(String),
    /// Data is missing, of the wrong shape or type, out of range, unreadable, or cannot be written.
    #[error("{0}")]
    Data(String),
    /// A bug in Spadina.
    #[error("internal error: {0} (please report this)")]
    Internal(String),
}

impl Error {
    /// The exit code of the command: 1 source, 2 usage, 3 verification, 4 data, 101 internal.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Source(_) => 1,
            Error::Usage(_) => 2,
            Error::Verification(_) => 3,
            Error::Data(_) => 4,
            Error::Internal(_) => 101,
        }
    }

    /// An error about data.
    pub fn data(message: impl Into<String>) -> Error {
        Error::Data(message.into())
    }

    /// An error about a request.
    pub fn usage(message: impl Into<String>) -> Error {
        Error::Usage(message.into())
    }
}

impl From<spadina_io::error::Error> for Error {
    fn from(error: spadina_io::error::Error) -> Error {
        Error::Data(error.to_string())
    }
}

impl From<InterpError> for Error {
    fn from(error: InterpError) -> Error {
        match error {
            InterpError::IllFormed { .. } => Error::Internal(error.to_string()),
            InterpError::UnknownName { .. }
            | InterpError::UnboundSize { .. }
            | InterpError::NegativeSize { .. }
            | InterpError::BadDimension { .. }
            | InterpError::TooLarge { .. }
            | InterpError::UnboundBuffer { .. }
            | InterpError::NotAnInput { .. }
            | InterpError::WrongType { .. }
            | InterpError::WrongLength { .. }
            | InterpError::WrongRank { .. }
            | InterpError::SizeConflict { .. }
            | InterpError::IndexEntry { .. }
            | InterpError::OffsetsEntry { .. }
            | InterpError::Subscript { .. }
            | InterpError::MatrixPosition { .. } => Error::Data(error.to_string()),
        }
    }
}

impl From<RuntimeError> for Error {
    fn from(error: RuntimeError) -> Error {
        match error {
            RuntimeError::NegativeSize { .. }
            | RuntimeError::Overflow { .. }
            | RuntimeError::Memory { .. }
            | RuntimeError::Missing { .. }
            | RuntimeError::Type { .. }
            | RuntimeError::Length { .. }
            | RuntimeError::Subscript { .. }
            | RuntimeError::Trip { .. }
            | RuntimeError::TooLarge { .. } => Error::Data(error.to_string()),
            RuntimeError::Options(what) => Error::Usage(what.to_owned()),
            RuntimeError::Unexpected { .. }
            | RuntimeError::SlotLayout { .. }
            | RuntimeError::Mismatch(_)
            | RuntimeError::Layout(_) => Error::Internal(error.to_string()),
        }
    }
}

impl From<CodegenError> for Error {
    fn from(error: CodegenError) -> Error {
        match error {
            CodegenError::Target(_) => Error::Usage(error.to_string()),
            CodegenError::Unsupported(_) | CodegenError::Malformed(_) | CodegenError::Backend(_) => {
                Error::Internal(error.to_string())
            }
        }
    }
}
