//! What code costs: operations that are evaluated, each counted once, in units of one addition.

use cranelift_entity::EntitySet;
use spadina_ir::func::{Func, InstData, Value};
use spadina_ir::op::{Op, Smoothness};
use spadina_ir::walk;

/// A negation vanishes into the instruction that uses it; marks for differentiation compute nothing.
const FREE: &[Op] = &[Op::Neg, Op::StopGradient, Op::Hidden, Op::Attach, Op::ProjectClamp, Op::ProjectAbs];
/// Division unit: latency of 4 to 8 additions.
const DIVISIONS: &[Op] = &[Op::Div, Op::Sqrt];
/// Integer division: no vector form and 20 or more cycles.
const INT_DIVISIONS: &[Op] = &[Op::IntDiv, Op::IntMod, Op::Rem];

/// The cost of one operation.
pub fn of_op(op: Op) -> u64 {
    if FREE.contains(&op) {
        0
    } else if DIVISIONS.contains(&op) {
        5
    } else if INT_DIVISIONS.contains(&op) {
        8
    } else if op == Op::Pow {
        40
    } else if op.smoothness() == Smoothness::Smooth && op != Op::Mul {
        // A call of the mathematical library.
        20
    } else {
        1
    }
}

/// The cost of all operations of a function, each counted once however often its loop runs.
pub fn of_func(func: &Func) -> u64 {
    let mut cost = 0;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Op(op, _) = &func.insts[inst] {
            cost += of_op(*op);
        }
    });
    cost
}

/// The cost of the operations that these values need.
pub fn of_values(func: &Func, roots: &[Value]) -> u64 {
    let mut cost = 0;
    let mut seen = EntitySet::new();
    let mut work: Vec<Value> = roots.to_vec();
    while let Some(value) = work.pop() {
        if !seen.insert(value) {
            continue;
        }
        if let Some(InstData::Op(op, args)) = func.def(value) {
            cost += of_op(*op);
            work.extend(args);
        }
    }
    cost
}
