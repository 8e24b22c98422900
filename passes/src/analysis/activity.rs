//! Activity: which values and buffers carry derivatives from the given sources.
//!
//! Forward propagation to a fixed point: a float value is active when it is computed, through an operation with a non-zero partial,
//! from an active load, an active capture or an active carry. Buffers become active when an active value is accumulated into them.
//! Over-approximates, never misses: a candidate too many is a zero, a candidate lost is a lost entry.

use crate::ad::rules;
use cranelift_entity::SecondaryMap;
use spadina_ir::func::{Buffer, Carry, Func, InstData, Region, Value};
use spadina_ir::op::Op;

/// What is active.
#[derive(Clone)]
pub struct Activity {
    values: SecondaryMap<Value, bool>,
    buffers: SecondaryMap<Buffer, bool>,
}

impl Activity {
    /// Propagates from the loads of `sources`.
    pub fn of(func: &Func, sources: &[Buffer]) -> Activity {
        Self::with_indicators(func, sources, false)
    }

    /// Propagates from the loads of `sources`, and from one-hot indicators if asked.
    pub fn with_indicators(func: &Func, sources: &[Buffer], indicators: bool) -> Activity {
        let mut activity = Activity { values: SecondaryMap::new(), buffers: SecondaryMap::new() };
        for &buffer in sources {
            activity.buffers[buffer] = true;
        }
        while activity.sweep(func, func.body, indicators) {}
        activity
    }

    /// Whether a value is active.
    pub fn value(&self, value: Value) -> bool {
        self.values[value]
    }

    /// Whether a buffer is active.
    pub fn buffer(&self, buffer: Buffer) -> bool {
        self.buffers[buffer]
    }

    fn set(&mut self, func: &Func, value: Value, active: bool) -> bool {
        let grows = active && func.ty(value).is_float() && !self.values[value];
        if grows {
            self.values[value] = true;
        }
        grows
    }

    fn sweep(&mut self, func: &Func, region: Region, indicators: bool) -> bool {
        let mut grew = false;
        for &inst in &func.regions[region].insts {
            let results = &func.results[inst];
            match &func.insts[inst] {
                InstData::Op(Op::Indicator, _) => grew |= indicators && self.set(func, results[0], true),
                InstData::Op(Op::Select, args) => {
                    let active = self.value(args[1]) || self.value(args[2]);
                    grew |= self.set(func, results[0], active);
                }
                InstData::Op(Op::Copysign, args) => {
                    let active = self.value(args[0]);
                    grew |= self.set(func, results[0], active);
                }
                InstData::Op(Op::Attach, args) => {
                    let active = self.value(args[0]) || self.value(args[1]);
                    grew |= self.set(func, results[0], active);
                }
                InstData::Op(op, args) => {
                    let active = !rules::is_flat(*op) && args.iter().any(|&a| self.value(a));
                    grew |= self.set(func, results[0], active);
                }
                InstData::Load(buffer, _) => {
                    let active = self.buffer(*buffer);
                    grew |= self.set(func, results[0], active);
                }
                InstData::Accum(buffer, _, value) => {
                    if self.value(*value) && !self.buffers[*buffer] {
                        self.buffers[*buffer] = true;
                        grew = true;
                    }
                }
                InstData::Loop { carries, body, .. } => {
                    let mut param = 1;
                    for (n, carry) in carries.iter().enumerate() {
                        let yielded = self.value(func.regions[*body].yields[n]);
                        let mut active = yielded;
                        if let Carry::State(init) = carry {
                            active |= self.value(*init);
                            let state = func.regions[*body].params[param];
                            param += 1;
                            grew |= self.set(func, state, active);
                        }
                        grew |= self.set(func, results[n], active);
                    }
                    grew |= self.sweep(func, *body, indicators);
                }
                InstData::If { then, els, .. } => {
                    grew |= self.sweep(func, *then, indicators);
                    grew |= self.sweep(func, *els, indicators);
                    for (n, &result) in results.iter().enumerate() {
                        let active = [*then, *els].iter().any(|&r| self.value(func.regions[r].yields[n]));
                        grew |= self.set(func, result, active);
                    }
                }
                InstData::Const(_)
                | InstData::Size(_)
                | InstData::Position(..)
                | InstData::Reset(..)
                | InstData::Check(..)
                | InstData::Emit(_) => {}
            }
        }
        grew
    }
}
