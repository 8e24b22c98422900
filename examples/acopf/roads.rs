//! One Hessian by all roads: structural, compressed and, for small networks, dense; counts, times, and how well they agree.

use crate::case::Case;
use spadina::detect::detect;
use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options, Strategy};
use spadina::problem::Problem;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::options::{Options as Ways, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern as Uncolored;
use spadina_runtime::csr::Pattern;
use std::sync::Arc;
use std::time::Instant;

/// Most unknowns for which every column is computed.
const DENSE: usize = 600;
/// Evaluations that a time is the median of.
const ROUNDS: usize = 15;

/// What was found.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) pattern: Arc<Pattern>,
    /// Colors of the best order, which is how many products an evaluation takes.
    pub(crate) colors: usize,
    /// Milliseconds: detection, coloring, and an evaluation by each road.
    pub(crate) detect: f64,
    pub(crate) color: f64,
    pub(crate) evaluate: Vec<(Strategy, f64)>,
    /// Largest difference of any two roads, relative to the largest entry.
    pub(crate) difference: f64,
    /// The structural values.
    pub(crate) values: Vec<f64>,
}

impl Figures {
    /// The part of the matrix that is not stored, in percent.
    pub(crate) fn zeros(&self) -> f64 {
        let (rows, cols) = (self.pattern.rows() as f64, self.pattern.cols() as f64);
        100.0 * (1.0 - self.pattern.nnz() as f64 / (rows * cols))
    }
}

/// Computes the Hessian of the Lagrangian by all roads.
pub(crate) fn compare(kernel: &Kernel, case: &Case) -> Result<Figures, Error> {
    let inputs = case.inputs();
    let started = Instant::now();
    let pattern = detect(kernel, &inputs, Derivative::Hessian, None, false)?;
    let detected = milliseconds(started);
    let started = Instant::now();
    let coloring = star(&pattern)?;
    let color = milliseconds(started);
    let mut roads = vec![Strategy::Structural, Strategy::Compressed];
    if case.unknowns() <= DENSE {
        roads.push(Strategy::Dense);
    }
    let mut evaluate = Vec::new();
    let mut all: Vec<Vec<f64>> = Vec::new();
    for &strategy in &roads {
        let options = Options { strategy, ..Options::new(Derivative::Hessian) };
        let mut problem = Problem::prepare(kernel, &inputs, &options)?;
        let mut at = problem.evaluation();
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let started = Instant::now();
            problem.evaluate(&mut at)?;
            times.push(milliseconds(started));
        }
        times.sort_by(f64::total_cmp);
        evaluate.push((strategy, times[ROUNDS / 2]));
        all.push(on_pattern(&pattern, problem.pattern(), &at.matrix)?);
    }
    let largest = all[0].iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let apart =
        |other: &Vec<f64>| all[0].iter().zip(other).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    let difference = all.iter().map(apart).fold(0.0, f64::max) / largest;
    let values = all.swap_remove(0);
    Ok(Figures {
        pattern,
        colors: coloring.n_colors(),
        detect: detected,
        color,
        evaluate,
        difference,
        values,
    })
}

fn star(pattern: &Pattern) -> Result<Coloring, Error> {
    let row_ptr: Vec<usize> = pattern.row_ptr().iter().map(|&n| n as usize).collect();
    let orders = [Order::SmallestLast, Order::LargestFirst, Order::Natural];
    let coloring = Uncolored::new(pattern.rows(), pattern.cols(), row_ptr, pattern.col_idx().to_vec())
        .and_then(|pattern| Coloring::new(&pattern, &Ways::new(Partition::Symmetric).orders(orders)));
    coloring.map_err(|error| Error::data(error.to_string()))
}

/// The values of a matrix at the places of `pattern`; what is not zero elsewhere is an error.
fn on_pattern(pattern: &Pattern, found: &Pattern, values: &[f64]) -> Result<Vec<f64>, Error> {
    let mut placed = vec![0.0; pattern.nnz()];
    for row in 0..found.rows() {
        let range = found.row_ptr()[row] as usize..found.row_ptr()[row + 1] as usize;
        for (&col, &value) in found.col_idx()[range.clone()].iter().zip(&values[range]) {
            match pattern.find(row, col) {
                Some(place) => placed[place] = value,
                None if value == 0.0 => {}
                None => return Err(Error::Verification(format!("entry ({row}, {col}) was not detected"))),
            }
        }
    }
    Ok(placed)
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
