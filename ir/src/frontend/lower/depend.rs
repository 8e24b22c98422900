//! What a value depends on: unknowns, loops over them, float data.

use super::Lowerer;
use crate::func::{Buffer, InstData, Role, Value, ValueDef};
use crate::op::Op;
use std::collections::BTreeSet;

/// What was met on the way back from a value.
#[derive(Default)]
struct Sources {
    /// Loads of unknowns, where `stop_gradient` is not in between.
    var: bool,
    /// Loop results and intermediate arrays that are floats.
    loops: Vec<Value>,
    /// Float data that was loaded.
    data: BTreeSet<Buffer>,
}

impl Lowerer<'_> {
    /// Does the value of this float change with the unknowns?
    pub(super) fn depends_on_var(&self, value: Value) -> bool {
        self.sources(value).var
    }

    /// Is it, or is it computed from, a reduction or an array that depends on unknowns?
    pub(super) fn is_global(&self, value: Value) -> bool {
        self.sources(value).loops.into_iter().any(|value| self.depends_on_var(value))
    }

    /// Float data that decides an integer is frozen at prepare.
    pub(super) fn freeze(&mut self, value: Value) {
        let data = self.sources(value).data;
        self.frozen.extend(data);
    }

    fn sources(&self, value: Value) -> Sources {
        let func = self.b.func();
        let mut found = Sources::default();
        let mut seen = BTreeSet::new();
        let mut todo = vec![value];
        while let Some(value) = todo.pop() {
            if !seen.insert(value) {
                continue;
            }
            let ValueDef::Result(inst, _) = func.values[value].def else { continue };
            let data = &func.insts[inst];
            match data {
                InstData::Load(buffer, _) => match func.buffers[*buffer].role {
                    Role::Var => found.var = true,
                    Role::Data => {
                        found.data.insert(*buffer);
                    }
                    Role::Structural => {}
                    Role::Scratch | Role::Output => {
                        found.loops.push(value);
                        todo.extend(func.insts.values().filter_map(|inst| match inst {
                            InstData::Accum(target, _, value) if target == buffer => Some(*value),
                            _ => None,
                        }));
                    }
                },
                InstData::Op(Op::StopGradient, args) => {
                    // The value is not differentiated, but it still decides.
                    found.data.extend(self.sources(args[0]).data);
                }
                InstData::Loop { .. } => {
                    found.loops.push(value);
                    todo.extend(data.operands());
                    todo.extend(
                        data.regions()
                            .into_iter()
                            .flat_map(|region| func.regions[region].yields.iter().copied()),
                    );
                }
                InstData::If { .. } => {
                    todo.extend(data.operands());
                    todo.extend(
                        data.regions()
                            .into_iter()
                            .flat_map(|region| func.regions[region].yields.iter().copied()),
                    );
                }
                InstData::Const(_)
                | InstData::Size(_)
                | InstData::Op(..)
                | InstData::Position(..)
                | InstData::Check(..)
                | InstData::Accum(..)
                | InstData::Reset(..)
                | InstData::Emit(_) => todo.extend(data.operands()),
            }
        }
        found
    }
}
