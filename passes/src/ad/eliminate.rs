//! The Hessian of one element by symmetric elimination of its computation graph.
//!
//! # Problem
//! At `accum out[] += v`, with `v = f(x[i], x[j], ..)` computed by straight code: the gradient of `f` and the upper triangle of its
//! Hessian with respect to the loads behind it, in few operations.
//!
//! # Method
//! The state is a quadratic form on the live values: `sum_u bar_u du + 1/2 sum_{u,w} arc_uw du dw`. It starts as `1 * dv`. Eliminating
//! `v = op(a, ..)` substitutes `dv = sum p_a da + 1/2 sum p_ab da db`:
//! 1. `bar_a += bar_v p_a` (reverse mode),
//! 2. `arc_ab += bar_v p_ab` (creating),
//! 3. `arc_az += p_a arc_vz` for every other live `z`, twice for `z = a` (pushing),
//! 4. `arc_ab += p_a p_b arc_vv` (pushing a self-arc).
//!
//! Values are eliminated last first: the order of edge pushing. An `if` or a sum over a loop is one operation of many arguments: its
//! first and second partials with respect to what it captures are computed inside it, by the same routine.
//!
//! # Why it keeps the meaning
//! Each step is an exact substitution in the second-order Taylor expansion; only one half of the symmetric form is stored.
//!
//! # Limits
//! Loads of unknowns inside loops or conditions inside the element, conversions between `f32` and `f64`, recurrences and intermediate arrays are obstacles: those go the
//! general way (`sparse/jacobian` of the gradient).
//!
//! # References
//! Gower and Mello, A new framework for the computation of Hessians, Optim. Methods Softw. 27 (2012), Algorithm 3 (edge pushing);
//! Griewank and Walther, chapter 8 (elimination on the computational graph).

use crate::ad::form::{Form, push};
use crate::ad::graph::{Graph, Obstacle, reopen};
use crate::ad::order::{self, StraightLine};
use crate::ad::rules;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Carry, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of loads of unknowns inside a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InnerLoads {
    /// They are an obstacle.
    Refused,
    /// They stay in the form, beside what the body captures.
    Kept,
}

/// Eliminates everything behind the seeds (value, adjoint); what remains are the leaves: the gradient and the Hessian of the element.
pub fn eliminate(b: &mut Builder, graph: &mut Graph, seeds: &[(Value, Value)]) -> Result<Form, Obstacle> {
    eliminate_from(b, graph, seeds, 0, InnerLoads::Kept)
}

/// Eliminates values numbered `mark` and above: inside a body that starts there, what remains is what it captures, and its loads of
/// unknowns where they are kept.
pub fn eliminate_from(
    b: &mut Builder,
    graph: &mut Graph,
    seeds: &[(Value, Value)],
    mark: u32,
    loads: InnerLoads,
) -> Result<Form, Obstacle> {
    if let Some(line) = StraightLine::behind(b, graph, seeds, mark) {
        let load = line.leaf.filter(|_| loads == InnerLoads::Refused);
        return match load.map(|leaf| b.func().values[leaf].def) {
            Some(ValueDef::Result(inst, _)) => Err(Obstacle::InnerLoad(inst)),
            Some(ValueDef::Param(..)) | None => Ok(order::eliminate(b, graph, seeds, &line)),
        };
    }
    let mut form = Form::default();
    for &(value, bar) in seeds {
        if graph.is_active(b, value) {
            form.add_bar(b, value, bar);
        }
    }
    run(b, graph, form, mark, loads)
}

