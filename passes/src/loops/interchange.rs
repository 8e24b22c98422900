//! Short literal loops at the top change places with the long loop inside.
//!
//! # Problem
//! ```text
//! for k in 0..2 { for l in 0..L { .. } }      ==>   for l in 0..L { for k in 0..2 { .. } }
//! ```
//! The loops at the top are the phases of a program: their iterations are shared among threads, taken side by side in vectors, zeroed for
//! and summed in blocks. Two long iterations are good for none of it; and a short loop inside is unrolled.
//!
//! # Method
//! A top-level loop with at most [`SHORT`] literal iterations, whose body is pure code and one loop with effects, goes inside that loop if
//! its bounds do not depend on it; several such loops around each other go together and keep their order. What the pure code
//! computes from the short loop's variable goes along, the rest stays in front.
//!
//! # Why it keeps the meaning
//! Iterations of loops without results only add, and no array is read in the nest that adds to it: the order of additions changes, nothing
//! else. What stays in front is computed as before: a short loop runs at least once.
//!
//! # Limits
//! Loops with results, and nests with more than one loop with effects on a level, stay as they are.

use crate::pass::Pass;
use crate::rewrite::{CopyAll, Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Inst, InstData, Value};
use spadina_ir::walk;
use std::collections::BTreeSet;

/// The pass.
pub const PASS: Pass = Pass { name: "interchange", summary: "long loops go outside of short ones", run };

/// Most iterations of a loop that goes inside.
pub const SHORT: i64 = 8;

/// Moves long loops to the top.
///
/// # Errors
/// None: what does not fit stays.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let top = &func.regions[func.body].insts;
    if !top.iter().any(|&inst| Nest::of(func, inst).is_some()) {
        return Ok(func.clone());
    }
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Interchange))
}

/// Short loops around a long one.
struct Nest {
    /// From the outside in.
    short: Vec<Inst>,
    long: Inst,
    /// Pure code between the loops that depends on a short one, in order.
    inside: Vec<Inst>,
    /// The other pure code.
    before: Vec<Inst>,
}

impl Nest {
    fn of(func: &Func, outermost: Inst) -> Option<Nest> {
        let mut nest = Nest { short: Vec::new(), long: outermost, inside: Vec::new(), before: Vec::new() };
        let mut dependent: BTreeSet<Value> = BTreeSet::new();
        loop {
            let InstData::Loop { lo, hi, step, carries, body } = &func.insts[nest.long] else { return None };
            if !carries.is_empty() || !walk::has_effects(func, nest.long) {
                return None;
            }
            let short = match (func.as_int(*lo), func.as_int(*hi)) {
                (Some(lo), Some(hi)) => lo < hi && (hi.checked_sub(lo)? - 1) / step < SHORT,
                _ => false,
            };
            if !short {
                let free = ![lo, hi].into_iter().any(|bound| dependent.contains(bound));
                return (free && !nest.short.is_empty()).then_some(nest);
            }
            nest.short.push(nest.long);
            dependent.extend(func.regions[*body].params.first());
            let mut inner = None;
            for &inst in &func.regions[*body].insts {
                if walk::has_effects(func, inst) {
                    if inner.replace(inst).is_some() {
                        return None;
                    }
                    continue;
                }
                let mut used = func.insts[inst].operands().to_vec();
                used.extend(walk::captures(func, inst));
                if used.iter().any(|value| dependent.contains(value)) {
                    dependent.extend(func.results[inst].iter());
                    nest.inside.push(inst);
                } else {
                    nest.before.push(inst);
                }
            }
            nest.long = inner?;
        }
    }
}

struct Interchange;

impl Visitor for Interchange {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let nest = if rw.b.depth() == 1 { Nest::of(rw.src, inst) } else { None };
        let (src, Some(nest)) = (rw.src, nest) else {
            rw.copy(inst, self);
            return;
        };
        for &inst in &nest.before {
            rw.b.set_span(src.spans[inst]);
            rw.copy(inst, &mut CopyAll);
        }
        rw.b.set_span(src.spans[nest.long]);
        rw.open_loop(nest.long);
        for &short in &nest.short {
            rw.b.set_span(src.spans[short]);
            rw.open_loop(short);
        }
        for &inst in &nest.inside {
            rw.b.set_span(src.spans[inst]);
            rw.copy(inst, &mut CopyAll);
        }
        if let InstData::Loop { body, .. } = &src.insts[nest.long] {
            rw.region(*body, self);
        }
        for _ in 0..=nest.short.len() {
            rw.b.end_loop(&[]);
        }
    }
}
