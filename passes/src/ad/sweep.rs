//! One reverse sweep inside an element: from a value at the insertion point to the leaves it depends on.
//!
//! # Problem
//! At `accum y[r] += v` the row `r` of the matrix receives `dv/dx[i]` for every load `x[i]` behind `v`:
//! ```text
//! v = f(load x[i], load x[j])      ==>      emit (r, i), df/dx_i;  emit (r, j), df/dx_j
//! ```
//! With indicators for leaves the same sweep *solves for the seed*: the tangent `v_dot = sum_k c_k [idx_k == s]` is linear in its
//! indicators, each of which holds for exactly one `s`, so the loop over `s` collapses to one entry `(r, idx_k)` each.
//!
//! # Method
//! Descending value numbers are a reverse topological order. An `if` or a sum that an adjoint reaches is reopened: its body is built
//! again and swept inside; adjoints of what it captures become results. Leaves met inside a loop are reported inside that loop: there
//! the entry belongs.
//!
//! # Why it keeps the meaning
//! It is the chain rule, applied last instruction first; each leaf is reported with the whole of its adjoint.
//!
//! # Limits
//! Recurrences, intermediate arrays, and leaves inside loops under conditions that values decide are obstacles, returned as such.

use crate::ad::graph::{Graph, Obstacle, reopen};
use crate::ad::rules;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Carry, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use std::collections::{BTreeMap, BTreeSet};

/// Receives each leaf with its adjoint, at the insertion point where it was met.
pub trait Sink {
    /// `leaf` (a load or an indicator) contributes with coefficient `bar`.
    fn leaf(&mut self, b: &mut Builder, leaf: Value, bar: Value);

    /// Called before the region that is being swept is closed.
    fn close(&mut self, b: &mut Builder);

    /// Called after a region has been opened.
    fn open(&mut self);
}

/// Sweeps from `seeds` (value, adjoint) to the leaves. `structural` says which conditions are known at prepare.
pub fn sweep(
    b: &mut Builder,
    graph: &mut Graph,
    seeds: &[(Value, Value)],
    sink: &mut dyn Sink,
    structural: &dyn Fn(&Builder, Value) -> bool,
) -> Result<(), Obstacle> {
    let mut bars = BTreeMap::new();
    for &(value, bar) in seeds {
        add(b, graph, &mut bars, value, bar);
    }
    let outside = run(b, graph, bars, 0, sink, structural)?;
    debug_assert!(outside.is_empty(), "every value is inside the function");
    Ok(())
}

fn add(b: &mut Builder, graph: &mut Graph, bars: &mut BTreeMap<Value, Value>, value: Value, bar: Value) {
    if !graph.is_active(b, value) || b.is_float(bar, 0.0) {
        return;
    }
    let sum = match bars.get(&value) {
        Some(&old) => b.add(old, bar),
        None => bar,
    };
    bars.insert(value, sum);
}

