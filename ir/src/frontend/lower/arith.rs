//! Arithmetic and comparisons between values: numbers, vectors, matrices.

use super::Lowerer;
use super::value::{Num, Small, Val};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Expr, ExprKind};
use crate::func::Const;
use crate::op::Op;
use crate::span::Span;
use crate::types::Ty;

/// Powers up to this are written as products.
const MAX_POWER: i64 = 64;

impl<'a> Lowerer<'a> {
    /// `a op b`; `whole` is the expression, for messages.
    pub(super) fn binary(&mut self, op: BinaryOp, a: Val, b: Val, whole: &'a Expr) -> Val {
        let (a, b) = (self.force(a), self.force(b));
        if matches!((&a, &b), (Val::Error, _) | (_, Val::Error)) {
            return Val::Error;
        }
        if op.is_comparison() {
            return self.compare(op, &a, &b, whole.span);
        }
        match (op, a, b) {
            (BinaryOp::Pow, base, Val::Num(exponent)) => self.power(base, exponent, whole.span),
            (BinaryOp::MatMul, a, b) => self.matmul(&a, &b, whole),
            (_, Val::Num(a), Val::Num(b)) => self.num_binary(op, a, b, whole.span),
            (_, a @ Val::Complex(..), b @ (Val::Complex(..) | Val::Num(_)))
            | (_, a @ Val::Num(_), b @ Val::Complex(..)) => self.complex_binary(op, &a, &b, whole.span),
            (BinaryOp::Add | BinaryOp::Sub, Val::Array(a), Val::Array(b)) if a.dims == b.dims => {
                let pairs = a.items.into_iter().zip(b.items);
                let items = pairs.map(|(a, b)| self.binary(op, a, b, whole)).collect();
                Val::Array(Small { dims: a.dims, items })
            }
            (BinaryOp::Mul | BinaryOp::Div, Val::Array(a), b @ (Val::Num(_) | Val::Complex(..))) => {
                let items = a.items.into_iter().map(|item| self.binary(op, item, b.clone(), whole)).collect();
                Val::Array(Small { dims: a.dims, items })
            }
            (BinaryOp::Mul, a @ (Val::Num(_) | Val::Complex(..)), Val::Array(b)) => {
                let items = b.items.into_iter().map(|item| self.binary(op, a.clone(), item, whole)).collect();
                Val::Array(Small { dims: b.dims, items })
            }
            (_, a, b) => self.no_operator(op, &a, &b, whole),
        }
    }

    fn no_operator(&mut self, op: BinaryOp, a: &Val, b: &Val, whole: &Expr) -> Val {
        let (left, right) = (self.describe(a), self.describe(b));
        if let (BinaryOp::Mul, Val::Array(x), Val::Array(y)) = (op, a, b) {
            let ExprKind::Binary(_, ea, eb) = &whole.kind else { return Val::Error };
            let gap = Span { start: ea.span.end, end: eb.span.start };
            let mut diagnostic = Diagnostic::error("matrix-product", "`*` does not multiply matrices; use `@`")
                .label(whole.span, format!("`{left}` times `{right}`"))
                .help("`a @ b` is the matrix product, `dot(a, b)` the scalar product, `hadamard(a, b)` the product entry by entry");
            if x.dims.len() + y.dims.len() > 2 {
                diagnostic = diagnostic.patch(gap, " @ ");
            }
            return self.report(diagnostic);
        }
        let mut diagnostic = Diagnostic::error(
            "type-mismatch",
            format!("`{}` does not take `{left}` and `{right}`", op.text()),
        )
        .label(whole.span, format!("`{left}` {} `{right}`", op.text()));
        diagnostic = match (a, b) {
            (Val::View(_), _) | (_, Val::View(_)) => {
                diagnostic.help("arrays of symbolic length are combined entry by entry in a loop: `map i in 0..N { a[i] + b[i] }`")
            }
            (Val::Tuple(_), _) | (_, Val::Tuple(_)) => diagnostic.help("take tuples apart first: `let (a, b) = ..;`"),
            (Val::Array(_), Val::Array(_)) => diagnostic.help("`+` and `-` take arrays of the same shape"),
            (Val::Array(_), _) | (_, Val::Array(_)) => {
                diagnostic.help("nothing is broadcast: write `vec3(s)` for a vector of equal components; `*` and `/` take a scalar on the right")
            }
            _ => diagnostic.help("operators take numbers, vectors and matrices"),
        };
        self.report(diagnostic)
    }

