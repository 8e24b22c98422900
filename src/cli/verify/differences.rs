//! Differences along random directions against the matrix, and, for an energy, differences of its value against the gradient.
//!
//! # Method
//! Central differences for steps that shrink by 4, extrapolated to step 0 (Ridders' method): the tableau entry of least estimated error
//! counts, and its error estimate is part of the tolerance. So is the difference of the one-sided slopes, extrapolated to step 0, where
//! nothing of it is left but at a kink. Rows where the tolerance grows beyond use are left out and counted.
//!
//! References: Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Advances in Engineering Software 4 (1982); Press and others,
//! Numerical Recipes, section 5.7.
//!
//! # Limits
//! Kernels in which `stop_gradient` hides something that depends on the unknowns are not compared: differences see it. Nor are those in single
//! precision: their differences have no digits to compare. Nothing is called sound then.

use super::matrix::{Matrix, same};
use super::probe::{PROBES, culprit, random};
use super::say;
use spadina::error::Error;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options, Strategy};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use spadina_ir::func::{Func, InstData};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use spadina_passes::analysis::activity::Activity;

/// The first step, relative to the unknowns, and how many there are.
const STEP: f64 = 0.01;
const STEPS: usize = 8;
/// Error estimates count this many times.
const SAFETY: f64 = 20.0;
/// Smallest relative tolerance.
const TOLERANCE: f64 = 1e-7;
/// Rows that are not known at least this well, relative to their size, are left out.
const USEFUL: f64 = 1e-3;

/// A derivative along a direction by differences.
struct Slope {
    /// What changes along the direction.
    centers: Vec<f64>,
    values: Vec<f64>,
    errors: Vec<f64>,
}

/// What differences can say of a matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It agrees with them.
    Confirmed,
    /// Nothing at this point.
    NotHere,
    /// Nothing of this kernel, for a reason.
    Never(&'static str),
}

impl Verdict {
    fn of(confirmed: bool) -> Verdict {
        if confirmed { Verdict::Confirmed } else { Verdict::NotHere }
    }
}

/// A kernel at points near the one it was bound at.
struct Nearby<'a> {
    problem: Problem,
    at: Evaluation,
    what: fn(&Evaluation) -> &[f64],
    unknowns: &'a [(String, Array)],
    x: &'a [f64],
}

impl Nearby<'_> {
    fn values(&mut self, direction: &[f64], step: f64) -> Result<Vec<f64>, Error> {
        let mut moved = self.x.iter().zip(direction).map(|(x, d)| x + step * d);
        for (name, array) in self.unknowns {
            let values: Vec<f64> = moved.by_ref().take(array.len()).collect();
            self.problem.set(name, &Array::new(array.shape().to_vec(), Data::F64(values))?)?;
        }
        self.problem.evaluate(&mut self.at)?;
        Ok((self.what)(&self.at).to_vec())
    }

    fn slope(&mut self, direction: &[f64]) -> Result<Slope, Error> {
        let center = self.values(direction, 0.0)?;
        let mut errors = vec![f64::INFINITY; center.len()];
        let mut values = vec![0.0; center.len()];
        // Differences of the one-sided slopes, without the part in proportion to the step; the last, and the least of two in a row.
        let mut bends = vec![0.0; center.len()];
        let mut jumps = vec![f64::INFINITY; center.len()];
        let mut kinks = vec![f64::INFINITY; center.len()];
        // One row of the tableau: estimates of growing order.
        let mut before: Vec<Vec<f64>> = Vec::new();
        for n in 0..STEPS {
            let step = STEP * 0.25_f64.powi(n as i32);
            let (plus, minus) = (self.values(direction, step)?, self.values(direction, -step)?);
            let mut row =
                vec![plus.iter().zip(&minus).map(|(a, b)| (a - b) / (2.0 * step)).collect::<Vec<f64>>()];
            for (order, old) in before.iter().enumerate() {
                let factor = 16.0_f64.powi(order as i32 + 1);
                let refined =
                    row[order].iter().zip(old).map(|(new, old)| (factor * new - old) / (factor - 1.0));
                let refined: Vec<f64> = refined.collect();
                for (at, &value) in refined.iter().enumerate() {
                    // Two estimates may be the same by chance: no step knows more than the rounding of the values leaves.
                    let rounding = f64::EPSILON * center[at].abs() / step;
                    let error = (value - row[order][at]).abs().max((value - old[at]).abs()) + rounding;
                    if error < errors[at] {
                        (values[at], errors[at]) = (value, error);
                    }
                }
                row.push(refined);
            }
            before = row;
            for (at, kink) in kinks.iter_mut().enumerate() {
                let bend = (plus[at] - 2.0 * center[at] + minus[at]) / step;
                let jump = if n == 0 { f64::INFINITY } else { ((4.0 * bend - bends[at]) / 3.0).abs() };
                // Not the smaller of the two where one is no number.
                *kink =
                    if jump.max(jumps[at]) < *kink && !jump.is_nan() { jump.max(jumps[at]) } else { *kink };
                (bends[at], jumps[at]) = (bend, jump);
            }
        }
        for (error, kink) in errors.iter_mut().zip(&kinks) {
            *error = SAFETY * *error + 2.0 * kink;
        }
        Ok(Slope { centers: center, values, errors })
    }
}

