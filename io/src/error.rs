//! The one error type of this crate; every message names the file or the array it is about.

use std::path::Path;

/// What can go wrong while files are read or written, arrays converted or inputs generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused: the file is missing, unreadable, the disk is full, ..
    #[error("cannot {action} `{file}`: {source}")]
    Io {
        /// The file as the caller named it.
        file: String,
        /// What was tried: `read`, `write`, ..
        action: &'static str,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The bytes of a file are not what its format promises.
    #[error("`{file}`: {message}")]
    Format {
        /// The file as the caller named it.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A line of a text file is wrong.
    #[error("`{file}`, line {line}: {message}")]
    Line {
        /// The file as the caller named it.
        file: String,
        /// One-based line number.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A `.npy` file holds elements of a type that is not read.
    #[error(
        "`{file}`: dtype `{dtype}` is not supported (supported: f4, f8, i4, i8, u4, u8, b1, c16 in either byte order)"
    )]
    Dtype {
        /// The file as the caller named it.
        file: String,
        /// The dtype as the file states it.
        dtype: String,
    },
    /// An array cannot be used as asked: wrong kind of element, a value out of range, a shape that does not fit.
    #[error("array `{name}`: {message}")]
    Array {
        /// Name of the array.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A matrix, mesh or request is inconsistent in itself.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn io(file: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { file: file.display().to_string(), action, source }
    }

    pub(crate) fn format(file: &str, message: impl Into<String>) -> Self {
        Self::Format { file: file.to_string(), message: message.into() }
    }

    pub(crate) fn line(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self::Line { file: file.to_string(), line, message: message.into() }
    }

    pub(crate) fn array(name: &str, message: impl Into<String>) -> Self {
        Self::Array { name: name.to_string(), message: message.into() }
    }
}
