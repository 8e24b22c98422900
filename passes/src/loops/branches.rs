//! Branches under one condition read what earlier branches under it have computed.
//!
//! # Problem
//! ```text
//! a = if c { s = sin(x); yield f(s) } else { .. };  ..;  b = if c { s = sin(x); yield g(s, a) } else { .. }
//!     ==>   a, s = if c { s = sin(x); yield f(s), s } else { ..; yield .., 0 };  ..;  b = if c { yield g(s, a) } else { .. }
//! ```
//! The derivatives of a function with a branch (a rotation, with its limit at angle 0) are branches under the same condition. They
//! stand apart, because one needs what has been computed from the other, and each computes the roots, quotients and sines anew.
//!
//! # Method
//! For all `if`s of a region under one condition, in order, each of the two branches for itself:
//! 1. instructions that equal one of an earlier `if`, operand by operand, are found;
//! 2. those of them that the rest of the branch needs become results of the earlier `if`, if computing them again takes work worth
//!    `WORTH`; less is computed again, from results where those are at hand.
//!
//! # Why it keeps the meaning
//! Only pure instructions and loads of what nobody writes are found. Under the same condition both `if`s take the same branch; what
//! the other branch yields in place of the value is not read.
//!
//! # Limits
//! Only instructions at the top of a branch; only `if`s that stand in the same region.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::work::weight;
use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Const, Func, Inst, InstData, Region, Role, Value, Values};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass = Pass {
    name: "branches",
    summary: "read what earlier branches under the same condition have computed",
    run,
};

/// Least work of a value that is kept: keeping it takes about a store and a load. An addition is worth 2.
const WORTH: u64 = 8;

/// Shares values between branches.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let mut groups: BTreeMap<(Region, Value), Vec<Inst>> = BTreeMap::new();
    walk::visit_insts(func, func.body, &mut |region, inst| {
        if let InstData::If { cond, .. } = &func.insts[inst] {
            groups.entry((region, *cond)).or_default().push(inst);
        }
    });
    let mut share = Share::default();
    for ifs in groups.into_values().filter(|ifs| ifs.len() > 1) {
        for then in [true, false] {
            share.find(func, &ifs, then);
        }
    }
    if share.kept.is_empty() {
        return Ok(func.clone());
    }
    Ok(Rewriter::new(func, func.name.clone()).run(&mut share))
}

/// What an instruction computes, its operands replaced by those of earlier branches that they equal.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Const(u64, Ty),
    Op(Op, Values),
    Load(Buffer, Values),
}

#[derive(Default)]
struct Share {
    /// Values that become results, and whether they stand in the first branch.
    kept: BTreeMap<Inst, Vec<(Value, bool)>>,
    /// Values of later branches: the `if` that has them, and as which of its further results.
    known: SecondaryMap<Value, Option<(Inst, usize)>>,
    /// The further results that have been built.
    images: BTreeMap<Inst, Vec<Value>>,
}

impl Share {
    /// Plans one branch of all `if`s of a group.
    fn find(&mut self, func: &Func, ifs: &[Inst], then: bool) {
        let mut table: FxHashMap<Key, (Inst, Value)> = FxHashMap::default();
        let mut equal: SecondaryMap<Value, Option<Value>> = SecondaryMap::new();
        for &at in ifs {
            let Some(branch) = branch(func, at, then) else { continue };
            let mut found = Vec::new();
            for &inst in &func.regions[branch].insts {
                let Some(value) = func.result(inst) else { continue };
                let Some(key) = key(func, inst, &equal) else { continue };
                match table.get(&key) {
                    Some(&(earlier, same)) if earlier != at => {
                        equal[value] = Some(same);
                        found.push((inst, value, earlier, same));
                    }
                    Some(_) => {}
                    None => {
                        table.insert(key, (at, value));
                    }
                }
            }
            if !found.is_empty() {
                self.keep(func, branch, &found, then);
            }
        }
    }

