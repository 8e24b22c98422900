//! Common rows: unknowns that every iteration names by the same literal subscripts, and the sums that iterations add up there.
//!
//! # Problem
//! `sum e in 0..E { s * norm(x[i] - x[j]) }` with a scalar unknown `s`: every iteration writes the row of `s`. If a row had one owner, that
//! owner would run every iteration, however many threads there are.
//!
//! # Method
//! 1. A buffer of unknowns is common if all its subscripts in the whole program are literals, in positions as in accumulations to what has
//!    its rows, and if it has few elements.
//! 2. What an emission adds where row and column are common, and what accumulates to an element of a common row, becomes a sum like
//!    those of rank-0 outputs ([`spadina_layout::program`]).
//! 3. So do the scratch buffers of rank 0 that phases only add to: where emissions have moved out of their loop, a program sums their
//!    values there. Phases that read them wait.
//! 4. The other entries of a common row belong to the owners of their columns. Those are rows of the same emission: it is symmetric.
//!
//! # Limits
//! Not for Jacobians and blocks whose rows are not their columns, nor for programs that store complete rows: there rows have owners as
//! all others. An array whose elements are also named by subscripts that vary is not common: `x[0]` beside `x[i]`.

use crate::error::Result;
use crate::local::local_scratch;
use crate::program::{Phase, literal_product, phases, position_base, row_buffer, visit};
use spadina_ir::func::{Buffer, EmitData, Func, Inst, InstData, Plane, Role, Value};
use spadina_ir::types::Ty;
use spadina_ir::walk;
use spadina_layout::program::{CommonPosition, CornerSum, ProgramInfo, SiteInfo};
use std::collections::{BTreeMap, BTreeSet};

/// Most elements of all common unknowns together: so many sums, and half their square, an iteration keeps.
const MOST: i64 = 12;

/// The unknowns of a program whose rows are common.
pub fn common_unknowns(func: &Func) -> BTreeSet<Buffer> {
    let mut emits = Vec::new();
    let mut accums = Vec::new();
    let mut positions = Vec::new();
    walk::visit_insts(func, func.body, &mut |_, inst| match &func.insts[inst] {
        InstData::Emit(emit) => emits.push(emit),
        InstData::Accum(buffer, index, _) => accums.push((*buffer, &index[..])),
        InstData::Position(buffer, index) => positions.push((*buffer, &index[..])),
        _ => {}
    });
    let matrix = emits.iter().any(|emit| !emit.cols.is_empty());
    if emits.iter().any(|emit| emit.direct) || (matrix && func.rows != func.columns) {
        return BTreeSet::new();
    }
    let literal = |index: &[Value]| index.iter().all(|&v| func.as_int(v).is_some());
    let mut varying = BTreeSet::new();
    for (buffer, _) in positions.into_iter().filter(|(_, index)| !literal(index)) {
        varying.insert(unknown(func, buffer));
    }
    for (buffer, index) in accums {
        let (rows, _) = row_buffer(func, buffer);
        if !literal(index) || matches!(func.buffers[buffer].plane, Plane::Block(..)) {
            varying.insert(unknown(func, rows));
        }
    }
    for emit in emits.iter().filter(|emit| !emit.symmetric && !emit.cols.is_empty()) {
        varying.extend(emit.rows.iter().filter_map(|&row| owner(func, row)));
    }
    // A call may take several directions of a product, but has one sum of each kind.
    let product = func.buffers.values().any(|data| {
        !matches!(data.role, Role::Output | Role::Scratch)
            && matches!(data.plane, Plane::Adjoint(_) | Plane::Tangent(_))
    });
    let mut total = 0;
    let few = |&buffer: &Buffer| {
        let elements = literal_product(&func.buffers[buffer].dims).filter(|n| (1..=MOST - total).contains(n));
        total += elements.unwrap_or(0);
        elements.is_some()
    };
    let rows = func.rows.iter().copied().filter(|buffer| !varying.contains(buffer));
    rows.filter(|&buffer| !product || func.buffers[buffer].dims.is_empty()).filter(few).collect()
}

