//! What the embedding programs share: sparse Cholesky, projected Newton with a line search, tables, arguments.
//!
//! Nothing here knows a kernel. A [`Problem`] gives value, gradient and Hessian; faer factors the Hessian. Which entries it has stays the
//! same from one iteration to the next, so the symbolic factorization is made once and kept as long as [`Pattern::id`] stays the same, also
//! when a problem is bound anew.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "every program uses a part; tables are what they print"
)]

use faer::linalg::solvers::Solve;
use faer::sparse::linalg::solvers::{Llt, SymbolicLlt};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::{ColMut, Side};
use spadina::compiler::Module;
use spadina::inputs::Inputs;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Options, Project};
use spadina::problem::{Evaluation, Problem};
use spadina_runtime::csr::Pattern;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Anything that can go wrong, as text.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// A symmetric positive definite solver that remembers its symbolic factorization.
#[derive(Default)]
pub struct Cholesky {
    /// The pattern's id, what was derived of it, and where its diagonal is.
    known: Option<(u64, SymbolicLlt<u32>, Vec<usize>)>,
    values: Vec<f64>,
    /// Symbolic factorizations made so far.
    pub symbolic: usize,
    /// Numeric factorizations made so far.
    pub numeric: usize,
}

impl Cholesky {
    /// Solves `(H + shift D) p = rhs` in place, `D` being the mean diagonal of `H`. The shift starts at the first of the range and grows
    /// tenfold until the matrix is positive definite; returned is the one that was, or `None` where none in the range was.
    pub fn solve(
        &mut self,
        pattern: &Pattern,
        matrix: &[f64],
        rhs: &mut [f64],
        shifts: [f64; 2],
    ) -> Outcome<Option<f64>> {
        let size = pattern.rows();
        // Symmetric: rows are columns.
        let shape =
            SymbolicSparseColMatRef::new_checked(size, size, pattern.row_ptr(), None, pattern.col_idx());
        let same = self.known.as_ref().is_some_and(|(known, ..)| *known == pattern.id());
        if !same {
            let symbolic = SymbolicLlt::try_new(shape, Side::Lower).map_err(|e| format!("{e:?}"))?;
            let diagonal = (0..size).filter_map(|row| pattern.find(row, row as u32)).collect();
            self.known = Some((pattern.id(), symbolic, diagonal));
            self.symbolic += 1;
        }
        let Some((_, symbolic, diagonal)) = &self.known else { return Err("no factorization".into()) };
        if diagonal.len() != size {
            return Err("an unknown without an entry on the diagonal".into());
        }
        let mean = diagonal.iter().map(|&at| matrix[at].abs()).sum::<f64>() / size as f64;
        let mut shift = shifts[0];
        while shift <= shifts[1] {
            self.values.clear();
            self.values.extend_from_slice(matrix);
            for &at in diagonal {
                self.values[at] += shift * mean;
            }
            self.numeric += 1;
            let shifted = SparseColMatRef::new(shape, &self.values[..]);
            if let Ok(factors) = Llt::try_new_with_symbolic(symbolic.clone(), shifted, Side::Lower) {
                factors.solve_in_place(ColMut::from_slice_mut(rhs).as_mat_mut());
                return Ok(Some(shift));
            }
            shift = 10.0 * shift.max(1e-14);
        }
        Ok(None)
    }
}

/// A kernel of a text, prepared for its value alone and for its Hessian.
pub struct Energy {
    /// For the line search.
    pub value: Problem,
    /// For the step.
    pub hessian: Problem,
    /// Without projection, where there is one: for the last steps.
    plain: Option<Problem>,
    at: Evaluation,
    alone: Evaluation,
    unknowns: &'static str,
}

impl Energy {
    /// The only kernel of `text`, whose unknowns are the array `unknowns`.
    pub fn new(name: &str, text: &str, unknowns: &'static str, inputs: &Inputs) -> Outcome<Energy> {
        let kernel = Module::from_text(name, text)?.kernel(None)?;
        Energy::of(&kernel, unknowns, inputs)
    }

