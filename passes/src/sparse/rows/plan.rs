//! Which rows the phases of a program write, which iteration stands behind a row, and which phases stay as they are.

use super::Refusal;
use crate::analysis::affine::{Affine, Subscript, subscript};
use cranelift_entity::EntityRef;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Plane, Region, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// How one induction variable follows from a subscript `r` of the row: `r = sign * iv + base`, modulo the axis where wrapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Solve {
    /// The induction variable.
    pub(super) iv: Value,
    /// 1 or -1.
    pub(super) sign: i64,
    /// What is added.
    pub(super) base: SizeExpr,
    /// The length of the axis, where the subscript wraps around.
    pub(super) modulus: Option<SizeExpr>,
}

/// The solution for all looped axes of a row, in order of the axes.
pub(super) type Shift = Vec<Solve>;

/// A row that an effect writes: a buffer of `Func::rows` and its subscripts.
pub(super) type RowRef = (Buffer, Vec<Value>);

/// One effect and what stands around it.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) inst: Inst,
    /// Enclosing loops, outermost first.
    pub(super) loops: Vec<Inst>,
    /// Enclosing conditions and whether they hold.
    pub(super) guards: Vec<(Value, bool)>,
    /// Rows it writes; none for a sum into a scalar.
    pub(super) rows: Vec<RowRef>,
}

/// A top-level instruction with effects.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) root: Inst,
    pub(super) effects: Vec<Effect>,
    /// Whether rows are written inside loops: then it is computed row by row, else as it stands.
    pub(super) nest: bool,
}

/// What one shift of one phase gives to a row.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) phase: usize,
    pub(super) shift: Shift,
    /// Whether every iteration has a row.
    total: bool,
    /// Sums into scalars that are counted here.
    pub(super) sums: BTreeSet<Inst>,
}

/// Rows that are computed by one loop nest: those of all buffers with the same looped axes.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Lengths of the looped axes.
    pub(super) dims: Vec<SizeExpr>,
    pub(super) buffers: Vec<Buffer>,
    pub(super) jobs: Vec<Job>,
    /// The interior starts here on each axis,
    pub(super) lower: Vec<i64>,
    /// and ends so far before the end.
    pub(super) upper: Vec<i64>,
}

/// How a program is turned to rows.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) phases: Vec<Phase>,
    /// Which axes of a row buffer are looped over.
    pub(super) looped: BTreeMap<Buffer, Vec<bool>>,
    pub(super) groups: Vec<Group>,
}

/// The buffer whose rows an accumulation writes.
pub(super) fn row_owner(func: &Func, buffer: Buffer) -> Buffer {
    match func.buffers[buffer].plane {
        Plane::Adjoint(of) | Plane::Tangent(of) => of,
        Plane::Primal | Plane::Block(..) => buffer,
    }
}

/// The row behind a position.
pub(super) fn row_of(func: &Func, position: Value) -> Option<RowRef> {
    match func.def(position) {
        Some(InstData::Position(buffer, index)) => Some((*buffer, index.to_vec())),
        _ => None,
    }
}

/// What stays as the element program has it.
#[derive(Default)]
pub(super) struct Left {
    roots: BTreeSet<Inst>,
    /// The buffers of which these write rows: no other rows of them are complete.
    buffers: BTreeSet<Buffer>,
}

impl Left {
    /// Leaves a top-level instruction as it is, for this reason; in the matrix of an energy only, as the rows of a residual belong to one
    /// instruction each.
    pub(super) fn add(&mut self, func: &Func, root: Inst, reason: Refusal) -> Result<(), Refusal> {
        let new = self.roots.insert(root);
        if func.rows != func.columns || !new {
            return Err(reason);
        }
        let mut refused = false;
        let mut one = |region: Option<Region>, inst: Inst| match &func.insts[inst] {
            InstData::Emit(emit) => {
                for &position in emit.rows.iter().chain(&emit.cols) {
                    match row_of(func, position) {
                        // What every iteration writes is summed up in a way of its own.
                        Some((_, index))
                            if region.is_some() && index.iter().all(|&v| func.as_int(v).is_some()) =>
                        {
                            refused = true;
                        }
                        Some((buffer, _)) => {
                            self.buffers.insert(buffer);
                        }
                        None => refused = true,
                    }
                }
            }
            InstData::Accum(buffer, ..) => {
                refused |= func.buffers[*buffer].role == Role::Scratch;
                self.buffers.insert(row_owner(func, *buffer));
            }
            InstData::Reset(..) | InstData::Check(..) => refused = true,
            _ => {}
        };
        one(None, root);
        for region in func.insts[root].regions() {
            walk::visit_insts(func, region, &mut |region, inst| one(Some(region), inst));
        }
        if refused { Err(reason) } else { Ok(()) }
    }
}

