//! Checks that what decides which matrix entries exist is structural.
//!
//! Method: values and scratch buffers that depend on floats (unknowns or data) are marked until nothing changes; then
//! emissions, and the conditions and bounds around them, are looked up.

use super::Report;
use crate::func::{Buffer, Carry, Func, Inst, InstData, Region, Role, Value};
use crate::walk::visit_insts;
use cranelift_entity::EntitySet;

pub(super) fn check(report: &mut Report<'_>) {
    let func = report.func;
    let mut emits = false;
    visit_insts(func, func.body, &mut |_, inst| emits |= matches!(func.insts[inst], InstData::Emit(_)));
    if !emits {
        return;
    }
    let mut marks = Marks { func, values: EntitySet::new(), buffers: EntitySet::new(), changed: true };
    for (buffer, data) in &func.buffers {
        if matches!(data.role, Role::Var | Role::Data) {
            marks.buffers.insert(buffer);
        }
    }
    while std::mem::take(&mut marks.changed) {
        marks.region(func.body, false);
    }
    let mut found = Vec::new();
    marks.find(func.body, false, &mut found);
    for (inst, message) in found {
        report.inst(inst, message);
    }
}

struct Marks<'a> {
    func: &'a Func,
    values: EntitySet<Value>,
    buffers: EntitySet<Buffer>,
    changed: bool,
}

impl Marks<'_> {
    fn any(&self, values: &[Value]) -> bool {
        values.iter().any(|&value| self.values.contains(value))
    }

    fn mark(&mut self, value: Value) {
        self.changed |= self.values.insert(value);
    }

    fn mark_all(&mut self, values: &[Value]) {
        for &value in values {
            self.mark(value);
        }
    }

    /// `guarded`: whether the region is executed depends on floats.
    fn region(&mut self, region: Region, guarded: bool) {
        for &inst in &self.func.regions[region].insts {
            self.inst(inst, guarded);
        }
    }

    fn inst(&mut self, inst: Inst, guarded: bool) {
        let func = self.func;
        let data = &func.insts[inst];
        let operands = self.any(&data.operands());
        let results = &func.results[inst];
        match data {
            InstData::Load(buffer, _) if self.buffers.contains(*buffer) => self.mark_all(results),
            InstData::Accum(buffer, ..) if operands || guarded => {
                self.changed |= self.buffers.insert(*buffer);
            }
            InstData::Loop { body, lo, hi, carries, .. } => {
                let bounds = self.any(&[*lo, *hi]);
                let region = &func.regions[*body];
                let (iv, states) = region.params.split_at(1);
                if bounds {
                    self.mark_all(iv);
                }
                let mut states = states.iter();
                for ((carry, &yielded), &result) in carries.iter().zip(&region.yields).zip(results) {
                    let mut marked = bounds || self.any(&[yielded]);
                    if let Carry::State(init) = carry {
                        marked |= self.any(&[*init]);
                        if let (true, Some(&state)) = (marked, states.next()) {
                            self.mark(state);
                        }
                    }
                    if marked {
                        self.mark(result);
                    }
                }
                self.region(*body, guarded || bounds);
            }
            InstData::If { then, els, .. } => {
                for region in [*then, *els] {
                    self.region(region, guarded || operands);
                    for (&result, &yielded) in results.iter().zip(&func.regions[region].yields) {
                        if operands || self.values.contains(yielded) {
                            self.mark(result);
                        }
                    }
                }
            }
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Op(..)
            | InstData::Load(..)
            | InstData::Position(..)
            | InstData::Accum(..)
            | InstData::Reset(..)
            | InstData::Check(..)
            | InstData::Emit(_) => {
                if operands {
                    self.mark_all(results);
                }
            }
        }
    }

    fn find(&self, region: Region, guarded: bool, found: &mut Vec<(Inst, &'static str)>) {
        for &inst in &self.func.regions[region].insts {
            let data = &self.func.insts[inst];
            let guard = match data {
                InstData::Loop { lo, hi, .. } => self.any(&[*lo, *hi]),
                InstData::If { cond, .. } => self.any(&[*cond]),
                _ => false,
            };
            if let InstData::Emit(emit) = data {
                if guarded {
                    found.push((inst, "emits under a guard that depends on floats that are not structural"));
                }
                if self.any(&emit.rows) || self.any(&emit.cols) {
                    found.push((inst, "emits at a position that depends on floats that are not structural"));
                }
            }
            for nested in data.regions() {
                self.find(nested, guarded || guard, found);
            }
        }
    }
}
