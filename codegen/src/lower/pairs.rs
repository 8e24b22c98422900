//! Inner loops that emit, two iterations side by side: the lists of a program that runs vertex by vertex.
//!
//! # Problem
//! Where one outer iteration runs over a list whose length is data, outer iterations do not fit side by side, but those of the list do: each
//! emits its entries, and what they share are sums.
//!
//! # Method
//! 1. Pairs of iterations are lowered in lanes, as those of a phase are; a last one without a partner is repeated beside itself.
//! 2. What a repeated iteration would add or emit is jumped over.
//! 3. Sums of even and of odd iterations are kept apart, in memory, and added at the end ([`Carry::Sum`]).
//!
//! # Limits
//! Loops whose only effects are emissions, at the top of their body, and whose carries are sums of doubles.

use crate::error::{CodegenError, Result};
use crate::lower::context::{Eval, Lower, Mode};
use crate::lower::lanes::{Lanes, PER_VECTOR};
use crate::varying::{neighbors, varying_rows};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value as Clif, types};
use spadina_ir::func::{Carry, Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// Bytes of a sum: its even and its odd part.
const BYTES: i32 = 16;

/// A loop whose iterations are taken by pairs.
pub(crate) struct Pairs {
    /// The values that differ between iterations.
    varying: EntitySet<Value>,
}

impl Lower<'_, '_> {
    /// How a loop takes iterations by pairs, if it does.
    pub(crate) fn pairs(&self, inst: Inst) -> Option<Pairs> {
        let evaluates = matches!(self.mode, Mode::Eval(_)) && !self.pure && self.live.is_none();
        let alone =
            self.lanes == 1 && self.program.lanes == PER_VECTOR && self.program.analyzed.batched.is_none();
        if evaluates && alone { pairs(self.func, inst) } else { None }
    }

    /// Iterations `lo..hi`, by pairs.
    pub(crate) fn by_pairs(
        &mut self,
        inst: Inst,
        (lo, hi): (Value, Value),
        body: Region,
        pairs: Pairs,
    ) -> Result<()> {
        let func = self.func;
        let (results, yields) = (&func.results[inst], &func.regions[body].yields);
        let iv = func.regions[body].params.first().copied();
        let iv = iv.ok_or_else(|| CodegenError::malformed("a loop without induction variable"))?;
        let (first, bound) = (self.get(lo)?, self.get(hi)?);
        let [preheader, header, exit] = [(); 3].map(|()| self.b.create_block());
        let sums = self.start_pair_sums(results.len())?;
        let some = self.b.ins().icmp(IntCC::SignedLessThan, first, bound);
        self.b.ins().brif(some, preheader, &[], exit, &[]);
        self.b.seal_block(preheader);
        self.b.switch_to_block(preheader);
        self.conditional += 1;
        self.find_row_starts(body)?;
        let place = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[first.into()]);
        self.b.switch_to_block(header);
        let second = self.offset(place, 1);
        let active = self.b.ins().icmp(IntCC::SignedLessThan, second, bound);
        let second = self.b.ins().select(active, second, place);
        self.neighbors = neighbors(func, body, &pairs.varying);
        let outside = std::mem::replace(&mut self.varying, pairs.varying);
        (self.lanes, self.wide) = (PER_VECTOR, true);
        self.set_lanes(iv, Lanes::Each(vec![place, second]));
        self.region(body)?;
        self.add_zeros(body)?;
        self.wide = false;
        let effects = std::mem::take(&mut self.deferred);
        self.pair_of_a_list(&effects, active, (sums, yields))?;
        self.row_starts.clear();
        self.summed.clear();
        self.neighbors.clear();
        self.loaded = BTreeSet::new();
        self.varying = outside;
        (self.lanes, self.lane) = (1, 0);
        let next = self.offset(place, PER_VECTOR as i64);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, bound);
        self.b.ins().brif(more, header, &[next.into()], exit, &[]);
        self.b.seal_block(header);
        self.b.seal_block(exit);
        self.b.switch_to_block(exit);
        self.conditional -= 1;
        for ((at, &result), &yielded) in (0..).step_by(BYTES as usize).zip(results).zip(yields) {
            let [even, odd] =
                [at, at + 8].map(|at| self.b.ins().load(types::F64, MemFlagsData::trusted(), sums, at));
            let mut sum = self.float_add(even, odd);
            if self.negated(yielded).is_some() {
                let zero = self.b.ins().f64const(0.0);
                sum = self.float_sub(zero, sum);
            }
            self.set(result, sum);
        }
        Ok(())
    }

    /// Adds doubles that will be stored to zero, in both iterations at once.
    fn add_zeros(&mut self, body: Region) -> Result<()> {
        let func = self.func;
        if !matches!(self.mode, Mode::Eval(Eval { slots, .. }) if self.stores(slots)) {
            return Ok(());
        }
        let emissions = func.regions[body].insts.iter().filter_map(|&inst| match &func.insts[inst] {
            InstData::Emit(emit) => Some(&emit.values),
            _ => None,
        });
        for &value in emissions.flatten().filter(|&&value| func.ty(value) == Ty::F64) {
            if self.varies(value) && self.summed.insert(value) {
                let lanes = self.lanes_of(value)?;
                let zero = self.b.ins().f64const(0.0);
                let zeros = self.b.ins().splat(types::F64X2, zero);
                let both = self.packed(&lanes)[0];
                let both = self.b.ins().fadd(both, zeros);
                self.set_lanes(value, Lanes::Packed(vec![both]));
            }
        }
        Ok(())
    }

    /// The address of zeros on the stack, two for each sum. There are more sums than registers: kept in memory, they are added to where their
    /// terms are made.
    fn start_pair_sums(&mut self, count: usize) -> Result<Clif> {
        let bytes = u32::try_from(count).ok().and_then(|n| n.checked_mul(BYTES as u32));
        let bytes = bytes.ok_or_else(|| CodegenError::malformed("a list with too many sums"))?;
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4));
        let sums = self.b.ins().stack_addr(types::I64, slot, 0);
        let zero = self.b.ins().f64const(0.0);
        let zeros = self.b.ins().splat(types::F64X2, zero);
        for at in (0..bytes as i32).step_by(BYTES as usize) {
            self.b.ins().store(MemFlagsData::trusted(), zeros, sums, at);
        }
        Ok(sums)
    }

    /// Adds the terms of both iterations, or of the first. What is the opposite of something is summed as that.
    fn add_pair_sums(&mut self, sums: Clif, yields: &[Value], lanes: usize) -> Result<()> {
        for (at, &yielded) in (0..).step_by(BYTES as usize).zip(yields) {
            let yielded = self.negated(yielded).unwrap_or(yielded);
            let (terms, ty) = if lanes == 1 {
                (self.get(yielded)?, types::F64)
            } else {
                let lanes = self.lanes_of(yielded)?;
                (self.packed(&lanes)[0], types::F64X2)
            };
            let before = self.b.ins().load(ty, MemFlagsData::trusted(), sums, at);
            let after = self.b.ins().fadd(terms, before);
            self.b.ins().store(MemFlagsData::trusted(), after, sums, at);
        }
        Ok(())
    }

    /// What a value is the opposite of.
    fn negated(&self, value: Value) -> Option<Value> {
        match self.func.def(value) {
            Some(InstData::Op(Op::Neg, args)) => Some(args[0]),
            _ => None,
        }
    }

    /// Looks up where rows start that are named before the loop.
    fn find_row_starts(&mut self, body: Region) -> Result<()> {
        let func = self.func;
        let Mode::Eval(Eval { values, row_start, .. }) = self.mode else { return Ok(()) };
        for &inst in &func.regions[body].insts {
            let InstData::Emit(emit) = &func.insts[inst] else { continue };
            let outside = |row: &&Value| match func.values[**row].def {
                ValueDef::Result(inst, _) => !func.regions[body].insts.contains(&inst),
                ValueDef::Param(..) => false,
            };
            for &row in emit.rows.iter().filter(outside) {
                let position = self.position(row)?;
                let start = self.row_address(values, row_start, position);
                self.row_starts.insert(row, start);
            }
        }
        Ok(())
    }

    /// The emissions of the first iteration; then, if there is a second one, its emissions and the terms of both, else the term of the first.
    fn pair_of_a_list(
        &mut self,
        effects: &[Inst],
        active: Clif,
        (sums, yields): (Clif, &[Value]),
    ) -> Result<()> {
        let [both, one, done] = [(); 3].map(|()| self.b.create_block());
        self.lane = 0;
        for &inst in effects {
            self.scalar_inst(inst)?;
        }
        self.b.ins().brif(active, both, &[], one, &[]);
        for (block, lanes) in [(both, PER_VECTOR), (one, 1)] {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            self.add_pair_sums(sums, yields, lanes)?;
            for lane in 1..lanes {
                self.lane = lane;
                for &inst in effects {
                    self.scalar_inst(inst)?;
                }
            }
            self.b.ins().jump(done, &[]);
        }
        self.lane = 0;
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        Ok(())
    }
}

fn pairs(func: &Func, inst: Inst) -> Option<Pairs> {
    let InstData::Loop { step: 1, carries, body, .. } = &func.insts[inst] else { return None };
    let doubles = |&yielded: &Value| func.ty(yielded) == Ty::F64;
    if !carries.iter().all(|carry| *carry == Carry::Sum) || !func.regions[*body].yields.iter().all(doubles) {
        return None;
    }
    let mut emits = false;
    for &inner in &func.regions[*body].insts {
        match &func.insts[inner] {
            InstData::Emit(emit) if emit.direct || emit.cols.is_empty() => return None,
            InstData::Emit(_) => emits = true,
            _ if walk::has_effects(func, inner) => return None,
            _ => {}
        }
    }
    if emits { Some(Pairs { varying: varying_rows(func, *body)? }) } else { None }
}
