//! Sums of several kernels over the same unknowns: one value, one gradient, one matrix in the union of their patterns.

use crate::assembly::{Assembled, Side};
use crate::error::Error;
use crate::export;
use crate::inputs::Inputs;
use crate::kernel::Kernel;
use crate::options::{Assembly, Derivative, Fixed, Options};
use crate::problem::{Evaluation, EvaluationMut, Problem};
use spadina_runtime::csr::Pattern;
use spadina_runtime::storage::Storage;
use std::sync::Arc;

/// A weighted sum of kernels, prepared.
///
/// Unknowns are those of all kernels by name, in the order in which they come first; arrays of one name have one length. Kernels may have
/// unknowns of their own. Each kernel keeps its data; [`Sum::set_values`] sets a parameter in every kernel that has it.
///
/// ```
/// use spadina::{compiler::Module, inputs::Inputs, options::{Derivative, Options}, sum::Sum};
///
/// let module = Module::from_text("two.ir", "
///     kernel stretch<N>(x: var f64[N]) -> f64 { sum i in 1..N { (x[i] - x[i - 1])^2 } }
///     kernel hold<N>(x: var f64[N], w: f64) -> f64 { sum v in x { w * v^2 } }")?;
/// let (stretch, hold) = (module.kernel(Some("stretch"))?, module.kernel(Some("hold"))?);
/// let (mut a, mut b) = (Inputs::new(), Inputs::new());
/// a.set("x", &[1.0, 3.0]);
/// b.set("x", &[1.0, 3.0]).set("w", &10.0);
/// let mut sum = Sum::prepare(&[(&stretch, &a), (&hold, &b)], &Options::new(Derivative::Hessian))?;
/// let mut at = sum.evaluation();
/// sum.evaluate(&mut at)?;
/// assert_eq!((at.results[0], &at.gradient[..], &at.matrix[..]), (104.0, &[16.0, 64.0][..], &[22.0, -2.0, -2.0, 22.0][..]));
/// sum.set_weight(1, 0.0)?;
/// sum.evaluate(&mut at)?;
/// assert_eq!(at.matrix, [2.0, -2.0, -2.0, 2.0]);
/// # Ok::<(), spadina::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Sum {
    terms: Vec<Term>,
    options: Options,
    pattern: Arc<Pattern>,
    assembled: Assembled,
    side: Arc<Side>,
    /// Gradient by all unknowns, and values in the union of the patterns.
    gradient: Vec<f64>,
    matrix: Vec<f64>,
}

/// One kernel of a sum.
#[derive(Debug)]
struct Term {
    problem: Problem,
    weight: f64,
    at: Evaluation,
    /// The unknown of the sum that each unknown of the kernel is.
    unknowns: Vec<u32>,
    /// The place of each of its values in the union of the patterns.
    places: Vec<u32>,
}

