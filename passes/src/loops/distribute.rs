//! Sums over a ring become arrays over the elements that own the rings, filled by loops of their own.
//!
//! # Problem
//! ```text
//! for v in 0..V { l = for k in ptr[v]..ptr[v+1] with sum { g(x[v], x[nbr[k]]) };  accum out[] += f(l) }
//! ```
//! The Hessian of `f(l)` couples every pair of neighbors through `l`: swept inside the element, each pair of iterations of the ring
//! emits blocks, again and again for the same vertices.
//! ```text
//!     ==>   for v in 0..V { for k in ptr[v]..ptr[v+1] { accum s[v] += g(x[v], x[nbr[k]]) } };  for v in 0..V { accum out[] += f(load s[v]) }
//! ```
//! Now `s` is a stage (`sparse/stages`): each iteration of the ring emits its own block once, and the pairs are made by one product of
//! sparse matrices.
//!
//! # Method
//! A loop of the body over a full axis is split before each of its inner loops of symbolic length that gives float sums of unknowns which
//! the rest uses otherwise than by adding them to an array: a copy of the loop with what the inner loop depends on, and the inner loop,
//! accumulates into a new array; the loop itself loads. Inner loops are taken in order, so later ones may depend on earlier sums.
//!
//! # Why it keeps the meaning
//! The additions are the same in the same order; iterations of the outer loop do not depend on each other.
//!
//! # Limits
//! Inner loops whose terms are hardly more than products with data stay: their pairs cost no more than the product of matrices. Loops with recurrences, over anything but `0..size`, or whose inner loops read arrays that the same iteration fills stay as they are.
//!
//! # References
//! Allen and Kennedy, Optimizing Compilers for Modern Architectures, chapter 6 (loop distribution, scalar expansion).

use crate::analysis::activity::Activity;
use crate::analysis::cost;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::func::{
    Buffer, BufferData, Carry, Entries, Func, Inst, InstData, Plane, Region, Role, Value, ValueDef,
};
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Splits what can be split; `None` where nothing is.
pub fn distribute(func: &Func) -> Option<Func> {
    let activity = Activity::of(func, &func.columns);
    let body = func.regions[func.body].insts.iter();
    let plans: BTreeMap<Inst, Plan> =
        body.filter_map(|&inst| Some((inst, plan(func, &activity, inst)?))).collect();
    if plans.is_empty() {
        return None;
    }
    Some(Rewriter::new(func, func.name.clone()).run(&mut Distribute { plans }))
}

/// What becomes of one loop of the body.
struct Plan {
    /// The length of the axis.
    axis: SizeExpr,
    /// Inner loops in order, and what of the body each depends on.
    inner: Vec<(Inst, BTreeSet<Inst>)>,
}

fn plan(func: &Func, activity: &Activity, inst: Inst) -> Option<Plan> {
    let InstData::Loop { lo, hi, step: 1, carries, body } = &func.insts[inst] else { return None };
    if func.as_int(*lo) != Some(0) || carries.iter().any(|c| matches!(c, Carry::State(_))) {
        return None;
    }
    let InstData::Size(axis) = func.def(*hi)? else { return None };
    let written = walk::written_buffers(func, inst);
    let mut inner = Vec::new();
    for &candidate in &func.regions[*body].insts {
        if splits(func, activity, *body, candidate) {
            let needed = slice(func, *body, candidate, &inner.iter().map(|(i, _)| *i).collect());
            let loads = |i: &Inst| {
                let mut found = false;
                let mut look = |data: &InstData| {
                    found |= matches!(data, InstData::Load(b, _) if written.contains(b));
                };
                look(&func.insts[*i]);
                for region in func.insts[*i].regions() {
                    walk::visit_insts(func, region, &mut |_, nested| look(&func.insts[nested]));
                }
                found
            };
            if needed.iter().chain([&candidate]).any(loads) {
                return None;
            }
            inner.push((candidate, needed));
        }
    }
    (!inner.is_empty()).then(|| Plan { axis: axis.clone(), inner })
}

/// Operations of an iteration of the inner loop from which on its slopes are better computed once than for each pair. A product with
/// data (a sparse row times the unknowns) has none to compute.
const FEWEST: u64 = 4;

