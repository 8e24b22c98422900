//! Folding: what an operation on known or related operands is, without an instruction.
//!
//! Literals are computed; neutral elements, signs and literal factors disappear or move outward, so that equal things look equal to the
//! hash table.

use super::{Builder, Key};
use crate::func::{Const, InstData, Value};
use crate::math;
use crate::op::Op;

/// Whether two literals are multiplied into this one.
fn is_joined(product: Const) -> bool {
    match product {
        Const::F64(x) => math::is_moderate(x),
        Const::F32(x) => math::is_moderate(f64::from(x)),
        Const::Int(_) | Const::Bool(_) => false,
    }
}

/// [`math::vanishes`] for literals.
fn vanishes(operands: &[Const], result: Const) -> bool {
    match (operands, result) {
        (&[Const::F64(a), Const::F64(b)], Const::F64(c)) => math::vanishes([a, b], c),
        (&[Const::F32(a), Const::F32(b)], Const::F32(c)) => {
            math::vanishes([a, b].map(f64::from), f64::from(c))
        }
        _ => false,
    }
}

impl Builder {
    /// True where `value` is the literal float `x`.
    pub fn is_float(&self, value: Value, x: f64) -> bool {
        match self.func.as_const(value) {
            Some(Const::F64(y)) => y == x,
            Some(Const::F32(y)) => f64::from(y) == x,
            Some(Const::Int(_) | Const::Bool(_)) | None => false,
        }
    }

    fn negated(&self, value: Value) -> Option<Value> {
        match self.func.def(value) {
            Some(InstData::Op(Op::Neg, args)) => Some(args[0]),
            _ => None,
        }
    }

    fn scaled(&self, value: Value) -> Option<(Const, Value)> {
        match self.func.def(value) {
            Some(InstData::Op(Op::Mul, args)) => {
                match (self.func.as_const(args[0]), self.func.as_const(args[1])) {
                    (Some(c), _) => Some((c, args[1])),
                    (_, Some(c)) => Some((c, args[0])),
                    (None, None) => None,
                }
            }
            _ => None,
        }
    }

    fn int_offset(&self, value: Value) -> (Value, i64) {
        if let Some(InstData::Op(Op::IntAdd, args)) = self.func.def(value) {
            if let Some(n) = self.func.as_int(args[1]) {
                return (args[0], n);
            }
            if let Some(n) = self.func.as_int(args[0]) {
                return (args[1], n);
            }
        }
        (value, 0)
    }

    pub(super) fn fold(&mut self, op: Op, args: &[Value]) -> Option<Value> {
        let literals: Option<Vec<Const>> = args.iter().map(|&a| self.func.as_const(a)).collect();
        let known = literals.and_then(|literals| Some((math::eval(op, &literals)?, literals)));
        if let Some((value, literals)) = known
            && !(matches!(op, Op::Mul | Op::Div) && vanishes(&literals, value))
        {
            return Some(self.constant(value));
        }
        match *args {
            [a] => self.fold_unary(op, a),
            [a, b] if self.func.ty(a).is_float() => self.fold_float(op, a, b),
            [a, b] => self.fold_discrete(op, a, b),
            [v, a, p] if op == Op::Attach => {
                (self.func.as_const(a).is_some() || self.is_float(p, 0.0)).then_some(v)
            }
            [c, a, b] if op == Op::Select => match self.func.as_const(c) {
                _ if a == b => Some(a),
                Some(Const::Bool(true)) => Some(a),
                Some(Const::Bool(false)) => Some(b),
                _ => match self.func.def(c) {
                    Some(InstData::Op(Op::Not, inner)) => {
                        let inner = inner[0];
                        Some(self.select(inner, b, a))
                    }
                    _ => None,
                },
            },
            _ => None,
        }
    }

    fn fold_unary(&mut self, op: Op, a: Value) -> Option<Value> {
        match (op, self.negated(a)) {
            (Op::Neg, Some(inner)) => Some(inner),
            (Op::Abs, Some(inner)) => Some(self.op(Op::Abs, &[inner])),
            (Op::Cos | Op::Cosh, Some(inner)) => Some(self.op(op, &[inner])),
            (Op::Sin | Op::Tan | Op::Sinh | Op::Tanh | Op::Atan | Op::Asin, Some(inner)) => {
                let positive = self.op(op, &[inner]);
                Some(self.neg(positive))
            }
            _ => match (op, self.func.def(a)) {
                (Op::Not, Some(InstData::Op(Op::Not, inner))) => Some(inner[0]),
                (Op::Abs, Some(InstData::Op(Op::Abs, _))) => Some(a),
                _ => None,
            },
        }
    }

