//! Conditions that prepare knows are asked before those that values decide.
//!
//! # Problem
//! ```text
//! if i > 0 && w[i] > 0.5 { f(x[i], x[i - 1]) } else { g }
//!     ==>   if i > 0 { if w[i] > 0.5 { f(x[i], x[i - 1]) } else { g } } else { g }
//! ```
//! Entries must not depend on values, so what stands under a condition on values is checked and emitted whether it holds or not. The known
//! part of the condition would be lost with it, and `x[0 - 1]` would be refused.
//!
//! # Method
//! At an `if` that values decide:
//! 1. a known part of its condition (`known && other`, `known || other`, also where the other part is computed only if needed) becomes an
//!    `if` around it;
//! 2. several known parts, or parts between others (`known && other && known`), together likewise, if they can be computed before;
//! 3. a known condition of an `if` in one of its branches, if it can be computed before, likewise: both copies know its outcome.
//!
//! # Why it keeps the meaning
//! Known conditions have no effects, and each copy is what remains of the original under its outcome.
//!
//! # Limits
//! Branches are copied: none larger than [`LARGEST`], a smaller one the more often, and only [`DEEPEST`] known conditions are moved out of
//! the branches of one `if`.

use crate::analysis::range::in_range;
use crate::analysis::structural::Structural;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Const, Func, Inst, InstData, Region, Role, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::walk;

/// The pass.
pub const PASS: Pass =
    Pass { name: "guards", summary: "ask what prepare knows before what values decide", run };

/// Most known conditions moved out of the branches of one `if`.
pub const DEEPEST: usize = 3;
/// Most instructions of an `if` that is copied. In the copies of [`DEEPEST`] others half of it may be copied again, and half of that in
/// those of one more.
pub const LARGEST: usize = 600;

/// Moves known conditions out of value conditions.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let mut pass = Guards { structural: Structural::of(func), assumed: Vec::new(), depth: 0 };
    Ok(Rewriter::new(func, func.name.clone()).run(&mut pass))
}

struct Guards {
    structural: Structural,
    /// Known conditions whose outcome the copy being made may assume.
    assumed: Vec<(Value, bool)>,
    depth: usize,
}

/// A known part of a condition.
enum Known {
    /// `known && other`
    And(Value, Other),
    /// `known || other`
    Or(Value, Other),
}

/// A part of a condition, and whether it is negated there.
type Part = (Value, bool);

#[derive(Clone, Copy)]
enum Other {
    Value(Value),
    /// Computed by a region only where the known part does not decide.
    Region(Region),
}

