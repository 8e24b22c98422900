//! Cutting a function into phases, and what the runtime must know of it.
//!
//! # Method
//! 1. Every top-level instruction that has effects is the *root* of a phase. A loop without `State` carries becomes a phase
//!    of many iterations; anything else runs once.
//! 2. What a phase needs of the pure top-level instructions before it (a backward slice) is computed again in each of its
//!    functions: the *prologue*. An instruction of the prologue that has effects is copied without them: effects never
//!    change values, except through scratch buffers. Results that depend on those are kept in arrays by a pass before
//!    (`loops/materialize`), and refused here.
//! 3. Emission sites are read off the roots: the blocks of their rows and columns, and how often they run in one iteration.

use crate::error::{CodegenError, Result};
use crate::filled::filled;
use crate::local::local_scratch;
use crate::stored::stored;
use cranelift_codegen::entity::SecondaryMap;
use spadina_ir::func::{Buffer, Carry, EmitData, Func, Inst, InstData, Plane, Region, Role, Value, ValueDef};
use spadina_ir::types::SizeExpr;
use spadina_ir::walk;
use spadina_layout::abi::EnvLayout;
use spadina_layout::program::{PhaseInfo, ProgramInfo, SiteInfo};
use spadina_layout::site::{Block, SiteShape};
use std::collections::BTreeSet;

/// One phase of a function, before lowering.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// The top-level instruction with effects.
    pub(crate) root: Inst,
    /// The loop whose iterations are those of the phase; `None` where the root runs once.
    pub(crate) split: Option<Split>,
    /// Top-level instructions computed again at the start of each function of the phase, in order.
    pub(crate) prologue: Vec<Inst>,
    /// The part of the prologue that only the number of iterations needs.
    pub(crate) bounds: Vec<Inst>,
}

/// The loop of a phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub(crate) lo: Value,
    pub(crate) hi: Value,
    pub(crate) step: i64,
    pub(crate) body: Region,
}

/// The phases of a function, in order.
pub(crate) fn phases(func: &Func) -> Result<Vec<Phase>> {
    let body = Body::of(func);
    let insts = &func.regions[func.body].insts;
    let roots = insts.iter().filter(|&&inst| walk::has_effects(func, inst));
    roots
        .map(|&root| {
            let split = split(&func.insts[root]);
            let operands = func.insts[root].operands();
            let bounds = match split {
                Some(split) => body.slice(root, vec![split.lo, split.hi])?,
                None => Vec::new(),
            };
            let needed = operands.into_iter().chain(walk::captures(func, root)).collect();
            Ok(Phase { root, split, prologue: body.slice(root, needed)?, bounds })
        })
        .collect()
}

fn split(data: &InstData) -> Option<Split> {
    match data {
        InstData::Loop { lo, hi, step, carries, body } => {
            let recurrent = carries.iter().any(|carry| matches!(carry, Carry::State(_)));
            (!recurrent).then_some(Split { lo: *lo, hi: *hi, step: *step, body: *body })
        }
        _ => None,
    }
}

/// The body of a function, in which phases look for what they need.
struct Body<'a> {
    func: &'a Func,
    /// Of each instruction at its top.
    position: SecondaryMap<Inst, u32>,
    /// Arrays that are cleared, and by which instruction.
    resets: Vec<(u32, Buffer)>,
}

impl Body<'_> {
    fn of(func: &Func) -> Body<'_> {
        let mut body = Body { func, position: SecondaryMap::new(), resets: Vec::new() };
        for (position, &inst) in (0..).zip(&func.regions[func.body].insts) {
            body.position[inst] = position;
            visit(func, inst, &mut |data| {
                if let InstData::Reset(buffer, _) = data {
                    body.resets.push((position, *buffer));
                }
            });
        }
        body
    }

    /// Top-level instructions before `root` that `needed` depends on, in program order.
    fn slice(&self, root: Inst, mut needed: Vec<Value>) -> Result<Vec<Inst>> {
        let func = self.func;
        let mut wanted = BTreeSet::new();
        while let Some(value) = needed.pop() {
            let ValueDef::Result(inst, _) = func.values[value].def else { continue };
            if wanted.insert((self.position[inst], inst)) {
                needed.extend(func.insts[inst].operands());
                needed.extend(walk::captures(func, inst));
            }
        }
        let end = self.position[root];
        for &(position, inst) in &wanted {
            // What has no regions writes nothing.
            let nested = !func.insts[inst].regions().is_empty();
            if !nested && self.resets.is_empty() {
                continue;
            }
            let written = walk::written_buffers(func, inst);
            let loads = needed_loads(func, inst);
            if loads.iter().any(|b| written.contains(b)) {
                return Err(CodegenError::Unsupported(
                    "the result of a loop depends on an intermediate array of its own and is used by another phase".into(),
                ));
            }
            let between = |at: u32| position <= at && at < end;
            if self.resets.iter().any(|&(at, buffer)| between(at) && loads.contains(&buffer)) {
                return Err(CodegenError::Unsupported(
                    "a value read from an intermediate array is used after the array was cleared".into(),
                ));
            }
        }
        Ok(wanted.into_iter().map(|(_, inst)| inst).collect())
    }
}

