//! Short loops with literal bounds become straight code.
//!
//! # Problem
//! ```text
//! s = for c in 0..3 sum { d = x[i,c] - x[j,c]; yield d * d }     ==>   s = d0*d0 + d1*d1 + d2*d2
//! ```
//! Elimination works on straight code; a loop over the three coordinates of a point hides the element from it.
//!
//! # Method
//! Innermost first. A loop below the top level with literal bounds is unrolled when it runs at most [`MAX_TRIPS`] times and the copies
//! stay under [`MAX_INSTS`] instructions. Sums are added in order, from the first value.
//!
//! # Why it keeps the meaning
//! It executes the loop. A sum starts from the first value instead of `0 +` it: the same but for the sign of a zero.
//!
//! # Limits
//! Top-level loops with effects stay loops (they are the phases of the program), so do long ones.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Carry, Func, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::walk;

/// The pass.
pub const PASS: Pass = Pass { name: "unroll", summary: "turn short literal loops into straight code", run };

/// The pass that leaves all but the shortest loops: for elements whose loops are kept.
pub const SHORT: Pass = Pass {
    name: "unroll-short",
    summary: "turn the shortest literal loops into straight code",
    run: run_short,
};

/// Longest loop that is unrolled.
pub const MAX_TRIPS: i64 = 32;
/// Longest loop that is unrolled where loops are kept: the components of a point or of a matrix row.
pub const SHORT_TRIPS: i64 = 4;
/// Most instructions that unrolling one loop may make.
pub const MAX_INSTS: usize = 1500;

/// Unrolls short literal loops.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Unroll { longest: MAX_TRIPS }))
}

/// Unrolls the shortest literal loops.
pub fn run_short(func: &Func) -> Result<Func, Diagnostic> {
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Unroll { longest: SHORT_TRIPS }))
}

struct Unroll {
    longest: i64,
}

fn size(func: &Func, region: Region) -> usize {
    let mut count = 0;
    walk::visit_insts(func, region, &mut |_, inst| {
        let trips = match &func.insts[inst] {
            InstData::Loop { lo, hi, .. } => match (func.as_int(*lo), func.as_int(*hi)) {
                (Some(lo), Some(hi)) => hi.saturating_sub(lo).clamp(1, MAX_TRIPS) as usize,
                _ => 1,
            },
            _ => 1,
        };
        count += trips;
    });
    count
}

impl Visitor for Unroll {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else {
            rw.copy(inst, self);
            return;
        };
        let bounds = (rw.b.func().as_int(rw.map.get(*lo)), rw.b.func().as_int(rw.map.get(*hi)));
        let (Some(lo), Some(hi)) = bounds else {
            rw.copy(inst, self);
            return;
        };
        let trips = if hi <= lo { 0 } else { (hi.saturating_sub(lo).saturating_sub(1)) / step + 1 };
        let top_level = rw.b.depth() == 1 && walk::has_effects(src, inst);
        if top_level || trips > self.longest || trips as usize * size(src, *body) > MAX_INSTS {
            rw.copy(inst, self);
            return;
        }
        let results = &src.results[inst];
        let params = &src.regions[*body].params;
        let mut current: Vec<Option<Value>> = carries
            .iter()
            .map(|c| match c {
                Carry::State(init) => Some(rw.map.get(*init)),
                Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => None,
            })
            .collect();
        for trip in 0..trips {
            let iv = rw.b.int(lo + trip * step);
            rw.map.set(params[0], iv);
            let states = crate::dce::state_carries(carries);
            for (p, &n) in states.iter().enumerate() {
                rw.map.set(params[p + 1], current[n].expect("states start from their initial value"));
            }
            rw.region(*body, self);
            let yields = rw.map.all(&src.regions[*body].yields);
            for n in 0..carries.len() {
                current[n] = Some(combine(rw, carries[n], current[n], yields[n]));
            }
        }
        for n in 0..carries.len() {
            let value = match current[n] {
                Some(value) => value,
                None => neutral(rw, carries[n], results[n]),
            };
            rw.map.set(results[n], value);
        }
    }
}

fn combine(rw: &mut Rewriter<'_>, carry: Carry, so_far: Option<Value>, y: Value) -> Value {
    let (Some(so_far), float) = (so_far, rw.b.func().ty(y).is_float()) else { return y };
    let op = match carry {
        Carry::State(_) => return y,
        Carry::Sum => {
            if float {
                Op::Add
            } else {
                Op::IntAdd
            }
        }
        Carry::Prod => {
            if float {
                Op::Mul
            } else {
                Op::IntMul
            }
        }
        Carry::Min => {
            if float {
                Op::Min
            } else {
                Op::IntMin
            }
        }
        Carry::Max => {
            if float {
                Op::Max
            } else {
                Op::IntMax
            }
        }
    };
    rw.b.op(op, &[so_far, y])
}

fn neutral(rw: &mut Rewriter<'_>, carry: Carry, result: Value) -> Value {
    let ty = rw.src.ty(result);
    let (float, int) = match carry {
        Carry::Sum | Carry::State(_) => (0.0, 0),
        Carry::Prod => (1.0, 1),
        Carry::Min => (f64::INFINITY, i64::MAX),
        Carry::Max => (f64::NEG_INFINITY, i64::MIN),
    };
    if ty.is_float() { rw.b.float(ty, float) } else { rw.b.int(int) }
}
