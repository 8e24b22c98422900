//! A kernel bound to data: prepared once, evaluated often.

use crate::bind::{Bound, convert, input_named, number};
use crate::error::Error;
use crate::inputs::{Inputs, ToArray};
use crate::kernel::{Goal, Kernel};
use crate::options::{Derivative, Engine, Options, Strategy};
use crate::part::{How, Part, Slices, total};
use crate::report::Report;
use spadina_io::array::Shape;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Role};
use spadina_runtime::array::OwnedArray;
use spadina_runtime::csr::Pattern;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most entries of a dense matrix that is made without being asked for: 2 GB.
const DENSE_UNASKED: usize = 1 << 28;

/// Values of one evaluation, in the layout of a [`Problem`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// All results in declaration order, each row-major; for an energy, its value.
    pub results: Vec<f64>,
    /// The gradient, one element a column; empty unless asked for.
    pub gradient: Vec<f64>,
    /// The values of the matrix, in the order of [`Problem::pattern`]; empty unless asked for.
    pub matrix: Vec<f64>,
}

/// Slices that an evaluation overwrites; lengths as those of [`Evaluation`].
#[derive(Debug, Default)]
pub struct EvaluationMut<'a> {
    /// See [`Evaluation::results`].
    pub results: &'a mut [f64],
    /// See [`Evaluation::gradient`].
    pub gradient: &'a mut [f64],
    /// See [`Evaluation::matrix`].
    pub matrix: &'a mut [f64],
}

/// How long the steps took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Derivation and machine code. What a kernel has made before is not made again.
    pub compile: Duration,
    /// Checking the data, building the pattern.
    pub prepare: Duration,
}

/// A kernel bound to data.
pub struct Problem {
    kernel: Kernel,
    options: Options,
    /// The kernel as written, with the chosen columns.
    primal: Func,
    bound: Bound,
    inputs: Inputs,
    how: How,
    /// What computes results and gradient, and, unless the strategy is dense, the matrix.
    main: Part,
    /// The dense matrix.
    dense: Option<Part>,
    pattern: Arc<Pattern>,
    strategy: Option<Strategy>,
    warnings: Vec<Diagnostic>,
    results: usize,
    times: Times,
}

impl std::fmt::Debug for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, cols) = (self.rows(), self.columns());
        write!(f, "Problem({} {}, {rows} x {cols})", self.kernel.name(), self.options.derivative.name())
    }
}

impl Problem {
    /// Derives, compiles, checks the data and finds the pattern.
    ///
    /// # Errors
    /// [`Error::Source`] for refused derivatives, [`Error::Usage`] for requests that do not fit the kernel, [`Error::Data`]
    /// for data that do not fit.
    pub fn prepare(kernel: &Kernel, inputs: &Inputs, options: &Options) -> Result<Problem, Error> {
        if options.threads == 0 {
            return Err(Error::usage("an evaluation needs at least one thread"));
        }
        let pool = if options.threads > 1 && options.engine == Engine::Jit {
            let built = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
            Some(Arc::new(
                built.map_err(|e| Error::Data(format!("cannot start {} threads: {e}", options.threads)))?,
            ))
        } else {
            None
        };
        let threads = if options.engine == Engine::Jit { options.threads } else { 1 };
        let how = How { engine: options.engine, threads, pool };
        Problem::make(kernel, inputs, options, how, None)
    }

