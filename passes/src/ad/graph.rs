//! The computation graph of one value while a function is being built: activity on demand, and reopening of regions.
//!
//! Sweeps and elimination work on the function *under construction*: at the place where a value is accumulated, everything it
//! depends on has been built and is visible. A value's arguments always have smaller numbers than the value, so descending order is a
//! reverse topological order.

use crate::ad::rules;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Carry, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// Why a value cannot be handled inside one element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// It depends on a recurrence.
    Recurrence(Inst),
    /// It depends on an intermediate array.
    Stage(Inst),
    /// It loads unknowns under a condition or in an inner loop, where only the general walk follows.
    InnerLoad(Inst),
    /// It loads unknowns in a loop under a condition that values decide.
    GuardedLoop(Inst),
    /// It is marked to be projected and used otherwise than linearly.
    Projection(Inst),
}

impl Obstacle {
    /// The instruction it is about.
    pub fn inst(self) -> Inst {
        match self {
            Obstacle::Recurrence(i)
            | Obstacle::Stage(i)
            | Obstacle::InnerLoad(i)
            | Obstacle::GuardedLoop(i)
            | Obstacle::Projection(i) => i,
        }
    }
}

/// What derivatives are taken with respect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// Loads of the function's columns.
    Columns,
    /// One-hot indicators of this seeded position: the function is linear in them.
    Indicators(Value),
}

/// Activity of values under construction, computed on demand and remembered.
pub struct Graph {
    leaves: Leaves,
    columns: Vec<Buffer>,
    active_scratch: BTreeSet<Buffer>,
    active: BTreeMap<Value, bool>,
}

impl Graph {
    /// A graph with these leaves; `active_scratch` are the intermediate arrays that depend on them.
    pub fn new(leaves: Leaves, columns: &[Buffer], active_scratch: BTreeSet<Buffer>) -> Graph {
        Graph { leaves, columns: columns.to_vec(), active_scratch, active: BTreeMap::new() }
    }

    /// Whether a value is a leaf.
    pub fn is_leaf(&self, b: &Builder, value: Value) -> bool {
        match (self.leaves, b.func().def(value)) {
            (Leaves::Columns, Some(InstData::Load(buffer, _))) => self.columns.contains(buffer),
            (Leaves::Indicators(seed), Some(InstData::Op(Op::Indicator, args))) => args.contains(&seed),
            _ => false,
        }
    }

    /// Whether a value depends on a leaf (or on an active intermediate array).
    pub fn is_active(&mut self, b: &Builder, value: Value) -> bool {
        let mut stack = vec![value];
        while let Some(&v) = stack.last() {
            if self.active.contains_key(&v) {
                stack.pop();
                continue;
            }
            let (known, sources) = self.sources(b, v);
            let missing: Vec<Value> =
                sources.iter().copied().filter(|s| !self.active.contains_key(s)).collect();
            if known || sources.iter().any(|s| self.active.get(s) == Some(&true)) {
                self.active.insert(v, true);
                stack.pop();
            } else if missing.is_empty() {
                self.active.insert(v, false);
                stack.pop();
            } else {
                stack.extend(missing);
            }
        }
        self.active[&value]
    }

