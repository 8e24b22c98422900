//! Common factors of sums, before derivatives are taken.
//!
//! # Problem
//! ```text
//! (p / d)^2 + (q / d)^2      ==>   (p^2 + q^2) / d^2
//! ```
//! What divides every term is differentiated once instead of with each; and the sum may be there already.
//!
//! # Method
//! 1. The sums, products and quotients of each region go onto a tape (`ad/tape`), what other instructions use of them as roots.
//! 2. Algebra (`ad/algebra`) rewrites them; it is taken where it costs less.
//! 3. Roots are built where they are first needed.
//!
//! # Why it keeps the meaning
//! Commutative, associative and distributive laws; loads, loops, branches and effects stay as they are. Results change by rounding.
//!
//! # Limits
//! Regions do not see each other; `F32` is left alone.

use crate::ad::algebra::{Factoring, improve};
use crate::ad::tape::{Emission, Ref, Tape};
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::{EntitySet, SecondaryMap};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::BTreeMap;

/// The pass.
pub const PASS: Pass = Pass { name: "factor", summary: "common factors of sums are taken out", run };

/// Fewest operations of a region that are looked at.
const FEWEST: usize = 4;

/// Rewrites the sums and products of each region, where that is cheaper.
///
/// # Errors
/// None: what cannot be rewritten stays.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let mut pass = Factor { plans: BTreeMap::new(), homes: SecondaryMap::new() };
    let mut regions = vec![func.body];
    walk::visit_insts(func, func.body, &mut |_, inst| regions.extend(func.insts[inst].regions()));
    for region in regions {
        if let Some(plan) = Plan::of(func, region) {
            for &inst in &func.regions[region].insts {
                pass.homes[inst] = Some(region);
            }
            pass.plans.insert(region, plan);
        }
    }
    if pass.plans.is_empty() {
        return Ok(func.clone());
    }
    Ok(Rewriter::new(func, func.name.clone()).run(&mut pass))
}

fn is_algebraic(func: &Func, inst: Inst) -> bool {
    matches!(&func.insts[inst], InstData::Op(Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Neg, _))
        && func.results[inst].iter().all(|&v| func.ty(v) == Ty::F64)
}

/// What a region computes by algebra, rewritten.
struct Plan {
    tape: Tape,
    emission: Emission,
    roots: BTreeMap<Value, Ref>,
}

impl Plan {
    /// `None` where nothing is gained.
    fn of(func: &Func, region: Region) -> Option<Plan> {
        let insts = &func.regions[region].insts;
        let mut inside: EntitySet<Value> = EntitySet::new();
        let mut count = 0;
        for &inst in insts.iter().filter(|&&inst| is_algebraic(func, inst)) {
            inside.extend(func.results[inst].iter().copied());
            count += 1;
        }
        if count < FEWEST {
            return None;
        }
        let mut roots = Vec::new();
        let mut known: EntitySet<Value> = EntitySet::new();
        let mut root = |v: Value| {
            if inside.contains(v) && known.insert(v) {
                roots.push(v);
            }
        };
        for &inst in insts.iter().filter(|&&inst| !is_algebraic(func, inst)) {
            needed(func, inst).into_iter().for_each(&mut root);
        }
        func.regions[region].yields.iter().copied().for_each(root);
        let mut tape = Tape::new(Ty::F64, Value::from_u32(0), 0);
        let refs: Vec<Ref> =
            roots.iter().map(|&v| tape.import(func, v, &|part| inside.contains(part))).collect();
        let better = improve(&mut tape, &refs, Factoring::Common);
        if better == refs {
            return None;
        }
        let emission = Emission::new(&tape, &better);
        Some(Plan { tape, emission, roots: roots.into_iter().zip(better).collect() })
    }
}

/// The values that an instruction needs, those that nested regions capture among them.
fn needed(func: &Func, inst: Inst) -> Vec<Value> {
    let mut values = func.insts[inst].operands().to_vec();
    values.extend(walk::captures(func, inst));
    values
}

struct Factor {
    plans: BTreeMap<Region, Plan>,
    /// The region of each instruction, where it has a plan.
    homes: SecondaryMap<Inst, Option<Region>>,
}

impl Factor {
    /// Builds what is a root of the region and not there yet.
    fn ensure(&mut self, rw: &mut Rewriter<'_>, region: Region, values: &[Value]) {
        let Some(plan) = self.plans.get_mut(&region) else { return };
        for v in values {
            let Some(&root) = plan.roots.get(v) else { continue };
            if rw.map.find(*v).is_some() {
                continue;
            }
            if let ValueDef::Result(inst, _) = rw.src.values[*v].def {
                rw.b.set_span(rw.src.spans[inst]);
            }
            let map = &rw.map;
            let image = plan.emission.value(&plan.tape, &mut rw.b, root, &|leaf| map.get(leaf));
            rw.map.set(*v, image);
        }
    }
}

impl Visitor for Factor {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let Some(region) = self.homes[inst] else {
            rw.copy(inst, self);
            return;
        };
        let src = rw.src;
        if !is_algebraic(src, inst) {
            let span = rw.b.span();
            self.ensure(rw, region, &needed(src, inst));
            rw.b.set_span(span);
            rw.copy(inst, self);
        }
        if src.regions[region].insts.last() == Some(&inst) {
            self.ensure(rw, region, &src.regions[region].yields);
        }
    }
}
