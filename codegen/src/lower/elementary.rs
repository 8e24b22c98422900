//! `exp`, `log`, `sin` and `cos` in line, for one number or for two side by side: emits what [`spadina_ir::math::elementary`] computes.
//!
//! Angles too large for the short reduction go through a cold branch to libm, lane by lane; every lane keeps the bits that it has alone.

use crate::error::{CodegenError, Result};
use crate::lower::context::Lower;
use crate::lower::lanes::little;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value as Clif, types};
use cranelift_frontend::FunctionBuilder;
use spadina_ir::math::elementary::{self, Arithmetic, LARGEST_ANGLE};
use spadina_ir::op::Op;

/// Emits instructions on numbers of one type: `F64`, or `F64X2`.
struct Emitter<'e, 'b> {
    b: &'e mut FunctionBuilder<'b>,
    ty: Type,
}

impl Emitter<'_, '_> {
    fn is_vector(&self) -> bool {
        self.ty == types::F64X2
    }

    fn splat(&mut self, scalar: Clif) -> Clif {
        if self.is_vector() { self.b.ins().splat(self.ty, scalar) } else { scalar }
    }

    fn integer(&mut self, n: u64) -> Clif {
        let scalar = self.b.ins().iconst(types::I64, n.cast_signed());
        if self.is_vector() { self.b.ins().splat(types::I64X2, scalar) } else { scalar }
    }

    fn on_bits(&mut self, a: Clif, change: impl FnOnce(&mut Self, Clif) -> Clif) -> Clif {
        let ty = if self.is_vector() { types::I64X2 } else { types::I64 };
        let bits = self.b.ins().bitcast(ty, little(), a);
        let changed = change(self, bits);
        self.b.ins().bitcast(self.ty, little(), changed)
    }
}

impl Arithmetic for Emitter<'_, '_> {
    type Float = Clif;
    type Truth = Clif;

    fn literal(&mut self, x: f64) -> Clif {
        let scalar = self.b.ins().f64const(x);
        self.splat(scalar)
    }
    fn add(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fadd(a, b)
    }
    fn sub(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fsub(a, b)
    }
    fn mul(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fmul(a, b)
    }
    fn div(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fdiv(a, b)
    }
    fn less(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fcmp(FloatCC::LessThan, a, b)
    }
    fn equal(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().fcmp(FloatCC::Equal, a, b)
    }
    fn select(&mut self, condition: Clif, a: Clif, b: Clif) -> Clif {
        if self.is_vector() {
            let mask = self.b.ins().bitcast(self.ty, little(), condition);
            self.b.ins().bitselect(mask, a, b)
        } else {
            self.b.ins().select(condition, a, b)
        }
    }
    fn bits_add(&mut self, a: Clif, n: u64) -> Clif {
        self.on_bits(a, |emitter, bits| {
            let n = emitter.integer(n);
            emitter.b.ins().iadd(bits, n)
        })
    }
    fn bits_and(&mut self, a: Clif, mask: u64) -> Clif {
        let mask = self.literal(f64::from_bits(mask));
        self.b.ins().band(a, mask)
    }
    fn bits_or(&mut self, a: Clif, mask: u64) -> Clif {
        let mask = self.literal(f64::from_bits(mask));
        self.b.ins().bor(a, mask)
    }
    fn bits_xor(&mut self, a: Clif, b: Clif) -> Clif {
        self.b.ins().bxor(a, b)
    }
    fn bits_up(&mut self, a: Clif, by: u8) -> Clif {
        self.on_bits(a, |emitter, bits| emitter.b.ins().ishl_imm_u(bits, i64::from(by)))
    }
    fn bits_down(&mut self, a: Clif, by: u8) -> Clif {
        self.on_bits(a, |emitter, bits| emitter.b.ins().ushr_imm_u(bits, i64::from(by)))
    }
}

impl Lower<'_, '_> {
    /// An elementary function of a double, or of two side by side.
    pub(crate) fn elementary(&mut self, op: Op, x: Clif) -> Result<Clif> {
        let ty = self.clif_ty(x);
        let mut emitter = Emitter { b: &mut self.b, ty };
        match op {
            Op::Exp => Ok(elementary::exp(&mut emitter, x)),
            Op::Log => Ok(elementary::log(&mut emitter, x)),
            Op::Sin => {
                let short = elementary::sin(&mut emitter, x);
                self.or_call(op, x, short)
            }
            Op::Cos => {
                let short = elementary::cos(&mut emitter, x);
                self.or_call(op, x, short)
            }
            _ => Err(CodegenError::malformed(format!("`{}` is not made in line", op.name()))),
        }
    }

    /// `short` where the angle is small enough, in each lane; else what the function of libm gives.
    fn or_call(&mut self, op: Op, x: Clif, short: Clif) -> Result<Clif> {
        let ty = self.clif_ty(x);
        let bound = Emitter { b: &mut self.b, ty }.literal(LARGEST_ANGLE);
        let magnitude = self.b.ins().fabs(x);
        let small = self.b.ins().fcmp(FloatCC::LessThanOrEqual, magnitude, bound);
        let all = if ty == types::F64X2 { self.b.ins().vall_true(small) } else { small };
        let (cold, join) = (self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(join, ty);
        self.b.ins().brif(all, join, &[short.into()], cold, &[]);
        self.b.seal_block(cold);
        self.b.switch_to_block(cold);
        self.b.set_cold_block(cold);
        let called = if ty == types::F64X2 {
            let mut called = x;
            for lane in 0..2 {
                let angle = self.b.ins().extractlane(x, lane);
                let value = self.call(op, &[angle])?;
                called = self.b.ins().insertlane(called, value, lane);
            }
            let mask = self.as_doubles(small);
            self.b.ins().bitselect(mask, short, called)
        } else {
            self.call(op, &[x])?
        };
        self.b.ins().jump(join, &[called.into()]);
        self.b.seal_block(join);
        self.b.switch_to_block(join);
        Ok(result)
    }
}
