//! Numerical derivatives of interpreter runs, and comparisons with named tolerances.

use crate::case::Case;
use spadina_ir::func::Buffer;
use spadina_ir::interp::{ArrayData, InterpError, Outputs, run};

/// Two evaluations of one formula, summed in another order or rewritten: a few hundred roundings of moderate numbers.
pub const REORDERED: f64 = 1e-11;

/// An exact derivative against an extrapolated central difference: besides the error that the difference estimates for
/// itself, what the estimate may be off.
pub const DIFFERENCE: f64 = 1e-6;

/// A number found by differences, with an estimate of its error.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The extrapolated difference.
    pub value: f64,
    /// How far two step sizes disagree, plus rounding.
    pub error: f64,
}

/// A dense matrix, row-major.
#[derive(Clone, PartialEq, Debug)]
pub struct Dense<T> {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` entries.
    pub entries: Vec<T>,
}

impl<T> Dense<T> {
    /// The entries of one row.
    pub fn row(&self, row: usize) -> &[T] {
        &self.entries[row * self.cols..(row + 1) * self.cols]
    }
}

/// The emitted matrix with repeated places added up.
pub fn dense(outputs: &Outputs) -> Dense<f64> {
    let (rows, cols) = outputs.shape;
    Dense { rows, cols, entries: outputs.dense() }
}

/// The matrix without the `stages` elements that come first in rows and columns: `M_rx + M_rs (I - M_ss)^-1 M_sx`. No element
/// depends on itself, so the fixed point of `T = M_sx + M_ss T` is reached in as many steps as there are elements.
pub fn without_stages(matrix: &Dense<f64>, stages: usize) -> Dense<f64> {
    let (rows, cols) = (matrix.rows - stages, matrix.cols - stages);
    let mut total = vec![0.0; stages * cols];
    let times_total = |row: &[f64], total: &[f64]| -> Vec<f64> {
        let at = |c: usize| {
            (0..stages).filter(|&s| row[s] != 0.0).map(|s| row[s] * total[s * cols + c]).sum::<f64>()
        };
        (0..cols).map(|c| row[stages + c] + at(c)).collect()
    };
    for _ in 0..=stages {
        let next: Vec<f64> = (0..stages).flat_map(|s| times_total(matrix.row(s), &total)).collect();
        if next == total {
            break;
        }
        total = next;
    }
    let entries = (0..rows).flat_map(|r| times_total(matrix.row(stages + r), &total)).collect();
    Dense { rows, cols, entries }
}

/// The concatenation of some outputs, in order; other buffers give nothing.
pub fn concatenated(outputs: &Outputs, buffers: &[Buffer]) -> Vec<f64> {
    buffers.iter().filter_map(|buffer| outputs.arrays.get(buffer)).flat_map(ArrayData::to_f64).collect()
}

/// The Jacobian of the outputs `rows` with respect to the `F64` inputs `cols`, by central differences with two steps and
/// Richardson extrapolation (error of fourth order).
///
/// # Errors
/// What the runs give; an input that is bound to no `F64` array counts as unbound.
pub fn jacobian(case: &Case, rows: &[Buffer], cols: &[Buffer]) -> Result<Dense<Estimate>, InterpError> {
    jacobian_with(case, rows, cols, 1.0)
}

/// The same with steps of another size.
///
/// # Errors
/// As [`jacobian`].
pub fn jacobian_with(
    case: &Case,
    rows: &[Buffer],
    cols: &[Buffer],
    size: f64,
) -> Result<Dense<Estimate>, InterpError> {
    let func = &case.func;
    let base = concatenated(&run(func, &case.bindings)?, rows);
    let mut columns = Vec::new();
    for &col in cols {
        let unbound = || InterpError::UnboundBuffer { buffer: func.buffers[col].name.clone() };
        let Some(ArrayData::F64(point)) = case.bindings.arrays.get(&col) else { return Err(unbound()) };
        for at in 0..point.len() {
            let step = size * f64::EPSILON.powf(0.2) * point[at].abs().max(1.0);
            let shifted = |by: f64| -> Result<Vec<f64>, InterpError> {
                let mut bindings = case.bindings.clone();
                let mut moved = point.clone();
                moved[at] += by;
                bindings.arrays.insert(col, ArrayData::F64(moved));
                Ok(concatenated(&run(func, &bindings)?, rows))
            };
            let [far, near] = [2.0, 1.0].map(|scale| -> Result<Vec<f64>, InterpError> {
                let (up, down) = (shifted(scale * step)?, shifted(-scale * step)?);
                Ok(up.iter().zip(&down).map(|(up, down)| (up - down) / (2.0 * scale * step)).collect())
            });
            let (far, near) = (far?, near?);
            let estimates = far.iter().zip(&near).zip(&base).map(|((&far, &near), &base)| Estimate {
                value: (4.0 * near - far) / 3.0,
                error: (near - far).abs() + 8.0 * f64::EPSILON * base.abs() / step,
            });
            columns.push(estimates.collect::<Vec<Estimate>>());
        }
    }
    let entries = (0..base.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    Ok(Dense { rows: base.len(), cols: columns.len(), entries })
}

/// The first place where two lists of numbers differ by more than `tolerance`, relative to the largest magnitude in
/// either list (at least 1); NaN equals NaN and infinities equal themselves.
///
/// # Errors
/// A sentence that names the place and both numbers, or the lengths where they differ.
pub fn compare(expected: &[f64], found: &[f64], tolerance: f64) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let finite = expected.iter().chain(found).filter(|x| x.is_finite());
    let scale = finite.fold(1.0_f64, |scale, x| scale.max(x.abs()));
    for (at, (&a, &b)) in expected.iter().zip(found).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * scale;
        if !same {
            return Err(format!(
                "at {at}: {b:e} instead of {a:e} (off by {:e}, scale {scale:e})",
                (a - b).abs()
            ));
        }
    }
    Ok(())
}

/// Like [`compare`], against estimates: each may be off by [`DIFFERENCE`] of the scale plus its own error. Estimates
/// whose error is larger than a thousandth of the scale (kinks and jumps nearby) are left out; gives how many were
/// compared.
///
/// # Errors
/// As for [`compare`].
pub fn compare_with_estimates(expected: &[Estimate], found: &[f64]) -> Result<usize, String> {
    if expected.len() != found.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let scale = expected.iter().map(|e| e.value.abs()).filter(|x| x.is_finite()).fold(1.0_f64, f64::max);
    let mut compared = 0;
    for (at, (estimate, &x)) in expected.iter().zip(found).enumerate() {
        if estimate.error.is_nan() || estimate.error > 1e-3 * scale {
            continue;
        }
        compared += 1;
        let off = (estimate.value - x).abs();
        if off.is_nan() || off > DIFFERENCE * scale + estimate.error {
            return Err(format!(
                "at {at}: {x:e}, but differences give {:e} ± {:e}",
                estimate.value, estimate.error
            ));
        }
    }
    Ok(compared)
}