impl Sum {
    /// Prepares every kernel and unites their patterns; all weights are 1. The unknowns are those of `options.wrt` that each kernel has.
    ///
    /// # Errors
    /// Those of [`Problem::prepare`]; [`Error::Usage`] for derivatives other than value, gradient, Hessian and Gauss-Newton, for mixed
    /// blocks and without kernels; [`Error::Data`] where an array of unknowns has two lengths.
    pub fn prepare(terms: &[(&Kernel, &Inputs)], options: &Options) -> Result<Sum, Error> {
        let summed = matches!(
            options.derivative,
            Derivative::Value | Derivative::Gradient | Derivative::Hessian | Derivative::GaussNewton
        );
        if terms.is_empty() || !summed || options.rows.is_some() {
            return Err(Error::usage(
                "a sum has at least one kernel, and a value, gradient, Hessian or Gauss-Newton matrix",
            ));
        }
        let problems = terms.iter().map(|&(kernel, inputs)| {
            let own = Options {
                wrt: options.wrt.as_ref().map(|names| own_names(kernel, names)),
                assembly: Assembly::default(),
                value: true,
                ..options.clone()
            };
            Problem::prepare(&kernel.freed(), inputs, &own)
        });
        let problems = problems.collect::<Result<Vec<_>, Error>>()?;
        let unknowns = Unknowns::new(&problems)?;
        let mut fixed = vec![false; unknowns.total()];
        for (problem, &(kernel, _)) in problems.iter().zip(terms) {
            let numbers = unknowns.of(problem);
            let primal = problem.primal();
            let written = kernel.projected(options.project);
            let side =
                Side::unknowns(&written, primal, problem.bound(), &primal.columns, &Assembly::default())?;
            side.fixed().iter().for_each(|&position| fixed[numbers[position as usize] as usize] = true);
        }
        for choice in &options.assembly.fixed {
            unknowns.fix(choice, &mut fixed)?;
        }
        let side = Arc::new(Side::new(&fixed, options.assembly.fixed_rule));
        let numbers: Vec<Vec<u32>> = problems.iter().map(|problem| unknowns.of(problem)).collect();
        let terms = problems.into_iter().zip(numbers).map(|(problem, unknowns)| {
            let at = problem.evaluation();
            Term { problem, weight: 1.0, at, unknowns, places: Vec::new() }
        });
        let mut sum = Sum {
            terms: terms.collect(),
            options: options.clone(),
            pattern: Arc::default(),
            assembled: Assembled::none(),
            gradient: vec![0.0; side.positions()],
            side,
            matrix: Vec::new(),
        };
        sum.unite()?;
        Ok(sum)
    }

