//! One way of computing the matrix, and what must hold for it alone and beside another.

use spadina::detect::{gradient_terms, terms};
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Options, Strategy};
use spadina::problem::Problem;
use spadina_ir::span::Span;
use spadina_ir::types::Ty;
use spadina_passes::ad::given::has_given;
use spadina_runtime::csr::Pattern;
use std::fmt::Write;

/// Most terms that a failure shows.
const SHOWN: usize = 4;

/// One way of computing it.
pub(super) struct Matrix {
    pub(super) strategy: Strategy,
    pub(super) problem: Problem,
    pub(super) values: Vec<f64>,
    /// Of an energy.
    pub(super) gradient: Vec<f64>,
    /// What differences count relative to: the largest entry, and not less than [`SMALLEST`].
    pub(super) scale: f64,
    pub(super) tolerance: f64,
}

/// A matrix that vanishes identically has entries of rounding on one road and zeros on another.
const SMALLEST: f64 = 1e-6;

impl Matrix {
    pub(super) fn new(
        kernel: &Kernel,
        inputs: &Inputs,
        options: &Options,
        strategy: Strategy,
    ) -> Result<Matrix, Error> {
        let options = Options { strategy, ..options.clone() };
        let mut problem = Problem::prepare(kernel, inputs, &options)?;
        let mut at = problem.evaluation();
        problem.evaluate(&mut at)?;
        let scale = at.matrix.iter().filter(|x| x.is_finite()).fold(SMALLEST, |m, x| m.max(x.abs()));
        let single = kernel.func().buffers.values().any(|b| b.elem == Ty::F32);
        let tolerance = if single { 1e-4 } else { 1e-9 };
        Ok(Matrix { strategy, problem, values: at.matrix, gradient: at.gradient, scale, tolerance })
    }

    fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let pattern = self.problem.pattern();
        let row_ptr = pattern.row_ptr();
        (0..pattern.rows()).flat_map(move |row| {
            let range = row_ptr[row] as usize..row_ptr[row + 1] as usize;
            range.map(move |at| (row, pattern.col_idx()[at] as usize, self.values[at]))
        })
    }

    pub(super) fn at(&self, row: usize, col: usize) -> f64 {
        let found = u32::try_from(col).ok().and_then(|col| self.problem.pattern().find(row, col));
        found.map_or(0.0, |at| self.values[at])
    }

    /// What is wrong with an entry, and the terms of the source that it comes from.
    pub(super) fn failed(&self, (row, col): (usize, usize), what: &str) -> Error {
        let name = |name: Option<String>| name.unwrap_or_default();
        let (of, by) = (name(self.problem.row_name(row)), name(self.problem.column_name(col)));
        let message = format!("entry ({row}, {col}), row `{of}`, column `{by}`, {what}");
        // Without a pattern there are no terms to show.
        self.told(message, terms(&self.problem, row, col).unwrap_or_default())
    }

    /// What is wrong with the derivative of an energy by an unknown, and the terms of the source that it comes from.
    pub(super) fn failed_slope(&self, column: usize, what: &str) -> Error {
        let by = self.problem.column_name(column).unwrap_or_default();
        let message = format!("the gradient by `{by}` {what}");
        self.told(message, gradient_terms(&self.problem, column).unwrap_or_default())
    }

    fn told(&self, mut message: String, mut found: Vec<Span>) -> Error {
        let kernel = self.problem.kernel();
        let source = kernel.source();
        found.retain(|span| !span.slice(&source.text).is_empty());
        for span in found.iter().take(SHOWN) {
            let (line, column) = source.line_col(span.start);
            let text = span.slice(&source.text).split_whitespace().collect::<Vec<_>>().join(" ");
            // Writing to a string cannot fail.
            let name = kernel.term_name(*span).map(|name| format!(" (\"{name}\")")).unwrap_or_default();
            let _ = write!(message, "\n  from {}:{line}:{column}: `{text}`{name}", source.name);
        }
        if found.len() > SHOWN {
            let _ = write!(message, "\n  and {} more terms", found.len() - SHOWN);
        }
        if has_given(kernel.func()) {
            message.push_str(
                "\n  some partials are given by the author: they may be wrong, or the body has steps that differences see",
            );
        }
        Error::Verification(message)
    }

    pub(super) fn inside(&self, detected: &Pattern) -> Result<(), Error> {
        // A full matrix has numbers that are none wherever a zero met an infinite slope.
        let missing = self.entries().find(|&(row, col, value)| {
            value != 0.0
                && value.is_finite()
                && u32::try_from(col).ok().and_then(|col| detected.find(row, col)).is_none()
        });
        match missing {
            None => Ok(()),
            Some((row, col, value)) => {
                let what = format!("is {value:e} ({}) but not in the detected pattern", self.strategy);
                Err(self.failed((row, col), &what))
            }
        }
    }

    /// The largest difference, relative to the largest entry.
    pub(super) fn agrees(&self, other: &Matrix) -> Result<f64, Error> {
        let scale = self.scale.max(other.scale);
        let mut largest = 0.0_f64;
        for (one, two) in [(self, other), (other, self)] {
            for (row, col, value) in one.entries() {
                let wanted = two.at(row, col);
                // What is not finite in a full matrix says nothing: a zero met an infinite slope. Products hand it on to their neighbors.
                let spoilt = |m: &Matrix| m.strategy != Strategy::Structural && !m.at(row, col).is_finite();
                if spoilt(self) || spoilt(other) {
                    continue;
                }
                if same(value, wanted, self.tolerance * scale) {
                    let difference = (value - wanted).abs();
                    if difference.is_finite() && scale > 0.0 {
                        largest = largest.max(difference / scale);
                    }
                    continue;
                }
                let (a, b) = (one.strategy, two.strategy);
                return Err(one.failed((row, col), &format!("is {value:e} ({a}) but {wanted:e} ({b})")));
            }
        }
        Ok(largest)
    }

    pub(super) fn symmetric(&self) -> Result<(), Error> {
        for (row, col, value) in self.entries() {
            let mirror = self.at(col, row);
            if !value.is_finite() || !mirror.is_finite() {
                continue;
            }
            if !same(value, mirror, self.tolerance * self.scale) {
                let what = format!("is {value:e}, its mirror {mirror:e} ({})", self.strategy);
                return Err(self.failed((row, col), &what));
            }
        }
        Ok(())
    }

    /// The matrix, or its transpose, times a vector, and the same of all magnitudes.
    pub(super) fn times(&self, transposed: bool, direction: &[f64], product: &mut [f64], sizes: &mut [f64]) {
        product.fill(0.0);
        sizes.fill(0.0);
        for (row, col, value) in self.entries() {
            let (to, from) = if transposed { (col, row) } else { (row, col) };
            product[to] += value * direction[from];
            sizes[to] += (value * direction[from]).abs();
        }
    }
}

/// Equal up to rounding, or both of them infinite or not a number.
pub(super) fn same(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance || a == b || !(a.is_finite() || b.is_finite())
}
