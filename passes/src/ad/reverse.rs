//! Reverse mode: the adjoint of every unknown, by recomputation.
//!
//! # Problem
//! ```text
//! v = load x[i]                 accum x_bar[i] += v_bar
//! y = op(a, b)        ==>       a_bar += (dy/da) y_bar;  b_bar += (dy/db) y_bar      (last instruction first)
//! accum y[i] += v               v_bar += load y_bar[i]
//! ```
//! # Method
//! 1. Activity from the unknowns. Copy the body; loops that only write outputs are left for the next step, which computes their
//!    outputs too (one loop instead of two).
//! 2. Walk the body backward, carrying the adjoint of every active value. A loop is reversed by a loop over the same range that
//!    recomputes the body and then walks it backward; adjoints of values captured from outside are its sums. Iterations without
//!    recurrence are independent, so their order does not matter. Both branches of an `if` are reversed under the same condition.
//! 3. A recurrence runs twice: forward, writing its states to a tape (a scratch array), then from the last iteration to the first.
//!
//! # Why it keeps the meaning
//! Every accumulation into a buffer precedes every load of it, so backward every accumulation into its adjoint precedes every
//! load of that; the result obeys the same rule and can be differentiated again.
//!
//! # Limits
//! `recurrence-length`: the tape of an active recurrence needs a length that is bounded by the sizes. `recurrence-int`: an integer
//! state beside an active one. `prod`, `min` and `max` carries must have become recurrences (`loops/normalize`).
//!
//! # References
//! Griewank and Walther, Evaluating Derivatives, 2nd ed., chapters 3.2 and 12; Innes, arXiv 1810.07951 (adjoints of SSA).

mod recurrence;

use crate::ad::forward::plane_buffer;
use crate::ad::rules;
use crate::analysis::activity::Activity;
use crate::dce::state_carries;
use crate::rewrite::{Map, Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Carry, Const, Func, Inst, InstData, Plane, Region, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::span::Span;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// Where the adjoints of outputs come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weights {
    /// Every output has adjoint 1: the gradient of an energy (or of the sum of all results).
    One,
    /// Inputs `y_bar` shaped like each output: a vector-Jacobian product, a Lagrangian.
    Inputs,
}

/// The adjoint program of `func`: outputs `x_bar` for each of `sources`. With `keep_primal` the primal outputs are computed too.
pub fn reverse(
    func: &Func,
    sources: &[Buffer],
    weights: Weights,
    keep_primal: bool,
) -> Result<Func, Diagnostic> {
    let activity = Activity::of(func, sources);
    let mut rw = Rewriter::new(func, format!("{}.rev", func.name));
    let adjoints = declare(func, sources, weights, &activity, &mut rw);
    let mut pass =
        Reverse { activity, adjoints, bars: Map::new(), keep_primal, policy: Policy::Forward, refusal: None };
    rw.region(func.body, &mut pass);
    pass.policy = Policy::Fused;
    pass.backward(&mut rw, func.body);
    match pass.refusal {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(rw.b.finish()),
    }
}

fn declare(
    func: &Func,
    sources: &[Buffer],
    weights: Weights,
    activity: &Activity,
    rw: &mut Rewriter<'_>,
) -> Vec<(Buffer, Buffer)> {
    let mut adjoints = Vec::new();
    for &x in sources {
        adjoints.push((x, plane_buffer(&mut rw.b, x, Role::Output, Plane::Adjoint(x), "_bar")));
    }
    for (y, data) in &func.buffers {
        if !activity.buffer(y) {
            continue;
        }
        match data.role {
            Role::Scratch => {
                adjoints.push((y, plane_buffer(&mut rw.b, y, Role::Scratch, Plane::Adjoint(y), "_bar")));
            }
            Role::Output if weights == Weights::Inputs => {
                adjoints.push((y, plane_buffer(&mut rw.b, y, Role::Data, Plane::Adjoint(y), "_bar")));
            }
            Role::Output | Role::Var | Role::Data | Role::Structural => {}
        }
    }
    adjoints
}

