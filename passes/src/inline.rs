//! Intermediate arrays that are maps disappear: each read computes the element it reads.
//!
//! # Problem
//! A derivative through an intermediate array is a product of matrices; where an element is cheap, computing it again at its readers
//! keeps every term local:
//! ```text
//! for i in 0..N { accum y[i] += f(i) };  for e in .. { v = load y[j(e)]; .. }
//!     ==>   for e in .. { v = f(j(e)); .. }
//! ```
//! Maps of maps (a difference of a difference, a smoothing applied `k` times) become one stencil.
//!
//! # Method
//! 1. The *stage graph*: one node an intermediate array, an edge from each array to those computed from it. Arrays on a cycle (read while
//!    they are written) stay.
//! 2. An array is a map when one top-level nest writes it, at its own induction variables over the full axes (and literal trailing
//!    subscripts, each once), with nothing else but pure code around.
//! 3. Nests are copied in program order; loads of maps become their bodies at the subscripts of the load. An element is built once for
//!    the same subscripts in the same region, so that a stencil applied `k` times has as many elements as its wider stencil, not
//!    one for each path. Conditions on subscripts are decided from the bounds and guards around (`analysis/facts`): else each would
//!    open a region of its own, and nothing would be shared.
//! 4. A copied nest shows the size of an element of its array, what is shared counted once. If that size, once for each reading
//!    place, stays under [`MAX_INSTS`], the array is inlined into the nests that follow; else it stays and is read. In the end the
//!    nests go whose arrays nobody reads.
//!
//! # Why it keeps the meaning
//! Each element of a map is written once, from zero, by the iteration of its own subscripts, which reads inputs and finished
//! arrays only: computing it where it is read gives the same bits. A subscript that neither types nor guards prove stays checked
//! against the axes of the array. A remainder of a remainder by the same number is that of the sum: both are rounded down.
//!
//! # Limits
//! Arrays accumulated through tables (scatters), written by several nests or read at a trailing subscript that is not literal stay.

use crate::analysis::affine::Affine;
use crate::analysis::facts::Facts;
use crate::analysis::range::{as_size, in_range};
use crate::analysis::structural::Structural;
use crate::dce;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use petgraph::graphmap::DiGraphMap;
use spadina_ir::builder::Builder;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Region, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "inline", summary: "compute elements of mapped arrays where they are read", run };

/// Most instructions that inlining one array may make: of an element, once for each reading place.
pub const MAX_INSTS: usize = 4000;

/// Inlines maps into their readers.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let maps: BTreeMap<Buffer, MapStage> =
        stage_order(func).into_iter().filter_map(|y| Some((y, as_map(func, y)?))).collect();
    if maps.is_empty() {
        return Ok(func.clone());
    }
    let mut pass = Inline {
        maps,
        chosen: BTreeSet::new(),
        elements: BTreeMap::new(),
        facts: Facts::default(),
        structural: Structural::of(func),
    };
    let inlined = Rewriter::new(func, func.name.clone()).run(&mut pass);
    // The nests of inlined arrays are no work for the passes that follow.
    Ok(if pass.chosen.is_empty() { inlined } else { dce::eliminate(&inlined) })
}

/// A map: the loops around its accumulations, and the value of each literal tail.
struct MapStage {
    /// Bodies from the outermost loop in; the induction variable of each is its first parameter.
    nest: Vec<Region>,
    /// Value by trailing literal subscripts.
    elements: BTreeMap<Vec<i64>, Value>,
    /// The places that read it; `None` where one reads at a trailing subscript that is not literal.
    readers: Option<usize>,
    /// Whether inner loops run as often as the subscripts say: then the subscripts must be seen to be bounded, for the tapes of recurrences.
    is_ragged: bool,
}