/// The top-level instruction that is not computed row by row (if it is one), and why.
type Stop = (Option<Inst>, Refusal);

impl Plan {
    /// Of all phases that can be computed row by row, apart from the rows of those that cannot.
    pub(super) fn new(func: &Func, left: &mut Left) -> Result<Plan, Refusal> {
        loop {
            match Plan::without(func, left) {
                Ok(plan) => return Ok(plan),
                Err((Some(root), reason)) => left.add(func, root, reason)?,
                Err((None, reason)) => return Err(reason),
            }
        }
    }

    fn without(func: &Func, left: &Left) -> Result<Plan, Stop> {
        let mut phases = Vec::new();
        for &root in &func.regions[func.body].insts {
            if walk::has_effects(func, root) && !left.roots.contains(&root) {
                let stop = |reason| (Some(root), reason);
                let mut effects = Vec::new();
                collect(func, root, &mut Surroundings::default(), &mut effects).map_err(stop)?;
                let nest = effects.iter().any(|e| !e.loops.is_empty() && !e.rows.is_empty());
                if nest && effects.iter().any(|e| e.loops.is_empty()) {
                    return Err(stop(Refusal("a row is written beside the loop that writes others")));
                }
                if effects.iter().flat_map(|e| &e.rows).any(|row| left.buffers.contains(&row.0)) {
                    return Err(stop(Refusal("other rows of an array do not follow from loops")));
                }
                phases.push(Phase { root, effects, nest });
            }
        }
        let mut plan = Plan { phases, looped: BTreeMap::new(), groups: Vec::new() };
        plan.find_axes(func);
        plan.find_groups(func)?;
        plan.place_sums(func)?;
        plan.place_points(func)?;
        if plan.groups.is_empty() {
            return Err((None, Refusal("no row is written inside a loop")));
        }
        Ok(plan)
    }

