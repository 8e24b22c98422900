//! Which scalar operations are simplified together, and where in their region they are built.
//!
//! # Method
//! The instructions of a region that are not scalar operations (loads, loops, effects) keep their order; numbered 0, 1, .. they are
//! the clock. A scalar operation can be built from the moment its last leaf is there, and must be built before its first use.
//! 1. The fewest building moments such that each operation's span holds one (interval stabbing); an operation goes to the last
//!    moment in its span, next to what uses it. Both ends of spans grow along uses, so an operation is never built before its
//!    arguments.
//! 2. The operations of one moment fall into connected components; shared divisors connect too, so that reciprocals can be shared.
//! 3. Components over the limit are cut along a depth-first order, which keeps related operations together.

use cranelift_entity::{EntitySet, SecondaryMap};
use spadina_ir::func::{Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Operations that are simplified together.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    /// The operations, arguments first.
    pub(super) insts: Vec<Inst>,
    /// Their results that are used elsewhere, in order of definition.
    pub(super) roots: Vec<Value>,
}

/// What the rewriter does at an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Place {
    /// Copied: a literal, a size.
    #[default]
    Copied,
    /// Part of a chunk.
    Chunked,
    /// Copied, after the chunks that are due at this moment.
    Moment(usize),
}

/// The chunks of one region.
#[derive(Clone, Debug, Default)]
pub(super) struct RegionPlan {
    /// Moment and chunks to be built then, in order.
    pub(super) due: Vec<(usize, Vec<Chunk>)>,
    /// What happens at each instruction.
    pub(super) places: Vec<Place>,
}

/// True for the operations that the e-graph knows: all but those that touch `F32`.
fn is_scalar(func: &Func, inst: Inst) -> bool {
    let InstData::Op(op, args) = &func.insts[inst] else { return false };
    op.arity() == args.len()
        && func.results[inst].iter().chain(args).all(|&v| func.ty(v) != Ty::F32)
        && !matches!(op, Op::Narrow | Op::Widen)
}

/// Plans one region; `limit` is the largest number of operations in a chunk.
pub(super) fn region(func: &Func, region: Region, limit: usize) -> RegionPlan {
    let insts = &func.regions[region].insts;
    let places = places(func, insts);
    let spans = Spans::new(func, region, &places);
    let mut due: BTreeMap<usize, Vec<Inst>> = BTreeMap::new();
    let moments = spans.moments();
    for &inst in &spans.members {
        let last = spans.latest[inst];
        let n = moments.partition_point(|&moment| moment <= last);
        due.entry(moments[n.saturating_sub(1)]).or_default().push(inst);
    }
    let due = due
        .into_iter()
        .map(|(moment, members)| {
            let groups = components(func, &members).into_iter().flat_map(|c| cut(func, c, limit));
            (moment, groups.map(|insts| Chunk { insts, roots: Vec::new() }).collect())
        })
        .collect();
    let mut plan = RegionPlan { due, places };
    set_roots(func, region, &mut plan);
    plan
}

fn places(func: &Func, insts: &[Inst]) -> Vec<Place> {
    let mut clock = 0;
    insts
        .iter()
        .map(|&inst| match &func.insts[inst] {
            InstData::Const(_) | InstData::Size(_) => Place::Copied,
            InstData::Op(..) if is_scalar(func, inst) => Place::Chunked,
            _ => {
                clock += 1;
                Place::Moment(clock - 1)
            }
        })
        .collect()
}

/// When each operation can be built: from `earliest` to `latest`, both included.
struct Spans {
    members: Vec<Inst>,
    earliest: SecondaryMap<Inst, usize>,
    latest: SecondaryMap<Inst, usize>,
}

impl Spans {
    fn new(func: &Func, region: Region, places: &[Place]) -> Spans {
        let insts = &func.regions[region].insts;
        let mut ready: SecondaryMap<Value, usize> = SecondaryMap::new();
        let end = places.iter().filter(|place| matches!(place, Place::Moment(_))).count();
        let mut needed: SecondaryMap<Value, usize> = SecondaryMap::with_default(end);
        let mut spans =
            Spans { members: Vec::new(), earliest: SecondaryMap::new(), latest: SecondaryMap::new() };
        for (&inst, place) in insts.iter().zip(places) {
            match place {
                Place::Copied => {}
                Place::Chunked => {
                    let operands = func.insts[inst].operands();
                    let start = operands.iter().map(|&v| ready[v]).max().unwrap_or(0);
                    spans.earliest[inst] = start;
                    func.results[inst].iter().for_each(|&v| ready[v] = start);
                    spans.members.push(inst);
                }
                Place::Moment(now) => func.results[inst].iter().for_each(|&v| ready[v] = now + 1),
            }
        }
        for (&inst, place) in insts.iter().zip(places).rev() {
            let last = match place {
                Place::Copied => continue,
                Place::Chunked => {
                    let last = func.results[inst].iter().map(|&v| needed[v]).min().unwrap_or(end);
                    spans.latest[inst] = last;
                    last
                }
                Place::Moment(now) => {
                    for v in walk::captures(func, inst) {
                        needed[v] = needed[v].min(*now);
                    }
                    *now
                }
            };
            func.insts[inst].operands().iter().for_each(|&v| needed[v] = needed[v].min(last));
        }
        spans
    }

