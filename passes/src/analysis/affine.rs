//! Integer values as affine expressions of induction variables and sizes, and subscripts that wrap around.

use spadina_ir::builder::Builder;
use spadina_ir::func::{Const, Func, InstData, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;

/// `base + sum coefficient * induction variable`.
///
/// Terms are sorted by value and never have coefficient zero, so equality is structural.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Affine {
    /// The part without induction variables.
    pub base: SizeExpr,
    /// The induction variables.
    pub terms: Vec<(Value, i64)>,
}

/// A subscript: affine, or the remainder of an affine expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subscript {
    /// As it stands.
    Plain(Affine),
    /// `inner % modulus`.
    Wrapped {
        /// What is reduced.
        inner: Affine,
        /// The modulus.
        modulus: SizeExpr,
    },
}

impl Affine {
    /// An expression without induction variables.
    pub fn size(base: SizeExpr) -> Affine {
        Affine { base, terms: Vec::new() }
    }

    /// The affine form of an `Int`, if it has one. Induction variables (of any loop, also one still under construction) are
    /// its variables; loads and recurrences have none.
    pub fn of(func: &Func, value: Value) -> Option<Affine> {
        let ValueDef::Result(inst, _) = func.values[value].def else {
            let ValueDef::Param(_, n) = func.values[value].def else { return None };
            return (n == 0).then(|| Affine { base: SizeExpr::default(), terms: vec![(value, 1)] });
        };
        match &func.insts[inst] {
            InstData::Const(Const::Int(n)) => Some(Affine::size(SizeExpr::constant(*n))),
            InstData::Size(expr) => Some(Affine::size(expr.clone())),
            InstData::Op(Op::IntAdd, args) => Affine::of(func, args[0])?.plus(&Affine::of(func, args[1])?),
            InstData::Op(Op::IntSub, args) => Affine::of(func, args[0])?.minus(&Affine::of(func, args[1])?),
            InstData::Op(Op::IntMul, args) => {
                let (a, b) = (Affine::of(func, args[0])?, Affine::of(func, args[1])?);
                match (a.as_constant(), b.as_constant()) {
                    (Some(n), _) => b.times(n),
                    (_, Some(n)) => a.times(n),
                    (None, None) => None,
                }
            }
            _ => None,
        }
    }

    /// The literal, if nothing else occurs.
    pub fn as_constant(&self) -> Option<i64> {
        if self.terms.is_empty() { self.base.as_constant() } else { None }
    }

    /// The expression of sizes, if no induction variable occurs.
    pub fn as_size(&self) -> Option<&SizeExpr> {
        self.terms.is_empty().then_some(&self.base)
    }

    /// The only induction variable and its coefficient.
    pub fn single(&self) -> Option<(Value, i64)> {
        match self.terms[..] {
            [term] => Some(term),
            _ => None,
        }
    }

    /// `self + other`, or `None` on overflow.
    pub fn plus(&self, other: &Affine) -> Option<Affine> {
        let mut terms = self.terms.clone();
        for &(value, c) in &other.terms {
            match terms.binary_search_by_key(&value, |t| t.0) {
                Ok(at) => terms[at].1 = terms[at].1.checked_add(c)?,
                Err(at) => terms.insert(at, (value, c)),
            }
        }
        terms.retain(|t| t.1 != 0);
        Some(Affine { base: self.base.checked_add(&other.base)?, terms })
    }

    /// `factor * self`, or `None` on overflow.
    pub fn times(&self, factor: i64) -> Option<Affine> {
        if factor == 0 {
            return Some(Affine::default());
        }
        let terms = self.terms.iter().map(|&(v, c)| Some((v, c.checked_mul(factor)?)));
        Some(Affine { base: self.base.checked_scale(factor)?, terms: terms.collect::<Option<_>>()? })
    }

    /// `self - other`, or `None` on overflow.
    pub fn minus(&self, other: &Affine) -> Option<Affine> {
        self.plus(&other.times(-1)?)
    }

    /// `self + n`, or `None` on overflow.
    pub fn offset(&self, n: i64) -> Option<Affine> {
        self.plus(&Affine::size(SizeExpr::constant(n)))
    }

    /// The value of `base + variable` or `base - variable`, in the one form that equal expressions share; `None` for others.
    pub fn build(&self, b: &mut Builder) -> Option<Value> {
        match self.single() {
            None => self.terms.is_empty().then(|| b.size(&self.base)),
            Some((iv, 1)) => {
                let base = b.size(&self.base);
                Some(b.op(Op::IntAdd, &[iv, base]))
            }
            Some((iv, -1)) => {
                let base = b.size(&self.base);
                Some(b.op(Op::IntSub, &[base, iv]))
            }
            Some(_) => None,
        }
    }
}

/// The form of a subscript, if it is affine or an affine expression modulo a size.
pub fn subscript(func: &Func, value: Value) -> Option<Subscript> {
    if let Some(InstData::Op(Op::IntMod, args)) = func.def(value) {
        let modulus = Affine::of(func, args[1])?.as_size()?.clone();
        return Some(Subscript::Wrapped { inner: Affine::of(func, args[0])?, modulus });
    }
    Affine::of(func, value).map(Subscript::Plain)
}
