//! From a kernel, data and options to a prepared problem: which programs, which road, which memory.

use crate::assembly::{Assembled, Side};
use crate::bind::Bound;
use crate::choice::{self, Work};
use crate::error::Error;
use crate::goal::Goal;
use crate::inputs::Inputs;
use crate::kernel::Kernel;
use crate::options::{
    Assembly, Decompression, Derivative, Engine, FixedRule, Format, Mode, Options, Project, Strategy,
    Triangle,
};
use crate::outputs::{Take, total};
use crate::part::{How, Part, Setup};
use crate::problem::{Own, Problem, Times};
use crate::program::Program;
use crate::request::{Request, Without};
use crate::road::{Other, Road};
use spadina_ir::diag::{Diagnostic, Severity};
use spadina_ir::func::{Buffer, Func, Role};
use spadina_passes::sparse::stages;
use spadina_runtime::csr::Pattern;
use spadina_runtime::gauss_newton::GaussNewton;
use spadina_runtime::partition::MOST;
use spadina_runtime::room::Room;
use spadina_runtime::team::Pool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

impl Problem {
    /// Derives, compiles, checks the data and finds the pattern.
    ///
    /// # Errors
    /// [`Error::Source`] for refused derivatives, [`Error::Usage`] for requests that do not fit the kernel, [`Error::Data`]
    /// for data that do not fit.
    pub fn prepare(kernel: &Kernel, inputs: &Inputs, options: &Options) -> Result<Problem, Error> {
        if !(1..=MOST).contains(&options.threads) {
            let threads = options.threads;
            return Err(Error::usage(format!("the number of threads must be 1 to {MOST}, not {threads}")));
        }
        let pool = match &options.pool {
            _ if options.threads == 1 || options.engine != Engine::Jit => None,
            Some(pool) => Some(pool.clone()),
            None => Some(Pool::start(options.threads).map_err(Error::Data)?),
        };
        let threads = if options.engine == Engine::Jit { options.threads } else { 1 };
        let how = How { engine: options.engine, threads, pool };
        Problem::make(kernel, inputs, options, how, None)
    }