    /// Any kernel.
    pub fn of(kernel: &Kernel, unknowns: &'static str, inputs: &Inputs) -> Outcome<Energy> {
        let value = Problem::prepare(kernel, inputs, &Options::new(Derivative::Value))?;
        let hessian = Problem::prepare(kernel, inputs, &Options::new(Derivative::Hessian))?;
        let (at, alone) = (hessian.evaluation(), value.evaluation());
        Ok(Energy { value, hessian, plain: None, at, alone, unknowns })
    }

    /// Prepares the Hessian without projection too. Projected elements stay projected at the minimum, so that Newton's method converges
    /// linearly there; the plain Hessian is definite at the minimum and gives quadratic convergence.
    pub fn finish_plainly(&mut self, inputs: &Inputs) -> Outcome<()> {
        let options = Options { project: Project::Off, ..Options::new(Derivative::Hessian) };
        self.plain = Some(Problem::prepare(self.hessian.kernel(), inputs, &options)?);
        Ok(())
    }

    /// Replaces data of type `f64`.
    pub fn set(&mut self, name: &str, values: &[f64]) -> Outcome<()> {
        self.value.set_values(name, values)?;
        self.hessian.set_values(name, values)?;
        Ok(())
    }

    /// Binds arrays anew: other elements, another pattern.
    pub fn rebind(&mut self, inputs: &Inputs) -> Outcome<()> {
        self.value.rebind(inputs)?;
        self.hessian.rebind(inputs)?;
        self.at = self.hessian.evaluation();
        Ok(())
    }

    /// The energy at a point.
    pub fn value(&mut self, x: &[f64]) -> Outcome<f64> {
        self.value.set_values(self.unknowns, x)?;
        self.value.evaluate(&mut self.alone)?;
        Ok(self.alone.results[0])
    }

    /// Energy, gradient and Hessian at a point.
    pub fn derivatives(&mut self, x: &[f64]) -> Outcome<&Evaluation> {
        self.hessian.set_values(self.unknowns, x)?;
        self.hessian.evaluate(&mut self.at)?;
        Ok(&self.at)
    }

    /// The step of Newton's method, with the shift it needed: by the plain Hessian, if that is wanted and definite, else by the projected one.
    fn direction(&mut self, solver: &mut Cholesky, x: &[f64], plainly: bool) -> Outcome<(Vec<f64>, f64)> {
        let downhill = |at: &Evaluation| at.gradient.iter().map(|g| -g).collect::<Vec<f64>>();
        if let (Some(plain), true) = (&mut self.plain, plainly) {
            let mut at = plain.evaluation();
            plain.set_values(self.unknowns, x)?;
            plain.evaluate(&mut at)?;
            let mut direction = downhill(&at);
            if let Some(shift) = solver.solve(plain.pattern(), &at.matrix, &mut direction, [SHIFT, SHIFT])? {
                return Ok((direction, shift));
            }
        }
        let mut direction = downhill(&self.at);
        let shift = solver.solve(self.hessian.pattern(), &self.at.matrix, &mut direction, [SHIFT, 1e8])?;
        Ok((direction, shift.ok_or("no shift makes the Hessian positive definite")?))
    }
}

/// One iteration of Newton's method.
#[derive(Clone, Copy, Debug)]
pub struct Iteration {
    /// The energy before the step.
    pub energy: f64,
    /// The length of the gradient before the step.
    pub gradient: f64,
    /// The part of the step that was taken.
    pub step: f64,
    /// What was added to the diagonal, relative to its mean.
    pub shift: f64,
    /// Milliseconds of value, gradient and Hessian.
    pub evaluate_ms: f64,
    /// Milliseconds of factorization and solution.
    pub solve_ms: f64,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// The length of the gradient that is small enough.
    pub gradient: f64,
    /// Most iterations.
    pub iterations: usize,
}

/// The smallest shift: it lifts translations and rotations, which the energy does not feel, out of the null space.
const SHIFT: f64 = 1e-12;
/// How far above the gradient to stop at the plain Hessian is tried.
const PLAIN: f64 = 1e5;
/// The part of the expected decrease that a step must achieve (Armijo).
const DECREASE: f64 = 1e-4;

