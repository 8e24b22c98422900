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

/// The cheapest coloring of a Jacobian's pattern among column, row and bidirectional ones (the last by direct decompression,
/// with neutral colors, and also in random orders: the usual ones serve it badly); columns where they cost the same.
///
/// # Errors
/// What the colorings refuse; orders must not be empty.
pub fn jacobian(pattern: &Pattern, orders: &[Order], cost: Cost) -> Result<Coloring, ColoringError> {
    let options = |partition| Options::new(partition).orders(orders.iter().copied());
    let mut best = Coloring::new(pattern, &options(Partition::Column))?;
    let random = (0..RANDOM_ORDERS).map(Order::Random);
    let both =
        Options::new(Partition::Bidirectional).orders(orders.iter().copied().chain(random)).postprocess(true);
    for options in [options(Partition::Row), both] {
        let other = Coloring::new(pattern, &options)?;
        if cost.of(&other) < cost.of(&best) {
            best = other;
        }
    }
    Ok(best)
}

/// The coloring of fewest colors of a Hessian's pattern: direct, or by substitution where that saves colors and is allowed (its
/// values carry the rounding of a chain of subtractions).
///
/// # Errors
/// Patterns that are not symmetric; orders must not be empty.
pub fn hessian(pattern: &Pattern, orders: &[Order], substitution: bool) -> Result<Coloring, ColoringError> {
    let options = Options::new(Partition::Symmetric).orders(orders.iter().copied());
    let direct = Coloring::new(pattern, &options)?;
    if !substitution {
        return Ok(direct);
    }
    let solved = Coloring::new(pattern, &options.decompression(Decompression::Substitution))?;
    Ok(if solved.n_colors() < direct.n_colors() { solved } else { direct })
}
