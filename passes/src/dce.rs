//! Dead-code elimination: what no effect depends on disappears, carries of loops and results of ifs one by one.
//!
//! # Problem
//! Derivative passes compute everything that might be needed:
//! ```text
//! for i in 0..n { a = f(i); b = g(i); accum out[] += a }      // b is dead
//! s, t = for i in 0..n sum, sum { .. yield a, b }; use(s)     // the carry of t is dead
//! ```
//! # Method
//! 1. Mark: accumulations into outputs, emissions and checks are roots; accumulations into scratch become roots when the buffer
//!    is loaded by something live. Marking a loop result marks its yield (and a state's initial value), and makes the loop live.
//! 2. Sweep: copy what is marked, without the carries and yields that are not.
//!
//! # Why it keeps the meaning
//! Only effects are observable; loops always end.
//!
//! # Limits
//! A loop that is live for one carry keeps its trip count's computation; loops are not fused.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::SecondaryMap;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Carry, Const, Func, Inst, InstData, Region, Role, Value, ValueDef};
use spadina_ir::walk;

/// The pass.
pub const PASS: Pass = Pass { name: "dce", summary: "remove what no effect depends on", run };

/// [`eliminate`], as a pass.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(eliminate(func))
}

/// Removes dead code.
pub fn eliminate(func: &Func) -> Func {
    let mut live = Liveness::new(func);
    live.solve();
    let rw = Rewriter::new(func, func.name.clone());
    rw.run(&mut Sweep { live })
}

/// The function without the accumulations into these buffers, and without what only they needed.
pub fn without(func: &Func, buffers: &[Buffer]) -> Func {
    eliminate(&Rewriter::new(func, func.name.clone()).run(&mut Without { buffers }))
}

struct Without<'a> {
    buffers: &'a [Buffer],
}

impl Visitor for Without<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::Accum(buffer, ..) if self.buffers.contains(buffer) => {}
            _ => rw.copy(inst, self),
        }
    }
}

struct Liveness<'a> {
    func: &'a Func,
    insts: SecondaryMap<Inst, bool>,
    values: SecondaryMap<Value, bool>,
    buffers: SecondaryMap<Buffer, bool>,
    /// The instruction that owns each region.
    owner: SecondaryMap<Region, Option<Inst>>,
    /// The region each instruction stands in.
    home: SecondaryMap<Inst, Option<Region>>,
    work: Vec<Value>,
}

impl<'a> Liveness<'a> {
    fn new(func: &'a Func) -> Self {
        let mut live = Liveness {
            func,
            insts: SecondaryMap::new(),
            values: SecondaryMap::new(),
            buffers: SecondaryMap::new(),
            owner: SecondaryMap::new(),
            home: SecondaryMap::new(),
            work: Vec::new(),
        };
        walk::visit_insts(func, func.body, &mut |region, inst| {
            live.home[inst] = Some(region);
            for nested in func.insts[inst].regions() {
                live.owner[nested] = Some(inst);
            }
        });
        live
    }

    fn solve(&mut self) {
        let func = self.func;
        walk::visit_insts(func, func.body, &mut |_, inst| match &func.insts[inst] {
            InstData::Accum(buffer, ..) if func.buffers[*buffer].role == Role::Output => self.mark_inst(inst),
            InstData::Emit(_) | InstData::Check(..) => self.mark_inst(inst),
            _ => {}
        });
        // Only what is added to scratch becomes live by being read.
        let scratch = func.buffers_of(Role::Scratch).next().is_some();
        loop {
            while let Some(value) = self.work.pop() {
                self.mark_definition(value);
            }
            if !scratch {
                return;
            }
            let mut grew = false;
            walk::visit_insts(func, func.body, &mut |_, inst| {
                if let InstData::Accum(buffer, ..) | InstData::Reset(buffer, _) = &func.insts[inst]
                    && self.buffers[*buffer]
                    && !self.insts[inst]
                {
                    self.mark_inst(inst);
                    grew = true;
                }
            });
            if !grew && self.work.is_empty() {
                return;
            }
        }
    }

    fn mark_value(&mut self, value: Value) {
        if !self.values[value] {
            self.values[value] = true;
            self.work.push(value);
        }
    }

