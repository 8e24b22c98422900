//! Scalar operations: instructions where they are exact, inline code or calls elsewhere.
//!
//! Every result equals [`spadina_ir::math::eval`] to the bit (but for the payload of a NaN). Nothing is contracted: a fused
//! multiply-add would round differently. [`Lower::float_add`] and [`Lower::float_sub`] are the only makers of sums, so that a
//! contracting variant has one place to start from.

use crate::error::{CodegenError, Result};
use crate::lower::context::Lower;
use crate::symbols;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Type, Value as Clif, types};
use spadina_ir::func::{Const, InstData, Value, Values};
use spadina_ir::op::Op;

impl Lower<'_, '_> {
    /// A literal.
    pub(crate) fn literal(&mut self, constant: Const) -> Clif {
        match constant {
            Const::F64(x) => self.b.ins().f64const(x),
            Const::F32(x) => self.b.ins().f32const(x),
            Const::Int(n) => self.int(n),
            Const::Bool(b) => self.b.ins().iconst(types::I8, i64::from(b)),
        }
    }

    fn float(&mut self, ty: Type, x: f64) -> Clif {
        if ty == types::F32 { self.b.ins().f32const(x as f32) } else { self.b.ins().f64const(x) }
    }

    /// `a + b`
    pub(crate) fn float_add(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fadd(a, b)
    }

    /// `a - b`
    pub(crate) fn float_sub(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fsub(a, b)
    }

    /// `sum + value` in type `ty`; a negated value is subtracted, which saves the negation and gives the same bits.
    pub(crate) fn add_signed(&mut self, sum: Clif, value: Value, ty: Type) -> Result<Clif> {
        let (value, negated) = match self.func.def(value) {
            Some(InstData::Op(Op::Neg, args)) => (args[0], true),
            _ => (value, false),
        };
        let term = self.get(value)?;
        let term = self.convert(term, ty);
        Ok(if negated { self.float_sub(sum, term) } else { self.float_add(sum, term) })
    }

    /// Sums of negated values as differences: that saves the negation and gives the same bits.
    pub(crate) fn signed_sum(&self, op: Op, operands: &[Value]) -> (Op, Values) {
        let positive = |v: Value| match self.func.def(v) {
            Some(InstData::Op(Op::Neg, args)) => Some(args[0]),
            _ => None,
        };
        match (op, operands) {
            (Op::Add, &[a, b]) => match (positive(a), positive(b)) {
                (_, Some(b)) => (Op::Sub, Values::from_slice(&[a, b])),
                (Some(a), None) => (Op::Sub, Values::from_slice(&[b, a])),
                (None, None) => (op, Values::from_slice(operands)),
            },
            _ => (op, Values::from_slice(operands)),
        }
    }

    /// The float `value` in type `ty`.
    pub(crate) fn convert(&mut self, value: Clif, ty: Type) -> Clif {
        match (self.b.func.dfg.value_type(value), ty) {
            (types::F32, types::F64) => self.b.ins().fpromote(types::F64, value),
            (types::F64, types::F32) => self.b.ins().fdemote(types::F32, value),
            _ => value,
        }
    }

