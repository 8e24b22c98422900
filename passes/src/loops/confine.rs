//! Values that only branches use are differentiated inside those branches.
//!
//! # Problem
//! ```text
//! r = sqrt s;  if 0 < r { yield r } else { yield s }
//! ```
//! The author asks whether `r` is positive before its slope is needed, and means that the slope 1/0 does no harm where it is not. But `r`
//! stands before the `if` (it is computed once, for the condition and the branch): a sweep multiplies what the branch hands out, zero where
//! it is not taken, by the slope of `r`, and `0 * inf` is not a number.
//!
//! # Method
//! A value is *confined* when an operation whose slope may be infinite takes part in it, and all that a derivative follows from it, not
//! counting comparisons, is in branches of later `if`s of its region, or is confined itself. Each branch that uses it gets it anew,
//! ```text
//! if 0 < r { t = attach(hidden s, s, 1);  q = sqrt t;  yield q } else { .. }
//! ```
//! where `t` is `s` under another name, so that hash-consing does not find `r` again. [`crate::ad::given`] drops the name after the last
//! derivative, and `q` is `r` again: nothing is computed twice.
//!
//! # Why it keeps the meaning
//! `t` has the value of `s` and the slope 1. The operations are those of `r`.
//!
//! # Limits
//! A value that is used both in a branch and outside, or in a loop around the branch, stays where it is.

use crate::ad::given;
use crate::analysis::activity::Activity;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::SecondaryMap;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Inst, InstData, Region, Value, Values};
use spadina_ir::op::{Op, Smoothness};
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "confine", summary: "differentiate inside a branch what only branches use", run };

/// Computes confined values in the branches that use them.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    if !func.insts.values().any(|data| matches!(data, InstData::If { .. })) {
        return Ok(func.clone());
    }
    let places = Places::of(func);
    if places.confined.is_empty() {
        return Ok(func.clone());
    }
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Confine { places }))
}

/// Whether the slope of an operation may be infinite where its value is not, or its value where it is not needed.
fn is_singular(op: Op) -> bool {
    matches!(
        op,
        Op::Div
            | Op::Sqrt
            | Op::Cbrt
            | Op::Exp
            | Op::Expm1
            | Op::Log
            | Op::Log1p
            | Op::Log2
            | Op::Log10
            | Op::Tan
            | Op::Asin
            | Op::Acos
            | Op::Sinh
            | Op::Cosh
            | Op::Acosh
            | Op::Atanh
            | Op::Atan2
            | Op::Pow
            | Op::Hypot
    )
}

/// Whether no derivative follows from an argument of an operation to its result.
fn is_blind(op: Op) -> bool {
    op.smoothness() == Smoothness::Flat || matches!(op, Op::StopGradient | Op::Hidden)
}

/// Where derivatives follow from a value, beside branches.
#[derive(Default)]
struct Uses {
    /// Operations of its region.
    readers: Vec<Value>,
    /// Something else: a loop, an accumulation, what its region yields.
    outside: bool,
}

/// One step from a region to a region inside it.
#[derive(Clone, Copy)]
struct Step {
    region: Region,
    is_branch: bool,
}

/// What is confined, and where everything stands.
struct Places {
    confined: BTreeSet<Value>,
    /// The region that each value is defined in.
    home: SecondaryMap<Value, Option<Region>>,
    /// The region around each region.
    around: SecondaryMap<Region, Option<Region>>,
}

impl Places {
    fn of(func: &Func) -> Places {
        let (home, around) = (SecondaryMap::new(), SecondaryMap::new());
        let mut places = Places { confined: BTreeSet::new(), home, around };
        let mut all = BTreeMap::new();
        places.find_uses(func, func.body, &mut Vec::new(), &mut all);
        let activity = Activity::of(func, &func.columns);
        // Descending order decides every reader before its arguments.
        let mut inside: BTreeSet<Value> = BTreeSet::new();
        for (&value, uses) in all.iter().rev() {
            let candidate = matches!(func.def(value), Some(InstData::Op(..))) && activity.value(value);
            // No derivative follows from what only comparisons read.
            let is_inside = |reader| inside.contains(reader) || !all.contains_key(reader);
            if candidate && !uses.outside && uses.readers.iter().all(is_inside) {
                inside.insert(value);
            }
        }
        // Of those, what a singular operation takes part in.
        for value in inside {
            let Some(InstData::Op(op, args)) = func.def(value) else { continue };
            if is_singular(*op) || args.iter().any(|arg| places.confined.contains(arg)) {
                places.confined.insert(value);
            }
        }
        places
    }