/// Calls `f` on an instruction and on those of its regions.
pub(crate) fn visit(func: &Func, inst: Inst, f: &mut impl FnMut(&InstData)) {
    f(&func.insts[inst]);
    for region in func.insts[inst].regions() {
        walk::visit_insts(func, region, &mut |_, i| f(&func.insts[i]));
    }
}

/// The buffers that the results of an instruction are computed from.
fn needed_loads(func: &Func, inst: Inst) -> BTreeSet<Buffer> {
    let mut open = func.insts[inst].operands();
    for region in func.insts[inst].regions() {
        open.extend(func.regions[region].yields.iter().copied());
    }
    if let InstData::Load(buffer, _) = &func.insts[inst] {
        return BTreeSet::from([*buffer]);
    }
    let (mut seen, mut loaded) = (BTreeSet::new(), BTreeSet::new());
    while let Some(value) = open.pop() {
        let ValueDef::Result(from, _) = func.values[value].def else { continue };
        if !seen.insert(from) {
            continue;
        }
        if let InstData::Load(buffer, _) = &func.insts[from] {
            loaded.insert(*buffer);
        }
        open.extend(func.insts[from].operands());
        for region in func.insts[from].regions() {
            open.extend(func.regions[region].yields.iter().copied());
        }
    }
    loaded
}

/// Where the words of the environment of this function are.
pub fn env_layout(func: &Func, info: &ProgramInfo) -> EnvLayout {
    EnvLayout { sizes: func.sizes.len(), buffers: func.buffers.len(), sites: info.sites }
}

/// What the runtime must know of a function: phases, sites, sums. For a derivative program and for an index program
/// alike; the former lists no row sites.
pub fn program_info(func: &Func) -> Result<ProgramInfo> {
    let outputs = scalar_outputs(func);
    let local = local_scratch(func);
    let mut sites = 0;
    let mut infos = Vec::new();
    for phase in phases(func)? {
        let mut info = PhaseInfo::default();
        let mut found = Vec::new();
        match phase.split {
            Some(split) => collect_sites(func, split.body, Some(1), &mut found),
            None => site_of(func, phase.root, Some(1), &mut found),
        }
        for (emit, per_iteration) in found {
            sites = sites.max(emit.site as usize + 1);
            let shape = shape(func, emit)?;
            let (site, direct) = (emit.site, emit.direct);
            let site = SiteInfo { site, shape, per_iteration, direct, common: Vec::new() };
            if emit.cols.is_empty() { &mut info.row_sites } else { &mut info.sites }.push(site);
        }
        info.sites.sort_by_key(|s| s.site);
        info.row_sites.sort_by_key(|s| s.site);
        let written = walk::written_buffers(func, phase.root);
        info.serial = written.iter().any(|b| func.buffers[*b].role == Role::Scratch && !local.contains(b));
        info.sums = (0..).zip(&outputs).filter(|(_, b)| written.contains(b)).map(|(n, _)| n).collect();
        infos.push(info);
    }
    let stored = stored(func)?.outputs;
    let filled = filled(func).keys().map(|b| b.as_u32()).collect();
    let scalar_outputs = outputs.len();
    Ok(ProgramInfo { phases: infos, scalar_outputs, sites, stored, filled, may_store: false })
}

/// The description `info` of the sites with what evaluation alone knows: sums and scratch arrays.
pub(crate) fn merge_info(func: &Func, info: &ProgramInfo) -> Result<ProgramInfo> {
    let own = program_info(func)?;
    if own.phases.len() != info.phases.len() {
        return Err(CodegenError::Malformed(format!(
            "the program has {} phases, its index program {}",
            own.phases.len(),
            info.phases.len()
        )));
    }
    let mut merged = info.clone();
    merged.scalar_outputs = own.scalar_outputs;
    merged.stored = own.stored;
    merged.filled = own.filled;
    merged.sites = info.sites.max(own.sites);
    for (phase, own) in merged.phases.iter_mut().zip(own.phases) {
        phase.sums = own.sums;
        phase.serial |= own.serial;
    }
    Ok(merged)
}

/// The rank-0 outputs, in declaration order.
pub fn scalar_outputs(func: &Func) -> Vec<Buffer> {
    func.buffers_of(Role::Output).filter(|&b| func.buffers[b].dims.is_empty()).collect()
}