    /// An operation on lowered arguments.
    pub(crate) fn op(&mut self, op: Op, operands: &[Value]) -> Result<Clif> {
        let (op, operands) = &self.signed_sum(op, operands);
        let (op, args) = (*op, self.get_all(operands)?);
        if args.len() != op.arity() {
            return Err(CodegenError::malformed(format!("`{}` takes {} arguments", op.name(), op.arity())));
        }
        let a = args[0];
        let b = args.get(1).copied().unwrap_or(a);
        let ty = self.b.func.dfg.value_type(a);
        Ok(match op {
            Op::Add => self.float_add(a, b),
            Op::Sub => self.float_sub(a, b),
            Op::Mul => self.b.ins().fmul(a, b),
            Op::Div => self.b.ins().fdiv(a, b),
            Op::Neg => self.b.ins().fneg(a),
            Op::Abs => self.b.ins().fabs(a),
            Op::Sqrt => self.b.ins().sqrt(a),
            Op::Floor => self.b.ins().floor(a),
            Op::Ceil => self.b.ins().ceil(a),
            Op::Trunc => self.b.ins().trunc(a),
            Op::Copysign => {
                let zero =
                    if ty == types::F32 { self.b.ins().f32const(0.0) } else { self.b.ins().f64const(0.0) };
                let b = self.b.ins().fadd(b, zero);
                self.b.ins().fcopysign(a, b)
            }
            Op::StopGradient | Op::Hidden | Op::Attach | Op::ProjectClamp | Op::ProjectAbs => a,
            Op::Round => self.round(a, ty),
            Op::Sign => self.sign(a, ty),
            Op::Min => self.extremum(FloatCC::LessThan, a, b),
            Op::Max => self.extremum(FloatCC::GreaterThan, a, b),
            Op::Rem => {
                let (x, y) = (self.convert(a, types::F64), self.convert(b, types::F64));
                let quotient = self.b.ins().fdiv(x, y);
                let floor = self.b.ins().floor(quotient);
                let product = self.b.ins().fmul(y, floor);
                let rest = self.float_sub(x, product);
                self.convert(rest, ty)
            }
            Op::Softplus => {
                let wide = self.convert(a, types::F64);
                let value = self.softplus(wide)?;
                self.convert(value, ty)
            }
            Op::Exp | Op::Log => {
                let wide = self.convert(a, types::F64);
                let value = self.elementary(op, wide)?;
                self.convert(value, ty)
            }
            Op::Sin | Op::Cos => {
                let wide = self.convert(a, types::F64);
                let value = self.turn(op, operands[0], wide)?;
                self.convert(value, ty)
            }
            Op::Cbrt
            | Op::Expm1
            | Op::Log1p
            | Op::Log2
            | Op::Log10
            | Op::Tan
            | Op::Asin
            | Op::Acos
            | Op::Atan
            | Op::Sinh
            | Op::Cosh
            | Op::Tanh
            | Op::Asinh
            | Op::Acosh
            | Op::Atanh
            | Op::Erf
            | Op::Atan2
            | Op::Pow
            | Op::Hypot => {
                let wide: Vec<Clif> = args.iter().map(|&x| self.convert(x, types::F64)).collect();
                let value = self.call(op, &wide)?;
                self.convert(value, ty)
            }
            Op::FloatEq => self.b.ins().fcmp(FloatCC::Equal, a, b),
            Op::FloatNe => self.b.ins().fcmp(FloatCC::NotEqual, a, b),
            Op::FloatLt => self.b.ins().fcmp(FloatCC::LessThan, a, b),
            Op::FloatLe => self.b.ins().fcmp(FloatCC::LessThanOrEqual, a, b),
            Op::IntAdd => self.b.ins().iadd(a, b),
            Op::IntSub => self.b.ins().isub(a, b),
            Op::IntMul => self.b.ins().imul(a, b),
            Op::IntDiv => self.floor_div(a, b, self.func.as_int(operands[1])),
            Op::IntMod => self.floor_mod(a, b, self.func.as_int(operands[1])),
            Op::IntMin => self.b.ins().smin(a, b),
            Op::IntMax => self.b.ins().smax(a, b),
            Op::IntEq => self.b.ins().icmp(IntCC::Equal, a, b),
            Op::IntNe => self.b.ins().icmp(IntCC::NotEqual, a, b),
            Op::IntLt => self.b.ins().icmp(IntCC::SignedLessThan, a, b),
            Op::IntLe => self.b.ins().icmp(IntCC::SignedLessThanOrEqual, a, b),
            Op::And => self.b.ins().band(a, b),
            Op::Or => self.b.ins().bor(a, b),
            Op::Not => self.b.ins().bxor_imm_u(a, 1),
            Op::Select => self.b.ins().select(a, b, args[2]),
            Op::IntToFloat => self.b.ins().fcvt_from_sint(types::F64, a),
            Op::FloatToInt => self.b.ins().fcvt_to_sint_sat(types::I64, a),
            Op::BoolToFloat => self.truth(a),
            Op::Indicator => {
                let equal = self.b.ins().icmp(IntCC::Equal, a, b);
                self.truth(equal)
            }
            Op::Narrow => self.b.ins().fdemote(types::F32, a),
            Op::Widen => self.b.ins().fpromote(types::F64, a),
        })
    }

    /// Calls the function behind an operation.
    pub(crate) fn call(&mut self, op: Op, args: &[Clif]) -> Result<Clif> {
        let found = symbols::symbol(op).and_then(|symbol| self.program.math.get(symbol.name).copied());
        let callee =
            found.ok_or_else(|| CodegenError::malformed(format!("`{}` is no function", op.name())))?;
        let call = self.b.ins().call(callee, args);
        Ok(self.b.inst_results(call)[0])
    }

    fn truth(&mut self, a: Clif) -> Clif {
        let wide = self.b.ins().uextend(types::I64, a);
        self.b.ins().fcvt_from_sint(types::F64, wide)
    }

