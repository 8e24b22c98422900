//! What the passes that emit entries share while they walk regions: the collected entries, and what is known at prepare.

use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::collect::Collector;
use cranelift_entity::SecondaryMap;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Region, Role, Value, ValueDef};
use std::collections::BTreeSet;

/// The entries of the open regions, and whether entries may stand there.
pub struct Places {
    /// Entries by open region.
    pub collector: Collector,
    /// Which conditions are known at prepare.
    pub known: KnownConditions,
    /// The innermost enclosing `if` or loop that values decide.
    pub guard: Option<Inst>,
}

impl Places {
    /// At the body of a copy of `func`.
    pub fn new(func: &Func) -> Places {
        Places { collector: Collector::default(), known: KnownConditions::new(func), guard: None }
    }
}

/// A pass that emits entries.
pub trait Emitting: Visitor + Sized {
    /// Where it is.
    fn places(&mut self) -> &mut Places;

    /// The body of a loop, or a branch of an `if`, has been opened.
    fn opened(&mut self, _rw: &mut Rewriter<'_>, _inst: Inst) {}

    /// It is about to be closed.
    fn closing(&mut self, _rw: &mut Rewriter<'_>) {}
}

/// Copies a loop, an `if` or anything else; the entries met inside a region are emitted at its end.
pub fn copy(rw: &mut Rewriter<'_>, pass: &mut impl Emitting, inst: Inst) {
    let src = rw.src;
    let outer = pass.places().guard;
    let images = match &src.insts[inst] {
        InstData::Loop { lo, hi, body, .. } => {
            guard(rw, pass, inst, &[*lo, *hi]);
            rw.open_loop(inst);
            let yields = region(rw, pass, inst, *body);
            rw.b.end_loop(&yields)
        }
        InstData::If { cond, then, els } => {
            guard(rw, pass, inst, &[*cond]);
            let cond = rw.map.get(*cond);
            rw.b.begin_if(cond);
            let yields = region(rw, pass, inst, *then);
            rw.b.begin_else(&yields);
            let yields = region(rw, pass, inst, *els);
            rw.b.end_if(&yields)
        }
        _ => {
            rw.copy(inst, pass);
            return;
        }
    };
    pass.places().guard = outer;
    for (&result, &image) in src.results[inst].iter().zip(&images) {
        rw.map.set(result, image);
    }
}

fn guard(rw: &Rewriter<'_>, pass: &mut impl Emitting, inst: Inst, deciding: &[Value]) {
    let places = pass.places();
    if deciding.iter().any(|&v| !places.known.holds(&rw.b, rw.map.get(v))) {
        places.guard = Some(inst);
    }
}

fn region(rw: &mut Rewriter<'_>, pass: &mut impl Emitting, inst: Inst, region: Region) -> Vec<Value> {
    pass.places().collector.open();
    pass.opened(rw, inst);
    rw.region(region, pass);
    pass.closing(rw);
    pass.places().collector.close(&mut rw.b);
    rw.map.all(&rw.src.regions[region].yields).to_vec()
}

/// Which conditions are known at prepare, asked of values under construction.
pub struct KnownConditions {
    structural_buffers: SecondaryMap<Buffer, bool>,
}

impl KnownConditions {
    /// Takes the roles of the buffers of `func`.
    pub fn new(func: &Func) -> KnownConditions {
        let mut structural_buffers = SecondaryMap::new();
        for (buffer, data) in &func.buffers {
            structural_buffers[buffer] = data.role == Role::Structural;
        }
        KnownConditions { structural_buffers }
    }

    /// Whether `value` depends on structural inputs, sizes and induction variables only.
    pub fn holds(&self, b: &Builder, value: Value) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack = vec![value];
        while let Some(v) = stack.pop() {
            if !seen.insert(v) {
                continue;
            }
            match b.func().def(v) {
                // Induction variables of loops with known bounds (others count as guards); states of recurrences are not known.
                None => {
                    if !matches!(b.func().values[v].def, ValueDef::Param(_, 0)) {
                        return false;
                    }
                }
                Some(InstData::Load(buffer, index)) => {
                    if !self.structural_buffers[*buffer] {
                        return false;
                    }
                    stack.extend(index);
                }
                Some(InstData::Loop { carries, body, .. }) => {
                    stack.extend(&b.func().regions[*body].yields);
                    stack.extend(carries.iter().filter_map(|c| match c {
                        spadina_ir::func::Carry::State(init) => Some(*init),
                        _ => None,
                    }));
                }
                Some(InstData::If { cond, then, els }) => {
                    stack.push(*cond);
                    stack.extend(&b.func().regions[*then].yields);
                    stack.extend(&b.func().regions[*els].yields);
                }
                Some(data) => stack.extend(data.operands()),
            }
        }
        true
    }
}