/// The scratch buffers that are sums: of rank 0, never cleared, and read only by phases that do not add to them. Not those that the index
/// program computes too: it decides by them which entries exist, and sums in order.
fn summed_scratch(func: &Func, index: &Func, phases: &[Phase]) -> BTreeSet<Buffer> {
    let mut local = local_scratch(func);
    for &inst in &index.regions[index.body].insts {
        local.extend(walk::written_buffers(index, inst));
    }
    let summed = |buffer: &Buffer| {
        let data = &func.buffers[*buffer];
        data.dims.is_empty() && data.elem == Ty::F64 && !local.contains(buffer)
    };
    let mut found: BTreeSet<Buffer> = func.buffers_of(Role::Scratch).filter(summed).collect();
    for phase in phases {
        let (read, cleared) = reads(func, phase);
        let written = walk::written_buffers(func, phase.root);
        let ordered = |b: &Buffer| cleared.contains(b) || (read.contains(b) && written.contains(b));
        found.retain(|b| !ordered(b));
    }
    found
}

/// The buffers that a phase reads, and those that it clears.
fn reads(func: &Func, phase: &Phase) -> (BTreeSet<Buffer>, BTreeSet<Buffer>) {
    let (mut read, mut cleared) = (BTreeSet::new(), BTreeSet::new());
    for &inst in phase.prologue.iter().chain([&phase.root]) {
        visit(func, inst, &mut |data| match data {
            InstData::Load(buffer, _) => {
                read.insert(*buffer);
            }
            InstData::Reset(buffer, _) => {
                cleared.insert(*buffer);
            }
            _ => {}
        });
    }
    (read, cleared)
}

/// Describes sums in scratch buffers: the phases that only write such are not serial, those that read them wait.
pub fn mark_scratch(func: &Func, index: &Func, info: &mut ProgramInfo) -> Result<()> {
    let phases = phases(func)?;
    let (summed, local) = (summed_scratch(func, index, &phases), local_scratch(func));
    for (phase, info) in phases.iter().zip(&mut info.phases) {
        let written = walk::written_buffers(func, phase.root);
        let scratch = |b: &&Buffer| func.buffers[**b].role == Role::Scratch && !local.contains(b);
        info.serial = written.iter().filter(scratch).any(|b| !summed.contains(b));
        info.waits = reads(func, phase).0.iter().any(|b| summed.contains(b));
    }
    Ok(())
}

/// Lists what the phases of a program add to the corner. The rows of common unknowns are marked ([`mark_rows`]).
pub fn mark_corner(
    func: &Func,
    index: &Func,
    common: &BTreeSet<Buffer>,
    info: &mut ProgramInfo,
) -> Result<()> {
    let phases = phases(func)?;
    let summed = summed_scratch(func, index, &phases);
    for (phase, info) in phases.iter().zip(&mut info.phases) {
        let sites = info.sites.iter().map(|site| (site.site, site.clone())).collect();
        let mut corner = Corner { func, common, summed: &summed, sites, sums: Vec::new() };
        corner.inst(phase.root)?;
        info.corner = corner.sums;
    }
    Ok(())
}

/// Marks the row blocks of common unknowns, as `func` names them, in sites of matrix entries and of rows.
pub fn mark_rows(func: &Func, common: &BTreeSet<Buffer>, info: &mut ProgramInfo) {
    let mut emits: BTreeMap<u32, &EmitData> = BTreeMap::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Emit(emit) = &func.insts[inst] {
            emits.insert(emit.site, emit);
        }
    });
    for phase in &mut info.phases {
        for site in phase.sites.iter_mut().chain(&mut phase.row_sites) {
            let Some(emit) = emits.get(&site.site) else { continue };
            let blocks = (0..).zip(&site.shape.row_blocks).filter(|(_, block)| {
                let row = emit.rows.get(block.start as usize);
                row.and_then(|&row| owner(func, row)).is_some_and(|buffer| common.contains(&buffer))
            });
            site.common = blocks.map(|(n, _)| n).collect();
        }
    }
}