    pub(crate) fn make(
        kernel: &Kernel,
        inputs: &Inputs,
        options: &Options,
        how: How,
        old: Option<&Problem>,
    ) -> Result<Problem, Error> {
        let derivative = options.derivative;
        let kernel = &kernel.projected(options.project);
        kernel.admits(derivative)?;
        fits(kernel, options)?;
        let mut times = Times::default();
        let started = Instant::now();
        let effective = effective(kernel, options)?;
        let primal = kernel.primal(effective.wrt.as_deref())?;
        let mut reasons = Vec::new();
        let wanted = Wanted::new(kernel, options);
        let programs = Programs { kernel, options: &effective, wanted, how: &how };
        // What was chosen for other data is kept: nothing is compiled again.
        let mut work = old.and_then(|problem| problem.work);
        let by_products = work.is_some_and(Work::prefers_products);
        let (main, mut is_structural) = programs.main(&mut reasons, by_products)?;
        let values =
            wanted.separate.then(|| programs.compiled(Goal::Here(Derivative::Value), true)).transpose()?;
        times.compile = started.elapsed();
        let compiled = times.compile;
        let started = Instant::now();
        let (sizes, bound) = bind(kernel, inputs, derivative, old)?;
        let results: Vec<Buffer> = primal.buffers_of(Role::Output).collect();
        let results = total(&primal, &bound, &results)?;
        has_room_for_results(results)?;
        let sides = sides(kernel, &primal, &bound, (options, &effective), results)?;
        // The matrix of a program with stages is filtered after they are eliminated from it.
        let mut filtered = is_structural && wanted.filtered && stages::listed(&main.eval).next().is_none();
        let filter = sides.1.prepare_options(options.assembly.triangle);
        let take = Take {
            results: wanted.take.results && !wanted.separate,
            gradient: wanted.take.gradient,
            ..Take::default()
        };
        let setup = Setup {
            bound: &bound,
            how: &how,
            take,
            options: filtered.then_some(&filter),
            old: old.map(|problem| &problem.main),
            lanes: 1,
        };
        let mut main = Part::prepare(kernel, &main, &setup)?;
        let mut plan = None;
        if is_structural && effective.strategy == Strategy::Auto && derivative.has_matrix() && old.is_none() {
            let compared = choice::compare(kernel, &main, &bound, &effective)?;
            work = compared.as_ref().map(|(work, _)| *work);
            if let Some((_, better)) = compared.filter(|(work, _)| work.prefers_products()) {
                let started = Instant::now();
                let plain = programs.plain()?;
                times.compile += started.elapsed();
                main = Part::prepare(kernel, &plain, &Setup { options: None, ..setup })?;
                (is_structural, filtered, plan) = (false, false, Some(better));
            }
        }
        let take = Take { results: true, ..Take::default() };
        let setup = Setup { take, options: None, old: None, ..setup };
        let values = values.map(|program| Part::prepare(kernel, &program, &setup)).transpose()?;
        let road = if is_structural {
            Road::Structural
        } else {
            let lengths = (sides.1.positions(), results);
            let rows = if derivative.core() == Derivative::Hessian { sides.0.positions() } else { results };
            let other = Other { kernel, options: &effective, bound: &bound, how: &how, sides: lengths, rows };
            other.road(&mut reasons, &mut times, (plan, work))?
        };
        let of_road = match road.pattern() {
            Some(pattern) => Arc::clone(pattern),
            None if derivative.has_matrix() => Arc::clone(main.pattern()),
            None => empty_pattern(),
        };
        let normal =
            (derivative == Derivative::GaussNewton).then(|| GaussNewton::new(&of_road)).transpose()?;
        let before = normal.as_ref().map_or(&of_road, GaussNewton::pattern);
        let assembled = if derivative.has_matrix() {
            let previous = old.map(|problem| &problem.assembled);
            Assembled::new(before, filtered, (&sides.0, &sides.1), &options.assembly, previous)?
        } else {
            Assembled::none()
        };
        has_room(&assembled.pattern)?;
        let own = own(options, wanted, (&of_road, before), &assembled, &sides, results);
        times.prepare = started.elapsed().saturating_sub(times.compile.saturating_sub(compiled));
        let strategy = derivative.has_matrix().then_some(road.strategy());
        let warnings = warnings(kernel, reasons, is_structural.then_some(&*assembled.pattern));
        let (kernel, options) = (kernel.clone(), options.clone());
        Ok(Problem {
            kernel,
            options,
            effective,
            primal,
            bound,
            sizes,
            how,
            main,
            values,
            road,
            normal,
            assembled,
            sides,
            own,
            strategy,
            work,
            warnings,
            results,
            times,
        })
    }
}

/// The data: what is not given comes from the problem before.
fn bind(
    kernel: &Kernel,
    inputs: &Inputs,
    derivative: Derivative,
    old: Option<&Problem>,
) -> Result<(BTreeMap<String, i64>, Bound), Error> {
    let mut sizes = old.map(|problem| problem.sizes.clone()).unwrap_or_default();
    sizes.extend(inputs.sizes.iter().map(|(name, &size)| (name.clone(), size)));
    let mut bound = Bound::make(kernel, inputs, &sizes, old.map(|problem| &problem.bound), |_| true)?;
    if derivative == Derivative::Lagrangian {
        let kept = old.map(|problem| problem.bound.multipliers(kernel)).unwrap_or_default();
        bound = bound.with_multipliers(kernel, inputs, &kept)?;
    }
    Ok((sizes, bound))
}

/// Fails here, with a message, and not where memory for results is made.
fn has_room_for_results(results: usize) -> Result<(), Error> {
    let room = Vec::<f64>::new().try_reserve_exact(results);
    room.map_err(|_| Error::Data(format!("{results} results do not fit into memory")))
}

