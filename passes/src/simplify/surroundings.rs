//! What is known around each region: facts of values by their definitions, enclosing loops that run at least once, branches taken.

use super::fact::{Fact, transfer};
use crate::analysis::structural::Structural;
use cranelift_entity::SecondaryMap;
use spadina_ir::func::{Carry, Const, Entries, Func, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};

/// Facts about the values and regions of a function.
pub(super) struct Surroundings {
    facts: SecondaryMap<Value, Option<Fact>>,
    regions: SecondaryMap<Region, Around>,
}

/// What holds in a region whenever it is executed.
#[derive(Clone, Default)]
pub(super) struct Around {
    /// Size expressions that are not negative.
    pub(super) not_negative: Vec<SizeExpr>,
    /// Conditions with their truth.
    pub(super) decided: Vec<(Value, bool)>,
}

impl Surroundings {
    /// Analyzes a function.
    pub(super) fn of(func: &Func) -> Surroundings {
        let structural = Structural::of(func);
        let mut known = Surroundings { facts: SecondaryMap::new(), regions: SecondaryMap::new() };
        known.region(func, func.body, &structural, Around::default());
        known
    }

    /// What holds in a region.
    pub(super) fn around(&self, region: Region) -> &Around {
        &self.regions[region]
    }

    /// What is known of a value.
    pub(super) fn fact(&self, func: &Func, value: Value) -> Fact {
        self.facts[value].clone().unwrap_or_else(|| Fact::unknown(func.ty(value)))
    }

    fn region(&mut self, func: &Func, region: Region, structural: &Structural, around: Around) {
        self.regions[region] = around;
        for n in 0..func.regions[region].insts.len() {
            let inst = func.regions[region].insts[n];
            self.inst(func, region, inst, structural);
            for &value in &func.results[inst] {
                let fact = self.facts[value].get_or_insert_with(|| Fact::unknown(func.ty(value)));
                fact.structural = structural.holds(value);
            }
        }
    }

    fn inst(&mut self, func: &Func, region: Region, inst: Inst, structural: &Structural) {
        let results = &func.results[inst];
        match &func.insts[inst] {
            InstData::Const(literal) => self.facts[results[0]] = Some(Fact::literal(*literal)),
            InstData::Size(expr) => self.facts[results[0]] = Some(Fact::exactly(expr.clone())),
            InstData::Op(op, args) => {
                let facts: Vec<Fact> = args.iter().map(|&a| self.fact(func, a)).collect();
                let facts: Vec<&Fact> = facts.iter().collect();
                let same = args.len() == 2 && args[0] == args[1];
                let known = &self.regions[region].not_negative;
                self.facts[results[0]] = Some(transfer(*op, &facts, same, known));
            }
            InstData::Load(buffer, index) => {
                self.facts[results[0]] =
                    Some(loaded(func, &func.buffers[*buffer].entries, index, results[0]));
            }
            InstData::Position(..) => {
                self.facts[results[0]] = Some(Fact::between(Some(SizeExpr::default()), None));
            }
            InstData::Loop { lo, hi, carries, body, .. } => {
                let mut around = self.regions[region].clone();
                let first = self.fact(func, *lo).lo;
                let one = SizeExpr::constant(1);
                let last = self.fact(func, *hi).hi.and_then(|hi| hi.checked_sub(&one));
                if let (Some(first), Some(last)) = (&first, &last)
                    && let Some(slack) = last.checked_sub(first)
                {
                    around.not_negative.push(slack);
                }
                // A loop that runs once keeps its variable: the solver may be looking for it.
                let last = last.filter(|last| Some(last) != first.as_ref());
                let params = &func.regions[*body].params;
                let iv = Fact { structural: structural.holds(params[0]), ..Fact::between(first, last) };
                self.facts[params[0]] = Some(iv);
                for &param in &params[1..] {
                    let structural = structural.holds(param);
                    self.facts[param] = Some(Fact { structural, ..Fact::unknown(func.ty(param)) });
                }
                self.region(func, *body, structural, around);
                for (n, carry) in carries.iter().enumerate() {
                    let not_negative = match carry {
                        Carry::Sum | Carry::Prod => {
                            self.fact(func, func.regions[*body].yields[n]).not_negative
                        }
                        Carry::Min | Carry::Max | Carry::State(_) => false,
                    };
                    self.facts[results[n]] =
                        Some(Fact { not_negative, ..Fact::unknown(func.ty(results[n])) });
                }
            }
            InstData::If { cond, then, els } => {
                for (branch, truth) in [(*then, true), (*els, false)] {
                    let mut around = self.regions[region].clone();
                    decide(func, *cond, truth, &mut around.decided);
                    self.region(func, branch, structural, around);
                }
                for (n, &result) in results.iter().enumerate() {
                    let branches = [*then, *els].map(|r| self.fact(func, func.regions[r].yields[n]));
                    let not_negative = branches.iter().all(|fact| fact.not_negative);
                    self.facts[result] = Some(Fact { not_negative, ..Fact::unknown(func.ty(result)) });
                }
            }
            InstData::Accum(..) | InstData::Reset(..) | InstData::Check(..) | InstData::Emit(_) => {}
        }
    }
}

/// What the promises about an integer array say of an entry.
fn loaded(func: &Func, entries: &Entries, index: &[Value], value: Value) -> Fact {
    if func.ty(value) != Ty::Int {
        return Fact::unknown(func.ty(value));
    }
    let zero = Some(SizeExpr::default());
    match entries {
        Entries::Any => Fact::unknown(Ty::Int),
        Entries::Offsets(bound) => Fact::between(zero, Some(bound.clone())),
        Entries::Index(bounds) => {
            let column = match bounds.len() {
                1 => Some(0),
                _ => index.last().and_then(|&v| func.as_int(v)).and_then(|n| usize::try_from(n).ok()),
            };
            let bound = column.and_then(|column| bounds.get(column));
            let last = bound.and_then(|bound| bound.checked_sub(&SizeExpr::constant(1)));
            // An array that points into one place keeps its values: they are not literals to the solver either.
            Fact::between(zero, last.filter(|last| last.as_constant() != Some(0)))
        }
    }
}

/// What follows from a condition being true or false.
fn decide(func: &Func, cond: Value, truth: bool, decided: &mut Vec<(Value, bool)>) {
    decided.push((cond, truth));
    let Some(InstData::Op(op, args)) = func.def(cond) else { return };
    if (*op == Op::And && truth) || (*op == Op::Or && !truth) {
        for &arg in args {
            decide(func, arg, truth, decided);
        }
    } else if *op == Op::Not {
        decide(func, args[0], !truth, decided);
    }
}

impl Around {
    /// The truth of a condition, if it is decided.
    pub(super) fn truth(&self, value: Value) -> Option<Const> {
        self.decided.iter().find(|&&(v, _)| v == value).map(|&(_, truth)| Const::Bool(truth))
    }
}