    /// The two numbers in one type; a literal takes the type of the other.
    pub(super) fn same_type(&mut self, a: Num, b: Num, span: Span) -> Option<(Num, Num)> {
        if a.ty == b.ty {
            return Some((a, b));
        }
        if let Some(a) = self.with_ty(a, b.ty) {
            return Some((a, b));
        }
        if let Some(b) = self.with_ty(b, a.ty) {
            return Some((a, b));
        }
        let mixed = |a: Ty, b: Ty| a == Ty::Int && b.is_float();
        let mut diagnostic = if mixed(a.ty, b.ty) || mixed(b.ty, a.ty) {
            Diagnostic::error("mixed-numbers", "integers and floats do not mix by themselves")
                .help("write `f64(n)` for the integer (a literal such as `2` needs nothing)")
        } else {
            Diagnostic::error("type-mismatch", format!("`{}` and `{}` do not go together", a.ty, b.ty))
                .help("both sides have the same type; `f64(..)` widens an `f32`, `f32(..)` narrows an `f64`")
        };
        diagnostic = diagnostic.label(span, format!("`{}` and `{}`", a.ty, b.ty));
        self.report(diagnostic);
        None
    }

    pub(super) fn num_binary(&mut self, op: BinaryOp, a: Num, b: Num, span: Span) -> Val {
        let Some((a, b)) = self.same_type(a, b, span) else { return Val::Error };
        let literal = a.literal && b.literal;
        let scalar = match (op, a.ty) {
            (BinaryOp::Add, Ty::F64 | Ty::F32) => Op::Add,
            (BinaryOp::Sub, Ty::F64 | Ty::F32) => Op::Sub,
            (BinaryOp::Mul, Ty::F64 | Ty::F32) => Op::Mul,
            (BinaryOp::Div, Ty::F64 | Ty::F32) => Op::Div,
            (BinaryOp::Rem, Ty::F64 | Ty::F32) => Op::Rem,
            (BinaryOp::Add, Ty::Int) => Op::IntAdd,
            (BinaryOp::Sub, Ty::Int) => Op::IntSub,
            (BinaryOp::Mul, Ty::Int) => Op::IntMul,
            (BinaryOp::Div, Ty::Int) => Op::IntDiv,
            (BinaryOp::Rem, Ty::Int) => Op::IntMod,
            _ => {
                let diagnostic =
                    Diagnostic::error("type-mismatch", format!("`{}` does not take `{}`", op.text(), a.ty))
                        .label(span, format!("`{}` {} `{}`", a.ty, op.text(), b.ty))
                        .help("conditions are joined by `&&` and `||`");
                return self.report(diagnostic);
            }
        };
        if a.ty != Ty::Int {
            return Val::Num(Num { value: self.b.op(scalar, &[a.value, b.value]), ty: a.ty, literal });
        }
        if matches!(scalar, Op::IntDiv | Op::IntMod) {
            self.check_division(scalar, a, b, span);
        }
        Val::Num(Num { value: self.int_op(scalar, a.value, b.value), ty: Ty::Int, literal })
    }

    fn check_division(&mut self, op: Op, a: Num, b: Num, span: Span) {
        let func = self.b.func();
        let (top, bottom) = (func.as_int(a.value), func.as_int(b.value));
        if bottom == Some(0) {
            let diagnostic = Diagnostic::error("division-by-zero", "this integer is divided by zero")
                .label(span, "the divisor is 0")
                .help("divide by something else");
            self.report(diagnostic);
        } else if let (Op::IntDiv, true, Some(top), Some(bottom)) = (op, a.literal && b.literal, top, bottom)
            && top % bottom != 0
        {
            let diagnostic = Diagnostic::warning(
                "integer-division",
                format!("`{top} / {bottom}` of integers is {}", top.div_euclid(bottom)),
            )
            .label(span, "rounded down")
            .help(format!("write `{top}.0 / {bottom}.0` for the quotient of floats"))
            .patch(span, format!("{top}.0 / {bottom}.0"));
            self.report(diagnostic);
        }
    }

    fn compare(&mut self, op: BinaryOp, a: &Val, b: &Val, span: Span) -> Val {
        let (Val::Num(x), Val::Num(y)) = (a, b) else {
            let (left, right) = (self.describe(a), self.describe(b));
            let diagnostic = Diagnostic::error(
                "type-mismatch",
                format!("`{}` does not take `{left}` and `{right}`", op.text()),
            )
            .label(span, format!("`{left}` {} `{right}`", op.text()))
            .help("numbers are compared, one at a time");
            return self.report(diagnostic);
        };
        let Some((x, y)) = self.same_type(*x, *y, span) else { return Val::Error };
        // `a > b` is `b < a`.
        let (x, y) = if matches!(op, BinaryOp::Gt | BinaryOp::Ge) { (y, x) } else { (x, y) };
        let (eq, ne, lt, le) = match x.ty {
            Ty::F64 | Ty::F32 => (Op::FloatEq, Op::FloatNe, Op::FloatLt, Op::FloatLe),
            Ty::Int => (Op::IntEq, Op::IntNe, Op::IntLt, Op::IntLe),
            Ty::Bool => return self.compare_bools(op, x, y, span),
        };
        let scalar = match op {
            BinaryOp::Eq => eq,
            BinaryOp::Ne => ne,
            BinaryOp::Lt | BinaryOp::Gt => lt,
            _ => le,
        };
        let value = self.b.op(scalar, &[x.value, y.value]);
        Val::Num(Num { value, ty: Ty::Bool, literal: false })
    }

