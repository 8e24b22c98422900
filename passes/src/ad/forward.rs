//! Forward mode: beside every active value its tangent.
//!
//! # Problem
//! ```text
//! y = op(a, b)                 y = op(a, b);  y_dot = (dy/da) a_dot + (dy/db) b_dot
//! v = load x[i]                v = load x[i]; v_dot = <tangent of the load>
//! accum y[i] += v              accum y[i] += v; accum y_dot[i] += v_dot
//! ```
//! # Method
//! 1. Activity from the seeded buffers.
//! 2. Copy; each instruction with an active result also builds its tangent from the first partials (`rules`). Sums carry their
//!    tangents as further sums, recurrences as further states, both branches of an `if` yield them.
//! 3. What a tangent *is* at the leaves is the [`Seeds`]' business: a direction array (JVP, HVP) or a one-hot indicator (`sparse/seed`).
//!
//! # Why it keeps the meaning
//! The primal instructions are copied unchanged; a tangent is built where its primal is, so everything it needs is visible.
//! A literal zero tangent is a structural zero and folds away.
//!
//! # Limits
//! `prod`, `min` and `max` carries must have become recurrences (`loops/normalize`).
//!
//! # References
//! Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 3.1.

use crate::ad::rules;
use crate::analysis::activity::Activity;
use crate::rewrite::{Map, Rewriter, Visitor};
use spadina_ir::builder::Builder;
use spadina_ir::func::{
    Buffer, BufferData, Carry, Const, Entries, Func, Inst, InstData, Plane, Region, Role, Value,
};
use spadina_ir::op::Op;

/// What the tangent of a load is.
pub trait Seeds {
    /// The tangent of `buffer[index]` for a seeded input.
    fn load(&mut self, b: &mut Builder, buffer: Buffer, index: &[Value]) -> Value;

    /// `y_dot[index] += tangent`, for an active output.
    fn store(&mut self, b: &mut Builder, buffer: Buffer, index: &[Value], tangent: Value);
}

/// Adds tangents with respect to `sources` while copying a region; used on whole functions and on loop nests.
pub struct Forward<'s> {
    /// What is active.
    pub activity: Activity,
    /// Tangents of active values.
    pub tangents: Map,
    /// The seeded inputs.
    pub sources: Vec<Buffer>,
    /// Tangent buffers of active scratch buffers.
    pub scratch: Vec<(Buffer, Buffer)>,
    /// Leaves and roots.
    pub seeds: &'s mut dyn Seeds,
    /// Whether accumulations into outputs are copied too.
    pub keep_primal: bool,
    /// Scratch arrays whose primal contents are there already.
    pub finished: Vec<Buffer>,
}

/// A buffer like `of` that holds another plane of it.
pub fn plane_buffer(b: &mut Builder, of: Buffer, role: Role, plane: Plane, suffix: &str) -> Buffer {
    let data = &b.func().buffers[of];
    let name = b.func().fresh_buffer_name(&format!("{}{suffix}", data.name));
    let data = BufferData { name, role, plane, default: None, entries: Entries::Any, ..data.clone() };
    b.buffer(data)
}

struct Directions {
    inputs: Vec<(Buffer, Buffer)>,
    outputs: Vec<(Buffer, Buffer)>,
}

fn lookup(pairs: &[(Buffer, Buffer)], buffer: Buffer) -> Buffer {
    pairs.iter().find(|(of, _)| *of == buffer).expect("every seeded or active buffer has its plane").1
}

impl Seeds for Directions {
    fn load(&mut self, b: &mut Builder, buffer: Buffer, index: &[Value]) -> Value {
        b.load(lookup(&self.inputs, buffer), index)
    }

    fn store(&mut self, b: &mut Builder, buffer: Buffer, index: &[Value], tangent: Value) {
        b.accum(lookup(&self.outputs, buffer), index, tangent);
    }
}

