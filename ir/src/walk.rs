//! Ways to read a program: visiting regions, finding what a region captures, whether it has effects.

use crate::func::{Func, Inst, InstData, Region, Value};
use std::collections::BTreeSet;

/// Calls `visit` on every instruction of `region` and of the regions nested in it, in program order, owners first.
pub fn visit_insts(func: &Func, region: Region, visit: &mut impl FnMut(Region, Inst)) {
    for &inst in &func.regions[region].insts {
        visit(region, inst);
        for nested in func.insts[inst].regions() {
            visit_insts(func, nested, visit);
        }
    }
}

/// True where running the instruction could change a buffer or the matrix.
pub fn has_effects(func: &Func, inst: Inst) -> bool {
    let data = &func.insts[inst];
    data.is_effect()
        || data.regions().into_iter().any(|r| func.regions[r].insts.iter().any(|&i| has_effects(func, i)))
}

/// The values that an instruction's regions use but do not define, in order of first use, without repeats.
/// Direct operands of the instruction are not included unless they are also used inside.
pub fn captures(func: &Func, inst: Inst) -> Vec<Value> {
    let mut defined = BTreeSet::new();
    let mut used = Vec::new();
    for region in func.insts[inst].regions() {
        collect(func, region, &mut defined, &mut used);
    }
    let mut seen = BTreeSet::new();
    used.retain(|value| !defined.contains(value) && seen.insert(*value));
    used
}

fn collect(func: &Func, region: Region, defined: &mut BTreeSet<Value>, used: &mut Vec<Value>) {
    let data = &func.regions[region];
    defined.extend(data.params.iter().copied());
    for &inst in &data.insts {
        used.extend(func.insts[inst].operands());
        defined.extend(func.results[inst].iter().copied());
        for nested in func.insts[inst].regions() {
            collect(func, nested, defined, used);
        }
    }
    used.extend(data.yields.iter().copied());
}

/// The number of instructions in the whole function.
pub fn inst_count(func: &Func) -> usize {
    let mut count = 0;
    visit_insts(func, func.body, &mut |_, _: Inst| count += 1);
    count
}

/// The buffers that an instruction (or a region nested in it) writes.
pub fn written_buffers(func: &Func, inst: Inst) -> BTreeSet<crate::func::Buffer> {
    let mut written = BTreeSet::new();
    let mut note = |data: &InstData| match data {
        InstData::Accum(buffer, ..) | InstData::Reset(buffer, _) => {
            written.insert(*buffer);
        }
        _ => {}
    };
    note(&func.insts[inst]);
    for region in func.insts[inst].regions() {
        visit_insts(func, region, &mut |_, i| note(&func.insts[i]));
    }
    written
}
