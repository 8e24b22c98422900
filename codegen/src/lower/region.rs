//! Structured control to blocks: guarded do-while loops, branches that join with parameters.

use crate::error::{CodegenError, Result};
use crate::lower::context::{Lower, Mode};
use crate::lower::lanes::Lanes;
use crate::program::trip_count;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value as Clif, types};
use spadina_ir::func::{Carry, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

pub(crate) fn block_args(values: &[Clif]) -> Vec<BlockArg> {
    values.iter().map(|&v| v.into()).collect()
}

impl Lower<'_, '_> {
    /// The instructions of a region, in order.
    pub(crate) fn region(&mut self, region: Region) -> Result<()> {
        let func = self.func;
        let proven = self.checks.as_ref().map(|checks| checks.proven.len());
        for &inst in &func.regions[region].insts {
            self.inst(inst)?;
        }
        if let (Some(checks), Some(depth)) = (&mut self.checks, proven) {
            checks.proven.truncate(depth);
        }
        Ok(())
    }

    /// One instruction.
    pub(crate) fn inst(&mut self, inst: Inst) -> Result<()> {
        let func = self.func;
        if self.live.as_ref().is_some_and(|live| !live.contains(&inst)) {
            return Ok(());
        }
        let data = &func.insts[inst];
        let reread = func.result(inst).is_some_and(|result| self.rereads.contains(result));
        if reread || (self.pure && data.is_effect()) {
            return Ok(());
        }
        if self.wide && (data.is_effect() || func.results[inst].iter().any(|&v| self.varies(v))) {
            return self.wide_inst(inst);
        }
        self.scalar_inst(inst)
    }

    /// One instruction for the current lane.
    pub(crate) fn scalar_inst(&mut self, inst: Inst) -> Result<()> {
        let func = self.func;
        let data = &func.insts[inst];
        let result = func.results[inst].first().copied();
        let made = match data {
            InstData::Const(constant) => Some(self.literal(*constant)),
            InstData::Size(expr) => Some(self.size_expr(expr)),
            InstData::Op(op, args) => Some(self.op(*op, args)?),
            InstData::Load(buffer, index) => {
                if self.checks.is_some() {
                    self.check(inst, *buffer, index)?;
                }
                Some(self.load(inst, *buffer, index)?)
            }
            InstData::Position(buffer, index) => {
                let linear = self.position_of(*buffer, index)?;
                if let Some(value) = result {
                    self.set_position(value, vec![linear]);
                }
                Some(self.linear_value(linear))
            }
            InstData::Accum(buffer, index, value) => {
                if matches!(self.mode, Mode::Eval(_)) {
                    if self.program.analyzed.stored.contains(&inst) {
                        self.store_element(*buffer, index, *value)?;
                    } else if self.program.analyzed.filled.contains(&inst) {
                        self.fill_element(*buffer, index, *value)?;
                    } else {
                        self.accum(*buffer, index, *value)?;
                    }
                }
                None
            }
            InstData::Reset(buffer, length) => {
                if matches!(self.mode, Mode::Eval(_)) {
                    self.reset(*buffer, *length)?;
                }
                None
            }
            InstData::Check(buffer, index) => {
                if matches!(self.mode, Mode::Index) {
                    self.check(inst, *buffer, index)?;
                }
                None
            }
            InstData::Emit(emit) => {
                self.emission(emit)?;
                None
            }
            InstData::Loop { lo, hi, step, carries, body } => {
                match self.row_loop(inst) {
                    Some(rows) => self.rows_by_pairs(inst, (*lo, *hi), carries, *body, rows)?,
                    None => self.counted_loop(inst, (*lo, *hi, *step), carries, *body)?,
                }
                None
            }
            InstData::If { cond, then, els } => {
                self.branch(inst, *cond, *then, *els)?;
                None
            }
        };
        if let (Some(clif), Some(value)) = (made, result) {
            self.set(value, clif);
        }
        Ok(())
    }

    pub(crate) fn counted_loop(
        &mut self,
        inst: Inst,
        (lo, hi, step): (Value, Value, i64),
        carries: &[Carry],
        body: Region,
    ) -> Result<()> {
        let func = self.func;
        let results = func.results[inst].clone();
        let mut inits = Vec::new();
        for (carry, &result) in carries.iter().zip(&results) {
            inits.push(self.initial(*carry, func.ty(result))?);
        }
        let trips = match (func.as_int(lo), func.as_int(hi)) {
            (Some(lo), Some(hi)) => Some(trip_count(lo, hi, step)),
            _ => None,
        };
        if trips == Some(0) {
            results.iter().zip(inits).for_each(|(&value, lanes)| self.set_lanes(value, lanes));
            return Ok(());
        }
        let (first, bound) = (self.get(lo)?, self.get(hi)?);
        let (header, exit) = (self.b.create_block(), self.b.create_block());
        for &result in &results {
            let exit_value = self.params(exit, result);
            self.set_lanes(result, exit_value);
        }
        let mut start = Vec::new();
        for (init, &result) in inits.iter().zip(&results) {
            start.extend(self.args(init, result));
        }
        if trips.is_none() {
            // The guard has a block of its own, so that what is hoisted out of the loop stands behind it.
            let preheader = self.b.create_block();
            let some = self.b.ins().icmp(IntCC::SignedLessThan, first, bound);
            self.b.ins().brif(some, preheader, &[], exit, &block_args(&start));
            self.b.seal_block(preheader);
            self.b.switch_to_block(preheader);
            self.conditional += 1;
        }
        let iv = self.b.append_block_param(header, types::I64);
        let carried: Vec<Lanes> = results.iter().map(|&result| self.params(header, result)).collect();
        let mut entry = vec![first];
        entry.extend(&start);
        self.b.ins().jump(header, &block_args(&entry));
        self.b.switch_to_block(header);
        let params = &func.regions[body].params;
        let (&iv_param, state_params) = params
            .split_first()
            .ok_or_else(|| CodegenError::malformed("a loop without induction variable"))?;
        self.set(iv_param, iv);
        let states = carries.iter().zip(&carried).filter(|(c, _)| matches!(c, Carry::State(_)));
        for (&param, (_, lanes)) in state_params.iter().zip(states) {
            self.set_lanes(param, lanes.clone());
        }
        let known = self.note_range(iv_param, lo, hi);
        self.region(body)?;
        self.forget_range(known);
        let mut next = vec![self.offset(iv, step)];
        let yields = &func.regions[body].yields;
        for (((carry, before), &yielded), &result) in carries.iter().zip(&carried).zip(yields).zip(&results) {
            let after = self.combine(*carry, before, yielded)?;
            next.extend(self.args(&after, result));
        }
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next[0], bound);
        self.b.ins().brif(more, header, &block_args(&next), exit, &block_args(&next[1..]));
        self.b.seal_block(header);
        self.b.seal_block(exit);
        self.b.switch_to_block(exit);
        if trips.is_none() {
            self.conditional -= 1;
        }
        Ok(())
    }

    /// What a carry starts from.
    fn initial(&mut self, carry: Carry, ty: Ty) -> Result<Lanes> {
        let (float, int) = match carry {
            Carry::State(init) => return self.lanes_of(init),
            Carry::Sum => (0.0, 0),
            Carry::Prod => (1.0, 1),
            Carry::Min => (f64::INFINITY, i64::MAX),
            Carry::Max => (f64::NEG_INFINITY, i64::MIN),
        };
        Ok(Lanes::Uniform(match ty {
            Ty::F64 => self.b.ins().f64const(float),
            Ty::F32 => self.b.ins().f32const(float as f32),
            Ty::Int => self.int(int),
            Ty::Bool => return Err(CodegenError::malformed("a reduction of truth values")),
        }))
    }

    /// What a carry becomes at the end of an iteration.
    fn combine(&mut self, carry: Carry, before: &Lanes, yielded: Value) -> Result<Lanes> {
        let after = self.lanes_of(yielded)?;
        let op = match carry {
            Carry::State(_) => return Ok(after),
            Carry::Sum => Op::Add,
            Carry::Prod => Op::Mul,
            Carry::Min => Op::Min,
            Carry::Max => Op::Max,
        };
        let uniform = matches!((before, &after), (Lanes::Uniform(_), Lanes::Uniform(_)));
        if uniform || !self.wide {
            // In a loop for one lane, what comes from outside still has a value for each.
            let before = self.lane_value(before);
            return Ok(Lanes::Uniform(self.combine_one(op, before, yielded)?));
        }
        let ty = self.func.ty(yielded);
        if self.vector_type(ty).is_none() {
            return self.each(ty, |lower| {
                let before = lower.lane_value(before);
                lower.combine_one(op, before, yielded)
            });
        }
        let (op, after) = match (op, self.func.def(yielded)) {
            (Op::Add, Some(InstData::Op(Op::Neg, args))) => (Op::Sub, self.lanes_of(args[0])?),
            _ => (op, after),
        };
        let (before, after) = (self.packed(before), self.packed(&after));
        let pairs = before.into_iter().zip(after);
        Ok(Lanes::Packed(pairs.map(|(a, b)| self.vector_op(op, &[a, b])).collect()))
    }

    fn combine_one(&mut self, op: Op, before: Clif, yielded: Value) -> Result<Clif> {
        let float = self.func.ty(yielded).is_float();
        let ty = self.clif_ty(before);
        let value = self.get(yielded)?;
        Ok(match (op, float) {
            (Op::Mul, true) => self.b.ins().fmul(before, value),
            (Op::Mul, false) => self.b.ins().imul(before, value),
            (Op::Min, true) => self.extremum(FloatCC::LessThan, before, value),
            (Op::Min, false) => self.b.ins().smin(before, value),
            (Op::Max, true) => self.extremum(FloatCC::GreaterThan, before, value),
            (Op::Max, false) => self.b.ins().smax(before, value),
            (_, true) => self.add_signed(before, yielded, ty)?,
            (_, false) => self.b.ins().iadd(before, value),
        })
    }

    pub(crate) fn branch(&mut self, inst: Inst, cond: Value, then: Region, els: Region) -> Result<()> {
        let func = self.func;
        let cond = self.get(cond)?;
        let (first, second, join) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        for &result in &func.results[inst] {
            let joined = self.params(join, result);
            self.set_lanes(result, joined);
        }
        self.b.ins().brif(cond, first, &[], second, &[]);
        self.b.seal_block(first);
        self.b.seal_block(second);
        self.conditional += 1;
        for (block, region) in [(first, then), (second, els)] {
            self.b.switch_to_block(block);
            self.region(region)?;
            let mut yields = Vec::new();
            for (&value, &result) in func.regions[region].yields.iter().zip(&func.results[inst]) {
                let lanes = self.lanes_of(value)?;
                yields.extend(self.args(&lanes, result));
            }
            self.b.ins().jump(join, &block_args(&yields));
        }
        self.conditional -= 1;
        self.b.seal_block(join);
        self.b.switch_to_block(join);
        Ok(())
    }
}
