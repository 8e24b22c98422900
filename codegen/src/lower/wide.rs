//! Instructions for all lanes at once: doubles in vectors, everything else lane by lane.
//!
//! # Why it keeps the meaning
//! Vector arithmetic rounds each lane as scalar arithmetic does. A lane whose branch is not taken may compute anything in it: results
//! are chosen bit by bit, and nothing with effects, reads or calls is computed for it. A loop or branch that cannot be shared runs for
//! one lane after the other.

use crate::error::Result;
use crate::lower::context::Lower;
use crate::lower::lanes::Lanes;
use crate::varying::is_cheap;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Value as Clif, types};
use spadina_ir::func::{Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

impl Lower<'_, '_> {
    /// One instruction whose results vary, or that has effects.
    pub(crate) fn wide_inst(&mut self, inst: Inst) -> Result<()> {
        let func = self.func;
        let result = func.results[inst].first().copied();
        match &func.insts[inst] {
            data if data.is_effect() && self.program.batch.is_some() => self.scalar_inst(inst)?,
            data if data.is_effect() => self.deferred.push(inst),
            InstData::Position(buffer, index) => {
                let mut positions = Vec::with_capacity(self.lanes);
                for lane in 0..self.lanes {
                    self.lane = lane;
                    positions.push(self.position_of(*buffer, index)?);
                }
                self.lane = 0;
                let values = positions.iter().map(|&linear| self.linear_value(linear)).collect();
                if let Some(result) = result {
                    self.set_position(result, positions);
                    self.set_lanes(result, Lanes::Each(values));
                }
            }
            InstData::Load(buffer, index) if self.is_stream(inst, *buffer) => {
                let lanes = self.load_stream(inst, *buffer, index)?;
                if let Some(result) = result {
                    self.set_lanes(result, lanes);
                }
            }
            InstData::Load(buffer, _) if self.neighbors.contains_key(&inst) => {
                if let Some((first, second)) = self.neighbors.remove(&inst)
                    && let InstData::Load(_, index) = &func.insts[first]
                    && let (Some(a), Some(b)) = (func.result(first), func.result(second))
                {
                    // The other of the two finds its value made.
                    let (low, high) = self.load_neighbors(first, *buffer, index)?;
                    self.set_lanes(a, low);
                    self.set_lanes(b, high);
                    let other = if first == inst { second } else { first };
                    self.neighbors.remove(&other);
                    self.loaded.insert(other);
                }
            }
            InstData::Load(..) if self.loaded.remove(&inst) => {}
            InstData::Load(buffer, index) if self.is_batched(*buffer) => {
                let lanes = self.load_lanes(*buffer, index)?;
                if let Some(result) = result {
                    self.set_lanes(result, lanes);
                }
            }
            InstData::Load(buffer, index) => {
                let lanes =
                    self.each(func.buffers[*buffer].elem, |lower| lower.load(inst, *buffer, index))?;
                if let Some(result) = result {
                    self.set_lanes(result, lanes);
                }
            }
            InstData::Op(op, operands) => {
                if let Some(result) = result {
                    let lanes = self.wide_op(*op, operands, func.ty(result))?;
                    self.set_lanes(result, lanes);
                }
            }
            InstData::Loop { lo, hi, step, carries, body } if !self.varies(*lo) && !self.varies(*hi) => {
                self.counted_loop(inst, (*lo, *hi, *step), carries, *body)?;
            }
            InstData::If { cond, then, els } if !self.varies(*cond) => {
                self.branch(inst, *cond, *then, *els)?;
            }
            InstData::If { cond, then, els } if is_cheap(func, *then, *els) => {
                self.choose(inst, *cond, *then, *els)?;
            }
            InstData::Loop { .. } | InstData::If { .. } => self.lane_by_lane(inst)?,
            _ => self.scalar_inst(inst)?,
        }
        Ok(())
    }

    /// A loop or branch for one lane after the other.
    fn lane_by_lane(&mut self, inst: Inst) -> Result<()> {
        let results = &self.func.results[inst];
        let mut found: Vec<Vec<Clif>> = vec![Vec::new(); results.len()];
        self.wide = false;
        for lane in 0..self.lanes {
            self.lane = lane;
            self.scalar_inst(inst)?;
            for (list, &result) in found.iter_mut().zip(results) {
                list.push(self.get(result)?);
            }
        }
        (self.lane, self.wide) = (0, true);
        for (scalars, &result) in found.into_iter().zip(results) {
            let lanes = self.gather(self.func.ty(result), scalars);
            self.set_lanes(result, lanes);
        }
        Ok(())
    }

    /// Both branches in all lanes, then a choice.
    fn choose(&mut self, inst: Inst, cond: Value, then: Region, els: Region) -> Result<()> {
        let func = self.func;
        self.region(then)?;
        self.region(els)?;
        let yields = func.regions[then].yields.iter().zip(&func.regions[els].yields);
        for (&result, (&a, &b)) in func.results[inst].iter().zip(yields) {
            let lanes = self.wide_op(Op::Select, &[cond, a, b], func.ty(result))?;
            self.set_lanes(result, lanes);
        }
        Ok(())
    }

    /// An operation of which an operand varies.
    pub(crate) fn wide_op(&mut self, op: Op, operands: &[Value], ty: Ty) -> Result<Lanes> {
        let (op, operands) = self.signed_sum(op, operands);
        let lanes: Vec<Lanes> = operands.iter().map(|&v| self.lanes_of(v)).collect::<Result<_>>()?;
        let vectors = |lanes: &Lanes| matches!(lanes, Lanes::Packed(_));
        let doubles = operands.iter().all(|&v| self.func.ty(v) == Ty::F64);
        let wanted = match op {
            Op::Select => ty == Ty::F64 && !matches!(lanes[0], Lanes::Uniform(_)),
            Op::And | Op::Or | Op::Not => lanes.iter().any(vectors),
            Op::BoolToFloat => vectors(&lanes[0]),
            _ => doubles && is_vector_op(op),
        };
        if !wanted {
            return self.each(ty, |lower| lower.op(op, &operands));
        }
        let args: Vec<Vec<Clif>> = lanes.iter().map(|lanes| self.packed(lanes)).collect();
        let count = args[0].len();
        let mut made = Vec::with_capacity(count);
        for n in 0..count {
            let args: Vec<Clif> = args.iter().map(|vectors| vectors[n]).collect();
            made.push(match op {
                Op::Exp | Op::Log | Op::Sin | Op::Cos => self.elementary(op, args[0])?,
                _ => self.vector_op(op, &args),
            });
        }
        Ok(Lanes::Packed(made))
    }

    /// An operation on vectors; truth values are masks.
    pub(crate) fn vector_op(&mut self, op: Op, args: &[Clif]) -> Clif {
        let a = args[0];
        let b = args.get(1).copied().unwrap_or(a);
        match op {
            Op::Sub => self.b.ins().fsub(a, b),
            Op::Mul => self.b.ins().fmul(a, b),
            Op::Div => self.b.ins().fdiv(a, b),
            Op::Neg => self.b.ins().fneg(a),
            Op::Abs => self.b.ins().fabs(a),
            Op::Sqrt => self.b.ins().sqrt(a),
            Op::StopGradient | Op::Hidden | Op::Attach | Op::ProjectClamp | Op::ProjectAbs => a,
            Op::Min => self.vector_extremum(FloatCC::LessThan, a, b),
            Op::Max => self.vector_extremum(FloatCC::GreaterThan, a, b),
            Op::FloatEq => self.b.ins().fcmp(FloatCC::Equal, a, b),
            Op::FloatNe => self.b.ins().fcmp(FloatCC::NotEqual, a, b),
            Op::FloatLt => self.b.ins().fcmp(FloatCC::LessThan, a, b),
            Op::FloatLe => self.b.ins().fcmp(FloatCC::LessThanOrEqual, a, b),
            Op::And => self.b.ins().band(a, b),
            Op::Or => self.b.ins().bor(a, b),
            Op::Not => self.b.ins().bnot(a),
            Op::Select => self.select_bits(a, b, args[2]),
            Op::BoolToFloat => {
                let one = self.b.ins().f64const(1.0);
                let ones = self.b.ins().splat(types::F64X2, one);
                let zero = self.b.ins().f64const(0.0);
                let zeros = self.b.ins().splat(types::F64X2, zero);
                self.select_bits(a, ones, zeros)
            }
            _ => self.b.ins().fadd(a, b),
        }
    }

    fn select_bits(&mut self, mask: Clif, a: Clif, b: Clif) -> Clif {
        let mask = self.as_doubles(mask);
        self.b.ins().bitselect(mask, a, b)
    }

    fn vector_extremum(&mut self, better: FloatCC, a: Clif, b: Clif) -> Clif {
        let wins = self.b.ins().fcmp(better, b, a);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, b, b);
        let second = self.b.ins().bor(wins, nan);
        self.select_bits(second, b, a)
    }
}

/// Operations that vectors of doubles do.
fn is_vector_op(op: Op) -> bool {
    matches!(
        op,
        Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Div
            | Op::Neg
            | Op::Abs
            | Op::Sqrt
            | Op::StopGradient
            | Op::Hidden
            | Op::Attach
            | Op::ProjectClamp
            | Op::ProjectAbs
            | Op::Min
            | Op::Max
            | Op::FloatEq
            | Op::FloatNe
            | Op::FloatLt
            | Op::FloatLe
            | Op::Exp
            | Op::Log
            | Op::Sin
            | Op::Cos
    )
}
