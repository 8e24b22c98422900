//! Sparse matrices as dense `.npy` files, written up to a size that still makes sense.

use std::io::Write;
use std::path::Path;

use crate::array::{Data, Shape};
use crate::error::Error;
use crate::index::Index;
use crate::npy::header::encode;
use crate::npy::read::read_npy;
use crate::npy::write::write_words;
use crate::output::write_file;
use crate::sparse_file::csr::{Csr, CsrRef};

/// Largest payload written, in bytes.
pub const DENSE_LIMIT: u64 = 1_000_000_000;

/// Reads a matrix of numbers or truth values; what is zero is no entry.
///
/// # Errors
/// Those of [`read_npy`], complex numbers, arrays that do not have two axes.
pub fn read_dense(path: &Path) -> Result<Csr, Error> {
    let array = read_npy(path)?;
    let file = path.display().to_string();
    let refuse =
        |what: String| Error::format(&file, format!("a matrix of numbers has two axes, this array {what}"));
    if array.is_complex() {
        return Err(refuse("holds complex ones".into()));
    }
    let &[nrows, ncols] = array.shape() else {
        return Err(refuse(format!("has shape {}", Shape(array.shape()))));
    };
    let all = match array.data() {
        Data::Bool(all) => all.iter().map(|&b| f64::from(u8::from(b))).collect(),
        _ => array.to_f64(&file)?,
    };
    let mut matrix = Csr { nrows, ncols, row_ptr: vec![0], col_idx: Vec::new(), values: Vec::new() };
    for row in 0..nrows {
        let row = &all[row * ncols..(row + 1) * ncols];
        for (col, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            matrix.col_idx.push(col);
            matrix.values.push(value);
        }
        matrix.row_ptr.push(matrix.col_idx.len());
    }
    Ok(matrix)
}

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
