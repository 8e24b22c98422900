//! Patterns from matrix files and kernels, and back into files.

use super::args::DataArgs;
use super::{console, data};
use spadina::compiler::Module;
use spadina::detect::detect;
use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::options::Derivative;
use spadina_io::sparse_file::by_name::{read_sparse, write_sparse};
use spadina_io::sparse_file::csr::CsrRef;
use spadina_io::sparse_file::mtx::write_mtx_pattern;
use spadina_runtime::csr::Pattern;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether the name is that of a matrix file, not of a kernel.
pub(crate) fn is_matrix(path: &Path) -> bool {
    let ends = |known: &&str| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(known));
    ["mtx", "npz", "npy"].iter().any(ends)
}

/// The pattern of a matrix in a file.
pub(crate) fn of_file(path: &Path) -> Result<Arc<Pattern>, Error> {
    let matrix = read_sparse(path)?;
    let too_large = || Error::data("the matrix has more than 2^32 - 1 entries");
    let narrow = |list: &[usize]| {
        let list = list.iter().map(|&n| u32::try_from(n).map_err(|_| too_large()));
        list.collect::<Result<Vec<u32>, Error>>()
    };
    let (row_ptr, col_idx) = (narrow(&matrix.row_ptr)?, narrow(&matrix.col_idx)?);
    let pattern = Pattern::new(matrix.nrows, matrix.ncols, row_ptr, col_idx);
    Ok(Arc::new(pattern.ok_or_else(|| Error::Internal("the file was read into no valid pattern".into()))?))
}

/// The kernel of a file, with what the compiler says about it shown.
pub(crate) fn kernel(file: &Path, name: Option<&str>) -> Result<Kernel, Error> {
    let module = Module::open(file)?;
    if let Some(report) = module.report() {
        console::report(&report);
    }
    module.kernel(name)
}

/// A detected pattern.
pub(crate) struct Detected {
    pub(crate) pattern: Arc<Pattern>,
    pub(crate) derivative: Derivative,
    pub(crate) time: Duration,
}

/// Detects the pattern of the Jacobian (order 1) or Hessian (order 2); of an energy's Hessian and else of the Jacobian where no
/// order is given.
pub(crate) fn detected(
    kernel: &Kernel,
    order: Option<u8>,
    local: bool,
    wrt: Option<&[String]>,
    args: &DataArgs,
) -> Result<Detected, Error> {
    let derivative = match order {
        Some(1) => Derivative::Jacobian,
        Some(_) => Derivative::Hessian,
        None if kernel.is_energy() => Derivative::Hessian,
        None => Derivative::Jacobian,
    };
    kernel.columns(wrt)?;
    let inputs = data::inputs(kernel, args)?;
    let started = Instant::now();
    let pattern = detect(kernel, &inputs, derivative, wrt, local)?;
    Ok(Detected { pattern, derivative, time: started.elapsed() })
}

/// Writes a pattern: `.mtx` without values, everything else with ones.
pub(crate) fn write(path: &Path, pattern: &Pattern) -> Result<(), Error> {
    let (nrows, ncols) = (pattern.rows(), pattern.cols());
    let (row_ptr, col_idx) = (pattern.row_ptr(), pattern.col_idx());
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mtx")) {
        return Ok(write_mtx_pattern(path, (nrows, ncols), row_ptr, col_idx)?);
    }
    let values = vec![1.0; pattern.nnz()];
    Ok(write_sparse(path, CsrRef { nrows, ncols, row_ptr, col_idx, values: &values })?)
}