    /// Whether a value is defined in a region around this one.
    fn is_before(&self, value: Value, mut region: Region) -> bool {
        while let Some(around) = self.around[region] {
            if self.home[value] == Some(around) {
                return true;
            }
            region = around;
        }
        false
    }

    /// Notes the uses in a region, which `at` leads to.
    fn find_uses(
        &mut self,
        func: &Func,
        region: Region,
        at: &mut Vec<Step>,
        uses: &mut BTreeMap<Value, Uses>,
    ) {
        for &param in &func.regions[region].params {
            self.home[param] = Some(region);
        }
        for &inst in &func.regions[region].insts {
            let data = &func.insts[inst];
            match data {
                InstData::Op(op, args) => {
                    let result = func.results[inst][0];
                    if !is_blind(*op) && func.ty(result).is_float() {
                        args.iter().for_each(|&arg| self.note(arg, Some(result), at, uses));
                    }
                }
                _ => data.operands().iter().for_each(|&v| self.note(v, None, at, uses)),
            }
            for inner in data.regions() {
                self.around[inner] = Some(region);
                at.push(Step { region: inner, is_branch: matches!(data, InstData::If { .. }) });
                self.find_uses(func, inner, at, uses);
                func.regions[inner].yields.iter().for_each(|&v| self.note(v, None, at, uses));
                at.pop();
            }
            for &result in &func.results[inst] {
                self.home[result] = Some(region);
            }
        }
    }

    fn note(&self, value: Value, reader: Option<Value>, at: &[Step], uses: &mut BTreeMap<Value, Uses>) {
        // The first step inward from where the value is defined.
        let inward = match at.iter().position(|step| Some(step.region) == self.home[value]) {
            Some(n) => at.get(n + 1),
            None => at.first(),
        };
        let uses = uses.entry(value).or_default();
        match (inward, reader) {
            (Some(step), _) if step.is_branch => {}
            (None, Some(reader)) => uses.readers.push(reader),
            (Some(_) | None, _) => uses.outside = true,
        }
    }
}

struct Confine {
    /// What is confined and not in the branch around already.
    places: Places,
}

impl Confine {
    /// The confined values that a branch itself uses, not the branches inside it, and what they are computed from.
    fn needed(&self, func: &Func, branch: Region) -> BTreeSet<Value> {
        let mut found = BTreeSet::new();
        let mut next: Vec<Value> = func.regions[branch].yields.clone();
        own_operands(func, branch, &mut next);
        while let Some(value) = next.pop() {
            if self.places.confined.contains(&value)
                && self.places.is_before(value, branch)
                && found.insert(value)
                && let Some(InstData::Op(_, args)) = func.def(value)
            {
                next.extend(args.iter().copied());
            }
        }
        found
    }

    /// A branch, with the confined values that it uses computed inside.
    fn branch(&mut self, rw: &mut Rewriter<'_>, region: Region) -> Values {
        let src = rw.src;
        let needed = self.needed(src, region);
        let outside: Vec<(Value, Value)> = needed.iter().map(|&v| (v, rw.map.get(v))).collect();
        for &value in &needed {
            let Some(InstData::Op(op, args)) = src.def(value) else { continue };
            let args: Vec<Value> = args
                .iter()
                .map(|&arg| {
                    let image = rw.map.get(arg);
                    let is_literal = rw.b.func().as_const(image).is_some();
                    if needed.contains(&arg) || is_literal || !src.ty(arg).is_float() {
                        return image;
                    }
                    given::renamed(&mut rw.b, image)
                })
                .collect();
            let inside = rw.b.op(*op, &args);
            rw.map.set(value, inside);
        }
        // Branches inside this one find these values in it.
        for value in &needed {
            self.places.confined.remove(value);
        }
        rw.region(region, self);
        let yields = rw.map.all(&src.regions[region].yields);
        for (value, image) in outside {
            self.places.confined.insert(value);
            rw.map.set(value, image);
        }
        yields
    }
}

/// What the instructions of a region use, those of its loops too, and not those of its branches.
fn own_operands(func: &Func, region: Region, found: &mut Vec<Value>) {
    for &inst in &func.regions[region].insts {
        let data = &func.insts[inst];
        found.extend(data.operands());
        if let InstData::Loop { body, .. } = data {
            own_operands(func, *body, found);
            found.extend(func.regions[*body].yields.iter().copied());
        }
    }
}

impl Visitor for Confine {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::If { cond, .. } if rw.b.func().as_const(rw.map.get(*cond)).is_none() => {
                rw.copy_if(inst, |rw, region| self.branch(rw, region));
            }
            _ => rw.copy(inst, self),
        }
    }
}
