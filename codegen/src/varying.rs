//! Whether the iterations of a phase can run side by side, and which values then differ between them.
//!
//! # Method
//! 1. Effects must stand at the top level of the loop body: they are put off until all values are known and then done lane by lane,
//!    each lane in program order. So every sum has the order of one lane, and the same bits.
//! 2. A value *varies* if it depends on the induction variable: by an operand, by the condition of its `if`, or by the bounds of its
//!    loop. Recurrences are iterated to a fixed point.
//! 3. The gain is estimated: operations that vectors do against work that stays scalar, lane by lane. Where most of it is in single
//!    precision, there are as many lanes as a vector has numbers of that.
//!
//! # Limits
//! No lanes where a phase reads an array that it writes, where effects stand in inner loops or branches, and where most work
//! is of the kind that vectors do not do (calls, integers, branches that differ between lanes).

use crate::program::{Phase, literal_product};
use cranelift_codegen::entity::EntitySet;
use spadina_ir::func::{Buffer, Carry, Func, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Operations in vectors below which lanes are not worth their code.
const FEWEST: u32 = 4;

/// Most work of two branches that are both computed, whichever is taken.
const CHEAP: u32 = 60;

/// How the iterations of a phase run side by side.
pub(crate) struct Wide {
    /// The values that differ between iterations.
    pub(crate) varying: EntitySet<Value>,
    /// Whether most work is in single precision.
    pub(crate) singles: bool,
}

/// How the iterations of a phase run side by side, or `None` where they run one by one.
pub(crate) fn varying(func: &Func, phase: &Phase) -> Option<Wide> {
    let split = phase.split?;
    let body = &func.regions[split.body];
    let top = body.insts.iter().all(|&inst| match &func.insts[inst] {
        InstData::Accum(..) | InstData::Emit(_) => true,
        InstData::Reset(..) | InstData::Check(..) => false,
        _ => !walk::has_effects(func, inst),
    });
    let written = walk::written_buffers(func, phase.root);
    let mut reads_own = false;
    walk::visit_insts(func, split.body, &mut |_, inst| {
        reads_own |= matches!(&func.insts[inst], InstData::Load(buffer, _) if written.contains(buffer));
    });
    if !top || reads_own {
        return None;
    }
    let (varying, work) = in_iterations(func, split.body);
    let vector = work.vector + work.single;
    let wide = Wide { varying, singles: work.single > work.vector };
    (vector >= FEWEST && vector >= work.scalar).then_some(wide)
}

/// The values in the body of an inner loop that differ between its iterations, or `None` where most work is not for vectors.
pub(crate) fn varying_rows(func: &Func, body: Region) -> Option<EntitySet<Value>> {
    let (varying, work) = in_iterations(func, body);
    (work.vector >= work.scalar).then_some(varying)
}

/// What depends on the parameters of a loop's body, and its work.
fn in_iterations(func: &Func, body: Region) -> (EntitySet<Value>, Work) {
    let mut marks = Marks { func, varying: EntitySet::new(), batched: None, changed: true };
    marks.varying.extend(func.regions[body].params.iter().copied());
    while marks.changed {
        marks.changed = false;
        marks.region(body, false);
    }
    let mut work = Work::default();
    work.region(func, &marks.varying, body);
    (marks.varying, work)
}

/// Where an element lies: literal subscripts of literal axes flattened, and the other subscripts.
pub(crate) fn flat_place(func: &Func, buffer: Buffer, index: &[Value]) -> (Vec<Option<Value>>, i64) {
    let dims = &func.buffers[buffer].dims;
    let (mut key, mut offset) = (Vec::<Option<Value>>::new(), 0_i64);
    for (axis, &subscript) in index.iter().enumerate() {
        match (func.as_int(subscript), literal_product(&dims[axis + 1..])) {
            (Some(n), Some(stride)) => {
                offset = offset.wrapping_add(n.wrapping_mul(stride));
                key.push(None);
            }
            _ => key.push(Some(subscript)),
        }
    }
    (key, offset)
}

/// Reads of doubles that are neighbors in memory, in one region: for each of both, the first and the second.
pub(crate) fn neighbors(
    func: &Func,
    body: Region,
    varying: &EntitySet<Value>,
) -> BTreeMap<Inst, (Inst, Inst)> {
    let mut found: BTreeMap<_, BTreeMap<i64, Inst>> = BTreeMap::new();
    walk::visit_insts(func, body, &mut |region, inst| {
        let InstData::Load(buffer, index) = &func.insts[inst] else { return };
        let data = &func.buffers[*buffer];
        if data.elem != Ty::F64 || !func.result(inst).is_some_and(|v| varying.contains(v)) {
            return;
        }
        let (key, offset) = flat_place(func, *buffer, index);
        found.entry((region, *buffer, key)).or_default().entry(offset).or_insert(inst);
    });
    let mut pairs = BTreeMap::new();
    for places in found.values() {
        let mut places = places.iter().peekable();
        while let Some((&offset, &first)) = places.next() {
            if let Some((_, &second)) = places.next_if(|&(&next, _)| offset.checked_add(1) == Some(next)) {
                pairs.insert(first, (first, second));
                pairs.insert(second, (first, second));
            }
        }
    }
    pairs
}

/// Marks values that vary until there are no more.
pub(crate) struct Marks<'a> {
    func: &'a Func,
    varying: EntitySet<Value>,
    /// With batches: the arrays whose elements vary.
    batched: Option<BTreeSet<Buffer>>,
    changed: bool,
}