/// Intermediate arrays that are on no cycle of the stage graph.
fn stage_order(func: &Func) -> Vec<Buffer> {
    let mut graph: DiGraphMap<u32, ()> = DiGraphMap::new();
    for y in func.buffers_of(Role::Scratch) {
        graph.add_node(y.as_u32());
    }
    for &inst in &func.regions[func.body].insts {
        let written = walk::written_buffers(func, inst);
        for read in read_buffers(func, inst) {
            if func.buffers[read].role == Role::Scratch {
                for y in written.iter().filter(|y| func.buffers[**y].role == Role::Scratch) {
                    graph.add_edge(read.as_u32(), y.as_u32(), ());
                }
            }
        }
    }
    let cyclic: BTreeSet<u32> = petgraph::algo::tarjan_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1 || graph.contains_edge(component[0], component[0]))
        .flatten()
        .collect();
    func.buffers_of(Role::Scratch).filter(|y| !cyclic.contains(&y.as_u32())).collect()
}

fn read_buffers(func: &Func, inst: Inst) -> BTreeSet<Buffer> {
    let mut read = BTreeSet::new();
    let mut note = |data: &InstData| {
        if let InstData::Load(buffer, _) = data {
            read.insert(*buffer);
        }
    };
    note(&func.insts[inst]);
    for region in func.insts[inst].regions() {
        walk::visit_insts(func, region, &mut |_, i| note(&func.insts[i]));
    }
    read
}

/// The map that fills `y`, if it is one.
fn as_map(func: &Func, y: Buffer) -> Option<MapStage> {
    let mut writers =
        func.regions[func.body].insts.iter().filter(|&&i| walk::written_buffers(func, i).contains(&y));
    let &root = writers.next()?;
    if writers.next().is_some() {
        return None;
    }
    let mut nest = Vec::new();
    let mut inst = root;
    loop {
        let InstData::Loop { lo, hi, step: 1, carries, body } = &func.insts[inst] else { return None };
        let axis = func.buffers[y].dims.get(nest.len())?;
        let full = func.as_int(*lo) == Some(0) && is_size(func, *hi, axis);
        if !full || !carries.is_empty() {
            return None;
        }
        nest.push(*body);
        let effects: Vec<Inst> =
            func.regions[*body].insts.iter().copied().filter(|&i| walk::has_effects(func, i)).collect();
        match effects[..] {
            [only] if matches!(func.insts[only], InstData::Loop { .. }) => inst = only,
            _ => break,
        }
    }
    let mut elements = BTreeMap::new();
    for &inst in &func.regions[*nest.last()?].insts {
        match &func.insts[inst] {
            InstData::Accum(buffer, index, value) if *buffer == y => {
                let (leading, tail) = index.split_at(nest.len());
                let own = leading.iter().zip(&nest).all(|(v, region)| func.regions[*region].params[0] == *v);
                let tail: Option<Vec<i64>> = tail.iter().map(|&v| func.as_int(v)).collect();
                if !own || elements.insert(tail?, *value).is_some() {
                    return None;
                }
            }
            InstData::Accum(..) => {}
            _ if walk::has_effects(func, inst) => return None,
            _ => {}
        }
    }
    let readers = readers(func, y, nest.len());
    let is_ragged = is_ragged(func, *nest.last()?);
    Some(MapStage { nest, elements, readers, is_ragged })
}

fn is_ragged(func: &Func, body: Region) -> bool {
    let mut found = false;
    walk::visit_insts(func, body, &mut |_, inst| {
        if let InstData::Loop { lo, hi, .. } = &func.insts[inst] {
            found |= [lo, hi].iter().any(|v| as_size(func, **v).is_none());
        }
    });
    found
}

fn is_size(func: &Func, value: Value, axis: &SizeExpr) -> bool {
    as_size(func, value).as_ref() == Some(axis)
}

/// How many places read an array, different trailing subscripts being one; `None` where one of those is not literal.
fn readers(func: &Func, y: Buffer, rank: usize) -> Option<usize> {
    let mut places = BTreeSet::new();
    let mut literal = true;
    walk::visit_insts(func, func.body, &mut |region, inst| {
        if let InstData::Load(buffer, index) = &func.insts[inst]
            && *buffer == y
        {
            let (leading, tail) = index.split_at(rank);
            places.insert((region, leading.to_vec()));
            literal &= tail.iter().all(|&v| func.as_int(v).is_some());
        }
    });
    literal.then_some(places.len())
}

