//! Rows of affine kernels, computed one after the other: the loop variable solved for, given the row.
//!
//! # Problem
//! An element program scatters: each iteration adds to several rows, through a slot for every entry.
//! ```text
//! for i in 0..N-1 { h = f(x[i], x[i+1]);  emit [x[i], x[i+1]]: (0,0) h, (0,1) -h, (1,0) -h, (1,1) h }
//! ```
//! Where every subscript of a row is a loop variable plus an offset, the iterations that meet a given row are known:
//! ```text
//! for r in 1..N-1 { h = f(x[r-1], x[r]); k = f(x[r], x[r+1]);  emit direct x[r]: (x[r-1]) -h, (x[r]) h + k, (x[r+1]) -k }
//! ```
//! The row is complete, its columns are known and in order: its values are stored where the matrix keeps them, without slots and
//! without zeros before.
//! # Method
//! 1. The row subscript `sign * iv + base` is solved for `iv`: `iv = sign * (r - base)`, an exact division; modulo `N` for a ring,
//!    where `iv -> (iv + base) % N` is a bijection of `0..N` (so `N` = 1, 2, 3 need no care). Distinct solutions are *shifts*; the row
//!    receives, of each shift, what the iteration behind it gives to this row, under the guard that this iteration exists.
//! 2. On a box of rows far from all borders the guards hold, nothing wraps, and conditions on indices are known (`rows/interior.rs`):
//!    there the entries of all shifts are added up by column, sorted, and stored by one *direct* emission for each buffer. A column
//!    may be named by data (`cam[k[o], 2]`) as long as no other subscript of its array could be before or behind it.
//! 3. The frame around the box, two strips for each axis, is computed by the same copy with its guards and ordinary emissions: the
//!    general road. Each row comes wholly from one of the two.
//! 4. A sum into a scalar (the energy) is counted by one shift that meets every iteration once.
//! 5. Terms of an energy for which this cannot be done stay as they are, and with them all others that write rows of the same unknowns.
//! # Why it keeps the meaning
//! Emissions and accumulations only add, and every (iteration, row) pair of the element program is met once: a row exists for each
//! effect (proven from bounds and guards, else refused), and a shift maps iterations to rows one to one.
//! # Limits
//! Rows must determine the whole iteration; coefficients other than 1 and -1, intermediate arrays, results of loops with effects,
//! triangular bounds and dense rows (a scalar unknown in a loop) are refused: the element program serves them. An iteration is computed
//! once for each of its rows, except along the innermost axis (`rows/carry.rs`).

mod carry;
mod gather;
mod interior;
mod plan;

use crate::dce;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::work;
use gather::Gather;
use interior::Interior;
use plan::{Group, Left, Plan, row_of};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Why a program is not computed row by row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal(pub &'static str);

/// The program row by row. Its interior emissions are direct.
///
/// # Errors
/// Why the element program must serve.
pub fn rows(func: &Func) -> Result<Func, Refusal> {
    let mut projected = false;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        projected |= matches!(&func.insts[inst], InstData::Emit(emit) if emit.project.is_some());
    });
    if projected {
        return Err(Refusal("a projected block has all its rows at once"));
    }
    let mut left = Left::default();
    loop {
        let plan = Plan::new(func, &mut left)?;
        match by_plan(func, plan) {
            Ok(made) => return Ok(made),
            Err((roots, reason)) => {
                for root in roots {
                    left.add(func, root, reason)?;
                }
            }
        }
    }
}

/// The program by a plan, or the top-level instructions that must be left, and why.
fn by_plan(func: &Func, mut plan: Plan) -> Result<Func, (BTreeSet<Inst>, Refusal)> {
    let mut rw = Rewriter::new(func, format!("{}.rows", func.name));
    let mut next_site = 0;
    rw.region(func.body, &mut Outside { plan: &plan, next_site: &mut next_site });
    for n in 0..plan.groups.len() {
        let stop = |reason| (plan.roots(n).collect(), reason);
        let boxed = margins(&rw, &plan, &plan.groups[n]).map_err(stop)?;
        let group = &mut plan.groups[n];
        for k in 0..group.dims.len() {
            group.lower[k] = group.lower[k].max(boxed.lower[k]);
            group.upper[k] = group.upper[k].max(boxed.upper[k]);
        }
        let (group, stop) = (&plan.groups[n], |reason| (plan.roots(n).collect(), reason));
        if let Some(root) = plan.roots(n).next() {
            rw.b.set_span(func.spans[root]);
        }
        if group.lower.iter().chain(&group.upper).any(|&margin| margin > 0) {
            let span = rw.b.span();
            frame(&mut rw, &plan, group, &mut next_site).map_err(stop)?;
            rw.b.set_span(span);
        }
        let rows = open_box(&mut rw.b, group);
        let interior = new_interior(group, &rows);
        Gather::run(&mut rw, &plan, group, rows, Some(interior), &mut next_site).map_err(stop)?;
        close_loops(&mut rw.b, group.dims.len() + usize::from(group.dims.len() == 1));
    }
    // Only what is alive is worth being carried.
    Ok(carry::carry(&dce::eliminate(&rw.b.finish())))
}