/// Why the road is not the structural one, or that its matrix is full.
fn warnings(kernel: &Kernel, reasons: Vec<Diagnostic>, structural: Option<&Pattern>) -> Vec<Diagnostic> {
    let mut warnings = reasons;
    warnings.extend(structural.and_then(|pattern| full(kernel, pattern)));
    if kernel.lowered().allow.iter().any(|lint| lint == "dense") {
        warnings.retain(|diagnostic| diagnostic.code != "dense-matrix");
    }
    warnings
}

/// What the programs must give.
#[derive(Clone, Copy)]
struct Wanted {
    take: Take,
    /// Whether results come from a program of their own.
    separate: bool,
    /// Whether less than the whole matrix is asked for. The program is then the same for both engines.
    part: bool,
    /// Whether the structural program keeps only what is asked for.
    filtered: bool,
}

impl Wanted {
    fn new(kernel: &Kernel, options: &Options) -> Wanted {
        let derivative = options.derivative;
        let gradient = derivative.has_gradient() && (options.gradient || !derivative.has_matrix());
        let normal = derivative == Derivative::GaussNewton;
        let results = options.value || derivative == Derivative::Value || (normal && gradient);
        let has_arrays = kernel.lowered().results.iter().any(|result| !result.dims.is_empty());
        let fixes = !options.assembly.fixed.is_empty()
            || kernel.lowered().params.iter().any(|param| !param.fixed.is_empty());
        let some = fixes || options.assembly.triangle != Triangle::Full;
        let part = some && options.rows.is_none() && !normal && derivative.has_matrix();
        Wanted {
            take: Take { results, gradient: gradient && !normal, ..Take::default() },
            separate: results && has_arrays && derivative.core() == Derivative::Hessian,
            part,
            filtered: part && options.engine == Engine::Jit,
        }
    }

    fn without(self) -> Without {
        Without { results: !self.take.results || self.separate, gradient: !self.take.gradient }
    }
}

/// What makes programs.
struct Programs<'a> {
    kernel: &'a Kernel,
    options: &'a Options,
    wanted: Wanted,
    how: &'a How,
}

impl Programs<'_> {
    fn program(&self, goal: Goal, with_results: bool) -> Result<Arc<Program>, Error> {
        let mut request = Request::of(self.options);
        request.without = self.wanted.without();
        if with_results {
            request.without.results = false;
        }
        self.kernel.program(goal, request)
    }

    /// Machine code is made here, so that its time counts as compilation.
    fn compiled(&self, goal: Goal, with_results: bool) -> Result<Arc<Program>, Error> {
        let program = self.program(goal, with_results)?;
        if self.how.engine == Engine::Jit {
            program.native_index(self.how.threads > 1)?;
        }
        Ok(program)
    }

    /// The structural program in machine code, unless that would take longer to make than it is worth.
    fn of_reasonable_size(&self, goal: Goal) -> Result<Arc<Program>, Error> {
        let derivative = self.options.derivative.core();
        if self.how.engine == Engine::Jit && choice::may_be_products(self.kernel, derivative) {
            choice::check_size(self.kernel, &self.program(goal, false)?.eval)?;
        }
        self.compiled(goal, false)
    }

    /// The main program, and whether it gives the matrix. Why it does not comes as diagnostics.
    fn main(&self, reasons: &mut Vec<Diagnostic>, by_products: bool) -> Result<(Arc<Program>, bool), Error> {
        let core = self.options.derivative.core();
        let whole = if self.wanted.part { Goal::Whole(core) } else { Goal::Here(core) };
        let structural = match (core.has_matrix(), self.options.strategy) {
            (true, Strategy::Dense | Strategy::Compressed) => None,
            (true, Strategy::Auto) if by_products => None,
            (true, Strategy::Auto) => match self.of_reasonable_size(whole) {
                Err(Error::Source(report)) => {
                    *reasons = report.diagnostics;
                    None
                }
                other => Some(other?),
            },
            (false, _) | (true, Strategy::Structural) => Some(self.compiled(whole, false)?),
        };
        if let Some(program) = structural {
            return Ok((program, true));
        }
        Ok((self.plain()?, false))
    }

    /// What is computed beside a matrix that comes from elsewhere.
    fn plain(&self) -> Result<Arc<Program>, Error> {
        let hessian = self.options.derivative.core() == Derivative::Hessian;
        let gradient = hessian && self.wanted.take.gradient;
        let plain = if gradient { Derivative::Gradient } else { Derivative::Value };
        self.compiled(Goal::Here(plain), false)
    }
}