    /// The top-level instructions behind a group.
    pub(super) fn roots(&self, group: usize) -> impl Iterator<Item = Inst> + '_ {
        self.groups[group].jobs.iter().map(|job| self.phases[job.phase].root)
    }

    fn find_axes(&mut self, func: &Func) {
        for (buffer, index) in self.phases.iter().flat_map(|p| &p.effects).flat_map(|e| &e.rows) {
            let axes = self.looped.entry(*buffer).or_insert_with(|| vec![false; index.len()]);
            for (axis, &value) in axes.iter_mut().zip(index) {
                *axis |= match subscript(func, value) {
                    Some(Subscript::Plain(form)) => !form.terms.is_empty(),
                    Some(Subscript::Wrapped { .. }) | None => true,
                };
            }
        }
    }

    /// The iteration behind a row that is written inside loops.
    pub(super) fn solve(&self, func: &Func, row: &RowRef) -> Result<Shift, Refusal> {
        let (buffer, index) = row;
        let looped = &self.looped[buffer];
        let mut shift = Shift::new();
        for (axis, &value) in index.iter().enumerate() {
            if !looped[axis] {
                func.as_int(value)
                    .ok_or(Refusal("a row has a subscript that is neither looped nor literal"))?;
                continue;
            }
            let dim = &func.buffers[*buffer].dims[axis];
            let solve = match subscript(func, value) {
                Some(Subscript::Plain(form)) => match form.single() {
                    Some((iv, sign @ (1 | -1))) => Solve { iv, sign, base: form.base, modulus: None },
                    _ => return Err(Refusal("a subscript of a row is not a loop variable plus an offset")),
                },
                Some(Subscript::Wrapped { inner, modulus }) if modulus == *dim => match inner.single() {
                    Some((iv, 1)) => {
                        let base = without_multiple(&inner.base, &modulus);
                        Solve { iv, sign: 1, base: base.ok_or(OVERFLOW)?, modulus: Some(modulus) }
                    }
                    _ => return Err(Refusal("a subscript that wraps is not a loop variable plus an offset")),
                },
                Some(Subscript::Wrapped { .. }) | None => {
                    return Err(Refusal("a subscript of a row is not affine"));
                }
            };
            if shift.iter().any(|s: &Solve| s.iv == solve.iv) {
                return Err(Refusal("two subscripts of a row follow one loop"));
            }
            shift.push(solve);
        }
        Ok(shift)
    }

    fn dims(&self, func: &Func, buffer: Buffer) -> Vec<SizeExpr> {
        let axes = func.buffers[buffer].dims.iter().zip(&self.looped[&buffer]);
        axes.filter(|&(_, &looped)| looped).map(|(dim, _)| dim.clone()).collect()
    }

    fn find_groups(&mut self, func: &Func) -> Result<(), Stop> {
        let mut groups: Vec<Group> = Vec::new();
        for (n, phase) in self.phases.iter().enumerate().filter(|(_, p)| p.nest) {
            let stop = |reason| (Some(phase.root), reason);
            for effect in &phase.effects {
                for row in &effect.rows {
                    let shift = self.solve(func, row).map_err(stop)?;
                    let ivs: BTreeSet<Value> = shift.iter().map(|s| s.iv).collect();
                    if ivs != variables(func, &effect.loops) {
                        return Err(stop(Refusal("a row does not determine the iteration that writes it")));
                    }
                    let dims = self.dims(func, row.0);
                    prove(func, effect, &shift, &dims, true).map_err(stop)?;
                    let total = prove(func, effect, &shift, &dims, false).is_ok();
                    let at = groups.iter().position(|g| g.dims == dims).unwrap_or_else(|| {
                        let margin = vec![0; dims.len()];
                        let (lower, upper) = (margin.clone(), margin);
                        groups.push(Group { dims, buffers: Vec::new(), jobs: Vec::new(), lower, upper });
                        groups.len() - 1
                    });
                    let group = &mut groups[at];
                    if !group.buffers.contains(&row.0) {
                        group.buffers.push(row.0);
                    }
                    match group.jobs.iter_mut().find(|j| j.phase == n && j.shift == shift) {
                        Some(job) => job.total |= total,
                        None => group.jobs.push(Job { phase: n, shift, total, sums: BTreeSet::new() }),
                    }
                }
            }
        }
        self.groups = groups;
        Ok(())
    }

    /// Each sum into a scalar is counted by one shift that meets every iteration once.
    fn place_sums(&mut self, func: &Func) -> Result<(), Stop> {
        for (n, phase) in self.phases.iter().enumerate().filter(|(_, p)| p.nest) {
            for effect in phase.effects.iter().filter(|e| e.rows.is_empty()) {
                let ivs = variables(func, &effect.loops);
                let mut jobs = self.groups.iter_mut().flat_map(|g| &mut g.jobs);
                let job = jobs.find(|j| {
                    j.phase == n && j.total && j.shift.iter().map(|s| s.iv).collect::<BTreeSet<_>>() == ivs
                });
                let without = (Some(phase.root), Refusal("a sum has no row that meets every iteration"));
                let job = job.ok_or(without)?;
                job.sums.insert(effect.inst);
            }
        }
        Ok(())
    }

    /// Rows that are written outside of loops must lie outside of the interior.
    fn place_points(&mut self, func: &Func) -> Result<(), Stop> {
        let plain = self.phases.iter().filter(|p| !p.nest);
        let rows = plain.flat_map(|p| p.effects.iter().flat_map(|e| &e.rows).map(|row| (p.root, row)));
        for (root, (buffer, index)) in rows {
            let Some(group) = self.groups.iter_mut().find(|g| g.buffers.contains(buffer)) else { continue };
            let axes = index.iter().zip(&self.looped[buffer]).filter(|&(_, &looped)| looped);
            let outside = axes.enumerate().find_map(|(k, (&value, _))| {
                let at = Affine::of(func, value)?.as_size()?.clone();
                if let Some(n) = at.as_constant() {
                    return Some((k, Some(n.checked_add(1)?), None));
                }
                let from_end = group.dims[k].checked_sub(&at)?.as_constant()?;
                Some((k, None, Some(from_end)))
            });
            let (k, lower, upper) = outside.ok_or((Some(root), Refusal("a single row may lie anywhere")))?;
            group.lower[k] = group.lower[k].max(lower.unwrap_or(0));
            group.upper[k] = group.upper[k].max(upper.unwrap_or(0));
        }
        Ok(())
    }
}

