//! Which products to form: columns, rows or both, by the cost of their colors.

use spadina_coloring::coloring::Coloring;
use spadina_coloring::error::ColoringError;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern;

/// Random orders tried for bidirectional colorings (their seeds count from 0).
const RANDOM_ORDERS: u64 = 8;

/// What products cost, relative to each other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// One direction forward (JVP).
    pub forward: f64,
    /// One direction backward (VJP).
    pub reverse: f64,
}

impl Default for Cost {
    /// A reverse sweep stores and reloads what a forward sweep keeps in registers: taken as twice the cost (an estimate, of the
    /// order that Griewank and Walther, Evaluating Derivatives, chapter 4, derive from counts of operations and accesses).
    fn default() -> Self {
        Cost { forward: 1.0, reverse: 2.0 }
    }
}

impl Cost {
    /// What all products of a coloring cost.
    pub fn of(self, coloring: &Coloring) -> f64 {
        self.forward * coloring.n_column_colors() as f64 + self.reverse * coloring.n_row_colors() as f64
    }
}

/// Whether entries may be solved for one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Substitution {
    /// Each entry is an element of a product.
    Never,
    /// Where that saves products.
    #[default]
    IfCheaper,
    /// Even where it saves none.
    Always,
}

/// The cheapest coloring of a Jacobian's pattern among column, row and bidirectional ones (the last by direct decompression,
/// with neutral colors, and also in random orders: the usual ones serve it badly); columns where they cost the same.
///
/// # Errors
/// What the colorings refuse; orders must not be empty.
pub fn jacobian(pattern: &Pattern, orders: &[Order], cost: Cost) -> Result<Coloring, ColoringError> {
    let options = |partition| Options::new(partition).orders(orders.iter().copied());
    let mut best = Coloring::new(pattern, &options(Partition::Column))?;
    let rows = Coloring::new(pattern, &options(Partition::Row))?;
    for other in [rows, both(pattern, orders, cost, Substitution::Never)?] {
        if cost.of(&other) < cost.of(&best) {
            best = other;
        }
    }
    Ok(best)
}

/// The cheapest bidirectional coloring of a Jacobian's pattern, with neutral colors, also in random orders; by substitution where that
/// is allowed and cheaper (its values carry the rounding of a chain of subtractions), or wanted.
///
/// # Errors
/// As [`jacobian`].
pub fn both(
    pattern: &Pattern,
    orders: &[Order],
    cost: Cost,
    substitution: Substitution,
) -> Result<Coloring, ColoringError> {
    let random = (0..RANDOM_ORDERS).map(Order::Random);
    let options =
        Options::new(Partition::Bidirectional).orders(orders.iter().copied().chain(random)).postprocess(true);
    either(pattern, &options, cost, substitution)
}

/// The cheapest coloring of a Hessian's pattern: direct, or by substitution where that is allowed and saves colors, or wanted.
///
/// # Errors
/// Patterns that are not symmetric; orders must not be empty.
pub fn hessian(
    pattern: &Pattern,
    orders: &[Order],
    substitution: Substitution,
) -> Result<Coloring, ColoringError> {
    let options = Options::new(Partition::Symmetric).orders(orders.iter().copied());
    either(pattern, &options, Cost::default(), substitution)
}

fn either(
    pattern: &Pattern,
    options: &Options,
    cost: Cost,
    substitution: Substitution,
) -> Result<Coloring, ColoringError> {
    let solved = || Coloring::new(pattern, &options.clone().decompression(Decompression::Substitution));
    if substitution == Substitution::Always {
        return solved();
    }
    let direct = Coloring::new(pattern, options)?;
    if substitution == Substitution::Never {
        return Ok(direct);
    }
    let solved = solved()?;
    Ok(if cost.of(&solved) < cost.of(&direct) { solved } else { direct })
}
