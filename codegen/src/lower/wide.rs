//! Instructions for all lanes at once: doubles in vectors, everything else lane by lane.
//!
//! # Why it keeps the meaning
//! Vector arithmetic rounds each lane as scalar arithmetic does. A lane whose branch is not taken may compute anything in it: results
//! are chosen bit by bit, and nothing with effects or reads is computed for it. A branch that no lane takes is jumped over, and where all
//! lanes take the first, its results are taken as they are. A loop or branch that cannot be shared runs for one lane after the other.

use crate::error::{CodegenError, Result};
use crate::lower::context::{Lower, clif_type};
use crate::lower::lanes::{Clifs, Lanes, little};
use crate::lower::region::block_args;
use crate::varying::{is_cheap, is_total};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value as Clif, types};
use smallvec::SmallVec;
use spadina_ir::func::{Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

impl Lower<'_, '_> {
    /// One instruction whose results vary, or that has effects.
    pub(crate) fn wide_inst(&mut self, inst: Inst) -> Result<()> {
        let func = self.func;
        let result = func.results[inst].first().copied();
        match &func.insts[inst] {
            data if data.is_effect() && self.program.analyzed.batched.is_some() => self.scalar_inst(inst)?,
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
            InstData::If { cond, then, els } if is_total(func, *then) && is_total(func, *els) => {
                self.masked(inst, *cond, *then, *els)?;
            }
            InstData::Loop { .. } | InstData::If { .. } => self.lane_by_lane(inst)?,
            _ => self.scalar_inst(inst)?,
        }
        Ok(())
    }

    /// A loop or branch for one lane after the other.
    fn lane_by_lane(&mut self, inst: Inst) -> Result<()> {
        let results = &self.func.results[inst];
        let mut found: Vec<Clifs> = vec![Clifs::new(); results.len()];
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

    /// Each branch in all lanes, if one of them takes it.
    fn masked(&mut self, inst: Inst, cond: Value, then: Region, els: Region) -> Result<()> {
        let func = self.func;
        let results = &func.results[inst];
        let cond = self.lanes_of(cond)?;
        let (mut some, mut missed) = (None, None);
        for mask in self.packed(&cond) {
            let full = i64::from((1_u32 << self.clif_ty(mask).lane_count()) - 1);
            let bits = self.b.ins().vhigh_bits(types::I32, mask);
            let missing = self.b.ins().bxor_imm_u(bits, full);
            some = Some(some.map_or(bits, |others| self.b.ins().bor(others, bits)));
            missed = Some(missed.map_or(missing, |others| self.b.ins().bor(others, missing)));
        }
        let (Some(some), Some(missing)) = (some, missed) else {
            return Err(CodegenError::malformed("a branch in no lane"));
        };
        let [first, second, join] = [(); 3].map(|()| self.b.create_block());
        let taken: Vec<Lanes> = results.iter().map(|&result| self.params(second, result)).collect();
        let joined: Vec<Lanes> = results.iter().map(|&result| self.params(join, result)).collect();
        let mut nothing = Vec::new();
        for &result in results {
            let zero = self.zero(func.ty(result));
            nothing.extend(self.args(&Lanes::Uniform(zero), result));
        }
        self.b.ins().brif(some, first, &[], second, &block_args(&nothing));
        self.conditional += 1;
        self.enter(first);
        self.region(then)?;
        let mut yields = Vec::new();
        for (&value, &result) in func.regions[then].yields.iter().zip(results) {
            let lanes = self.lanes_of(value)?;
            yields.extend(self.args(&lanes, result));
        }
        self.b.ins().brif(missing, second, &block_args(&yields), join, &block_args(&yields));
        self.enter(second);
        self.region(els)?;
        let mut chosen = Vec::new();
        for ((&value, &result), taken) in func.regions[els].yields.iter().zip(results).zip(&taken) {
            let other = self.lanes_of(value)?;
            let lanes = self.pick(&cond, taken, &other, func.ty(result));
            chosen.extend(self.args(&lanes, result));
        }
        self.b.ins().jump(join, &block_args(&chosen));
        self.conditional -= 1;
        self.enter(join);
        for (&result, lanes) in results.iter().zip(joined) {
            self.set_lanes(result, lanes);
        }
        Ok(())
    }

    /// Goes on in a block that all its predecessors have named.
    fn enter(&mut self, block: Block) {
        self.b.seal_block(block);
        self.b.switch_to_block(block);
    }

    fn zero(&mut self, ty: Ty) -> Clif {
        match ty {
            Ty::F64 => self.b.ins().f64const(0.0),
            Ty::F32 => self.b.ins().f32const(0.0),
            Ty::Int | Ty::Bool => self.b.ins().iconst(clif_type(ty), 0),
        }
    }

    /// In each lane the first where its condition holds, else the second.
    fn pick(&mut self, cond: &Lanes, a: &Lanes, b: &Lanes, ty: Ty) -> Lanes {
        if self.vector_type(ty).is_some() {
            let (mut masks, a, b) = (self.packed(cond), self.packed(a), self.packed(b));
            if ty == Ty::F32 {
                masks = self.narrowed_masks(&masks);
            }
            let lanes = masks.into_iter().zip(a).zip(b);
            return Lanes::Packed(lanes.map(|((mask, a), b)| self.select_bits(mask, a, b)).collect());
        }
        let (conds, a, b) = (self.scalars(cond), self.scalars(a), self.scalars(b));
        let lanes = conds.into_iter().zip(a).zip(b);
        Lanes::Each(lanes.map(|((cond, a), b)| self.b.ins().select(cond, a, b)).collect())
    }

    /// An operation of which an operand varies.
    pub(crate) fn wide_op(&mut self, op: Op, operands: &[Value], ty: Ty) -> Result<Lanes> {
        let (op, operands) = self.signed_sum(op, operands);
        let lanes: SmallVec<[Lanes; 3]> =
            operands.iter().map(|&v| self.lanes_of(v)).collect::<Result<_>>()?;
        let vectors = |lanes: &Lanes| matches!(lanes, Lanes::Packed(_));
        let all = |wanted: Ty| operands.iter().all(|&v| self.func.ty(v) == wanted);
        let (doubles, singles) = (all(Ty::F64), self.singles && all(Ty::F32));
        let wanted = match op {
            Op::Widen => singles,
            Op::Narrow => self.singles && doubles,
            Op::Select => self.vector_type(ty).is_some() && !matches!(lanes[0], Lanes::Uniform(_)),
            Op::And | Op::Or | Op::Not => lanes.iter().any(vectors),
            Op::BoolToFloat => vectors(&lanes[0]),
            _ => (doubles || singles) && is_vector_op(op),
        };
        if !wanted {
            return self.each(ty, |lower| lower.op(op, &operands));
        }
        let mut args: SmallVec<[Clifs; 3]> = lanes.iter().map(|lanes| self.packed(lanes)).collect();
        match op {
            Op::Select if ty == Ty::F32 => args[0] = self.narrowed_masks(&args[0]),
            Op::Widen => return Ok(Lanes::Packed(self.widened(&args[0]))),
            Op::Narrow => return Ok(Lanes::Packed(self.narrowed(&args[0]))),
            Op::Exp | Op::Log | Op::Sin | Op::Cos if singles => {
                let doubles = self.widened(&args[0]).into_iter();
                let made: Clifs =
                    doubles.map(|two| self.function(op, operands[0], two)).collect::<Result<_>>()?;
                return Ok(Lanes::Packed(self.narrowed(&made)));
            }
            _ => {}
        }
        let count = args[0].len();
        let mut made = Clifs::with_capacity(count);
        for n in 0..count {
            let args: SmallVec<[Clif; 3]> = args.iter().map(|vectors| vectors[n]).collect();
            made.push(match op {
                Op::Exp | Op::Log | Op::Sin | Op::Cos => self.function(op, operands[0], args[0])?,
                _ => self.vector_op(op, &args),
            });
        }
        Ok(Lanes::Packed(if singles && compares(op) { self.widened_masks(&made) } else { made }))
    }

    /// A function of `argument`, two doubles of which are in `x`.
    fn function(&mut self, op: Op, argument: Value, x: Clif) -> Result<Clif> {
        match op {
            Op::Exp | Op::Log => self.elementary(op, x),
            _ => self.turn(op, argument, x),
        }
    }

    /// An operation on vectors; truth values are masks. Cranelift computes operands where they are first used, from left to right: the
    /// deeper one stands first, so that the other need not be held in a register meanwhile.
    pub(crate) fn vector_op(&mut self, op: Op, args: &[Clif]) -> Clif {
        let depth = 1 + args.iter().map(|&a| self.depth[a]).max().unwrap_or(0);
        let made = match *args {
            [a, b] if matches!(op, Op::Add | Op::Mul) && self.depth[b] > self.depth[a] => {
                self.vector_instruction(op, &[b, a])
            }
            _ => self.vector_instruction(op, args),
        };
        self.depth[made] = depth;
        made
    }

    fn vector_instruction(&mut self, op: Op, args: &[Clif]) -> Clif {
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
        let ty = self.clif_ty(a);
        let mask = self.b.ins().bitcast(ty, little(), mask);
        self.b.ins().bitselect(mask, a, b)
    }

    fn vector_extremum(&mut self, better: FloatCC, a: Clif, b: Clif) -> Clif {
        let wins = self.b.ins().fcmp(better, b, a);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, b, b);
        let second = self.b.ins().bor(wins, nan);
        self.select_bits(second, b, a)
    }
}

/// Comparisons: truth values are masks as wide as doubles, whatever is compared.
fn compares(op: Op) -> bool {
    matches!(op, Op::FloatEq | Op::FloatNe | Op::FloatLt | Op::FloatLe)
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