/// Processes values numbered `mark` and above; returns the adjoints of smaller ones.
fn run(
    b: &mut Builder,
    graph: &mut Graph,
    mut bars: BTreeMap<Value, Value>,
    mark: u32,
    sink: &mut dyn Sink,
    structural: &dyn Fn(&Builder, Value) -> bool,
) -> Result<BTreeMap<Value, Value>, Obstacle> {
    while let Some((&value, &bar)) = bars.last_key_value() {
        if value.as_u32() < mark {
            break;
        }
        bars.remove(&value);
        if graph.is_leaf(b, value) {
            sink.leaf(b, value, bar);
            continue;
        }
        let ValueDef::Result(inst, n) = b.func().values[value].def else {
            let ValueDef::Param(region, _) = b.func().values[value].def else {
                unreachable!("the other case")
            };
            return Err(Obstacle::Recurrence(owner_hint(b, region)));
        };
        match b.func().insts[inst].clone() {
            InstData::Op(op, args) => transpose(b, graph, &mut bars, op, &args, value, bar),
            InstData::Load(..) => return Err(Obstacle::Stage(inst)),
            InstData::Loop { lo, hi, step, carries, body } => {
                let mut seeds = vec![(n as usize, bar)];
                take_siblings(b, inst, &mut bars, &mut seeds);
                if seeds.iter().any(|&(n, _)| carries[n] != Carry::Sum) {
                    return Err(Obstacle::Recurrence(inst));
                }
                let (iv, states) = b.begin_loop(lo, hi, step, &carries);
                sink.open();
                let mark = iv.as_u32();
                let params = b.func().regions[body].params.clone();
                let mut map: BTreeMap<Value, Value> = params[1..].iter().copied().zip(states).collect();
                map.insert(params[0], iv);
                let yields = reopen(b, body, &mut map);
                let mut inner = BTreeMap::new();
                for (n, bar) in seeds {
                    add(b, graph, &mut inner, yields[n], bar);
                }
                // Where values decide how often the loop runs, no entry may stand inside.
                let known = structural(b, lo) && structural(b, hi);
                let mut guarded = Guarded { sink, known, met: None };
                let captured = run(b, graph, inner, mark, &mut guarded, structural)?;
                if guarded.met.is_some() {
                    return Err(Obstacle::GuardedLoop(inst));
                }
                sink.close(b);
                let sums: Vec<Value> = captured.values().copied().collect();
                let results = b.end_loop_with_sums(&yields, &sums);
                for (&value, &sum) in captured.keys().zip(&results[yields.len()..]) {
                    add(b, graph, &mut bars, value, sum);
                }
            }
            InstData::If { cond, then, els } => {
                let mut seeds = vec![(n as usize, bar)];
                take_siblings(b, inst, &mut bars, &mut seeds);
                let known = structural(b, cond);
                let (single, double) = (b.float(Ty::F32, 0.0), b.f64(0.0));
                b.begin_if(cond);
                let (first, captured_first) = branch(b, graph, then, &seeds, sink, structural, known)?;
                b.begin_else(&first);
                let (_, captured_second) = branch(b, graph, els, &seeds, sink, structural, known)?;
                let captured: BTreeSet<Value> =
                    captured_first.keys().chain(captured_second.keys()).copied().collect();
                let yields = |b: &Builder, bars: &BTreeMap<Value, Value>| -> Vec<Value> {
                    let zero = |&v: &Value| if b.func().ty(v) == Ty::F32 { single } else { double };
                    captured.iter().map(|v| bars.get(v).copied().unwrap_or_else(|| zero(v))).collect()
                };
                let (first, second) = (yields(b, &captured_first), yields(b, &captured_second));
                let results = b.end_if_with(&first, &second);
                for (&value, &bar) in captured.iter().zip(&results) {
                    add(b, graph, &mut bars, value, bar);
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
    Ok(bars)
}

/// The instruction to blame for a region parameter: the first of its region, which stands in the recurrence.
fn owner_hint(b: &Builder, region: Region) -> Inst {
    let owner = b.func().insts.iter().find(|(_, data)| data.regions().contains(&region));
    owner.map_or_else(|| b.func().regions[region].insts[0], |(inst, _)| inst)
}

/// Removes the adjoints of the other results of `inst` from `bars` into `seeds`.
fn take_siblings(
    b: &Builder,
    inst: Inst,
    bars: &mut BTreeMap<Value, Value>,
    seeds: &mut Vec<(usize, Value)>,
) {
    for (n, result) in b.func().results[inst].iter().enumerate() {
        if let Some(bar) = bars.remove(result) {
            seeds.push((n, bar));
        }
    }
    seeds.sort_unstable_by_key(|&(n, _)| n);
}

type Captured = BTreeMap<Value, Value>;

fn branch(
    b: &mut Builder,
    graph: &mut Graph,
    region: Region,
    seeds: &[(usize, Value)],
    sink: &mut dyn Sink,
    structural: &dyn Fn(&Builder, Value) -> bool,
    known: bool,
) -> Result<(Vec<Value>, Captured), Obstacle> {
    sink.open();
    let mark = b.next_value().as_u32();
    let yields = reopen(b, region, &mut BTreeMap::new());
    let mut inner = BTreeMap::new();
    for &(n, bar) in seeds {
        add(b, graph, &mut inner, yields[n], bar);
    }
    let mut guarded = Guarded { sink, known, met: None };
    let captured = run(b, graph, inner, mark, &mut guarded, structural)?;
    if let Some(leaf) = guarded.met {
        let ValueDef::Result(inst, _) = b.func().values[leaf].def else { unreachable!("leaves are results") };
        return Err(Obstacle::GuardedLoop(inst));
    }
    sink.close(b);
    Ok((yields, captured))
}

/// Lets no leaf pass where the condition is not known at prepare.
struct Guarded<'a> {
    sink: &'a mut dyn Sink,
    known: bool,
    met: Option<Value>,
}

impl Sink for Guarded<'_> {
    fn leaf(&mut self, b: &mut Builder, leaf: Value, bar: Value) {
        if self.known {
            self.sink.leaf(b, leaf, bar);
        } else {
            self.met = Some(leaf);
        }
    }

    fn close(&mut self, b: &mut Builder) {
        self.sink.close(b);
    }

    fn open(&mut self) {
        self.sink.open();
    }
}

fn transpose(
    b: &mut Builder,
    graph: &mut Graph,
    bars: &mut BTreeMap<Value, Value>,
    op: Op,
    args: &[Value],
    value: Value,
    bar: Value,
) {
    match op {
        Op::Select => {
            let zero = b.float(b.func().ty(value), 0.0);
            let (first, second) = (b.select(args[0], bar, zero), b.select(args[0], zero, bar));
            add(b, graph, bars, args[1], first);
            add(b, graph, bars, args[2], second);
        }
        Op::Narrow => {
            let wide = b.op(Op::Widen, &[bar]);
            add(b, graph, bars, args[0], wide);
        }
        Op::Widen => {
            let narrow = b.op(Op::Narrow, &[bar]);
            add(b, graph, bars, args[0], narrow);
        }
        _ => {
            let partials = rules::first(b, op, args, value);
            for (&arg, partial) in args.iter().zip(partials) {
                if let Some(p) = partial {
                    let contribution = b.mul(p, bar);
                    add(b, graph, bars, arg, contribution);
                }
            }
        }
    }
}