fn new_interior(group: &Group, rows: &[Value]) -> Interior {
    let (lower, upper) = (group.lower.clone(), group.upper.clone());
    Interior { rows: rows.to_vec(), dims: group.dims.clone(), lower, upper }
}

/// What stands outside of the nests: pure values, and phases that write single rows.
struct Outside<'a> {
    plan: &'a Plan,
    next_site: &'a mut u32,
}

impl Visitor for Outside<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if self.plan.phases.iter().any(|p| p.nest && p.root == inst) {
            return;
        }
        if let InstData::Emit(emit) = &rw.src.insts[inst] {
            let mut image = rw.map_emit(emit);
            image.site = *self.next_site;
            *self.next_site += 1;
            rw.b.emit(image);
        } else {
            rw.copy(inst, self);
        }
    }
}

/// The box that the interior of a group needs: found by building it once for nothing.
fn margins(rw: &Rewriter<'_>, plan: &Plan, group: &Group) -> Result<Interior, Refusal> {
    let mut attempt = Rewriter { src: rw.src, b: rw.b.clone(), map: rw.map.clone() };
    let rows = open_box(&mut attempt.b, group);
    let interior = new_interior(group, &rows);
    let found = Gather::run(&mut attempt, plan, group, rows, Some(interior), &mut 0)?;
    found.ok_or(Refusal("there is no interior"))
}

/// Rows of one stretch of a single axis: iterations of the outer loop stay independent while rows of a stretch share work.
const STRETCH: i64 = 512;

/// Opens the loops over the box (a single axis is cut into stretches); its row subscripts.
fn open_box(b: &mut Builder, group: &Group) -> Vec<Value> {
    let bounds =
        |b: &mut Builder, k: usize| (b.int(group.lower[k]), shortened(b, &group.dims[k], group.upper[k]));
    if group.dims.len() == 1 {
        let (first, end) = bounds(b, 0);
        let (zero, stretch, rest) = (b.int(0), b.int(STRETCH), b.int(STRETCH - 1));
        let count = b.op(Op::IntSub, &[end, first]);
        let count = b.op(Op::IntAdd, &[count, rest]);
        let count = b.op(Op::IntDiv, &[count, stretch]);
        let (n, _) = b.begin_loop(zero, count, 1, &[]);
        let skipped = b.op(Op::IntMul, &[n, stretch]);
        let lo = b.op(Op::IntAdd, &[first, skipped]);
        let hi = b.op(Op::IntAdd, &[lo, stretch]);
        let hi = b.op(Op::IntMin, &[hi, end]);
        return vec![b.begin_loop(lo, hi, 1, &[]).0];
    }
    let open = |b: &mut Builder, k: usize| {
        let (lo, hi) = bounds(b, k);
        b.begin_loop(lo, hi, 1, &[]).0
    };
    (0..group.dims.len()).map(|k| open(b, k)).collect()
}

fn close_loops(b: &mut Builder, count: usize) {
    for _ in 0..count {
        b.end_loop(&[]);
    }
}

fn shortened(b: &mut Builder, dim: &SizeExpr, by: i64) -> Value {
    match dim.checked_sub(&SizeExpr::constant(by)) {
        Some(expr) => b.size(&expr),
        None => b.int(0),
    }
}