impl Guards {
    fn part(&self, func: &Func, cond: Value) -> Option<Known> {
        let ValueDef::Result(inst, n) = func.values[cond].def else { return None };
        match &func.insts[inst] {
            InstData::Op(op @ (Op::And | Op::Or), args) => {
                let known = args.iter().position(|&a| self.structural.holds(a))?;
                let (known, other) = (args[known], Other::Value(args[1 - known]));
                Some(if *op == Op::And { Known::And(known, other) } else { Known::Or(known, other) })
            }
            InstData::If { cond, then, els } if n == 0 && self.structural.holds(*cond) => {
                let decided = func.as_const(*func.regions[*els].yields.first()?);
                // `!known` guards the right side of an or.
                match (decided, func.def(*cond)) {
                    (Some(Const::Bool(false)), _) => Some(Known::And(*cond, Other::Region(*then))),
                    (Some(Const::Bool(true)), Some(InstData::Op(Op::Not, args))) => {
                        Some(Known::Or(args[0], Other::Region(*then)))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Adds the known parts of a condition that can be computed where it stands: what `op` joins, however nested, with whether it is
    /// negated. Values from `first` on are defined in regions of the condition.
    fn parts(&self, func: &Func, (cond, negated): Part, op: Op, first: Value, found: &mut Vec<Part>) {
        if self.structural.holds(cond) {
            let new = func.as_const(cond).is_none() && !found.contains(&(cond, negated));
            if new && is_computable(func, cond, first) {
                found.push((cond, negated));
            }
            return;
        }
        // `!(a || b)` is `!a && !b`.
        let joins = if negated == (op == Op::And) { Op::Or } else { Op::And };
        let ValueDef::Result(inst, 0) = func.values[cond].def else { return };
        match &func.insts[inst] {
            InstData::Op(Op::Not, args) => self.parts(func, (args[0], !negated), op, first, found),
            InstData::Op(joined, args) if *joined == joins => {
                for &arg in args {
                    self.parts(func, (arg, negated), op, first, found);
                }
            }
            // `a && b` and `a || b` where `b` is computed only if needed.
            InstData::If { cond, then, els } => {
                let yields = [*then, *els].map(|r| func.regions[r].yields.first().copied());
                let [Some(taken), Some(other)] = yields else { return };
                let inside = first_inside(func, [*then, *els]).map_or(first, |inside| inside.min(first));
                let decided = func.as_const(other);
                match (joins, decided, func.def(*cond)) {
                    (Op::And, Some(Const::Bool(false)), _) => {
                        self.parts(func, (*cond, negated), op, first, found);
                    }
                    (Op::Or, Some(Const::Bool(true)), Some(InstData::Op(Op::Not, args))) => {
                        self.parts(func, (args[0], negated), op, first, found);
                    }
                    _ => return,
                }
                self.parts(func, (taken, negated), op, inside, found);
            }
            _ => {}
        }
    }

    /// The `if` under several known parts of its condition.
    fn jointly(
        &mut self,
        rw: &mut Rewriter<'_>,
        inst: Inst,
        (op, known): (Op, &[Part]),
        branches: [Region; 2],
    ) {
        let InstData::If { cond, .. } = rw.src.insts[inst] else { unreachable!("called on ifs") };
        let [then, els] = branches;
        let images: Vec<Value> = known
            .iter()
            .map(|&(part, negated)| {
                let image = rebuild(rw, part);
                if negated { rw.b.op(Op::Not, &[image]) } else { image }
            })
            .collect();
        let joined = images.into_iter().reduce(|a, b| rw.b.op(op, &[a, b]));
        let Some(joined) = joined else { return };
        let cond = rw.map.get(cond);
        rw.b.begin_if(joined);
        let results = if op == Op::And {
            let yields = self.with_condition(rw, cond, then, els);
            rw.b.begin_else(&yields);
            let yields = self.branch(rw, els);
            rw.b.end_if(&yields)
        } else {
            let yields = self.branch(rw, then);
            rw.b.begin_else(&yields);
            let yields = self.with_condition(rw, cond, then, els);
            rw.b.end_if(&yields)
        };
        for (&result, &image) in rw.src.results[inst].iter().zip(&results) {
            rw.map.set(result, image);
        }
    }

    /// A known condition asked directly in a branch, that can be computed before the `if`.
    fn inner(&self, func: &Func, branches: [Region; 2], first: Value) -> Option<Value> {
        branches.iter().flat_map(|&r| &func.regions[r].insts).find_map(|&inst| match &func.insts[inst] {
            InstData::If { cond, .. }
                if self.structural.holds(*cond)
                    && func.as_const(*cond).is_none()
                    && self.assumed.iter().all(|(v, _)| v != cond)
                    && is_computable(func, *cond, first) =>
            {
                Some(*cond)
            }
            _ => None,
        })
    }

    fn branch(&mut self, rw: &mut Rewriter<'_>, region: Region) -> Vec<Value> {
        rw.region(region, self);
        rw.map.all(&rw.src.regions[region].yields).to_vec()
    }

    /// The `if` with another condition; returns what it yields.
    fn with_condition(
        &mut self,
        rw: &mut Rewriter<'_>,
        cond: Value,
        then: Region,
        els: Region,
    ) -> Vec<Value> {
        rw.b.begin_if(cond);
        let yields = self.branch(rw, then);
        rw.b.begin_else(&yields);
        let yields = self.branch(rw, els);
        rw.b.end_if(&yields).to_vec()
    }

    fn other(&mut self, rw: &mut Rewriter<'_>, other: Other) -> Value {
        match other {
            Other::Value(v) => rw.map.get(v),
            Other::Region(region) => self.branch(rw, region)[0],
        }
    }

    fn guarded(&mut self, rw: &mut Rewriter<'_>, inst: Inst, known: &Known, then: Region, els: Region) {
        let results = match *known {
            Known::And(s, other) => {
                let s = rw.map.get(s);
                rw.b.begin_if(s);
                let cond = self.other(rw, other);
                let yields = self.with_condition(rw, cond, then, els);
                rw.b.begin_else(&yields);
                let yields = self.branch(rw, els);
                rw.b.end_if(&yields)
            }
            Known::Or(s, other) => {
                let s = rw.map.get(s);
                rw.b.begin_if(s);
                let yields = self.branch(rw, then);
                rw.b.begin_else(&yields);
                let cond = self.other(rw, other);
                let yields = self.with_condition(rw, cond, then, els);
                rw.b.end_if(&yields)
            }
        };
        for (&result, &image) in rw.src.results[inst].iter().zip(&results) {
            rw.map.set(result, image);
        }
    }

    /// Both outcomes of a known condition around the `if`, whose branches define values from `first` on.
    fn assuming(&mut self, rw: &mut Rewriter<'_>, inst: Inst, known: Value, first: Value) {
        let cond = self.compute(rw, known, first);
        let outside = (known < first).then(|| rw.map.get(known));
        rw.b.begin_if(cond);
        let mut images = Vec::new();
        for outcome in [true, false] {
            self.assumed.push((known, outcome));
            if outside.is_some() {
                let literal = rw.b.bool(outcome);
                rw.map.set(known, literal);
            }
            self.visit(rw, inst);
            self.assumed.pop();
            images = rw.map.all(&rw.src.results[inst]).to_vec();
            if outcome {
                rw.b.begin_else(&images);
            }
        }
        if let Some(image) = outside {
            rw.map.set(known, image);
        }
        let images = rw.b.end_if(&images);
        for (&result, &image) in rw.src.results[inst].iter().zip(&images) {
            rw.map.set(result, image);
        }
    }

    /// Builds a computable value at the insertion point. What the map says of values from `first` on is left from another copy of
    /// their branch, where other outcomes may have been assumed: they are built anew.
    fn compute(&self, rw: &mut Rewriter<'_>, value: Value, first: Value) -> Value {
        if let Some(&(_, outcome)) = self.assumed.iter().rev().find(|(known, _)| *known == value) {
            return rw.b.bool(outcome);
        }
        if value < first {
            return rw.map.get(value);
        }
        match rw.src.def(value) {
            Some(InstData::Const(c)) => rw.b.constant(*c),
            Some(InstData::Size(expr)) => rw.b.size(expr),
            Some(InstData::Op(op, args)) => {
                let args: Vec<Value> = args.iter().map(|&a| self.compute(rw, a, first)).collect();
                rw.b.op(*op, &args)
            }
            Some(InstData::Load(buffer, index)) => {
                let index: Vec<Value> = index.iter().map(|&v| self.compute(rw, v, first)).collect();
                rw.b.load(*buffer, &index)
            }
            _ => unreachable!("computable values are operations and loads on mapped ones"),
        }
    }
}

/// Whether a value defined in a branch consists of operations on values from before `first` (or is one of those) and of structural
/// loads that are legal wherever they stand.
fn is_computable(func: &Func, value: Value, first: Value) -> bool {
    if value < first {
        return true;
    }
    match func.def(value) {
        Some(InstData::Const(_) | InstData::Size(_)) => true,
        Some(InstData::Op(_, args)) => args.iter().all(|&a| is_computable(func, a, first)),
        Some(InstData::Load(buffer, index)) => {
            let data = &func.buffers[*buffer];
            data.role == Role::Structural
                && index.iter().zip(&data.dims).all(|(&v, dim)| in_range(func, v, dim))
                && index.iter().all(|&v| is_computable(func, v, first))
        }
        _ => false,
    }
}

/// Builds a computable value anew from loads and operations: images of values in closed regions are not visible.
fn rebuild(rw: &mut Rewriter<'_>, value: Value) -> Value {
    match rw.src.def(value) {
        Some(InstData::Const(c)) => rw.b.constant(*c),
        Some(InstData::Size(expr)) => rw.b.size(expr),
        Some(InstData::Op(op, args)) => {
            let args: Vec<Value> = args.iter().map(|&a| rebuild(rw, a)).collect();
            rw.b.op(*op, &args)
        }
        Some(InstData::Load(buffer, index)) => {
            let index: Vec<Value> = index.iter().map(|&v| rebuild(rw, v)).collect();
            rw.b.load(*buffer, &index)
        }
        _ => rw.map.get(value),
    }
}

/// The first value that an `if` defines: everything before it is visible there or in no branch at all.
fn first_inside(func: &Func, branches: [Region; 2]) -> Option<Value> {
    let insts = branches.iter().flat_map(|&r| &func.regions[r].insts);
    insts.filter_map(|&inst| func.results[inst].first().copied()).min()
}

impl Visitor for Guards {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if let Some(&(_, outcome)) =
            self.assumed.iter().rev().find(|(v, _)| src.results[inst].first() == Some(v))
        {
            let literal = rw.b.bool(outcome);
            rw.map.set(src.results[inst][0], literal);
            return;
        }
        let InstData::If { cond, then, els } = &src.insts[inst] else {
            rw.copy(inst, self);
            return;
        };
        let mut size = 0;
        for &region in &[*then, *els] {
            walk::visit_insts(src, region, &mut |_, _| size += 1);
        }
        let decided = rw.b.func().as_const(rw.map.get(*cond)).is_some();
        let allowed = LARGEST >> self.depth.saturating_sub(DEEPEST - 1).min(16);
        if decided || size > allowed || self.structural.holds(*cond) {
            rw.copy(inst, self);
            return;
        }
        self.depth += 1;
        let branches = [*then, *els];
        let joint = [Op::And, Op::Or].into_iter().find_map(|op| {
            let mut found = Vec::new();
            self.parts(src, (*cond, false), op, Value::from_u32(u32::MAX - 1), &mut found);
            let simple = found.len() == 1 && self.part(src, *cond).is_some();
            (!found.is_empty() && !simple).then_some((op, found))
        });
        if let Some((op, known)) = joint {
            self.jointly(rw, inst, (op, &known), branches);
        } else if let Some(known) = self.part(src, *cond) {
            self.guarded(rw, inst, &known, *then, *els);
        } else if self.depth <= DEEPEST
            && let Some(first) = first_inside(src, branches)
            && let Some(known) = self.inner(src, branches, first)
        {
            self.assuming(rw, inst, known, first);
        } else {
            rw.copy(inst, self);
        }
        self.depth -= 1;
    }
}