/// Refuses options that contradict each other or the derivative.
fn fits(kernel: &Kernel, options: &Options) -> Result<(), Error> {
    let derivative = options.derivative;
    let name = derivative.name();
    let mixed = options.rows.is_some();
    if mixed && derivative.core() != Derivative::Hessian {
        return Err(Error::Usage(format!(
            "rows are chosen for a mixed block of a Hessian, not for `{name}`"
        )));
    }
    if let Some(refused) = kernel.not_projected(derivative.core()).filter(|_| mixed) {
        return Err(kernel.refusal(refused));
    }
    let square = derivative.is_square() && !mixed;
    let what = if mixed { "a mixed block".to_owned() } else { format!("`{name}`") };
    if derivative.has_matrix() && !square {
        if options.assembly.triangle != Triangle::Full {
            let kernel = kernel.name();
            return Err(Error::Usage(format!(
                "{what} of `{kernel}` has no triangles: rows and columns are not the same unknowns"
            )));
        }
        if options.assembly.fixed_rule == FixedRule::Identity {
            return Err(Error::Usage(format!(
                "{what} cannot keep fixed unknowns as identity: rows and columns are not the same unknowns"
            )));
        }
    }
    if matches!(options.project, Project::All(_))
        && derivative.has_matrix()
        && derivative.core() != Derivative::Hessian
    {
        return Err(Error::Usage(format!("`{name}` is not projected: Hessians are, element by element")));
    }
    let asked = (options.mode, options.decompression) != (Mode::Auto, Decompression::Auto);
    if asked && !(derivative.has_matrix() && options.mode.fits(derivative)) {
        return Err(Error::Usage(format!(
            "mode `{}` and decompression `{}` are no way to {what}",
            options.mode, options.decompression
        )));
    }
    if asked && !matches!(options.strategy, Strategy::Auto | Strategy::Compressed) {
        return Err(Error::Usage(format!(
            "modes and decompressions are those of the strategy `compressed`, not of `{}`",
            options.strategy
        )));
    }
    if matches!(options.assembly.format, Format::Bsr(0, _) | Format::Bsr(_, 0)) {
        return Err(Error::usage("blocks have at least one row and one column"));
    }
    Ok(())
}

/// The options as programs see them. Who names products means the strategy that forms them. An array has one position, so one that gives rows and columns of a mixed block gives them in the
/// same place: then the block is cut out of the Hessian by the unknowns of both.
fn effective(kernel: &Kernel, options: &Options) -> Result<Options, Error> {
    let mut options = options.clone();
    if (options.mode, options.decompression) != (Mode::Auto, Decompression::Auto) {
        options.strategy = Strategy::Compressed;
    }
    let Some(rows) = &options.rows else { return Ok(options) };
    let (rows, columns) = (kernel.columns(Some(rows))?, kernel.columns(options.wrt.as_deref())?);
    if !rows.iter().any(|row| columns.contains(row)) {
        return Ok(options);
    }
    let all: Vec<String> = rows.into_iter().chain(columns).collect();
    Ok(Options { wrt: Some(kernel.columns(Some(&all))?), rows: None, ..options })
}