    /// The fewest moments that meet every span, in order.
    fn moments(&self) -> Vec<usize> {
        let mut spans: Vec<(usize, usize)> =
            self.members.iter().map(|&inst| (self.latest[inst], self.earliest[inst])).collect();
        spans.sort_unstable();
        let mut moments: Vec<usize> = Vec::new();
        for (latest, earliest) in spans {
            if moments.last().is_none_or(|&moment| moment < earliest) {
                moments.push(latest);
            }
        }
        moments
    }
}

/// The connected components, each in program order, ordered by their first instruction.
fn components(func: &Func, members: &[Inst]) -> Vec<Vec<Inst>> {
    let mut number: SecondaryMap<Inst, Option<usize>> = SecondaryMap::new();
    for (n, &inst) in members.iter().enumerate() {
        number[inst] = Some(n);
    }
    let mut parent: Vec<usize> = (0..members.len()).collect();
    let mut divisors: BTreeMap<Value, usize> = BTreeMap::new();
    for (n, &inst) in members.iter().enumerate() {
        for value in func.insts[inst].operands() {
            if let Some(m) = defining(func, value).and_then(|def| number[def]) {
                join(&mut parent, n, m);
            }
        }
        if let InstData::Op(Op::Div, args) = &func.insts[inst] {
            let first = *divisors.entry(args[1]).or_insert(n);
            join(&mut parent, n, first);
        }
    }
    let mut groups: BTreeMap<usize, Vec<Inst>> = BTreeMap::new();
    for (n, &inst) in members.iter().enumerate() {
        groups.entry(root(&mut parent, n)).or_default().push(inst);
    }
    groups.into_values().collect()
}

fn root(parent: &mut [usize], mut n: usize) -> usize {
    while parent[n] != n {
        parent[n] = parent[parent[n]];
        n = parent[n];
    }
    n
}

/// The smaller root stays, so groups are ordered by their first member.
fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}

fn defining(func: &Func, value: Value) -> Option<Inst> {
    match func.values[value].def {
        ValueDef::Result(inst, _) => Some(inst),
        ValueDef::Param(..) => None,
    }
}

/// Cuts a component into pieces of at most `limit` operations, none of which needs a later one.
fn cut(func: &Func, members: Vec<Inst>, limit: usize) -> Vec<Vec<Inst>> {
    if members.len() <= limit {
        return vec![members];
    }
    let inside: BTreeSet<Inst> = members.iter().copied().collect();
    let mut placed = EntitySet::new();
    let mut order: Vec<Inst> = Vec::new();
    // Depth first from the last operations, arguments before users.
    let mut used = EntitySet::new();
    for &inst in &members {
        let operands = func.insts[inst].operands();
        used.extend(operands.into_iter().filter_map(|v| defining(func, v)));
    }
    let sinks = members.iter().copied().filter(|&inst| !used.contains(inst));
    for sink in sinks {
        let mut stack = vec![(sink, false)];
        while let Some((inst, done)) = stack.pop() {
            if placed.contains(inst) {
                continue;
            }
            if done {
                placed.insert(inst);
                order.push(inst);
                continue;
            }
            stack.push((inst, true));
            let operands = func.insts[inst].operands();
            let next = operands.into_iter().rev().filter_map(|v| defining(func, v));
            stack.extend(next.filter(|&i| inside.contains(&i) && !placed.contains(i)).map(|i| (i, false)));
        }
    }
    let pieces = order.len().div_ceil(limit.max(1));
    order.chunks(order.len().div_ceil(pieces.max(1))).map(<[Inst]>::to_vec).collect()
}

/// Finds the values of each chunk that anything outside it uses.
fn set_roots(func: &Func, region: Region, plan: &mut RegionPlan) {
    let mut chunk_of: SecondaryMap<Inst, usize> = SecondaryMap::new();
    for (n, chunk) in plan.due.iter().flat_map(|(_, chunks)| chunks).enumerate() {
        chunk.insts.iter().for_each(|&inst| chunk_of[inst] = n + 1);
    }
    let mut outside: EntitySet<Value> = EntitySet::new();
    for (&inst, place) in func.regions[region].insts.iter().zip(&plan.places) {
        let operands = func.insts[inst].operands();
        if *place == Place::Chunked {
            let other = |&v: &Value| defining(func, v).is_none_or(|def| chunk_of[def] != chunk_of[inst]);
            outside.extend(operands.into_iter().filter(other));
        } else {
            outside.extend(operands);
            outside.extend(walk::captures(func, inst));
        }
    }
    outside.extend(func.regions[region].yields.iter().copied());
    for chunk in plan.due.iter_mut().flat_map(|(_, chunks)| chunks) {
        let results = chunk.insts.iter().flat_map(|&inst| func.results[inst].iter().copied());
        chunk.roots = results.filter(|&v| outside.contains(v)).collect();
        chunk.roots.sort_unstable();
    }
}