    /// The union of the patterns, and where each kernel's values go in it.
    fn unite(&mut self) -> Result<(), Error> {
        if !self.options.derivative.has_matrix() {
            return Ok(());
        }
        let n = self.side.positions();
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); n];
        for term in &self.terms {
            let pattern = term.problem.pattern();
            for row in 0..pattern.rows() {
                let into = &mut rows[term.unknowns[row] as usize];
                into.extend(pattern.row(row).iter().map(|&col| term.unknowns[col as usize]));
            }
        }
        let (mut row_ptr, mut col_idx) = (vec![0_u32], Vec::new());
        for mut row in rows {
            row.sort_unstable();
            row.dedup();
            col_idx.append(&mut row);
            let too_large = |_| Error::data("the sum has more than 2^32 - 1 entries");
            row_ptr.push(u32::try_from(col_idx.len()).map_err(too_large)?);
        }
        let union = Pattern::new(n, n, row_ptr, col_idx);
        let union = Arc::new(union.ok_or_else(|| Error::Internal("the union is no valid pattern".into()))?);
        for term in &mut self.terms {
            let pattern = term.problem.pattern();
            let unknowns = &term.unknowns;
            let places = (0..pattern.rows()).flat_map(|row| {
                let union = &union;
                let place = move |&col: &u32| union.find(unknowns[row] as usize, unknowns[col as usize]);
                pattern.row(row).iter().filter_map(place).map(|at| at as u32)
            });
            term.places = places.collect();
        }
        let old = &self.assembled;
        let assembled =
            Assembled::new(&union, false, (&self.side, &self.side), &self.options.assembly, Some(old))?;
        self.assembled = assembled;
        self.matrix = vec![0.0; union.nnz()];
        self.pattern = union;
        Ok(())
    }

    /// The prepared kernel of a term.
    pub fn problem(&self, term: usize) -> Option<&Problem> {
        self.terms.get(term).map(|term| &term.problem)
    }

    /// Number of free unknowns.
    pub fn columns(&self) -> usize {
        self.side.len()
    }

    /// Where the entries of the matrix are, by rows.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.assembled.pattern
    }

    /// As [`Problem::pattern_id`].
    pub fn pattern_id(&self) -> u64 {
        self.assembled.pattern.id()
    }

    /// As [`Problem::storage`].
    pub fn storage(&self) -> &Arc<Storage> {
        &self.assembled.storage
    }

    /// Multiplies a kernel with a number.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such term.
    pub fn set_weight(&mut self, term: usize, weight: f64) -> Result<(), Error> {
        let count = self.terms.len();
        let place = self.terms.get_mut(term);
        let place =
            place.ok_or_else(|| Error::usage(format!("there is no term {term}: the sum has {count}")))?;
        place.weight = weight;
        Ok(())
    }

    /// Copies an unknown or float data in every kernel that has it: as [`Problem::set_values`].
    ///
    /// # Errors
    /// As [`Problem::set_values`]; also where no kernel has it.
    pub fn set_values(&mut self, name: &str, values: &[f64]) -> Result<(), Error> {
        let mut found = false;
        for term in &mut self.terms {
            if term.problem.kernel().func().buffer_named(name).is_some() {
                term.problem.set_values(name, values)?;
                found = true;
            }
        }
        if found {
            Ok(())
        } else {
            Err(Error::Data(format!("no kernel of the sum has a parameter `{name}`")))
        }
    }

    /// Binds arrays of one kernel anew: as [`Problem::rebind`]. Sizes of unknowns stay.
    ///
    /// # Errors
    /// As [`Problem::rebind`]; [`Error::Usage`] where there is no such term, [`Error::Data`] where unknowns change in number. The sum then
    /// stays as it was.
    pub fn rebind(&mut self, term: usize, inputs: &Inputs) -> Result<(), Error> {
        let Some(term) = self.terms.get_mut(term) else {
            return Err(Error::Usage(format!("the sum has no term {term}")));
        };
        let mut problem = term.problem.fork()?;
        problem.rebind(inputs)?;
        if problem.columns() != term.unknowns.len() {
            return Err(Error::data("the unknowns of a sum keep their number: prepare it again"));
        }
        term.at = problem.evaluation();
        term.problem = problem;
        self.unite()
    }

    /// Zeros in the right lengths: one value, the gradient and the matrix if asked for.
    pub fn evaluation(&self) -> Evaluation {
        let (gradient, matrix) = self.lengths();
        Evaluation { results: vec![0.0; 1], gradient: vec![0.0; gradient], matrix: vec![0.0; matrix] }
    }

    fn lengths(&self) -> (usize, usize) {
        let Options { derivative, gradient, .. } = self.options;
        let has_gradient = derivative.has_gradient() && (gradient || !derivative.has_matrix());
        let gradient = if has_gradient { self.side.len() } else { 0 };
        (gradient, if derivative.has_matrix() { self.assembled.storage.len } else { 0 })
    }

    /// Evaluates the sum.
    ///
    /// # Errors
    /// As [`Sum::evaluate_into`].
    pub fn evaluate(&mut self, into: &mut Evaluation) -> Result<(), Error> {
        let Evaluation { results, gradient, matrix } = into;
        self.evaluate_into(EvaluationMut { results, gradient, matrix })
    }

    /// Evaluates the sum: value (of Gauss-Newton half the squared norm of the residuals), gradient, matrix. Compiled code allocates nothing
    /// on one thread.
    ///
    /// # Errors
    /// [`Error::Data`] for slices of other lengths than [`Sum::evaluation`] has.
    pub fn evaluate_into(&mut self, into: EvaluationMut<'_>) -> Result<(), Error> {
        let (gradient, matrix) = self.lengths();
        for (name, wanted, found) in [
            ("results", 1, into.results.len()),
            ("gradient", gradient, into.gradient.len()),
            ("matrix", matrix, into.matrix.len()),
        ] {
            if wanted != found {
                return Err(Error::Data(format!(
                    "the slice for `{name}` has {found} elements, not {wanted}"
                )));
            }
        }
        let EvaluationMut { results, gradient: by_free, matrix: stored } = into;
        let mut sum = 0.0;
        self.gradient.fill(0.0);
        self.matrix.fill(0.0);
        for term in &mut self.terms {
            term.problem.evaluate(&mut term.at)?;
            let value = match self.options.derivative {
                Derivative::GaussNewton => 0.5 * term.at.results.iter().map(|r| r * r).sum::<f64>(),
                _ => term.at.results.first().copied().unwrap_or(0.0),
            };
            sum += term.weight * value;
            for (&unknown, &value) in term.unknowns.iter().zip(&term.at.gradient) {
                self.gradient[unknown as usize] += term.weight * value;
            }
            for (&place, &value) in term.places.iter().zip(&term.at.matrix) {
                self.matrix[place as usize] += term.weight * value;
            }
        }
        results[0] = sum;
        if !by_free.is_empty() {
            self.side.reduce(&self.gradient, by_free);
        }
        if self.options.derivative.has_matrix() {
            self.assembled.gather(&self.matrix, stored);
        }
        Ok(())
    }

    /// The matrix with these values: as [`Problem::matrix`].
    ///
    /// # Panics
    /// If `values` has another length than the matrix has values.
    pub fn matrix(&self, values: &[f64]) -> sprs::CsMat<f64> {
        export::to_sprs(&self.assembled.pattern, &self.assembled.storage, values)
    }
}

