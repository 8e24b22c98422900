//! Which values are structural: known at prepare, because they depend on sizes, induction variables and structural inputs only.
//!
//! Only structural values may decide which matrix entries exist. A value computed by a recurrence is structural when its initial
//! value and everything it is updated from are.

use cranelift_entity::SecondaryMap;
use spadina_ir::func::{Carry, Func, InstData, Region, Role, Value};

/// The structural values of a function.
pub struct Structural(SecondaryMap<Value, bool>);

impl Structural {
    /// Analyzes a function.
    pub fn of(func: &Func) -> Structural {
        let mut known = Structural(SecondaryMap::new());
        known.region(func, func.body);
        known
    }

    /// Whether a value is known at prepare.
    pub fn holds(&self, value: Value) -> bool {
        self.0[value]
    }

    fn region(&mut self, func: &Func, region: Region) {
        for &inst in &func.regions[region].insts {
            let data = &func.insts[inst];
            let operands = data.operands().iter().all(|&v| self.holds(v));
            let results = &func.results[inst];
            match data {
                InstData::Const(_) | InstData::Size(_) | InstData::Position(..) | InstData::Op(..) => {
                    self.0[results[0]] = operands;
                }
                InstData::Load(buffer, _) => {
                    self.0[results[0]] = operands && func.buffers[*buffer].role == Role::Structural;
                }
                InstData::Loop { lo, hi, carries, body, .. } => {
                    let range = self.holds(*lo) && self.holds(*hi);
                    let params = &func.regions[*body].params;
                    self.0[params[0]] = range;
                    // Optimistic start for states, then down to a fixed point.
                    let mut states: Vec<bool> = carries
                        .iter()
                        .filter_map(|c| match c {
                            Carry::State(init) => Some(range && self.holds(*init)),
                            Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => None,
                        })
                        .collect();
                    loop {
                        for (&param, &state) in params[1..].iter().zip(&states) {
                            self.0[param] = state;
                        }
                        self.region(func, *body);
                        let mut changed = false;
                        let mut next = 0;
                        for (n, carry) in carries.iter().enumerate() {
                            let yielded = self.holds(func.regions[*body].yields[n]);
                            if let Carry::State(_) = carry {
                                if states[next] && !yielded {
                                    states[next] = false;
                                    changed = true;
                                }
                                self.0[results[n]] = states[next];
                                next += 1;
                            } else {
                                self.0[results[n]] = range && yielded;
                            }
                        }
                        if !changed {
                            break;
                        }
                    }
                }
                InstData::If { cond, then, els } => {
                    self.region(func, *then);
                    self.region(func, *els);
                    for (n, &result) in results.iter().enumerate() {
                        let branches = [*then, *els];
                        self.0[result] = self.holds(*cond)
                            && branches.iter().all(|&r| self.holds(func.regions[r].yields[n]));
                    }
                }
                InstData::Accum(..) | InstData::Reset(..) | InstData::Check(..) | InstData::Emit(_) => {}
            }
        }
    }
}
