//! Structured control to blocks: guarded do-while loops, branches that join with parameters.

use crate::error::{CodegenError, Result};
use crate::lower::context::{Lower, Mode, clif_type};
use crate::program::trip_count;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value as Clif, types};
use spadina_ir::func::{Carry, Inst, InstData, Region, Value};
use spadina_ir::types::Ty;

fn block_args(values: &[Clif]) -> Vec<BlockArg> {
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
        if self.pure && data.is_effect() {
            return Ok(());
        }
        let result = func.results[inst].first().copied();
        let made = match data {
            InstData::Const(constant) => Some(self.literal(*constant)),
            InstData::Size(expr) => Some(self.size_expr(expr)),
            InstData::Op(op, args) => Some(self.op(*op, args)?),
            InstData::Load(buffer, index) => {
                if self.checks.is_some() {
                    self.check(inst, *buffer, index)?;
                }
                Some(self.load(*buffer, index)?)
            }
            InstData::Position(buffer, index) => {
                let linear = self.position_of(*buffer, index)?;
                if let Some(value) = result {
                    self.set_position(value, linear);
                }
                Some(self.linear_value(linear))
            }
            InstData::Accum(buffer, index, value) => {
                if matches!(self.mode, Mode::Eval(_)) {
                    self.accum(*buffer, index, *value)?;
                }
                None
            }
            InstData::Reset(buffer) => {
                if matches!(self.mode, Mode::Eval(_)) {
                    self.reset(*buffer)?;
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
                self.counted_loop(inst, (*lo, *hi, *step), carries, *body)?;
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

    fn counted_loop(
        &mut self,
        inst: Inst,
        (lo, hi, step): (Value, Value, i64),
        carries: &[Carry],
        body: Region,
    ) -> Result<()> {
        let func = self.func;
        let results = func.results[inst].clone();
        let inits: Vec<Clif> = carries
            .iter()
            .zip(&results)
            .map(|(carry, &result)| self.initial(*carry, func.ty(result)))
            .collect::<Result<_>>()?;
        let trips = match (func.as_int(lo), func.as_int(hi)) {
            (Some(lo), Some(hi)) => Some(trip_count(lo, hi, step)),
            _ => None,
        };
        if trips == Some(0) {
            results.iter().zip(&inits).for_each(|(&value, &clif)| self.set(value, clif));
            return Ok(());
        }
        let (first, bound) = (self.get(lo)?, self.get(hi)?);
        let (header, exit) = (self.b.create_block(), self.b.create_block());
        for &result in &results {
            let exit_value = self.b.append_block_param(exit, clif_type(func.ty(result)));
            self.set(result, exit_value);
        }
        if trips.is_none() {
            // The guard has a block of its own, so that what is hoisted out of the loop stands behind it.
            let preheader = self.b.create_block();
            let some = self.b.ins().icmp(IntCC::SignedLessThan, first, bound);
            self.b.ins().brif(some, preheader, &[], exit, &block_args(&inits));
            self.b.seal_block(preheader);
            self.b.switch_to_block(preheader);
            self.conditional += 1;
        }
        let iv = self.b.append_block_param(header, types::I64);
        let carried: Vec<Clif> = results
            .iter()
            .map(|&result| self.b.append_block_param(header, clif_type(func.ty(result))))
            .collect();
        let mut entry = vec![first];
        entry.extend(&inits);
        self.b.ins().jump(header, &block_args(&entry));
        self.b.switch_to_block(header);
        let params = &func.regions[body].params;
        let (&iv_param, state_params) = params
            .split_first()
            .ok_or_else(|| CodegenError::malformed("a loop without induction variable"))?;
        self.set(iv_param, iv);
        let states = carries.iter().zip(&carried).filter(|(c, _)| matches!(c, Carry::State(_)));
        for (&param, (_, &clif)) in state_params.iter().zip(states) {
            self.set(param, clif);
        }
        let known = self.note_range(iv_param, lo, hi);
        self.region(body)?;
        self.forget_range(known);
        let mut next = vec![self.offset(iv, step)];
        for ((carry, &before), &yielded) in carries.iter().zip(&carried).zip(&func.regions[body].yields) {
            next.push(self.combine(*carry, before, yielded)?);
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
    fn initial(&mut self, carry: Carry, ty: Ty) -> Result<Clif> {
        let (float, int) = match carry {
            Carry::State(init) => return self.get(init),
            Carry::Sum => (0.0, 0),
            Carry::Prod => (1.0, 1),
            Carry::Min => (f64::INFINITY, i64::MAX),
            Carry::Max => (f64::NEG_INFINITY, i64::MIN),
        };
        match ty {
            Ty::F64 => Ok(self.b.ins().f64const(float)),
            Ty::F32 => Ok(self.b.ins().f32const(float as f32)),
            Ty::Int => Ok(self.int(int)),
            Ty::Bool => Err(CodegenError::malformed("a reduction of truth values")),
        }
    }

    /// What a carry becomes at the end of an iteration.
    fn combine(&mut self, carry: Carry, before: Clif, yielded: Value) -> Result<Clif> {
        let float = self.func.ty(yielded).is_float();
        let ty = self.b.func.dfg.value_type(before);
        let value = self.get(yielded)?;
        Ok(match (carry, float) {
            (Carry::State(_), _) => value,
            (Carry::Sum, true) => self.add_signed(before, yielded, ty)?,
            (Carry::Sum, false) => self.b.ins().iadd(before, value),
            (Carry::Prod, true) => self.b.ins().fmul(before, value),
            (Carry::Prod, false) => self.b.ins().imul(before, value),
            (Carry::Min, true) => self.extremum(FloatCC::LessThan, before, value),
            (Carry::Min, false) => self.b.ins().smin(before, value),
            (Carry::Max, true) => self.extremum(FloatCC::GreaterThan, before, value),
            (Carry::Max, false) => self.b.ins().smax(before, value),
        })
    }

    fn branch(&mut self, inst: Inst, cond: Value, then: Region, els: Region) -> Result<()> {
        let func = self.func;
        let cond = self.get(cond)?;
        let (first, second, join) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        for &result in &func.results[inst] {
            let joined = self.b.append_block_param(join, clif_type(func.ty(result)));
            self.set(result, joined);
        }
        self.b.ins().brif(cond, first, &[], second, &[]);
        self.b.seal_block(first);
        self.b.seal_block(second);
        self.conditional += 1;
        for (block, region) in [(first, then), (second, els)] {
            self.b.switch_to_block(block);
            self.region(region)?;
            let yields = self.get_all(&func.regions[region].yields)?;
            self.b.ins().jump(join, &block_args(&yields));
        }
        self.conditional -= 1;
        self.b.seal_block(join);
        self.b.switch_to_block(join);
        Ok(())
    }
}