impl Marks<'_> {
    /// The values and arrays of a program that depend on some arrays.
    pub(crate) fn batched(func: &Func, seeds: &[Buffer]) -> (EntitySet<Value>, BTreeSet<Buffer>) {
        let batched = Some(seeds.iter().copied().collect());
        let mut marks = Marks { func, varying: EntitySet::new(), batched, changed: true };
        while marks.changed {
            marks.changed = false;
            marks.region(func.body, false);
        }
        (marks.varying, marks.batched.unwrap_or_default())
    }

    fn mark(&mut self, value: Value, varies: bool) {
        if varies && self.varying.insert(value) {
            self.changed = true;
        }
    }

    fn any(&self, values: &[Value]) -> bool {
        values.iter().any(|&v| self.varying.contains(v))
    }

    /// Marks what varies in a region; with `all`, everything in it does.
    fn region(&mut self, region: Region, all: bool) {
        let func = self.func;
        for &inst in &func.regions[region].insts {
            self.inst(inst, all);
        }
    }

    fn inst(&mut self, inst: Inst, all: bool) {
        let func = self.func;
        let results = &func.results[inst];
        match &func.insts[inst] {
            InstData::Loop { lo, hi, carries, body, .. } => {
                let all = all || self.any(&[*lo, *hi]);
                let region = &func.regions[*body];
                if let Some((&iv, states)) = region.params.split_first() {
                    self.mark(iv, all);
                    let kept = results.iter().zip(carries);
                    let mut states = states.iter();
                    for (k, (&result, carry)) in kept.enumerate() {
                        let yielded = region.yields.get(k).is_some_and(|&y| self.varying.contains(y));
                        let mut varies = all || yielded || self.varying.contains(result);
                        if let Carry::State(init) = carry {
                            varies |= self.varying.contains(*init);
                            if let Some(&state) = states.next() {
                                self.mark(state, varies);
                            }
                        }
                        self.mark(result, varies);
                    }
                }
                self.region(*body, all);
            }
            InstData::If { cond, then, els } => {
                let all = all || self.varying.contains(*cond);
                self.region(*then, all);
                self.region(*els, all);
                let (then, els) = (&func.regions[*then].yields, &func.regions[*els].yields);
                for ((&result, &a), &b) in results.iter().zip(then).zip(els) {
                    self.mark(result, all || self.any(&[a, b]));
                }
            }
            data => {
                let mut varies = self.any(&data.operands());
                if let Some(batched) = &mut self.batched {
                    match data {
                        InstData::Load(buffer, _) => varies |= batched.contains(buffer),
                        InstData::Accum(buffer, ..) if varies => self.changed |= batched.insert(*buffer),
                        _ => {}
                    }
                }
                for &result in results {
                    self.mark(result, varies);
                }
            }
        }
    }
}

/// Operations that vectors do, and those that stay scalar.
#[derive(Default)]
struct Work {
    vector: u32,
    /// In single precision.
    single: u32,
    scalar: u32,
}