fn collect_sites<'f>(
    func: &'f Func,
    region: Region,
    times: Option<u32>,
    found: &mut Vec<(&'f EmitData, Option<u32>)>,
) {
    for &inst in &func.regions[region].insts {
        site_of(func, inst, times, found);
    }
}

fn site_of<'f>(func: &'f Func, inst: Inst, times: Option<u32>, found: &mut Vec<(&'f EmitData, Option<u32>)>) {
    match &func.insts[inst] {
        InstData::Emit(emit) => found.push((emit, times)),
        InstData::Loop { lo, hi, step, body, .. } => {
            let trips = match (func.as_int(*lo), func.as_int(*hi)) {
                (Some(lo), Some(hi)) => u32::try_from(trip_count(lo, hi, *step)).ok(),
                _ => None,
            };
            let times = times.zip(trips).and_then(|(a, b)| a.checked_mul(b));
            collect_sites(func, *body, times, found);
        }
        InstData::If { then, els, .. } => {
            collect_sites(func, *then, None, found);
            collect_sites(func, *els, None, found);
        }
        _ => {}
    }
}

/// Iterations of a loop with literal bounds.
pub(crate) fn trip_count(lo: i64, hi: i64, step: i64) -> i64 {
    if hi <= lo { 0 } else { hi.saturating_sub(lo).saturating_sub(1) / step.max(1) + 1 }
}

fn shape(func: &Func, emit: &EmitData) -> Result<SiteShape> {
    let row_blocks = blocks(func, &emit.rows)?;
    let col_blocks = if emit.symmetric { row_blocks.clone() } else { blocks(func, &emit.cols)? };
    Ok(SiteShape { row_blocks, col_blocks, entries: emit.entries.clone(), symmetric: emit.symmetric })
}

/// Runs of positions that differ only in consecutive literal last subscripts.
fn blocks(func: &Func, positions: &[Value]) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut previous: Option<(Buffer, &[Value], i64)> = None;
    for (start, &value) in (0..).zip(positions) {
        let Some(InstData::Position(buffer, index)) = func.def(value) else {
            return Err(CodegenError::malformed("a row or column of an emission is not a position"));
        };
        let current = match index.split_last() {
            Some((&last, leading)) => func.as_int(last).map(|n| (*buffer, leading, n)),
            None => None,
        };
        let follows = match (previous, current) {
            (Some((b, lead, n)), Some((c, index, m))) => {
                b == c && lead == index && n.checked_add(1) == Some(m)
            }
            _ => false,
        };
        match blocks.last_mut() {
            Some(block) if follows => block.width += 1,
            _ => blocks.push(Block { start, width: 1 }),
        }
        previous = current;
    }
    Ok(blocks)
}

/// Which buffers come before `buffer` in the concatenation that its positions count through. An output is looked up in
/// the rows, an unknown in the columns; an adjoint or a tangent that is in neither has the positions of what it belongs to.
/// With no rows at all, the outputs of rank 1 and more count through in declaration order.
pub(crate) fn position_base(func: &Func, buffer: Buffer) -> Result<Vec<Buffer>> {
    let output = func.buffers[buffer].role == Role::Output;
    let lists = if output { [&func.rows, &func.columns] } else { [&func.columns, &func.rows] };
    for list in lists {
        if let Some(at) = list.iter().position(|&b| b == buffer) {
            return Ok(list[..at].to_vec());
        }
    }
    match func.buffers[buffer].plane {
        Plane::Adjoint(of) | Plane::Tangent(of) if of != buffer => position_base(func, of),
        Plane::Primal | Plane::Adjoint(_) | Plane::Tangent(_) | Plane::Block(..) => {
            if output && func.rows.is_empty() {
                let ranked = func.buffers_of(Role::Output).filter(|&b| !func.buffers[b].dims.is_empty());
                return Ok(ranked.take_while(|&b| b != buffer).collect());
            }
            let name = &func.buffers[buffer].name;
            Err(CodegenError::malformed(format!("`{name}` is neither among the rows nor among the columns")))
        }
    }
}

/// The buffer whose positions are the rows of an output, and how many leading subscripts count: a dense block of the matrix
/// has the rows of what it is the derivative of.
pub(crate) fn row_buffer(func: &Func, buffer: Buffer) -> (Buffer, usize) {
    match func.buffers[buffer].plane {
        Plane::Block(of, _) => (of, func.buffers[of].dims.len()),
        Plane::Primal | Plane::Adjoint(_) | Plane::Tangent(_) => (buffer, func.buffers[buffer].dims.len()),
    }
}

/// The product of literal dimensions, or `None`.
pub(crate) fn literal_product(dims: &[SizeExpr]) -> Option<i64> {
    dims.iter().try_fold(1i64, |product, dim| product.checked_mul(dim.as_constant()?))
}