/// What happens to the effects of primal instructions while they are copied.
#[derive(Clone, PartialEq, Eq)]
enum Policy {
    /// The forward sweep over the body: everything but loops (and ifs) that only write outputs.
    Forward,
    /// First execution of such a loop, at its reversal: accumulations into outputs are kept.
    Fused,
    /// Recomputation: only the scratch arrays that are reset inside, here listed, are written.
    Again(BTreeSet<Buffer>),
}

struct Reverse {
    activity: Activity,
    adjoints: Vec<(Buffer, Buffer)>,
    bars: Map,
    keep_primal: bool,
    policy: Policy,
    refusal: Option<Diagnostic>,
}

fn is_deferred(func: &Func, inst: Inst) -> bool {
    let data = &func.insts[inst];
    let structured = matches!(data, InstData::Loop { .. } | InstData::If { .. });
    let written = walk::written_buffers(func, inst);
    structured
        && func.results[inst].is_empty()
        && !written.is_empty()
        && written.iter().all(|&b| func.buffers[b].role == Role::Output)
}

impl Visitor for Reverse {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let top = rw.b.depth() == 1;
        if top && self.policy == Policy::Forward && is_deferred(src, inst) {
            return;
        }
        let keep = match (&src.insts[inst], &self.policy) {
            (InstData::Accum(buffer, ..), policy) => match (src.buffers[*buffer].role, policy) {
                (Role::Output, Policy::Forward | Policy::Fused) => self.keep_primal,
                (_, Policy::Forward) => true,
                (Role::Output, Policy::Again(_)) | (_, Policy::Fused) => false,
                (_, Policy::Again(local)) => local.contains(buffer),
            },
            (InstData::Reset(buffer, _), Policy::Again(local)) => local.contains(buffer),
            (InstData::Reset(..), Policy::Fused) | (InstData::Emit(_), _) => false,
            _ => true,
        };
        if keep {
            rw.copy(inst, self);
        }
    }
}

impl Reverse {
    fn adjoint(&self, buffer: Buffer) -> Option<Buffer> {
        self.adjoints.iter().find(|(of, _)| *of == buffer).map(|&(_, bar)| bar)
    }

    fn add_bar(&mut self, rw: &mut Rewriter<'_>, value: Value, contribution: Value) {
        if !self.activity.value(value) {
            return;
        }
        let sum = match self.bars.find(value) {
            Some(bar) => rw.b.add(bar, contribution),
            None => contribution,
        };
        self.bars.set(value, sum);
    }

    fn bar_or_zero(&self, rw: &mut Rewriter<'_>, value: Value) -> Value {
        match self.bars.find(value) {
            Some(bar) => bar,
            None => rw.b.float(rw.src.ty(value), 0.0),
        }
    }

    /// Walks a region backward; its primal values are already mapped.
    ///
    /// What is added to a local array lives from a reset to the next one, or to the end: so does what is added to its adjoint, backward,
    /// which is cleared at that end for as many entries as the reset at the beginning clears.
    fn backward(&mut self, rw: &mut Rewriter<'_>, region: Region) {
        let src = rw.src;
        let insts = &src.regions[region].insts;
        let reset = |n: usize| match src.insts[insts[n]] {
            InstData::Reset(buffer, length) => Some((buffer, length)),
            _ => None,
        };
        let mut cleared = BTreeSet::new();
        for (buffer, length) in (0..insts.len()).rev().filter_map(reset) {
            if cleared.insert(buffer) {
                self.clear_adjoint(rw, buffer, length);
            }
        }
        for n in (0..insts.len()).rev() {
            rw.b.set_span(src.spans[insts[n]]);
            match reset(n) {
                None => self.backward_inst(rw, insts[n]),
                Some((buffer, _)) => {
                    let before = (0..n).rev().filter_map(reset).find(|(earlier, _)| *earlier == buffer);
                    if let Some((_, length)) = before {
                        self.clear_adjoint(rw, buffer, length);
                    }
                }
            }
        }
    }

    fn clear_adjoint(&self, rw: &mut Rewriter<'_>, buffer: Buffer, length: Option<Value>) {
        if let Some(adjoint) = self.adjoint(buffer) {
            rw.reset(adjoint, length);
        }
    }

