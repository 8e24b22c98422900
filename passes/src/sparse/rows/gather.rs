//! Copying the iterations behind one row, and keeping of their effects what belongs to this row.

use super::Refusal;
use super::interior::Interior;
use super::plan::{Group, Job, Plan, RowRef, Solve, rank, row_of, row_owner, variable};
use crate::analysis::affine::Affine;
use crate::rewrite::{Rewriter, Visitor};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, EmitData, Func, Inst, InstData, Value};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};
use spadina_ir::walk;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A row, a column and the value.
type Entry = (Value, Value, Value);

/// The visitor that copies the iterations behind a row.
pub(super) struct Gather<'p> {
    pub(super) plan: &'p Plan,
    pub(super) group: &'p Group,
    /// Subscripts of the row.
    pub(super) rows: Vec<Value>,
    /// With an interior, entries are collected and stored directly; without, emitted where they stand.
    pub(super) interior: Option<Interior>,
    job: &'p Job,
    /// Depth of the region in which a row is complete.
    depth: usize,
    next_site: &'p mut u32,
    entries: BTreeMap<(Value, Value), Value>,
    sums: BTreeMap<(Buffer, Vec<Value>), Value>,
    refusal: Option<Refusal>,
}

impl<'p> Gather<'p> {
    /// Copies what all jobs of a group give to the row with these subscripts, in the innermost open region. Returns the box that
    /// the interior needs.
    pub(super) fn run(
        rw: &mut Rewriter<'_>,
        plan: &'p Plan,
        group: &'p Group,
        rows: Vec<Value>,
        interior: Option<Interior>,
        next_site: &'p mut u32,
    ) -> Result<Option<Interior>, Refusal> {
        let Some(job) = group.jobs.first() else { return Ok(interior) };
        let depth = rw.b.depth();
        let (entries, sums) = (BTreeMap::new(), BTreeMap::new());
        let mut gather =
            Gather { plan, group, rows, interior, job, depth, next_site, entries, sums, refusal: None };
        for job in &group.jobs {
            gather.job = job;
            gather.visit(rw, plan.phases[job.phase].root);
        }
        if gather.refusal.is_none() && gather.interior.is_some() {
            gather.store(rw);
        }
        match gather.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(gather.interior),
        }
    }

    fn refuse(&mut self, reason: &'static str) {
        self.refusal.get_or_insert(Refusal(reason));
    }

    /// The iteration behind the row.
    fn iteration(b: &mut Builder, solve: &Solve, row: Value) -> Value {
        let base = b.size(&solve.base);
        let plain = match solve.sign {
            1 => b.op(Op::IntSub, &[row, base]),
            _ => b.op(Op::IntSub, &[base, row]),
        };
        match &solve.modulus {
            Some(_) if solve.base == SizeExpr::default() => row,
            Some(modulus) => {
                let modulus = b.size(modulus);
                b.op(Op::IntMod, &[plain, modulus])
            }
            None => plain,
        }
    }

    /// The row with the subscripts of this row, if the row of an effect is one of this job.
    fn image(&self, rw: &mut Rewriter<'_>, row: &RowRef) -> Option<Vec<Value>> {
        if !self.group.buffers.contains(&row.0) || self.plan.solve(rw.src, row).ok()? != self.job.shift {
            return None;
        }
        let mut rows = self.rows.iter();
        let index = row.1.iter().zip(&self.plan.looped[&row.0]);
        index.map(|(&v, &looped)| if looped { rows.next().copied() } else { rw.map.find(v) }).collect()
    }

    fn bind(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { lo, hi, body, .. } = &src.insts[inst] else { return };
        let iv = variable(src, inst);
        let Some(axis) = self.job.shift.iter().position(|s| Some(s.iv) == iv) else { return };
        let solve = &self.job.shift[axis];
        let mut image = Self::iteration(&mut rw.b, solve, self.rows[axis]);
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        if let Some(interior) = &mut self.interior {
            if let Some(InstData::Op(op, args)) = rw.b.func().def(image).cloned() {
                image = interior.op(&mut rw.b, op, &args).unwrap_or(image);
            }
            if let Err(refusal) = interior.inside_loop(&rw.b, lo, hi, image) {
                self.refusal.get_or_insert(refusal);
                return;
            }
            rw.map.set(solve.iv, image);
            rw.region(*body, self);
            return;
        }
        rw.map.set(solve.iv, image);
        if solve.modulus.is_some() {
            rw.region(*body, self);
            return;
        }
        let first = rw.b.op(Op::IntLe, &[lo, image]);
        let last = rw.b.op(Op::IntLt, &[image, hi]);
        let exists = rw.b.op(Op::And, &[first, last]);
        rw.b.begin_if(exists);
        rw.region(*body, self);
        rw.b.begin_else(&[]);
        rw.b.end_if(&[]);
    }

    fn accum(&mut self, rw: &mut Rewriter<'_>, inst: Inst, buffer: Buffer, index: &[Value], value: Value) {
        let value = rw.map.get(value);
        let index = if index.is_empty() {
            if !self.job.sums.contains(&inst) {
                return;
            }
            Vec::new()
        } else {
            let row = (row_owner(rw.src, buffer), index.to_vec());
            let Some(index) = self.image(rw, &row) else { return };
            index
        };
        if self.interior.is_none() || rw.b.depth() > self.depth {
            rw.b.accum(buffer, &index, value);
            return;
        }
        let key = (buffer, index);
        let sum = match self.sums.get(&key) {
            Some(&old) => rw.b.add(old, value),
            None => value,
        };
        self.sums.insert(key, sum);
    }

    fn emit(&mut self, rw: &mut Rewriter<'_>, emit: &EmitData) {
        let src = rw.src;
        let mirrored = emit.entries.iter().zip(&emit.values).flat_map(|(&(a, c), &value)| {
            let mirror = (emit.symmetric && a != c).then_some((c, a, value));
            [Some((a, c, value)), mirror].into_iter().flatten()
        });
        let mut rows: BTreeMap<u32, Value> = BTreeMap::new();
        for (a, &position) in (0..).zip(&emit.rows) {
            let Some(row) = row_of(src, position) else { continue };
            if let Some(index) = self.image(rw, &row) {
                rows.insert(a, rw.b.position(row.0, &index));
            }
        }
        let mut kept: Vec<(u32, u32, Value)> = mirrored.filter(|(a, ..)| rows.contains_key(a)).collect();
        if kept.is_empty() {
            return;
        }
        if self.interior.is_some() {
            if rw.b.depth() > self.depth {
                self.refuse("an entry stands under a condition that the interior does not decide");
                return;
            }
            for (a, c, value) in kept {
                let (row, col) = (rows[&a], rw.map.get(emit.cols[c as usize]));
                self.add(&mut rw.b, row, col, rw.map.get(value));
            }
            return;
        }
        kept.sort_by_key(|&(a, c, _)| (a, c));
        let local: BTreeMap<u32, u32> = rows.keys().copied().zip(0..).collect();
        let site = *self.next_site;
        *self.next_site += 1;
        rw.b.emit(EmitData {
            site,
            rows: rows.values().copied().collect(),
            cols: rw.map.all(&emit.cols).to_vec(),
            entries: kept.iter().map(|&(a, c, _)| (local[&a], c)).collect(),
            values: kept.iter().map(|&(_, _, value)| rw.map.get(value)).collect(),
            symmetric: false,
            direct: false,
            project: None,
        });
    }

    fn add(&mut self, b: &mut Builder, row: Value, col: Value, value: Value) {
        let sum = match self.entries.get(&(row, col)) {
            Some(&old) => {
                let sum = b.add(old, value);
                if b.is_float(sum, 0.0) {
                    // The entry is structural for the general road; keep it there.
                    self.refuse("the contributions to an entry cancel");
                }
                sum
            }
            None => value,
        };
        self.entries.insert((row, col), sum);
    }

    /// The complete row: sums, then the entries of each buffer's rows in the order of the matrix. Those of `p[0, r]` and `p[1, r]` lie far
    /// apart, so that an emission has only one of them; it has both of `p[r, 0]` and `p[r, 1]`.
    fn store(&mut self, rw: &mut Rewriter<'_>) {
        for ((buffer, index), value) in std::mem::take(&mut self.sums) {
            rw.b.accum(buffer, &index, value);
        }
        let mut together: BTreeMap<(usize, Vec<Value>), Vec<Entry>> = BTreeMap::new();
        for ((row, col), value) in std::mem::take(&mut self.entries) {
            let Some((buffer, index)) = row_of(rw.b.func(), row) else { continue };
            let innermost = self.plan.looped[&buffer].iter().rposition(|&looped| looped).unwrap_or(0);
            let key = (rank(&rw.src.rows, buffer), index[..innermost].to_vec());
            together.entry(key).or_default().push((row, col, value));
        }
        let Some(mut interior) = self.interior.take() else { return };
        for entries in together.into_values() {
            let func = rw.b.func();
            let mut rows: Vec<Value> = entries.iter().map(|e| e.0).collect();
            let mut cols: Vec<Value> = entries.iter().map(|e| e.1).collect();
            let mut sorted = true;
            for (places, list) in [(&mut rows, &func.rows), (&mut cols, &func.columns)] {
                places.sort_unstable();
                places.dedup();
                sorted &= sort(func, list, &mut interior, places);
            }
            if !sorted {
                self.refuse("columns of a row have no fixed order");
                return;
            }
            let place = |list: &[Value]| -> BTreeMap<Value, u32> { list.iter().copied().zip(0..).collect() };
            let (row_at, col_at) = (place(&rows), place(&cols));
            let mut listed: Vec<((u32, u32), Value)> =
                entries.iter().map(|&(r, c, value)| ((row_at[&r], col_at[&c]), value)).collect();
            listed.sort_unstable_by_key(|&(at, _)| at);
            let (entries, values) = listed.into_iter().unzip();
            let site = *self.next_site;
            *self.next_site += 1;
            rw.b.emit(EmitData {
                site,
                rows,
                cols,
                entries,
                values,
                symmetric: false,
                direct: true,
                project: None,
            });
        }
        self.interior = Some(interior);
    }
}

