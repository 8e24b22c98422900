//! The roads to a matrix beside the structural one: which is taken, and what is said about it.

use crate::bind::Bound;
use crate::choice::Work;
use crate::compressed::{self, Compressed};
use crate::error::Error;
use crate::goal::Goal;
use crate::kernel::Kernel;
use crate::options::{Derivative, Engine, Options, Strategy};
use crate::outputs::{Slices, Take};
use crate::part::{How, Part, Setup};
use crate::problem::Times;
use crate::report::Report;
use crate::request::Request;
use spadina_ir::diag::{Diagnostic, Severity};
use spadina_runtime::csr::Pattern;
use std::sync::Arc;
use std::time::Instant;

/// Most entries of a dense matrix that is made without being asked for: 2 GB.
const DENSE_UNASKED: usize = 1 << 28;

/// Where the values of the matrix come from.
pub(crate) enum Road {
    /// The main program, which may have none.
    Structural,
    /// Few products.
    Compressed(Box<Compressed>),
    /// A program that fills a full pattern.
    Dense(Box<Part>, Arc<Pattern>),
}

impl Road {
    /// The same road with memory of its own.
    pub(crate) fn fork(&self) -> Result<Road, Error> {
        Ok(match self {
            Road::Structural => Road::Structural,
            Road::Compressed(compressed) => Road::Compressed(Box::new(compressed.fork()?)),
            Road::Dense(part, pattern) => Road::Dense(Box::new(part.fork()?), Arc::clone(pattern)),
        })
    }

    /// The name of the road.
    pub(crate) fn strategy(&self) -> Strategy {
        match self {
            Road::Structural => Strategy::Structural,
            Road::Compressed(_) => Strategy::Compressed,
            Road::Dense(..) => Strategy::Dense,
        }
    }

    /// The pattern of the matrix, where the main program does not give it.
    pub(crate) fn pattern(&self) -> Option<&Arc<Pattern>> {
        match self {
            Road::Structural => None,
            Road::Compressed(compressed) => Some(compressed.pattern()),
            Road::Dense(_, pattern) => Some(pattern),
        }
    }

    /// Overwrites the values of the matrix, where the main program does not give them.
    pub(crate) fn evaluate(&mut self, bound: &Bound, matrix: &mut [f64]) -> Result<(), Error> {
        match self {
            Road::Structural => Ok(()),
            Road::Compressed(compressed) => compressed.evaluate(bound, matrix),
            Road::Dense(dense, _) => {
                matrix.fill(0.0);
                let mut slices = Slices { matrix, weights: &bound.weights, ..Slices::default() };
                dense.evaluate(bound, &mut slices)
            }
        }
    }
}

/// What the other roads need.
pub(crate) struct Other<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) options: &'a Options,
    pub(crate) bound: &'a Bound,
    pub(crate) how: &'a How,
    /// Unknowns and results.
    pub(crate) sides: (usize, usize),
    /// Rows of the matrix.
    pub(crate) rows: usize,
}