/// Whether a row agrees; `None` where differences cannot tell.
fn agrees(slope: &Slope, at: usize, wanted: f64, size: f64, scale: f64) -> Option<bool> {
    let (value, error) = (slope.values[at], slope.errors[at]);
    let reach = size.max(value.abs()).max(1e-3 * scale);
    // Where nothing is wanted, as of what is linear, the values themselves tell whether the error is small, not what may differ: unknowns
    // move in proportion to their size.
    let known = if size > 0.0 { reach } else { reach.max(1e-6 * slope.centers[at].abs()) };
    let useful = error.is_finite() && wanted.is_finite() && value.is_finite() && error <= USEFUL * known;
    useful.then(|| (value - wanted).abs() <= error + TOLERANCE * reach)
}

/// Compares the matrix, and the gradient of an energy, with differences.
pub(super) fn differences(
    kernel: &Kernel,
    inputs: &Inputs,
    matrix: &Matrix,
    said: &mut String,
) -> Result<Verdict, Error> {
    let options = matrix.problem.options();
    if kernel.func().buffers.values().any(|b| b.elem == Ty::F32) {
        say(said, "slopes", "left out: single precision");
        return Ok(Verdict::Never("in single precision they have too few digits"));
    }
    if stops_gradient(&kernel.primal(options.wrt.as_deref())?) {
        say(said, "slopes", "left out: differences see what `stop_gradient` hides from derivatives");
        return Ok(Verdict::Never("they see what `stop_gradient` hides"));
    }
    let unknowns = unknowns(kernel, inputs, options.wrt.as_deref())?;
    let x: Vec<f64> = unknowns.iter().try_fold(Vec::new(), |mut x, (name, array)| {
        x.extend_from_slice(&array.to_f64(name)?);
        Ok::<_, Error>(x)
    })?;
    let nearby = |derivative, what: fn(&Evaluation) -> &[f64]| {
        let options = Options { derivative, strategy: Strategy::Auto, ..options.clone() };
        let problem = Problem::prepare(kernel, inputs, &options)?;
        let at = problem.evaluation();
        Ok::<_, Error>(Nearby { problem, at, what, unknowns: &unknowns, x: &x })
    };
    let results = || nearby(Derivative::Value, |at| &at.results);
    Ok(Verdict::of(match options.derivative {
        Derivative::Hessian => {
            let gradient = of_gradient(&mut results()?, matrix, said)?;
            let mut near = nearby(Derivative::Gradient, |at| &at.gradient)?;
            of_matrix(&mut near, ("the matrix", matrix), said)? && gradient
        }
        Derivative::Lagrangian => {
            of_matrix(&mut nearby(Derivative::Lagrangian, |at| &at.gradient)?, ("the matrix", matrix), said)?
        }
        // No derivative of anything, but made of one.
        Derivative::GaussNewton => {
            let options = Options { derivative: Derivative::Jacobian, ..options.clone() };
            let jacobian = Matrix::new(kernel, inputs, &options, Strategy::Auto)?;
            squares(matrix, &jacobian)?;
            of_matrix(&mut results()?, ("its Jacobian", &jacobian), said)?
        }
        Derivative::Value | Derivative::Gradient | Derivative::Jacobian => {
            of_matrix(&mut results()?, ("the matrix", matrix), said)?
        }
    }))
}

