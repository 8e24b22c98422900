//! Which loops over rows take two rows side by side, and what moves along with the rows.
//!
//! # Problem
//! A loop that stores complete rows reads along its arrays and writes one row behind the other:
//! ```text
//! for r in lo..hi state a { b = f(x[r], x[r + 1]); emit direct x[r]: -a, a + b, -b; yield b }
//! ```
//! # Method
//! 1. *Strides.* A subscript made of the induction variable by sums and products with literals moves by a known number of elements from
//!    row to row. Two doubles that neighbor rows read, or that they store, may lie side by side in memory.
//! 2. *States.* A state whose next value does not depend on itself is no recurrence: the next values of two rows are computed side by side,
//!    and the states of both are the last of the pair before and the first of this one. What they are computed from goes first.
//! 3. *Rows behind each other.* Where all rows between the first row of an emission and the first of the next iteration are stored by it, their
//!    values follow each other in memory: complete rows have as many entries as they store.
//!
//! # Limits
//! Loops with effects inside branches or inner loops, with states of other types than `f64` or with true recurrences; loops that call more
//! functions than vectors have work.

use crate::program::literal_product;
use crate::varying::{flat_place, neighbors, varying_rows};
use cranelift_codegen::entity::EntitySet;
use spadina_ir::func::{Buffer, Carry, EmitData, Func, Inst, InstData, Region, Role, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// A loop that takes two rows side by side.
pub(crate) struct RowLoop {
    /// The values that differ between rows.
    pub(crate) varying: EntitySet<Value>,
    /// States in an order in which each can be computed, by number, with the instructions that its next value needs beyond those
    /// before.
    pub(crate) states: Vec<(usize, Vec<Inst>)>,
    /// Reads and stores whose address moves by so many elements from row to row, with the instructions that make their subscripts.
    pub(crate) strides: BTreeMap<Inst, i64>,
    /// Instructions that make subscripts of nothing but the induction variable and what is known before the loop, in order.
    pub(crate) subscripts: Vec<Inst>,
    /// Emissions whose rows follow each other in memory, from iteration to iteration.
    pub(crate) streamed: BTreeSet<Inst>,
    /// Reads of neighbors in memory.
    pub(crate) neighbors: BTreeMap<Inst, (Inst, Inst)>,
}

/// Looks at a loop; `None` where its rows are computed one by one.
pub(crate) fn row_loop(func: &Func, inst: Inst, stored: &BTreeSet<Inst>) -> Option<RowLoop> {
    let InstData::Loop { step: 1, carries, body, .. } = &func.insts[inst] else { return None };
    let insts = &func.regions[*body].insts;
    if !insts.iter().any(|&i| matches!(&func.insts[i], InstData::Emit(emit) if emit.direct))
        || !insts.iter().all(|&i| is_row_effect(func, i))
        || reads_own(func, inst, *body)
    {
        return None;
    }
    let varying = varying_rows(func, *body)?;
    let states = states(func, carries, *body)?;
    let moves = Moves::new(func, *body, &varying);
    let mut strides = BTreeMap::new();
    let mut streamed = BTreeSet::new();
    for &inst in insts {
        match &func.insts[inst] {
            InstData::Load(buffer, index) => strides.extend(moves.stride(*buffer, index).map(|d| (inst, d))),
            InstData::Accum(buffer, index, _) if stored.contains(&inst) => {
                strides.extend(moves.stride(*buffer, index).map(|d| (inst, d)));
            }
            InstData::Emit(emit) if emit.direct && moves.streams(emit) => {
                streamed.insert(inst);
            }
            _ => {}
        }
    }
    strides.retain(|_, delta| *delta != 0);
    let subscripts = moves.subscripts;
    let neighbors = neighbors(func, *body, &varying);
    Some(RowLoop { varying, states, strides, subscripts, streamed, neighbors })
}

/// Pure, or a sum, a store or complete rows.
fn is_row_effect(func: &Func, inst: Inst) -> bool {
    match &func.insts[inst] {
        InstData::Emit(emit) => emit.direct,
        InstData::Accum(buffer, ..) => func.buffers[*buffer].role == Role::Output,
        InstData::Reset(..) | InstData::Check(..) => false,
        _ => !walk::has_effects(func, inst),
    }
}

fn reads_own(func: &Func, inst: Inst, body: Region) -> bool {
    let written = walk::written_buffers(func, inst);
    let mut reads = false;
    walk::visit_insts(func, body, &mut |_, inst| {
        reads |= matches!(&func.insts[inst], InstData::Load(buffer, _) if written.contains(buffer));
    });
    reads
}

/// The order of states, if none is a recurrence.
fn states(func: &Func, carries: &[Carry], body: Region) -> Option<Vec<(usize, Vec<Inst>)>> {
    let region = &func.regions[body];
    let params = region.params.get(1..)?;
    let mut needs = Vec::new();
    for (carry, &yielded) in carries.iter().zip(&region.yields) {
        if !matches!(carry, Carry::State(_)) || func.ty(yielded) != Ty::F64 {
            return None;
        }
        needs.push(slice(func, body, &[yielded]));
    }
    let mut order: Vec<(usize, Vec<Inst>)> = Vec::new();
    let mut done: BTreeSet<Inst> = BTreeSet::new();
    while order.len() < needs.len() {
        let ready = |n: &usize| {
            let free = |m: usize| order.iter().any(|(k, _)| *k == m);
            !free(*n) && (0..params.len()).all(|m| !needs[*n].params.contains(&params[m]) || free(m))
        };
        let next = (0..needs.len()).find(ready)?;
        let fresh = |inst: &Inst| needs[next].insts.contains(inst) && !done.contains(inst);
        let insts: Vec<Inst> = region.insts.iter().copied().filter(fresh).collect();
        done.extend(&insts);
        order.push((next, insts));
    }
    Some(order)
}

/// What values are computed from.
struct Slice {
    /// Instructions at the top of the body.
    insts: BTreeSet<Inst>,
    /// Its parameters.
    params: BTreeSet<Value>,
}

fn slice(func: &Func, body: Region, values: &[Value]) -> Slice {
    let top: BTreeSet<Inst> = func.regions[body].insts.iter().copied().collect();
    let mut found = Slice { insts: BTreeSet::new(), params: BTreeSet::new() };
    let mut open = values.to_vec();
    while let Some(value) = open.pop() {
        match func.values[value].def {
            ValueDef::Result(inst, _) if top.contains(&inst) => {
                if found.insts.insert(inst) {
                    open.extend(func.insts[inst].operands());
                    open.extend(walk::captures(func, inst));
                }
            }
            ValueDef::Param(region, _) if region == body => {
                found.params.insert(value);
            }
            ValueDef::Result(..) | ValueDef::Param(..) => {}
        }
    }
    found
}

/// How subscripts move from row to row.
struct Moves<'a> {
    func: &'a Func,
    iv: Option<Value>,
    varying: &'a EntitySet<Value>,
    subscripts: Vec<Inst>,
    /// Their results.
    known: BTreeSet<Value>,
    /// Values made in the body by other instructions.
    inside: BTreeSet<Value>,
}

