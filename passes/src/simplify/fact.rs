//! What is known about a scalar: type, literal value, integer range over the sizes, sign, whether it is structural.
//!
//! Ranges are affine in the sizes. A size counts elements of an array, so it is not negative and at most [`SIZE_LIMIT`]; a range is
//! only ever claimed for arithmetic that cannot wrap under that bound.

use egg::DidMerge;
use spadina_ir::func::Const;
use spadina_ir::math;
use spadina_ir::op::{Op, Signature};
use spadina_ir::types::{SizeExpr, Ty};

/// No size is larger: the addresses of a 64-bit machine have 47 bits.
pub const SIZE_LIMIT: i128 = 1 << 47;

/// How often a range may shrink after it is first known. Sound rules need one or two; the bound ends a runaway.
const MAX_SHRINKS: u8 = 4;

/// What is known about a scalar.
#[derive(Clone, PartialEq, Debug)]
pub struct Fact {
    /// Its type.
    pub ty: Ty,
    /// Its value, if that is a finite literal.
    pub literal: Option<Const>,
    /// An integer is at least this.
    pub lo: Option<SizeExpr>,
    /// An integer is at most this.
    pub hi: Option<SizeExpr>,
    /// A float is at least zero or NaN.
    pub not_negative: bool,
    /// Known at prepare: computed from sizes, induction variables and structural inputs only.
    pub structural: bool,
    pub(super) shrinks: u8,
}

impl Fact {
    /// Nothing but the type.
    pub fn unknown(ty: Ty) -> Fact {
        Fact { ty, literal: None, lo: None, hi: None, not_negative: false, structural: false, shrinks: 0 }
    }

    /// The fact of a literal.
    pub fn literal(literal: Const) -> Fact {
        let mut fact = Fact { structural: true, ..Fact::unknown(literal.ty()) };
        fact.set_literal(literal);
        fact
    }

    /// The fact of a size expression.
    pub fn exactly(expr: SizeExpr) -> Fact {
        let literal = expr.as_constant().map(Const::Int);
        Fact { literal, lo: Some(expr.clone()), hi: Some(expr), structural: true, ..Fact::unknown(Ty::Int) }
    }

    /// An integer in `lo..=hi`.
    pub fn between(lo: Option<SizeExpr>, hi: Option<SizeExpr>) -> Fact {
        Fact { lo, hi, ..Fact::unknown(Ty::Int) }
    }

    fn set_literal(&mut self, literal: Const) {
        match literal {
            Const::F64(x) if x.is_finite() => {
                self.literal = Some(literal);
                self.not_negative = x >= 0.0;
            }
            Const::Int(n) => {
                self.literal = Some(literal);
                self.lo = Some(SizeExpr::constant(n));
                self.hi = Some(SizeExpr::constant(n));
            }
            Const::Bool(_) => self.literal = Some(literal),
            Const::F64(x) => self.not_negative = x > 0.0,
            Const::F32(_) => {}
        }
    }

    /// The integer as a size expression, if it is one.
    pub fn exact(&self) -> Option<&SizeExpr> {
        self.lo.as_ref().filter(|&lo| Some(lo) == self.hi.as_ref())
    }

    /// Numbers that enclose an integer.
    pub fn bounds(&self) -> Option<(i128, i128)> {
        Some((number_below(self.lo.as_ref()?), number_above(self.hi.as_ref()?)))
    }

    /// The fact of `-self` on integers.
    #[must_use]
    pub fn negated(&self) -> Fact {
        let flip = |bound: &Option<SizeExpr>| bound.as_ref().and_then(|e| e.checked_scale(-1));
        let safe = self.bounds().and_then(|(lo, hi)| fit(-hi, -lo)).is_some();
        let (lo, hi) = if safe { (flip(&self.hi), flip(&self.lo)) } else { (None, None) };
        let mut fact = Fact { lo, hi, structural: self.structural, ..Fact::unknown(Ty::Int) };
        if let Some(Const::Int(n)) = self.literal {
            fact.set_literal(Const::Int(n.wrapping_neg()));
        }
        fact
    }

    /// Adds what `other` says about the same scalar.
    pub fn meet(&mut self, other: Fact) -> DidMerge {
        let before = self.clone();
        let theirs = other.clone();
        self.literal = self.literal.or(other.literal);
        self.not_negative |= other.not_negative;
        self.structural |= other.structural;
        self.shrinks = self.shrinks.max(other.shrinks);
        let lo = tighter(self.lo.take(), other.lo, |old, new| proven_le(old, new, &[]));
        let hi = tighter(self.hi.take(), other.hi, |old, new| proven_le(new, old, &[]));
        let shrank = (before.lo.is_some() && lo != before.lo) || (before.hi.is_some() && hi != before.hi);
        if shrank && self.shrinks >= MAX_SHRINKS {
            (self.lo, self.hi) = (before.lo.clone(), before.hi.clone());
        } else {
            self.shrinks += u8::from(shrank);
            (self.lo, self.hi) = (lo, hi);
        }
        DidMerge(*self != before, *self != theirs)
    }
}