/// Compares a Gauss-Newton matrix with products of the Jacobian.
fn squares(matrix: &Matrix, jacobian: &Matrix) -> Result<(), Error> {
    let (rows, columns) = (jacobian.problem.rows(), jacobian.problem.columns());
    let (mut along, mut sizes) = (vec![0.0; rows], vec![0.0; rows]);
    let [mut wanted, mut found, mut large, mut larger] = [(); 4].map(|()| vec![0.0; columns]);
    for probe in 0..PROBES {
        let direction = random(columns, probe);
        jacobian.times(false, &direction, &mut along, &mut sizes);
        jacobian.times(true, &along, &mut wanted, &mut larger);
        matrix.times(false, &direction, &mut found, &mut large);
        let wrong = (0..columns).find(|&at| {
            let size = larger[at].max(large[at]).max(matrix.scale);
            !same(found[at], wanted[at], matrix.tolerance * size)
        });
        if let Some(at) = wrong {
            let of = matrix.problem.row_name(at).unwrap_or_default();
            return Err(Error::Verification(format!(
                "row {at} (`{of}`) times a random direction is {:e} ({}), but {:e} by products with the Jacobian",
                found[at], matrix.strategy, wanted[at]
            )));
        }
    }
    Ok(())
}

/// Whether a `stop_gradient` hides something that depends on the unknowns.
fn stops_gradient(func: &Func) -> bool {
    let activity = Activity::of(func, &func.columns);
    let mut found = false;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Op(Op::StopGradient, args) = &func.insts[inst] {
            found |= activity.value(args[0]);
        }
    });
    found
}

/// Compares a matrix with differences. False where not a single row could be compared that should have been.
fn of_matrix(
    nearby: &mut Nearby<'_>,
    (what, matrix): (&str, &Matrix),
    said: &mut String,
) -> Result<bool, Error> {
    let rows = matrix.problem.rows();
    let (mut product, mut sizes) = (vec![0.0; rows], vec![0.0; rows]);
    let mut doubtful = 0;
    for probe in 0..PROBES {
        let direction = scaled(nearby.x, probe);
        let slope = nearby.slope(&direction)?;
        matrix.times(false, &direction, &mut product, &mut sizes);
        let scale = sizes.iter().filter(|x| x.is_finite()).fold(0.0_f64, |most, &x| most.max(x));
        for row in 0..rows {
            match agrees(&slope, row, product[row], sizes[row], scale) {
                Some(true) => {}
                None => doubtful += 1,
                Some(false) => {
                    let (by_matrix, by_slope) = (product[row], slope.values[row]);
                    let mut found = (0.0, 0.0);
                    let column = culprit(&direction, |part| {
                        let slope = nearby.slope(part)?;
                        matrix.times(false, part, &mut product, &mut sizes);
                        let wrong = agrees(&slope, row, product[row], sizes[row], scale) == Some(false);
                        let miss = (product[row] - slope.values[row]).abs();
                        if wrong {
                            found = (product[row], slope.values[row]);
                        }
                        Ok(if wrong { miss } else { -1.0 })
                    })?;
                    let strategy = matrix.strategy;
                    if let Some(column) = column {
                        let by = direction[column];
                        let what = format!(
                            "is {:e} ({strategy}) but {:e} by differences",
                            matrix.at(row, column),
                            found.1 / by
                        );
                        return Err(matrix.failed((row, column), &what));
                    }
                    let of = matrix.problem.row_name(row).unwrap_or_default();
                    return Err(Error::Verification(format!(
                        "row {row} (`{of}`) times a random direction is {by_matrix:e} ({strategy}) but {by_slope:e} by differences"
                    )));
                }
            }
        }
    }
    Ok(report(said, what, doubtful, rows * PROBES as usize))
}

