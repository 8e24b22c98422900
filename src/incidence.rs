//! Programs that run vertex by vertex: the lists that they run over, made at prepare.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::kernel::is_input;
use crate::options::Engine;
use crate::outputs::total;
use crate::part::{Part, Setup, bindings, frozen, specs, subscript_error};
use crate::program::Program;
use spadina_ir::func::{Buffer, Func};
use spadina_ir::interp::{self, ArrayData};
use spadina_ir::span::SourceFile;
use spadina_ir::types::Ty;
use spadina_passes::sparse::incidence::Lists;
use spadina_passes::sparse::index::index_program;
use spadina_runtime::array::OwnedArray;
use spadina_runtime::incidence::Incidence;
use spadina_runtime::prepare::Inputs;
use spadina_runtime::team::Team;
use std::sync::Arc;

/// The lists that a program by vertex runs over, each with the program that tells the ends of its elements.
#[derive(Debug)]
pub(crate) struct Gathering(Vec<(Lists, Program)>);

impl Gathering {
    pub(crate) fn new(lists: Vec<Lists>) -> Result<Gathering, Error> {
        let with_ends = |lists: Lists| {
            let index = index_program(&lists.ends)
                .map_err(|refused| Error::Internal(format!("ends depend on values: {}", refused.message)))?;
            let ends = Program::new(lists.ends.clone(), index)?;
            Ok((lists, ends))
        };
        Ok(Gathering(lists.into_iter().map(with_ends).collect::<Result<_, Error>>()?))
    }

    /// The sites whose phases are likely to emit each of their entries once, before others add to them.
    pub(crate) fn sites(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|(lists, _)| lists.site)
    }

    /// Whether a buffer of the program is part of a list.
    pub(crate) fn holds(&self, buffer: Buffer) -> bool {
        self.0.iter().any(|(lists, _)| buffers(lists).contains(&buffer))
    }

    /// Machine code for what prepare runs first.
    pub(crate) fn compile(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(|(_, ends)| ends.native_index(false).map(|_| ()))
    }

    /// Makes the lists of a program, unless those of an older part were made of the very same arrays.
    pub(crate) fn listed(
        &self,
        func: &Func,
        source: &SourceFile,
        setup: &Setup<'_>,
        inputs: &[(usize, usize)],
    ) -> Result<Arc<Listed>, Error> {
        let bound = setup.bound;
        let sources = frozen(func, bound, inputs);
        let old = setup.old.and_then(Part::listed);
        if let Some(old) = old.filter(|old| old.is_of(bound, &sources)) {
            return Ok(Arc::clone(old));
        }
        let mut sizes = bound.sizes.clone();
        sizes.resize(func.sizes.len(), 0);
        let mut arrays = Vec::new();
        let mut counts = (0, 0);
        for (lists, ends) in &self.0 {
            let found = match setup.how.engine {
                Engine::Jit => compiled(ends, source, setup, &sources)?,
                Engine::Interp => interpreted(ends, source, bound, inputs)?,
            };
            for (size, len) in [(lists.vertices, found.vertex.len()), (lists.total, found.other.len())] {
                sizes[size.as_u32() as usize] = len as i64;
            }
            counts.0 += found.vertex.len();
            counts.1 += found.other.len();
            arrays.extend(buffers(lists).map(number).into_iter().zip(found.into_arrays().map(Arc::new)));
        }
        let sources = sources.into_iter().map(|(_, array)| array).collect();
        Ok(Arc::new(Listed { bound_sizes: bound.sizes.clone(), sources, counts, sizes, arrays }))
    }
}

/// What lists are made of, in the order of [`Incidence::into_arrays`].
fn buffers(lists: &Lists) -> [Buffer; 4] {
    [lists.vertex, lists.start, lists.other, lists.element]
}

/// The ends of all elements, by vertex, with machine code.
fn compiled(
    ends: &Program,
    source: &SourceFile,
    setup: &Setup<'_>,
    arrays: &[(usize, Arc<OwnedArray>)],
) -> Result<Incidence, Error> {
    let (index, func, bound) = (ends.native_index(false)?, &ends.eval, setup.bound);
    let (sizes, buffers, rows) =
        (&bound.sizes[..], specs(func, &bound.sizes), total(func, bound, &func.rows)?);
    let inputs = Inputs { sizes, buffers, arrays, rows, cols: rows, square: true };
    let team = Team::new(setup.how.threads, setup.how.pool.as_ref());
    let found = Incidence::of(&*index, inputs, team);
    subscript_error(func, source, &index)?;
    found.map_err(|error| Error::running(source, error))
}

/// The same by the interpreter.
fn interpreted(
    ends: &Program,
    source: &SourceFile,
    bound: &Bound,
    inputs: &[(usize, usize)],
) -> Result<Incidence, Error> {
    let mut bindings = bindings(&ends.index, bound, inputs, None);
    // Nothing is read of the column, nor of weights, but the interpreter wants every input.
    for (buffer, data) in ends.index.buffers.iter().filter(|(_, data)| is_input(data.role)) {
        if data.elem.is_float() && !bindings.arrays.contains_key(&buffer) {
            let zeros = vec![0.0; bound.len_of(data)?];
            let single = data.elem == Ty::F32;
            let zeros = if single { ArrayData::F32(vec![0.0; zeros.len()]) } else { ArrayData::F64(zeros) };
            bindings.arrays.insert(buffer, zeros);
        }
    }
    let found = interp::run(&ends.index, &bindings).map_err(|error| Error::interpreting(source, error))?;
    // Of each pair and its mirror image the first.
    let pairs = found.triplets.iter().step_by(2);
    Ok(Incidence::new(found.shape.0, pairs.map(|&(row, col, _)| (row as u32, col as u32))))
}

/// Lists, and what they were made of.
#[derive(Debug)]
pub(crate) struct Listed {
    bound_sizes: Vec<i64>,
    sources: Vec<Arc<OwnedArray>>,
    /// How many vertices and ends the lists have together.
    pub(crate) counts: (usize, usize),
    /// All sizes of the program by vertex.
    pub(crate) sizes: Vec<i64>,
    /// Its further structural arrays.
    pub(crate) arrays: Vec<(usize, Arc<OwnedArray>)>,
}

impl Listed {
    fn is_of(&self, bound: &Bound, frozen: &[(usize, Arc<OwnedArray>)]) -> bool {
        self.bound_sizes == bound.sizes
            && self.sources.len() == frozen.len()
            && self.sources.iter().zip(frozen).all(|(own, (_, other))| Arc::ptr_eq(own, other))
    }
}
