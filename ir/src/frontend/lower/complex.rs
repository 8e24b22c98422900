//! Arithmetic of complex numbers, written out in their real and imaginary parts.

use super::Lowerer;
use super::value::{Num, Val};
use crate::diag::Diagnostic;
use crate::frontend::ast::BinaryOp;
use crate::func::Value;
use crate::op::Op;
use crate::span::Span;
use crate::types::Ty;

type Pair = (Value, Value);

impl Lowerer<'_> {
    /// `a op b` where at least one is complex.
    pub(super) fn complex_binary(&mut self, op: BinaryOp, a: &Val, b: &Val, span: Span) -> Val {
        let (Some(x), Some(y)) = (self.as_pair(a, span), self.as_pair(b, span)) else { return Val::Error };
        let (re, im) = match op {
            BinaryOp::Add => (self.b.add(x.0, y.0), self.b.add(x.1, y.1)),
            BinaryOp::Sub => (self.b.sub(x.0, y.0), self.b.sub(x.1, y.1)),
            BinaryOp::Mul => self.complex_mul(x, y),
            BinaryOp::Div => self.complex_div(x, y),
            _ => {
                let diagnostic = Diagnostic::error(
                    "type-mismatch",
                    format!("`{}` does not take complex numbers", op.text()),
                )
                .label(span, "complex")
                .help(
                    "complex numbers have `+ - * /`, integer powers, `conj`, `re`, `im`, `abs`, `arg`, `exp`",
                );
                return self.report(diagnostic);
            }
        };
        Val::Complex(re, im)
    }

    /// The value as real and imaginary part.
    pub(super) fn as_pair(&mut self, val: &Val, span: Span) -> Option<Pair> {
        match val {
            Val::Complex(re, im) => Some((*re, *im)),
            Val::Num(num) if num.ty == Ty::F64 || num.literal => {
                let re = self.with_ty(*num, Ty::F64)?.value;
                Some((re, self.b.f64(0.0)))
            }
            Val::Error => None,
            other => {
                let found = self.describe(other);
                let diagnostic = Diagnostic::error(
                    "type-mismatch",
                    format!("a complex number is wanted, found `{found}`"),
                )
                .label(span, format!("this is `{found}`"))
                .help("make one with `complex(re, im)`");
                self.report(diagnostic);
                None
            }
        }
    }

    fn complex_mul(&mut self, x: Pair, y: Pair) -> Pair {
        let (a, b) = (self.b.mul(x.0, y.0), self.b.mul(x.1, y.1));
        let (c, d) = (self.b.mul(x.0, y.1), self.b.mul(x.1, y.0));
        (self.b.sub(a, b), self.b.add(c, d))
    }

    fn complex_div(&mut self, x: Pair, y: Pair) -> Pair {
        let size = self.sqabs(y);
        let conj = (y.0, self.b.neg(y.1));
        let top = self.complex_mul(x, conj);
        (self.b.div(top.0, size), self.b.div(top.1, size))
    }

    /// `|z|^2`
    pub(super) fn sqabs(&mut self, z: Pair) -> Value {
        let (a, b) = (self.b.mul(z.0, z.0), self.b.mul(z.1, z.1));
        self.b.add(a, b)
    }

    /// `z^n` by repeated squaring.
    pub(super) fn complex_power(&mut self, z: &Val, n: i64, span: Span) -> Val {
        let Some(mut square) = self.as_pair(z, span) else { return Val::Error };
        let one = (self.b.f64(1.0), self.b.f64(0.0));
        let mut result = one;
        let mut rest = n.unsigned_abs();
        while rest > 0 {
            if rest & 1 == 1 {
                result = self.complex_mul(result, square);
            }
            rest >>= 1;
            if rest > 0 {
                square = self.complex_mul(square, square);
            }
        }
        let (re, im) = if n < 0 { self.complex_div(one, result) } else { result };
        Val::Complex(re, im)
    }

    /// Built-ins that take one complex number; `None` where the name is none of them.
    pub(super) fn complex_builtin(&mut self, name: &str, z: Pair) -> Option<Val> {
        let num = |value| Val::Num(Num { value, ty: Ty::F64, literal: false });
        Some(match name {
            "conj" => Val::Complex(z.0, self.b.neg(z.1)),
            "re" => num(z.0),
            "im" => num(z.1),
            "abs" => {
                let square = self.sqabs(z);
                num(self.b.op(Op::Sqrt, &[square]))
            }
            "arg" => num(self.b.op(Op::Atan2, &[z.1, z.0])),
            "sqnorm" => num(self.sqabs(z)),
            "exp" => {
                let size = self.b.op(Op::Exp, &[z.0]);
                let (cos, sin) = (self.b.op(Op::Cos, &[z.1]), self.b.op(Op::Sin, &[z.1]));
                Val::Complex(self.b.mul(size, cos), self.b.mul(size, sin))
            }
            "stop_gradient" => {
                Val::Complex(self.b.op(Op::StopGradient, &[z.0]), self.b.op(Op::StopGradient, &[z.1]))
            }
            _ => return None,
        })
    }
}
