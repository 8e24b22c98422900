//! What the result of an operation depends on, by its class, from what its arguments depend on.

use super::Machine;
use crate::analysis::pattern::detect::{Order, Scope};
use crate::analysis::pattern::pairs::NONE;
use crate::analysis::pattern::sets::EMPTY;

/// What a float depends on: index set and pairs.
#[derive(Clone, Copy)]
pub(super) struct Dependence {
    pub(super) set: u32,
    pub(super) pairs: u32,
}

pub(super) const NOTHING: Dependence = Dependence { set: EMPTY, pairs: NONE };

impl Machine<'_> {
    pub(super) fn join(&mut self, a: Dependence, b: Dependence) -> Dependence {
        Dependence { set: self.store.union(a.set, b.set), pairs: self.pairs.join(a.pairs, b.pairs) }
    }

    /// `a * b`: what the other factor, where it is known to be zero, does not drop, and the cross term.
    pub(super) fn product(
        &mut self,
        a: Dependence,
        b: Dependence,
        numbers: Option<(f64, f64)>,
    ) -> Dependence {
        let (x, y) = numbers.unwrap_or((1.0, 1.0));
        let (left, right) = (if y == 0.0 { NOTHING } else { a }, if x == 0.0 { NOTHING } else { b });
        let set = self.store.union(left.set, right.set);
        if self.order == Order::First {
            return Dependence { set, pairs: NONE };
        }
        Dependence { set, pairs: self.pairs.product(left.pairs, right.pairs, a.set, b.set) }
    }

    /// `a / b`: the cross term, and the divisor with itself unless the numerator is known to be zero.
    pub(super) fn quotient(&mut self, a: Dependence, b: Dependence, number: Option<f64>) -> Dependence {
        let right = if number == Some(0.0) { NOTHING } else { b };
        let set = self.store.union(a.set, right.set);
        if self.order == Order::First {
            return Dependence { set, pairs: NONE };
        }
        Dependence { set, pairs: self.pairs.product(a.pairs, right.pairs, set, b.set) }
    }

    /// A nonlinear function of something that depends linearly on `a`.
    pub(super) fn curve(&mut self, a: Dependence) -> Dependence {
        if self.order == Order::First {
            return a;
        }
        // Without zeros found at a point, the pairs of a value lie between the columns it depends on.
        let inherited = if self.scope == Scope::Global { NONE } else { a.pairs };
        Dependence { set: a.set, pairs: self.pairs.product(inherited, NONE, a.set, a.set) }
    }

    pub(super) fn extremum(
        &mut self,
        (a, x): (Dependence, f64),
        (b, y): (Dependence, f64),
        least: bool,
    ) -> Dependence {
        if x < y {
            if least { a } else { b }
        } else if y < x {
            if least { b } else { a }
        } else {
            self.join(a, b)
        }
    }
}