/// The names that are parameters of the kernel.
fn own_names(kernel: &Kernel, names: &[String]) -> Vec<String> {
    let is_own = |name: &&String| kernel.columns(Some(std::slice::from_ref(*name))).is_ok();
    names.iter().filter(is_own).cloned().collect()
}

/// The arrays of unknowns of all kernels: name, start and length.
struct Unknowns {
    arrays: Vec<(String, usize, usize)>,
}

impl Unknowns {
    fn new(problems: &[Problem]) -> Result<Unknowns, Error> {
        let mut all = Unknowns { arrays: Vec::new() };
        for problem in problems {
            for (name, len) in lengths(problem) {
                match all.arrays.iter().find(|(other, ..)| *other == name) {
                    Some(&(_, _, other)) if other != len => {
                        return Err(Error::Data(format!(
                            "`{name}` has {len} elements in `{}`, but {other} in a kernel before it",
                            problem.kernel().name()
                        )));
                    }
                    Some(_) => {}
                    None => {
                        let start = all.total();
                        all.arrays.push((name, start, len));
                    }
                }
            }
        }
        Ok(all)
    }

    fn total(&self) -> usize {
        self.arrays.last().map_or(0, |&(_, start, len)| start + len)
    }

    /// The number of each unknown of a kernel.
    fn of(&self, problem: &Problem) -> Vec<u32> {
        let starts = lengths(problem).into_iter().filter_map(|(name, len)| {
            let &(_, start, _) = self.arrays.iter().find(|(other, ..)| *other == name)?;
            Some(start as u32..(start + len) as u32)
        });
        starts.flatten().collect()
    }

    fn fix(&self, choice: &Fixed, fixed: &mut [bool]) -> Result<(), Error> {
        let total = fixed.len();
        let (start, len, mask) = match choice {
            Fixed::List(list) => {
                for &position in list {
                    let place = fixed.get_mut(position);
                    *place.ok_or_else(|| {
                        Error::Data(format!("unknown {position} cannot be fixed: there are {total}, from 0"))
                    })? = true;
                }
                return Ok(());
            }
            Fixed::Mask(mask) => (0, total, mask),
            Fixed::Of(name, mask) => {
                let found = self.arrays.iter().find(|(other, ..)| other == name);
                let &(_, start, len) =
                    found.ok_or_else(|| Error::Usage(format!("the sum has no unknown `{name}` to fix")))?;
                (start, len, mask)
            }
        };
        if mask.is_empty() != (len == 0) || len % mask.len().max(1) != 0 {
            let found = mask.len();
            return Err(Error::Data(format!("a mask of {found} elements does not fit {len} unknowns")));
        }
        let width = len.checked_div(mask.len()).unwrap_or(0);
        for (n, _) in mask.iter().enumerate().filter(|(_, fixed)| **fixed) {
            fixed[start + n * width..start + (n + 1) * width].fill(true);
        }
        Ok(())
    }
}

/// Names and lengths of a kernel's unknowns.
fn lengths(problem: &Problem) -> Vec<(String, usize)> {
    let func = problem.primal();
    let len = |b| problem.bound().len_of(&func.buffers[b]).unwrap_or(0);
    func.columns.iter().map(|&b| (func.buffers[b].name.clone(), len(b))).collect()
}
