//! Elimination of an element whose loops are kept: results of sums over inner loops stay as linear forms in the local unknowns.
//!
//! The form of `ad/eliminate` is extended by *vectors*: keys that stand for `sum_s J[s] dX[s]` over the slots `s` of the element, with
//! `J` in a scratch array. The results of a sum over an inner loop become such keys, and so does what couples a value that the body
//! captures to the unknowns that the body loads.

use crate::ad::eliminate::{InnerLoads, eliminate_composite, eliminate_from, eliminate_op, gradient};
use crate::ad::form::{Form, push};
use crate::ad::graph::{Graph, Obstacle, reopen};
use crate::ad::order::{self, StraightLine};
use crate::sparse::element::places::{Context, Unknowns, context, nth};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, BufferData, Carry, Entries, Inst, InstData, Plane, Role, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// A family and one of its components.
pub type Member = (usize, usize);

/// A linear form in the local unknowns.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its coefficients, by slot.
    pub array: Buffer,
    /// What may have coefficients.
    pub support: BTreeSet<Member>,
}

/// The elimination of one accumulated value.
pub struct Elimination<'a> {
    /// The local unknowns.
    pub unknowns: &'a Unknowns,
    /// Where second-order coefficients of two unknowns are added: the Hessian is this block plus its transpose.
    pub block: Buffer,
    /// Linear forms by key.
    pub vectors: BTreeMap<Value, Vector>,
    /// Unknowns that are coupled where both belong to the same iteration of an inner loop.
    pub together: BTreeSet<(Member, Member)>,
    /// Unknowns that are coupled in every pair of iterations.
    pub everywhere: BTreeSet<(Member, Member)>,
    /// Receives adjoints of loads.
    pub gradient: &'a dyn Fn(&mut Builder, Value, Value),
}

/// A scratch array of floats with one entry for each slot, or for each pair.
pub fn scratch(b: &mut Builder, stem: &str, ty: Ty, dims: &[i64]) -> Buffer {
    let name = b.func().fresh_buffer_name(stem);
    b.buffer(BufferData {
        name,
        elem: ty,
        dims: dims.iter().map(|&n| SizeExpr::constant(n)).collect(),
        role: Role::Scratch,
        plane: Plane::Primal,
        entries: Entries::Any,
        default: None,
        span: b.span(),
    })
}

/// What leaves the body of an inner loop as a sum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Captured {
    Bar(Value),
    Arc(Value, Value),
    First(usize, Value),
}