    fn compare_bools(&mut self, op: BinaryOp, x: Num, y: Num, span: Span) -> Val {
        let opposite = self.b.op(Op::Not, &[y.value]);
        let value = match op {
            BinaryOp::Eq => self.b.select(x.value, y.value, opposite),
            BinaryOp::Ne => self.b.select(x.value, opposite, y.value),
            _ => {
                let diagnostic = Diagnostic::error("type-mismatch", "conditions have no order")
                    .label(span, "`bool` compared with `bool`")
                    .help("use `==`, `!=`, `&&`, `||`, `!`");
                return self.report(diagnostic);
            }
        };
        Val::Num(Num { value, ty: Ty::Bool, literal: false })
    }

    // ---- powers ---------------------------------------------------------------------------------------------------

    /// `base ^ exponent`: integer powers become products.
    pub(super) fn power(&mut self, base: Val, exponent: Num, span: Span) -> Val {
        let known = match self.b.func().as_const(exponent.value) {
            Some(Const::Int(n)) => Some(n),
            Some(Const::F64(x)) if x == x.trunc() && x.abs() <= MAX_POWER as f64 => Some(x as i64),
            _ => None,
        };
        match (base, known) {
            (Val::Num(base), Some(n)) if n.abs() <= MAX_POWER && base.ty != Ty::Bool => {
                self.integer_power(base, exponent.ty, n)
            }
            (z @ Val::Complex(..), Some(n)) if n.abs() <= MAX_POWER => self.complex_power(&z, n, span),
            (Val::Num(base), _) if base.ty.is_float() || (base.literal && exponent.ty.is_float()) => {
                let exponent = match exponent.ty {
                    Ty::Int if base.ty.is_float() => {
                        let value = self.int_to_float(exponent.value, base.ty);
                        Num { value, ty: base.ty, literal: false }
                    }
                    _ => exponent,
                };
                let Some((base, exponent)) = self.same_type(base, exponent, span) else { return Val::Error };
                let value = if self.b.is_float(exponent.value, 0.5) {
                    self.b.op(Op::Sqrt, &[base.value])
                } else {
                    self.b.op(Op::Pow, &[base.value, exponent.value])
                };
                Val::Num(Num { value, ty: base.ty, literal: false })
            }
            (Val::Error, _) => Val::Error,
            (other, _) => {
                let (left, right) = (self.describe(&other), exponent.ty);
                let diagnostic = Diagnostic::error("type-mismatch", format!("`^` does not take `{left}` and `{right}`"))
                    .label(span, format!("`{left}` ^ `{right}`"))
                    .help("powers are taken of numbers; the square of a norm is `sqnorm(v)`, of an integer only literal powers");
                self.report(diagnostic)
            }
        }
    }

    fn integer_power(&mut self, base: Num, exponent_ty: Ty, n: i64) -> Val {
        let base = if base.ty == Ty::Int && (exponent_ty.is_float() || n < 0) {
            if let Some(base) = self.with_ty(base, Ty::F64) {
                base
            } else {
                let value = self.int_to_float(base.value, Ty::F64);
                Num { value, ty: Ty::F64, literal: false }
            }
        } else {
            base
        };
        let (one, times) = if base.ty == Ty::Int {
            (self.b.int(1), Op::IntMul)
        } else {
            (self.b.float(base.ty, 1.0), Op::Mul)
        };
        let mut result = one;
        let mut square = base.value;
        let mut rest = n.unsigned_abs();
        while rest > 0 {
            if rest & 1 == 1 {
                result = if result == one { square } else { self.b.op(times, &[result, square]) };
            }
            rest >>= 1;
            if rest > 0 {
                square = self.b.op(times, &[square, square]);
            }
        }
        if n < 0 {
            result = self.b.div(one, result);
        }
        Val::Num(Num { value: result, ty: base.ty, literal: base.literal })
    }

    pub(super) fn int_to_float(&mut self, value: crate::func::Value, ty: Ty) -> crate::func::Value {
        let wide = self.b.op(Op::IntToFloat, &[value]);
        if ty == Ty::F32 { self.b.op(Op::Narrow, &[wide]) } else { wide }
    }
}
