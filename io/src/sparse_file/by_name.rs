//! Chooses the format of a sparse matrix by the end of the file's name.

use std::path::Path;

use crate::error::Error;
use crate::index::Index;
use crate::sparse_file::csr::{Csr, CsrRef};
use crate::sparse_file::dense::{read_dense, write_dense};
use crate::sparse_file::mtx::{read_mtx, write_mtx};
use crate::sparse_file::npz::{Compression, read_npz, write_npz};

/// Writes `.npz` (as scipy's `save_npz` does), `.mtx` (Matrix Market) or `.npy` (dense).
///
/// # Errors
/// Another ending, an inconsistent matrix, a dense file beyond the limit, what the system reports.
pub fn write_sparse<P: Index, I: Index>(path: &Path, matrix: CsrRef<'_, P, I>) -> Result<(), Error> {
    match extension(path).as_str() {
        "npz" => write_npz(path, matrix, Compression::Deflate),
        "mtx" => write_mtx(path, matrix),
        "npy" => write_dense(path, matrix),
        _ => Err(unknown(path, ".npz, .mtx or .npy (dense)")),
    }
}

/// Reads a sparse matrix from `.npz`, `.mtx`, or `.npy` (dense, of which entries other than zero are kept).
///
/// # Errors
/// Another ending, and whatever is wrong with the file.
pub fn read_sparse(path: &Path) -> Result<Csr, Error> {
    match extension(path).as_str() {
        "npz" => read_npz(path),
        "mtx" => read_mtx(path),
        "npy" => read_dense(path),
        _ => Err(unknown(path, ".npz, .mtx or .npy (dense)")),
    }
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn unknown(path: &Path, known: &str) -> Error {
    Error::format(
        &path.display().to_string(),
        format!("the name of a sparse matrix file must end in {known}"),
    )
}
