//! A kernel bound to data: prepared once, evaluated often.

use crate::assembly::{Assembled, Side};
use crate::bind::Bound;
use crate::choice::Work;
use crate::error::Error;
use crate::inputs::{Inputs, ToArray};
use crate::kernel::Kernel;
use crate::options::{Decompression, Derivative, Mode, Options, Strategy};
use crate::outputs::Slices;
use crate::part::{How, Part};
use crate::report::Report;
use crate::road::Road;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, Role};
use spadina_runtime::csr::Pattern;
use spadina_runtime::gauss_newton::GaussNewton;
use spadina_runtime::storage::Storage;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Values of one evaluation, in the layout of a [`Problem`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// All results in declaration order, each row-major; for an energy, its value. Empty if options leave the value out.
    pub results: Vec<f64>,
    /// The gradient, one element a row of the Hessian; empty unless asked for.
    pub gradient: Vec<f64>,
    /// The values of the matrix, in the order of [`Problem::storage`] (by default by rows, in the order of [`Problem::pattern`]); empty
    /// unless asked for.
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

/// A kernel bound to data: prepared once, evaluated often.
///
/// Evaluation takes `&mut self`, for the memory that it reuses. Threads share a problem through [`Problem::fork`]: each works
/// with values and memory of its own; code, pattern and slots are shared.
pub struct Problem {
    pub(crate) kernel: Kernel,
    pub(crate) options: Options,
    /// The options as programs see them: a mixed block whose rows and columns overlap is cut out of the Hessian by all of them.
    pub(crate) effective: Options,
    /// The kernel as written, with the chosen columns.
    pub(crate) primal: Func,
    pub(crate) bound: Bound,
    /// Sizes that were bound by name.
    pub(crate) sizes: BTreeMap<String, i64>,
    pub(crate) how: How,
    /// What computes results and gradient, and, on the structural road, the matrix.
    pub(crate) main: Part,
    /// What computes results where the main program cannot.
    pub(crate) values: Option<Part>,
    pub(crate) road: Road,
    /// The way from a Jacobian to `J^T J`.
    pub(crate) normal: Option<GaussNewton>,
    pub(crate) assembled: Assembled,
    /// What rows and columns of the matrix stand for; rows also elements of the gradient.
    pub(crate) sides: (Arc<Side>, Arc<Side>),
    pub(crate) own: Own,
    pub(crate) strategy: Option<Strategy>,
    /// What the automatic choice compared.
    pub(crate) work: Option<Work>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) results: usize,
    pub(crate) times: Times,
}

/// Memory between the programs and the caller; none where programs write straight to the caller.
#[derive(Clone, Default)]
pub(crate) struct Own {
    /// Results that only Gauss-Newton asks for.
    pub(crate) results: Option<Vec<f64>>,
    /// The gradient by all unknowns.
    pub(crate) gradient: Option<Vec<f64>>,
    /// The values of the road.
    pub(crate) road: Option<Vec<f64>>,
    /// `J^T J` before it is assembled.
    pub(crate) normal: Option<Vec<f64>>,
}

impl std::fmt::Debug for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, cols) = (self.rows(), self.columns());
        write!(f, "Problem({} {}, {rows} x {cols})", self.kernel.name(), self.options.derivative.name())
    }
}

impl Problem {
    /// Another evaluator of the same prepared problem, for another thread: it shares code, pattern and slots, starts with the values
    /// that are bound now, and has memory of its own.
    ///
    /// ```
    /// # use spadina::{compiler::Module, inputs::Inputs, options::{Derivative, Options}, problem::Problem};
    /// # let text = "kernel k<N>(x: var f64[N]) -> f64 { sum v in x { v^2 } }";
    /// # let kernel = Module::from_text("k.ir", text)?.kernel(None)?;
    /// # let mut inputs = Inputs::new();
    /// # inputs.set("x", &[0.0, 0.0]);
    /// let problem = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Hessian))?;
    /// let values: Vec<f64> = std::thread::scope(|scope| {
    ///     let threads = [1.0, 2.0].map(|x| {
    ///         let mut mine = problem.fork().expect("memory for a thread");
    ///         scope.spawn(move || {
    ///             mine.set_values("x", &[x, x])?;
    ///             Ok::<_, spadina::error::Error>(mine.evaluated()?.results[0])
    ///         })
    ///     });
    ///     threads.map(|t| t.join().expect("no panic")).into_iter().collect::<Result<_, _>>()
    /// })?;
    /// assert_eq!(values, [2.0, 8.0]);
    /// # Ok::<(), spadina::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Data`] where memory is missing.
    pub fn fork(&self) -> Result<Problem, Error> {
        Ok(Problem {
            kernel: self.kernel.clone(),
            options: self.options.clone(),
            effective: self.effective.clone(),
            primal: self.primal.clone(),
            bound: self.bound.fork(&self.kernel),
            sizes: self.sizes.clone(),
            how: self.how.clone(),
            main: self.main.fork()?,
            values: self.values.as_ref().map(Part::fork).transpose()?,
            road: self.road.fork()?,
            normal: self.normal.clone(),
            assembled: self.assembled.clone(),
            sides: self.sides.clone(),
            own: self.own.clone(),
            strategy: self.strategy,
            work: self.work,
            warnings: self.warnings.clone(),
            results: self.results,
            times: self.times,
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

    /// Number of free unknowns: columns of the matrix. Fixed ones that are kept as identity count.
    pub fn columns(&self) -> usize {
        self.sides.1.len()
    }

    /// Number of rows of the matrix: unknowns for an energy, results for a residual.
    pub fn rows(&self) -> usize {
        let derivative = self.options.derivative;
        let square =
            derivative.is_square() || (derivative != Derivative::Jacobian && self.kernel.is_energy());
        if square { self.sides.0.len() } else { self.results }
    }

    /// The unknown that a column stands for, counted over all unknowns, the fixed ones too.
    pub fn unknown(&self, column: usize) -> usize {
        self.sides.1.position(column)
    }

    /// Number of results.
    pub fn results(&self) -> usize {
        self.results
    }

    /// Names and values of the sizes.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, i64)> {
        self.primal.sizes.values().map(String::as_str).zip(self.bound.sizes.iter().copied())
    }

    /// Where the entries of the matrix are, by rows: those of the triangle and the unknowns asked for.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.assembled.pattern
    }

    /// A number that changes when the pattern changes, and only then: what a solver may keep its symbolic factorization by.
    pub fn pattern_id(&self) -> u64 {
        self.assembled.pattern.id()
    }

    /// The matrix in the format asked for: the values of an evaluation are in its order.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.assembled.storage
    }

