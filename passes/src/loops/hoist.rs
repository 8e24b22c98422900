//! Loop-invariant computations move before the loop.
//!
//! # Problem
//! ```text
//! for e in 0..E { h = k * 0.5; .. }      ==>   h = k * 0.5; for e in 0..E { .. }
//! ```
//! # Method
//! Before a loop is opened, the instructions of its body (and of the loops inside) whose operands are all defined outside are built;
//! inside, hash-consing finds them again. Outer loops first, so an invariant goes as far out as it can.
//!
//! # Why it keeps the meaning
//! Scalar operations are pure and never trap. Loads are moved only when they have no subscript: a subscript may be out of range
//! when the loop does not run.
//!
//! # Limits
//! Nothing moves out of the branches of an `if`.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Inst, InstData, Region, Role, Value};
use std::collections::BTreeSet;

/// The pass.
pub const PASS: Pass =
    Pass { name: "hoist", summary: "move loop-invariant computations before the loop", run };

/// Hoists loop invariants.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Hoist))
}

struct Hoist;

impl Hoist {
    fn invariants(&mut self, rw: &mut Rewriter<'_>, region: Region, inside: &mut BTreeSet<Value>) {
        let src = rw.src;
        inside.extend(src.regions[region].params.iter().copied());
        for &inst in &src.regions[region].insts {
            let data = &src.insts[inst];
            let invariant = data.operands().iter().all(|v| !inside.contains(v));
            let movable = match data {
                InstData::Op(..) | InstData::Const(_) | InstData::Size(_) | InstData::Position(..) => true,
                InstData::Load(buffer, index) => {
                    index.is_empty()
                        && matches!(src.buffers[*buffer].role, Role::Var | Role::Data | Role::Structural)
                }
                InstData::Loop { body, .. } => {
                    inside.extend(src.results[inst].iter().copied());
                    self.invariants(rw, *body, inside);
                    continue;
                }
                _ => false,
            };
            if movable && invariant {
                rw.copy(inst, self);
            } else {
                inside.extend(src.results[inst].iter().copied());
            }
        }
    }
}

impl Visitor for Hoist {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if let InstData::Loop { body, .. } = &rw.src.insts[inst] {
            self.invariants(rw, *body, &mut BTreeSet::new());
        }
        rw.copy(inst, self);
    }
}
