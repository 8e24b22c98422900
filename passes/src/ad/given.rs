//! Partials that the author gives: refused where they are missing, dropped where no derivative is taken any more.
//!
//! # Problem
//! A call of a function with `#[partials(p, q)]` is written
//! ```text
//! v = f(hidden a, hidden b)
//! w = attach(attach(v, a, p), b, q)        value v;  dw = p da + q db
//! ```
//! and every derivative comes from there: of first order by `p` and `q`, of higher order by their derivatives. A program that computes
//! values, or derivatives that are complete, needs neither the slopes nor their hiding.
//!
//! # Method
//! 1. *Check*, before the first derivative: a function that reads an array is sealed, `attach(stop_gradient v, v, nan)`; where `v` depends
//!    on an unknown through the array, the partial by the array is asked for, and nobody gave it.
//! 2. *Drop*, after the last: slopes become NaN, `hidden a` becomes `a`. Both operations compute nothing. What only slopes needed is dead,
//!    and what a value and its slopes share is computed once. `attach(hidden a, a, 1)`, which is `a` under another name, becomes `a`.
//!
//! # Why it keeps the meaning
//! The value of `attach` is its first argument's. A dropped slope is NaN, not zero: a program that is differentiated in spite of it
//! says so in its numbers.
//!
//! # Limits
//! `partials-missing`: a derivative by an array that a function with given partials reads.
//!
//! # References
//! Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 15.5 (implicit functions); `custom_jvp` of Bradbury et al., JAX.

use crate::analysis::activity::Activity;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Const, Func, Inst, InstData, Value};
use spadina_ir::op::Op;
use spadina_ir::span::Span;
use spadina_ir::walk;

/// The pass that drops.
pub const PASS: Pass =
    Pass { name: "given", summary: "given partials dropped: no derivative is taken any more", run };

/// Drops the slopes of given partials.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Drop))
}

/// Whether a function has given partials.
pub fn has_given(func: &Func) -> bool {
    let mut found = false;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        found |= matches!(func.insts[inst], InstData::Op(Op::Attach | Op::Hidden, _));
    });
    found
}

struct Drop;

impl Visitor for Drop {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let image = match &src.insts[inst] {
            InstData::Op(Op::Hidden, args) => rw.map.get(args[0]),
            InstData::Op(Op::Attach, _) if let Some(value) = is_renamed(src, inst) => rw.map.get(value),
            InstData::Op(Op::Attach, args) => {
                let (value, argument) = (rw.map.get(args[0]), rw.map.get(args[1]));
                let unknown = rw.b.float(src.ty(args[2]), f64::NAN);
                rw.b.attach(value, argument, unknown)
            }
            _ => return rw.copy(inst, self),
        };
        rw.map.set(src.results[inst][0], image);
    }
}

/// A value under another name, which hash-consing does not take for the value before derivatives are complete.
pub fn renamed(b: &mut Builder, value: Value) -> Value {
    let hidden = b.op(Op::Hidden, &[value]);
    let one = b.float(b.func().ty(value), 1.0);
    b.attach(hidden, value, one)
}

/// The value that an instruction gives another name.
fn is_renamed(func: &Func, inst: Inst) -> Option<Value> {
    let InstData::Op(Op::Attach, args) = &func.insts[inst] else { return None };
    let one = matches!(func.as_const(args[2])?, Const::F64(1.0) | Const::F32(1.0));
    let hidden = matches!(func.def(args[0]), Some(InstData::Op(Op::Hidden, inner)) if inner[0] == args[1]);
    (one && hidden).then_some(args[1])
}

/// Refuses derivatives by arrays that functions with given partials read.
///
/// # Errors
/// `partials-missing`, at the call.
pub fn check(func: &Func, unknowns: &[Buffer]) -> Result<(), Diagnostic> {
    if !has_given(func) {
        return Ok(());
    }
    let activity = Activity::of(func, unknowns);
    let mut refused = None;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if refused.is_none() && is_seal(func, inst).is_some_and(|value| activity.value(value)) {
            refused = Some(inst);
        }
    });
    let Some(inst) = refused else { return Ok(()) };
    let (start, end) = func.spans[inst];
    Err(Diagnostic::error(
        "partials-missing",
        "this function has given partials, and none by the array through which unknowns reach it",
    )
    .label(Span { start, end }, "depends on unknowns through an array")
    .help("pass the entries that it reads as numbers or vectors, each with a partial, or leave `#[partials(..)]` away"))
}

/// The value that an instruction seals.
fn is_seal(func: &Func, inst: Inst) -> Option<Value> {
    let InstData::Op(Op::Attach, args) = &func.insts[inst] else { return None };
    let unknown = match func.as_const(args[2])? {
        Const::F64(x) => x.is_nan(),
        Const::F32(x) => x.is_nan(),
        Const::Int(_) | Const::Bool(_) => false,
    };
    let bare =
        matches!(func.def(args[0]), Some(InstData::Op(Op::StopGradient, inner)) if inner[0] == args[1]);
    (unknown && bare).then_some(args[1])
}