/// Eliminates values numbered `mark` and above that are not leaves visible outside, last first.
fn run(
    b: &mut Builder,
    graph: &mut Graph,
    mut form: Form,
    mark: u32,
    loads: InnerLoads,
) -> Result<Form, Obstacle> {
    let mut end = None;
    while let Some(value) = form.next(&mut end).filter(|v| v.as_u32() >= mark) {
        if graph.is_leaf(b, value) {
            let ValueDef::Result(inst, _) = b.func().values[value].def else {
                unreachable!("leaves are results")
            };
            if loads == InnerLoads::Refused {
                return Err(Obstacle::InnerLoad(inst));
            }
            continue;
        }
        let ValueDef::Result(inst, _) = b.func().values[value].def else {
            let ValueDef::Param(region, _) = b.func().values[value].def else {
                unreachable!("the other case")
            };
            return Err(Obstacle::Recurrence(b.func().regions[region].insts[0]));
        };
        match b.func().insts[inst].clone() {
            // Conversions change the type of adjoints: sweeps convert them, forms do not.
            InstData::Op(Op::Narrow | Op::Widen, _) => return Err(Obstacle::InnerLoad(inst)),
            InstData::Op(op, args) => eliminate_op(b, graph, &mut form, op, &args, value),
            InstData::Load(..) => return Err(Obstacle::Stage(inst)),
            InstData::Loop { .. } | InstData::If { .. } => eliminate_composite(b, graph, &mut form, inst)?,
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

/// First and second partials of one operation, by distinct active argument.
pub struct Partials {
    /// Argument and partial.
    pub first: Vec<(Value, Value)>,
    /// Two arguments (the smaller first) and their second partial.
    pub second: Vec<(Value, Value, Value)>,
}

/// The partials of `value = op(args)` with respect to its active arguments.
pub fn local_partials(b: &mut Builder, graph: &mut Graph, op: Op, args: &[Value], value: Value) -> Partials {
    if op == Op::Select {
        let (one, zero) = (b.float(b.func().ty(value), 1.0), b.float(b.func().ty(value), 0.0));
        let pairs = [(args[1], b.select(args[0], one, zero)), (args[2], b.select(args[0], zero, one))];
        let first = pairs.into_iter().filter(|&(a, _)| graph.is_active(b, a)).collect();
        return Partials { first, second: Vec::new() };
    }
    let active: Vec<bool> = args.iter().map(|&a| graph.is_active(b, a)).collect();
    let mut first: Vec<(Value, Value)> = Vec::new();
    let partials = rules::first(b, op, args, value);
    for (n, partial) in partials.into_iter().enumerate() {
        let (true, Some(p)) = (active[n], partial) else { continue };
        match first.iter_mut().find(|(a, _)| *a == args[n]) {
            Some((_, sum)) => *sum = b.add(*sum, p),
            None => first.push((args[n], p)),
        }
    }
    let mut second: Vec<(Value, Value, Value)> = Vec::new();
    for (i, j, h) in rules::second(b, op, args, value) {
        if !active[i] || !active[j] {
            continue;
        }
        // Equal arguments: the mixed partial counts from both sides.
        let (u, w) = (args[i].min(args[j]), args[i].max(args[j]));
        let h = if i != j && u == w { b.add(h, h) } else { h };
        match second.iter_mut().find(|(a, c, _)| (*a, *c) == (u, w)) {
            Some((_, _, sum)) => *sum = b.add(*sum, h),
            None => second.push((u, w, h)),
        }
    }
    Partials { first, second }
}

/// Substitutes `value = op(args)` into the form.
pub fn eliminate_op(
    b: &mut Builder,
    graph: &mut Graph,
    form: &mut Form,
    op: Op,
    args: &[Value],
    value: Value,
) {
    let (bar, arcs) = form.take(value);
    let partials = local_partials(b, graph, op, args, value);
    if let Some(bar) = bar {
        for &(a, p) in &partials.first {
            let contribution = b.mul(bar, p);
            form.add_bar(b, a, contribution);
        }
        for &(u, w, h) in &partials.second {
            let weight = b.mul(bar, h);
            form.add_arc(b, u, w, weight);
        }
    }
    push(b, form, value, &arcs, &partials.first);
}

/// An `if` or a sum as one operation: for each result with arcs its first partials, for the weighted sum of results the form.
pub fn eliminate_composite(
    b: &mut Builder,
    graph: &mut Graph,
    form: &mut Form,
    inst: Inst,
) -> Result<(), Obstacle> {
    let results = b.func().results[inst].clone();
    let taken: Vec<(Option<Value>, BTreeMap<Value, Value>)> = results
        .iter()
        .map(|r| (form.bars.remove(r), form.arcs.get(r).cloned().unwrap_or_default()))
        .collect();
    for &result in &results {
        form.take(result);
    }
    let mut bars = Vec::new();
    let mut curved = Vec::new();
    for (n, (bar, arcs)) in taken.iter().enumerate() {
        if let Some(bar) = bar {
            bars.push((n, *bar));
        }
        if !arcs.is_empty() {
            curved.push(n);
        }
    }
    let inner = match b.func().insts[inst].clone() {
        InstData::If { cond, then, els } => composite_if(b, graph, cond, [then, els], &bars, &curved)?,
        InstData::Loop { lo, hi, step, carries, body } => {
            let used = bars.iter().map(|&(n, _)| n).chain(curved.iter().copied());
            for n in used {
                if carries[n] != Carry::Sum {
                    return Err(Obstacle::Recurrence(inst));
                }
            }
            composite_loop(b, graph, (lo, hi, step, &carries, body), &bars, &curved)?
        }
        _ => unreachable!("called on ifs and loops"),
    };
    for (&v, &bar) in &inner.bars {
        form.add_bar(b, v, bar);
    }
    for &(u, w, weight) in &inner.arcs {
        form.add_arc(b, u, w, weight);
    }
    // The arcs of the results, one after the other: arcs between two results are pushed through the first, then the second.
    let mut pending: BTreeMap<Value, BTreeMap<Value, Value>> =
        results.iter().copied().zip(taken.into_iter().map(|(_, arcs)| arcs)).collect();
    for (n, &result) in results.iter().enumerate() {
        let arcs = pending.remove(&result).unwrap_or_default();
        if arcs.is_empty() {
            continue;
        }
        let first = &inner.first[&n];
        // Arcs to results still pending move to their rows.
        let mut outside = BTreeMap::new();
        for (z, weight) in arcs {
            match pending.get_mut(&z) {
                Some(row) => {
                    row.remove(&result);
                    for &(a, p) in first {
                        let pushed = b.mul(p, weight);
                        let sum = match row.get(&a) {
                            Some(&old) => b.add(old, pushed),
                            None => pushed,
                        };
                        row.insert(a, sum);
                    }
                }
                None => {
                    outside.insert(z, weight);
                }
            }
        }
        push(b, form, result, &outside, first);
    }
    Ok(())
}

/// Partials of a composite with respect to what it captures.
struct Composite {
    bars: BTreeMap<Value, Value>,
    arcs: Vec<(Value, Value, Value)>,
    first: BTreeMap<usize, Vec<(Value, Value)>>,
}

/// What one body contributes, as a flat list of (what, value) under construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Entry {
    Bar(Value),
    Arc(Value, Value),
    First(usize, Value),
}

fn body_entries(
    b: &mut Builder,
    graph: &mut Graph,
    yields: &[Value],
    bars: &[(usize, Value)],
    curved: &[usize],
    mark: u32,
) -> Result<BTreeMap<Entry, Value>, Obstacle> {
    let mut entries = BTreeMap::new();
    let seeds: Vec<(Value, Value)> = bars.iter().map(|&(n, bar)| (yields[n], bar)).collect();
    let form = eliminate_from(b, graph, &seeds, mark, InnerLoads::Refused)?;
    entries.extend(form.bars.iter().map(|(&v, &bar)| (Entry::Bar(v), bar)));
    for (&u, row) in &form.arcs {
        entries.extend(row.range(u..).map(|(&w, &weight)| (Entry::Arc(u, w), weight)));
    }
    for &n in curved {
        let mut linear = BTreeMap::new();
        if graph.is_active(b, yields[n]) {
            let one = b.float(b.func().ty(yields[n]), 1.0);
            linear.insert(yields[n], one);
        }
        let first = gradient(b, graph, linear, mark, InnerLoads::Refused)?;
        entries.extend(first.into_iter().map(|(v, p)| (Entry::First(n, v), p)));
    }
    Ok(entries)
}

/// First-order elimination only: the adjoints of what a body that starts at `mark` captures, and of its kept loads.
pub fn gradient(
    b: &mut Builder,
    graph: &mut Graph,
    mut bars: BTreeMap<Value, Value>,
    mark: u32,
    loads: InnerLoads,
) -> Result<BTreeMap<Value, Value>, Obstacle> {
    let mut kept = BTreeMap::new();
    while let Some((&value, &bar)) = bars.last_key_value() {
        if value.as_u32() < mark {
            break;
        }
        bars.remove(&value);
        let ValueDef::Result(inst, n) = b.func().values[value].def else {
            let ValueDef::Param(region, _) = b.func().values[value].def else {
                unreachable!("the other case")
            };
            return Err(Obstacle::Recurrence(b.func().regions[region].insts[0]));
        };
        if graph.is_leaf(b, value) {
            if loads == InnerLoads::Refused {
                return Err(Obstacle::InnerLoad(inst));
            }
            kept.insert(value, bar);
            continue;
        }
        match b.func().insts[inst].clone() {
            InstData::Op(Op::Narrow | Op::Widen, _) => return Err(Obstacle::InnerLoad(inst)),
            InstData::Op(op, args) => {
                let partials = local_partials(b, graph, op, &args, value);
                for (a, p) in partials.first {
                    let contribution = b.mul(bar, p);
                    add(b, &mut bars, a, contribution);
                }
            }
            InstData::Load(..) => return Err(Obstacle::Stage(inst)),
            InstData::If { cond, then, els } => {
                let inner = composite_if(b, graph, cond, [then, els], &[(n as usize, bar)], &[])?;
                for (v, p) in inner.bars {
                    add(b, &mut bars, v, p);
                }
            }
            InstData::Loop { lo, hi, step, carries, body } => {
                if carries[n as usize] != Carry::Sum {
                    return Err(Obstacle::Recurrence(inst));
                }
                let seeds = [(n as usize, bar)];
                let inner = composite_loop(b, graph, (lo, hi, step, &carries, body), &seeds, &[])?;
                for (v, p) in inner.bars {
                    add(b, &mut bars, v, p);
                }
            }
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Position(..)
            | InstData::Accum(..)
            | InstData::Reset(..)
            | InstData::Check(..)
            | InstData::Emit(_) => {}
        }
    }
    bars.append(&mut kept);
    Ok(bars)
}

fn add(b: &mut Builder, bars: &mut BTreeMap<Value, Value>, value: Value, bar: Value) {
    let sum = match bars.get(&value) {
        Some(&old) => b.add(old, bar),
        None => bar,
    };
    bars.insert(value, sum);
}

fn composite_if(
    b: &mut Builder,
    graph: &mut Graph,
    cond: Value,
    branches: [Region; 2],
    bars: &[(usize, Value)],
    curved: &[usize],
) -> Result<Composite, Obstacle> {
    let (zero, zero_f32) = (b.f64(0.0), b.float(Ty::F32, 0.0));
    b.begin_if(cond);
    let mark = b.next_value().as_u32();
    let yields = reopen(b, branches[0], &mut BTreeMap::new());
    let first = body_entries(b, graph, &yields, bars, curved, mark)?;
    b.begin_else(&yields);
    let mark = b.next_value().as_u32();
    let yields = reopen(b, branches[1], &mut BTreeMap::new());
    let second = body_entries(b, graph, &yields, bars, curved, mark)?;
    let keys: BTreeSet<Entry> = first.keys().chain(second.keys()).copied().collect();
    let zero_of = |k: &Entry| {
        let known = first.get(k).or(second.get(k)).map(|&v| b.func().ty(v));
        if known == Some(Ty::F32) { zero_f32 } else { zero }
    };
    let list = |entries: &BTreeMap<Entry, Value>| -> Vec<Value> {
        keys.iter().map(|k| entries.get(k).copied().unwrap_or_else(|| zero_of(k))).collect()
    };
    let (first, second) = (list(&first), list(&second));
    let results = b.end_if_with(&first, &second);
    Ok(collect(&keys, &results, curved))
}

type LoopParts<'a> = (Value, Value, i64, &'a [Carry], Region);

fn composite_loop(
    b: &mut Builder,
    graph: &mut Graph,
    (lo, hi, step, carries, body): LoopParts<'_>,
    bars: &[(usize, Value)],
    curved: &[usize],
) -> Result<Composite, Obstacle> {
    let (iv, states) = b.begin_loop(lo, hi, step, carries);
    let mark = iv.as_u32();
    let params = b.func().regions[body].params.clone();
    let mut map: BTreeMap<Value, Value> = params[1..].iter().copied().zip(states).collect();
    map.insert(params[0], iv);
    let yields = reopen(b, body, &mut map);
    let entries = body_entries(b, graph, &yields, bars, curved, mark)?;
    let keys: BTreeSet<Entry> = entries.keys().copied().collect();
    let sums: Vec<Value> = entries.values().copied().collect();
    let results = b.end_loop_with_sums(&yields, &sums);
    Ok(collect(&keys, &results[yields.len()..], curved))
}

fn collect(keys: &BTreeSet<Entry>, results: &[Value], curved: &[usize]) -> Composite {
    let mut composite = Composite {
        bars: BTreeMap::new(),
        arcs: Vec::new(),
        first: curved.iter().map(|&n| (n, Vec::new())).collect(),
    };
    for (key, &result) in keys.iter().zip(results) {
        match *key {
            Entry::Bar(v) => {
                composite.bars.insert(v, result);
            }
            Entry::Arc(u, w) => composite.arcs.push((u, w, result)),
            Entry::First(n, v) => composite.first.entry(n).or_default().push((v, result)),
        }
    }
    composite
}
