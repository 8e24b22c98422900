//! Where the sums of the corner go: see [`spadina_layout::program`] on common rows. Those in scratch buffers when their phase has ended, all
//! others at the end.

use crate::array::ArrayMut;
use crate::buffer::{BufferSpec, BufferUse};
use crate::error::RuntimeError;
use crate::plan::Plan;
use spadina_layout::program::{CommonPosition, CornerSum};

const MISSING: RuntimeError = RuntimeError::Mismatch("the corner and its places");

/// Where one sum is added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Values of the matrix: an entry and its mirror image, or none where they are dropped or nothing is emitted.
    Values(Vec<usize>),
    /// An element of an output.
    Element { buffer: usize, element: usize },
    /// A scratch buffer, by its number and among those of the plan.
    Scratch { buffer: usize, at: usize },
}

/// The places of the sums of each phase. All emissions of a site lead to the same ones: the first tells.
pub(crate) fn places(plan: &Plan) -> Result<Vec<Vec<Place>>, RuntimeError> {
    let phases = plan.info.phases.iter();
    phases.map(|phase| phase.corner.iter().map(|sum| place(plan, sum)).collect()).collect()
}

fn place(plan: &Plan, sum: &CornerSum) -> Result<Place, RuntimeError> {
    let (number, entry, row, col) = match sum {
        CornerSum::Entry { site, entry, row, col } => (*site, *entry as usize, row, col),
        CornerSum::Element { buffer, element } => {
            let (buffer, element) = (*buffer as usize, *element as usize);
            let len = plan.buffers.get(buffer).ok_or(MISSING)?.elements()?;
            return if element < len { Ok(Place::Element { buffer, element }) } else { Err(MISSING) };
        }
        CornerSum::Scratch { buffer } => {
            let buffer = *buffer as usize;
            let is_scratch = |spec: &&BufferSpec| spec.usage == BufferUse::Scratch;
            plan.buffers.get(buffer).filter(is_scratch).filter(|spec| spec.dims.is_empty()).ok_or(MISSING)?;
            let at = plan.buffers[..buffer].iter().filter(is_scratch).count();
            return Ok(Place::Scratch { buffer, at });
        }
    };
    let infos = plan.info.phases.iter().flat_map(|phase| &phase.sites);
    let shape = &infos.clone().find(|info| info.site == number).ok_or(MISSING)?.shape;
    let slots = &plan.sites.iter().find(|site| site.site == number).ok_or(MISSING)?.slots;
    let mut values = Vec::new();
    if slots.is_empty() {
        return Ok(Place::Values(values));
    }
    let &(a, b) = shape.entries.get(entry).ok_or(MISSING)?;
    for (n, &(c, d, k)) in shape.expanded().iter().enumerate() {
        if k != entry {
            continue;
        }
        let (offset, inside) = shape.place(plan.layout.mode_of(shape), n, (c, d)).ok_or(MISSING)?;
        let offset = slots.get(offset).ok_or(MISSING)?;
        if plan.layout.drops && offset == plan.layout.width.dropped() {
            continue;
        }
        let from = if (c, d) == (a, b) { row } else { col };
        let start = *plan.row_start().get(position(&plan.buffers, from)?).ok_or(MISSING)?;
        let at = start as usize + offset as usize + inside as usize;
        if at >= plan.pattern.nnz() {
            return Err(MISSING);
        }
        values.push(at);
    }
    Ok(Place::Values(values))
}

fn position(buffers: &[BufferSpec], known: &CommonPosition) -> Result<usize, RuntimeError> {
    known.before.iter().try_fold(known.element as usize, |sum, &buffer| {
        let elements = buffers.get(buffer as usize).ok_or(MISSING)?.elements()?;
        sum.checked_add(elements).ok_or(MISSING)
    })
}

impl Place {
    /// Adds a sum to what the caller gets.
    pub(crate) fn add_to_results(&self, sum: f64, values: &mut [f64], outputs: &mut [(usize, ArrayMut<'_>)]) {
        match self {
            Place::Values(places) => places.iter().for_each(|&at| values[at] += sum),
            Place::Element { buffer, element } => {
                for (_, output) in outputs.iter_mut().filter(|(n, _)| n == buffer) {
                    match output {
                        ArrayMut::F64(data) => data[*element] += sum,
                        ArrayMut::F32(data) => data[*element] += sum as f32,
                    }
                }
            }
            Place::Scratch { .. } => {}
        }
    }
}