/// Sorts distinct positions, if their order is the same for every row of the interior.
fn sort(func: &Func, list: &[Buffer], interior: &mut Interior, places: &mut [Value]) -> bool {
    let mut orders = BTreeMap::new();
    for (n, &p) in places.iter().enumerate() {
        for &q in &places[..n] {
            let Some(order) = order(func, list, interior, p, q).filter(|o| o.is_ne()) else { return false };
            orders.insert((p, q), order);
            orders.insert((q, p), order.reverse());
        }
    }
    places.sort_by(|&p, &q| orders.get(&(p, q)).copied().unwrap_or(Ordering::Equal));
    true
}

/// The order of two positions, where it is the same for every row of the interior.
fn order(func: &Func, list: &[Buffer], interior: &mut Interior, a: Value, b: Value) -> Option<Ordering> {
    let ((x, i), (y, j)) = (row_of(func, a)?, row_of(func, b)?);
    if x != y {
        return Some(rank(list, x).cmp(&rank(list, y)));
    }
    for (&p, &q) in i.iter().zip(&j).filter(|(p, q)| p != q) {
        let difference = Affine::of(func, p)?.minus(&Affine::of(func, q)?)?;
        if difference == Affine::default() {
            continue;
        }
        if interior.negative(&difference)? {
            return Some(Ordering::Less);
        }
        return interior.negative(&difference.times(-1)?)?.then_some(Ordering::Greater);
    }
    Some(Ordering::Equal)
}

