//! `exp`, `log`, `sin` and `cos` in line, for one number or for two side by side: emits what [`spadina_ir::math::elementary`] computes.
//!
//! Angles too large for the short reduction go through a cold branch to libm, lane by lane; every lane keeps the bits that it has alone.

use crate::aside;
use crate::error::{CodegenError, Result};
use crate::lower::context::Lower;
use crate::lower::lanes::{PER_VECTOR, little};
use crate::lower::region::block_args;
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{
    Block, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Type, Value as Clif, types,
};
use cranelift_frontend::FunctionBuilder;
use spadina_ir::func::{Func, InstData, Region, Value};
use spadina_ir::math::elementary::{self, Arithmetic, LARGEST_ANGLE};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::BTreeSet;

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

/// Sine or cosine of an angle, made together with the other of both.
#[derive(Clone, Copy)]
pub(crate) struct Turned {
    op: Op,
    angle: Clif,
    result: Clif,
    /// Where it was made. Elsewhere it is made again.
    block: Block,
}

/// The values of which a region has sine and cosine.
pub(crate) fn turning(func: &Func) -> EntitySet<Value> {
    let mut angles: BTreeSet<(Region, Op, Value)> = BTreeSet::new();
    let mut both = EntitySet::new();
    walk::visit_insts(func, func.body, &mut |region, inst| {
        let InstData::Op(op @ (Op::Sin | Op::Cos), args) = &func.insts[inst] else { return };
        let other = if *op == Op::Sin { Op::Cos } else { Op::Sin };
        angles.insert((region, *op, args[0]));
        if angles.contains(&(region, other, args[0])) {
            both.insert(args[0]);
        }
    });
    both
}

impl Lower<'_, '_> {
    /// The exponential function or the logarithm of a double, or of two side by side.
    pub(crate) fn elementary(&mut self, op: Op, x: Clif) -> Result<Clif> {
        let ty = self.clif_ty(x);
        let mut emitter = Emitter { b: &mut self.b, ty };
        match op {
            Op::Exp => Ok(elementary::exp(&mut emitter, x)),
            Op::Log => Ok(elementary::log(&mut emitter, x)),
            _ => Err(CodegenError::malformed(format!("`{}` is not made in line", op.name()))),
        }
    }

    /// Sine or cosine of `argument`, which is a double or two side by side in `x`. Where the region has both of one angle, both are made by
    /// the first of them: one branch asks how large it is.
    pub(crate) fn turn(&mut self, op: Op, argument: Value, x: Clif) -> Result<Clif> {
        if let Some(known) = self.turned
            && (known.op, known.angle) == (op, x)
            && self.b.current_block() == Some(known.block)
        {
            return Ok(known.result);
        }
        let ty = self.clif_ty(x);
        let one = self.func.ty(argument) == Ty::F64 && self.lanes <= PER_VECTOR;
        let both = one && self.turning.contains(argument);
        let other = if op == Op::Sin { Op::Cos } else { Op::Sin };
        let ops = if both { vec![op, other] } else { vec![op] };
        let mut emitter = Emitter { b: &mut self.b, ty };
        let mut short = |op: &Op| match op {
            Op::Sin => elementary::sin(&mut emitter, x),
            _ => elementary::cos(&mut emitter, x),
        };
        let shorts: Vec<Clif> = ops.iter().map(&mut short).collect();
        let (block, results) = self.or_call(&ops, x, &shorts)?;
        if let (&[_, other], &[_, result]) = (&ops[..], &results[..]) {
            self.turned = Some(Turned { op: other, angle: x, result, block });
        }
        Ok(results[0])
    }

    /// `shorts` where the angle is small enough, in each lane; else what the functions of libm give, called [aside](crate::aside): what is
    /// at hand need not be written to the stack for a call that hardly ever happens. Goes on in a new block.
    fn or_call(&mut self, ops: &[Op], x: Clif, shorts: &[Clif]) -> Result<(Block, Vec<Clif>)> {
        let ty = self.clif_ty(x);
        // A square is rounded, but no square of a larger number reaches that of the bound.
        let bound = Emitter { b: &mut self.b, ty }.literal(LARGEST_ANGLE * LARGEST_ANGLE);
        let square = self.b.ins().fmul(x, x);
        let small = self.b.ins().fcmp(FloatCC::LessThanOrEqual, square, bound);
        let all = if ty == types::F64X2 {
            let lanes = self.b.ins().vhigh_bits(types::I32, small);
            self.b.ins().icmp_imm_u(IntCC::Equal, lanes, 3)
        } else {
            small
        };
        let (cold, join) = (self.b.create_block(), self.b.create_block());
        let results = shorts.iter().map(|_| self.b.append_block_param(join, ty)).collect();
        self.b.ins().brif(all, join, &block_args(shorts), cold, &[]);
        self.b.seal_block(cold);
        self.b.switch_to_block(cold);
        self.b.set_cold_block(cold);
        let mut called = Vec::new();
        for (&op, &short) in ops.iter().zip(shorts) {
            called.push(self.call_aside(op, x, short)?);
        }
        self.b.ins().jump(join, &block_args(&called));
        self.b.seal_block(join);
        self.b.switch_to_block(join);
        Ok((join, results))
    }

    /// The function of libm where the angle is large, in each lane.
    fn call_aside(&mut self, op: Op, x: Clif, short: Clif) -> Result<Clif> {
        let number = (0..).zip(aside::FUNCTIONS).find(|&(_, function)| function == op);
        let (Some(caller), Some((number, _))) = (self.program.aside, number) else {
            return Err(CodegenError::malformed(format!("`{}` is never called aside", op.name())));
        };
        let ty = self.clif_ty(x);
        let slot = *self.aside.get_or_insert_with(|| {
            let room = StackSlotData::new(StackSlotKind::ExplicitSlot, aside::ROOM, 4);
            self.b.create_sized_stack_slot(room)
        });
        let place = self.b.ins().stack_addr(types::I64, slot, 0);
        self.b.ins().store(MemFlagsData::trusted(), x, place, 0);
        self.b.ins().store(MemFlagsData::trusted(), short, place, aside::RESULT);
        let number = self.int(number);
        for lane in 0..ty.lane_count() {
            let place = self.offset(place, 8 * i64::from(lane));
            self.b.ins().call(caller, &[place, number]);
        }
        Ok(self.b.ins().load(ty, MemFlagsData::trusted(), place, aside::RESULT))
    }
}
