//! Writes a sparse matrix as a dense `.npy`, up to a size that still makes sense.

use std::io::Write;
use std::path::Path;

use crate::error::Error;
use crate::index::Index;
use crate::npy::header::encode;
use crate::npy::write::write_words;
use crate::output::write_file;
use crate::sparse_file::csr::CsrRef;

/// Largest payload written, in bytes.
pub const DENSE_LIMIT: u64 = 1_000_000_000;

/// Writes all `nrows * ncols` values in double precision, a row at a time; entries at the same place add up.
///
/// # Errors
/// More than [`DENSE_LIMIT`] bytes, an inconsistent matrix, what the system reports; no partial file is left.
pub fn write_dense<P: Index, I: Index>(path: &Path, matrix: CsrRef<'_, P, I>) -> Result<(), Error> {
    matrix.check()?;
    let bytes = 8 * matrix.nrows as u128 * matrix.ncols as u128;
    if bytes > u128::from(DENSE_LIMIT) {
        let message = format!(
            "a dense {} x {} matrix takes {:.1} GB, more than the limit of 1 GB; write .npz or .mtx instead",
            matrix.nrows,
            matrix.ncols,
            bytes as f64 / 1e9
        );
        return Err(Error::format(&path.display().to_string(), message));
    }
    write_file(path, |out| {
        let mut row = vec![0.0; matrix.ncols];
        let mut all = || -> std::io::Result<()> {
            out.write_all(&encode("<f8", &[matrix.nrows, matrix.ncols]))?;
            for r in 0..matrix.nrows {
                let entries = matrix.row_ptr[r].get()..matrix.row_ptr[r + 1].get();
                for k in entries.clone() {
                    row[matrix.col_idx[k].get()] += matrix.values[k];
                }
                write_words(out, &row)?;
                for k in entries {
                    row[matrix.col_idx[k].get()] = 0.0;
                }
            }
            Ok(())
        };
        all().map_err(|e| Error::io(path, "write", e))
    })
}
