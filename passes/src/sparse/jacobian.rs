//! The sparse Jacobian in one step: at every accumulation into a row, a sweep to the loads of the unknowns.
//!
//! # Problem
//! ```text
//! for t in .. { v = f(load x[i(t)], ..); accum y[r(t)] += v }
//!     ==>   for t in .. { ..; accum y[r(t)] += v; emit (r(t), i(t)), df/dx_i; .. }
//! ```
//! Applied to a gradient program, whose rows are the adjoints of the unknowns, it gives the Hessian. Intermediate arrays become stages
//! (`sparse/stages`): further rows and columns, listed first.
//!
//! # Method
//! Copy; at `accum` into a row buffer sweep from the value to the loads of columns (`ad/sweep`).
//!
//! # Why it keeps the meaning
//! It is `solve` after `seed` with the tangent program left implicit; the tests hold the two against each other.
//!
//! # Limits
//! `recurrence`, `stage`, `guarded-loop`: what a sweep cannot pass. An accumulation into a row under a condition that values decide is
//! `guarded-row`.

use crate::ad::graph::{Graph, Leaves, Obstacle};
use crate::ad::sweep::{Sink, sweep};
use crate::analysis::activity::Activity;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::collect::{Collector, row_position};
use crate::sparse::places::{self, Emitting, Places};
use crate::sparse::project;
use crate::sparse::seed::row_output;
use crate::sparse::stages::stages;
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Role, Value};
use spadina_ir::span::Span;

/// The program that computes what `func` computes and emits the derivative of `func.rows` with respect to `func.columns`.
pub fn jacobian(func: &Func) -> Result<Func, Diagnostic> {
    let activity = Activity::of(func, &func.columns);
    let stages = stages(func, &activity);
    let listed = |of: &[Buffer]| [&stages, of].concat();
    let func = &Func { columns: listed(&func.columns), rows: listed(&func.rows), ..func.clone() };
    let active = func.buffers_of(Role::Scratch).filter(|&b| activity.buffer(b) && !stages.contains(&b));
    let outputs = func.rows.iter().filter_map(|&y| row_output(func, y));
    let mut pass = Jacobian {
        graph: Graph::new(Leaves::Columns, &func.columns, active.collect()),
        rows: stages.iter().copied().chain(outputs).collect(),
        places: Places::new(func),
        refusal: None,
    };
    let mut rw = Rewriter::new(func, format!("{}.sparse", func.name));
    rw.region(func.body, &mut pass);
    pass.places.collector.close(&mut rw.b);
    match pass.refusal {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(rw.b.finish()),
    }
}

/// The refusal that an obstacle becomes.
pub fn refusal(func: &Func, obstacle: Obstacle) -> Diagnostic {
    let (start, end) = func.spans[obstacle.inst()];
    let span = Span { start, end };
    match obstacle {
        Obstacle::Recurrence(_) => {
            Diagnostic::error("recurrence", "this derivative passes through a recurrence, whose entries cannot be listed term by term")
                .label(span, "the state of an earlier iteration decides this value")
                .help("`auto` forms colored products with a detected pattern here (`--strategy compressed`), or a full matrix (`--strategy dense`)")
        }
        Obstacle::Stage(_) => {
            Diagnostic::error("stage", "this derivative passes through an intermediate array that is not inlined")
                .label(span, "read here")
                .help("`auto` forms colored products with a detected pattern here (`--strategy compressed`), or a full matrix (`--strategy dense`)")
        }
        Obstacle::Projection(_) => project::refuse(func, obstacle),
        Obstacle::InnerLoad(_) | Obstacle::GuardedLoop(_) => Diagnostic::error(
            "guarded-loop",
            "unknowns are read in a loop under a condition that values decide, so the entries are not known at prepare",
        )
        .label(span, "read here")
        .help("move the loop out of the `if`, or the `if` into the loop"),
    }
}

/// The refusal of an accumulation into a row under a condition that values decide.
pub fn guarded_row(func: &Func, guard: Inst) -> Diagnostic {
    let (start, end) = func.spans[guard];
    Diagnostic::error("guarded-row", "a loop writes entries under a condition that values decide")
        .label(Span { start, end }, "this condition")
        .help("move the loop out of the `if`, or the `if` into the loop")
}

struct Jacobian {
    graph: Graph,
    rows: Vec<Buffer>,
    places: Places,
    refusal: Option<Diagnostic>,
}

struct Entries<'a> {
    collector: &'a mut Collector,
    row: Value,
}

impl Sink for Entries<'_> {
    fn leaf(&mut self, b: &mut Builder, leaf: Value, bar: Value) {
        let Some(InstData::Load(buffer, index)) = b.func().def(leaf).cloned() else {
            unreachable!("the leaves are loads");
        };
        let column = b.position(buffer, &index);
        self.collector.push(self.row, column, bar);
    }

    fn close(&mut self, b: &mut Builder) {
        self.collector.close(b);
    }

    fn open(&mut self) {
        self.collector.open();
    }
}

impl Jacobian {
    fn row(&mut self, rw: &mut Rewriter<'_>, buffer: Buffer, index: &[Value], value: Value) {
        if !self.graph.is_active(&rw.b, value) {
            return;
        }
        if let Some(guard) = self.places.guard {
            self.refusal.get_or_insert_with(|| guarded_row(rw.src, guard));
            return;
        }
        let row = row_position(&mut rw.b, buffer, index);
        let one = rw.b.float(rw.b.func().ty(value), 1.0);
        let depths = (rw.b.depth(), self.places.collector.depth());
        let mut sink = Entries { collector: &mut self.places.collector, row };
        let known = &self.places.known;
        let outcome =
            sweep(&mut rw.b, &mut self.graph, &[(value, one)], &mut sink, &|b, cond| known.holds(b, cond));
        if let Err(obstacle) = outcome {
            rw.b.abandon(depths.0);
            self.places.collector.abandon(depths.1);
            self.refusal.get_or_insert_with(|| refusal(rw.b.func(), obstacle));
        }
    }
}

impl Emitting for Jacobian {
    fn places(&mut self) -> &mut Places {
        &mut self.places
    }
}

impl Visitor for Jacobian {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if self.refusal.is_some() {
            // The outcome is decided; keep values mapped.
            rw.copy(inst, self);
            return;
        }
        match &src.insts[inst] {
            InstData::Accum(buffer, index, value) => {
                rw.copy(inst, self);
                if self.rows.contains(buffer) {
                    let (index, value) = (rw.map.all(index), rw.map.get(*value));
                    self.row(rw, *buffer, &index, value);
                }
            }
            _ => places::copy(rw, self, inst),
        }
    }
}
