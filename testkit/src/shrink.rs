//! Makes a failing case small, so that a person can read it.

use crate::case::Case;
use spadina_ir::func::{Carry, Const, Func, Inst, InstData, Region, Value};
use spadina_ir::types::Ty;
use spadina_ir::verify::verify;
use spadina_ir::walk::{has_effects, visit_insts};
use std::collections::{BTreeMap, BTreeSet};

/// The smallest variant that greedy steps find of a case for which `fails` holds: instructions are left out, replaced
/// by one of their operands or by the literal one; a branch takes the place of its `if`, one iteration that of its loop;
/// what is no longer used goes too. Every variant that `fails` sees is well-formed. Inputs and declarations stay.
pub fn shrink(case: &Case, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    loop {
        let mut improved = false;
        let mut insts = Vec::new();
        visit_insts(&best.func, best.func.body, &mut |_, inst| insts.push(inst));
        // Late instructions first: what they use then goes as well.
        for inst in insts.into_iter().rev() {
            for step in steps(&best.func, inst) {
                let Some(func) = apply(&best.func, inst, step) else { continue };
                let mut clean = func.clone();
                drop_unused(&mut clean);
                // What fails may be what nobody uses: then only the step itself is kept.
                let candidates = [clean, func].into_iter();
                let bindings = &best.bindings;
                let found = candidates
                    .map(|func| Case { func, bindings: bindings.clone() })
                    .filter(|candidate| cost(&candidate.func) < cost(&best.func))
                    .find(|candidate| verify(&candidate.func).is_empty() && fails(candidate));
                if let Some(found) = found {
                    best = found;
                    improved = true;
                    break;
                }
            }
        }
        if !improved {
            return best;
        }
    }
}

/// What shrinking makes less: instructions, and among them those that are no literals.
fn cost(func: &Func) -> usize {
    let mut cost = 0;
    visit_insts(func, func.body, &mut |_, inst| {
        cost += if matches!(func.insts[inst], InstData::Const(_)) { 1 } else { 2 };
    });
    cost
}

#[derive(Clone, Copy)]
enum Step {
    Remove,
    UseOperand(Value),
    Literal(Const),
    /// The instructions of this region instead.
    Inline(Region),
}

fn steps(func: &Func, inst: Inst) -> Vec<Step> {
    let data = &func.insts[inst];
    let mut steps = if func.results[inst].is_empty() { vec![Step::Remove] } else { Vec::new() };
    if let Some(result) = func.result(inst)
        && !matches!(data, InstData::Const(_))
    {
        let ty = func.ty(result);
        steps.push(Step::Literal(match ty {
            Ty::F64 => Const::F64(1.0),
            Ty::F32 => Const::F32(1.0),
            Ty::Int => Const::Int(0),
            Ty::Bool => Const::Bool(true),
        }));
        let operands = data.operands().into_iter().filter(|&operand| func.ty(operand) == ty);
        steps.extend(operands.map(Step::UseOperand));
    }
    steps.extend(data.regions().into_iter().map(Step::Inline));
    steps
}

/// The function after a step; `None` where the instruction is gone already.
fn apply(func: &Func, inst: Inst, step: Step) -> Option<Func> {
    let mut present = false;
    visit_insts(func, func.body, &mut |_, other| present |= other == inst);
    if !present {
        return None;
    }
    let mut func = func.clone();
    match step {
        Step::Remove => remove(&mut func, &|_, other| other == inst),
        Step::Literal(constant) => func.insts[inst] = InstData::Const(constant),
        Step::UseOperand(operand) => {
            let result = func.result(inst)?;
            substitute(&mut func, &BTreeMap::from([(result, operand)]));
            remove(&mut func, &|_, other| other == inst);
        }
        Step::Inline(region) => inline(&mut func, inst, region),
    }
    Some(func)
}

fn substitute(func: &mut Func, map: &BTreeMap<Value, Value>) {
    // What a value is replaced by may be replaced itself (a yielded parameter).
    let replaced = |mut value: Value| {
        while let Some(&next) = map.get(&value) {
            value = next;
        }
        value
    };
    for data in func.insts.values_mut() {
        data.map_operands(replaced);
    }
    for region in func.regions.values_mut() {
        region.yields.iter_mut().for_each(|value| *value = replaced(*value));
    }
}

/// Puts the instructions of a region in the place of the instruction that owns it: one iteration, or one branch.
fn inline(func: &mut Func, inst: Inst, region: Region) {
    let inner = func.regions[region].clone();
    let mut map = BTreeMap::new();
    if let InstData::Loop { lo, carries, .. } = &func.insts[inst] {
        let states = carries.iter().filter_map(|carry| match carry {
            Carry::State(init) => Some(*init),
            Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => None,
        });
        map.extend(inner.params.iter().copied().zip([*lo].into_iter().chain(states)));
    }
    map.extend(func.results[inst].iter().copied().zip(inner.yields));
    for data in func.regions.values_mut() {
        if let Some(at) = data.insts.iter().position(|&other| other == inst) {
            data.insts.splice(at..=at, inner.insts.iter().copied());
        }
    }
    substitute(func, &map);
}

/// Every value that a reachable instruction or yield uses.
fn uses(func: &Func) -> BTreeSet<Value> {
    let mut used: BTreeSet<Value> = func.regions[func.body].yields.iter().copied().collect();
    visit_insts(func, func.body, &mut |_, inst| {
        used.extend(func.insts[inst].operands());
        for region in func.insts[inst].regions() {
            used.extend(func.regions[region].yields.iter().copied());
        }
    });
    used
}

fn remove(func: &mut Func, gone: &dyn Fn(&Func, Inst) -> bool) {
    let kept: Vec<Vec<Inst>> = func
        .regions
        .values()
        .map(|region| region.insts.iter().copied().filter(|&inst| !gone(func, inst)).collect())
        .collect();
    for (region, insts) in func.regions.values_mut().zip(kept) {
        region.insts = insts;
    }
}

/// Drops instructions without effects whose results nobody uses, until none is left.
fn drop_unused(func: &mut Func) {
    loop {
        let used = uses(func);
        let idle = |func: &Func, inst: Inst| {
            !has_effects(func, inst) && func.results[inst].iter().all(|result| !used.contains(result))
        };
        let mut any = false;
        visit_insts(func, func.body, &mut |_, inst| any |= idle(func, inst));
        if !any {
            return;
        }
        remove(func, &idle);
    }
}
