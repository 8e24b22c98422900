//! The one error type of the library, and the exit code of the command that each error becomes.

use crate::report::Report;
use spadina_codegen::error::CodegenError;
use spadina_ir::diag::Diagnostic;
use spadina_ir::interp::InterpError;
use spadina_ir::span::{SourceFile, Span};
use spadina_runtime::error::RuntimeError;
use std::sync::Arc;

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

    /// A subscript out of range, with the place in the source.
    fn subscript(
        source: &SourceFile,
        buffer: &str,
        axis: i64,
        (index, bound): (i64, i64),
        span: Span,
    ) -> Error {
        let at = if span == Span::default() {
            String::new()
        } else {
            let (line, column) = source.line_col(span.start);
            format!(" (at {}:{line}:{column}: `{}`)", source.name, span.slice(&source.text))
        };
        Error::Data(format!("subscript {index} on axis {axis} of `{buffer}` is outside 0..{bound}{at}"))
    }

    /// An error of the interpreter, with the place in the source where there is one.
    pub(crate) fn interpreting(source: &SourceFile, error: InterpError) -> Error {
        match &error {
            InterpError::Subscript { buffer, axis, index, bound, span: (start, end) } => {
                let span = Span { start: *start, end: *end };
                Error::subscript(source, buffer, *axis as i64, (*index, *bound), span)
            }
            _ => error.into(),
        }
    }

    /// An error of the runtime, with the place in the source where there is one.
    pub(crate) fn running(source: &SourceFile, error: RuntimeError) -> Error {
        match &error {
            RuntimeError::Subscript { buffer, axis, index, bound, span: (start, end) } => {
                let offset = |at: i64| u32::try_from(at).unwrap_or(0);
                let span = Span { start: offset(*start), end: offset(*end) };
                Error::subscript(source, buffer, *axis, (*index, *bound), span)
            }
            _ => error.into(),
        }
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
            | RuntimeError::TooLarge { .. }
            | RuntimeError::Large { .. } => Error::Data(error.to_string()),
            RuntimeError::Options(_) | RuntimeError::Blocks { .. } => Error::Usage(error.to_string()),
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
            CodegenError::Unsupported(what) => {
                let refusal = Diagnostic::error("unsupported", format!("no code can be made for this kernel: {what}"))
                    .help("write the intermediate array as a parameter of a kernel of its own, or use `--engine interp`");
                Error::Source(Box::new(Report::one(&Arc::new(SourceFile::default()), refusal)))
            }
            CodegenError::Malformed(_) | CodegenError::Backend(_) => Error::Internal(error.to_string()),
        }
    }
}