    /// How the matrix is computed: structural, compressed or dense; `None` where there is none.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// The counted work of both roads, where the automatic choice compared them to the end: where a kernel has intermediate arrays,
    /// structure makes much of little, and products are cheaper at first sight.
    pub fn work(&self) -> Option<Work> {
        self.work
    }

    /// Which products a compressed matrix is made of, and how entries are found in them; `None` unless it is compressed.
    pub fn way(&self) -> Option<(Mode, Decompression)> {
        match &self.road {
            Road::Compressed(compressed) => {
                Some(compressed.way(self.options.derivative.core(), self.options.mode.nesting()))
            }
            Road::Structural | Road::Dense(..) => None,
        }
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
        self.element_name(&self.primal.columns, self.sides.1.position(column))
    }

    /// What a row stands for: an unknown for an energy's matrix, a result for a residual's.
    pub fn row_name(&self, row: usize) -> Option<String> {
        let position = self.sides.0.position(row);
        if let Some(rows) = &self.effective.rows {
            let names = self.kernel.columns(Some(rows)).ok()?;
            let rows: Vec<Buffer> = names.iter().filter_map(|name| self.primal.buffer_named(name)).collect();
            return self.element_name(&rows, position);
        }
        if self.options.derivative.is_square() {
            return self.element_name(&self.primal.columns, position);
        }
        self.element_name(&self.primal.buffers_of(Role::Output).collect::<Vec<_>>(), row)
    }

