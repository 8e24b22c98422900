//! One-hot seeding: the dense derivative loop nest.
//!
//! # Problem
//! The matrix of a function is its tangent for each unit vector. For rows `y` and columns `x` this pass builds
//! ```text
//! for s in 0..n {                                  // every unknown
//!     <the tangent program, with  v_dot = [position of x[i] == position of x[s]]  for each load  v = load x[i]>
//!     accum y.x[r, s] += v_dot                     // where the program has  accum y[r] += v
//! }
//! ```
//! The result costs the number of unknowns times the function: it is the definition, the oracle, and what `solve` starts from.
//!
//! # Method
//! 1. Phases that fill intermediate arrays are copied once, before the nest.
//! 2. For each variable: loops over its axes, tangents of intermediate arrays reset, then forward mode with indicators for leaves.
//!
//! # Why it keeps the meaning
//! The tangent is linear in its seed, and column `s` of the matrix is its value at the unit vector `e_s`.
//!
//! # Limits
//! Those of forward mode.

use crate::ad::forward::{Forward, Seeds, scratch_planes};
use crate::analysis::activity::Activity;
use crate::rewrite::{Map, Rewriter, Visitor};
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, BufferData, Entries, Func, Inst, InstData, Plane, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

/// The dense derivative of the buffers `func.rows` with respect to `func.columns`; outputs are `Plane::Block` buffers.
pub fn seed(func: &Func) -> Func {
    let mut rw = Rewriter::new(func, format!("{}.dense", func.name));
    rw.region(func.body, &mut Stages);
    for &x in &func.columns {
        nest(&mut rw, x);
    }
    // A matrix of zeros: one block says so, for it is blocks that tell a dense program from others.
    let some = func.rows.iter().find_map(|&y| row_output(func, y)).zip(func.columns.first());
    if let Some((y, &x)) = some
        && !rw.b.func().buffers.values().any(|data| matches!(data.plane, Plane::Block(..)))
    {
        block(&mut rw, y, x);
    }
    rw.b.finish()
}

/// Copies what fills scratch arrays, without the accumulations into outputs.
struct Stages;

impl Visitor for Stages {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::Accum(buffer, ..) if rw.src.buffers[*buffer].role == Role::Output => {}
            _ => rw.copy(inst, self),
        }
    }
}

/// Declares the dense block of one row buffer and one column buffer.
fn block(rw: &mut Rewriter<'_>, y: Buffer, x: Buffer) -> Buffer {
    let (row, column) = (&rw.src.buffers[y], &rw.src.buffers[x]);
    let name = rw.b.func().fresh_buffer_name(&format!("{}.{}", row.name, column.name));
    let data = BufferData {
        name,
        elem: row.elem,
        dims: row.dims.iter().chain(&column.dims).cloned().collect(),
        role: Role::Output,
        plane: Plane::Block(y, x),
        entries: Entries::Any,
        default: None,
        span: row.span,
    };
    rw.b.buffer(data)
}

struct OneHot {
    column: Buffer,
    /// Position of the seeded unknown.
    seed: Value,
    /// Subscripts of the seeded unknown.
    subscripts: Vec<Value>,
    /// Row buffer and its dense block.
    blocks: Vec<(Buffer, Buffer)>,
}

impl Seeds for OneHot {
    fn load(&mut self, b: &mut Builder, buffer: Buffer, index: &[Value]) -> Value {
        debug_assert_eq!(buffer, self.column, "one variable is seeded at a time");
        let position = b.position(buffer, index);
        let one_hot = b.op(Op::Indicator, &[position, self.seed]);
        // Tangents have the precision of what they belong to.
        if b.func().buffers[buffer].elem == Ty::F32 { b.op(Op::Narrow, &[one_hot]) } else { one_hot }
    }

    fn store(&mut self, b: &mut Builder, buffer: Buffer, index: &[Value], tangent: Value) {
        if let Some(&(_, block)) = self.blocks.iter().find(|(row, _)| *row == buffer) {
            let all: Vec<Value> = index.iter().chain(&self.subscripts).copied().collect();
            b.accum(block, &all, tangent);
        }
    }
}

fn nest(rw: &mut Rewriter<'_>, x: Buffer) {
    let func = rw.src;
    let activity = Activity::of(func, &[x]);
    let mut blocks = Vec::new();
    for y in func.rows.iter().filter_map(|&y| row_output(func, y)) {
        if !activity.buffer(y) {
            continue;
        }
        blocks.push((y, block(rw, y, x)));
    }
    if blocks.is_empty() {
        return;
    }
    let scratch = scratch_planes(func, &activity, &mut rw.b);
    let zero = rw.b.int(0);
    let bounds: Vec<Value> = func.buffers[x].dims.iter().map(|d| rw.b.size(d)).collect();
    let subscripts: Vec<Value> = bounds.iter().map(|&hi| rw.b.begin_loop(zero, hi, 1, &[]).0).collect();
    for &(_, tangent) in &scratch {
        rw.b.reset(tangent);
    }
    let position = rw.b.position(x, &subscripts);
    let mut seeds = OneHot { column: x, seed: position, subscripts, blocks };
    let mut pass = Forward {
        activity,
        tangents: Map::new(),
        sources: vec![x],
        scratch,
        seeds: &mut seeds,
        keep_primal: false,
        finished: finished_scratch(func),
    };
    rw.region(func.body, &mut pass);
    for _ in bounds {
        rw.b.end_loop(&[]);
    }
}

/// The output buffer that computes a row buffer: itself, or the adjoint of an unknown.
pub fn row_output(func: &Func, row: Buffer) -> Option<Buffer> {
    if func.buffers[row].role == Role::Output {
        return Some(row);
    }
    let mut outputs = func.buffers.iter().filter(|(_, data)| data.role == Role::Output);
    outputs.find(|(_, data)| data.plane == Plane::Adjoint(row)).map(|(buffer, _)| buffer)
}

/// Scratch arrays that are filled once (never reset): their primal is computed before the nest.
fn finished_scratch(func: &Func) -> Vec<Buffer> {
    let mut reset = Vec::new();
    spadina_ir::walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Reset(buffer, _) = &func.insts[inst] {
            reset.push(*buffer);
        }
    });
    func.buffers_of(Role::Scratch).filter(|b| !reset.contains(b)).collect()
}