/// One step of projected Newton: the next iterate replaces `x`. `limit` bounds the part of the step that is tried first, given point and
/// direction. Returned without a step where the gradient is small enough already, or no step decreases the energy.
pub fn newton_step(
    energy: &mut Energy,
    solver: &mut Cholesky,
    x: &mut [f64],
    stop: f64,
    limit: &dyn Fn(&[f64], &[f64]) -> f64,
) -> Outcome<Iteration> {
    let started = Instant::now();
    let at = energy.derivatives(x)?;
    let (before, gradient) = (at.results[0], norm(&at.gradient));
    let evaluate_ms = milliseconds(started);
    let mut done = Iteration { energy: before, gradient, step: 0.0, shift: 0.0, evaluate_ms, solve_ms: 0.0 };
    if gradient < stop {
        return Ok(done);
    }
    let started = Instant::now();
    let direction;
    (direction, done.shift) = energy.direction(solver, x, gradient < PLAIN * stop)?;
    done.solve_ms = milliseconds(started);
    let slope: f64 = energy.at.gradient.iter().zip(&direction).map(|(g, p)| g * p).sum();
    let mut step = limit(x, &direction).min(1.0);
    let mut trial = vec![0.0; x.len()];
    while step > 1e-12 {
        for ((t, x), p) in trial.iter_mut().zip(&*x).zip(&direction) {
            *t = x + step * p;
        }
        // Near the minimum differences of energies are rounding: there the gradient decides.
        let after = energy.value(&trial)?;
        let rounding = 1e-14 * before.abs();
        let fine = if -slope * step > 100.0 * rounding {
            after <= before + DECREASE * step * slope
        } else {
            after <= before + 10.0 * rounding
        };
        if fine {
            x.copy_from_slice(&trial);
            done.step = step;
            break;
        }
        step *= 0.5;
    }
    Ok(done)
}

/// Projected Newton until the gradient is small; every iteration is given to `report` after its step.
pub fn minimize(
    energy: &mut Energy,
    solver: &mut Cholesky,
    x: &mut [f64],
    stop: Stop,
    mut report: impl FnMut(usize, &Iteration, &[f64]),
) -> Outcome<Vec<Iteration>> {
    let mut all = Vec::new();
    while all.len() < stop.iterations {
        let done = newton_step(energy, solver, x, stop.gradient, &|_, _| 1.0)?;
        report(all.len(), &done, x);
        all.push(done);
        if done.step == 0.0 {
            break;
        }
    }
    Ok(all)
}

/// The length of a vector.
pub fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The longest of the vectors in space that a list of numbers is made of.
pub fn furthest(x: &[f64]) -> f64 {
    points::<3>(x).iter().map(|p| norm(p)).fold(0.0, f64::max)
}

/// Since then.
pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// What the command line says: a mesh or none, and where the picture goes.
pub struct Arguments {
    /// A mesh file.
    pub mesh: Option<PathBuf>,
    /// The picture.
    pub output: PathBuf,
}

impl Arguments {
    /// `[MESH] [-o PICTURE.svg]`
    pub fn parse(default: &str) -> Outcome<Arguments> {
        let mut found = Arguments { mesh: None, output: PathBuf::from(default) };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-o" => found.output = words.next().ok_or("-o needs a file name")?.into(),
                _ if word.starts_with('-') => {
                    return Err(format!("`{word}` is not understood: [MESH] [-o FILE]").into());
                }
                _ => found.mesh = Some(word.into()),
            }
        }
        Ok(found)
    }
}

/// Writes a picture, whole or not at all.
pub fn save(path: &Path, picture: &str) -> Outcome<()> {
    spadina_io::output::write_bytes(path, picture.as_bytes())?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Points as one list of numbers.
pub fn flatten<const W: usize>(points: &[[f64; W]]) -> Vec<f64> {
    points.iter().flatten().copied().collect()
}

/// One list of numbers as points.
pub fn points<const W: usize>(x: &[f64]) -> Vec<[f64; W]> {
    x.as_chunks::<W>().0.to_vec()
}