    /// Whether a value is active by itself, and the values that could make it active.
    fn sources(&self, b: &Builder, value: Value) -> (bool, Vec<Value>) {
        let func = b.func();
        if !func.ty(value).is_float() {
            return (false, Vec::new());
        }
        if self.is_leaf(b, value) {
            return (true, Vec::new());
        }
        let ValueDef::Result(inst, n) = func.values[value].def else {
            // A float parameter is the state of a recurrence.
            return (true, Vec::new());
        };
        match &func.insts[inst] {
            InstData::Op(Op::Select, args) => (false, args[1..].to_vec()),
            InstData::Op(Op::Copysign, args) => (false, vec![args[0]]),
            InstData::Op(Op::Attach, args) => (false, args[..2].to_vec()),
            InstData::Op(op, _) if rules::is_flat(*op) => (false, Vec::new()),
            InstData::Op(_, args) => (false, args.to_vec()),
            InstData::Load(buffer, _) => (self.active_scratch.contains(buffer), Vec::new()),
            InstData::Loop { body, carries, .. } => match carries[n as usize] {
                Carry::State(init) => (false, vec![init, func.regions[*body].yields[n as usize]]),
                Carry::Sum | Carry::Prod | Carry::Min | Carry::Max => {
                    (false, vec![func.regions[*body].yields[n as usize]])
                }
            },
            InstData::If { then, els, .. } => {
                (false, [*then, *els].iter().map(|&r| func.regions[r].yields[n as usize]).collect())
            }
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Position(..)
            | InstData::Accum(..)
            | InstData::Reset(..)
            | InstData::Check(..)
            | InstData::Emit(_) => (false, Vec::new()),
        }
    }
}

/// Builds the instructions of a finished region again at the insertion point; returns the images of its yields.
///
/// Of its effects only those on arrays that the region itself resets are repeated: their contents belong to one execution of it.
pub fn reopen(b: &mut Builder, region: Region, map: &mut BTreeMap<Value, Value>) -> Vec<Value> {
    let mut local = BTreeSet::new();
    walk::visit_insts(b.func(), region, &mut |_, inst| {
        if let InstData::Reset(buffer, _) = &b.func().insts[inst] {
            local.insert(*buffer);
        }
    });
    reopen_region(b, region, map, &local)
}

fn reopen_region(
    b: &mut Builder,
    region: Region,
    map: &mut BTreeMap<Value, Value>,
    local: &BTreeSet<Buffer>,
) -> Vec<Value> {
    let insts = b.func().regions[region].insts.clone();
    for inst in insts {
        reopen_inst(b, inst, map, local);
    }
    let yields = b.func().regions[region].yields.clone();
    yields.into_iter().map(|y| image(map, y)).collect()
}

/// The image of a value under a reopening: itself where it was defined outside.
fn image(map: &BTreeMap<Value, Value>, value: Value) -> Value {
    map.get(&value).copied().unwrap_or(value)
}

fn reopen_inst(b: &mut Builder, inst: Inst, map: &mut BTreeMap<Value, Value>, local: &BTreeSet<Buffer>) {
    let mut data = b.func().insts[inst].clone();
    data.map_operands(|v| image(map, v));
    let results = b.func().results[inst].clone();
    let images = match data {
        InstData::Const(c) => vec![b.constant(c)],
        InstData::Size(expr) => vec![b.size(&expr)],
        InstData::Op(op, args) => vec![b.op(op, &args)],
        InstData::Load(buffer, index) => vec![b.load(buffer, &index)],
        InstData::Position(buffer, index) => vec![b.position(buffer, &index)],
        InstData::Accum(buffer, index, value) => {
            if local.contains(&buffer) {
                b.accum(buffer, &index, value);
            }
            return;
        }
        InstData::Reset(buffer, length) => {
            if local.contains(&buffer) {
                match length {
                    Some(length) => b.reset_first(buffer, length),
                    None => b.reset(buffer),
                }
            }
            return;
        }
        InstData::Check(..) | InstData::Emit(_) => return,
        InstData::Loop { lo, hi, step, carries, body } => {
            let (iv, states) = b.begin_loop(lo, hi, step, &carries);
            let params = b.func().regions[body].params.clone();
            map.insert(params[0], iv);
            map.extend(params[1..].iter().copied().zip(states));
            let yields = reopen_region(b, body, map, local);
            b.end_loop(&yields).to_vec()
        }
        InstData::If { cond, then, els } => {
            b.begin_if(cond);
            let yields = reopen_region(b, then, map, local);
            b.begin_else(&yields);
            let yields = reopen_region(b, els, map, local);
            b.end_if(&yields).to_vec()
        }
    };
    map.extend(results.into_iter().zip(images));
}