fn of_gradient(nearby: &mut Nearby<'_>, matrix: &Matrix, said: &mut String) -> Result<bool, Error> {
    let gradient = &matrix.gradient;
    let product = |direction: &[f64]| gradient.iter().zip(direction).map(|(g, d)| g * d).sum::<f64>();
    let size = |direction: &[f64]| gradient.iter().zip(direction).map(|(g, d)| (g * d).abs()).sum::<f64>();
    let mut doubtful = 0;
    for probe in 0..PROBES {
        let direction = scaled(nearby.x, probe);
        let slope = nearby.slope(&direction)?;
        match agrees(&slope, 0, product(&direction), size(&direction), 0.0) {
            Some(true) => {}
            None => doubtful += 1,
            Some(false) => {
                let column = culprit(&direction, |part| {
                    let slope = nearby.slope(part)?;
                    let wrong = agrees(&slope, 0, product(part), size(part), 0.0) == Some(false);
                    Ok(if wrong { (product(part) - slope.values[0]).abs() } else { -1.0 })
                })?;
                let Some(at) = column else {
                    return Err(Error::Verification(
                        "the gradient times a random direction disagrees with differences of the value"
                            .into(),
                    ));
                };
                let value = gradient.get(at).copied().unwrap_or_default();
                return Err(matrix
                    .failed_slope(at, &format!("is {value:e}, which differences of the value contradict")));
            }
        }
    }
    Ok(report(said, "the gradient", doubtful, PROBES as usize))
}

/// Tells how many rows were compared, in all directions together; whether any was, or there was none.
fn report(said: &mut String, what: &str, doubtful: usize, all: usize) -> bool {
    let why = "where the kernel is not smooth or not finite, or differences have too few digits";
    let text = match doubtful {
        0 => format!("{what} agrees with differences in {PROBES} directions"),
        n if n == all => {
            format!("{what} could not be compared with differences: every row was left out, {why}")
        }
        n => format!(
            "{what} agrees with differences in {PROBES} directions; {n} of {all} rows left out, {why}"
        ),
    };
    say(said, "slopes", &text);
    doubtful < all || all == 0
}

/// A random direction in which every unknown moves in proportion to itself, or, if it is tiny, to those beside it.
fn scaled(x: &[f64], probe: u64) -> Vec<f64> {
    let mean = x.iter().map(|x| x.abs()).sum::<f64>() / x.len().max(1) as f64;
    let least = if mean > 0.0 { 1e-2 * mean } else { 1.0 };
    random(x.len(), 100 + probe).iter().zip(x).map(|(d, x)| d * x.abs().max(least)).collect()
}

/// Names and values of the unknowns, in the order of the columns.
fn unknowns(kernel: &Kernel, inputs: &Inputs, wrt: Option<&[String]>) -> Result<Vec<(String, Array)>, Error> {
    let func = kernel.func();
    let values = kernel.columns(wrt)?.into_iter().map(|name| {
        let default = func.buffer_named(&name).and_then(|buffer| func.buffers[buffer].default);
        let array = inputs.get(&name).cloned().or_else(|| default.map(Array::scalar));
        let array = array.ok_or_else(|| Error::Internal(format!("`{name}` is not bound")))?;
        Ok((name, array))
    });
    values.collect()
}
