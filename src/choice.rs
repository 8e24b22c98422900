//! Which road `--strategy auto` takes where the compiler can find every entry: the cheaper one, by counted work.
//!
//! The work of the structural program is counted, and the products of matrices that eliminate its intermediate arrays. Against it stands
//! the program of products, as often as the coloring asks for it, with the directions of a call side by side. Nothing is measured, so the same
//! kernel with the same data takes the same road on every machine and with every engine.

use crate::bind::Bound;
use crate::compressed::{Plan, alone, sides, width};
use crate::error::Error;
use crate::goal::Goal;
use crate::kernel::Kernel;
use crate::options::{Derivative, Options};
use crate::part::Part;
use crate::product::{Kind, Product};
use crate::report::Report;
use crate::request::Request;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Role};
use spadina_ir::walk;
use spadina_passes::analysis::effort::{self, Directions, Setting};
use spadina_runtime::csr::Pattern;
use std::sync::Arc;

/// A multiplication of sparse matrices: two loads, where it goes, an addition to it.
const PRODUCT: u64 = 5;
/// An entry of the matrix: cleared, or moved from a product.
const ENTRY: u64 = 1;
/// An element of the products of a call: cleared before.
const CLEARED: u64 = 1;
/// An entry that is solved for: what was found before is subtracted, and it is stored twice.
const SOLVED: u64 = 5;
/// Products are not asked for unless the structural program does so many times the work of a value, and of an entry.
const CLOSE: u64 = 8;

/// Instructions of a structural program that is compiled without being asked for: for three times as many machine code took more than 45 seconds.
const LARGEST_PROGRAM: usize = 60_000;

/// Whether a matrix may come from products where its structural program is too large.
pub(crate) fn may_be_products(kernel: &Kernel, derivative: Derivative) -> bool {
    kernel.not_projected(derivative).is_none()
}

/// Refuses a structural program that is too large to be compiled before it is known to be worth it.
pub(crate) fn check_size(kernel: &Kernel, program: &Func) -> Result<(), Error> {
    let count = walk::inst_count(program);
    if count <= LARGEST_PROGRAM {
        return Ok(());
    }
    let message = format!(
        "the structural program has {count} instructions, more than the {LARGEST_PROGRAM} that are compiled unasked"
    );
    let arrays = kernel.func().buffers_of(Role::Scratch).next().is_some();
    let (why, what) = if arrays {
        (
            "elements of its intermediate arrays are computed where they are read",
            "conditions on subscripts inside maps of maps are what makes such programs grow",
        )
    } else {
        (
            "its elements are eliminated as a whole",
            "unknowns that are named by literal subscripts, each for itself, are what makes such programs grow",
        )
    };
    let diagnostic = Diagnostic::error("compressed-matrix", message)
        .label(kernel.lowered().span, why)
        .help(format!("`--strategy structural` compiles it; {what}"));
    Err(Error::Source(Box::new(Report {
        source: Arc::clone(kernel.source()),
        diagnostics: vec![diagnostic],
    })))
}

/// The work of an evaluation by each road, where both were looked at. An addition of two numbers weighs 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// By structure.
    pub structural: u64,
    /// By products with directions.
    pub compressed: u64,
}

impl Work {
    /// Whether products are cheaper.
    pub(crate) fn prefers_products(self) -> bool {
        is_less(self.compressed, self.structural)
    }
}

/// Whether some work is less than other work, beyond the doubt that is in such numbers.
fn is_less(work: u64, other: u64) -> bool {
    work.saturating_add(work / 4) < other
}

/// The work of a program at these sizes.
pub(crate) fn of(func: &Func, bound: &Bound) -> u64 {
    effort::of(func, &Setting { sizes: &bound.sizes, directions: None })
}

/// Whether there is a choice: a kernel without intermediate arrays is as cheap by structure as it gets.
pub(crate) fn is_open(kernel: &Kernel, derivative: Derivative) -> bool {
    let arrays = kernel.func().buffers_of(Role::Scratch).next().is_some();
    arrays && may_be_products(kernel, derivative)
}

