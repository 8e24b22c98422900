//! The other road to a sparse matrix: detected pattern, colored columns, few products.

use crate::bind::Bound;
use crate::detect::of_bound;
use crate::error::Error;
use crate::goal::Goal;
use crate::kernel::Kernel;
use crate::options::Derivative;
use crate::part::How;
use crate::product::{Kind, Product};
use crate::request::{Request, Without};
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::Target;
use spadina_coloring::error::ColoringError;
use spadina_coloring::options::{Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern as Uncolored;
use spadina_passes::analysis::pattern::detect::Scope;
use spadina_runtime::compressed::choose::{self, Cost};
use spadina_runtime::compressed::directions::{Batch, Side};
use spadina_runtime::compressed::evaluate::Compressed as Values;
use spadina_runtime::csr::Pattern;
use std::sync::Arc;

/// Most directions in a call: more would not fit into registers.
const LANES: usize = 8;
/// Orders that are tried.
const ORDERS: [Order; 3] = [Order::SmallestLast, Order::LargestFirst, Order::Natural];
/// Column colors that rows and both sides are not tried against: they could save little.
const FEW: usize = 12;

/// Pattern, coloring, and the prepared products of a matrix.
pub(crate) struct Compressed {
    pattern: Arc<Pattern>,
    values: Values,
    /// Products with the matrix and with its transpose.
    columns: Option<Product>,
    rows: Option<Product>,
    /// How many there are.
    products: (usize, usize),
}

/// A pattern and how its columns or rows share products.
#[derive(Clone)]
pub(crate) struct Plan {
    pattern: Arc<Pattern>,
    coloring: Coloring,
}

/// The pattern as the coloring takes it.
///
/// # Errors
/// [`Error::Data`] for matrices of 2^31 rows and columns together.
pub(crate) fn uncolored(pattern: &Pattern) -> Result<Uncolored, Error> {
    let row_ptr: Vec<usize> = pattern.row_ptr().iter().map(|&n| n as usize).collect();
    Uncolored::new(pattern.rows(), pattern.cols(), row_ptr, pattern.col_idx().to_vec())
        .map_err(|e| uncolorable(&e))
}

fn uncolorable(error: &ColoringError) -> Error {
    Error::Data(error.to_string())
}

/// The request for products without anything beside them.
fn alone(request: Request<'_>) -> Request<'_> {
    Request { without: Without { results: true, gradient: true }, ..request }
}

/// Directions in a call for this many colors: as few calls as lanes allow, then as few lanes as calls allow; even, or one.
fn lanes(colors: usize) -> usize {
    if colors < 2 {
        return 1;
    }
    colors.div_ceil(colors.div_ceil(LANES)).next_multiple_of(2)
}

/// A column coloring: the first order whose colors are as few as the longest row demands, or the best.
fn columns(structure: &Uncolored, pattern: &Pattern) -> Result<Coloring, ColoringError> {
    let options = Options::new(Partition::Column);
    let natural = Coloring::new(structure, &options.clone().orders([Order::Natural]))?;
    let longest = pattern.row_ptr().windows(2).map(|ends| (ends[1] - ends[0]) as usize).max();
    if natural.n_colors() <= longest.unwrap_or(0) {
        return Ok(natural);
    }
    let others = Coloring::new(structure, &options.orders([Order::SmallestLast, Order::LargestFirst]))?;
    Ok(if others.n_colors() < natural.n_colors() { others } else { natural })
}

/// Whether products with the transpose may be cheaper: columns are all shorter than half the colors, or some rows are much longer
/// than others. Trying them costs more than coloring the columns.
fn rows_may_help(pattern: &Pattern, column_colors: usize) -> bool {
    let mut columns = vec![0_usize; pattern.cols()];
    for &col in pattern.col_idx() {
        columns[col as usize] += 1;
    }
    let longest_column = columns.into_iter().max().unwrap_or(0);
    let lengths = pattern.row_ptr().windows(2).map(|ends| (ends[1] - ends[0]) as usize);
    let longest_row = lengths.max().unwrap_or(0);
    2 * longest_column < column_colors || longest_row * pattern.rows() > 2 * pattern.nnz()
}

impl Plan {
    /// Detects the pattern and colors it; no derivative is made yet.
    ///
    /// # Errors
    /// See [`crate::detect::detect`].
    pub(crate) fn new(
        kernel: &Kernel,
        bound: &Bound,
        derivative: Derivative,
        request: Request<'_>,
    ) -> Result<Plan, Error> {
        let request = alone(request);
        let pattern = of_bound(kernel, bound, derivative, request, Scope::Global)?;
        let structure = uncolored(&pattern)?;
        let coloring = if derivative == Derivative::Hessian && request.rows.is_none() {
            choose::hessian(&structure, &ORDERS, false)
        } else {
            let columns = columns(&structure, &pattern);
            // Reverse mode may be refused where forward mode is not.
            match columns {
                Ok(coloring)
                    if derivative == Derivative::Jacobian
                        && coloring.n_colors() > FEW
                        && rows_may_help(&pattern, coloring.n_colors())
                        && kernel.program(Goal::Product(Kind::Vjp), request).is_ok() =>
                {
                    choose::jacobian(&structure, &ORDERS, Cost::default())
                }
                other => other,
            }
        };
        Ok(Plan { pattern, coloring: coloring.map_err(|e| uncolorable(&e))? })
    }

    /// The detected pattern.
    pub(crate) fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// How many products an evaluation takes: with the matrix, and with its transpose.
    pub(crate) fn products(&self) -> (usize, usize) {
        (self.coloring.n_column_colors(), self.coloring.n_row_colors())
    }
}

impl Compressed {
    /// Makes the programs and prepares the way back; `sides` counts what columns and rows stand for. A pattern equal to `old` is shared with it.
    ///
    /// # Errors
    /// As [`crate::product::Products::new`].
    pub(crate) fn prepare(
        kernel: &Kernel,
        request: Request<'_>,
        plan: &Plan,
        (derivative, bound, how): (Derivative, &Bound, &How),
        sides: (usize, usize),
        old: Option<&Arc<Pattern>>,
    ) -> Result<Compressed, Error> {
        let forward = if derivative == Derivative::Hessian { Kind::Hvp } else { Kind::Jvp };
        let products = plan.products();
        let (columns, rows) = products;
        let mut width = lanes(columns.max(rows));
        for (kind, count) in [(forward, columns), (Kind::Vjp, rows)] {
            if count > 0 && !Product::takes(kernel, alone(request), kind, how, width)? {
                width = 1;
            }
        }
        let batch = if width == 1 { Batch::single() } else { Batch::lanes(width) };
        let values = Values::new(&plan.coloring, Target::default(), batch)?;
        let product = |kind| Product::prepare(kernel, alone(request), kind, (bound, how), sides, width);
        let columns = (columns > 0).then(|| product(forward)).transpose()?;
        let rows = (rows > 0).then(|| product(Kind::Vjp)).transpose()?;
        let pattern = old.filter(|old| **old == plan.pattern).unwrap_or(&plan.pattern);
        Ok(Compressed { pattern: Arc::clone(pattern), values, columns, rows, products })
    }

    /// The same with memory of its own.
    pub(crate) fn fork(&self) -> Result<Compressed, Error> {
        let side = |side: &Option<Product>| side.as_ref().map(Product::fork).transpose();
        let (columns, rows) = (side(&self.columns)?, side(&self.rows)?);
        let (pattern, values) = (Arc::clone(&self.pattern), self.values.clone());
        Ok(Compressed { pattern, values, columns, rows, products: self.products })
    }

    /// Where the values are.
    pub(crate) fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// How many products an evaluation takes: with the matrix, and with its transpose.
    pub(crate) fn products(&self) -> (usize, usize) {
        self.products
    }

    /// Overwrites the values of the matrix.
    pub(crate) fn evaluate(&mut self, bound: &Bound, matrix: &mut [f64]) -> Result<(), Error> {
        let (columns, rows) = (&mut self.columns, &mut self.rows);
        self.values.evaluate(
            |directions, product| {
                let side = match directions.side {
                    Side::Columns => columns.as_mut(),
                    Side::Rows => rows.as_mut(),
                };
                let side =
                    side.ok_or_else(|| Error::Internal("products of this side were not prepared".into()))?;
                side.apply(bound, directions.seeds, product)
            },
            matrix,
        )
    }
}
