//! What an evaluation program costs, phase by phase: operations and entries of one iteration.
//!
//! An operation is a float operation that costs an instruction or more; negations and conversions are free, comparisons and selections
//! are not counted. Loops with literal bounds count as often as they run; the body of any other inner loop counts once, and the phase
//! says so. Both branches of an `if` count.

use spadina_ir::func::{Func, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::walk;
use std::collections::BTreeMap;

/// The cost of one phase: a top-level loop, or what stands outside of loops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseCost {
    /// The loop; `None` for what runs once.
    pub root: Option<Inst>,
    /// Where it stands in the source: byte offsets of the first located instruction inside.
    pub span: (u32, u32),
    /// Operations of one iteration, by kind.
    pub operations: BTreeMap<Op, u64>,
    /// Matrix entries that one iteration adds, both halves of symmetric blocks.
    pub entries: u64,
    /// Blocks of entries that one iteration adds.
    pub emissions: u64,
    /// Whether inner loops run as often as data or sizes say.
    pub inner_loops: bool,
}

impl PhaseCost {
    /// All operations.
    pub fn total(&self) -> u64 {
        self.operations.values().sum()
    }
}

/// The phases of a program in order; the first is what stands outside of loops, if that costs anything.
pub fn phases(func: &Func) -> Vec<PhaseCost> {
    let mut outside = PhaseCost::default();
    let mut list = Vec::new();
    for &inst in &func.regions[func.body].insts {
        match &func.insts[inst] {
            InstData::Loop { body, .. } => {
                let mut phase =
                    PhaseCost { root: Some(inst), span: located(func, inst), ..PhaseCost::default() };
                region(func, *body, 1, &mut phase);
                if phase.total() > 0 || walk::has_effects(func, inst) {
                    list.push(phase);
                }
            }
            _ => instruction(func, inst, 1, &mut outside),
        }
    }
    if outside.total() > 0 || outside.entries > 0 {
        list.insert(0, outside);
    }
    list
}

/// What one execution of a region costs.
pub fn of_region(func: &Func, of: Region) -> PhaseCost {
    let mut cost = PhaseCost::default();
    region(func, of, 1, &mut cost);
    cost
}

/// The operations of a whole program, one iteration of each phase.
pub fn operations(func: &Func) -> u64 {
    phases(func).iter().map(PhaseCost::total).sum()
}

fn located(func: &Func, inst: Inst) -> (u32, u32) {
    let mut span = func.spans[inst];
    for region in func.insts[inst].regions() {
        walk::visit_insts(func, region, &mut |_, inner| {
            if span == (0, 0) {
                span = func.spans[inner];
            }
        });
    }
    span
}

fn region(func: &Func, region: Region, times: u64, phase: &mut PhaseCost) {
    for &inst in &func.regions[region].insts {
        instruction(func, inst, times, phase);
    }
}

fn instruction(func: &Func, inst: Inst, times: u64, phase: &mut PhaseCost) {
    match &func.insts[inst] {
        InstData::Op(op, _) => {
            let counts = func.results[inst].iter().any(|&r| func.ty(r).is_float());
            if counts
                && !matches!(
                    op,
                    Op::Neg
                        | Op::Select
                        | Op::Narrow
                        | Op::Widen
                        | Op::IntToFloat
                        | Op::StopGradient
                        | Op::Hidden
                        | Op::Attach
                        | Op::ProjectClamp
                        | Op::ProjectAbs
                )
            {
                *phase.operations.entry(*op).or_default() += times;
            }
        }
        InstData::Emit(emit) => {
            let mirrored = emit.entries.iter().filter(|(a, b)| emit.symmetric && a != b).count();
            phase.entries =
                phase.entries.saturating_add(times.saturating_mul((emit.entries.len() + mirrored) as u64));
            phase.emissions = phase.emissions.saturating_add(times);
        }
        InstData::Loop { lo, hi, step, body, .. } => {
            let trips = trips(func, *lo, *hi, *step);
            phase.inner_loops |= trips.is_none();
            region(func, *body, times.saturating_mul(trips.unwrap_or(1)), phase);
        }
        InstData::If { then, els, .. } => {
            region(func, *then, times, phase);
            region(func, *els, times, phase);
        }
        InstData::Const(_)
        | InstData::Size(_)
        | InstData::Load(..)
        | InstData::Position(..)
        | InstData::Accum(..)
        | InstData::Reset(..)
        | InstData::Check(..) => {}
    }
}

fn trips(func: &Func, lo: Value, hi: Value, step: i64) -> Option<u64> {
    let (lo, hi) = (func.as_int(lo)?, func.as_int(hi)?);
    let span = u64::try_from(hi.checked_sub(lo)?).unwrap_or(0);
    Some(span.div_ceil(u64::try_from(step).ok()?.max(1)))
}