    fn backward_inst(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Op(op, args) => {
                let result = src.results[inst][0];
                if let Some(bar) = self.bars.find(result) {
                    self.backward_op(rw, *op, args, result, bar);
                }
            }
            InstData::Load(buffer, index) => {
                let result = src.results[inst][0];
                if let (Some(bar), Some(adjoint)) = (self.bars.find(result), self.adjoint(*buffer)) {
                    let index = rw.map.all(index);
                    rw.b.accum(adjoint, &index, bar);
                }
            }
            InstData::Accum(buffer, index, value) => {
                if !self.activity.value(*value) {
                    return;
                }
                let bar = match self.adjoint(*buffer) {
                    Some(adjoint) => {
                        let index = rw.map.all(index);
                        rw.b.load(adjoint, &index)
                    }
                    None => rw.b.float(src.ty(*value), 1.0),
                };
                self.add_bar(rw, *value, bar);
            }
            InstData::Loop { .. } => self.backward_loop(rw, inst),
            InstData::If { .. } => self.backward_if(rw, inst),
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Position(..)
            | InstData::Check(..)
            | InstData::Reset(..)
            | InstData::Emit(_) => {}
        }
    }

    fn backward_op(&mut self, rw: &mut Rewriter<'_>, op: Op, args: &[Value], result: Value, bar: Value) {
        let images = rw.map.all(args);
        let v = rw.map.get(result);
        if op == Op::Narrow || op == Op::Widen {
            let back = if op == Op::Narrow { Op::Widen } else { Op::Narrow };
            let contribution = rw.b.op(back, &[bar]);
            self.add_bar(rw, args[0], contribution);
            return;
        }
        if op == Op::Select {
            let zero = rw.b.float(rw.src.ty(result), 0.0);
            let first = rw.b.select(images[0], bar, zero);
            let second = rw.b.select(images[0], zero, bar);
            self.add_bar(rw, args[1], first);
            self.add_bar(rw, args[2], second);
            return;
        }
        let partials = rules::first(&mut rw.b, op, &images, v);
        for (&arg, partial) in args.iter().zip(partials) {
            if let Some(p) = partial
                && self.activity.value(arg)
            {
                let contribution = rw.b.mul(p, bar);
                self.add_bar(rw, arg, contribution);
            }
        }
    }

    /// Active values captured by the regions of an instruction.
    fn active_captures(&self, src: &Func, inst: Inst) -> Vec<Value> {
        walk::captures(src, inst).into_iter().filter(|&v| self.activity.value(v)).collect()
    }

    fn needs_reversal(&self, src: &Func, inst: Inst) -> bool {
        let results = src.results[inst].iter().any(|&r| self.bars.find(r).is_some());
        results || walk::written_buffers(src, inst).iter().any(|&b| self.activity.buffer(b))
    }

    /// The policy under which the body of `inst` is copied at its reversal.
    fn again(&self, rw: &Rewriter<'_>, inst: Inst) -> Policy {
        let fused = rw.b.depth() == 1 && is_deferred(rw.src, inst);
        if fused && self.policy == Policy::Fused {
            return Policy::Fused;
        }
        let mut local = BTreeSet::new();
        for region in rw.src.insts[inst].regions() {
            walk::visit_insts(rw.src, region, &mut |_, i| {
                if let InstData::Reset(buffer, _) = &rw.src.insts[i] {
                    local.insert(*buffer);
                }
            });
        }
        Policy::Again(local)
    }

    fn backward_loop(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { carries, .. } = &src.insts[inst] else { unreachable!("called on loops") };
        let policy = self.again(rw, inst);
        if policy == Policy::Fused && !self.needs_reversal(src, inst) {
            // Nothing to reverse, but its outputs have not been computed yet.
            rw.copy(inst, self);
            return;
        }
        if !self.needs_reversal(src, inst) {
            return;
        }
        let recurrent = state_carries(carries).into_iter().any(|n| self.activity.value(src.results[inst][n]));
        let outer_policy = std::mem::replace(&mut self.policy, policy);
        if recurrent {
            self.backward_recurrence(rw, inst);
        } else {
            self.backward_independent(rw, inst);
        }
        self.policy = outer_policy;
    }

    fn backward_independent(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else {
            unreachable!("called on loops");
        };
        let captured = self.active_captures(src, inst);
        let states = state_carries(carries);
        let mut images: Vec<Carry> = states.iter().map(|&n| rw.map_carry(carries[n])).collect();
        images.extend(captured.iter().map(|_| Carry::Sum));
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        let (iv, params) = rw.b.begin_loop(lo, hi, *step, &images);
        let source_params = &src.regions[*body].params;
        rw.map.set(source_params[0], iv);
        for (&param, &image) in source_params[1..].iter().zip(&params) {
            rw.map.set(param, image);
        }
        rw.region(*body, self);
        let outer = std::mem::take(&mut self.bars);
        for (n, &y) in src.regions[*body].yields.iter().enumerate() {
            if let Some(bar) = outer.find(src.results[inst][n]) {
                self.add_bar(rw, y, bar);
            }
        }
        self.backward_nested(rw, *body);
        let mut yields: Vec<Value> =
            states.iter().map(|&n| rw.map.get(src.regions[*body].yields[n])).collect();
        for &value in &captured {
            yields.push(self.bar_or_zero(rw, value));
        }
        let results = rw.b.end_loop(&yields);
        self.bars = outer;
        if !results.is_empty() {
            for (&value, &sum) in captured.iter().zip(&results[states.len()..]) {
                self.add_bar(rw, value, sum);
            }
        }
    }

    /// Walks a nested region backward: what it recomputes in turn is a recomputation.
    fn backward_nested(&mut self, rw: &mut Rewriter<'_>, region: Region) {
        let outer = std::mem::replace(&mut self.policy, Policy::Again(BTreeSet::new()));
        self.backward(rw, region);
        self.policy = outer;
    }

    fn backward_if(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::If { cond, then, els } = &src.insts[inst] else { unreachable!("called on ifs") };
        let policy = self.again(rw, inst);
        if !self.needs_reversal(src, inst) {
            if policy == Policy::Fused {
                rw.copy(inst, self);
            }
            return;
        }
        let outer_policy = std::mem::replace(&mut self.policy, policy);
        let captured = self.active_captures(src, inst);
        let outer = std::mem::take(&mut self.bars);
        let cond = rw.map.get(*cond);
        if let Some(Const::Bool(taken)) = rw.b.func().as_const(cond) {
            let region = if taken { *then } else { *els };
            let yields = self.backward_branch(rw, inst, region, &captured, &outer);
            self.finish_if(rw, outer, outer_policy, &captured, &yields);
            return;
        }
        rw.b.begin_if(cond);
        let yields = self.backward_branch(rw, inst, *then, &captured, &outer);
        self.bars = Map::new();
        rw.b.begin_else(&yields);
        let yields = self.backward_branch(rw, inst, *els, &captured, &outer);
        let results = rw.b.end_if(&yields);
        self.finish_if(rw, outer, outer_policy, &captured, &results);
    }

    fn finish_if(
        &mut self,
        rw: &mut Rewriter<'_>,
        outer: Map,
        policy: Policy,
        captured: &[Value],
        results: &[Value],
    ) {
        self.bars = outer;
        self.policy = policy;
        for (&value, &sum) in captured.iter().zip(results) {
            self.add_bar(rw, value, sum);
        }
    }

    fn backward_branch(
        &mut self,
        rw: &mut Rewriter<'_>,
        inst: Inst,
        region: Region,
        captured: &[Value],
        outer: &Map,
    ) -> Vec<Value> {
        let src = rw.src;
        rw.region(region, self);
        for (n, &y) in src.regions[region].yields.iter().enumerate() {
            if let Some(bar) = outer.find(src.results[inst][n]) {
                self.add_bar(rw, y, bar);
            }
        }
        self.backward_nested(rw, region);
        captured.iter().map(|&v| self.bar_or_zero(rw, v)).collect()
    }

    fn refuse(&mut self, src: &Func, inst: Inst, code: &'static str, message: &str, help: &str) {
        let (start, end) = src.spans[inst];
        let diagnostic =
            Diagnostic::error(code, message).label(Span { start, end }, "this recurrence").help(help);
        self.refusal.get_or_insert(diagnostic);
    }
}
