//! Ways to read a program: visiting regions, finding what a region captures, whether it has effects.

use crate::func::{Func, Inst, InstData, Region, Value};
use cranelift_entity::EntitySet;
use std::collections::BTreeSet;

/// Calls `visit` on every instruction of `region` and of the regions nested in it, in program order, owners first.
pub fn visit_insts(func: &Func, region: Region, visit: &mut impl FnMut(Region, Inst)) {
    for &inst in &func.regions[region].insts {
        visit(region, inst);
        let data = &func.insts[inst];
        if data.has_regions() {
            for nested in data.regions() {
                visit_insts(func, nested, visit);
            }
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
    let mut found = Captures { func, defined: EntitySet::new(), used: EntitySet::new(), outside: Vec::new() };
    if func.insts[inst].has_regions() {
        func.insts[inst].regions().into_iter().for_each(|region| found.region(region));
    }
    found.outside
}

struct Captures<'f> {
    func: &'f Func,
    defined: EntitySet<Value>,
    used: EntitySet<Value>,
    /// What is used and not defined before: inside, definitions come first.
    outside: Vec<Value>,
}

impl Captures<'_> {
    fn region(&mut self, region: Region) {
        let data = &self.func.regions[region];
        self.defined.extend(data.params.iter().copied());
        for &inst in &data.insts {
            let data = &self.func.insts[inst];
            self.used(&data.operands());
            self.defined.extend(self.func.results[inst].iter().copied());
            if data.has_regions() {
                data.regions().into_iter().for_each(|nested| self.region(nested));
            }
        }
        self.used(&data.yields);
    }

    fn used(&mut self, values: &[Value]) {
        for &value in values {
            if !self.defined.contains(value) && self.used.insert(value) {
                self.outside.push(value);
            }
        }
    }
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