impl Moves<'_> {
    fn new<'a>(func: &'a Func, body: Region, varying: &'a EntitySet<Value>) -> Moves<'a> {
        let region = &func.regions[body];
        let iv = region.params.first().copied();
        let mut moves = Moves {
            func,
            iv,
            varying,
            subscripts: Vec::new(),
            known: BTreeSet::new(),
            inside: BTreeSet::new(),
        };
        moves.inside.extend(region.params.iter().skip(1));
        for &inst in &region.insts {
            let data = &func.insts[inst];
            let pure = matches!(data, InstData::Const(_) | InstData::Size(_) | InstData::Op(..));
            let results = &func.results[inst];
            let int = pure && results.iter().all(|&v| func.ty(v) == Ty::Int);
            if int && data.operands().iter().all(|v| !moves.inside.contains(v)) {
                moves.subscripts.push(inst);
                moves.known.extend(results);
            } else {
                moves.inside.extend(results);
            }
        }
        moves
    }

    /// How much an integer grows from row to row.
    fn delta(&self, value: Value) -> Option<i64> {
        if Some(value) == self.iv {
            return Some(1);
        }
        if self.inside.contains(&value) {
            return None;
        }
        if !self.varying.contains(value) {
            return Some(0);
        }
        match self.func.def(value)? {
            InstData::Op(Op::IntAdd, args) => self.delta(args[0])?.checked_add(self.delta(args[1])?),
            InstData::Op(Op::IntSub, args) => self.delta(args[0])?.checked_sub(self.delta(args[1])?),
            InstData::Op(Op::IntMul, args) => {
                let (a, b) = (self.func.as_int(args[0]), self.func.as_int(args[1]));
                match (a, b) {
                    (Some(n), _) => self.delta(args[1])?.checked_mul(n),
                    (_, Some(n)) => self.delta(args[0])?.checked_mul(n),
                    (None, None) => None,
                }
            }
            _ => None,
        }
    }

    /// How many elements an access moves from row to row.
    fn stride(&self, buffer: Buffer, index: &[Value]) -> Option<i64> {
        let dims = &self.func.buffers[buffer].dims;
        let mut sum = 0_i64;
        for (axis, &subscript) in index.iter().enumerate() {
            let delta = self.delta(subscript)?;
            if delta != 0 {
                let stride = literal_product(&dims[axis + 1..])?;
                sum = sum.checked_add(delta.checked_mul(stride)?)?;
            }
        }
        Some(sum)
    }

    /// True where the rows of an emission lie behind each other, and those of the next iteration behind them.
    fn streams(&self, emit: &EmitData) -> bool {
        let Some(count) = i64::try_from(emit.rows.len()).ok() else { return false };
        let row = |&row: &Value| match self.func.def(row) {
            Some(InstData::Position(buffer, index)) => Some((*buffer, index)),
            _ => None,
        };
        let Some((buffer, first)) = emit.rows.first().and_then(row) else { return false };
        let (key, start) = flat_place(self.func, buffer, first);
        let behind = |(n, position): (i64, &Value)| {
            row(position).is_some_and(|(other, index)| {
                let (other_key, place) = flat_place(self.func, other, index);
                other == buffer && other_key == key && start.checked_add(n) == Some(place)
            })
        };
        let entries = &emit.entries;
        (0..).zip(&emit.rows).all(behind)
            && self.stride(buffer, first) == Some(count)
            && emit.values.iter().all(|&v| self.func.ty(v) == Ty::F64)
            && entries.is_sorted_by_key(|entry| entry.0)
            && entries.iter().map(|entry| entry.0).collect::<BTreeSet<u32>>().len() == emit.rows.len()
    }
}