/// A subscript that is in range anyway, as a value that is seen to be.
fn clamped(b: &mut Builder, subscript: Value, dim: &SizeExpr) -> Value {
    let (zero, size, one) = (b.int(0), b.size(dim), b.int(1));
    let last = b.op(Op::IntSub, &[size, one]);
    let low = b.op(Op::IntMax, &[subscript, zero]);
    b.op(Op::IntMin, &[low, last])
}

/// An element of a map: array and subscripts.
type Element = (Buffer, Vec<Value>);

struct Inline {
    maps: BTreeMap<Buffer, MapStage>,
    /// The maps that are inlined.
    chosen: BTreeSet<Buffer>,
    /// The region that each element was built in last, and its value.
    elements: BTreeMap<Element, (Region, Value)>,
    facts: Facts,
    structural: Structural,
}

impl Inline {
    /// The element of a map at these subscripts, where it was built or at the insertion point.
    fn element(&mut self, rw: &mut Rewriter<'_>, y: Buffer, index: Vec<Value>) -> Value {
        let key = (y, index);
        if let Some(&(region, value)) = self.elements.get(&key)
            && rw.b.is_open(region)
        {
            return value;
        }
        let value = self.build(rw, y, &key.1);
        self.elements.insert(key, (rw.b.region(), value));
        value
    }

    fn build(&mut self, rw: &mut Rewriter<'_>, y: Buffer, index: &[Value]) -> Value {
        let stage = &self.maps[&y];
        let (nest, tail) = (stage.nest.clone(), &index[stage.nest.len()..]);
        let tail: Vec<i64> = tail
            .iter()
            .map(|&v| rw.b.func().as_int(v).expect("maps with other trailing subscripts are not chosen"))
            .collect();
        let value = stage.elements.get(&tail).copied();
        let dims = &rw.src.buffers[y].dims;
        // The loops around are still under construction: facts know their bounds, types do not.
        let proven =
            |v: Value, dim| self.facts.in_range(rw.b.func(), v, dim) || in_range(rw.b.func(), v, dim);
        if !index.iter().zip(dims).all(|(&v, dim)| proven(v, dim)) {
            rw.b.check(y, index);
        }
        let Some(value) = value else { return rw.b.float(rw.src.buffers[y].elem, 0.0) };
        // The body reads its own values through the map of the rewriter. Nobody else does: no element of an array is needed for
        // another one of the same array.
        let is_ragged = stage.is_ragged;
        for ((region, &subscript), dim) in nest.iter().zip(index).zip(dims) {
            let seen = !is_ragged || in_range(rw.b.func(), subscript, dim);
            let image = if seen { subscript } else { clamped(&mut rw.b, subscript, dim) };
            rw.map.set(rw.src.regions[*region].params[0], image);
        }
        for region in nest {
            for n in 0..rw.src.regions[region].insts.len() {
                let inst = rw.src.regions[region].insts[n];
                if !walk::has_effects(rw.src, inst) {
                    self.visit(rw, inst);
                }
            }
        }
        rw.map.get(value)
    }

    /// A nest, which shows how large the elements of the maps are that it fills.
    fn nest(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let before = rw.b.func().insts.len();
        self.copy(rw, inst);
        let size = rw.b.func().insts.len() - before;
        for y in walk::written_buffers(rw.src, inst) {
            let readers = self.maps.get(&y).and_then(|stage| stage.readers);
            if readers.is_some_and(|places| size.saturating_mul(places) <= MAX_INSTS) {
                self.chosen.insert(y);
            }
        }
    }