impl Elimination<'_> {
    /// Eliminates everything behind the seeds; the form that remains has loads of unknowns and vectors as keys.
    pub fn run(
        &mut self,
        b: &mut Builder,
        graph: &mut Graph,
        seeds: &[(Value, Value)],
    ) -> Result<Form, Obstacle> {
        // What stands after the last inner loop is eliminated in the best order.
        let last_loop = last_loop(b, graph, seeds);
        let mut form = Form::default();
        if let Some(line) = StraightLine::behind(b, graph, seeds, last_loop.as_u32()) {
            form = order::eliminate(b, graph, seeds, &line);
        } else {
            for &(v, bar) in seeds {
                form.add_bar(b, v, bar);
            }
        }
        let mut end = None;
        while let Some(value) = form.next(&mut end) {
            if graph.is_leaf(b, value) || self.vectors.contains_key(&value) {
                continue;
            }
            let ValueDef::Result(inst, _) = b.func().values[value].def else {
                return Err(parameter(b, value));
            };
            match b.func().insts[inst].clone() {
                InstData::Op(Op::Narrow | Op::Widen, _) => return Err(Obstacle::InnerLoad(inst)),
                InstData::Op(op, args) => eliminate_op(b, graph, &mut form, op, &args, value),
                InstData::Load(..) => return Err(Obstacle::Stage(inst)),
                InstData::If { .. } => eliminate_composite(b, graph, &mut form, inst)?,
                InstData::Loop { .. } => {
                    self.sum(b, graph, &mut form, inst)?;
                }
                InstData::Const(_)
                | InstData::Size(_)
                | InstData::Position(..)
                | InstData::Accum(..)
                | InstData::Reset(..)
                | InstData::Check(..)
                | InstData::Emit(_) => {
                    form.take(value);
                }
            }
        }
        Ok(form)
    }

    fn sum(
        &mut self,
        b: &mut Builder,
        graph: &mut Graph,
        form: &mut Form,
        inst: Inst,
    ) -> Result<(), Obstacle> {
        let InstData::Loop { lo, hi, step, carries, body } = b.func().insts[inst].clone() else {
            unreachable!("called on loops")
        };
        let results = b.func().results[inst].clone();
        let mut bars = Vec::new();
        let mut curved = Vec::new();
        for (n, result) in results.iter().enumerate() {
            let bar = form.bars.remove(result);
            let has_arcs = form.arcs.contains_key(result);
            if (bar.is_some() || has_arcs) && carries[n] != Carry::Sum {
                return Err(Obstacle::Recurrence(inst));
            }
            bars.extend(bar.map(|bar| (n, bar)));
            if has_arcs {
                curved.push(n);
            }
        }
        let slots = self.unknowns.slots();
        let ty = |b: &Builder, v: Value| b.func().ty(v);
        let mut rows: BTreeMap<usize, Vector> = BTreeMap::new();
        for &n in &curved {
            rows.insert(n, vector(b, ty(b, results[n]), slots));
        }
        // Values computed before the loop, other than loads, that its body may multiply with its own unknowns.
        let captures = walk::captures(b.func(), inst);
        let mut beside: BTreeMap<Value, Vector> = BTreeMap::new();
        for v in captures {
            if b.func().ty(v).is_float() && graph.is_active(b, v) && !graph.is_leaf(b, v) {
                let of = vector(b, ty(b, v), slots);
                beside.insert(v, of);
            }
        }
        let (iv, states) = b.begin_loop(lo, hi, step, &carries);
        let mark = iv.as_u32();
        let params = b.func().regions[body].params.clone();
        let mut map: BTreeMap<Value, Value> = params[1..].iter().copied().zip(states).collect();
        map.insert(params[0], iv);
        let yields = reopen(b, body, &mut map);
        let within = context(b, lo, hi, step, body).map(|c| Context { iv, ..c });
        let within = within.ok_or(Obstacle::InnerLoad(inst))?;
        let seeds: Vec<(Value, Value)> = bars.iter().map(|&(n, bar)| (yields[n], bar)).collect();
        let inner = eliminate_from(b, graph, &seeds, mark, InnerLoads::Kept)?;
        let mut sums: BTreeMap<Captured, Value> = BTreeMap::new();
        for (&v, &bar) in &inner.bars {
            if v.as_u32() < mark {
                sums.insert(Captured::Bar(v), bar);
            } else {
                (self.gradient)(b, v, bar);
            }
        }
        for (&u, row) in &inner.arcs {
            for (&w, &weight) in row.range(u..) {
                if w.as_u32() < mark {
                    sums.insert(Captured::Arc(u, w), weight);
                } else if let Some(of) = beside.get_mut(&u) {
                    let (member, slot) = self.slot(b, w, Some(within))?;
                    of.support.insert(member);
                    b.accum(of.array, &[slot], weight);
                } else {
                    let (m, s) = self.slot(b, u, Some(within))?;
                    let (n, t) = self.slot(b, w, Some(within))?;
                    self.together.extend([(m, n), (n, m)]);
                    self.add(b, s, t, u == w, weight);
                }
            }
        }
        for &n in &curved {
            let one = b.float(ty(b, yields[n]), 1.0);
            let mut linear = BTreeMap::new();
            if graph.is_active(b, yields[n]) {
                linear.insert(yields[n], one);
            }
            let row = rows.get_mut(&n).expect("every curved result has a vector");
            for (v, p) in gradient(b, graph, linear, mark, InnerLoads::Kept)? {
                if v.as_u32() < mark {
                    sums.insert(Captured::First(n, v), p);
                } else {
                    let (member, slot) = self.slot(b, v, Some(within))?;
                    row.support.insert(member);
                    b.accum(row.array, &[slot], p);
                }
            }
        }
        let values: Vec<Value> = sums.values().copied().collect();
        let images = b.end_loop_with_sums(&yields, &values);
        let images = images.get(yields.len()..).unwrap_or_default();
        let mut firsts: BTreeMap<usize, Vec<(Value, Value)>> = BTreeMap::new();
        for (what, &image) in sums.keys().zip(images) {
            match *what {
                Captured::Bar(v) => form.add_bar(b, v, image),
                Captured::Arc(u, w) => form.add_arc(b, u, w, image),
                Captured::First(n, v) => firsts.entry(n).or_default().push((v, image)),
            }
        }
        // A result is its own linear form in the unknowns loaded inside, plus one in what the body captures.
        for (n, row) in rows {
            let result = results[n];
            let mut key = result;
            if let Some(captured) = firsts.remove(&n) {
                key = self.fresh_key(b);
                let one = b.float(ty(b, result), 1.0);
                let first: Vec<(Value, Value)> = [(key, one)].into_iter().chain(captured).collect();
                let (_, arcs) = form.take(result);
                push(b, form, result, &arcs, &first);
            }
            self.vectors.insert(key, row);
        }
        for (v, of) in beside {
            if !of.support.is_empty() {
                let key = self.fresh_key(b);
                let one = b.float(ty(b, v), 1.0);
                form.add_arc(b, v, key, one);
                self.vectors.insert(key, of);
            }
        }
        Ok(())
    }

    /// A key for a vector that is no value of the program: a literal that nothing uses.
    fn fresh_key(&self, b: &mut Builder) -> Value {
        b.int(i64::MIN + self.vectors.len() as i64)
    }

    /// The member and the slot of a load.
    pub fn slot(
        &self,
        b: &mut Builder,
        load: Value,
        within: Option<Context>,
    ) -> Result<(Member, Value), Obstacle> {
        let found = self.unknowns.find(b, load, within);
        let Some((family, component)) = found else { return Err(parameter(b, load)) };
        let of = &self.unknowns.families[family];
        let at = match (of.trips, within) {
            (Some(trips), Some(within)) => nth(b, trips, within.iv),
            _ => b.int(0),
        };
        Ok(((family, component), of.slot(b, at, component)))
    }

    /// Adds the coefficient of `dX[s] dX[t]`, stored once: half of it where both are the same load.
    pub fn add(&self, b: &mut Builder, s: Value, t: Value, same: bool, weight: Value) {
        let weight = if same {
            let half = b.float(b.func().ty(weight), 0.5);
            b.mul(half, weight)
        } else {
            weight
        };
        b.accum(self.block, &[s, t], weight);
    }
}

