//! Interval arithmetic: which operations are smooth and of moderate size on which arguments.
//!
//! Generated programs apply an operation only where these rules allow it, so their values are finite, and far from
//! poles and branch cuts, for all inputs in the ranges of [`crate::inputs`].

use spadina_ir::op::Op;

/// A closed interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Range {
    /// Least value.
    pub lo: f64,
    /// Greatest value.
    pub hi: f64,
}

/// Values are kept below this magnitude, so that differences keep their digits.
const LARGEST: f64 = 20.0;

impl Range {
    /// The interval `lo..=hi`.
    pub const fn new(lo: f64, hi: f64) -> Range {
        Range { lo, hi }
    }

    /// The interval of one number.
    pub const fn point(x: f64) -> Range {
        Range { lo: x, hi: x }
    }

    /// The smallest interval that holds both.
    #[must_use]
    pub fn union(self, other: Range) -> Range {
        Range { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// A sum of up to `count` values of this interval.
    #[must_use]
    pub fn times(self, count: f64) -> Range {
        Range { lo: (self.lo * count).min(0.0), hi: (self.hi * count).max(0.0) }
    }

    /// The largest magnitude.
    pub fn magnitude(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    fn within(self, lo: f64, hi: f64) -> bool {
        lo <= self.lo && self.hi <= hi
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Range {
        let (a, b) = (f(self.lo), f(self.hi));
        Range { lo: a.min(b), hi: a.max(b) }
    }

    fn moderate(self) -> Option<Range> {
        (self.lo.is_finite() && self.hi.is_finite() && self.magnitude() <= LARGEST).then_some(self)
    }
}

/// Where a one-argument operation takes values of `a`; `None` where it is not safe there.
pub fn unary(op: Op, a: Range) -> Option<Range> {
    let wave = Range::new(-1.0, 1.0);
    let result = match op {
        Op::Neg => Range::new(-a.hi, -a.lo),
        Op::Abs => {
            let least = if a.within(0.0, f64::MAX) || a.within(f64::MIN, 0.0) {
                a.lo.abs().min(a.hi.abs())
            } else {
                0.0
            };
            Range::new(least, a.magnitude())
        }
        Op::Sign | Op::Sin | Op::Cos | Op::Erf => wave,
        Op::Floor => a.map(f64::floor),
        Op::Ceil => a.map(f64::ceil),
        Op::Round => a.map(f64::round),
        Op::Trunc => a.map(f64::trunc),
        Op::Sqrt if a.lo >= 0.2 => a.map(f64::sqrt),
        Op::Cbrt if a.lo >= 0.2 || a.hi <= -0.2 => a.map(f64::cbrt),
        Op::Exp if a.hi <= 2.5 => a.map(f64::exp),
        Op::Expm1 if a.hi <= 2.5 => a.map(f64::exp_m1),
        Op::Log if a.lo >= 0.2 => a.map(f64::ln),
        Op::Log1p if a.lo >= -0.7 => a.map(f64::ln_1p),
        Op::Log2 if a.lo >= 0.2 => a.map(f64::log2),
        Op::Log10 if a.lo >= 0.2 => a.map(f64::log10),
        Op::Tan if a.within(-1.1, 1.1) => a.map(f64::tan),
        Op::Asin if a.within(-0.9, 0.9) => a.map(f64::asin),
        Op::Acos if a.within(-0.9, 0.9) => a.map(f64::acos),
        Op::Atan => a.map(f64::atan),
        Op::Sinh if a.within(-2.5, 2.5) => a.map(f64::sinh),
        Op::Cosh if a.within(-2.5, 2.5) => Range::new(1.0, a.magnitude().cosh()),
        Op::Tanh => a.map(f64::tanh),
        Op::Asinh => a.map(f64::asinh),
        Op::Acosh if a.lo >= 1.2 => a.map(f64::acosh),
        Op::Atanh if a.within(-0.9, 0.9) => a.map(f64::atanh),
        Op::Softplus => a.map(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        Op::StopGradient | Op::Hidden => a,
        _ => return None,
    };
    // A little wider: the bounds themselves were rounded.
    Range::new(result.lo - 1e-9, result.hi + 1e-9).moderate()
}

/// Where a two-argument operation takes values of `a` and `b`; `None` where it is not safe there.
pub fn binary(op: Op, a: Range, b: Range) -> Option<Range> {
    let products = || {
        let corners = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
        corners.iter().map(|&x| Range::point(x)).reduce(Range::union).unwrap_or(Range::point(0.0))
    };
    let result = match op {
        Op::Add => Range::new(a.lo + b.lo, a.hi + b.hi),
        Op::Sub => Range::new(a.lo - b.hi, a.hi - b.lo),
        Op::Mul => products(),
        Op::Div if b.lo >= 0.25 || b.hi <= -0.25 => {
            return binary(Op::Mul, a, Range::new(1.0 / b.hi, 1.0 / b.lo));
        }
        Op::Rem if b.lo >= 0.4 => Range::new(0.0, b.hi),
        // The sign of a zero is nobody's: an array that is added to starts from a positive one.
        Op::Copysign if b.lo > 0.0 || b.hi < 0.0 => Range::new(-a.magnitude(), a.magnitude()),
        Op::Min => Range::new(a.lo.min(b.lo), a.hi.min(b.hi)),
        Op::Max => Range::new(a.lo.max(b.lo), a.hi.max(b.hi)),
        Op::Atan2 if b.lo >= 0.2 => Range::new(-1.6, 1.6),
        Op::Pow if a.lo >= 0.3 && a.hi <= 4.0 && b.within(-3.0, 3.0) => {
            let corners = [a.lo.powf(b.lo), a.lo.powf(b.hi), a.hi.powf(b.lo), a.hi.powf(b.hi)];
            let least = corners.iter().copied().fold(f64::INFINITY, f64::min);
            Range::new(least, corners.iter().copied().fold(0.0, f64::max))
        }
        Op::Hypot if a.lo >= 0.2 || b.lo >= 0.2 => {
            Range::new(a.lo.max(b.lo).max(0.0), a.magnitude().hypot(b.magnitude()))
        }
        _ => return None,
    };
    Range::new(result.lo - 1e-9, result.hi + 1e-9).moderate()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use spadina_ir::func::Const;
    use spadina_ir::math::eval;

    /// Every allowed operation gives, on random points, a finite value inside the interval it promises.
    #[test]
    fn promises_hold_on_random_points() {
        let mut rng = Rng::new(3);
        let mut used = 0;
        for _ in 0..20_000 {
            let mut range = || {
                let (a, b) = (rng.float(-3.0, 3.0), rng.float(-3.0, 3.0));
                Range::new(a.min(b), a.max(b))
            };
            let (a, b) = (range(), range());
            let (x, y) = (rng.float(a.lo, a.hi), rng.float(b.lo, b.hi));
            let op = rng.pick(Op::ALL).unwrap();
            let (promise, args) = match op.arity() {
                1 => (unary(op, a), vec![Const::F64(x)]),
                2 => (binary(op, a, b), vec![Const::F64(x), Const::F64(y)]),
                _ => continue,
            };
            let Some(promise) = promise else { continue };
            used += 1;
            let Some(Const::F64(result)) = eval(op, &args) else { panic!("{} gives no float", op.name()) };
            let inside = promise.lo <= result && result <= promise.hi;
            assert!(inside, "{} of {x}, {y} is {result}, outside {promise:?}", op.name());
        }
        assert!(used > 3000, "only {used} operations were allowed");
    }
}