/// The unknown that a position counts through.
fn owner(func: &Func, position: Value) -> Option<Buffer> {
    match func.def(position) {
        Some(InstData::Position(buffer, _)) => Some(unknown(func, *buffer)),
        _ => None,
    }
}

/// What an adjoint or a tangent belongs to, unless it has rows of its own.
fn unknown(func: &Func, buffer: Buffer) -> Buffer {
    match func.buffers[buffer].plane {
        Plane::Adjoint(of) | Plane::Tangent(of) if of != buffer && !func.rows.contains(&buffer) => {
            unknown(func, of)
        }
        Plane::Primal | Plane::Adjoint(_) | Plane::Tangent(_) | Plane::Block(..) => buffer,
    }
}

/// The sum that an accumulation would be part of, if its phase has that sum.
pub(crate) fn sum_of(func: &Func, buffer: Buffer, index: &[Value]) -> Option<CornerSum> {
    if func.buffers[buffer].role == Role::Scratch {
        return index.is_empty().then_some(CornerSum::Scratch { buffer: buffer.as_u32() });
    }
    let element = u32::try_from(flat(func, buffer, index)?).ok()?;
    Some(CornerSum::Element { buffer: buffer.as_u32(), element })
}

/// The row-major number of an element named by literals.
fn flat(func: &Func, buffer: Buffer, index: &[Value]) -> Option<i64> {
    let dims = &func.buffers[buffer].dims;
    index.iter().enumerate().try_fold(0_i64, |sum, (axis, &subscript)| {
        let stride = literal_product(&dims[axis + 1..])?;
        func.as_int(subscript)?.checked_mul(stride)?.checked_add(sum)
    })
}

struct Corner<'a> {
    func: &'a Func,
    common: &'a BTreeSet<Buffer>,
    summed: &'a BTreeSet<Buffer>,
    sites: BTreeMap<u32, SiteInfo>,
    sums: Vec<CornerSum>,
}

impl Corner<'_> {
    fn inst(&mut self, inst: Inst) -> Result<()> {
        match &self.func.insts[inst] {
            InstData::Emit(emit) => self.emission(emit)?,
            InstData::Accum(buffer, index, _) => self.accumulation(*buffer, index),
            data => {
                for region in data.regions() {
                    for &inner in &self.func.regions[region].insts {
                        self.inst(inner)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn emission(&mut self, emit: &EmitData) -> Result<()> {
        let Some(site) = self.sites.get(&emit.site).filter(|site| !site.common.is_empty()) else {
            return Ok(());
        };
        for entry in site.corner_entries() {
            let (a, b) = emit.entries[entry as usize];
            let (row, col) = (self.position(emit.rows[a as usize])?, self.position(emit.rows[b as usize])?);
            if let Some((row, col)) = row.zip(col) {
                self.add(CornerSum::Entry { site: emit.site, entry, row, col });
            }
        }
        Ok(())
    }

    fn position(&self, position: Value) -> Result<Option<CommonPosition>> {
        let Some(InstData::Position(buffer, index)) = self.func.def(position) else { return Ok(None) };
        let element = flat(self.func, *buffer, index).and_then(|n| u32::try_from(n).ok());
        let before = position_base(self.func, *buffer)?.iter().map(|b| b.as_u32()).collect();
        Ok(element.map(|element| CommonPosition { before, element }))
    }

    fn accumulation(&mut self, buffer: Buffer, index: &[Value]) {
        if self.summed.contains(&buffer) {
            return self.add(CornerSum::Scratch { buffer: buffer.as_u32() });
        }
        let data = &self.func.buffers[buffer];
        // Those of rank 0 are sums already.
        if data.role != Role::Output
            || data.dims.is_empty()
            || !self.common.contains(&unknown(self.func, buffer))
        {
            return;
        }
        if let Some(sum) = sum_of(self.func, buffer, index) {
            self.add(sum);
        }
    }

    fn add(&mut self, sum: CornerSum) {
        if !self.sums.contains(&sum) {
            self.sums.push(sum);
        }
    }
}