const OVERFLOW: Refusal = Refusal("an offset overflows");

/// `base - k * modulus` for the k that removes the sizes of the modulus, or brings a literal nearest to zero.
fn without_multiple(base: &SizeExpr, modulus: &SizeExpr) -> Option<SizeExpr> {
    let times = match (modulus.terms.first(), modulus.as_constant()) {
        (Some(&(size, per)), _) => {
            let have = base.terms.iter().find(|t| t.0 == size).map_or(0, |t| t.1);
            have.checked_div(per)?
        }
        (None, Some(n)) => base.as_constant()?.checked_add(n / 2)?.checked_div_euclid(n)?,
        (None, None) => 0,
    };
    base.checked_sub(&modulus.checked_scale(times)?)
}

fn variables(func: &Func, loops: &[Inst]) -> BTreeSet<Value> {
    loops.iter().filter_map(|&l| variable(func, l)).collect()
}

/// The induction variable of a loop.
pub(super) fn variable(func: &Func, inst: Inst) -> Option<Value> {
    match &func.insts[inst] {
        InstData::Loop { body, .. } => func.regions[*body].params.first().copied(),
        _ => None,
    }
}

#[derive(Default)]
struct Surroundings {
    loops: Vec<Inst>,
    guards: Vec<(Value, bool)>,
}

fn collect(
    func: &Func,
    inst: Inst,
    around: &mut Surroundings,
    found: &mut Vec<Effect>,
) -> Result<(), Refusal> {
    let mut inside = |region: Region, around: &mut Surroundings| {
        func.regions[region].insts.iter().try_for_each(|&i| collect(func, i, around, found))
    };
    let rows = match &func.insts[inst] {
        InstData::Loop { carries, step, body, .. } => {
            if !walk::has_effects(func, inst) {
                return Ok(());
            }
            if !carries.is_empty() || *step != 1 {
                return Err(Refusal("a loop with effects has a result or a stride"));
            }
            around.loops.push(inst);
            inside(*body, around)?;
            around.loops.pop();
            return Ok(());
        }
        InstData::If { cond, then, els } => {
            for (region, holds) in [(*then, true), (*els, false)] {
                around.guards.push((*cond, holds));
                inside(region, around)?;
                around.guards.pop();
            }
            return Ok(());
        }
        InstData::Emit(emit) => {
            if emit.direct {
                return Err(Refusal("rows are direct already"));
            }
            let rows: Option<Vec<RowRef>> = emit.rows.iter().map(|&r| row_of(func, r)).collect();
            rows.ok_or(Refusal("a row is not a position"))?
        }
        InstData::Accum(buffer, index, _) => {
            let owner = row_owner(func, *buffer);
            if func.buffers[*buffer].role == Role::Scratch {
                return Err(Refusal("there are intermediate arrays"));
            }
            if index.is_empty() {
                Vec::new()
            } else if func.rows.contains(&owner) {
                vec![(owner, index.to_vec())]
            } else {
                return Err(Refusal("a result has no rows"));
            }
        }
        InstData::Reset(..) | InstData::Check(..) => return Err(Refusal("there are intermediate arrays")),
        InstData::Const(_)
        | InstData::Size(_)
        | InstData::Op(..)
        | InstData::Load(..)
        | InstData::Position(..) => {
            return Ok(());
        }
    };
    let (loops, guards) = (around.loops.clone(), around.guards.clone());
    found.push(Effect { inst, loops, guards, rows });
    Ok(())
}

