//! The index program: what prepare runs to learn where entries are and that every subscript is legal.
//!
//! # Problem
//! Of an evaluation program only the structural part decides which entries exist:
//! ```text
//! for e in 0..E { i = load edges[e,0]; u = load x[i]; ..; accum x_bar[i] += g; emit (pos i, ..), h }
//!     ==>   for e in 0..E { i = load edges[e,0]; check x[i]; emit (pos i, ..) }
//! ```
//! # Method
//! 1. Copy structural computations; floats disappear.
//! 2. Each subscript of a load or accumulation that its types do not prove to be in range becomes a check, under the same structural
//!    conditions; under a condition that values decide both branches are checked.
//! 3. Emissions keep their places and shapes, without values. Rows that are accumulated into but not emitted get *row sites* after the
//!    matrix sites, so that prepare knows which rows an iteration writes: at the end of their region, but in the body of the program
//!    at their place, because there every effect is a phase of its own.
//!
//! # Why it keeps the meaning
//! No emission depends on values (`ir/func.rs`), so evaluation emits in exactly this order.
//!
//! # Limits
//! `value-index`: a subscript, or the number of times that entries are emitted, that depends on values that are not structural.

use crate::analysis::range::in_range;
use crate::analysis::structural::Structural;
use crate::dce;
use crate::rewrite::{Rewriter, Visitor};
use crate::sparse::collect::row_position;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Carry, EmitData, Func, Inst, InstData, Plane, Role, Value, Values};
use spadina_ir::span::Span;
use spadina_ir::walk;
use std::collections::BTreeSet;

/// The index program of an evaluation program.
pub fn index_program(func: &Func) -> Result<Func, Diagnostic> {
    let mut sites = 0;
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Emit(emit) = &func.insts[inst] {
            sites = sites.max(emit.site + 1);
        }
    });
    let mut pass = Index {
        structural: Structural::of(func),
        next_row_site: sites,
        named: vec![BTreeSet::new()],
        accumulated: vec![BTreeSet::new()],
        checked: vec![BTreeSet::new()],
        refusal: None,
    };
    let mut rw = Rewriter::new(func, format!("{}.index", func.name));
    rw.region(func.body, &mut pass);
    match pass.refusal {
        Some(diagnostic) => Err(diagnostic),
        None => Ok(dce::eliminate(&rw.b.finish())),
    }
}

struct Index {
    structural: Structural,
    next_row_site: u32,
    /// Positions named by emissions, by open region.
    named: Vec<BTreeSet<Value>>,
    /// Positions of rows that are accumulated into, by open region.
    accumulated: Vec<BTreeSet<Value>>,
    /// Subscripts checked already, by open region.
    checked: Vec<BTreeSet<(Buffer, Values)>>,
    refusal: Option<Diagnostic>,
}

/// Whether an instruction emits entries.
fn emits(func: &Func, inst: Inst) -> bool {
    let mut found = matches!(func.insts[inst], InstData::Emit(_));
    for region in func.insts[inst].regions() {
        walk::visit_insts(func, region, &mut |_, inner| {
            found |= matches!(func.insts[inner], InstData::Emit(_));
        });
    }
    found
}

impl Index {
    fn refuse(&mut self, rw: &Rewriter<'_>, inst: Inst, what: &str, place: &str) {
        let (start, end) = rw.src.spans[inst];
        self.refusal.get_or_insert_with(|| {
            Diagnostic::error("value-index", format!("{what} depends on values that may change between evaluations"))
                .label(Span { start, end }, place)
                .help("pass the index as an `index<..>` input and prepare again when it changes, or mark the parameter `#[structural]`")
        });
    }

    fn check(&mut self, rw: &mut Rewriter<'_>, inst: Inst, buffer: Buffer, index: &[Value]) -> bool {
        if !index.iter().all(|&v| self.structural.holds(v)) {
            self.refuse(rw, inst, "a subscript", "this subscript");
            return false;
        }
        let images = rw.map.all(index);
        let dims = &rw.src.buffers[buffer].dims;
        let proven = index.iter().zip(dims).all(|(&subscript, dim)| in_range(rw.src, subscript, dim));
        let key = (buffer, images.clone());
        if !proven && !self.checked.iter().any(|level| level.contains(&key)) {
            rw.b.check(buffer, &images);
            self.checked.last_mut().expect("a region is open").insert(key);
        }
        true
    }

    fn open(&mut self) {
        self.named.push(BTreeSet::new());
        self.accumulated.push(BTreeSet::new());
        self.checked.push(BTreeSet::new());
    }

    /// Ends a region: rows that nothing in it or around it has named get sites of their own.
    fn close(&mut self, rw: &mut Rewriter<'_>) {
        self.row_sites(rw);
        self.named.pop();
        self.accumulated.pop();
        self.checked.pop();
    }

    fn row_sites(&mut self, rw: &mut Rewriter<'_>) {
        for position in self.accumulated.last().cloned().unwrap_or_default() {
            if self.named.iter().any(|level| level.contains(&position)) {
                continue;
            }
            self.row_site(rw, position);
        }
    }