/// What rows and columns stand for.
fn sides(
    kernel: &Kernel,
    primal: &Func,
    bound: &Bound,
    (options, effective): (&Options, &Options),
    results: usize,
) -> Result<(Arc<Side>, Arc<Side>), Error> {
    let assembly = &options.assembly;
    let Some(rows) = &options.rows else {
        let columns = Arc::new(Side::unknowns(kernel, primal, bound, &primal.columns, assembly)?);
        let rows = match options.derivative {
            Derivative::Jacobian => Arc::new(Side::all(results)),
            _ => Arc::clone(&columns),
        };
        return Ok((rows, columns));
    };
    // Lists and masks of options are about columns.
    let of_rows = Assembly { fixed: Vec::new(), ..assembly.clone() };
    let buffers = |names: Option<&[String]>| {
        let names = kernel.columns(names)?;
        Ok::<Vec<Buffer>, Error>(names.iter().filter_map(|name| primal.buffer_named(name)).collect())
    };
    let (rows, columns) = (buffers(Some(rows))?, buffers(options.wrt.as_deref())?);
    let mut sides = [
        Side::unknowns(kernel, primal, bound, &rows, &of_rows)?,
        Side::unknowns(kernel, primal, bound, &columns, assembly)?,
    ];
    if effective.rows.is_none() {
        for (side, buffers) in sides.iter_mut().zip([&rows, &columns]) {
            *side = side.within(primal, bound, buffers)?;
        }
    }
    let [rows, columns] = sides;
    Ok((Arc::new(rows), Arc::new(columns)))
}

/// Memory between the programs and the caller.
fn own(
    options: &Options,
    wanted: Wanted,
    (of_road, before): (&Pattern, &Pattern),
    assembled: &Assembled,
    (rows, _): &(Arc<Side>, Arc<Side>),
    results: usize,
) -> Own {
    let normal = options.derivative == Derivative::GaussNewton;
    let gathers = assembled.sources.is_some();
    let gradient =
        options.derivative.has_gradient() && (options.gradient || !options.derivative.has_matrix());
    let zeros = |wanted: bool, len: usize| wanted.then(|| vec![0.0; len]);
    Own {
        results: zeros(normal && wanted.take.results && !options.value, results),
        gradient: zeros(gradient && rows.moves(), rows.positions()),
        road: zeros(normal || gathers, of_road.nnz()),
        normal: zeros(normal && gathers, before.nnz()),
    }
}

/// Refuses a matrix whose values do not fit into memory beside its pattern.
fn has_room(pattern: &Pattern) -> Result<(), Error> {
    let (rows, columns, entries) = (pattern.rows(), pattern.cols(), pattern.nnz());
    let bytes = 8 * entries as u64;
    if Room::default().holds(bytes) {
        return Ok(());
    }
    let gigabytes = bytes as f64 / 1e9;
    Err(Error::Data(format!(
        "the {rows} x {columns} matrix has {entries} entries: no memory for {gigabytes:.1} GB of values; bind fewer unknowns, or ask for \
         products with it (`hvp`, `jvp`, `vjp`), which store no matrix"
    )))
}

/// Says of a matrix that the structure of the kernel fills: small ones are nobody's surprise.
fn full(kernel: &Kernel, pattern: &Pattern) -> Option<Diagnostic> {
    const SURPRISE: usize = 32;
    let (rows, columns) = (pattern.rows(), pattern.cols());
    if columns < SURPRISE || rows.checked_mul(columns) != Some(pattern.nnz()) {
        return None;
    }
    let message =
        format!("the matrix of `{}` is full: {rows} x {columns}, every entry is stored", kernel.name());
    let mut note = Diagnostic::warning("dense-matrix", message)
        .label(kernel.lowered().span, "at this size every row depends on every unknown")
        .help("`hvp` or `jvp` give products with it without storing it; `#[allow(dense)]` says that it is meant");
    note.severity = Severity::Note;
    Some(note)
}

fn empty_pattern() -> Arc<Pattern> {
    Arc::new(Pattern::new(0, 0, vec![0], Vec::new()).expect("an empty matrix is a matrix"))
}