/// Whether an instruction of a loop is an inner loop of symbolic length with sums of unknowns that are not just added to arrays.
fn splits(func: &Func, activity: &Activity, body: Region, inst: Inst) -> bool {
    let InstData::Loop { lo, hi, carries, body: inner, .. } = &func.insts[inst] else { return false };
    if cost::of_region(func, *inner).total() < FEWEST {
        return false;
    }
    let literal = func.as_int(*lo).is_some() && func.as_int(*hi).is_some();
    let results = &func.results[inst];
    let sums = carries.iter().all(|c| *c == Carry::Sum) && results.iter().all(|&r| func.ty(r).is_float());
    let active = results.iter().any(|&r| activity.value(r));
    if literal || !sums || !active || walk::has_effects(func, inst) {
        return false;
    }
    let uses = |data: &InstData, operands: &[Value]| {
        !matches!(data, InstData::Accum(..)) && operands.iter().any(|v| results.contains(v))
    };
    func.regions[body].insts.iter().any(|&other| {
        let data = &func.insts[other];
        uses(data, &data.operands()) || uses(data, &walk::captures(func, other))
    })
}

/// The instructions of a region that one of them depends on, not looking behind `ends`.
fn slice(func: &Func, body: Region, inst: Inst, ends: &BTreeSet<Inst>) -> BTreeSet<Inst> {
    let own: BTreeSet<Inst> = func.regions[body].insts.iter().copied().collect();
    let mut open: Vec<Value> = func.insts[inst].operands().to_vec();
    open.extend(walk::captures(func, inst));
    let mut found = BTreeSet::new();
    while let Some(value) = open.pop() {
        let ValueDef::Result(from, _) = func.values[value].def else { continue };
        if own.contains(&from) && !ends.contains(&from) && found.insert(from) {
            open.extend(func.insts[from].operands());
            open.extend(walk::captures(func, from));
        }
    }
    found
}

struct Distribute {
    plans: BTreeMap<Inst, Plan>,
}

impl Visitor for Distribute {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let (Some(plan), InstData::Loop { lo, hi, body, .. }) = (self.plans.remove(&inst), &src.insts[inst])
        else {
            rw.copy(inst, self);
            return;
        };
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        let variable = src.regions[*body].params[0];
        let mut arrays: BTreeMap<Inst, Vec<Buffer>> = BTreeMap::new();
        for (inner, needed) in &plan.inner {
            let own: Vec<Buffer> =
                src.results[*inner].iter().map(|&r| array(rw, src, &plan.axis, r, *inner)).collect();
            let (iv, _) = rw.b.begin_loop(lo, hi, 1, &[]);
            rw.map.set(variable, iv);
            for &other in &src.regions[*body].insts {
                if other == *inner {
                    fill(rw, other, iv, &own, self);
                    break;
                }
                match arrays.get(&other) {
                    Some(arrays) => load(rw, other, iv, arrays),
                    None if needed.contains(&other) => rw.copy(other, self),
                    None => {}
                }
            }
            rw.b.end_loop(&[]);
            arrays.insert(*inner, own);
        }
        rw.open_loop(inst);
        let iv = rw.map.get(variable);
        for &other in &src.regions[*body].insts {
            match arrays.get(&other) {
                Some(arrays) => load(rw, other, iv, arrays),
                None => rw.copy(other, self),
            }
        }
        let yields = rw.map.all(&src.regions[*body].yields);
        let images = rw.b.end_loop(&yields);
        for (&result, &image) in src.results[inst].iter().zip(&images) {
            rw.map.set(result, image);
        }
    }
}

/// The inner loop, adding to arrays what it yielded.
fn fill(rw: &mut Rewriter<'_>, inner: Inst, iv: Value, arrays: &[Buffer], visitor: &mut Distribute) {
    let src = rw.src;
    let InstData::Loop { lo, hi, step, body, .. } = &src.insts[inner] else { return };
    let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
    let (k, _) = rw.b.begin_loop(lo, hi, *step, &[]);
    rw.map.set(src.regions[*body].params[0], k);
    rw.region(*body, visitor);
    for (&array, &y) in arrays.iter().zip(&src.regions[*body].yields) {
        let value = rw.map.get(y);
        rw.b.accum(array, &[iv], value);
    }
    rw.b.end_loop(&[]);
}

fn load(rw: &mut Rewriter<'_>, inner: Inst, iv: Value, arrays: &[Buffer]) {
    for (&result, &array) in rw.src.results[inner].iter().zip(arrays) {
        let value = rw.b.load(array, &[iv]);
        rw.map.set(result, value);
    }
}

fn array(rw: &mut Rewriter<'_>, src: &Func, axis: &SizeExpr, result: Value, inner: Inst) -> Buffer {
    let name = rw.b.func().fresh_buffer_name("ring");
    rw.b.buffer(BufferData {
        name,
        elem: src.ty(result),
        dims: vec![axis.clone()],
        role: Role::Scratch,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span: src.spans[inner],
    })
}