/// The rows around the box: for each axis a strip before it and a strip behind it, where the axes before lie in the box and those after
/// have their full length. One loop runs over the strips, so that their code exists once.
fn frame(rw: &mut Rewriter<'_>, plan: &Plan, group: &Group, next_site: &mut u32) -> Result<(), Refusal> {
    let (zero, strips) = (rw.b.int(0), rw.b.int(2 * group.dims.len() as i64));
    let (strip, _) = rw.b.begin_loop(zero, strips, 1, &[]);
    let mut rows = Vec::new();
    for (k, dim) in (0..).zip(&group.dims) {
        let b = &mut rw.b;
        let (margin, length) = (b.int(group.lower[k]), b.size(dim));
        let box_end = shortened(b, dim, group.upper[k]);
        let first_end = b.op(Op::IntMin, &[margin, length]);
        let last_start = b.op(Op::IntMax, &[first_end, box_end]);
        let (before, behind) = (b.int(2 * k as i64), b.int(2 * k as i64 + 1));
        let is_before = b.op(Op::IntEq, &[strip, before]);
        let is_behind = b.op(Op::IntEq, &[strip, behind]);
        let boxed = b.op(Op::IntLt, &[behind, strip]);
        let lo = b.select(boxed, margin, zero);
        let lo = b.select(is_behind, last_start, lo);
        let hi = b.select(boxed, box_end, length);
        let hi = b.select(is_before, first_end, hi);
        rows.push(b.begin_loop(lo, hi, 1, &[]).0);
    }
    Gather::run(rw, plan, group, rows, None, next_site)?;
    close_loops(&mut rw.b, group.dims.len() + 1);
    Ok(())
}

/// What a top-level instruction that emits does in a program by rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// It stores complete rows.
    Inside,
    /// It adds to rows around those.
    Border,
    /// It is left as the element program has it.
    Element,
}

/// The top-level instructions that emit, and the buffers of whose rows; none in a program that is not by rows.
pub fn parts(func: &Func) -> BTreeMap<Inst, (Part, BTreeSet<Buffer>)> {
    let mut parts = BTreeMap::new();
    let mut complete = BTreeSet::new();
    for &root in &func.regions[func.body].insts {
        let mut one = |inst: Inst| {
            let InstData::Emit(emit) = &func.insts[inst] else { return };
            let (part, buffers) = parts.entry(root).or_insert((Part::Element, BTreeSet::new()));
            buffers.extend(rows_of(func, inst));
            if emit.direct {
                complete.extend(rows_of(func, inst));
                *part = Part::Inside;
            }
        };
        one(root);
        for region in func.insts[root].regions() {
            walk::visit_insts(func, region, &mut |_, inst| one(inst));
        }
    }
    for (part, buffers) in parts.values_mut() {
        if *part == Part::Element && !buffers.is_disjoint(&complete) {
            *part = Part::Border;
        }
    }
    if complete.is_empty() { BTreeMap::new() } else { parts }
}

/// The buffers of which an emission writes rows.
fn rows_of(func: &Func, inst: Inst) -> impl Iterator<Item = Buffer> + '_ {
    let rows = match &func.insts[inst] {
        InstData::Emit(emit) => &emit.rows[..],
        _ => &[],
    };
    rows.iter().filter_map(|&row| row_of(func, row)).map(|row| row.0)
}

/// What one iteration of everything costs: weighed float operations in loops, each counted once, and entries that are added through
/// slots. Of a program by rows what runs for each row of the interior counts, and what is not computed by rows; its borders do not.
pub fn work(func: &Func) -> u64 {
    let is_direct = |&inst: &Inst| matches!(&func.insts[inst], InstData::Emit(emit) if emit.direct);
    let stores: Vec<bool> = func.regions.values().map(|region| region.insts.iter().any(is_direct)).collect();
    let parts = parts(func);
    let of_root = |&root: &Inst| {
        let part = parts.get(&root).map_or(Part::Element, |part| part.0);
        let mut work = 0;
        for region in func.insts[root].regions() {
            walk::visit_insts(func, region, &mut |region, inst| {
                let counts = match part {
                    Part::Inside => stores[region.as_u32() as usize],
                    Part::Border => false,
                    Part::Element => true,
                };
                work += match &func.insts[inst] {
                    InstData::Op(op, _) if counts => work::weight(*op),
                    InstData::Emit(emit) if counts && !emit.direct => work::emission(emit),
                    _ => 0,
                };
            });
        }
        work
    };
    func.regions[func.body].insts.iter().map(of_root).sum()
}
