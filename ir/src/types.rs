//! Scalar types, symbolic sizes and the affine expressions over them.

use cranelift_entity::entity_impl;
use std::fmt;

/// The type of one SSA value. Vectors, matrices and complex numbers are scalarized before the IR.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Ty {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// 64-bit signed integer: indices, sizes, trip counts. Never differentiated.
    Int,
    /// Truth value.
    Bool,
}

impl Ty {
    /// True for the types that derivatives flow through.
    pub fn is_float(self) -> bool {
        matches!(self, Ty::F64 | Ty::F32)
    }

    /// Bytes of one element in memory (`Bool` is one byte).
    pub fn bytes(self) -> usize {
        match self {
            Ty::F64 | Ty::Int => 8,
            Ty::F32 => 4,
            Ty::Bool => 1,
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ty::F64 => "f64",
            Ty::F32 => "f32",
            Ty::Int => "int",
            Ty::Bool => "bool",
        })
    }
}

/// A symbolic size (`V`, `E`, `N`): bound from the arrays at prepare, never known to the compiler.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(u32);
entity_impl!(Size, "size");

/// An affine expression over sizes: `constant + sum coefficient * size`.
///
/// Terms are sorted by size and never have coefficient zero, so equality is structural.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SizeExpr {
    /// The constant part.
    pub constant: i64,
    /// The symbolic part, sorted, without zero coefficients.
    pub terms: Vec<(Size, i64)>,
}

impl SizeExpr {
    /// A literal size.
    pub fn constant(constant: i64) -> Self {
        SizeExpr { constant, terms: Vec::new() }
    }

    /// The expression that is just `size`.
    pub fn size(size: Size) -> Self {
        SizeExpr { constant: 0, terms: vec![(size, 1)] }
    }

    /// The literal, if no size occurs.
    pub fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// `self + other`, or `None` on overflow of a coefficient.
    pub fn checked_add(&self, other: &SizeExpr) -> Option<SizeExpr> {
        let mut sum = SizeExpr::constant(self.constant.checked_add(other.constant)?);
        let (mut a, mut b) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let term = match (a.peek(), b.peek()) {
                (None, None) => return Some(sum),
                (Some(&&x), None) => {
                    a.next();
                    x
                }
                (None, Some(&&y)) => {
                    b.next();
                    y
                }
                (Some(&&x), Some(&&y)) if x.0 < y.0 => {
                    a.next();
                    x
                }
                (Some(&&x), Some(&&y)) if y.0 < x.0 => {
                    b.next();
                    let _ = x;
                    y
                }
                (Some(&&x), Some(&&y)) => {
                    a.next();
                    b.next();
                    (x.0, x.1.checked_add(y.1)?)
                }
            };
            if term.1 != 0 {
                sum.terms.push(term);
            }
        }
    }

    /// `factor * self`, or `None` on overflow.
    pub fn checked_scale(&self, factor: i64) -> Option<SizeExpr> {
        if factor == 0 {
            return Some(SizeExpr::default());
        }
        let terms = self.terms.iter().map(|&(s, c)| Some((s, c.checked_mul(factor)?)));
        Some(SizeExpr { constant: self.constant.checked_mul(factor)?, terms: terms.collect::<Option<_>>()? })
    }

    /// `self - other`, or `None` on overflow.
    pub fn checked_sub(&self, other: &SizeExpr) -> Option<SizeExpr> {
        self.checked_add(&other.checked_scale(-1)?)
    }

    /// The value under a binding of the sizes; `None` on overflow.
    pub fn eval(&self, sizes: &dyn Fn(Size) -> i64) -> Option<i64> {
        self.terms.iter().try_fold(self.constant, |sum, &(s, c)| sum.checked_add(c.checked_mul(sizes(s))?))
    }
}
