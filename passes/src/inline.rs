//! Intermediate arrays that are maps disappear: each read computes the element it reads.
//!
//! # Problem
//! A derivative through an intermediate array is a product of matrices; where an element is cheap, computing it again at its readers
//! keeps every term local:
//! ```text
//! for i in 0..N { accum y[i] += f(i) };  for e in .. { v = load y[j(e)]; .. }
//!     ==>   for e in .. { v = f(j(e)); .. }
//! ```
//! # Method
//! 1. The *stage graph*: one node an intermediate array, an edge from each array to those computed from it. Arrays on a cycle (read while
//!    they are written) stay.
//! 2. An array is a map when one top-level nest writes it, at its own induction variables over the full axes (and literal trailing
//!    subscripts, each once), with nothing else but pure code around.
//! 3. In topological order, loads of maps are replaced by their bodies at the subscripts of the load, if they stay under [`MAX_INSTS`]
//!    copies of instructions, those of maps inside maps included; `dce` then removes the arrays that nobody reads.
//!
//! # Why it keeps the meaning
//! Each element of a map is written once, from zero, by the iteration of its own subscripts, which reads inputs and finished
//! arrays only: computing it where it is read gives the same bits. A subscript that its types do not prove stays checked
//! against the axes of the array.
//!
//! # Limits
//! Arrays accumulated through tables (scatters), written by several nests or read at a trailing subscript that is not literal stay.

use crate::analysis::range::in_range;
use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use petgraph::graphmap::DiGraphMap;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Region, Role, Value};
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "inline", summary: "compute elements of mapped arrays where they are read", run };

/// Most instructions that inlining one array may copy.
pub const MAX_INSTS: usize = 4000;

/// Inlines maps into their readers.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let maps = maps(func);
    if maps.is_empty() {
        return Ok(func.clone());
    }
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Inline { maps }))
}

/// A map: the loops around its accumulations, and the value of each literal tail.
struct MapStage {
    /// Bodies from the outermost loop in; the induction variable of each is its first parameter.
    nest: Vec<Region>,
    /// Value by trailing literal subscripts.
    elements: BTreeMap<Vec<i64>, Value>,
}

/// The arrays that are inlined.
fn maps(func: &Func) -> BTreeMap<Buffer, MapStage> {
    let order = stage_order(func);
    let mut found = BTreeMap::new();
    let mut sizes = BTreeMap::new();
    for y in order {
        if let Some(stage) = as_map(func, y) {
            let size = expanded(func, &stage, &sizes);
            if copies(func, y, &stage, size) <= MAX_INSTS {
                found.insert(y, stage);
                sizes.insert(y, size);
            }
        }
    }
    found
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
    Some(MapStage { nest, elements })
}

fn is_size(func: &Func, value: Value, axis: &SizeExpr) -> bool {
    crate::analysis::range::as_size(func, value).as_ref() == Some(axis)
}

/// Instructions of a map's body with the bodies of the maps that it reads.
fn expanded(func: &Func, stage: &MapStage, sizes: &BTreeMap<Buffer, usize>) -> usize {
    let mut size = 0_usize;
    walk::visit_insts(func, stage.nest[0], &mut |_, inst| {
        let inside = match &func.insts[inst] {
            InstData::Load(buffer, _) => sizes.get(buffer).copied().unwrap_or(0),
            _ => 0,
        };
        size = size.saturating_add(1 + inside);
    });
    size
}

/// Instructions that inlining a map copies: its body, of this size, once for each reading place.
fn copies(func: &Func, y: Buffer, stage: &MapStage, size: usize) -> usize {
    let mut places = BTreeSet::new();
    let mut literal = true;
    walk::visit_insts(func, func.body, &mut |region, inst| {
        if let InstData::Load(buffer, index) = &func.insts[inst]
            && *buffer == y
        {
            let (leading, tail) = index.split_at(stage.nest.len());
            places.insert((region, leading.to_vec()));
            literal &= tail.iter().all(|&v| func.as_int(v).is_some());
        }
    });
    if literal { size.saturating_mul(places.len()) } else { usize::MAX }
}

struct Inline {
    maps: BTreeMap<Buffer, MapStage>,
}

impl Inline {
    /// The element of a map at these subscripts, built at the insertion point.
    fn element(&mut self, rw: &mut Rewriter<'_>, y: Buffer, index: &[Value]) -> Value {
        let stage = &self.maps[&y];
        let (nest, tail) = (stage.nest.clone(), &index[stage.nest.len()..]);
        let tail: Vec<i64> = tail
            .iter()
            .map(|&v| rw.b.func().as_int(v).expect("`copies` admits literal tails only"))
            .collect();
        let value = stage.elements.get(&tail).copied();
        let dims = &rw.src.buffers[y].dims;
        if !index.iter().zip(dims).all(|(&v, dim)| in_range(rw.b.func(), v, dim)) {
            rw.b.check(y, index);
        }
        let Some(value) = value else { return rw.b.float(rw.src.buffers[y].elem, 0.0) };
        // The body reads its values through the map of the rewriter: keep what the reader has there.
        let outer = rw.map.clone();
        for (region, &subscript) in nest.iter().zip(index) {
            rw.map.set(rw.src.regions[*region].params[0], subscript);
        }
        for region in nest {
            for n in 0..rw.src.regions[region].insts.len() {
                let inst = rw.src.regions[region].insts[n];
                if !walk::has_effects(rw.src, inst) {
                    self.visit(rw, inst);
                }
            }
        }
        let image = rw.map.get(value);
        rw.map = outer;
        image
    }
}

impl Visitor for Inline {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::Load(buffer, index) if self.maps.contains_key(buffer) => {
                let index = rw.map.all(index);
                let value = self.element(rw, *buffer, &index);
                rw.map.set(rw.src.results[inst][0], value);
            }
            _ => rw.copy(inst, self),
        }
    }
}
