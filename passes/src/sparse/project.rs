//! Marks of projected terms: set, removed, taken apart; and the emission of a whole element block.
//!
//! # Problem
//! `#[project]` stands before a sum. Lowering marks the value of each of its iterations:
//! ```text
//! for e in .. { v = f(load x[i], load x[j]); p = project_clamp(v, eps); accum out[] += w * p }
//!     ==>   for e in .. { ..; emit symmetric project clamp eps [x_i, x_j]: (0,0) w f_ii, (0,1) w f_ij, (1,1) w f_jj }
//! ```
//! # Method
//! 1. What is accumulated is taken apart along linear operations into marked parts, each with its factor, and a rest.
//! 2. Each marked part is eliminated by itself. Its Hessian is emitted as one block over the unknowns it is curved in, zeros included:
//!    the runtime needs all of it to find its eigenvalues. Passes after this leave such an emission as it is.
//!
//! # Why it keeps the meaning
//! Value and gradient do not see marks. The factor goes into the block, so what is projected is what is added to the energy.
//!
//! # Limits
//! `project`: a marked value used otherwise than linearly, more unknowns than [`MAX_LOCAL`], and whatever elimination cannot pass
//! (unknowns read in a loop of data-dependent length, recurrences, intermediate arrays): other roads to a Hessian never see an
//! element's block.

use crate::ad::form::Form;
use crate::ad::graph::{Graph, Obstacle};
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::extract::ordered;
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Const, EmitData, Func, Inst, InstData, Role, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::project::{Filter, MAX_LOCAL, Projection};
use spadina_ir::span::Span;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// What an operation marks its argument with.
fn mark_of(func: &Func, op: Op, args: &[Value]) -> Option<(Value, Projection)> {
    let filter = match op {
        Op::ProjectClamp => Filter::Clamp,
        Op::ProjectAbs => Filter::Abs,
        _ => return None,
    };
    let eps = match func.as_const(args[1]) {
        Some(Const::F64(eps)) => eps,
        Some(Const::F32(eps)) => f64::from(eps),
        _ => 0.0,
    };
    Some((args[0], Projection::new(filter, eps)?))
}

/// Whether any term is marked.
pub fn is_marked(func: &Func) -> bool {
    let mut found = false;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Op(op, args) = &func.insts[inst] {
            found |= mark_of(func, *op, args).is_some();
        }
    });
    found
}

/// The program without marks.
pub fn unmarked(func: &Func) -> Func {
    Rewriter::new(func, func.name.clone()).run(&mut Unmark)
}

struct Unmark;

impl Visitor for Unmark {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if let InstData::Op(op, args) = &src.insts[inst]
            && let Some((value, _)) = mark_of(src, *op, args)
            && let Some(result) = src.result(inst)
        {
            let image = rw.map.get(value);
            rw.map.set(result, image);
            return;
        }
        rw.copy(inst, self);
    }
}

/// The program with the same mark on everything that is added to a scalar result.
pub fn marked(func: &Func, projection: Projection) -> Func {
    let func = unmarked(func);
    Rewriter::new(&func, func.name.clone()).run(&mut Mark { projection })
}

struct Mark {
    projection: Projection,
}

impl Visitor for Mark {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Accum(buffer, index, value)
                if src.buffers[*buffer].role == Role::Output && index.is_empty() =>
            {
                let value = rw.map.get(*value);
                // Single precision is summed in double: the element itself is what stands before that.
                let narrow = match rw.b.func().def(value) {
                    Some(InstData::Op(Op::Widen, args)) => Some(args[0]),
                    _ => None,
                };
                let marked = match narrow {
                    Some(narrow) => {
                        let marked = rw.b.project(narrow, self.projection);
                        rw.b.op(Op::Widen, &[marked])
                    }
                    None => rw.b.project(value, self.projection),
                };
                rw.b.accum(*buffer, &[], marked);
            }
            _ => rw.copy(inst, self),
        }
    }
}

/// A part of what is accumulated.
pub struct Part {
    /// Its value.
    pub value: Value,
    /// What it is multiplied with, of the same type.
    pub factor: Value,
    /// How its Hessian is projected.
    pub projection: Option<Projection>,
}

/// Marked parts, each by itself, and parts of the unmarked rest, of `factor * value`. The obstacle is a marked part used otherwise than
/// linearly.
pub fn parts(b: &mut Builder, graph: &mut Graph, value: Value, factor: Value) -> Result<Vec<Part>, Obstacle> {
    let mut parts = Vec::new();
    let mut stack = vec![(value, factor)];
    while let Some((value, factor)) = stack.pop() {
        if !graph.is_active(b, value) {
            continue;
        }
        let Some(mark) = mark_behind(b.func(), value) else {
            parts.push(Part { value, factor, projection: None });
            continue;
        };
        let Some(InstData::Op(op, args)) = b.func().def(value).cloned() else {
            return Err(Obstacle::Projection(mark));
        };
        if let Some((inner, projection)) = mark_of(b.func(), op, &args) {
            if let Some(nested) = mark_behind(b.func(), inner) {
                return Err(Obstacle::Projection(nested));
            }
            parts.push(Part { value: inner, factor, projection: Some(projection) });
            continue;
        }
        match op {
            Op::Add => stack.extend([(args[1], factor), (args[0], factor)]),
            Op::Sub => {
                let negative = b.neg(factor);
                stack.extend([(args[1], negative), (args[0], factor)]);
            }
            Op::Neg => stack.push((args[0], b.neg(factor))),
            Op::Mul if !graph.is_active(b, args[0]) => stack.push((args[1], b.mul(factor, args[0]))),
            Op::Mul if !graph.is_active(b, args[1]) => stack.push((args[0], b.mul(factor, args[1]))),
            Op::Div if !graph.is_active(b, args[1]) => stack.push((args[0], b.div(factor, args[1]))),
            Op::Widen => stack.push((args[0], b.op(Op::Narrow, &[factor]))),
            Op::Narrow => stack.push((args[0], b.op(Op::Widen, &[factor]))),
            _ => return Err(Obstacle::Projection(mark)),
        }
    }
    Ok(parts)
}