    /// Decides which of the values that an earlier `if` has computed are kept from there.
    fn keep(&mut self, func: &Func, branch: Region, found: &[(Inst, Value, Inst, Value)], then: bool) {
        let same: BTreeSet<Inst> = found.iter().map(|&(inst, ..)| inst).collect();
        let mut work: SecondaryMap<Value, u64> = SecondaryMap::new();
        let mut worth: BTreeSet<Value> = BTreeSet::new();
        for &(inst, value, ..) in found {
            let InstData::Op(op, operands) = &func.insts[inst] else { continue };
            let operands = operands.iter().map(|&operand| work[operand]);
            let sum = operands.fold(weight(*op), u64::saturating_add);
            if sum < WORTH {
                work[value] = sum;
            } else {
                worth.insert(value);
            }
        }
        let mut needed: BTreeSet<Value> = func.regions[branch].yields.iter().copied().collect();
        for &inst in func.regions[branch].insts.iter().filter(|inst| !same.contains(inst)) {
            needed.extend(func.insts[inst].operands());
            needed.extend(walk::captures(func, inst));
        }
        for &(inst, value, earlier, original) in found.iter().rev() {
            if !needed.contains(&value) {
                continue;
            }
            if !worth.contains(&value) {
                needed.extend(func.insts[inst].operands());
                continue;
            }
            let kept = self.kept.entry(earlier).or_default();
            let at = kept.iter().position(|&(other, _)| other == original);
            self.known[value] = Some((earlier, at.unwrap_or(kept.len())));
            if at.is_none() {
                kept.push((original, then));
            }
        }
    }
}

fn branch(func: &Func, inst: Inst, first: bool) -> Option<Region> {
    match &func.insts[inst] {
        InstData::If { then, els, .. } => Some(if first { *then } else { *els }),
        _ => None,
    }
}

/// What a pure instruction computes.
fn key(func: &Func, inst: Inst, equal: &SecondaryMap<Value, Option<Value>>) -> Option<Key> {
    let originals = |values: &[Value]| values.iter().map(|&v| equal[v].unwrap_or(v)).collect::<Values>();
    match &func.insts[inst] {
        InstData::Const(Const::F64(x)) => Some(Key::Const(x.to_bits(), Ty::F64)),
        InstData::Const(Const::F32(x)) => Some(Key::Const(u64::from(x.to_bits()), Ty::F32)),
        InstData::Const(Const::Int(n)) => Some(Key::Const(n.cast_unsigned(), Ty::Int)),
        InstData::Const(Const::Bool(b)) => Some(Key::Const(u64::from(*b), Ty::Bool)),
        InstData::Op(op, operands) => Some(Key::Op(*op, originals(operands))),
        InstData::Load(buffer, index) => {
            let role = func.buffers[*buffer].role;
            let fixed = matches!(role, Role::Var | Role::Data | Role::Structural);
            fixed.then(|| Key::Load(*buffer, originals(index)))
        }
        _ => None,
    }
}

impl Visitor for Share {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        if let Some(value) = src.result(inst)
            && let Some((earlier, n)) = self.known[value]
            && let Some(&image) = self.images.get(&earlier).and_then(|images| images.get(n))
        {
            rw.map.set(value, image);
            return;
        }
        let (Some(kept), InstData::If { cond, then, els }) =
            (self.kept.get(&inst).cloned(), &src.insts[inst])
        else {
            rw.copy(inst, self);
            return;
        };
        // What a branch yields anyway has a result.
        let yielded = |&(value, first): &(Value, bool)| {
            let branch = if first { *then } else { *els };
            src.regions[branch].yields.iter().position(|&other| other == value)
        };
        let mut branch = |rw: &mut Rewriter<'_>, region: Region, first: bool| {
            rw.region(region, self);
            let mut yields = rw.map.all(&src.regions[region].yields);
            for &(value, here) in kept.iter().filter(|kept| yielded(kept).is_none()) {
                let other = |rw: &mut Rewriter<'_>| rw.b.constant(nothing(src.ty(value)));
                yields.push(if here == first { rw.map.get(value) } else { other(rw) });
            }
            yields
        };
        rw.b.begin_if(rw.map.get(*cond));
        let yields = branch(rw, *then, true);
        rw.b.begin_else(&yields);
        let yields = branch(rw, *els, false);
        let images = rw.b.end_if(&yields);
        let (own, further) = images.split_at(src.results[inst].len());
        for (&result, &image) in src.results[inst].iter().zip(own) {
            rw.map.set(result, image);
        }
        let mut further = further.iter();
        let image = |at: Option<usize>| at.map_or_else(|| further.next(), |at| own.get(at)).copied();
        let images = kept.iter().map(yielded).map_while(image).collect();
        self.images.insert(inst, images);
    }
}

/// What stands for a value that is not read.
fn nothing(ty: Ty) -> Const {
    match ty {
        Ty::F64 => Const::F64(0.0),
        Ty::F32 => Const::F32(0.0),
        Ty::Int => Const::Int(0),
        Ty::Bool => Const::Bool(false),
    }
}
