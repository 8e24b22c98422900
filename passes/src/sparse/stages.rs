//! Stages: intermediate arrays that stand as unknowns and as rows of one larger matrix.
//!
//! # Problem
//! ```text
//! for f in .. { accum n[tri[f,k]] += normal(x, f) };  for e in .. { accum out[] += g(n[a(e)], n[b(e)]) }
//! ```
//! The derivative of the second loop passes through all terms that were added into `n`, which no loop over edges can list: only a
//! table says which faces touch a vertex.
//!
//! # Method
//! Each active intermediate array `s` of the body becomes a *stage*: reading it ends a sweep as reading an unknown does, and adding to
//! it is a row as adding to a result is. With the stages before the unknowns `x` and before the rows `r`, what is emitted is
//! ```text
//!              s      x
//!     M =  [ M_ss   M_sx ]  s          ds = M_ss ds + M_sx dx,    dr = M_rs ds + M_rx dx
//!          [ M_rs   M_rx ]  r
//! ```
//! from which the runtime eliminates the stages: `dr/dx = M_rx + M_rs (I - M_ss)^-1 M_sx`, a product of sparse matrices in the order in
//! which elements depend on each other. Of a gradient program the adjoints of stages are stages again, so the same elimination gives
//! the Hessian of any directed graph of stages: `H_xx + J^T H_nx + H_xn J + J^T H_nn J` plus what the adjoint of `n` weighs.
//!
//! # Why it keeps the meaning
//! An array is finished before it is read, so no element depends on itself: `I - M_ss` is triangular in some order. Each row of `M` is
//! the chain rule up to the next array; putting rows together is the rest of it.
//!
//! # Limits
//! Arrays that are cleared and filled again (per iteration, or twice in the body) hold several values under one name and stay
//! obstacles: `stage`.
//!
//! # References
//! Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 9 (the extended Jacobian and its Schur complement).

use crate::analysis::activity::Activity;
use spadina_ir::func::{Buffer, Func, InstData, Role};
use spadina_ir::walk;

/// The active intermediate arrays of the body that hold one value an element from the first access to the last.
pub fn stages(func: &Func, activity: &Activity) -> Vec<Buffer> {
    func.buffers_of(Role::Scratch).filter(|&b| activity.buffer(b) && lives_once(func, b)).collect()
}

/// What stands first in the columns because it is a stage, not an unknown.
pub fn listed(func: &Func) -> impl Iterator<Item = Buffer> + '_ {
    func.columns.iter().copied().filter(|&b| func.buffers[b].role == Role::Scratch)
}

/// The unknowns of a function with stages or without.
pub fn unknowns(func: &Func) -> impl Iterator<Item = Buffer> + '_ {
    func.columns.iter().copied().filter(|&b| func.buffers[b].role != Role::Scratch)
}

fn lives_once(func: &Func, buffer: Buffer) -> bool {
    let (mut first, mut last, mut resets) = (None, None, Vec::new());
    for (at, &inst) in func.regions[func.body].insts.iter().enumerate() {
        let (mut accessed, mut cleared) = (false, false);
        let mut look = |data: &InstData| match data {
            InstData::Load(b, _) | InstData::Accum(b, ..) => accessed |= *b == buffer,
            InstData::Reset(b, _) => cleared |= *b == buffer,
            _ => {}
        };
        look(&func.insts[inst]);
        for region in func.insts[inst].regions() {
            walk::visit_insts(func, region, &mut |_, inner| look(&func.insts[inner]));
        }
        if accessed && cleared {
            return false;
        }
        if accessed {
            first.get_or_insert(at);
            last = Some(at);
        }
        if cleared {
            resets.push(at);
        }
    }
    let (Some(first), Some(last)) = (first, last) else { return false };
    resets.iter().all(|&at| at < first || at > last)
}