impl Visitor for Gather<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if self.refusal.is_none() {
            self.image_of(rw, inst);
        }
        if self.refusal.is_some() {
            fill(rw, inst);
        }
    }
}

/// Gives the results of an instruction any values: after a refusal what is built is thrown away, but regions that are open still yield.
fn fill(rw: &mut Rewriter<'_>, inst: Inst) {
    for &result in &rw.src.results[inst] {
        let any = match rw.src.ty(result) {
            Ty::Int => rw.b.int(0),
            Ty::Bool => rw.b.bool(false),
            ty @ (Ty::F64 | Ty::F32) => rw.b.float(ty, 0.0),
        };
        rw.map.set(result, any);
    }
}

impl Gather<'_> {
    fn image_of(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Loop { .. } => {
                let iv = variable(src, inst);
                if self.job.shift.iter().any(|s| Some(s.iv) == iv) {
                    self.bind(rw, inst);
                } else if !walk::has_effects(src, inst) {
                    rw.copy(inst, self);
                }
            }
            InstData::Op(op, args) => {
                let args = rw.map.all(args);
                let made = self.interior.as_mut().and_then(|interior| interior.op(&mut rw.b, *op, &args));
                let made = made.unwrap_or_else(|| rw.b.op(*op, &args));
                rw.map.set(src.results[inst][0], made);
            }
            InstData::Accum(buffer, index, value) => self.accum(rw, inst, *buffer, index, *value),
            InstData::Emit(emit) => self.emit(rw, emit),
            InstData::Reset(..) | InstData::Check(..) => {}
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Load(..)
            | InstData::Position(..)
            | InstData::If { .. } => {
                rw.copy(inst, self);
            }
        }
    }
}