    fn mark_inst(&mut self, inst: Inst) {
        if self.insts[inst] {
            return;
        }
        self.insts[inst] = true;
        match &self.func.insts[inst] {
            InstData::Loop { lo, hi, .. } => {
                self.mark_value(*lo);
                self.mark_value(*hi);
            }
            InstData::Load(buffer, _) => {
                self.buffers[*buffer] = true;
                self.func.insts[inst].operands().into_iter().for_each(|v| self.mark_value(v));
            }
            data => data.operands().into_iter().for_each(|v| self.mark_value(v)),
        }
        if let Some(owner) = self.home[inst].and_then(|region| self.owner[region]) {
            self.mark_inst(owner);
        }
    }

    fn mark_definition(&mut self, value: Value) {
        match self.func.values[value].def {
            ValueDef::Result(inst, n) => {
                self.mark_inst(inst);
                match &self.func.insts[inst] {
                    InstData::Loop { carries, body, .. } => self.mark_carry(carries, *body, n as usize),
                    InstData::If { then, els, .. } => {
                        for region in [*then, *els] {
                            self.mark_value(self.func.regions[region].yields[n as usize]);
                        }
                    }
                    _ => {}
                }
            }
            ValueDef::Param(region, n) => {
                let Some(inst) = self.owner[region] else { return };
                self.mark_inst(inst);
                if let (InstData::Loop { carries, body, .. }, 1..) = (&self.func.insts[inst], n) {
                    let states: Vec<usize> = state_carries(carries);
                    self.mark_carry(carries, *body, states[n as usize - 1]);
                }
            }
        }
    }

    fn mark_carry(&mut self, carries: &[Carry], body: Region, n: usize) {
        self.mark_value(self.func.regions[body].yields[n]);
        if let Carry::State(init) = carries[n] {
            self.mark_value(init);
        }
    }

    /// Whether the n-th carry of a loop is kept.
    fn carry_is_live(&self, inst: Inst, carries: &[Carry], body: Region, n: usize) -> bool {
        if self.values[self.func.results[inst][n]] {
            return true;
        }
        let param = state_carries(carries).iter().position(|&c| c == n);
        param.is_some_and(|p| self.values[self.func.regions[body].params[p + 1]])
    }
}

/// The indices of the `State` carries: the n-th belongs to region parameter n + 1.
pub fn state_carries(carries: &[Carry]) -> Vec<usize> {
    (0..carries.len()).filter(|&n| matches!(carries[n], Carry::State(_))).collect()
}

struct Sweep<'a> {
    live: Liveness<'a>,
}

impl Visitor for Sweep<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if !self.live.insts[inst] {
            return;
        }
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Loop { lo, hi, step, carries, body } => {
                let kept: Vec<usize> = (0..carries.len())
                    .filter(|&n| self.live.carry_is_live(inst, carries, *body, n))
                    .collect();
                let images: Vec<Carry> = kept.iter().map(|&n| rw.map_carry(carries[n])).collect();
                let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
                let (iv, states) = rw.b.begin_loop(lo, hi, *step, &images);
                let params = &src.regions[*body].params;
                rw.map.set(params[0], iv);
                let mut states = states.into_iter();
                for (p, n) in state_carries(carries).into_iter().enumerate() {
                    if kept.contains(&n) {
                        rw.map.set(params[p + 1], states.next().expect("one state per kept carry"));
                    }
                }
                rw.region(*body, self);
                let yields: Vec<Value> =
                    kept.iter().map(|&n| rw.map.get(src.regions[*body].yields[n])).collect();
                let results = rw.b.end_loop(&yields);
                for (&n, &image) in kept.iter().zip(&results) {
                    rw.map.set(src.results[inst][n], image);
                }
            }
            InstData::If { cond, then, els } => {
                let cond = rw.map.get(*cond);
                if let Some(Const::Bool(_)) = rw.b.func().as_const(cond) {
                    rw.copy(inst, self);
                    return;
                }
                let results = &src.results[inst];
                let kept: Vec<usize> = (0..results.len()).filter(|&n| self.live.values[results[n]]).collect();
                let yields = |rw: &Rewriter<'_>, region: Region| -> Vec<Value> {
                    kept.iter().map(|&n| rw.map.get(src.regions[region].yields[n])).collect()
                };
                rw.b.begin_if(cond);
                rw.region(*then, self);
                let then_yields = yields(rw, *then);
                rw.b.begin_else(&then_yields);
                rw.region(*els, self);
                let else_yields = yields(rw, *els);
                let images = rw.b.end_if(&else_yields);
                for (&n, &image) in kept.iter().zip(&images) {
                    rw.map.set(results[n], image);
                }
            }
            _ => rw.copy(inst, self),
        }
    }
}
