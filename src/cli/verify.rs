//! `spadina verify`: one matrix in every way it can be computed.
//!
//! # Checks
//! 1. Every entry that is not zero, in any of the matrices, is in the detected pattern.
//! 2. Structural, compressed and dense matrix agree, entry by entry.
//! 3. A Hessian is symmetric.
//! 4. Products with random directions agree with the matrix: all there is to hold against a large one.

use super::args::VerifyArgs;
use super::{console, data, pattern, result};
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options, Project, Strategy};
use spadina::problem::Problem;
use spadina::product::{Kind, Products};
use spadina_ir::types::Ty;
use spadina_runtime::csr::Pattern;
use std::fmt::Write;

/// Most entries of a dense matrix that is computed to compare with.
const DENSE: usize = 1 << 22;
/// Random directions.
const PROBES: u64 = 4;

pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Error> {
    let kernel = pattern::kernel(&args.kernel.file, args.kernel.kernel.as_deref())?;
    let mut derivative = result::largest(&kernel, args.derive.as_deref())?;
    if !derivative.has_matrix() {
        if args.derive.is_some() {
            return Err(Error::usage("only `jacobian` and `hessian` are matrices to verify"));
        }
        derivative = if kernel.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
    }
    let mut options = Options::new(derivative);
    (options.wrt, options.engine) = (args.wrt.clone(), args.engine);
    // Only the plain Hessian is the same in every way.
    options.project = Project::Off;
    kernel.columns(options.wrt.as_deref())?;
    let inputs = data::inputs(&kernel, &args.data)?;
    let mut said = String::new();
    let compressed = match Matrix::new(&kernel, &inputs, &options, Strategy::Compressed) {
        Err(Error::Source(report)) => {
            console::note("the pattern cannot be detected; this check is left out");
            console::report(&report);
            None
        }
        other => Some(other?),
    };
    let structural = match Matrix::new(&kernel, &inputs, &options, Strategy::Structural) {
        Err(Error::Source(report)) => {
            let codes: Vec<&str> = report.diagnostics.iter().map(|d| d.code).collect();
            say(&mut said, "structural", &format!("refused ({})", codes.join(", ")));
            None
        }
        other => Some(other?),
    };
    let first = structural.as_ref().or(compressed.as_ref());
    let (rows, columns) = match first {
        Some(matrix) => (matrix.problem.rows(), matrix.problem.columns()),
        None => (0, 0),
    };
    let dense = if first.is_none() || rows.saturating_mul(columns) <= DENSE {
        Some(Matrix::new(&kernel, &inputs, &options, Strategy::Dense)?)
    } else {
        say(&mut said, "dense", &format!("left out: {rows} x {columns} is too large"));
        None
    };
    let all: Vec<&Matrix> = [&structural, &compressed, &dense].into_iter().flatten().collect();
    let Some(&reference) = all.last() else { return Ok(()) };
    if let Some(detected) = &compressed {
        for matrix in all.iter().filter(|m| m.strategy != Strategy::Compressed) {
            matrix.inside(detected.problem.pattern())?;
        }
        let entries = detected.problem.pattern().nnz();
        say(&mut said, "pattern", &format!("{entries} entries detected, none missing"));
    }
    for matrix in &all[..all.len() - 1] {
        let largest = matrix.agrees(reference)?;
        let (a, b) = (matrix.strategy, reference.strategy);
        say(&mut said, "values", &format!("{a} and {b} agree (largest difference {largest:.1e})"));
    }
    if derivative == Derivative::Hessian {
        for matrix in &all {
            matrix.symmetric()?;
        }
        say(&mut said, "symmetry", "holds");
    }
    probes(&all, derivative, &mut said)?;
    console::print(&format!("{said}{}: the {} is sound\n", kernel.name(), derivative.name()))
}

/// Adds a line; all are shown at the end, where nothing has failed. Writing to a string cannot fail.
fn say(said: &mut String, what: &str, text: &str) {
    let _ = writeln!(said, "{what:<10} {text}");
}

