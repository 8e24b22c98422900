//! Software pipelining: the first half of the next iterations beside the second half of these.
//!
//! # Problem
//! An element is one long chain of operations, a division, a root or an exponential in its middle. A processor looks a few hundred instructions
//! ahead: about one iteration of two elements side by side. So it waits for the chain, though the next elements have nothing to do with it.
//!
//! # Method
//! 1. Floats are dated by the latencies of what they are computed from. The iteration is cut after the long operation that ends nearest to the
//!    middle. What is ready by then is the *early* half; all the rest, effects included, the *late* one. Subscripts and reads belong to both.
//! 2. The loop runs the early half of the next iterations, then the late half of these. What the early half hands on waits in memory, in two
//!    places that take turns.
//! 3. The loop starts one step before the first iterations, without a late half, and repeats the early half of the last ones.
//!
//! # Why it keeps the meaning
//! Each value is computed by the same operations from the same data. An early half reads what its iteration reads anyway, and has no effects.
//!
//! # Limits
//! Loops of doubles, two iterations side by side, that are short enough to be looked through and hand on few values.
//!
//! Reference: M. Lam, Software pipelining: an effective scheduling technique for VLIW machines, PLDI 1988.

use crate::error::{CodegenError, Result};
use crate::lower::context::Lower;
use crate::lower::lanes::{Lanes, PER_VECTOR};
use crate::program::{Phase, Split};
use crate::varying::{neighbors, vector_cost};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value as Clif, types};
use smallvec::smallvec;
use spadina_ir::func::{Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Most values that are handed on, and most instructions of both halves. Measured on triangles, tetrahedra and pairs.
const MOST_HANDED: usize = 24;
const MOST_INSTS: usize = 400;

/// Bytes of what is handed on: a double of each of two iterations.
const BYTES: i32 = 16;

/// The iterations that run side by side: what a list has at their places, their numbers, and for all but the first whether there is one.
#[derive(Default)]
pub(crate) struct Numbers {
    pub(crate) elements: Vec<Clif>,
    pub(crate) numbers: Vec<(Clif, Option<Clif>)>,
}

/// Both halves of an iteration.
pub(crate) struct Halves {
    early: BTreeSet<Inst>,
    late: BTreeSet<Inst>,
    /// What the early half hands on.
    handed: Vec<Value>,
}

/// Cycles until the result of an operation is there, about.
fn latency(op: Op) -> u32 {
    match op {
        Op::Neg | Op::Abs | Op::Select => 1,
        Op::Div | Op::Sqrt => 16,
        _ => match vector_cost(op) {
            Some(0) => 1,
            Some(1) => 4,
            Some(_) | None => 40,
        },
    }
}

/// Cycles of a read that is in the cache.
const READ: u32 = 5;
/// Operations that are worth waiting for.
const LONG: u32 = 16;

/// When the floats at the top of a body are there, as far as no branch or loop comes before.
fn dates(func: &Func, body: Region, here: &BTreeSet<Inst>) -> BTreeMap<Value, u32> {
    let mut dates: BTreeMap<Value, u32> = BTreeMap::new();
    for &inst in &func.regions[body].insts {
        let own = match &func.insts[inst] {
            InstData::Op(op, _) => latency(*op),
            InstData::Load(..) => READ,
            InstData::Const(_) | InstData::Size(_) | InstData::Position(..) => 0,
            _ => continue,
        };
        let ready = |value: &Value| match func.values[*value].def {
            ValueDef::Result(from, _) if here.contains(&from) => dates.get(value).copied(),
            ValueDef::Result(..) | ValueDef::Param(..) => Some(0),
        };
        let operands = func.insts[inst].operands();
        let all = operands.iter().map(ready).try_fold(0, |last: u32, date| Some(last.max(date?)));
        if let (Some(ready), Some(result)) = (all, func.result(inst)) {
            dates.insert(result, ready + own);
        }
    }
    dates
}

/// Cuts the iterations of a phase; `None` where that is not worth it.
fn halves(func: &Func, body: Region, varying: &EntitySet<Value>) -> Option<Halves> {
    let insts = &func.regions[body].insts;
    if insts.len() > MOST_INSTS {
        return None;
    }
    let here: BTreeSet<Inst> = insts.iter().copied().collect();
    let dates = dates(func, body, &here);
    let middle = dates.values().max()? / 2;
    let is_float = |value: Value| func.ty(value) == Ty::F64 && varying.contains(value);
    let long = insts.iter().filter_map(|&inst| match &func.insts[inst] {
        InstData::Op(op, _) if latency(*op) >= LONG => func.result(inst),
        _ => None,
    });
    let ends = long.filter(|&value| is_float(value)).filter_map(|value| dates.get(&value).copied());
    let cut = ends.min_by_key(|&date| (date.abs_diff(middle), date))?;
    // Sums look through negations: those belong to the half that uses them.
    let is_early = |value: Value| {
        is_float(value)
            && matches!(func.def(value), Some(InstData::Op(op, _)) if *op != Op::Neg)
            && dates.get(&value).is_some_and(|&date| date <= cut)
    };
    let maker = |value: Value| match func.values[value].def {
        ValueDef::Result(inst, _) => Some(inst).filter(|inst| here.contains(inst)),
        ValueDef::Param(..) => None,
    };
    let (mut late, mut handed) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<Inst> = insts.iter().copied().filter(|&inst| walk::has_effects(func, inst)).collect();
    while let Some(inst) = open.pop() {
        if !late.insert(inst) {
            continue;
        }
        for region in func.insts[inst].regions() {
            walk::visit_insts(func, region, &mut |_, inner| {
                late.insert(inner);
            });
        }
        for value in func.insts[inst].operands().into_iter().chain(walk::captures(func, inst)) {
            if is_early(value) {
                handed.insert(value);
            } else {
                open.extend(maker(value));
            }
        }
    }
    let mut early = BTreeSet::new();
    let mut open: Vec<Inst> = handed.iter().filter_map(|&value| maker(value)).collect();
    while let Some(inst) = open.pop() {
        if early.insert(inst) {
            open.extend(func.insts[inst].operands().into_iter().filter_map(maker));
        }
    }
    let few = (1..=MOST_HANDED).contains(&handed.len());
    few.then(|| Halves { early, late, handed: handed.into_iter().collect() })
}

impl Lower<'_, '_> {
    /// How the iterations of a phase that run side by side are cut in halves, if they are.
    pub(crate) fn cut(&self, phase: &Phase) -> Option<Halves> {
        let doubles = self.lanes == PER_VECTOR && !self.singles;
        phase.split.filter(|_| doubles).and_then(|split| halves(self.func, split.body, &self.varying))
    }

    /// The iterations at places `begin..end`; `at` tells which are at a place, `finish` ends one of them.
    pub(crate) fn pipelined(
        &mut self,
        phase: &Phase,
        halves: &Halves,
        (begin, end): (Clif, Clif),
        at: impl Fn(&mut Self, Clif) -> Numbers,
        mut finish: impl FnMut(&mut Self, usize, &Numbers),
    ) -> Result<()> {
        let split = phase.split.ok_or_else(|| CodegenError::malformed("halves without a loop"))?;
        let [preheader, header, late, latch, exit] = [(); 5].map(|()| self.b.create_block());
        let some = self.b.ins().icmp(IntCC::SignedLessThan, begin, end);
        self.b.ins().brif(some, preheader, &[], exit, &[]);
        self.b.seal_block(preheader);
        self.b.switch_to_block(preheader);
        let (first, both) = self.room(halves)?;
        let start = self.offset(begin, -(PER_VECTOR as i64));
        let place = self.b.append_block_param(header, types::I64);
        let here = self.b.append_block_param(header, types::I64);
        self.b.ins().jump(header, &[start.into(), first.into()]);
        self.b.switch_to_block(header);
        self.ask_ahead();
        let next = self.offset(place, PER_VECTOR as i64);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, next, end);
        let following = self.b.ins().select(more, next, place);
        let there = self.b.ins().isub(both, here);
        let numbers = at(self, following).numbers;
        self.early_half(split, halves, &numbers, there)?;
        let begun = self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, place, begin);
        self.b.ins().brif(begun, late, &[], latch, &[]);
        self.b.seal_block(late);
        self.b.switch_to_block(late);
        // What it reads must not be read before: there are no iterations before the first.
        self.conditional += 1;
        let numbers = at(self, place);
        self.start_half(split, (&halves.early, &halves.late), &numbers.numbers)?;
        for (at, &value) in (0..).step_by(BYTES as usize).zip(&halves.handed) {
            let both = self.b.ins().load(types::F64X2, MemFlagsData::trusted(), here, at);
            self.set_lanes(value, Lanes::Packed(smallvec![both]));
        }
        self.live = Some(halves.late.clone());
        self.iterations(split, &numbers.numbers, |lower, lane| finish(lower, lane, &numbers))?;
        self.live = None;
        self.conditional -= 1;
        self.b.ins().jump(latch, &[]);
        self.b.seal_block(latch);
        self.b.switch_to_block(latch);
        self.b.ins().brif(more, header, &[next.into(), there.into()], exit, &[]);
        self.b.seal_block(header);
        self.b.seal_block(exit);
        self.b.switch_to_block(exit);
        Ok(())
    }

    /// Two places for what is handed on: the address of the first, and the sum of both addresses.
    fn room(&mut self, halves: &Halves) -> Result<(Clif, Clif)> {
        let bytes = i32::try_from(halves.handed.len()).ok().and_then(|n| n.checked_mul(BYTES));
        let bytes = bytes.ok_or_else(|| CodegenError::malformed("an iteration that hands on too much"))?;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 2 * bytes.unsigned_abs(), 4);
        let slot = self.b.create_sized_stack_slot(data);
        let first = self.b.ins().stack_addr(types::I64, slot, 0);
        let second = self.offset(first, i64::from(bytes));
        Ok((first, self.b.ins().iadd(first, second)))
    }

    fn early_half(
        &mut self,
        split: Split,
        halves: &Halves,
        numbers: &[(Clif, Option<Clif>)],
        to: Clif,
    ) -> Result<()> {
        self.start_half(split, (&halves.late, &halves.early), numbers)?;
        self.set_inductions(split, numbers)?;
        self.wide = true;
        self.live = Some(halves.early.clone());
        self.region(split.body)?;
        self.live = None;
        for (at, &value) in (0..).step_by(BYTES as usize).zip(&halves.handed) {
            let lanes = self.lanes_of(value)?;
            let both = self.packed(&lanes)[0];
            self.b.ins().store(MemFlagsData::trusted(), both, to, at);
        }
        self.wide = false;
        Ok(())
    }

    /// Forgets what the other half knew of its iterations: a value that this one has not made is none.
    fn start_half(
        &mut self,
        split: Split,
        (other, half): (&BTreeSet<Inst>, &BTreeSet<Inst>),
        numbers: &[(Clif, Option<Clif>)],
    ) -> Result<()> {
        for &inst in other {
            self.forget(&self.func.results[inst]);
        }
        let (first, _) = numbers.first().ok_or_else(|| CodegenError::malformed("no iterations"))?;
        self.choose_rereads(split.body, *first);
        self.neighbors = neighbors(self.func, split.body, &self.varying);
        self.neighbors.retain(|inst, (a, b)| [*inst, *a, *b].iter().all(|inst| half.contains(inst)));
        self.loaded = BTreeSet::new();
        self.turned = None;
        Ok(())
    }
}