impl Other<'_> {
    /// The compressed road, or the dense one. `reasons` come as refusals of the structural road, and leave as warnings and notes. The
    /// coloring and the work are there where products were chosen because they are cheaper.
    pub(crate) fn road(
        &self,
        reasons: &mut Vec<Diagnostic>,
        times: &mut Times,
        (known, work): (Option<compressed::Plan>, Option<Work>),
    ) -> Result<Road, Error> {
        let Other { kernel, options, bound, how, sides, rows } = *self;
        let (derivative, request) = (options.derivative.core(), Request::of(options));
        if let Some(refused) = kernel.not_projected(derivative) {
            // Where the structural road was tried, its reasons say more.
            let diagnostics = if reasons.is_empty() { vec![refused] } else { std::mem::take(reasons) };
            return Err(Error::Source(Box::new(Report { source: Arc::clone(kernel.source()), diagnostics })));
        }
        if options.strategy != Strategy::Dense {
            let cheaper = work.is_some();
            match known.map_or_else(|| self.plan(cheaper), |plan| Ok(Some(plan))) {
                Ok(Some(plan)) => {
                    let started = Instant::now();
                    let with = (derivative, bound, how);
                    // A Hessian has rows for unknowns, which may be others than its columns.
                    let lengths = if derivative == Derivative::Hessian { (sides.0, rows) } else { sides };
                    let made = Compressed::prepare(kernel, request, &plan, with, lengths)?;
                    times.compile += started.elapsed();
                    self.note_compressed(reasons, &made, work);
                    return Ok(Road::Compressed(Box::new(made)));
                }
                Ok(None) => {}
                // The pattern depends on values.
                Err(Error::Source(report)) if options.strategy == Strategy::Auto => {
                    reasons.extend(report.diagnostics);
                }
                Err(error) => return Err(error),
            }
        }
        let columns = sides.0;
        if options.strategy == Strategy::Auto && rows.checked_mul(columns).is_none_or(|n| n > DENSE_UNASKED) {
            let gigabytes = 8e-9 * rows as f64 * columns as f64;
            let size = format!("a dense matrix would be {rows} x {columns}, {gigabytes:.1} GB");
            let refused = reasons.drain(..).map(|reason| reason.help(size.clone())).collect();
            let source = Arc::clone(kernel.source());
            return Err(Error::Source(Box::new(Report { source, diagnostics: refused })));
        }
        let started = Instant::now();
        let program = kernel.program(Goal::Dense(derivative), request)?;
        if how.engine == Engine::Jit {
            program.native_index(how.threads > 1)?;
        }
        times.compile += started.elapsed();
        let pattern = full_pattern(rows, columns)?;
        warn_dense(reasons, kernel, options.strategy, rows, columns);
        let setup = Setup { bound, how, take: Take::default(), options: None, old: None, lanes: 1 };
        Ok(Road::Dense(Box::new(Part::prepare(kernel, &program, &setup)?), pattern))
    }

    /// The pattern and its coloring; none where products save too little over the dense program, which is often seen without a coloring.
    fn plan(&self, cheaper: bool) -> Result<Option<compressed::Plan>, Error> {
        let Other { kernel, options, bound, .. } = *self;
        let (derivative, request) = (options.derivative.core(), Request::of(options));
        let pattern = compressed::detected(kernel, bound, derivative, request)?;
        let may_be_dense = options.strategy == Strategy::Auto && !cheaper;
        let symmetric = derivative == Derivative::Hessian && request.rows.is_none();
        if may_be_dense && self.is_full(&pattern, compressed::fewest_products(&pattern, symmetric)) {
            return Ok(None);
        }
        let by = (options.mode, options.decompression);
        let plan = compressed::Plan::of(pattern, (kernel, bound), derivative, request, by)?;
        let (forward, reverse) = plan.products();
        let full = may_be_dense && self.is_full(plan.pattern(), forward + 2 * reverse);
        Ok((!full).then_some(plan))
    }

    /// Whether so many products save too little over the dense program.
    fn is_full(&self, pattern: &Pattern, products: usize) -> bool {
        let (columns, rows) = (self.sides.0, self.rows);
        let entries = columns.saturating_mul(rows);
        entries <= DENSE_UNASKED && pattern.nnz() > entries / 2 && products > columns / 2
    }

    /// Says, unless it was asked for, that and why a matrix is computed by products.
    fn note_compressed(&self, reasons: &mut Vec<Diagnostic>, made: &Compressed, work: Option<Work>) {
        if self.options.strategy != Strategy::Auto {
            return;
        }
        for reason in &mut *reasons {
            reason.severity = Severity::Note;
            reason.help.clear();
        }
        let (forward, reverse) = made.products();
        let pattern = made.pattern();
        let (rows, columns, entries) = (pattern.rows(), pattern.cols(), pattern.nnz());
        let products = match (forward, reverse, made.direct()) {
            (forward, 0, Some(direct)) => {
                format!(
                    "{forward} products, entries by substitution ({direct} products to read them directly)"
                )
            }
            (forward, 0, None) => format!("{forward} products"),
            (forward, reverse, _) => format!("{forward} + {reverse} transposed products"),
        };
        let name = self.kernel.name();
        let message = format!(
            "the matrix of `{name}` is compressed: {rows} x {columns}, {entries} entries detected, {products}"
        );
        let mut note = Diagnostic::warning("compressed-matrix", message)
            .label(self.kernel.lowered().span, "this kernel");
        if let Some(Work { structural, compressed }) = work {
            note = note.help(format!(
                "the work of an evaluation is {compressed}, and {structural} by structure (an addition counts 2): \
                 `--strategy structural` takes that road"
            ));
        }
        note.severity = Severity::Note;
        reasons.push(note);
    }
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
        reason.severity = Severity::Warning;
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
