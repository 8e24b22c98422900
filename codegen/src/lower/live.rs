//! Which instructions decide how often emissions happen: all that counting needs.

use spadina_ir::func::{Func, Inst, InstData, Value, ValueDef};
use std::collections::BTreeSet;

/// The emissions under `root`, the loops and branches around them, and everything their bounds, conditions and states
/// (and the values in `also`) are computed from.
pub(crate) fn control(func: &Func, root: Inst, also: &[Value]) -> BTreeSet<Inst> {
    let mut marks = Marks { func, live: BTreeSet::new(), whole: BTreeSet::new(), needed: also.to_vec() };
    marks.around_emissions(root);
    while let Some(value) = marks.needed.pop() {
        match func.values[value].def {
            ValueDef::Result(inst, _) => marks.keep_whole(inst),
            ValueDef::Param(..) => {}
        }
    }
    marks.live
}

struct Marks<'a> {
    func: &'a Func,
    live: BTreeSet<Inst>,
    whole: BTreeSet<Inst>,
    needed: Vec<Value>,
}

impl Marks<'_> {
    fn around_emissions(&mut self, inst: Inst) -> bool {
        let func = self.func;
        let data = &func.insts[inst];
        let mut found = matches!(data, InstData::Emit(_));
        for region in data.regions() {
            for &nested in &func.regions[region].insts {
                found |= self.around_emissions(nested);
            }
        }
        if found {
            self.live.insert(inst);
            if !matches!(data, InstData::Emit(_)) {
                self.needed.extend(data.operands());
            }
            for region in data.regions() {
                self.needed.extend(&func.regions[region].yields);
            }
        }
        found
    }

    /// Keeps an instruction with everything in it.
    fn keep_whole(&mut self, inst: Inst) {
        let func = self.func;
        let mut open = vec![inst];
        while let Some(inst) = open.pop() {
            if !self.whole.insert(inst) {
                continue;
            }
            self.live.insert(inst);
            self.needed.extend(func.insts[inst].operands());
            for region in func.insts[inst].regions() {
                // A region may yield what was computed outside and hold nothing itself.
                self.needed.extend(&func.regions[region].yields);
                open.extend(&func.regions[region].insts);
            }
        }
    }
}
