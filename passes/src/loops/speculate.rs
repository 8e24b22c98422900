//! Loads and accumulations move out of branches that values decide: every entry is known at prepare, and what is left is arithmetic.
//!
//! # Problem
//! ```text
//! if d < dhat { u = load x[p[e]]; accum y[e] += f(u) }
//!     ==>   u = load x[p[e]];  v = if d < dhat { yield f(u) } else { yield 0 };  accum y[e] += v
//! ```
//! Whether the branch is taken changes from one evaluation to the next; which entries of the matrix exist must not. And a branch that
//! reads nothing may be computed for several iterations at once, some of which do not take it.
//!
//! # Method
//! Before an `if` whose condition is not structural, the structural index computations of its branches and their loads are built;
//! inside, hash-consing finds them again. What the branches accumulate becomes further results of the `if`, zero in the other branch,
//! accumulated behind it.
//!
//! # Why it keeps the meaning
//! Loads are pure. Subscripts under a value guard are checked unconditionally at prepare, so the load is legal whichever branch
//! is taken. Under a structural guard, where it might not be, loads stay.
//!
//! # Limits
//! Loops inside such branches stay, unless they compute known numbers alone; the sparse road refuses what they load or accumulate.

use crate::analysis::structural::Structural;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Const, Func, Inst, InstData, Region, Role, Value};
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// The pass.
pub const PASS: Pass =
    Pass { name: "speculate", summary: "move loads and accumulations out of value guards", run };

/// Moves loads and accumulations out of branches that values decide.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let structural = Structural::of(func);
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Speculate { structural, open: Vec::new() }))
}

/// An accumulation on its way out of a branch: buffer, subscripts and value, all in the new function.
type Pending = (Buffer, Vec<Value>, Value);

struct Speculate {
    structural: Structural,
    /// The enclosing branches, innermost last; `None` for a loop in between.
    open: Vec<Option<Branch>>,
}

/// A branch under construction.
struct Branch {
    /// The first value that was not there before its `if`.
    first: Value,
    /// What it has accumulated so far.
    pending: Vec<Pending>,
}

impl Speculate {
    /// Whether a loop or branch is the computation of known numbers from what stands before the `if`.
    fn is_known(&self, rw: &Rewriter<'_>, inst: Inst) -> bool {
        let src = rw.src;
        let results = &src.results[inst];
        let before = |v: &Value| self.structural.holds(*v) && rw.map.find(*v).is_some();
        !results.is_empty()
            && results.iter().all(|&v| self.structural.holds(v))
            && !walk::has_effects(src, inst)
            && walk::captures(src, inst).iter().all(before)
    }

    /// Builds what may stand before the `if`; arrays that it writes itself are not read there.
    fn hoist(&mut self, rw: &mut Rewriter<'_>, region: Region, written: &BTreeSet<Buffer>) {
        let src = rw.src;
        for &inst in &src.regions[region].insts {
            let data = &src.insts[inst];
            // What is wrong with a subscript is told where it stands.
            rw.b.set_span(src.spans[inst]);
            // An operand may be known and yet stay inside: the result of a branch that also gives values, say.
            let indices_known =
                data.operands().iter().all(|&v| self.structural.holds(v) && rw.map.find(v).is_some());
            match data {
                InstData::Const(_) | InstData::Size(_) => rw.copy(inst, self),
                InstData::Op(..) | InstData::Position(..) if indices_known => rw.copy(inst, self),
                InstData::Load(buffer, _)
                    if indices_known
                        && !written.contains(buffer)
                        && src.buffers[*buffer].role != Role::Output =>
                {
                    rw.copy(inst, self);
                }
                InstData::If { .. } | InstData::Loop { .. } if indices_known && self.is_known(rw, inst) => {
                    rw.copy(inst, self);
                }
                InstData::If { cond, then, els } if !self.structural.holds(*cond) => {
                    self.hoist(rw, *then, written);
                    self.hoist(rw, *els, written);
                }
                _ => {}
            }
        }
    }
}

impl Speculate {
    /// A branch of an `if` before which the values below `first` stand: what it yields and accumulates.
    fn branch(&mut self, rw: &mut Rewriter<'_>, region: Region, first: Value) -> (Vec<Value>, Vec<Pending>) {
        self.open.push(Some(Branch { first, pending: Vec::new() }));
        rw.region(region, self);
        let branch = self.open.pop().flatten().expect("pushed above");
        (rw.map.all(&rw.src.regions[region].yields).to_vec(), branch.pending)
    }

    fn value_if(&mut self, rw: &mut Rewriter<'_>, inst: Inst, cond: Value, then: Region, els: Region) {
        let written = walk::written_buffers(rw.src, inst);
        self.hoist(rw, then, &written);
        self.hoist(rw, els, &written);
        rw.b.set_span(rw.src.spans[inst]);
        let cond = rw.map.get(cond);
        let zeros = [Ty::F64, Ty::F32].map(|ty| rw.b.float(ty, 0.0));
        let before = rw.b.next_value();
        rw.b.begin_if(cond);
        let (mut then_yields, first) = self.branch(rw, then, before);
        rw.b.begin_else(&then_yields);
        let (mut else_yields, second) = self.branch(rw, els, before);
        let count = then_yields.len();
        let zero =
            |rw: &Rewriter<'_>, v: Value| if rw.b.func().ty(v) == Ty::F32 { zeros[1] } else { zeros[0] };
        for &(_, _, value) in &first {
            then_yields.push(value);
            else_yields.push(zero(rw, value));
        }
        for &(_, _, value) in &second {
            then_yields.push(zero(rw, value));
            else_yields.push(value);
        }
        let images = rw.b.end_if_with(&then_yields, &else_yields);
        for (&result, &image) in rw.src.results[inst].iter().zip(&images) {
            rw.map.set(result, image);
        }
        for ((buffer, index, _), &value) in
            first.into_iter().chain(second).zip(images.get(count..).unwrap_or(&[]))
        {
            self.accum(rw, buffer, index, value);
        }
    }

    /// Accumulates here, or behind the enclosing branch where its subscripts are there.
    fn accum(&mut self, rw: &mut Rewriter<'_>, buffer: Buffer, index: Vec<Value>, value: Value) {
        match self.open.last_mut() {
            Some(Some(branch)) if index.iter().all(|&v| v < branch.first) => {
                branch.pending.push((buffer, index, value));
            }
            _ => rw.b.accum(buffer, &index, value),
        }
    }
}

impl Visitor for Speculate {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::If { cond, then, els }
                if !self.structural.holds(*cond)
                    && !matches!(rw.b.func().as_const(rw.map.get(*cond)), Some(Const::Bool(_))) =>
            {
                self.value_if(rw, inst, *cond, *then, *els);
            }
            InstData::Accum(buffer, index, value)
                if index.iter().all(|&v| self.structural.holds(v)) && rw.src.ty(*value).is_float() =>
            {
                let (index, value) = (rw.map.all(index), rw.map.get(*value));
                self.accum(rw, *buffer, index.to_vec(), value);
            }
            InstData::Loop { .. } | InstData::If { .. } => {
                self.open.push(None);
                rw.copy(inst, self);
                self.open.pop();
            }
            _ => rw.copy(inst, self),
        }
    }
}