/// The better of two bounds; the old one where they cannot be compared or are equal.
fn tighter(
    old: Option<SizeExpr>,
    new: Option<SizeExpr>,
    is_tighter: impl Fn(&SizeExpr, &SizeExpr) -> bool,
) -> Option<SizeExpr> {
    match (old, new) {
        (Some(old), Some(new)) => Some(if is_tighter(&old, &new) { new } else { old }),
        (old, new) => old.or(new),
    }
}

fn not_negative(expr: &SizeExpr) -> bool {
    expr.constant >= 0 && expr.terms.iter().all(|&(_, c)| c > 0)
}

/// True where `expr >= 0` follows from sizes not being negative and from the given expressions not being negative.
pub fn proven_not_negative(expr: &SizeExpr, known: &[SizeExpr]) -> bool {
    not_negative(expr) || known.iter().any(|k| expr.checked_sub(k).is_some_and(|rest| not_negative(&rest)))
}

/// True where `a <= b` is proven.
pub fn proven_le(a: &SizeExpr, b: &SizeExpr, known: &[SizeExpr]) -> bool {
    b.checked_sub(a).is_some_and(|slack| proven_not_negative(&slack, known))
}

fn number_below(expr: &SizeExpr) -> i128 {
    let terms = expr.terms.iter().filter(|&&(_, c)| c < 0);
    terms.fold(i128::from(expr.constant), |sum, &(_, c)| sum.saturating_add(i128::from(c) * SIZE_LIMIT))
}

fn number_above(expr: &SizeExpr) -> i128 {
    let terms = expr.terms.iter().filter(|&&(_, c)| c > 0);
    terms.fold(i128::from(expr.constant), |sum, &(_, c)| sum.saturating_add(i128::from(c) * SIZE_LIMIT))
}

/// The interval, if 64 bits hold it.
pub fn fit(lo: i128, hi: i128) -> Option<(i128, i128)> {
    (lo >= i128::from(i64::MIN) && hi <= i128::from(i64::MAX)).then_some((lo, hi))
}

/// The fact of an operation. `same` says that both arguments are one value; `known` holds expressions that are not negative.
pub fn transfer(op: Op, args: &[&Fact], same: bool, known: &[SizeExpr]) -> Fact {
    let types: Vec<Ty> = args.iter().map(|a| a.ty).collect();
    let mut fact = Fact::unknown(op.result_type(&types).unwrap_or(Ty::F64));
    fact.structural = args.iter().all(|a| a.structural);
    let literals: Option<Vec<Const>> = args.iter().map(|a| a.literal).collect();
    if let Some(value) = literals.and_then(|literals| math::eval(op, &literals)) {
        // The sign of a zero is not kept.
        fact.set_literal(if value == Const::F64(0.0) { Const::F64(0.0) } else { value });
        return fact;
    }
    match op.signature() {
        Signature::Int => int_range(&mut fact, op, args, known),
        Signature::IntCompare => fact.literal = compare(op, args, known).map(Const::Bool),
        Signature::Indicator => {
            fact.not_negative = true;
            // Only ever to zero: the solver looks for the indicators that may hold.
            fact.literal = (compare(Op::IntEq, args, known) == Some(false)).then_some(Const::F64(0.0));
        }
        Signature::BoolToFloat => fact.not_negative = true,
        Signature::IntToFloat => {
            fact.not_negative = args[0].lo.as_ref().is_some_and(|lo| proven_not_negative(lo, known));
        }
        Signature::Float => fact.not_negative = sign(op, args, same),
        Signature::Select => {
            fact.not_negative = args[1].not_negative && args[2].not_negative;
            let ([_, a, b], true) = (args, fact.ty == Ty::Int) else { return fact };
            fact.lo = common(a.lo.as_ref(), b.lo.as_ref(), known, false);
            fact.hi = common(a.hi.as_ref(), b.hi.as_ref(), known, true);
        }
        Signature::FloatCompare
        | Signature::Bool
        | Signature::FloatToInt
        | Signature::Narrow
        | Signature::Widen => {}
    }
    fact
}

/// Operations whose result is at least zero (or NaN) whatever their arguments.
const NEVER_NEGATIVE: &[Op] =
    &[Op::Abs, Op::Sqrt, Op::Exp, Op::Cosh, Op::Hypot, Op::Softplus, Op::Acos, Op::Acosh];
/// Operations of one argument that keep the sign.
const SIGN_KEEPING: &[Op] = &[
    Op::Cbrt,
    Op::Expm1,
    Op::Log1p,
    Op::Sinh,
    Op::Tanh,
    Op::Atan,
    Op::Asin,
    Op::Asinh,
    Op::Atanh,
    Op::Erf,
    Op::StopGradient,
    Op::Hidden,
    Op::Floor,
    Op::Ceil,
    Op::Round,
    Op::Trunc,
    Op::Sign,
];

fn sign(op: Op, args: &[&Fact], same: bool) -> bool {
    let both = args.iter().all(|a| a.not_negative);
    NEVER_NEGATIVE.contains(&op)
        || (SIGN_KEEPING.contains(&op) && both)
        || match op {
            Op::Add | Op::Min | Op::Pow => both,
            Op::Mul | Op::Div => both || same,
            Op::Max => args.iter().any(|a| a.not_negative),
            _ => false,
        }
}