    fn make(
        kernel: &Kernel,
        inputs: &Inputs,
        options: &Options,
        how: How,
        old: Option<&Problem>,
    ) -> Result<Problem, Error> {
        let derivative = options.derivative;
        kernel.admits(derivative)?;
        let wrt = options.wrt.as_deref();
        let mut times = Times::default();
        let started = Instant::now();
        let primal = kernel.primal(wrt)?;
        let mut warnings = Vec::new();
        let whole = |derivative| {
            let program = kernel.program(Goal::Whole(derivative), wrt)?;
            if how.engine == Engine::Jit {
                // Machine code is made here, so that its time counts as compilation.
                program.native_index(how.threads > 1)?;
            }
            Ok::<_, Error>(program)
        };
        let structural = match (derivative.has_matrix(), options.strategy) {
            (true, Strategy::Dense) => None,
            (true, Strategy::Auto) => match whole(derivative) {
                Err(Error::Source(report)) => {
                    warnings.extend(report.diagnostics);
                    None
                }
                other => Some(other?),
            },
            (false, _) | (true, Strategy::Structural) => Some(whole(derivative)?),
        };
        let plain = if derivative == Derivative::Hessian { Derivative::Gradient } else { Derivative::Value };
        let (main, dense) = if let Some(program) = structural {
            (program, None)
        } else {
            let dense = kernel.program(Goal::Dense(derivative), wrt)?;
            if how.engine == Engine::Jit {
                dense.native_index(how.threads > 1)?;
            }
            (whole(plain)?, Some(dense))
        };
        times.compile = started.elapsed();
        let started = Instant::now();
        let bound = Bound::new(kernel, inputs)?;
        let columns = total(&primal, &bound, &primal.columns)?;
        let results: Vec<_> = primal.buffers_of(Role::Output).collect();
        let results = total(&primal, &bound, &results)?;
        // Fails here, with a message, and not where memory for results is made.
        let room = Vec::<f64>::new().try_reserve_exact(results);
        room.map_err(|_| Error::Data(format!("{results} results do not fit into memory")))?;
        let previous = old.map(|problem| &problem.main);
        let main = Part::prepare(kernel, &main, &bound, &how, previous)?;
        let (dense, pattern) = match dense {
            None => {
                let pattern =
                    if derivative.has_matrix() { Arc::clone(main.pattern()) } else { empty_pattern() };
                (None, pattern)
            }
            Some(program) => {
                let rows = if derivative == Derivative::Hessian { columns } else { results };
                let unasked = options.strategy == Strategy::Auto;
                if unasked && rows.checked_mul(columns).is_none_or(|n| n > DENSE_UNASKED) {
                    let gigabytes = 8e-9 * rows as f64 * columns as f64;
                    let size = format!("a dense matrix would be {rows} x {columns}, {gigabytes:.1} GB");
                    let refused = warnings.into_iter().map(|reason| reason.help(size.clone())).collect();
                    let source = Arc::clone(kernel.source());
                    return Err(Error::Source(Box::new(Report { source, diagnostics: refused })));
                }
                let pattern = full_pattern(rows, columns)?;
                warn_dense(&mut warnings, kernel, options.strategy, rows, columns);
                (Some(Part::prepare(kernel, &program, &bound, &how, None)?), pattern)
            }
        };
        times.prepare = started.elapsed();
        let strategy = derivative.has_matrix().then_some(match dense {
            Some(_) => Strategy::Dense,
            None => Strategy::Structural,
        });
        let (kernel, options, inputs) = (kernel.clone(), options.clone(), inputs.clone());
        Ok(Problem {
            kernel,
            options,
            primal,
            bound,
            inputs,
            how,
            main,
            dense,
            pattern,
            strategy,
            warnings,
            results,
            times,
        })
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Number of unknowns: columns of the matrix, elements of the gradient.
    pub fn columns(&self) -> usize {
        self.primal.columns.iter().map(|&x| self.bound.len_of(&self.primal.buffers[x]).unwrap_or(0)).sum()
    }

    /// Number of rows of the matrix: unknowns for an energy, results for a residual.
    pub fn rows(&self) -> usize {
        let square = self.options.derivative == Derivative::Hessian
            || (self.options.derivative != Derivative::Jacobian && self.kernel.is_energy());
        if square { self.columns() } else { self.results }
    }

    /// Number of results.
    pub fn results(&self) -> usize {
        self.results
    }

    /// Names and values of the sizes.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, i64)> {
        self.primal.sizes.values().map(String::as_str).zip(self.bound.sizes.iter().copied())
    }

    /// Where the entries of the matrix are.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// How the matrix is computed: structural or dense; `None` where there is none.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// What the user should know: why a matrix is dense, and how large.
    pub fn warnings(&self) -> Option<Report> {
        let source = Arc::clone(self.kernel.source());
        (!self.warnings.is_empty()).then(|| Report { source, diagnostics: self.warnings.clone() })
    }

