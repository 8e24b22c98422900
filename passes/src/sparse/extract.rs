//! Extraction into terms: the entries of one iteration become one block over its list of local unknowns.
//!
//! # Problem
//! Solving leaves one emission for each entry, some of them in inner loops although their place does not depend on the loop:
//! ```text
//! for e in .. { for q in .. { emit (r, c), f(q) }; emit (r, r), a; emit (r, c), b; emit (c, r), b; emit (c, c), d }
//!     ==>   for e in .. { s = for q sum { yield f(q) };  emit L = [r, c] symmetric: (0,0) a, (0,1) s + b, (1,1) d }
//! ```
//! # Method
//! 1. Copy; the entries of a region are collected until its end.
//! 2. At the end of a loop, entries whose row and column are defined outside (and legal even if the loop does not run) become sums of the loop and entries of the enclosing
//!    region: an emission moves to the shallowest loop where its place is invariant.
//! 3. The others are added up by (row, column) and emitted as one block. Local unknowns are ordered by variable and leading
//!    subscripts, so that the components of a point stand together. Where rows are columns and every entry has a mirror image of the
//!    *same value*, one half is kept: the emission is symmetric.
//!
//! # Why it keeps the meaning
//! Emissions only add, so their order and grouping are free up to rounding.
//!
//! # Limits
//! Entries of several regions are not merged. An entry and its mirror image with different values stay apart: the entries of one region
//! need not be symmetric where others of the same place stand in another region; only the whole matrix is.

use crate::analysis::range::in_range;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{EmitData, Func, Inst, InstData, Region, Value, Values};
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "extract", summary: "gather the entries of an iteration into one block", run };

/// Gathers emissions into terms.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let mut pass = Extract { levels: vec![Level::default()], proven: BTreeSet::new(), next_site: 0 };
    let mut rw = Rewriter::new(func, func.name.clone());
    rw.region(func.body, &mut pass);
    pass.flush(&mut rw.b);
    Ok(rw.b.finish())
}

/// Entries of one open region by place; the order of first appearance decides the order of sums.
#[derive(Default)]
struct Level {
    entries: BTreeMap<(Value, Value), Value>,
}

struct Extract {
    levels: Vec<Level>,
    /// Positions that are legal whether or not the loops around them run.
    proven: BTreeSet<Value>,
    next_site: u32,
}

impl Extract {
    fn add(&mut self, b: &mut Builder, row: Value, col: Value, value: Value) {
        let level = self.levels.last_mut().expect("a region is open");
        let sum = match level.entries.get(&(row, col)) {
            Some(&old) => b.add(old, value),
            None => value,
        };
        level.entries.insert((row, col), sum);
    }

    fn emit(&mut self, rw: &mut Rewriter<'_>, emit: &EmitData) {
        for (&(a, c), &value) in emit.entries.iter().zip(&emit.values) {
            let row = rw.map.get(emit.rows[a as usize]);
            let col = rw.map.get(emit.cols[c as usize]);
            let value = rw.map.get(value);
            for (position, image) in [(emit.rows[a as usize], row), (emit.cols[c as usize], col)] {
                if is_proven(rw.src, position) {
                    self.proven.insert(image);
                }
            }
            self.add(&mut rw.b, row, col, value);
            if emit.symmetric && a != c {
                self.add(&mut rw.b, col, row, value);
            }
        }
    }

    /// Emits what the innermost region still holds.
    fn flush(&mut self, b: &mut Builder) {
        let level = self.levels.pop().expect("a region is open");
        if level.entries.is_empty() {
            return;
        }
        let site = self.next_site;
        self.next_site += 1;
        b.emit(block(b.func(), site, &level.entries));
    }

    fn branch(&mut self, rw: &mut Rewriter<'_>, region: Region) -> Values {
        self.levels.push(Level::default());
        rw.region(region, self);
        self.flush(&mut rw.b);
        rw.map.all(&rw.src.regions[region].yields)
    }