/// A mark among what a value is computed from, loops and branches included.
fn mark_behind(func: &Func, value: Value) -> Option<Inst> {
    let (mut seen, mut stack) = (BTreeSet::new(), vec![value]);
    while let Some(value) = stack.pop() {
        let ValueDef::Result(inst, _) = func.values[value].def else { continue };
        if !seen.insert(inst) {
            continue;
        }
        let data = &func.insts[inst];
        if let InstData::Op(op, args) = data
            && mark_of(func, *op, args).is_some()
        {
            return Some(inst);
        }
        stack.extend(data.operands());
        stack.extend(data.regions().into_iter().flat_map(|region| func.regions[region].yields.clone()));
    }
    None
}

/// The whole block of a form on its curved leaves, but for its site; `None` where it is not curved.
pub fn block(b: &mut Builder, form: &Form, projection: Projection) -> Option<EmitData> {
    let mut sums: BTreeMap<(Value, Value), Value> = BTreeMap::new();
    let mut rows = BTreeSet::new();
    for (&u, arcs) in &form.arcs {
        for (&w, &weight) in arcs {
            let (pu, pw) = (position(b, u), position(b, w));
            rows.extend([pu, pw]);
            let sum = match sums.get(&(pu, pw)) {
                Some(&old) => b.add(old, weight),
                None => weight,
            };
            sums.insert((pu, pw), sum);
        }
    }
    let rows = ordered(b.func(), rows.into_iter());
    let ty = sums.values().next().map(|&value| b.func().ty(value))?;
    let zero = b.float(ty, 0.0);
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    for (i, &p) in (0_u32..).zip(&rows) {
        for (j, &q) in (i..).zip(&rows[i as usize..]) {
            entries.push((i, j));
            values.push(sums.get(&(p, q)).copied().unwrap_or(zero));
        }
    }
    let cols = rows.clone();
    let (symmetric, direct, project) = (true, false, Some(projection));
    Some(EmitData { site: 0, rows, cols, entries, values, symmetric, direct, project })
}

fn position(b: &mut Builder, leaf: Value) -> Value {
    match b.func().def(leaf).cloned() {
        Some(InstData::Load(buffer, index)) => b.position(buffer, &index),
        _ => unreachable!("elimination ends in loads"),
    }
}

/// Whether a block is small enough.
pub fn fits(block: &EmitData) -> bool {
    block.rows.len() <= MAX_LOCAL
}

fn refusal(span: (u32, u32), message: &str, label: &str, help: &str) -> Diagnostic {
    let (start, end) = span;
    Diagnostic::error("project", message).label(Span { start, end }, label).help(help)
}

/// What an obstacle means for a program with projected terms.
pub fn refuse(func: &Func, obstacle: Obstacle) -> Diagnostic {
    let span = func.spans[obstacle.inst()];
    let message = "the element blocks of this Hessian cannot be projected";
    let alone = "leave the projection away, or move this part out of the kernel";
    match obstacle {
        Obstacle::Projection(_) => refusal(
            span,
            message,
            "not added to the energy as it is",
            "a projected sum may be scaled and added, nothing else: the Hessian is no sum of its blocks then",
        ),
        Obstacle::InnerLoad(_) => refusal(
            span,
            message,
            "unknowns are read here in an inner loop, in a conversion, or under a condition on frozen data",
            "give the element its unknowns by literal subscripts, or project the inner sum instead; a condition on indices, integers or truth values belongs into the sum (`sum i in 0..N if c { .. }`)",
        ),
        Obstacle::Recurrence(_) => refusal(span, message, "a recurrence decides this value", alone),
        Obstacle::Stage(_) => refusal(span, message, "an intermediate array is read here", alone),
        Obstacle::GuardedLoop(_) => {
            refusal(span, message, "values decide whether this runs", "move the condition into the sum")
        }
    }
}

/// The refusal of a block with too many unknowns.
pub fn too_large(span: (u32, u32), unknowns: usize) -> Diagnostic {
    let label = format!("an iteration has {unknowns} unknowns");
    let help = format!("blocks of at most {MAX_LOCAL} unknowns are projected");
    refusal(span, "the element blocks of this Hessian cannot be projected", &label, &help)
}