fn not_negative(expr: Option<SizeExpr>) -> bool {
    expr.is_some_and(|e| e.constant >= 0 && e.terms.iter().all(|&(_, c)| c > 0))
}

/// Proves that a row exists for every iteration (that passes the guards, if they count).
fn prove(
    func: &Func,
    effect: &Effect,
    shift: &[Solve],
    dims: &[SizeExpr],
    guarded: bool,
) -> Result<(), Refusal> {
    for (solve, dim) in shift.iter().zip(dims) {
        let owner = effect.loops.iter().find(|&&l| variable(func, l) == Some(solve.iv));
        let Some(InstData::Loop { lo, hi, .. }) = owner.map(|&l| &func.insts[l]) else {
            return Err(Refusal("a row follows a loop that does not enclose it"));
        };
        let bound = |value: Value| Affine::of(func, value).and_then(|form| form.as_size().cloned());
        let (lo, hi) =
            bound(*lo).zip(bound(*hi)).ok_or(Refusal("a bound depends on another loop or on data"))?;
        if let Some(modulus) = &solve.modulus {
            if lo != SizeExpr::default() || hi != *modulus {
                return Err(Refusal("a loop over part of a ring"));
            }
            continue;
        }
        let (mut lower, mut upper) = (vec![lo], vec![hi]);
        if guarded {
            for &(cond, holds) in &effect.guards {
                learn(func, cond, holds, solve.iv, &mut lower, &mut upper);
            }
        }
        let first = |l: &SizeExpr| match solve.sign {
            1 => l.checked_add(&solve.base),
            _ => dim.checked_sub(&solve.base)?.checked_add(l)?.checked_sub(&SizeExpr::constant(1)),
        };
        let last = |h: &SizeExpr| match solve.sign {
            1 => dim.checked_sub(h)?.checked_sub(&solve.base),
            _ => solve.base.checked_sub(h)?.checked_add(&SizeExpr::constant(1)),
        };
        if !lower.iter().any(|l| not_negative(first(l))) || !upper.iter().any(|h| not_negative(last(h))) {
            return Err(Refusal("a row is not proven to exist"));
        }
    }
    Ok(())
}

/// What a condition says about a loop variable: `lower <= iv < upper`.
fn learn(
    func: &Func,
    cond: Value,
    holds: bool,
    iv: Value,
    lower: &mut Vec<SizeExpr>,
    upper: &mut Vec<SizeExpr>,
) {
    let Some(InstData::Op(op, args)) = func.def(cond) else { return };
    match (op, holds) {
        (Op::And, true) | (Op::Or, false) => {
            for &arg in args {
                learn(func, arg, holds, iv, lower, upper);
            }
            return;
        }
        (Op::Not, _) => return learn(func, args[0], !holds, iv, lower, upper),
        _ => {}
    }
    // `difference` is at most zero, in one or both directions.
    let forms = || Affine::of(func, args[0])?.minus(&Affine::of(func, args[1])?);
    let Some(form) = (args.len() == 2).then(forms).flatten() else { return };
    let below = match (op, holds) {
        (Op::IntLt, true) => vec![form.offset(1)],
        (Op::IntLe, true) => vec![Some(form)],
        (Op::IntLt, false) => vec![form.times(-1)],
        (Op::IntLe, false) => vec![form.times(-1).and_then(|f| f.offset(1))],
        (Op::IntEq, true) | (Op::IntNe, false) => vec![form.times(-1), Some(form)],
        _ => Vec::new(),
    };
    for difference in below.into_iter().flatten() {
        match difference.single() {
            // iv + base <= 0
            Some((v, 1)) if v == iv => {
                upper.extend(SizeExpr::constant(1).checked_sub(&difference.base));
            }
            // base - iv <= 0
            Some((v, -1)) if v == iv => lower.push(difference.base),
            _ => {}
        }
    }
}

/// Buffers in the order of a list.
pub(super) fn rank(list: &[Buffer], buffer: Buffer) -> usize {
    list.iter().position(|&b| b == buffer).unwrap_or(list.len() + buffer.index())
}
