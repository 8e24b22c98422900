//! What one element costs, counted: how roads to the same matrix are compared.

use spadina_ir::func::{EmitData, Func, InstData, Region};
use spadina_ir::op::{Op, Smoothness};

/// An addition weighs 2; an entry has its slot loaded, its value loaded and stored again. Measured on chains and grids.
pub const SLOT: u64 = 4;
/// An access to a scratch array.
const ACCESS: u64 = 1;
/// Iterations assumed of an inner loop whose length is data: a one-ring.
pub const RING: u64 = 6;

/// The weight of an operation.
pub fn weight(op: Op) -> u64 {
    match op {
        Op::Neg => 0,
        Op::Div | Op::Sqrt => 8,
        Op::Add | Op::Sub | Op::Mul | Op::Min | Op::Max | Op::Abs => 2,
        _ if op.smoothness() == Smoothness::Discrete => 0,
        _ => 32,
    }
}

/// The weight of an emission with slots.
pub fn emission(emit: &EmitData) -> u64 {
    let mirrored = emit.entries.iter().filter(|(a, b)| emit.symmetric && a != b).count();
    SLOT * (emit.entries.len() + mirrored) as u64
}

/// The work of one iteration of every top-level loop, inner loops counted as often as they run.
pub fn of_elements(func: &Func) -> u64 {
    let nested = func.regions[func.body].insts.iter().flat_map(|&inst| func.insts[inst].regions());
    nested.map(|region| of_region(func, region)).fold(0, u64::saturating_add)
}

fn of_region(func: &Func, region: Region) -> u64 {
    let mut work: u64 = 0;
    for &inst in &func.regions[region].insts {
        let data = &func.insts[inst];
        work = work.saturating_add(match data {
            InstData::Op(op, _) => weight(*op),
            InstData::Emit(emit) if !emit.direct => emission(emit),
            InstData::Load(..) | InstData::Accum(..) => ACCESS,
            InstData::Reset(buffer, _) => {
                let dims = &func.buffers[*buffer].dims;
                let length = dims.iter().try_fold(1_i64, |n, dim| n.checked_mul(dim.as_constant()?));
                // Two entries a store.
                length.map_or(RING, |n| n.unsigned_abs() / 2)
            }
            InstData::Loop { lo, hi, step, body, .. } => {
                let trips = match (func.as_int(*lo), func.as_int(*hi)) {
                    (Some(lo), Some(hi)) if hi > lo => (lo.abs_diff(hi) - 1) / step.unsigned_abs() + 1,
                    (Some(_), Some(_)) => 0,
                    _ => RING,
                };
                trips.saturating_mul(of_region(func, *body))
            }
            InstData::If { then, els, .. } => of_region(func, *then).max(of_region(func, *els)),
            _ => 0,
        });
    }
    work
}
