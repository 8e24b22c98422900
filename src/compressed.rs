//! The other road to a sparse matrix: detected pattern, colored columns, few products.

use crate::bind::Bound;
use crate::choice;
use crate::detect::of_bound;
use crate::error::Error;
use crate::goal::Goal;
use crate::kernel::Kernel;
use crate::options::{Decompression, Derivative, Mode};
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
use spadina_passes::pipeline::Nesting;
use spadina_runtime::compressed::choose::{self, Cost, Substitution};
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
    /// Whether entries are solved for, one after the other.
    substitutes: bool,
    /// How many there would be with entries read directly, where the others were chosen because they are cheaper.
    direct: Option<usize>,
}

/// A pattern and how its columns or rows share products.
#[derive(Clone)]
pub(crate) struct Plan {
    pattern: Arc<Pattern>,
    coloring: Coloring,
    /// Products that a direct decompression would take, where substitution was chosen because it is cheaper.
    direct: Option<usize>,
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
pub(crate) fn alone(request: Request<'_>) -> Request<'_> {
    Request { without: Without { results: true, gradient: true }, ..request }
}

/// Directions in a call for this many colors: as few calls as lanes allow, then as few lanes as calls allow; even, or one.
fn lanes(colors: usize) -> usize {
    if colors < 2 {
        return 1;
    }
    colors.div_ceil(colors.div_ceil(LANES)).next_multiple_of(2)
}

/// Directions in a call for the products of both sides.
pub(crate) fn width(colors: impl IntoIterator<Item = usize>) -> usize {
    lanes(colors.into_iter().max().unwrap_or(0))
}

/// Kinds of products with a matrix and with its transpose, and how many of each.
pub(crate) fn sides(derivative: Derivative, (columns, rows): (usize, usize)) -> [(Kind, usize); 2] {
    let forward = if derivative == Derivative::Hessian { Kind::Hvp } else { Kind::Jvp };
    [(forward, columns), (Kind::Vjp, rows)]
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

fn substitution(decompression: Decompression) -> Substitution {
    match decompression {
        Decompression::Auto | Decompression::Direct => Substitution::Never,
        Decompression::Substitution => Substitution::Always,
    }
}

/// The coloring of a matrix that is not symmetric, by the sides that are asked for.
fn of_jacobian(
    structure: &Uncolored,
    pattern: &Pattern,
    (mode, decompression): (Mode, Decompression),
    reverses: impl Fn() -> Result<(), Error>,
) -> Result<Result<Coloring, ColoringError>, Error> {
    let substitution = substitution(decompression);
    let one_side = substitution == Substitution::Always && matches!(mode, Mode::Forward | Mode::Reverse);
    if one_side {
        return Err(Error::usage(
            "substitution needs products of both sides (`--mode mixed`) or a symmetric matrix: otherwise entries are elements of products",
        ));
    }
    if substitution == Substitution::Always {
        reverses()?;
    }
    let both = || choose::both(structure, &ORDERS, Cost::default(), substitution);
    Ok(match mode {
        Mode::Forward => columns(structure, pattern),
        Mode::Reverse => Coloring::new(structure, &Options::new(Partition::Row).orders(ORDERS)),
        Mode::Mixed => both(),
        Mode::Auto | Mode::ForwardOverReverse | Mode::ReverseOverForward | Mode::ReverseOverReverse => {
            match columns(structure, pattern) {
                Ok(_) if substitution == Substitution::Always => both(),
                Ok(coloring)
                    if coloring.n_colors() > FEW
                        && rows_may_help(pattern, coloring.n_colors())
                        && reverses().is_ok() =>
                {
                    choose::jacobian(structure, &ORDERS, Cost::default())
                }
                other => other,
            }
        }
    })
}

/// The coloring of a symmetric matrix, and how many products a direct one would take where substitution is chosen unasked: where it is
/// `cheaper(direct, solved)` by these numbers of products. Where all products fit into one call, there is nothing to save that would be
/// worth the rounding of a chain of subtractions.
fn of_hessian(
    structure: &Uncolored,
    pattern: &Pattern,
    decompression: Decompression,
    cheaper: impl Fn(usize, usize) -> Result<bool, Error>,
) -> Result<(Coloring, Option<usize>), Error> {
    let by = |substitution| choose::hessian(structure, &ORDERS, substitution).map_err(|e| uncolorable(&e));
    let direct = by(substitution(decompression))?;
    let count = direct.n_colors();
    let is_open = decompression == Decompression::Auto && count > LANES;
    if is_open && cheaper(count, fewest_products(pattern, true))? {
        let solved = by(Substitution::Always)?;
        if cheaper(count, solved.n_colors())? {
            return Ok((solved, Some(count)));
        }
    }
    Ok((direct, None))
}

/// The detected pattern; no derivative is made yet.
///
/// # Errors
/// See [`crate::detect::detect`].
pub(crate) fn detected(
    kernel: &Kernel,
    bound: &Bound,
    derivative: Derivative,
    request: Request<'_>,
) -> Result<Arc<Pattern>, Error> {
    of_bound(kernel, bound, derivative, alone(request), Scope::Global)
}

/// No coloring of the pattern takes fewer products, of which those with the transpose count twice.
///
/// Columns of one color and rows (or, of a symmetric matrix, columns) of another have no cycle of entries among them, in whatever
/// way the entries are found: so many entries at most as there are such rows and columns. Summed over pairs of colors that is, for
/// `c` colors of columns and `r` of rows, `c rows + r columns` in all, and off the diagonal of a symmetric matrix twice `(c - 1) columns`.
pub(crate) fn fewest_products(pattern: &Pattern, symmetric: bool) -> usize {
    let (rows, columns, entries) = (pattern.rows(), pattern.cols(), pattern.nnz());
    if entries == 0 {
        return 0;
    }
    if symmetric {
        let full = pattern.row_ptr().windows(2).filter(|ends| (ends[1] - ends[0]) as usize == columns);
        // Columns that meet all others have colors of their own.
        return full.count().max(entries.saturating_sub(columns).div_ceil(2 * columns) + 1);
    }
    entries.div_ceil(rows).min((2 * entries).div_ceil(columns))
}

impl Plan {
    /// Detects the pattern and colors it; no derivative is made yet.
    ///
    /// # Errors
    /// See [`crate::detect::detect`]; [`Error::Usage`] for a decompression that the mode does not have.
    pub(crate) fn new(
        kernel: &Kernel,
        bound: &Bound,
        derivative: Derivative,
        request: Request<'_>,
        by: (Mode, Decompression),
    ) -> Result<Plan, Error> {
        Plan::of(detected(kernel, bound, derivative, request)?, (kernel, bound), derivative, request, by)
    }

    /// Colors a detected pattern.
    ///
    /// # Errors
    /// [`Error::Usage`] for a decompression that the mode does not have; [`Error::Data`] for too many rows and columns.
    pub(crate) fn of(
        pattern: Arc<Pattern>,
        (kernel, bound): (&Kernel, &Bound),
        derivative: Derivative,
        request: Request<'_>,
        by: (Mode, Decompression),
    ) -> Result<Plan, Error> {
        let request = alone(request);
        let structure = uncolored(&pattern)?;
        let symmetric = derivative == Derivative::Hessian && request.rows.is_none();
        if symmetric {
            let cheaper = |direct: usize, solved: usize| {
                choice::prefers_substitution(kernel, request, &pattern, (direct, solved), bound)
            };
            let (coloring, direct) = of_hessian(&structure, &pattern, by.1, cheaper)?;
            return Ok(Plan { pattern, coloring, direct });
        }
        let coloring = {
            // Reverse mode may be refused where forward mode is not.
            let reverses = || match derivative {
                Derivative::Jacobian => kernel.program(Goal::Product(Kind::Vjp), request).map(|_| ()),
                _ => Err(Error::usage("a block of a Hessian has products of one side only")),
            };
            of_jacobian(&structure, &pattern, by, reverses)?
        };
        Ok(Plan { pattern, coloring: coloring.map_err(|e| uncolorable(&e))?, direct: None })
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
    /// Makes the programs and prepares the way back; `sides` counts what columns and rows stand for.
    ///
    /// # Errors
    /// As [`crate::product::Products::new`].
    pub(crate) fn prepare(
        kernel: &Kernel,
        request: Request<'_>,
        plan: &Plan,
        (derivative, bound, how): (Derivative, &Bound, &How),
        sides: (usize, usize),
    ) -> Result<Compressed, Error> {
        let products = plan.products();
        let kinds = self::sides(derivative, products);
        let mut width = width(kinds.map(|side| side.1));
        for (kind, count) in kinds {
            if count > 0 && !Product::takes(kernel, alone(request), kind, how, width)? {
                width = 1;
            }
        }
        let batch = if width == 1 { Batch::single() } else { Batch::lanes(width) };
        let values = Values::new(&plan.coloring, Target::default(), batch)?;
        let product = |kind| Product::prepare(kernel, alone(request), kind, (bound, how), sides, width);
        let [columns, rows] = kinds.map(|(kind, count)| (count > 0).then(|| product(kind)).transpose());
        let (columns, rows) = (columns?, rows?);
        let substitutes = plan.coloring.trees().is_some();
        let (pattern, direct) = (Arc::clone(&plan.pattern), plan.direct);
        Ok(Compressed { pattern, values, columns, rows, products, substitutes, direct })
    }

    /// The same with memory of its own.
    pub(crate) fn fork(&self) -> Result<Compressed, Error> {
        let side = |side: &Option<Product>| side.as_ref().map(Product::fork).transpose();
        let (columns, rows) = (side(&self.columns)?, side(&self.rows)?);
        let (pattern, values) = (Arc::clone(&self.pattern), self.values.clone());
        let Compressed { products, substitutes, direct, .. } = *self;
        Ok(Compressed { pattern, values, columns, rows, products, substitutes, direct })
    }

    /// Where the values are.
    pub(crate) fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// How many products an evaluation takes: with the matrix, and with its transpose.
    pub(crate) fn products(&self) -> (usize, usize) {
        self.products
    }

    /// How many products it would take to read entries directly, where they are solved for because that is cheaper.
    pub(crate) fn direct(&self) -> Option<usize> {
        self.direct
    }

    /// How it finds entries: by which mode of products, and whether directly or by substitution.
    pub(crate) fn way(&self, derivative: Derivative, nesting: Nesting) -> (Mode, Decompression) {
        let mode = match (derivative, nesting, self.products) {
            (Derivative::Hessian, Nesting::ForwardOverReverse, _) => Mode::ForwardOverReverse,
            (Derivative::Hessian, Nesting::ReverseOverForward, _) => Mode::ReverseOverForward,
            (Derivative::Hessian, Nesting::ReverseOverReverse, _) => Mode::ReverseOverReverse,
            (_, _, (_, 0)) => Mode::Forward,
            (_, _, (0, _)) => Mode::Reverse,
            _ => Mode::Mixed,
        };
        (mode, if self.substitutes { Decompression::Substitution } else { Decompression::Direct })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern of the places that a rule picks.
    fn pattern(rows: usize, cols: usize, has: impl Fn(usize, usize) -> bool) -> Pattern {
        let (mut row_ptr, mut col_idx) = (vec![0], Vec::new());
        for row in 0..rows {
            col_idx.extend((0..cols).filter(|&col| has(row, col)).map(|col| col as u32));
            row_ptr.push(col_idx.len() as u32);
        }
        Pattern::new(rows, cols, row_ptr, col_idx).expect("ascending columns")
    }

    #[test]
    fn no_coloring_takes_fewer_products() {
        for seed in 0..60_usize {
            let (rows, cols, few) = (seed % 7, (seed * 5) % 9, seed % 5);
            let mixed = |a: usize, b: usize| (a * 31 + b * 17 + seed * 7) % 6 > few;
            let found = pattern(rows, cols, mixed);
            let least = fewest_products(&found, false);
            let structure = uncolored(&found).unwrap();
            let both = choose::both(&structure, &ORDERS, Cost::default(), Substitution::Never);
            let by_columns = columns(&structure, &found).unwrap();
            for coloring in [by_columns, both.unwrap()] {
                let products = coloring.n_column_colors() + 2 * coloring.n_row_colors();
                assert!(products >= least, "{products} < {least}, seed {seed}");
            }
            let found = pattern(cols, cols, |a, b| a == b || mixed(a.min(b), a.max(b)));
            let least = fewest_products(&found, true);
            let structure = uncolored(&found).unwrap();
            for substitution in [Substitution::Never, Substitution::Always] {
                let coloring = choose::hessian(&structure, &ORDERS, substitution).unwrap();
                let products = coloring.n_column_colors() + 2 * coloring.n_row_colors();
                assert!(products >= least, "{products} < {least}, seed {seed}");
            }
        }
    }

    #[test]
    fn full_matrices_take_all_products() {
        for n in [1, 2, 5, 40] {
            assert_eq!(fewest_products(&pattern(n, n, |_, _| true), true), n);
            assert_eq!(fewest_products(&pattern(n, n, |_, _| true), false), n);
            assert_eq!(fewest_products(&pattern(n, 3 * n, |_, _| true), false), 2 * n);
        }
        assert_eq!(fewest_products(&pattern(0, 0, |_, _| true), true), 0);
        assert_eq!(fewest_products(&pattern(3, 0, |_, _| true), false), 0);
        // An arrow has a full row, and takes two colors.
        assert_eq!(fewest_products(&pattern(50, 50, |a, b| a == b || a == 0 || b == 0), true), 2);
    }
}
