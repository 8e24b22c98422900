//! Accumulations that are stores: elements of outputs that one iteration computes whole, beside the complete rows of a direct emission.
//!
//! # Method
//! In a region with direct emissions an accumulation into an output whose subscripts are those of an emitted row is the only one into that
//! element, if every accumulation of the region into this output is of this kind, each for a row of its own. Prepare checks that no other
//! iteration and no other phase names the row. So nothing has to be zeroed before and read again.

use crate::error::Result;
use crate::program::position_base;
use spadina_ir::func::{Buffer, Func, Inst, InstData, Plane, Region, Role, Value};
use spadina_ir::walk;
use spadina_layout::program::StoredOutput;
use std::collections::{BTreeMap, BTreeSet};

/// The stores of a function.
#[derive(Default)]
pub(crate) struct Stored {
    /// The accumulations.
    pub(crate) insts: BTreeSet<Inst>,
    /// What the runtime must know of them.
    pub(crate) outputs: Vec<StoredOutput>,
}

/// Finds the stores of a function.
pub(crate) fn stored(func: &Func) -> Result<Stored> {
    let mut regions = BTreeSet::new();
    walk::visit_insts(func, func.body, &mut |region, inst| {
        if matches!(&func.insts[inst], InstData::Emit(emit) if emit.direct) {
            regions.insert(region);
        }
    });
    let mut found = Stored::default();
    for region in regions {
        in_region(func, region, &mut found)?;
    }
    Ok(found)
}

/// The accumulations at the top of a region, by output and row; `None` for an output with one that is no store.
type Candidates = BTreeMap<Buffer, Option<BTreeMap<(u32, u32), Inst>>>;

fn in_region(func: &Func, region: Region, found: &mut Stored) -> Result<()> {
    let mut rows: BTreeMap<(Buffer, &[Value]), (u32, u32)> = BTreeMap::new();
    for &inst in &func.regions[region].insts {
        let InstData::Emit(emit) = &func.insts[inst] else { continue };
        for (n, &row) in (0..).zip(&emit.rows) {
            if let Some(InstData::Position(buffer, index)) = func.def(row)
                && emit.direct
            {
                rows.insert((*buffer, &index[..]), (emit.site, n));
            }
        }
    }
    let mut candidates = Candidates::new();
    for &inst in &func.regions[region].insts {
        if let InstData::Accum(buffer, index, _) = &func.insts[inst] {
            let known = candidates.entry(*buffer).or_insert_with(|| Some(BTreeMap::new()));
            let row = owner(func, *buffer).and_then(|owner| rows.get(&(owner, &index[..])));
            *known = match (known.take(), row) {
                (Some(mut known), Some(&row)) => known.insert(row, inst).is_none().then_some(known),
                _ => None,
            };
            continue;
        }
        for nested in func.insts[inst].regions() {
            walk::visit_insts(func, nested, &mut |_, inst| {
                if let InstData::Accum(buffer, ..) = &func.insts[inst] {
                    candidates.insert(*buffer, None);
                }
            });
        }
    }
    for (buffer, known) in candidates {
        let Some(known) = known else { continue };
        found.insts.extend(known.values());
        let before: Vec<u32> = position_base(func, buffer)?.iter().map(|b| b.as_u32()).collect();
        let mut by_site: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (site, row) in known.into_keys() {
            by_site.entry(site).or_default().push(row);
        }
        found.outputs.extend(by_site.into_iter().map(|(site, rows)| StoredOutput {
            buffer: buffer.as_u32(),
            site,
            rows,
            before: before.clone(),
        }));
    }
    Ok(())
}

/// What an output with one element a row has the rows of.
fn owner(func: &Func, buffer: Buffer) -> Option<Buffer> {
    let data = &func.buffers[buffer];
    let owner = match data.plane {
        Plane::Adjoint(of) | Plane::Tangent(of) => of,
        Plane::Primal => buffer,
        Plane::Block(..) => return None,
    };
    let same = !data.dims.is_empty() && data.dims == func.buffers[owner].dims;
    (data.role == Role::Output && same).then_some(owner)
}
