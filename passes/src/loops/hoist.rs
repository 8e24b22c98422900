//! Loop-invariant computations move before the loop; sums of what does not change need no loop.
//!
//! # Problem
//! ```text
//! for e in 0..E { h = k * 0.5; .. }      ==>   h = k * 0.5; for e in 0..E { .. }
//! for e in 0..E with sum { .. yield 2 }  ==>   for e in 0..E { .. };  2 * E
//! ```
//! # Method
//! Before a loop is opened, the instructions of its body (and of the loops inside) whose operands are all defined outside are built;
//! inside, hash-consing finds them again. Outer loops first, so an invariant goes as far out as it can. Constant second derivatives
//! (of a least squares fit by its linear parameters, say) are sums of what does not change.
//!
//! # Why it keeps the meaning
//! Scalar operations are pure and never trap. Loads are moved only when they have no subscript: a subscript may be out of range
//! when the loop does not run. A sum of no terms is zero, whatever the term is.
//!
//! # Limits
//! Nothing moves out of the branches of an `if`.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::EntitySet;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Carry, Const, Func, Inst, InstData, Region, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// The pass.
pub const PASS: Pass =
    Pass { name: "hoist", summary: "move loop-invariant computations before the loop", run };

/// The pass again, for sums that other passes have made.
pub const SUMS: Pass =
    Pass { name: "hoist", summary: "sums of what does not change need no loop", run: run_on_sums };

fn run_on_sums(func: &Func) -> Result<Func, Diagnostic> {
    let mut some = false;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        let InstData::Loop { step: 1, carries, body, .. } = &func.insts[inst] else { return };
        let terms = carries.iter().zip(&func.regions[*body].yields);
        let mut inside = None;
        for (_, &term) in terms.filter(|(carry, _)| **carry == Carry::Sum) {
            let inside = inside.get_or_insert_with(|| made_inside(func, *body));
            some |= !inside.contains(&term) || func.as_const(term).is_some();
        }
    });
    if some { run(func) } else { Ok(func.clone()) }
}

/// What the instructions at the top of a loop's body give, and its parameters.
fn made_inside(func: &Func, body: Region) -> BTreeSet<Value> {
    let region = &func.regions[body];
    let results = region.insts.iter().flat_map(|&inst| func.results[inst].iter());
    region.params.iter().chain(results).copied().collect()
}

/// Hoists loop invariants.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Hoist))
}

struct Hoist;

impl Hoist {
    fn invariants(&mut self, rw: &mut Rewriter<'_>, region: Region, inside: &mut EntitySet<Value>) {
        let src = rw.src;
        inside.extend(src.regions[region].params.iter().copied());
        for &inst in &src.regions[region].insts {
            let data = &src.insts[inst];
            let invariant = data.operands().iter().all(|v| !inside.contains(*v));
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
        let src = rw.src;
        let InstData::Loop { lo, hi, step: 1, carries, body } = &src.insts[inst] else {
            if let InstData::Loop { body, .. } = &src.insts[inst] {
                self.invariants(rw, *body, &mut EntitySet::new());
            }
            rw.copy(inst, self);
            return;
        };
        let mut inside = EntitySet::new();
        self.invariants(rw, *body, &mut inside);
        rw.copy(inst, self);
        for (n, &term) in src.regions[*body].yields.iter().enumerate() {
            let result = src.results[inst][n];
            if carries[n] == Carry::Sum && src.ty(result) == Ty::F64 && !inside.contains(term) {
                let sum = multiple(rw, rw.map.get(term), rw.map.get(*lo), rw.map.get(*hi));
                rw.map.set(result, sum);
            }
        }
    }
}

/// The sum of `term` over `lo..hi`.
fn multiple(rw: &mut Rewriter<'_>, term: Value, lo: Value, hi: Value) -> Value {
    let b = &mut rw.b;
    let count = b.op(Op::IntSub, &[hi, lo]);
    let zero = b.int(0);
    let count = b.op(Op::IntMax, &[count, zero]);
    let factor = b.op(Op::IntToFloat, &[count]);
    let sum = b.op(Op::Mul, &[factor, term]);
    if matches!(b.func().as_const(term), Some(Const::F64(term)) if term.is_finite()) {
        return sum;
    }
    let runs = b.op(Op::IntLt, &[zero, count]);
    let nothing = b.f64(0.0);
    b.op(Op::Select, &[runs, sum, nothing])
}
