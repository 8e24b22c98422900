//! Products and extrema over loops become recurrences, the only non-linear carries that derivatives know.
//!
//! # Problem
//! ```text
//! p = for i in 0..n prod { yield f(i) }      ==>   p = for i in 0..n state(1) p' { yield p' * f(i) }
//! m = for i in 0..n min  { yield f(i) }      ==>   m = for i in 0..n state(inf) m' { yield min(m', f(i)) }
//! ```
//! # Method
//! One copy; the carries keep their places.
//!
//! # Why it keeps the meaning
//! It is the definition of these carries (`ir/func.rs`); the adjoint of the recurrence is the product of prefix and suffix,
//! never a division by a factor that may be zero.
//!
//! # Limits
//! Integer carries are left alone: they are never differentiated.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Carry, Func, Inst, InstData, Value};
use spadina_ir::op::Op;

/// The pass.
pub const PASS: Pass = Pass { name: "normalize", summary: "write products and extrema as recurrences", run };

/// Rewrites every float `prod`, `min` and `max` carry.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Normalize))
}

struct Normalize;

impl Visitor for Normalize {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else {
            rw.copy(inst, self);
            return;
        };
        let is_reduction = |n: usize| {
            matches!(carries[n], Carry::Prod | Carry::Min | Carry::Max)
                && src.ty(src.results[inst][n]).is_float()
        };
        let images: Vec<Carry> = (0..carries.len())
            .map(|n| {
                if !is_reduction(n) {
                    return rw.map_carry(carries[n]);
                }
                let neutral = match carries[n] {
                    Carry::Min => f64::INFINITY,
                    Carry::Max => f64::NEG_INFINITY,
                    Carry::Prod | Carry::Sum | Carry::State(_) => 1.0,
                };
                Carry::State(rw.b.float(src.ty(src.results[inst][n]), neutral))
            })
            .collect();
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        let (iv, states) = rw.b.begin_loop(lo, hi, *step, &images);
        let params = &src.regions[*body].params;
        rw.map.set(params[0], iv);
        let mut states = states.into_iter();
        let mut param = 1;
        let mut running: Vec<Option<Value>> = vec![None; carries.len()];
        for n in 0..carries.len() {
            if let Carry::State(_) = images[n] {
                let state = states.next().expect("one per state");
                if is_reduction(n) {
                    running[n] = Some(state);
                } else {
                    rw.map.set(params[param], state);
                    param += 1;
                }
            }
        }
        rw.region(*body, self);
        let yields: Vec<Value> = (0..carries.len())
            .map(|n| {
                let y = rw.map.get(src.regions[*body].yields[n]);
                match (running[n], carries[n]) {
                    (Some(state), Carry::Prod) => rw.b.mul(state, y),
                    (Some(state), Carry::Min) => rw.b.op(Op::Min, &[state, y]),
                    (Some(state), Carry::Max) => rw.b.op(Op::Max, &[state, y]),
                    (Some(_), Carry::Sum | Carry::State(_)) | (None, _) => y,
                }
            })
            .collect();
        let results = rw.b.end_loop(&yields);
        for (&result, &image) in src.results[inst].iter().zip(&results) {
            rw.map.set(result, image);
        }
    }
}