/// A bound that holds for two values: one of their bounds that encloses the other.
fn common(a: Option<&SizeExpr>, b: Option<&SizeExpr>, known: &[SizeExpr], upper: bool) -> Option<SizeExpr> {
    let (a, b) = (a?, b?);
    let (small, large) = if upper { (a, b) } else { (b, a) };
    if proven_le(small, large, known) {
        return Some(b.clone());
    }
    proven_le(large, small, known).then(|| a.clone())
}

fn int_range(fact: &mut Fact, op: Op, args: &[&Fact], known: &[SizeExpr]) {
    let &[a, b] = args else { return };
    let one = SizeExpr::constant(1);
    let zero = SizeExpr::default();
    match op {
        Op::IntAdd | Op::IntSub => {
            let negated;
            let b = if op == Op::IntSub {
                negated = b.negated();
                &negated
            } else {
                b
            };
            let (Some((la, ha)), Some((lb, hb))) = (a.bounds(), b.bounds()) else { return };
            if fit(la + lb, ha + hb).is_some() {
                fact.lo = a.lo.as_ref().zip(b.lo.as_ref()).and_then(|(a, b)| a.checked_add(b));
                fact.hi = a.hi.as_ref().zip(b.hi.as_ref()).and_then(|(a, b)| a.checked_add(b));
            }
        }
        Op::IntMul => {
            let (scaled, Some(c)) = (match (a.literal, b.literal) {
                (_, Some(Const::Int(c))) => (a, Some(c)),
                (Some(Const::Int(c)), _) => (b, Some(c)),
                _ => (a, None),
            }) else {
                return;
            };
            let Some((lo, hi)) = scaled.bounds() else { return };
            let ends = [lo.saturating_mul(i128::from(c)), hi.saturating_mul(i128::from(c))];
            if fit(ends[0].min(ends[1]), ends[0].max(ends[1])).is_none() {
                return;
            }
            let scale = |e: &Option<SizeExpr>| e.as_ref().and_then(|e| e.checked_scale(c));
            (fact.lo, fact.hi) = (scale(&scaled.lo), scale(&scaled.hi));
            if c < 0 {
                std::mem::swap(&mut fact.lo, &mut fact.hi);
            }
        }
        Op::IntMod => {
            fact.lo = Some(zero.clone());
            // Below a positive modulus; zero for a modulus that is zero.
            let (Some(lo), Some(hi)) = (&b.lo, &b.hi) else { return };
            if proven_le(&one, lo, known) {
                fact.hi = hi.checked_sub(&one);
            } else if proven_not_negative(lo, known) {
                fact.hi = Some(hi.clone());
            }
        }
        Op::IntDiv => {
            // The quotient by a literal that divides every term is exact; else only signs and sizes are kept.
            let (Some(lo), Some(hi)) = (&a.lo, &a.hi) else { return };
            let positive = b.lo.as_ref().is_some_and(|lo| proven_le(&one, lo, known));
            if positive && proven_not_negative(lo, known) {
                fact.lo = Some(zero);
                fact.hi = Some(hi.clone());
            }
        }
        Op::IntMin => {
            fact.lo = common(a.lo.as_ref(), b.lo.as_ref(), known, false);
            fact.hi = either(a.hi.as_ref(), b.hi.as_ref(), known, false);
        }
        Op::IntMax => {
            fact.lo = either(a.lo.as_ref(), b.lo.as_ref(), known, true);
            fact.hi = common(a.hi.as_ref(), b.hi.as_ref(), known, true);
        }
        _ => {}
    }
}

/// The better of two bounds that both hold.
fn either(a: Option<&SizeExpr>, b: Option<&SizeExpr>, known: &[SizeExpr], larger: bool) -> Option<SizeExpr> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let b_is_better = if larger { proven_le(a, b, known) } else { proven_le(b, a, known) };
            Some(if b_is_better { b.clone() } else { a.clone() })
        }
        (a, b) => a.or(b).cloned(),
    }
}

/// The truth value of a comparison, where the ranges decide it.
pub fn compare(op: Op, args: &[&Fact], known: &[SizeExpr]) -> Option<bool> {
    let &[a, b] = args else { return None };
    // `a <= b - gap` for all values.
    let below = |a: &Fact, b: &Fact, gap: i64| {
        let (Some(hi), Some(lo)) = (&a.hi, &b.lo) else { return false };
        hi.checked_add(&SizeExpr::constant(gap)).is_some_and(|hi| proven_le(&hi, lo, known))
    };
    let disjoint = || below(a, b, 1) || below(b, a, 1);
    let decide = |yes: bool, no: bool| (yes || no).then_some(yes);
    match op {
        Op::IntLt => decide(below(a, b, 1), below(b, a, 0)),
        Op::IntLe => decide(below(a, b, 0), below(b, a, 1)),
        Op::IntEq => decide(a.exact().is_some() && a.exact() == b.exact(), disjoint()),
        Op::IntNe => decide(disjoint(), a.exact().is_some() && a.exact() == b.exact()),
        _ => None,
    }
}