    /// How long compiling and preparing took.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Bytes of slot records.
    pub fn slot_bytes(&self) -> usize {
        self.main.slot_bytes()
    }

    /// Zeros in the right lengths, for [`Problem::evaluate`].
    pub fn evaluation(&self) -> Evaluation {
        let gradient = if self.options.derivative.has_gradient() { self.columns() } else { 0 };
        Evaluation {
            results: vec![0.0; self.results],
            gradient: vec![0.0; gradient],
            matrix: vec![0.0; self.pattern.nnz()],
        }
    }

    /// Evaluates at the bound data.
    ///
    /// # Errors
    /// As [`Problem::evaluate_into`].
    pub fn evaluate(&mut self, into: &mut Evaluation) -> Result<(), Error> {
        self.evaluate_into(EvaluationMut {
            results: &mut into.results,
            gradient: &mut into.gradient,
            matrix: &mut into.matrix,
        })
    }

    /// Evaluates at the bound data into the caller's slices. Allocates nothing on one thread (compiled code).
    ///
    /// # Errors
    /// [`Error::Data`] for slices of other lengths than [`Problem::evaluation`] has.
    pub fn evaluate_into(&mut self, into: EvaluationMut<'_>) -> Result<(), Error> {
        let gradient = if self.options.derivative.has_gradient() { self.columns() } else { 0 };
        let lengths = [
            ("results", self.results, into.results.len()),
            ("gradient", gradient, into.gradient.len()),
            ("matrix", self.pattern.nnz(), into.matrix.len()),
        ];
        for (name, wanted, found) in lengths {
            if wanted != found {
                return Err(Error::Data(format!(
                    "the slice for `{name}` has {found} elements, not {wanted}"
                )));
            }
        }
        let EvaluationMut { results, gradient, matrix } = into;
        match &mut self.dense {
            None => self.main.evaluate(&self.bound, &mut Slices { results, gradient, matrix }),
            Some(dense) => {
                self.main.evaluate(&self.bound, &mut Slices { results, gradient, matrix: &mut [] })?;
                matrix.fill(0.0);
                dense.evaluate(&self.bound, &mut Slices { results: &mut [], gradient: &mut [], matrix })
            }
        }
    }

    /// Replaces an unknown or float data, in place and without preparing again.
    ///
    /// # Errors
    /// [`Error::Data`]: no such parameter, another shape, or a structural parameter (see [`Problem::rebind`]).
    pub fn set(&mut self, name: &str, array: &(impl ToArray + ?Sized)) -> Result<(), Error> {
        let func = self.kernel.func();
        let buffer = input_named(&self.kernel, name)?;
        let data = &func.buffers[buffer];
        if data.role == Role::Structural {
            return Err(Error::Data(format!(
                "`{name}` decides which entries exist: use `rebind`, which prepares again"
            )));
        }
        let array = array.to_array();
        let dims: Option<Vec<usize>> =
            data.dims.iter().map(|d| usize::try_from(self.bound.eval(d)?).ok()).collect();
        let fits = dims.as_deref() == Some(array.shape()) || (data.dims.is_empty() && array.len() == 1);
        if !fits {
            return Err(Error::Data(format!(
                "`{name}` has shape {}, but an array of shape {} was given",
                Shape(&dims.unwrap_or_default()),
                Shape(array.shape())
            )));
        }
        let converted = convert(data, &array)?;
        self.inputs.arrays.insert(name.to_owned(), array);
        self.bound.arrays[number(buffer)] = Some(converted);
        Ok(())
    }

    /// Copies an unknown or float data of type `f64` in place: as [`Problem::set`], without allocating.
    ///
    /// # Errors
    /// [`Error::Data`]: no such parameter, another number of elements, not `f64`, or structural.
    pub fn set_values(&mut self, name: &str, values: &[f64]) -> Result<(), Error> {
        let func = self.kernel.func();
        let buffer = input_named(&self.kernel, name)?;
        match &mut self.bound.arrays[number(buffer)] {
            Some(OwnedArray::F64(old))
                if old.len() == values.len() && func.buffers[buffer].role != Role::Structural =>
            {
                old.copy_from_slice(values);
                Ok(())
            }
            _ => Err(Error::Data(format!("`{name}` does not take {} values of type f64", values.len()))),
        }
    }