    /// Copies an instruction; in its regions it is known what its bounds or its condition say.
    fn copy(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let (src, mark) = (rw.src, self.facts.mark());
        match &src.insts[inst] {
            InstData::Loop { lo, hi, body, .. } => {
                let bounds = (rw.map.get(*lo), rw.map.get(*hi));
                rw.open_loop(inst);
                self.facts.inside_loop(rw.b.func(), bounds, rw.map.get(src.regions[*body].params[0]));
                rw.region(*body, self);
                let images = rw.b.end_loop(&rw.map.all(&src.regions[*body].yields));
                set_all(rw, &src.results[inst], &images);
            }
            InstData::If { cond, then, els } if rw.b.func().as_const(rw.map.get(*cond)).is_none() => {
                // What stands under a condition that values take part in may be computed whether it holds or not.
                let holds = self.structural.holds(*cond);
                let cond = rw.map.get(*cond);
                rw.b.begin_if(cond);
                if holds {
                    self.facts.inside_branch(rw.b.func(), cond, true);
                }
                rw.region(*then, self);
                rw.b.begin_else(&rw.map.all(&src.regions[*then].yields));
                self.facts.forget(mark);
                if holds {
                    self.facts.inside_branch(rw.b.func(), cond, false);
                }
                rw.region(*els, self);
                let images = rw.b.end_if(&rw.map.all(&src.regions[*els].yields));
                set_all(rw, &src.results[inst], &images);
            }
            _ => rw.copy(inst, self),
        }
        self.facts.forget(mark);
    }

    /// What an operation on subscripts is known to give here.
    fn known(&self, b: &mut Builder, op: Op, args: &[Value]) -> Option<Value> {
        if let Some(outcome) = self.facts.decide(b.func(), op, args) {
            return Some(b.bool(outcome));
        }
        match op {
            Op::IntMin | Op::IntMax => {
                let first_is_less = self.facts.decide(b.func(), Op::IntLe, args)?;
                Some(args[usize::from(first_is_less != (op == Op::IntMin))])
            }
            Op::IntMod => {
                let modulus = Affine::of(b.func(), args[1])?.as_size()?.clone();
                let inner = unwrapped(b.func(), args[0], args[1])?;
                if self.facts.within(&inner, &modulus) {
                    return inner.build(b);
                }
                wrapped(b, &inner, &modulus)
            }
            _ => None,
        }
    }
}

/// The affine form of a dividend, in which remainders by the same divisor count as what they are taken of.
fn unwrapped(func: &Func, value: Value, divisor: Value) -> Option<Affine> {
    match func.def(value) {
        Some(InstData::Op(Op::IntMod, args)) if args[1] == divisor => unwrapped(func, args[0], divisor),
        Some(InstData::Op(Op::IntAdd, args)) => {
            unwrapped(func, args[0], divisor)?.plus(&unwrapped(func, args[1], divisor)?)
        }
        Some(InstData::Op(Op::IntSub, args)) => {
            unwrapped(func, args[0], divisor)?.minus(&unwrapped(func, args[1], divisor)?)
        }
        _ => Affine::of(func, value),
    }
}

/// The remainder of a form that is a variable and an offset, written in one way for all that are equal: the offset is at least the
/// negative of the modulus, `i - 1` as `i + N - 1`.
fn wrapped(b: &mut Builder, inner: &Affine, modulus: &SizeExpr) -> Option<Value> {
    inner.single()?;
    let &[(size, times)] = &modulus.terms[..] else { return None };
    if times != 1 || modulus.constant != 0 {
        return None;
    }
    let mut base = inner.base.clone();
    base.terms.retain(|term| term.0 != size);
    if base.constant < 0 {
        base = base.checked_add(modulus)?;
    }
    let inner = Affine { base, terms: inner.terms.clone() }.build(b)?;
    let modulus = b.size(modulus);
    Some(b.op(Op::IntMod, &[inner, modulus]))
}

fn set_all(rw: &mut Rewriter<'_>, results: &[Value], images: &[Value]) {
    for (&result, &image) in results.iter().zip(images) {
        rw.map.set(result, image);
    }
}

impl Visitor for Inline {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::Load(buffer, index) if self.chosen.contains(buffer) => {
                let index = rw.map.all(index);
                let value = self.element(rw, *buffer, index.to_vec());
                rw.map.set(rw.src.results[inst][0], value);
            }
            InstData::Op(op, args) => {
                let args = rw.map.all(args);
                let known = self.known(&mut rw.b, *op, &args);
                let image = known.unwrap_or_else(|| rw.b.op(*op, &args));
                rw.map.set(rw.src.results[inst][0], image);
            }
            InstData::Loop { .. } if rw.b.depth() == 1 => self.nest(rw, inst),
            _ => self.copy(rw, inst),
        }
    }
}