    fn loop_(&mut self, rw: &mut Rewriter<'_>, inst: Inst, body: Region) {
        let src = rw.src;
        let mark = rw.b.next_value();
        rw.open_loop(inst);
        self.levels.push(Level::default());
        rw.region(body, self);
        let level = self.levels.last_mut().expect("just pushed");
        let mut moved = Vec::new();
        level.entries.retain(|&(row, col), &mut value| {
            let invariant = [row, col].iter().all(|p| *p < mark && self.proven.contains(p));
            if invariant {
                moved.push((row, col, value));
            }
            !invariant
        });
        self.flush(&mut rw.b);
        let yields = rw.map.all(&src.regions[body].yields);
        // Equal values share a sum, so that mirror images stay equal.
        let mut sums: Vec<Value> = moved.iter().map(|&(_, _, value)| value).collect();
        sums.sort_unstable();
        sums.dedup();
        let images = rw.b.end_loop_with_sums(&yields, &sums);
        for (&result, &image) in src.results[inst].iter().zip(&images) {
            rw.map.set(result, image);
        }
        for &(row, col, value) in &moved {
            let at = sums.binary_search(&value).expect("every moved value is summed");
            self.add(&mut rw.b, row, col, images[yields.len() + at]);
        }
    }
}

impl Visitor for Extract {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        match &src.insts[inst] {
            // A projected block stands for itself: what is added to it, or taken from it, is not what is projected.
            InstData::Emit(emit) if emit.project.is_some() => {
                let image = EmitData { site: self.next_site, ..rw.map_emit(emit) };
                self.next_site += 1;
                rw.b.emit(image);
            }
            InstData::Emit(emit) => self.emit(rw, emit),
            InstData::Loop { body, .. } => self.loop_(rw, inst, *body),
            InstData::If { cond, .. } if rw.b.func().as_const(rw.map.get(*cond)).is_none() => {
                rw.copy_if(inst, |rw, region| self.branch(rw, region));
            }
            _ => rw.copy(inst, self),
        }
    }
}

/// True where the subscripts of a position are in range whatever the loops around do.
fn is_proven(func: &Func, position: Value) -> bool {
    match func.def(position) {
        Some(InstData::Position(buffer, index)) => index
            .iter()
            .zip(&func.buffers[*buffer].dims)
            .all(|(&subscript, dim)| in_range(func, subscript, dim)),
        _ => false,
    }
}

/// One emission for these entries.
fn block(func: &Func, site: u32, entries: &BTreeMap<(Value, Value), Value>) -> EmitData {
    let mirrored = func.rows == func.columns
        && entries.iter().all(|(&(r, c), value)| entries.get(&(c, r)) == Some(value));
    let rows = ordered(func, entries.keys().map(|&(r, _)| r));
    let cols = if mirrored { rows.clone() } else { ordered(func, entries.keys().map(|&(_, c)| c)) };
    let place = |list: &[Value]| -> BTreeMap<Value, u32> { list.iter().copied().zip(0..).collect() };
    let (row_of, col_of) = (place(&rows), place(&cols));
    let mut listed: Vec<((u32, u32), Value)> = entries
        .iter()
        .map(|(&(r, c), &value)| ((row_of[&r], col_of[&c]), value))
        .filter(|&((a, c), _)| !mirrored || a <= c)
        .collect();
    listed.sort_unstable_by_key(|&(at, _)| at);
    let (entries, values) = listed.into_iter().unzip();
    EmitData { site, rows, cols, entries, values, symmetric: mirrored, direct: false, project: None }
}

/// Distinct positions, the components of one point together and in order.
pub(super) fn ordered(func: &Func, positions: impl Iterator<Item = Value>) -> Vec<Value> {
    type Key = (Vec<u32>, i64, Value);
    let mut keyed: Vec<Key> = positions
        .map(|p| match func.def(p) {
            Some(InstData::Position(buffer, index)) => {
                let literal = index.last().and_then(|&last| func.as_int(last));
                let leading = if literal.is_some() { &index[..index.len() - 1] } else { &index[..] };
                let key = std::iter::once(buffer.as_u32()).chain(leading.iter().map(|v| v.as_u32()));
                (key.collect(), literal.unwrap_or(0), p)
            }
            _ => (vec![u32::MAX, p.as_u32()], 0, p),
        })
        .collect();
    keyed.sort_unstable();
    keyed.dedup();
    keyed.into_iter().map(|(_, _, p)| p).collect()
}