    fn row_site(&mut self, rw: &mut Rewriter<'_>, position: Value) {
        let site = self.next_row_site;
        self.next_row_site += 1;
        rw.b.emit_positions(EmitData {
            site,
            rows: vec![position],
            cols: Vec::new(),
            entries: Vec::new(),
            values: Vec::new(),
            symmetric: false,
            direct: false,
            project: None,
        });
    }

    fn emit(&mut self, rw: &mut Rewriter<'_>, inst: Inst, emit: &EmitData) {
        for &position in emit.rows.iter().chain(&emit.cols) {
            if let Some(InstData::Position(buffer, index)) = rw.src.def(position) {
                self.check(rw, inst, *buffer, &index.clone());
            }
        }
        let image = EmitData {
            site: emit.site,
            rows: rw.map.all(&emit.rows).to_vec(),
            cols: rw.map.all(&emit.cols).to_vec(),
            entries: emit.entries.clone(),
            values: Vec::new(),
            symmetric: emit.symmetric,
            direct: emit.direct,
            project: emit.project,
        };
        self.named.last_mut().expect("a region is open").extend(image.rows.iter().copied());
        rw.b.emit_positions(image);
    }
}

impl Visitor for Index {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        if self.refusal.is_some() {
            // Nothing more is built, but values stay mapped to something of their type.
            return;
        }
        let src = rw.src;
        match &src.insts[inst] {
            InstData::Const(_) | InstData::Size(_) => rw.copy(inst, self),
            InstData::Check(buffer, index) => {
                self.check(rw, inst, *buffer, index);
            }
            InstData::Op(..) | InstData::Position(..) => {
                if src.insts[inst].operands().iter().all(|&v| self.structural.holds(v)) {
                    rw.copy(inst, self);
                }
            }
            InstData::Load(buffer, index) => {
                let legal = self.check(rw, inst, *buffer, index);
                if legal && src.buffers[*buffer].role == Role::Structural {
                    rw.copy(inst, self);
                }
            }
            InstData::Accum(buffer, index, _) => {
                let legal = self.check(rw, inst, *buffer, index);
                let data = &src.buffers[*buffer];
                let owner = match data.plane {
                    Plane::Adjoint(of) | Plane::Tangent(of) => of,
                    Plane::Primal | Plane::Block(..) => *buffer,
                };
                let is_row = data.role == Role::Output && src.rows.contains(&owner);
                if legal && is_row && !data.dims.is_empty() {
                    let images = rw.map.all(index);
                    let position = row_position(&mut rw.b, *buffer, &images);
                    if rw.b.depth() == 1 {
                        self.row_site(rw, position);
                    } else {
                        self.accumulated.last_mut().expect("a region is open").insert(position);
                    }
                }
            }
            InstData::Reset(..) => {}
            InstData::Emit(emit) => self.emit(rw, inst, emit),
            InstData::Loop { lo, hi, body, .. } if ![lo, hi].iter().all(|v| self.structural.holds(**v)) => {
                // What is looked up whenever the loop runs is checked, as under a condition that values decide.
                if emits(src, inst) {
                    self.refuse(rw, inst, "how often this loop runs", "this loop");
                } else {
                    rw.region(*body, self);
                }
            }
            InstData::Loop { lo, hi, step, carries, body } => {
                self.open();
                let params = &src.regions[*body].params;
                let states = dce::state_carries(carries);
                let kept: Vec<usize> =
                    (0..carries.len()).filter(|&n| self.structural.holds(src.results[inst][n])).collect();
                let images: Vec<Carry> = kept.iter().map(|&n| rw.map_carry(carries[n])).collect();
                let (lo, hi) = (rw.map.get(*lo), rw.map.get(*hi));
                let (iv, values) = rw.b.begin_loop(lo, hi, *step, &images);
                rw.map.set(params[0], iv);
                let mut values = values.into_iter();
                for (p, n) in states.iter().enumerate() {
                    if kept.contains(n) {
                        rw.map.set(params[p + 1], values.next().expect("one per kept state"));
                    }
                }
                rw.region(*body, self);
                if self.refusal.is_some() {
                    return;
                }
                let yields: Vec<Value> =
                    kept.iter().map(|&n| rw.map.get(src.regions[*body].yields[n])).collect();
                self.close(rw);
                let results = rw.b.end_loop(&yields);
                for (&n, &image) in kept.iter().zip(&results) {
                    rw.map.set(src.results[inst][n], image);
                }
            }
            InstData::If { cond, then, els } => {
                if !self.structural.holds(*cond) {
                    rw.region(*then, self);
                    rw.region(*els, self);
                    return;
                }
                let results = &src.results[inst];
                let kept: Vec<usize> =
                    (0..results.len()).filter(|&n| self.structural.holds(results[n])).collect();
                let cond = rw.map.get(*cond);
                rw.b.begin_if(cond);
                let mut yields = Vec::new();
                for (n, region) in [*then, *els].into_iter().enumerate() {
                    self.open();
                    rw.region(region, self);
                    self.close(rw);
                    if self.refusal.is_some() {
                        return;
                    }
                    yields = kept.iter().map(|&n| rw.map.get(src.regions[region].yields[n])).collect();
                    if n == 0 {
                        rw.b.begin_else(&yields);
                    }
                }
                let images = rw.b.end_if(&yields);
                for (&n, &image) in kept.iter().zip(&images) {
                    rw.map.set(results[n], image);
                }
            }
        }
    }
}