fn vector(b: &mut Builder, ty: Ty, slots: i64) -> Vector {
    let array = scratch(b, "slope", ty, &[slots]);
    b.reset(array);
    Vector { array, support: BTreeSet::new() }
}

/// The obstacle of a value that is no instruction's result, or no known load.
fn parameter(b: &Builder, value: Value) -> Obstacle {
    match b.func().values[value].def {
        ValueDef::Result(inst, _) => Obstacle::InnerLoad(inst),
        ValueDef::Param(region, _) => Obstacle::Recurrence(b.func().regions[region].insts[0]),
    }
}

/// The first value after the last inner loop behind the seeds: the graph from there on has no loops but those without unknowns.
fn last_loop(b: &Builder, graph: &mut Graph, seeds: &[(Value, Value)]) -> Value {
    let mut last = Value::from_u32(0);
    let mut seen = BTreeSet::new();
    let mut stack: Vec<Value> = seeds.iter().map(|&(v, _)| v).collect();
    while let Some(v) = stack.pop() {
        if !graph.is_active(b, v) || !seen.insert(v) {
            continue;
        }
        let ValueDef::Result(inst, _) = b.func().values[v].def else { continue };
        match &b.func().insts[inst] {
            InstData::Loop { .. } => {
                let results = &b.func().results[inst];
                last = last.max(results.last().copied().unwrap_or(v));
            }
            data => stack.extend(data.operands()),
        }
    }
    Value::from_u32(if last.as_u32() == 0 { 0 } else { last.as_u32() + 1 })
}