/// One way of computing it.
struct Matrix {
    strategy: Strategy,
    problem: Problem,
    values: Vec<f64>,
    /// What differences count relative to.
    scale: f64,
    tolerance: f64,
}

impl Matrix {
    fn new(kernel: &Kernel, inputs: &Inputs, options: &Options, strategy: Strategy) -> Result<Matrix, Error> {
        let options = Options { strategy, ..options.clone() };
        let mut problem = Problem::prepare(kernel, inputs, &options)?;
        let mut at = problem.evaluation();
        problem.evaluate(&mut at)?;
        let scale = at.matrix.iter().filter(|x| x.is_finite()).fold(0.0_f64, |m, x| m.max(x.abs()));
        let single = kernel.func().buffers.values().any(|b| b.elem == Ty::F32);
        let tolerance = if single { 1e-4 } else { 1e-9 };
        Ok(Matrix { strategy, problem, values: at.matrix, scale, tolerance })
    }

    fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let pattern = self.problem.pattern();
        let row_ptr = pattern.row_ptr();
        (0..pattern.rows()).flat_map(move |row| {
            let range = row_ptr[row] as usize..row_ptr[row + 1] as usize;
            range.map(move |at| (row, pattern.col_idx()[at] as usize, self.values[at]))
        })
    }

    fn at(&self, row: usize, col: usize) -> f64 {
        let found = u32::try_from(col).ok().and_then(|col| self.problem.pattern().find(row, col));
        found.map_or(0.0, |at| self.values[at])
    }

    /// `entry (0, 3), d x[0] d x[3],`
    fn entry(&self, row: usize, col: usize) -> String {
        let name = |name: Option<String>| name.unwrap_or_default();
        let (of, by) = (name(self.problem.row_name(row)), name(self.problem.column_name(col)));
        format!("entry ({row}, {col}), row `{of}`, column `{by}`,")
    }

    fn inside(&self, detected: &Pattern) -> Result<(), Error> {
        let missing = self.entries().find(|&(row, col, value)| {
            value != 0.0 && u32::try_from(col).ok().and_then(|col| detected.find(row, col)).is_none()
        });
        match missing {
            None => Ok(()),
            Some((row, col, value)) => {
                let (entry, strategy) = (self.entry(row, col), self.strategy);
                Err(failed(format!("{entry} is {value:e} ({strategy}) but not in the detected pattern")))
            }
        }
    }

    /// The largest difference, relative to the largest entry.
    fn agrees(&self, other: &Matrix) -> Result<f64, Error> {
        let scale = self.scale.max(other.scale);
        let mut largest = 0.0_f64;
        for (one, two) in [(self, other), (other, self)] {
            for (row, col, value) in one.entries() {
                let wanted = two.at(row, col);
                if same(value, wanted, self.tolerance * scale) {
                    let difference = (value - wanted).abs();
                    if difference.is_finite() && scale > 0.0 {
                        largest = largest.max(difference / scale);
                    }
                    continue;
                }
                let entry = one.entry(row, col);
                let (a, b) = (one.strategy, two.strategy);
                return Err(failed(format!("{entry} is {value:e} ({a}) but {wanted:e} ({b})")));
            }
        }
        Ok(largest)
    }

    fn symmetric(&self) -> Result<(), Error> {
        for (row, col, value) in self.entries() {
            let mirror = self.at(col, row);
            if !same(value, mirror, self.tolerance * self.scale) {
                let (entry, strategy) = (self.entry(row, col), self.strategy);
                return Err(failed(format!("{entry} is {value:e}, its mirror {mirror:e} ({strategy})")));
            }
        }
        Ok(())
    }

    /// The matrix, or its transpose, times a vector, and the same of all magnitudes.
    fn times(&self, transposed: bool, direction: &[f64], product: &mut [f64], sizes: &mut [f64]) {
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
fn same(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance || a == b || !(a.is_finite() || b.is_finite())
}

fn failed(message: String) -> Error {
    Error::Verification(message)
}

/// Numbers in -1..1, the same everywhere (splitmix64).
fn random(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn probes(all: &[&Matrix], derivative: Derivative, said: &mut String) -> Result<(), Error> {
    let Some(first) = all.first() else { return Ok(()) };
    let (rows, columns) = (first.problem.rows(), first.problem.columns());
    let kinds: &[(Kind, &str)] = match derivative {
        Derivative::Hessian => &[(Kind::Hvp, "H v")],
        Derivative::Value | Derivative::Gradient | Derivative::Jacobian => {
            &[(Kind::Jvp, "J v"), (Kind::Vjp, "J^T w")]
        }
    };
    for &(kind, name) in kinds {
        let mut products = match Products::new(&first.problem, kind) {
            // Reverse mode may be refused where forward mode is not.
            Err(Error::Source(_)) if kind == Kind::Vjp => {
                say(said, "products", &format!("{name} is refused"));
                continue;
            }
            other => other?,
        };
        let transposed = kind == Kind::Vjp;
        let (from, to) = if transposed { (rows, columns) } else { (columns, rows) };
        let (mut wanted, mut found, mut sizes) = (vec![0.0; to], vec![0.0; to], vec![0.0; to]);
        for probe in 0..PROBES {
            let direction = random(from, probe);
            products.apply(&direction, &mut wanted)?;
            for matrix in all {
                matrix.times(transposed, &direction, &mut found, &mut sizes);
                for (at, ((&a, &b), &size)) in found.iter().zip(&wanted).zip(&sizes).enumerate() {
                    if !same(a, b, matrix.tolerance * size.max(matrix.scale)) {
                        let problem = &matrix.problem;
                        let of = if transposed { problem.column_name(at) } else { problem.row_name(at) };
                        let (of, strategy) = (of.unwrap_or_default(), matrix.strategy);
                        return Err(failed(format!(
                            "entry {at} (`{of}`) of {name} for a random direction is {b:e}, but {a:e} by the matrix ({strategy})"
                        )));
                    }
                }
            }
        }
        say(said, "products", &format!("{name} agrees in {PROBES} random directions"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spadina::compiler::Module;

    fn chain(strategy: Strategy) -> Matrix {
        let text = "kernel k<N>(x: var vec2[N]) -> f64 { sum i in 1..N { sqnorm(x[i] - x[i - 1])^2 } }";
        let kernel = Module::from_text("chain.ir", text).unwrap().kernel(None).unwrap();
        let mut inputs = Inputs::new();
        inputs.set("x", &[[0.0, 1.0], [2.0, 3.0], [5.0, 4.0]]);
        Matrix::new(&kernel, &inputs, &Options::new(Derivative::Hessian), strategy).unwrap()
    }

    fn message(result: Result<(), Error>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        error.to_string()
    }

    #[test]
    fn failures_name_the_entry() {
        let (mut wrong, right) = (chain(Strategy::Structural), chain(Strategy::Compressed));
        assert!(wrong.agrees(&right).unwrap() < 1e-12);
        wrong.symmetric().unwrap();
        // Row 2, column 3: x[1, 0] and x[1, 1].
        let at = wrong.problem.pattern().find(2, 3).unwrap();
        wrong.values[at] += 1.0;
        let text = message(wrong.agrees(&right).map(|_| ()));
        for part in ["(2, 3)", "`x[1, 0]`", "`x[1, 1]`", "structural", "compressed"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(message(wrong.symmetric()).contains("mirror"));
        let text = message(probes(&[&wrong], Derivative::Hessian, &mut String::new()));
        assert!(text.contains("`x[1, 0]`") && text.contains("H v"), "{text}");
        let diagonal = Pattern::new(6, 6, (0..=6).collect(), (0..6).collect()).unwrap();
        assert!(message(right.inside(&diagonal)).contains("not in the detected pattern"));
    }
}
