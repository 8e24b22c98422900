//! Patterns found by running a kernel on index sets, for every kernel that can be evaluated.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::kernel::Kernel;
use crate::options::Derivative;
use crate::part::bindings;
use crate::problem::Problem;
use crate::report::Report;
use crate::request::Request;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::Func;
use spadina_ir::interp::Bindings;
use spadina_ir::span::Span;
use spadina_layout::filter::{DROPPED, Filter};
use spadina_passes::analysis::pattern::detect::{Scope, hessian, hessian_terms, jacobian, jacobian_terms};
use spadina_passes::analysis::pattern::error::DetectError;
use spadina_passes::pipeline::guarded;
use spadina_runtime::csr::Pattern;
use spadina_runtime::select::select;
use std::sync::Arc;

/// The pattern of the Jacobian of a kernel, or of the Hessian of a weighted sum of all its results: for all values of its unknowns
/// and float data, or (`local`) at the bound values only. Always a superset of the entries that can be nonzero. Values are needed for
/// the second only: otherwise sizes and what decides which entries exist.
///
/// ```
/// use spadina::{compiler::Module, detect::detect, inputs::Inputs, options::Derivative};
///
/// let text = "kernel k<N>(x: var f64[N]) -> f64[N] { scan i in 0..N with s = 0.0 { s + x[i]^2 } }";
/// let kernel = Module::from_text("sums.ir", text)?.kernel(None)?;
/// let mut inputs = Inputs::new();
/// inputs.size("N", 3);
/// let pattern = detect(&kernel, &inputs, Derivative::Jacobian, None, false)?;
/// assert_eq!(pattern.row_ptr(), [0, 1, 3, 6]);
/// # Ok::<(), spadina::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Usage`] for derivatives without a matrix and wrong names, [`Error::Source`] where the pattern depends on values,
/// [`Error::Data`] for data that do not fit.
pub fn detect(
    kernel: &Kernel,
    inputs: &Inputs,
    derivative: Derivative,
    wrt: Option<&[String]>,
    local: bool,
) -> Result<Arc<Pattern>, Error> {
    if !derivative.has_matrix() {
        return Err(Error::usage("only `jacobian` and `hessian` have a pattern"));
    }
    kernel.columns(wrt)?;
    let (bound, scope) = if local {
        (Bound::new(kernel, inputs)?, Scope::Local)
    } else {
        (Bound::structure(kernel, inputs)?, Scope::Global)
    };
    of_bound(kernel, &bound, derivative.core(), Request::by(wrt), scope)
}

/// The pattern for checked data.
pub(crate) fn of_bound(
    kernel: &Kernel,
    bound: &Bound,
    derivative: Derivative,
    request: Request<'_>,
    scope: Scope,
) -> Result<Arc<Pattern>, Error> {
    if let Some(rows) = request.rows {
        return mixed(kernel, bound, (rows, request.wrt), scope);
    }
    let primal = guarded(&kernel.primal(request.wrt)?).map_err(|diagnostic| kernel.refusal(diagnostic))?;
    let inputs: Vec<(usize, usize)> = primal.buffers.keys().map(|b| (number(b), number(b))).collect();
    let data = bindings(&primal, &bound.sizes, bound, &inputs);
    let found = match derivative {
        Derivative::Hessian | Derivative::Lagrangian => hessian(&primal, &data, scope),
        Derivative::Value | Derivative::Gradient | Derivative::Jacobian | Derivative::GaussNewton => {
            jacobian(&primal, &data, scope)
        }
    };
    let found = found.map_err(|error| refused(kernel, error))?;
    let too_large = || Error::data("the pattern has more than 2^32 - 1 entries");
    let narrow = found.row_ptr.iter().map(|&n| u32::try_from(n).map_err(|_| too_large()));
    let pattern =
        Pattern::new(found.nrows, found.ncols, narrow.collect::<Result<_, Error>>()?, found.col_idx);
    Ok(Arc::new(pattern.ok_or_else(|| Error::Internal("detection made no valid pattern".into()))?))
}