    /// Where an array of unknowns (or, with `results`, a result) stands in a direction: its start and length.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such array, or where fixed unknowns are dropped from the direction.
    pub fn place(&self, name: &str, results: bool) -> Result<(usize, usize), Error> {
        let buffers = if results {
            self.primal.buffers_of(Role::Output).collect()
        } else {
            self.primal.columns.clone()
        };
        if !results && self.columns() != self.sides.1.positions() {
            return Err(Error::Usage(format!(
                "directions are by free unknowns here, {} numbers: give them all instead of those of `{name}`",
                self.columns()
            )));
        }
        let mut start = 0;
        for buffer in &buffers {
            let data = &self.primal.buffers[*buffer];
            let len = self.bound.len_of(data)?;
            if data.name == name {
                return Ok((start, len));
            }
            start += len;
        }
        let known: Vec<&str> = buffers.iter().map(|&b| self.primal.buffers[b].name.as_str()).collect();
        let (kernel, known) = (self.kernel.name(), known.join(", "));
        let what = if results { "result" } else { "unknown" };
        Err(Error::Usage(format!("`{kernel}` has no {what} `{name}` (there are: {known})")))
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

    /// What programs are made for.
    pub(crate) fn effective(&self) -> &Options {
        &self.effective
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

    /// What rows (also elements of the gradient) and columns stand for.
    pub(crate) fn sides(&self) -> (Arc<Side>, Arc<Side>) {
        self.sides.clone()
    }

    /// How long compiling and preparing took.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Iterations of all loops over elements in one evaluation of values, gradient and a structural matrix, and the rows that are stored whole
    /// instead; 0 where it is interpreted.
    pub fn elements(&self) -> u64 {
        self.main.effort().0
    }

    /// Bytes of machine code of the evaluation program.
    pub fn code_bytes(&self) -> usize {
        self.main.effort().1
    }

    /// Bytes of slot records.
    pub fn slot_bytes(&self) -> usize {
        self.main.slot_bytes()
    }

    /// Lengths of results, gradient and matrix values.
    fn lengths(&self) -> (usize, usize, usize) {
        let Options { derivative, value, gradient, .. } = self.options;
        let matrix = derivative.has_matrix();
        let results = if value || derivative == Derivative::Value { self.results } else { 0 };
        let gradient = derivative.has_gradient() && (gradient || !matrix);
        (
            results,
            if gradient { self.sides.0.len() } else { 0 },
            if matrix { self.assembled.storage.len } else { 0 },
        )
    }

    /// Zeros in the right lengths, for [`Problem::evaluate`].
    pub fn evaluation(&self) -> Evaluation {
        let (results, gradient, matrix) = self.lengths();
        Evaluation { results: vec![0.0; results], gradient: vec![0.0; gradient], matrix: vec![0.0; matrix] }
    }

    /// Evaluates at the bound data, into new memory.
    ///
    /// # Errors
    /// As [`Problem::evaluate_into`].
    pub fn evaluated(&mut self) -> Result<Evaluation, Error> {
        let mut into = self.evaluation();
        self.evaluate(&mut into)?;
        Ok(into)
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
        let (results, gradient, matrix) = self.lengths();
        for (name, wanted, found) in [
            ("results", results, into.results.len()),
            ("gradient", gradient, into.gradient.len()),
            ("matrix", matrix, into.matrix.len()),
        ] {
            if wanted != found {
                return Err(Error::Data(format!(
                    "the slice for `{name}` has {found} elements, not {wanted}"
                )));
            }
        }
        let EvaluationMut { results, gradient, matrix } = into;
        let (bound, own) = (&self.bound, &mut self.own);
        let results = own.results.as_deref_mut().unwrap_or(results);
        {
            let has_normal = self.normal.is_some();
            let by_all = own.gradient.as_deref_mut().unwrap_or(&mut *gradient);
            let by_road = own.road.as_deref_mut().unwrap_or(&mut *matrix);
            let mut beside: &mut [f64] = &mut *results;
            if let Some(values) = &mut self.values {
                values.evaluate(bound, &mut Slices { results: &mut *results, ..Slices::default() })?;
                beside = &mut [];
            }
            let mut slices = Slices { results: beside, weights: &bound.weights, ..Slices::default() };
            // A gradient of Gauss-Newton comes after the matrix.
            if !has_normal {
                slices.gradient = &mut *by_all;
            }
            if matches!(self.road, Road::Structural) {
                slices.matrix = &mut *by_road;
            }
            self.main.evaluate(bound, &mut slices)?;
            self.road.evaluate(bound, by_road)?;
        }
        let mut of_road = own.road.as_deref();
        if let (Some(normal), Some(jacobian)) = (&mut self.normal, of_road) {
            normal.matrix(jacobian, own.normal.as_deref_mut().unwrap_or(&mut *matrix))?;
            of_road = own.normal.as_deref();
            if !gradient.is_empty() {
                normal.gradient(jacobian, results, own.gradient.as_deref_mut().unwrap_or(&mut *gradient))?;
            }
        }
        if let Some(all) = &own.gradient {
            self.sides.0.reduce(all, gradient);
        }
        if let Some(all) = of_road {
            self.assembled.gather(all, matrix);
        }
        Ok(())
    }

    /// Replaces an unknown, float data or (`multipliers.RESULT`) multipliers, in place and without preparing again.
    ///
    /// # Errors
    /// [`Error::Data`]: no such parameter, another shape, or a structural parameter (see [`Problem::rebind`]).
    pub fn set(&mut self, name: &str, array: &(impl ToArray + ?Sized)) -> Result<(), Error> {
        self.bound.set(&self.kernel, name, &array.to_array())
    }

    /// Copies an unknown, float data or multipliers in place: as [`Problem::set`], without allocating. Single precision is rounded to.
    ///
    /// # Errors
    /// [`Error::Data`]: no such parameter, another number of elements, not floats, or structural.
    pub fn set_values(&mut self, name: &str, values: &[f64]) -> Result<(), Error> {
        self.bound.set_values(&self.kernel, name, values)
    }

    /// Binds structural arrays (or anything else) anew and prepares again; sizes may change. Where the pattern stays the same
    /// it is shared with the old one. Nothing is compiled again.
    ///
    /// # Errors
    /// As [`Problem::prepare`]; the problem then stays as it was.
    pub fn rebind(&mut self, inputs: &Inputs) -> Result<(), Error> {
        let made = Problem::make(&self.kernel, inputs, &self.options, self.how.clone(), Some(self))?;
        *self = made;
        Ok(())
    }

    /// Values in the order of [`Problem::pattern`], from those in the order of [`Problem::storage`].
    ///
    /// # Panics
    /// If `values` has another length than the matrix has values.
    pub fn values_by_rows<'a>(&self, values: &'a [f64]) -> Cow<'a, [f64]> {
        crate::export::by_rows(&self.assembled.pattern, &self.assembled.storage, values)
    }

    /// The matrix with these values, as a `sprs` matrix by rows (by columns, if it is stored so).
    ///
    /// # Panics
    /// If `values` has another length than the matrix has values.
    pub fn matrix(&self, values: &[f64]) -> sprs::CsMat<f64> {
        crate::export::to_sprs(&self.assembled.pattern, &self.assembled.storage, values)
    }
}
