//! Solving indicators for the seed: the loop over unknowns disappears.
//!
//! # Problem
//! ```text
//! for s in 0..n { for t in .. { accum y.x[r(t), s] += sum_k c_k(t) [idx_k(t) == s] } }
//!     ==>   for t in .. { emit (r(t), idx_k(t)), c_k(t)   for each k }
//! ```
//! # Method
//! 1. Find the nests that `seed` built: top-level loops over the axes of a variable.
//! 2. Copy their bodies without those loops, the subscripts of the seed replaced by a mark.
//! 3. At each accumulation into a dense block, sweep (`ad/sweep`) from the tangent to its indicators: indicator `[p == s]` with coefficient
//!    `c` becomes the entry `(row, p)` with value `c`. The tangents themselves are dead afterwards.
//!
//! # Why it keeps the meaning
//! The tangent is linear and homogeneous in the indicators, and each indicator holds for exactly one `s`: summing over `s` the
//! stores of column `s` stores every coefficient once, at its own column. It holds for any index expression, tables included.
//!
//! # Limits
//! The obstacles of `ad/sweep`, by their codes.

use crate::ad::graph::{Graph, Leaves};
use crate::ad::sweep::{Sink, sweep};
use crate::analysis::activity::Activity;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::collect::{Collector, row_position};
use crate::sparse::jacobian::{guarded_row, refusal};
use crate::sparse::places::{self, Emitting, Places};
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Plane, Region, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// The pass.
pub const PASS: Pass = Pass { name: "solve", summary: "solve one-hot indicators for the seed", run };

/// Removes the seed loops of a dense derivative.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    // Tangents of intermediate arrays: a sweep must not pass them by.
    let activity = Activity::with_indicators(func, &[], true);
    let stages = func.buffers_of(Role::Scratch).filter(|&b| activity.buffer(b)).collect();
    let mut pass = Solve { stages, nest: None, places: Places::new(func), refusal: None };
    let mut rw = Rewriter::new(func, func.name.replace(".dense", ".sparse"));
    rw.region(func.body, &mut pass);
    pass.places.collector.close(&mut rw.b);
    match pass.refusal {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(rw.b.finish()),
    }
}

struct Nest {
    column: Buffer,
    /// Remaining seed loops to open.
    axes: usize,
    /// The marked subscripts.
    marks: Vec<Value>,
}

struct Solve {
    /// Scratch arrays that hold tangents.
    stages: BTreeSet<Buffer>,
    nest: Option<Nest>,
    places: Places,
    refusal: Option<Diagnostic>,
}

/// The variable whose seed nest starts at this top-level instruction.
fn seed_nest(func: &Func, inst: Inst) -> Option<Buffer> {
    if !matches!(func.insts[inst], InstData::Loop { .. }) {
        return None;
    }
    walk::written_buffers(func, inst).into_iter().find_map(|b| match func.buffers[b].plane {
        Plane::Block(_, column) => Some(column),
        Plane::Primal | Plane::Tangent(_) | Plane::Adjoint(_) => None,
    })
}

impl Solve {
    fn dissolve(&mut self, rw: &mut Rewriter<'_>, body: Region) {
        let iv = rw.src.regions[body].params[0];
        let nest = self.nest.as_mut().expect("inside a nest");
        let mark = rw.b.int(-1 - nest.marks.len() as i64);
        rw.map.set(iv, mark);
        nest.marks.push(mark);
        nest.axes -= 1;
        rw.region(body, self);
    }

    fn store(&mut self, rw: &mut Rewriter<'_>, row: Buffer, index: &[Value], value: Value) {
        if let Some(guard) = self.places.guard {
            self.refusal.get_or_insert_with(|| guarded_row(rw.src, guard));
            return;
        }
        let nest = self.nest.as_ref().expect("dense blocks are written inside their nest");
        let column = nest.column;
        let seed = rw.b.position(column, &nest.marks.clone());
        let rank = index.len() - nest.marks.len();
        let row = row_position(&mut rw.b, row, &index[..rank]);
        let mut graph = Graph::new(Leaves::Indicators(seed), &[], self.stages.clone());
        if !graph.is_active(&rw.b, value) && nest.marks.is_empty() {
            // A scalar unknown: its indicator is always true and has been folded away.
            self.places.collector.push(row, seed, value);
            return;
        }
        let one = rw.b.float(rw.b.func().ty(value), 1.0);
        let depths = (rw.b.depth(), self.places.collector.depth());
        let mut sink = Entries { collector: &mut self.places.collector, row, seed };
        let known = &self.places.known;
        let outcome =
            sweep(&mut rw.b, &mut graph, &[(value, one)], &mut sink, &|b, cond| known.holds(b, cond));
        if let Err(obstacle) = outcome {
            rw.b.abandon(depths.0);
            self.places.collector.abandon(depths.1);
            self.refusal.get_or_insert_with(|| refusal(rw.b.func(), obstacle));
        }
    }
}

struct Entries<'a> {
    collector: &'a mut Collector,
    row: Value,
    seed: Value,
}

impl Sink for Entries<'_> {
    fn leaf(&mut self, b: &mut Builder, leaf: Value, bar: Value) {
        let Some(InstData::Op(Op::Indicator, args)) = b.func().def(leaf) else {
            unreachable!("the leaves are indicators");
        };
        let column = if args[0] == self.seed { args[1] } else { args[0] };
        self.collector.push(self.row, column, bar);
    }

    fn close(&mut self, b: &mut Builder) {
        self.collector.close(b);
    }

    fn open(&mut self) {
        self.collector.open();
    }
}

impl Emitting for Solve {
    fn places(&mut self) -> &mut Places {
        &mut self.places
    }
}

impl Visitor for Solve {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if rw.b.depth() == 1 && self.nest.is_none() {
            if let Some(column) = seed_nest(src, inst) {
                let axes = src.buffers[column].dims.len();
                self.nest = Some(Nest { column, axes, marks: Vec::new() });
                if axes == 0 {
                    self.nested(rw, inst);
                } else {
                    let InstData::Loop { body, .. } = src.insts[inst] else {
                        unreachable!("nests are loops")
                    };
                    self.dissolve(rw, body);
                }
                self.nest = None;
                return;
            }
            if let InstData::Accum(buffer, index, value) = &src.insts[inst]
                && let Plane::Block(row, column) = src.buffers[*buffer].plane
            {
                let (index, value) = (rw.map.all(index), rw.map.get(*value));
                self.nest = Some(Nest { column, axes: 0, marks: Vec::new() });
                self.store(rw, row, &index, value);
                self.nest = None;
                return;
            }
        }
        if let (InstData::Loop { body, .. }, Some(nest)) = (&src.insts[inst], &self.nest)
            && nest.axes > 0
        {
            self.dissolve(rw, *body);
            return;
        }
        self.nested(rw, inst);
    }
}

impl Solve {
    fn nested(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Accum(buffer, index, value) => match src.buffers[*buffer].plane {
                Plane::Block(row, _) => {
                    let (index, value) = (rw.map.all(index), rw.map.get(*value));
                    self.store(rw, row, &index, value);
                }
                Plane::Primal | Plane::Tangent(_) | Plane::Adjoint(_) => rw.copy(inst, self),
            },
            _ => places::copy(rw, self, inst),
        }
    }
}