/// The directional derivative of `func`: inputs `x_dot` for each of `sources`, outputs `y_dot` beside each active output.
/// With `keep_primal` the primal outputs are computed too.
pub fn forward(func: &Func, sources: &[Buffer], keep_primal: bool) -> Func {
    let activity = Activity::of(func, sources);
    let mut rw = Rewriter::new(func, format!("{}.fwd", func.name));
    let inputs: Vec<_> = sources
        .iter()
        .map(|&x| (x, plane_buffer(&mut rw.b, x, Role::Data, Plane::Tangent(x), "_dot")))
        .collect();
    let outputs: Vec<_> = func
        .buffers_of(Role::Output)
        .filter(|&y| activity.buffer(y))
        .map(|y| (y, plane_buffer(&mut rw.b, y, Role::Output, Plane::Tangent(y), "_dot")))
        .collect();
    let mut seeds = Directions { inputs, outputs };
    let scratch = scratch_planes(func, &activity, &mut rw.b);
    let mut pass = Forward {
        activity,
        tangents: Map::new(),
        sources: sources.to_vec(),
        scratch,
        seeds: &mut seeds,
        keep_primal,
        finished: Vec::new(),
    };
    rw.run(&mut pass)
}

/// Declares a tangent buffer for every active scratch buffer.
pub fn scratch_planes(func: &Func, activity: &Activity, b: &mut Builder) -> Vec<(Buffer, Buffer)> {
    func.buffers_of(Role::Scratch)
        .filter(|&y| activity.buffer(y))
        .map(|y| (y, plane_buffer(b, y, Role::Scratch, Plane::Tangent(y), "_dot")))
        .collect()
}

impl Forward<'_> {
    fn tangent(&self, value: Value) -> Option<Value> {
        self.tangents.find(value)
    }

    /// The tangent of a source value, a literal zero where it has none.
    pub fn tangent_or_zero(&self, rw: &mut Rewriter<'_>, value: Value) -> Value {
        match self.tangent(value) {
            Some(t) => t,
            None => rw.b.float(rw.src.ty(value), 0.0),
        }
    }

    fn op(&mut self, rw: &mut Rewriter<'_>, op: Op, args: &[Value], result: Value) {
        let images = rw.map.all(args);
        let v = rw.map.get(result);
        if op == Op::Select {
            let (t1, t2) = (self.tangent_or_zero(rw, args[1]), self.tangent_or_zero(rw, args[2]));
            let t = rw.b.select(images[0], t1, t2);
            self.tangents.set(result, t);
            return;
        }
        let partials = rules::first(&mut rw.b, op, &images, v);
        let mut sum: Option<Value> = None;
        for (&arg, partial) in args.iter().zip(partials) {
            let (Some(t), Some(p)) = (self.tangent(arg), partial) else { continue };
            // A change of precision changes the precision of the tangent too.
            let term = match op {
                Op::Narrow | Op::Widen => rw.b.op(op, &[t]),
                _ => rw.b.mul(p, t),
            };
            sum = Some(match sum {
                Some(s) => rw.b.add(s, term),
                None => term,
            });
        }
        if let Some(t) = sum {
            self.tangents.set(result, t);
        }
    }

    fn loop_(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Loop { lo, hi, step, carries, body } = &src.insts[inst] else {
            unreachable!("called on loops");
        };
        let results = &src.results[inst];
        let active: Vec<usize> = (0..results.len()).filter(|&n| self.activity.value(results[n])).collect();
        let mut images: Vec<Carry> = carries.iter().map(|c| rw.map_carry(*c)).collect();
        for &n in &active {
            let carry = match carries[n] {
                Carry::Sum => Carry::Sum,
                Carry::State(init) => Carry::State(self.tangent_or_zero(rw, init)),
                Carry::Prod | Carry::Min | Carry::Max => {
                    unreachable!("`normalize` turns active products and extrema into recurrences")
                }
            };
            images.push(carry);
        }
        let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
        let (iv, states) = rw.b.begin_loop(lo, hi, *step, &images);
        let params = &src.regions[*body].params;
        rw.map.set(params[0], iv);
        let mut states = states.into_iter();
        for &param in &params[1..] {
            rw.map.set(param, states.next().expect("one per state"));
        }
        let state_of = crate::dce::state_carries(carries);
        for &n in &active {
            if let Some(p) = state_of.iter().position(|&c| c == n) {
                let t = states.next().expect("one per active state");
                self.tangents.set(params[p + 1], t);
            }
        }
        rw.region(*body, self);
        let mut yields = rw.map.all(&src.regions[*body].yields);
        for &n in &active {
            yields.push(self.tangent_or_zero(rw, src.regions[*body].yields[n]));
        }
        let images = rw.b.end_loop(&yields);
        self.bind(rw, results, &active, &images);
    }

    fn bind(&mut self, rw: &mut Rewriter<'_>, results: &[Value], active: &[usize], images: &[Value]) {
        for (&result, &image) in results.iter().zip(images) {
            rw.map.set(result, image);
        }
        for (&n, &image) in active.iter().zip(&images[results.len()..]) {
            self.tangents.set(results[n], image);
        }
    }

    fn if_(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::If { cond, then, els } = &src.insts[inst] else { unreachable!("called on ifs") };
        let results = &src.results[inst];
        let active: Vec<usize> = (0..results.len()).filter(|&n| self.activity.value(results[n])).collect();
        let cond = rw.map.get(*cond);
        if let Some(Const::Bool(taken)) = rw.b.func().as_const(cond) {
            let region = if taken { *then } else { *els };
            rw.region(region, self);
            let yields = self.branch_yields(rw, region, &active);
            self.bind(rw, results, &active, &yields);
            return;
        }
        rw.b.begin_if(cond);
        rw.region(*then, self);
        let yields = self.branch_yields(rw, *then, &active);
        rw.b.begin_else(&yields);
        rw.region(*els, self);
        let yields = self.branch_yields(rw, *els, &active);
        let images = rw.b.end_if(&yields);
        self.bind(rw, results, &active, &images);
    }

    fn branch_yields(&mut self, rw: &mut Rewriter<'_>, region: Region, active: &[usize]) -> Vec<Value> {
        let source = &rw.src.regions[region].yields;
        let mut yields = rw.map.all(source);
        for &n in active {
            yields.push(self.tangent_or_zero(rw, source[n]));
        }
        yields.to_vec()
    }
}