    /// Nearest, ties away from zero: the distance to the truncated value is exact.
    fn round(&mut self, a: Clif, ty: Type) -> Clif {
        let whole = self.b.ins().trunc(a);
        let rest = self.float_sub(a, whole);
        let distance = self.b.ins().fabs(rest);
        let (half, one) = (self.float(ty, 0.5), self.float(ty, 1.0));
        let far = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, distance, half);
        let unit = self.b.ins().fcopysign(one, a);
        let away = self.float_add(whole, unit);
        self.b.ins().select(far, away, whole)
    }

    fn sign(&mut self, a: Clif, ty: Type) -> Clif {
        let (zero, one, minus) = (self.float(ty, 0.0), self.float(ty, 1.0), self.float(ty, -1.0));
        let negative = self.b.ins().fcmp(FloatCC::LessThan, a, zero);
        let below = self.b.ins().select(negative, minus, a);
        let positive = self.b.ins().fcmp(FloatCC::GreaterThan, a, zero);
        self.b.ins().select(positive, one, below)
    }

    /// The second where it compares so to the first or is NaN.
    pub(crate) fn extremum(&mut self, better: FloatCC, a: Clif, b: Clif) -> Clif {
        let wins = self.b.ins().fcmp(better, b, a);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, b, b);
        let second = self.b.ins().bor(wins, nan);
        self.b.ins().select(second, b, a)
    }

    /// `max(a, 0) + log1p(exp(-|a|))`
    fn softplus(&mut self, a: Clif) -> Result<Clif> {
        let zero = self.float(types::F64, 0.0);
        let positive = self.b.ins().fcmp(FloatCC::GreaterThan, a, zero);
        let ramp = self.b.ins().select(positive, a, zero);
        let magnitude = self.b.ins().fabs(a);
        let exponent = self.b.ins().fneg(magnitude);
        let small = self.elementary(Op::Exp, exponent)?;
        let tail = self.call(Op::Log1p, &[small])?;
        Ok(self.float_add(ramp, tail))
    }

    // ---- integer division -------------------------------------------------------------------------------------

    /// Quotient rounded toward minus infinity, 0 for a zero divisor.
    fn floor_div(&mut self, a: Clif, b: Clif, literal: Option<i64>) -> Clif {
        match literal {
            Some(0) => return self.int(0),
            Some(1) => return a,
            Some(-1) => return self.b.ins().ineg(a),
            Some(n) if n > 0 && n.count_ones() == 1 => {
                return self.b.ins().sshr_imm_u(a, i64::from(n.trailing_zeros()));
            }
            _ => {}
        }
        let (safe, zero) = self.safe_divisor(a, b, literal);
        let quotient = self.b.ins().sdiv(a, safe);
        let product = self.b.ins().imul(quotient, safe);
        let rest = self.b.ins().isub(a, product);
        let inexact = self.b.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        let mixed = self.b.ins().bxor(a, safe);
        let negative = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, mixed, 0);
        let down = self.b.ins().band(inexact, negative);
        let down = self.b.ins().uextend(types::I64, down);
        let floor = self.b.ins().isub(quotient, down);
        match zero {
            Some(zero) => {
                let nothing = self.int(0);
                self.b.ins().select(zero, nothing, floor)
            }
            None => floor,
        }
    }

    /// Remainder in `0..|b|`, 0 for a zero modulus. Values less than one period away take no division: that is what wrapped
    /// stencils need.
    fn floor_mod(&mut self, a: Clif, b: Clif, literal: Option<i64>) -> Clif {
        match literal {
            Some(-1..=1) => return self.int(0),
            Some(n) if n > 0 && n.count_ones() == 1 => return self.b.ins().band_imm_s(a, n - 1),
            Some(_) => return self.slow_mod(a, b, literal),
            None => {}
        }
        let (slow, done) = (self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I64);
        let below = self.b.ins().isub(a, b);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, a, b);
        let above = self.b.ins().icmp(IntCC::UnsignedLessThan, below, b);
        // The difference may have wrapped around.
        let exact = self.b.ins().icmp(IntCC::SignedLessThan, below, a);
        let above = self.b.ins().band(above, exact);
        let near = self.b.ins().bor(inside, above);
        let positive = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, b, 0);
        let fast = self.b.ins().band(near, positive);
        let rest = self.b.ins().select(inside, a, below);
        self.b.ins().brif(fast, done, &[rest.into()], slow, &[]);
        self.b.seal_block(slow);
        self.b.switch_to_block(slow);
        self.b.set_cold_block(slow);
        let rest = self.slow_mod(a, b, None);
        self.b.ins().jump(done, &[rest.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        result
    }

    fn slow_mod(&mut self, a: Clif, b: Clif, literal: Option<i64>) -> Clif {
        let (safe, zero) = self.safe_divisor(a, b, literal);
        let rest = self.b.ins().srem(a, safe);
        let negative = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, rest, 0);
        let magnitude = self.b.ins().iabs(safe);
        let lifted = self.b.ins().iadd(rest, magnitude);
        let rest = self.b.ins().select(negative, lifted, rest);
        match zero {
            Some(zero) => {
                let nothing = self.int(0);
                self.b.ins().select(zero, nothing, rest)
            }
            None => rest,
        }
    }

    /// A divisor that never traps: 1 in place of 0, and of -1 under the smallest integer (whose quotient by 1 wraps to the
    /// same bits). Also tells where the divisor was 0, unless it is a literal.
    fn safe_divisor(&mut self, a: Clif, b: Clif, literal: Option<i64>) -> (Clif, Option<Clif>) {
        if literal.is_some() {
            return (b, None);
        }
        let zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let smallest = self.int(i64::MIN);
        let lowest = self.b.ins().icmp(IntCC::Equal, a, smallest);
        let minus = self.b.ins().icmp_imm_s(IntCC::Equal, b, -1);
        let wraps = self.b.ins().band(lowest, minus);
        let replaced = self.b.ins().bor(zero, wraps);
        let one = self.int(1);
        (self.b.ins().select(replaced, one, b), Some(zero))
    }
}