/// Where in the source the terms stand that an entry of the matrix comes from, in the order in which they run: for a Jacobian what is
/// added to its row and depends on its column, for a Hessian what depends on both of its unknowns.
///
/// ```
/// use spadina::{compiler::Module, detect::terms, inputs::Inputs, options::{Derivative, Options}, problem::Problem};
///
/// let text = "kernel k<N>(x: var f64[N]) -> f64 { (sum i in 1..N { x[i]^2 * x[i - 1] }) + x[0]^3 }";
/// let kernel = Module::from_text("k.ir", text)?.kernel(None)?;
/// let mut inputs = Inputs::new();
/// inputs.set("x", &[1.0, 2.0, 3.0]);
/// let problem = Problem::prepare(&kernel, &inputs, &Options::new(Derivative::Hessian))?;
/// let found = terms(&problem, 1, 2)?;
/// assert_eq!(found.len(), 1);
/// assert!(found[0].slice(text).contains("x[i]^2 * x[i - 1]"));
/// # Ok::<(), spadina::error::Error>(())
/// ```
///
/// # Errors
/// As [`detect`].
pub fn terms(problem: &Problem, row: usize, column: usize) -> Result<Vec<Span>, Error> {
    let (rows, columns) = problem.sides();
    let (row, column) = (rows.position(row), columns.position(column));
    let derivative = problem.options().derivative.core();
    of_terms(problem, |primal, data| {
        let Ok(column) = u32::try_from(column) else { return Ok(Vec::new()) };
        match (derivative, u32::try_from(row)) {
            (Derivative::Hessian, Ok(row)) => hessian_terms(primal, data, (row, column)),
            _ => jacobian_terms(primal, data, (row, column)),
        }
    })
}

/// Where in the source the terms of an energy stand that depend on an unknown, by its number among the columns.
///
/// # Errors
/// As [`detect`].
pub fn gradient_terms(problem: &Problem, column: usize) -> Result<Vec<Span>, Error> {
    let column = problem.sides().1.position(column);
    of_terms(problem, |primal, data| {
        let Ok(column) = u32::try_from(column) else { return Ok(Vec::new()) };
        jacobian_terms(primal, data, (0, column))
    })
}

fn of_terms(
    problem: &Problem,
    find: impl Fn(&Func, &Bindings) -> Result<Vec<(u32, u32)>, DetectError>,
) -> Result<Vec<Span>, Error> {
    let (kernel, bound) = (problem.kernel(), problem.bound());
    let primal = &guarded(problem.primal()).map_err(|diagnostic| kernel.refusal(diagnostic))?;
    let inputs: Vec<(usize, usize)> = primal.buffers.keys().map(|b| (number(b), number(b))).collect();
    let data = bindings(primal, &bound.sizes, bound, &inputs);
    let found = find(primal, &data).map_err(|error| refused(kernel, error))?;
    Ok(found.into_iter().map(|(start, end)| Span { start, end }).collect())
}

/// The pattern of a mixed block: cut out of that of the Hessian by all unknowns of its rows and columns.
fn mixed(
    kernel: &Kernel,
    bound: &Bound,
    (rows, columns): (&[String], Option<&[String]>),
    scope: Scope,
) -> Result<Arc<Pattern>, Error> {
    let (rows, columns) = (kernel.columns(Some(rows))?, kernel.columns(columns)?);
    let all: Vec<String> = rows.iter().chain(&columns).cloned().collect();
    let whole = of_bound(kernel, bound, Derivative::Hessian, Request::by(Some(&all)), scope)?;
    let primal = kernel.primal(Some(&all))?;
    // The number of each unknown among the chosen ones.
    let numbers = |chosen: &[String]| {
        let (mut numbers, mut next) = (Vec::new(), 0_u32);
        for &buffer in &primal.columns {
            let data = &primal.buffers[buffer];
            let inside = chosen.contains(&data.name);
            for _ in 0..bound.len_of(data)? {
                numbers.push(if inside { next } else { DROPPED });
                next += u32::from(inside);
            }
        }
        Ok::<_, Error>((numbers, next as usize))
    };
    let ((row_map, n_rows), (col_map, n_cols)) = (numbers(&rows)?, numbers(&columns)?);
    let filter = Filter {
        row_map: Some(&row_map),
        col_map: Some(&col_map),
        rows: n_rows,
        cols: n_cols,
        ..Filter::all(row_map.len(), col_map.len())
    };
    Ok(Arc::new(select(&whole, &filter, &[])?.0))
}

fn refused(kernel: &Kernel, error: DetectError) -> Error {
    match error {
        DetectError::Run(error) => Error::interpreting(kernel.source(), error),
        DetectError::ValueDependent { what, span: (start, end) } => {
            let message = "the pattern cannot be detected: it may change between evaluations";
            let diagnostic = Diagnostic::error("value-index", message)
                .label(Span { start, end }, format!("{what} depends on floats that are not structural"))
                .help("mark the parameter `#[structural]`, or use `--strategy dense`");
            Error::Source(Box::new(Report::one(kernel.source(), diagnostic)))
        }
        DetectError::NoRow { .. } => Error::Internal(error.to_string()),
        DetectError::TooLarge => Error::Data(error.to_string()),
    }
}