    fn fold_float(&mut self, op: Op, a: Value, b: Value) -> Option<Value> {
        let (zero_a, zero_b) = (self.is_float(a, 0.0), self.is_float(b, 0.0));
        match op {
            Op::Add => {
                if zero_a {
                    return Some(b);
                }
                if zero_b {
                    return Some(a);
                }
                match (self.negated(a), self.negated(b)) {
                    (Some(na), Some(nb)) => {
                        let sum = self.add(na, nb);
                        Some(self.neg(sum))
                    }
                    (Some(na), None) => Some(self.sub(b, na)),
                    (None, Some(nb)) => Some(self.sub(a, nb)),
                    (None, None) => None,
                }
            }
            Op::Sub => {
                if zero_b {
                    return Some(a);
                }
                if zero_a {
                    return Some(self.neg(b));
                }
                if a == b {
                    return Some(self.float(self.func.ty(a), 0.0));
                }
                match (self.negated(a), self.negated(b)) {
                    (Some(na), Some(nb)) => return Some(self.sub(nb, na)),
                    (Some(na), None) => {
                        let sum = self.add(na, b);
                        return Some(self.neg(sum));
                    }
                    (None, Some(nb)) => return Some(self.add(a, nb)),
                    (None, None) => {}
                }
                let mirrored = self.find(&Key::op(Op::Sub, &[b, a]))?;
                Some(self.neg(mirrored))
            }
            Op::Mul => self.fold_mul(a, b),
            Op::Div => {
                if zero_a {
                    return Some(a);
                }
                if self.is_float(b, 1.0) {
                    return Some(a);
                }
                if self.is_float(b, -1.0) {
                    return Some(self.neg(a));
                }
                match (self.negated(a), self.negated(b)) {
                    (Some(na), Some(nb)) => Some(self.div(na, nb)),
                    (Some(n), None) => {
                        let quotient = self.div(n, b);
                        Some(self.neg(quotient))
                    }
                    (None, Some(n)) => {
                        let quotient = self.div(a, n);
                        Some(self.neg(quotient))
                    }
                    (None, None) => None,
                }
            }
            Op::Min | Op::Max if a == b => Some(a),
            _ => None,
        }
    }

    fn fold_mul(&mut self, a: Value, b: Value) -> Option<Value> {
        for (x, y) in [(a, b), (b, a)] {
            if self.is_float(x, 0.0) {
                return Some(x);
            }
            if self.is_float(x, 1.0) {
                return Some(y);
            }
            if self.is_float(x, -1.0) {
                return Some(self.neg(y));
            }
        }
        match (self.negated(a), self.negated(b)) {
            (Some(na), Some(nb)) => return Some(self.mul(na, nb)),
            (Some(n), None) => {
                let product = self.mul(n, b);
                return Some(self.neg(product));
            }
            (None, Some(n)) => {
                let product = self.mul(a, n);
                return Some(self.neg(product));
            }
            (None, None) => {}
        }
        for (x, y) in [(a, b), (b, a)] {
            if let Some(c1) = self.func.as_const(x) {
                // Negative literals become negations, so that signed nodes are shared.
                if let Const::F64(f) = c1
                    && f < 0.0
                {
                    let positive = self.f64(-f);
                    let product = self.mul(positive, y);
                    return Some(self.neg(product));
                }
                if let Some((c2, rest)) = self.scaled(y) {
                    let c = math::eval(Op::Mul, &[c1, c2]).filter(|c| is_joined(*c))?;
                    let c = self.constant(c);
                    return Some(self.mul(c, rest));
                }
            }
        }
        None
    }

    fn fold_discrete(&mut self, op: Op, a: Value, b: Value) -> Option<Value> {
        let (int_a, int_b) = (self.func.as_int(a), self.func.as_int(b));
        match op {
            Op::IntAdd => match (int_a, int_b) {
                (Some(0), _) => Some(b),
                (_, Some(0)) => Some(a),
                (None, Some(n)) => {
                    let (base, offset) = self.int_offset(a);
                    if offset == 0 {
                        return None;
                    }
                    let sum = self.int(offset.wrapping_add(n));
                    Some(self.op(Op::IntAdd, &[base, sum]))
                }
                (Some(_), None) => self.fold_discrete(op, b, a),
                _ => None,
            },
            Op::IntSub => match (int_a, int_b) {
                (_, Some(n)) => {
                    let n = self.int(n.wrapping_neg());
                    Some(self.op(Op::IntAdd, &[a, n]))
                }
                _ if a == b => Some(self.int(0)),
                _ => None,
            },
            Op::IntMul => match (int_a, int_b) {
                (Some(1), _) => Some(b),
                (Some(0), _) | (_, Some(1)) => Some(a),
                (_, Some(0)) => Some(b),
                _ => None,
            },
            Op::IntDiv if int_b == Some(1) => Some(a),
            Op::IntMod if int_b == Some(1) => Some(self.int(0)),
            Op::IntMin | Op::IntMax if a == b => Some(a),
            Op::IntEq | Op::IntLe if a == b => Some(self.bool(true)),
            Op::IntNe | Op::IntLt if a == b => Some(self.bool(false)),
            Op::Indicator if a == b => Some(self.f64(1.0)),
            Op::And | Op::Or => {
                let neutral = op == Op::And;
                for (x, y) in [(a, b), (b, a)] {
                    if let Some(Const::Bool(c)) = self.func.as_const(x) {
                        return Some(if c == neutral { y } else { x });
                    }
                }
                (a == b).then_some(a)
            }
            _ => None,
        }
    }
}