impl Visitor for Forward<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Op(op, args) => {
                rw.copy(inst, self);
                let result = src.results[inst][0];
                if self.activity.value(result) {
                    self.op(rw, *op, args, result);
                }
            }
            InstData::Load(buffer, index) => {
                rw.copy(inst, self);
                let result = src.results[inst][0];
                let index = rw.map.all(index);
                if self.sources.contains(buffer) {
                    let t = self.seeds.load(&mut rw.b, *buffer, &index);
                    self.tangents.set(result, t);
                } else if self.activity.buffer(*buffer) {
                    let t = rw.b.load(lookup(&self.scratch, *buffer), &index);
                    self.tangents.set(result, t);
                }
            }
            InstData::Accum(buffer, index, value) => {
                let role = src.buffers[*buffer].role;
                let wanted =
                    if role == Role::Scratch { !self.finished.contains(buffer) } else { self.keep_primal };
                if wanted {
                    rw.copy(inst, self);
                }
                if let Some(t) = self.tangent(*value) {
                    let index = rw.map.all(index);
                    if role == Role::Scratch {
                        rw.b.accum(lookup(&self.scratch, *buffer), &index, t);
                    } else {
                        self.seeds.store(&mut rw.b, *buffer, &index, t);
                    }
                }
            }
            InstData::Reset(buffer, length) => {
                rw.copy(inst, self);
                if self.activity.buffer(*buffer) {
                    rw.reset(lookup(&self.scratch, *buffer), *length);
                }
            }
            InstData::Loop { .. } => self.loop_(rw, inst),
            InstData::If { .. } => self.if_(rw, inst),
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Position(..)
            | InstData::Check(..)
            | InstData::Emit(_) => rw.copy(inst, self),
        }
    }
}
