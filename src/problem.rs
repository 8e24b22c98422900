//! A kernel bound to data: prepared once, evaluated often.

use crate::bind::{Bound, convert, input_named, number};
use crate::error::Error;
use crate::inputs::{Inputs, ToArray};
use crate::kernel::{Goal, Kernel};
use crate::options::{Derivative, Engine, Options, Strategy};
use crate::part::{How, Part, Slices, total};
use crate::report::Report;
use crate::road::{Other, Road};
use spadina_io::array::Shape;
use spadina_ir::diag::{Diagnostic, Severity};
use spadina_ir::func::{Buffer, Func, Role};
use spadina_runtime::array::OwnedArray;
use spadina_runtime::csr::Pattern;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// What computes results and gradient, and, on the structural road, the matrix.
    main: Part,
    road: Road,
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
        let kernel = &kernel.projected(options.project);
        kernel.admits(derivative)?;
        let wrt = options.wrt.as_deref();
        let mut times = Times::default();
        let started = Instant::now();
        let primal = kernel.primal(wrt)?;
        let mut reasons = Vec::new();
        let whole = |derivative| {
            let program = kernel.program(Goal::Here(derivative), wrt)?;
            if how.engine == Engine::Jit {
                // Machine code is made here, so that its time counts as compilation.
                program.native_index(how.threads > 1)?;
            }
            Ok::<_, Error>(program)
        };
        let structural = match (derivative.has_matrix(), options.strategy) {
            (true, Strategy::Dense | Strategy::Compressed) => None,
            (true, Strategy::Auto) => match whole(derivative) {
                Err(Error::Source(report)) => {
                    reasons = report.diagnostics;
                    None
                }
                other => Some(other?),
            },
            (false, _) | (true, Strategy::Structural) => Some(whole(derivative)?),
        };
        let plain = if derivative == Derivative::Hessian { Derivative::Gradient } else { Derivative::Value };
        let is_structural = structural.is_some();
        let main = structural.map_or_else(|| whole(plain), Ok)?;
        times.compile = started.elapsed();
        let compiled = times.compile;
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
        let road = if is_structural {
            Road::Structural
        } else {
            let rows = if derivative == Derivative::Hessian { columns } else { results };
            let other = Other { kernel, options, bound: &bound, how: &how, sides: (columns, results), rows };
            other.road(&mut reasons, &mut times, old.map(|problem| &problem.pattern))?
        };
        let pattern = match &road {
            Road::Structural if derivative.has_matrix() => Arc::clone(main.pattern()),
            Road::Structural => empty_pattern(),
            Road::Compressed(compressed) => Arc::clone(compressed.pattern()),
            Road::Dense(_, pattern) => Arc::clone(pattern),
        };
        times.prepare = started.elapsed().saturating_sub(times.compile.saturating_sub(compiled));
        let strategy = derivative.has_matrix().then_some(match road {
            Road::Structural => Strategy::Structural,
            Road::Compressed(_) => Strategy::Compressed,
            Road::Dense(..) => Strategy::Dense,
        });
        let mut warnings = kernel.without_effect(derivative);
        warnings.append(&mut reasons);
        warnings.extend(is_structural.then(|| full(kernel, &pattern)).flatten());
        if kernel.lowered().allow.iter().any(|lint| lint == "dense") {
            warnings.retain(|diagnostic| diagnostic.code != "dense-matrix");
        }
        let (kernel, options, inputs) = (kernel.clone(), options.clone(), inputs.clone());
        Ok(Problem {
            kernel,
            options,
            primal,
            bound,
            inputs,
            how,
            main,
            road,
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

    /// How the matrix is computed: structural, compressed or dense; `None` where there is none.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// What the user should know: attributes without effect; why a matrix is compressed or dense, with how many products, and how
    /// large.
    pub fn warnings(&self) -> Option<Report> {
        let source = Arc::clone(self.kernel.source());
        (!self.warnings.is_empty()).then(|| Report { source, diagnostics: self.warnings.clone() })
    }

    /// How many products with directions an evaluation of the matrix takes, and how many with its transpose; `None` unless it is
    /// compressed.
    pub fn products(&self) -> Option<(usize, usize)> {
        match &self.road {
            Road::Compressed(compressed) => Some(compressed.products()),
            Road::Structural | Road::Dense(..) => None,
        }
    }

    /// The unknown that a column stands for, such as `x[3, 0]`.
    pub fn column_name(&self, column: usize) -> Option<String> {
        self.element_name(&self.primal.columns, column)
    }

    /// What a row stands for: an unknown for an energy's matrix, a result for a residual's.
    pub fn row_name(&self, row: usize) -> Option<String> {
        if self.options.derivative == Derivative::Hessian {
            return self.column_name(row);
        }
        self.element_name(&self.primal.buffers_of(Role::Output).collect::<Vec<_>>(), row)
    }

    fn element_name(&self, buffers: &[Buffer], mut at: usize) -> Option<String> {
        for &buffer in buffers {
            let data = &self.primal.buffers[buffer];
            let len = self.bound.len_of(data).ok()?;
            if at < len {
                let subscripts = self.bound.subscripts(data, at);
                let dot = if data.dims.is_empty() { String::new() } else { format!("[{subscripts}]") };
                return Some(format!("{}{dot}", data.name));
            }
            at -= len;
        }
        None
    }

    pub(crate) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The kernel as written, with the chosen columns.
    pub(crate) fn primal(&self) -> &Func {
        &self.primal
    }

    pub(crate) fn how(&self) -> &How {
        &self.how
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
        let bound = &self.bound;
        let mut plain = |matrix: &mut [f64]| {
            self.main.evaluate(bound, &mut Slices { results, gradient, matrix, direction: &[] })
        };
        match &mut self.road {
            Road::Structural => plain(matrix),
            Road::Compressed(compressed) => {
                plain(&mut [])?;
                compressed.evaluate(bound, matrix)
            }
            Road::Dense(dense, _) => {
                plain(&mut [])?;
                matrix.fill(0.0);
                let (results, gradient): (&mut [f64], &mut [f64]) = (&mut [], &mut []);
                dense.evaluate(bound, &mut Slices { results, gradient, matrix, direction: &[] })
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

/// Says of a matrix that the structure of the kernel fills: small ones are nobody's surprise.
fn full(kernel: &Kernel, pattern: &Pattern) -> Option<Diagnostic> {
    const SURPRISE: usize = 32;
    let (rows, columns) = (pattern.rows(), pattern.cols());
    if columns < SURPRISE || rows.checked_mul(columns) != Some(pattern.nnz()) {
        return None;
    }
    let message = format!(
        "the matrix of `{}` is dense by nature: {rows} x {columns}, every entry is stored",
        kernel.name()
    );
    let mut note = Diagnostic::warning("dense-matrix", message)
        .label(kernel.lowered().span, "every result depends on every unknown")
        .help("`hvp` or `jvp` give products with it without storing it; `#[allow(dense)]` says that it is meant");
    note.severity = Severity::Note;
    Some(note)
}

fn empty_pattern() -> Arc<Pattern> {
    Arc::new(Pattern::new(0, 0, vec![0], Vec::new()).expect("an empty matrix is a matrix"))
}