impl Work {
    fn region(&mut self, func: &Func, varying: &EntitySet<Value>, region: Region) {
        for &inst in &func.regions[region].insts {
            let data = &func.insts[inst];
            match data {
                InstData::Op(op, _) => {
                    let Some(result) = func.result(inst).filter(|&r| varying.contains(r)) else { continue };
                    match vector_cost(*op) {
                        Some(cost) if func.ty(result) == Ty::F64 => self.vector += cost,
                        Some(cost) if func.ty(result) == Ty::F32 => self.single += cost,
                        Some(_) => {}
                        None => self.scalar += CALL,
                    }
                }
                InstData::Loop { lo, hi, body, .. } => {
                    if varying.contains(*lo) || varying.contains(*hi) {
                        self.scalar += work_of(func, inst);
                    } else {
                        self.region(func, varying, *body);
                    }
                }
                InstData::If { cond, then, els } => {
                    let shared =
                        is_cheap(func, *then, *els) || (is_total(func, *then) && is_total(func, *els));
                    if varying.contains(*cond) && !shared {
                        self.scalar += work_of(func, inst);
                    } else {
                        self.region(func, varying, *then);
                        self.region(func, varying, *els);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a call counts as.
const CALL: u32 = 10;

/// The operations of an instruction's regions.
fn work_of(func: &Func, inst: Inst) -> u32 {
    let mut work = 0;
    for region in func.insts[inst].regions() {
        walk::visit_insts(func, region, &mut |_, inst| {
            if let InstData::Op(op, _) = &func.insts[inst] {
                work += vector_cost(*op).unwrap_or(CALL);
            }
        });
    }
    work
}

/// What an operation on doubles costs where vectors do it; `None` where it goes lane by lane.
pub(crate) fn vector_cost(op: Op) -> Option<u32> {
    match op {
        Op::Div | Op::Sqrt => Some(6),
        Op::Exp | Op::Log | Op::Sin | Op::Cos => Some(30),
        Op::Add | Op::Sub | Op::Mul | Op::Min | Op::Max | Op::Select => Some(1),
        Op::Neg
        | Op::Abs
        | Op::StopGradient
        | Op::Hidden
        | Op::Attach
        | Op::ProjectClamp
        | Op::ProjectAbs
        | Op::FloatEq
        | Op::FloatNe
        | Op::FloatLt
        | Op::FloatLe
        | Op::And
        | Op::Or
        | Op::Not
        | Op::IntAdd
        | Op::IntSub
        | Op::IntMul
        | Op::IntMin
        | Op::IntMax
        | Op::IntEq
        | Op::IntNe
        | Op::IntLt
        | Op::IntLe
        | Op::IntDiv
        | Op::IntMod
        | Op::IntToFloat
        | Op::BoolToFloat
        | Op::Indicator
        | Op::Narrow
        | Op::Widen => Some(0),
        Op::Copysign
        | Op::Sign
        | Op::Rem
        | Op::Floor
        | Op::Ceil
        | Op::Round
        | Op::Trunc
        | Op::FloatToInt
        | Op::Softplus
        | Op::Cbrt
        | Op::Expm1
        | Op::Log1p
        | Op::Log2
        | Op::Log10
        | Op::Tan
        | Op::Asin
        | Op::Acos
        | Op::Atan
        | Op::Sinh
        | Op::Cosh
        | Op::Tanh
        | Op::Asinh
        | Op::Acosh
        | Op::Atanh
        | Op::Erf
        | Op::Atan2
        | Op::Pow
        | Op::Hypot => None,
    }
}

/// True for branches that are short, pure and free of reads and calls: both may be computed in every lane.
pub(crate) fn is_cheap(func: &Func, then: Region, els: Region) -> bool {
    let mut cost = 0;
    let pure = [then, els].into_iter().flat_map(|region| &func.regions[region].insts).all(|&inst| {
        let own = match &func.insts[inst] {
            InstData::Const(_) | InstData::Size(_) => Some(1),
            InstData::Op(op, _) => vector_cost(*op).map(|cost| cost.max(1)),
            _ => None,
        };
        cost += own.unwrap_or(0);
        own.is_some()
    });
    pure && cost <= CHEAP
}

/// True for a branch that may be computed where it is not taken, for nothing: pure and free of reads and loops.
pub(crate) fn is_total(func: &Func, region: Region) -> bool {
    func.regions[region].insts.iter().all(|&inst| match &func.insts[inst] {
        InstData::Const(_) | InstData::Size(_) | InstData::Op(..) => true,
        InstData::If { then, els, .. } => is_total(func, *then) && is_total(func, *els),
        _ => false,
    })
}
