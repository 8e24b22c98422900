//! Results of loops at the top that later phases use are kept in arrays of rank 0.
//!
//! # Problem
//! Generated code runs the body phase by phase, a phase in many pieces, and computes again in each piece what it needs of pure code:
//! ```text
//! s = sum i { x[i]^2 };  for i { accum g[i] += s * x[i] }
//!     ==>   for i { accum kept[] += x[i]^2 };  for i { s = load kept[]; accum g[i] += s * x[i] }
//! ```
//! A loop that fills an array of its own cannot be computed twice at all, and a sum over all elements should not be.
//!
//! # Method
//! For each loop of the body with a float result that depends on values: which phases need it (each instruction needs what its operands
//! do)? Where one of them is a loop, or there are several, or the loop itself has effects, every such result gets an array.
//! A sum is accumulated where it was yielded. A recurrence is stored by its last iteration, or before the loop where there is none.
//!
//! # Why it keeps the meaning
//! The additions are the same ones in the same order, and they are finished before the array is read.
//!
//! # Limits
//! Results that prepare knows (structural ones) decide which entries exist and stay values.

use crate::analysis::structural::Structural;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::SecondaryMap;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{
    Buffer, BufferData, Carry, Entries, Func, Inst, InstData, Plane, Role, Value, ValueDef,
};
use spadina_ir::op::Op;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "materialize", summary: "keep results of loops that later phases use", run };

/// Keeps what several phases or pieces of a phase need.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let kept = kept(func);
    if kept.is_empty() {
        return Ok(func.clone());
    }
    let names = Box::new(func.fresh_buffer_names("kept"));
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Materialize { kept, names }))
}

/// Loops of the body, and which of their results get an array.
fn kept(func: &Func) -> BTreeMap<Inst, Vec<usize>> {
    let body = &func.regions[func.body].insts;
    let structural = Structural::of(func);
    let mut loops: Vec<Kept> = Vec::new();
    let mut numbers: SecondaryMap<Value, Option<usize>> = SecondaryMap::new();
    let mut needs: SecondaryMap<Inst, BTreeSet<usize>> = SecondaryMap::new();
    for &inst in body {
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        for value in func.insts[inst].operands().iter().copied().chain(walk::captures(func, inst)) {
            needed.extend(numbers[value]);
            if let ValueDef::Result(from, _) = func.values[value].def {
                needed.extend(&needs[from]);
            }
        }
        if walk::has_effects(func, inst) {
            for &n in &needed {
                loops[n].users.push(inst);
            }
        }
        needs[inst] = needed;
        let InstData::Loop { carries, .. } = &func.insts[inst] else { continue };
        let results = &func.results[inst];
        let wanted = |n: &usize| {
            let kept = matches!(carries[*n], Carry::Sum | Carry::State(_));
            kept && func.ty(results[*n]).is_float() && !structural.holds(results[*n])
        };
        let wanted: Vec<usize> = (0..results.len()).filter(wanted).collect();
        for &n in &wanted {
            numbers[results[n]] = Some(loops.len());
        }
        loops.push(Kept { inst, wanted, users: Vec::new() });
    }
    let is_kept = |kept: &Kept| {
        let again = kept.users.len() > 1 || kept.users.iter().any(|&root| is_loop(func, root));
        !kept.users.is_empty() && (again || walk::has_effects(func, kept.inst))
    };
    loops.into_iter().filter(is_kept).map(|kept| (kept.inst, kept.wanted)).collect()
}

/// A loop of the body.
struct Kept {
    inst: Inst,
    /// Its results that could get an array.
    wanted: Vec<usize>,
    /// The phases that need one of them.
    users: Vec<Inst>,
}

fn is_loop(func: &Func, inst: Inst) -> bool {
    matches!(func.insts[inst], InstData::Loop { .. })
}

struct Materialize {
    kept: BTreeMap<Inst, Vec<usize>>,
    /// Names of arrays that there are not yet.
    names: Box<dyn Iterator<Item = String>>,
}

impl Visitor for Materialize {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let (Some(kept), InstData::Loop { lo, hi, step, carries, body }) =
            (self.kept.get(&inst).cloned(), &src.insts[inst])
        else {
            rw.copy(inst, self);
            return;
        };
        let arrays: Vec<(usize, Buffer)> = kept
            .into_iter()
            .map(|n| {
                let name = self.names.next().expect("numbers do not end");
                let elem = src.ty(src.results[inst][n]);
                (n, rw.b.buffer(scratch(name, elem, src.spans[inst])))
            })
            .collect();
        let (first, end) = (rw.map.get(*lo), rw.map.get(*hi));
        for &(n, array) in &arrays {
            if let Carry::State(init) = carries[n] {
                let runs = rw.b.op(Op::IntLt, &[first, end]);
                let never = rw.b.op(Op::Not, &[runs]);
                let init = rw.map.get(init);
                rw.b.begin_if(never);
                rw.b.accum(array, &[], init);
                rw.b.begin_else(&[]);
                rw.b.end_if(&[]);
            }
        }
        let is_sum = |n: usize| carries[n] == Carry::Sum && arrays.iter().any(|&(m, _)| m == n);
        let left: Vec<usize> = (0..carries.len()).filter(|&n| !is_sum(n)).collect();
        let images: Vec<Carry> = left.iter().map(|&n| rw.map_carry(carries[n])).collect();
        let (iv, states) = rw.b.begin_loop(first, end, *step, &images);
        let params = &src.regions[*body].params;
        rw.map.set(params[0], iv);
        for (&param, &state) in params[1..].iter().zip(&states) {
            rw.map.set(param, state);
        }
        rw.region(*body, self);
        let yields = &src.regions[*body].yields;
        for &(n, array) in &arrays {
            let value = rw.map.get(yields[n]);
            if carries[n] == Carry::Sum {
                rw.b.accum(array, &[], value);
            } else {
                let stride = rw.b.int(*step);
                let next = rw.b.op(Op::IntAdd, &[iv, stride]);
                let more = rw.b.op(Op::IntLt, &[next, end]);
                rw.b.begin_if(more);
                rw.b.begin_else(&[]);
                rw.b.accum(array, &[], value);
                rw.b.end_if(&[]);
            }
        }
        let left_yields: Vec<Value> = left.iter().map(|&n| rw.map.get(yields[n])).collect();
        let results = rw.b.end_loop(&left_yields);
        for (&n, &image) in left.iter().zip(&results) {
            rw.map.set(src.results[inst][n], image);
        }
        for (n, array) in arrays {
            let value = rw.b.load(array, &[]);
            rw.map.set(src.results[inst][n], value);
        }
    }
}

fn scratch(name: String, elem: spadina_ir::types::Ty, span: (u32, u32)) -> BufferData {
    BufferData {
        name,
        elem,
        dims: Vec::new(),
        role: Role::Scratch,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span,
    }
}