/// The work of both roads, and the coloring, where products may be cheaper than the prepared structural program.
pub(crate) fn compare(
    kernel: &Kernel,
    main: &Part,
    bound: &Bound,
    options: &Options,
) -> Result<Option<(Work, Plan)>, Error> {
    let derivative = options.derivative.core();
    if !is_open(kernel, derivative) {
        return Ok(None);
    }
    let value = of(kernel.func(), bound);
    let entries = main.pattern().nnz() as u64;
    let structural = main
        .work(bound)
        .saturating_add(main.eliminated().saturating_mul(PRODUCT))
        .saturating_add(entries * ENTRY);
    if structural <= value.saturating_add(entries).saturating_mul(CLOSE) {
        return Ok(None);
    }
    match by_products(kernel, main.pattern(), bound, options, (structural, value)) {
        Ok(found) => Ok(found),
        // Values decide the pattern, it is too large, or a mode is refused.
        Err(Error::Source(_) | Error::Data(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The work of an evaluation by products against that by structure, and the coloring. Before the pattern is detected and colored, as
/// many products are taken as the longest row has entries: a Jacobian takes no fewer, a Hessian hardly.
fn by_products(
    kernel: &Kernel,
    pattern: &Pattern,
    bound: &Bound,
    options: &Options,
    (structural, value): (u64, u64),
) -> Result<Option<(Work, Plan)>, Error> {
    let (derivative, request) = (options.derivative.core(), Request::of(options));
    let plain = if derivative == Derivative::Hessian && options.gradient {
        of(&kernel.program(Goal::Here(Derivative::Gradient), request)?.eval, bound)
    } else {
        value
    };
    let moved = plain.saturating_add(2 * ENTRY * pattern.nnz() as u64);
    let lengths = (pattern.rows(), pattern.cols());
    let work = |sides: [(Kind, usize); 2]| {
        let products = products(kernel, request, sides, lengths, bound)?;
        Ok::<_, Error>(Work { structural, compressed: moved.saturating_add(products) })
    };
    let longest = pattern.row_ptr().windows(2).map(|ends| (ends[1] - ends[0]) as usize).max();
    if !work(sides(derivative, (longest.unwrap_or(0), 0)))?.prefers_products() {
        return Ok(None);
    }
    let plan = Plan::new(kernel, bound, derivative, request, (options.mode, options.decompression))?;
    Ok(Some((work(sides(derivative, plan.products()))?, plan)))
}

/// Whether a Hessian costs less where its entries are solved for, in fewer products, than where they are read directly. Substitution keeps
/// all products until the last is there.
pub(crate) fn prefers_substitution(
    kernel: &Kernel,
    request: Request<'_>,
    pattern: &Pattern,
    (direct, solved): (usize, usize),
    bound: &Bound,
) -> Result<bool, Error> {
    let (n, entries) = (pattern.rows(), pattern.nnz() as u64);
    let work = |count| products(kernel, request, sides(Derivative::Hessian, (count, 0)), (n, n), bound);
    let kept = (solved as u64).saturating_mul(n as u64);
    let by_reading = work(direct)?.saturating_add(2 * ENTRY * entries);
    let by_solving = work(solved)?.saturating_add(2 * ENTRY * kept).saturating_add(SOLVED * entries);
    Ok(is_less(by_solving, by_reading))
}

/// The work of so many products of each kind with a matrix of this shape.
fn products(
    kernel: &Kernel,
    request: Request<'_>,
    sides: [(Kind, usize); 2],
    lengths: (usize, usize),
    bound: &Bound,
) -> Result<u64, Error> {
    let mut work: u64 = 0;
    let lanes = width(sides.iter().map(|side| side.1));
    let request = alone(request);
    for (kind, count) in sides.into_iter().filter(|side| side.1 > 0) {
        let program = kernel.program(Goal::Product(kind), request)?;
        let found = Part::directions(&program, Product::take(kind, request), lanes).filter(|_| lanes > 1);
        let lanes = if found.is_some() { lanes } else { 1 };
        let varies = |v| found.as_ref().is_some_and(|found| found.holds(v));
        let holds = |b| found.as_ref().is_some_and(|found| found.buffers().contains(&b));
        let call = effort::of(
            &program.eval,
            &Setting {
                sizes: &bound.sizes,
                directions: Some(Directions { count: lanes, varies: &varies, holds: &holds }),
            },
        );
        let length = lengths.0.max(lengths.1) as u64;
        let cleared = length.saturating_mul(lanes as u64).saturating_mul(CLEARED);
        let calls = count.div_ceil(lanes) as u64;
        work = work.saturating_add(calls.saturating_mul(call.saturating_add(cleared)));
    }
    Ok(work)
}