    /// Binds structural arrays (or anything else) anew and prepares again; sizes may change. Where the pattern stays the same
    /// it is shared with the old one.
    ///
    /// # Errors
    /// As [`Problem::prepare`]; the problem then stays as it was.
    pub fn rebind(&mut self, inputs: &Inputs) -> Result<(), Error> {
        let mut all = self.current_inputs();
        all.arrays.extend(inputs.arrays.iter().map(|(name, array)| (name.clone(), array.clone())));
        all.sizes.extend(inputs.sizes.iter().map(|(name, size)| (name.clone(), *size)));
        let made = Problem::make(&self.kernel, &all, &self.options, self.how.clone(), Some(self))?;
        *self = made;
        Ok(())
    }

    /// The inputs with values set since.
    fn current_inputs(&self) -> Inputs {
        let mut inputs = self.inputs.clone();
        let func = self.kernel.func();
        for (name, array) in &mut inputs.arrays {
            let Some(buffer) = func.buffer_named(name) else { continue };
            if let Some(OwnedArray::F64(values)) = &self.bound.arrays[number(buffer)] {
                let data = spadina_io::array::Data::F64(values.clone());
                if let Ok(current) = spadina_io::array::Array::new(array.shape().to_vec(), data) {
                    *array = current;
                }
            }
        }
        inputs
    }

    /// The matrix with these values, as a `sprs` matrix by rows.
    ///
    /// # Panics
    /// If `values` has another length than the pattern has entries.
    pub fn matrix(&self, values: &[f64]) -> sprs::CsMat<f64> {
        assert_eq!(values.len(), self.pattern.nnz(), "one value per entry of the pattern");
        let csr = spadina_runtime::csr::Csr { pattern: Arc::clone(&self.pattern), values: values.to_vec() };
        csr.to_cs_mat()
    }
}

fn empty_pattern() -> Arc<Pattern> {
    Arc::new(Pattern::new(0, 0, vec![0], Vec::new()).expect("an empty matrix is a matrix"))
}

fn full_pattern(rows: usize, columns: usize) -> Result<Arc<Pattern>, Error> {
    let fits = rows.checked_mul(columns).is_some_and(|n| u32::try_from(n).is_ok());
    let too_large = || {
        let bytes = 8.0 * rows as f64 * columns as f64;
        Error::Data(format!("a dense {rows} x {columns} matrix takes {:.1} GB", bytes / 1e9))
    };
    if !fits {
        return Err(too_large());
    }
    let row_ptr = (0..=rows).map(|row| (row * columns) as u32).collect();
    let mut col_idx = Vec::new();
    col_idx.try_reserve_exact(rows * columns).map_err(|_| too_large())?;
    col_idx.extend((0..rows).flat_map(|_| 0..columns as u32));
    let pattern = Pattern::new(rows, columns, row_ptr, col_idx);
    Ok(Arc::new(pattern.expect("a full pattern is a pattern")))
}

/// Says how large a dense matrix is, and, where the user did not ask for it, that it is one.
fn warn_dense(
    warnings: &mut Vec<Diagnostic>,
    kernel: &Kernel,
    strategy: Strategy,
    rows: usize,
    columns: usize,
) {
    if strategy != Strategy::Auto {
        return;
    }
    for reason in &mut *warnings {
        reason.severity = spadina_ir::diag::Severity::Warning;
    }
    let entries = rows * columns;
    let megabytes = 8.0 * entries as f64 / 1e6;
    let message = format!(
        "the matrix of `{}` is computed densely: {rows} x {columns}, {entries} entries, {megabytes:.1} MB",
        kernel.name()
    );
    warnings.push(
        Diagnostic::warning("dense-matrix", message)
            .label(kernel.lowered().span, "this kernel")
            .help("`--strategy structural` refuses instead"),
    );
}
