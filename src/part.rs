//! One prepared program: evaluated by machine code over a plan, or by the interpreter.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::native::NativeEval;
use crate::options::Engine;
use crate::product::Kind;
use crate::program::Program;
use rayon::ThreadPool;
use spadina_ir::func::{Buffer, Func, Plane, Role};
use spadina_ir::interp::{self, ArrayData, Bindings};
use spadina_ir::span::SourceFile;
use spadina_ir::types::{Size, Ty};
use spadina_passes::sparse::stages::{listed, unknowns};
use spadina_runtime::array::{Array, ArrayMut, Element, OwnedArray};
use spadina_runtime::buffer::{BufferSpec, BufferUse};
use spadina_runtime::csr::Pattern;
use spadina_runtime::error::RuntimeError;
use spadina_runtime::evaluate::{Call, evaluate};
use spadina_runtime::options::PrepareOptions;
use spadina_runtime::plan::Plan;
use spadina_runtime::prepare::{Inputs, prepare, rebind};
use spadina_runtime::stages::Elimination;
use spadina_runtime::workspace::Workspace;
use std::sync::Arc;

/// Most buffers of a kind that a call passes without allocating.
const USUAL_BUFFERS: usize = 48;

/// What is asked of the engine.
#[derive(Clone)]
pub(crate) struct How {
    pub(crate) engine: Engine,
    pub(crate) threads: usize,
    pub(crate) pool: Option<Arc<ThreadPool>>,
}

/// Where an output goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Goes {
    /// Into the results, at an offset.
    Results(usize),
    /// Into the gradient, at an offset.
    Gradient(usize),
    /// Into the dense matrix: first row, first column, columns of the block, columns of the matrix.
    Matrix(usize, usize, usize, usize),
    /// Nowhere.
    Nowhere,
}

/// One output of a program.
struct Output {
    goes: Goes,
    /// Number of the buffer.
    buffer: usize,
    /// Number among the rank-0 outputs.
    scalar: Option<usize>,
    len: usize,
    /// Memory of its own, where it does not go straight into a slice of the caller.
    own: Option<OwnedArray>,
}

/// One array of a direction.
struct Seed {
    /// Number of the buffer.
    buffer: usize,
    /// Where it starts in the direction.
    start: usize,
    len: usize,
    /// Its elements in single precision, where the program takes them so.
    single: Option<Vec<f32>>,
}

/// A prepared program.
pub(crate) struct Part {
    program: Arc<Program>,
    how: How,
    /// `(buffer of the program, buffer of the kernel as written)` of all inputs.
    inputs: Vec<(usize, usize)>,
    /// Further inputs, which together are a direction; only products have them.
    seeds: Vec<Seed>,
    /// Sorted by where they go.
    outputs: Vec<Output>,
    /// What the program emits; that is the matrix, unless stages are eliminated from it.
    pattern: Arc<Pattern>,
    stages: Option<Box<Stages>>,
    backend: Backend,
}

enum Backend {
    Jit { eval: Arc<NativeEval>, plan: Box<Plan>, workspace: Box<Workspace>, scalars: Vec<f64> },
    Interp { sizes: Vec<i64> },
}

/// Intermediate arrays that the emitted matrix has rows and columns for.
struct Stages {
    elimination: Elimination,
    /// Values of the emitted matrix.
    emitted: Vec<f64>,
}

/// Slices of the caller.
pub(crate) struct Slices<'a> {
    pub(crate) results: &'a mut [f64],
    pub(crate) gradient: &'a mut [f64],
    pub(crate) matrix: &'a mut [f64],
    /// What a product is with; empty for other programs.
    pub(crate) direction: &'a [f64],
}

/// The array that another is the adjoint or tangent of; else itself.
pub(crate) fn owner(func: &Func, buffer: Buffer) -> Buffer {
    match func.buffers[buffer].plane {
        Plane::Adjoint(of) | Plane::Tangent(of) => of,
        Plane::Primal | Plane::Block(..) => buffer,
    }
}

fn element(ty: Ty) -> Element {
    match ty {
        Ty::F64 => Element::F64,
        Ty::F32 => Element::F32,
        Ty::Int => Element::I64,
        Ty::Bool => Element::Bool,
    }
}

/// The elements of buffers that come one after another, and those before `buffer`.
fn offset(func: &Func, bound: &Bound, list: &[Buffer], buffer: Buffer) -> Result<Option<usize>, Error> {
    let mut before = 0;
    for &other in list {
        if other == buffer || owner(func, other) == owner(func, buffer) {
            return Ok(Some(before));
        }
        before += bound.len_of(&func.buffers[other])?;
    }
    Ok(None)
}

/// The elements of all buffers of a list together.
pub(crate) fn total(func: &Func, bound: &Bound, list: &[Buffer]) -> Result<usize, Error> {
    list.iter().try_fold(0_usize, |sum, &b| {
        let len = bound.len_of(&func.buffers[b])?;
        sum.checked_add(len).ok_or_else(|| Error::data("the unknowns do not fit into memory"))
    })
}

impl Part {
    /// Prepares a program; with `old`, a part of the same program, its pattern is shared if it has not changed.
    pub(crate) fn prepare(
        kernel: &Kernel,
        program: &Arc<Program>,
        bound: &Bound,
        how: &How,
        old: Option<&Part>,
    ) -> Result<Part, Error> {
        Part::new(kernel, program, None, bound, how, old)
    }

    /// Prepares a program of products: JVPs come as results, VJPs and HVPs as gradients.
    pub(crate) fn product(
        kernel: &Kernel,
        program: &Arc<Program>,
        kind: Kind,
        bound: &Bound,
        how: &How,
    ) -> Result<Part, Error> {
        Part::new(kernel, program, Some(kind), bound, how, None)
    }

    fn new(
        kernel: &Kernel,
        program: &Arc<Program>,
        kind: Option<Kind>,
        bound: &Bound,
        how: &How,
        old: Option<&Part>,
    ) -> Result<Part, Error> {
        let (func, source, kernel) = (&program.eval, kernel.source(), kernel.func());
        let inputs = func
            .buffers
            .iter()
            .filter(|(_, data)| crate::kernel::is_input(data.role) && data.plane == Plane::Primal);
        let inputs = inputs.map(|(buffer, data)| {
            let written = kernel.buffer_named(&data.name);
            let written = written.ok_or_else(|| Error::Internal(format!("`{}` is not bound", data.name)))?;
            Ok((number(buffer), number(written)))
        });
        let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
        let rows = total(func, bound, &func.rows)?;
        let cols = total(func, bound, &func.columns)?;
        let stages = listed(func).collect::<Vec<_>>();
        let stages = total(func, bound, &stages)?;
        let outputs = outputs(kernel, func, kind, bound)?;
        let seeds = seeds(kernel, func, bound)?;
        let (backend, pattern) = match how.engine {
            Engine::Jit => jit(program, source, bound, how, &inputs, (rows, cols), old)?,
            Engine::Interp => interpret(program, source, bound, &inputs, &seeds)?,
        };
        let stages = if stages > 0 {
            let elimination = Elimination::prepare(&pattern, stages, how.threads)?;
            Some(Box::new(Stages { elimination, emitted: vec![0.0; pattern.nnz()] }))
        } else {
            None
        };
        let (program, how) = (Arc::clone(program), how.clone());
        Ok(Part { program, how, inputs, seeds, outputs, pattern, stages, backend })
    }

    /// The pattern of its matrix.
    pub(crate) fn pattern(&self) -> &Arc<Pattern> {
        self.stages.as_ref().map_or(&self.pattern, |stages| stages.elimination.pattern())
    }

    /// Bytes of slot records, where there are any.
    pub(crate) fn slot_bytes(&self) -> usize {
        match &self.backend {
            Backend::Jit { plan, .. } => plan.slot_bytes(),
            Backend::Interp { .. } => 0,
        }
    }

    /// Evaluates into the caller's slices.
    pub(crate) fn evaluate(&mut self, bound: &Bound, slices: &mut Slices<'_>) -> Result<(), Error> {
        let Some(mut stages) = self.stages.take() else { return self.emit(bound, slices) };
        let Slices { results, gradient, matrix, direction } = slices;
        let outcome =
            self.emit(bound, &mut Slices { results, gradient, matrix: &mut stages.emitted, direction });
        let pool = self.how.pool.as_deref();
        let outcome =
            outcome.and_then(|()| Ok(stages.elimination.evaluate(&stages.emitted, matrix, pool)?));
        self.stages = Some(stages);
        outcome
    }

    /// Runs the program; its matrix is the emitted one.
    fn emit(&mut self, bound: &Bound, slices: &mut Slices<'_>) -> Result<(), Error> {
        for seed in &mut self.seeds {
            if let Some(single) = &mut seed.single {
                let direction = &slices.direction[seed.start..seed.start + seed.len];
                single.iter_mut().zip(direction).for_each(|(to, &x)| *to = x as f32);
            }
        }
        match &mut self.backend {
            Backend::Jit { eval, plan, workspace, scalars, .. } => {
                let values = if self.pattern.nnz() > 0 { &mut *slices.matrix } else { &mut [][..] };
                {
                    let mut data = [(0, Array::F64(&[])); USUAL_BUFFERS];
                    let mut data_spill = Vec::new();
                    let buffers = plan.buffers();
                    let frozen = |n: usize| buffers[n].usage == BufferUse::Frozen;
                    let wanted = self.inputs.iter().filter(|(n, _)| !frozen(*n));
                    let views = wanted.filter_map(|&(n, at)| Some((n, bound.arrays[at].as_ref()?.view())));
                    let direction = slices.direction;
                    let seeds = self.seeds.iter().map(|seed| {
                        let view = match &seed.single {
                            Some(single) => Array::F32(single),
                            None => Array::F64(&direction[seed.start..seed.start + seed.len]),
                        };
                        (seed.buffer, view)
                    });
                    let count = self.inputs.len() + self.seeds.len();
                    let data = collect(views.chain(seeds), count, &mut data, &mut data_spill);
                    let mut out: [_; USUAL_BUFFERS] = std::array::from_fn(|_| (0, ArrayMut::F64(&mut [])));
                    let mut out_spill = Vec::new();
                    let count = self.outputs.len();
                    let places = destinations(&mut self.outputs, slices.results, slices.gradient);
                    let outputs = collect(places, count, &mut out, &mut out_spill);
                    let pool = self.how.pool.as_deref();
                    evaluate(plan, &**eval, workspace, Call { data, outputs, scalars, values, pool })?;
                }
                for output in &self.outputs {
                    if let Some(value) = output.scalar.and_then(|n| scalars.get(n)) {
                        put(
                            output.goes,
                            slices.results,
                            slices.gradient,
                            slices.matrix,
                            std::iter::once(*value),
                        );
                    } else if let Some(own) = &output.own {
                        put_array(output.goes, slices.results, slices.gradient, slices.matrix, own);
                    }
                }
                Ok(())
            }
            Backend::Interp { sizes } => {
                let mut bindings = bindings(&self.program.eval, sizes, bound, &self.inputs);
                for seed in &self.seeds {
                    let data = match &seed.single {
                        Some(single) => ArrayData::F32(single.clone()),
                        None => ArrayData::F64(slices.direction[seed.start..seed.start + seed.len].to_vec()),
                    };
                    bindings.arrays.insert(Buffer::from_u32(seed.buffer as u32), data);
                }
                let found = interp::run(&self.program.eval, &bindings)?;
                for output in &self.outputs {
                    let buffer = Buffer::from_u32(output.buffer as u32);
                    let array = found.arrays.get(&buffer).map(ArrayData::to_f64).unwrap_or_default();
                    put(output.goes, slices.results, slices.gradient, slices.matrix, array.into_iter());
                }
                if self.pattern.nnz() > 0 {
                    slices.matrix.fill(0.0);
                    for (row, col, value) in found.triplets {
                        let at = u32::try_from(col).ok().and_then(|col| self.pattern.find(row, col));
                        let at = at.ok_or_else(|| Error::Internal("an entry outside the pattern".into()))?;
                        slices.matrix[at] += value;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The items in `room`, or in `spill` where `count` is more than fits.
fn collect<'s, T>(
    items: impl Iterator<Item = T>,
    count: usize,
    room: &'s mut [T],
    spill: &'s mut Vec<T>,
) -> &'s mut [T] {
    if count > room.len() {
        spill.extend(items);
        return spill;
    }
    let mut used = 0;
    for (place, item) in room.iter_mut().zip(items) {
        *place = item;
        used += 1;
    }
    &mut room[..used]
}

/// A slice for every output of rank one and more.
fn destinations<'a>(
    outputs: &'a mut [Output],
    results: &'a mut [f64],
    gradient: &'a mut [f64],
) -> impl Iterator<Item = (usize, ArrayMut<'a>)> {
    let (mut results, mut gradient) = (Rest { slice: results, at: 0 }, Rest { slice: gradient, at: 0 });
    outputs.iter_mut().filter(|o| o.scalar.is_none()).map(move |output| {
        let place = match (&mut output.own, output.goes) {
            (Some(OwnedArray::F32(own)), _) => ArrayMut::F32(own),
            (Some(OwnedArray::F64(own)), _) => ArrayMut::F64(own),
            (None, Goes::Results(start)) => ArrayMut::F64(results.take(start, output.len)),
            (None, Goes::Gradient(start)) => ArrayMut::F64(gradient.take(start, output.len)),
            (Some(OwnedArray::I64(_) | OwnedArray::Bool(_)), _)
            | (None, Goes::Matrix(..) | Goes::Nowhere) => ArrayMut::F64(&mut []),
        };
        (output.buffer, place)
    })
}

/// What is left of a slice that is cut from the front.
struct Rest<'a> {
    slice: &'a mut [f64],
    /// Number of the first element left.
    at: usize,
}

impl<'a> Rest<'a> {
    /// Cuts elements `start..start + len` out.
    fn take(&mut self, start: usize, len: usize) -> &'a mut [f64] {
        let slice = std::mem::take(&mut self.slice);
        let skip = start.saturating_sub(self.at).min(slice.len());
        let (_, slice) = slice.split_at_mut(skip);
        let (taken, slice) = slice.split_at_mut(len.min(slice.len()));
        (self.slice, self.at) = (slice, start + len);
        taken
    }
}

fn put_array(goes: Goes, results: &mut [f64], gradient: &mut [f64], matrix: &mut [f64], array: &OwnedArray) {
    match array {
        OwnedArray::F64(data) => put(goes, results, gradient, matrix, data.iter().copied()),
        OwnedArray::F32(data) => put(goes, results, gradient, matrix, data.iter().map(|&x| f64::from(x))),
        OwnedArray::I64(_) | OwnedArray::Bool(_) => {}
    }
}

fn put(
    goes: Goes,
    results: &mut [f64],
    gradient: &mut [f64],
    matrix: &mut [f64],
    values: impl Iterator<Item = f64>,
) {
    match goes {
        Goes::Results(start) => results[start..].iter_mut().zip(values).for_each(|(to, x)| *to = x),
        Goes::Gradient(start) => gradient[start..].iter_mut().zip(values).for_each(|(to, x)| *to = x),
        Goes::Matrix(row, col, width, stride) => {
            for (k, x) in values.enumerate() {
                matrix[(row + k / width.max(1)) * stride + col + k % width.max(1)] = x;
            }
        }
        Goes::Nowhere => {}
    }
}

/// The inputs that are a direction: tangents of the unknowns, or weights of the results.
fn seeds(kernel: &Func, func: &Func, bound: &Bound) -> Result<Vec<Seed>, Error> {
    let results: Vec<Buffer> = kernel.buffers_of(Role::Output).collect();
    let columns: Vec<Buffer> = unknowns(func).collect();
    let mut list = Vec::new();
    for (buffer, data) in func.buffers.iter().filter(|(_, data)| crate::kernel::is_input(data.role)) {
        let start = match data.plane {
            Plane::Primal | Plane::Block(..) => continue,
            Plane::Tangent(x) => offset(func, bound, &columns, x)?,
            Plane::Adjoint(y) => match kernel.buffer_named(&func.buffers[y].name) {
                Some(result) => offset(kernel, bound, &results, result)?,
                None => None,
            },
        };
        let start =
            start.ok_or_else(|| Error::Internal(format!("`{}` is no part of a direction", data.name)))?;
        let len = bound.len_of(data)?;
        let single = (data.elem == Ty::F32).then(|| vec![0.0; len]);
        list.push(Seed { buffer: number(buffer), start, len, single });
    }
    Ok(list)
}

fn outputs(kernel: &Func, func: &Func, kind: Option<Kind>, bound: &Bound) -> Result<Vec<Output>, Error> {
    let results: Vec<Buffer> = kernel.buffers_of(Role::Output).collect();
    let columns: Vec<Buffer> = unknowns(func).collect();
    let stride = total(func, bound, &columns)?;
    // A dense program computes blocks alone: results and gradient, if declared, stay zero.
    let dense = func.buffers.values().any(|data| matches!(data.plane, Plane::Block(..)));
    let mut list = Vec::new();
    let mut scalars = 0;
    for buffer in func.buffers_of(Role::Output) {
        let data = &func.buffers[buffer];
        let len = bound.len_of(data)?;
        let as_result = |name: &str| match kernel.buffer_named(name) {
            Some(result) => Ok(offset(kernel, bound, &results, result)?.map_or(Goes::Nowhere, Goes::Results)),
            None => Ok::<_, Error>(Goes::Nowhere),
        };
        let as_gradient =
            |x| Ok::<_, Error>(offset(func, bound, &columns, x)?.map_or(Goes::Nowhere, Goes::Gradient));
        let goes = match data.plane {
            Plane::Primal | Plane::Adjoint(_) if dense => Goes::Nowhere,
            Plane::Primal if kind.is_none() => as_result(&data.name)?,
            Plane::Adjoint(x) if matches!(kind, None | Some(Kind::Vjp)) => as_gradient(x)?,
            Plane::Tangent(of) => match (kind, func.buffers[of].plane) {
                (Some(Kind::Jvp), Plane::Primal) => as_result(&func.buffers[of].name)?,
                (Some(Kind::Hvp), Plane::Adjoint(x)) => as_gradient(x)?,
                _ => Goes::Nowhere,
            },
            Plane::Primal | Plane::Adjoint(_) => Goes::Nowhere,
            Plane::Block(y, x) => {
                let row = offset(func, bound, &func.rows, y)?;
                let col = offset(func, bound, &columns, x)?;
                let width = bound.len_of(&func.buffers[x])?;
                let both = row.zip(col).map(|(row, col)| Goes::Matrix(row, col, width, stride));
                both.ok_or_else(|| Error::Internal(format!("`{}` has no place", data.name)))?
            }
        };
        let scalar = data.dims.is_empty().then_some(scalars);
        scalars += usize::from(scalar.is_some());
        let straight = data.elem == Ty::F64 && matches!(goes, Goes::Results(_) | Goes::Gradient(_));
        let own = if scalar.is_some() || straight {
            None
        } else {
            let made = OwnedArray::zeros(element(data.elem), len);
            Some(made.ok_or_else(|| Error::Data(format!("not enough memory for `{}`", data.name)))?)
        };
        list.push(Output { goes, buffer: number(buffer), scalar, len, own });
    }
    list.sort_by_key(|output| output.goes);
    Ok(list)
}

fn jit(
    program: &Program,
    source: &SourceFile,
    bound: &Bound,
    how: &How,
    inputs: &[(usize, usize)],
    (rows, cols): (usize, usize),
    old: Option<&Part>,
) -> Result<(Backend, Arc<Pattern>), Error> {
    let func = &program.eval;
    let owned = how.threads > 1;
    let index = program.native_index(owned)?;
    let specs = func.buffers.values().map(|data| {
        let dims = data.dims.iter().map(|d| bound.eval(d).unwrap_or(-1)).collect();
        let usage = match data.role {
            Role::Var | Role::Data => BufferUse::Data,
            Role::Structural => BufferUse::Frozen,
            Role::Scratch => BufferUse::Scratch,
            Role::Output if data.dims.is_empty() => BufferUse::Absent,
            Role::Output => BufferUse::Output,
        };
        BufferSpec { name: data.name.clone(), element: element(data.elem), dims, usage }
    });
    let buffers: Vec<BufferSpec> = specs.collect();
    let frozen: Vec<(usize, Array<'_>)> = inputs
        .iter()
        .filter(|(n, _)| buffers[*n].usage == BufferUse::Frozen)
        .filter_map(|&(n, at)| Some((n, bound.arrays[at].as_ref()?.view())))
        .collect();
    let square = rows == cols && func.rows == func.columns;
    let inputs = Inputs { sizes: &bound.sizes, buffers, arrays: &frozen, rows, cols, square };
    let options = PrepareOptions::default();
    let old = old.and_then(|part| match &part.backend {
        Backend::Jit { plan, .. } => Some(plan),
        Backend::Interp { .. } => None,
    });
    let plan = match old {
        Some(old) => rebind(old, &*index, inputs, &options),
        None => prepare(&*index, inputs, &options),
    };
    if let Some(record) = index.take_error() {
        let buffer = usize::try_from(record.buffer).ok();
        let buffer = buffer.and_then(|n| func.buffers.values().nth(n)).map(|b| b.name.clone());
        let wrong = RuntimeError::Subscript {
            buffer: buffer.unwrap_or_default(),
            axis: record.axis,
            index: record.index,
            bound: record.bound,
            span: (record.span_start, record.span_end),
        };
        return Err(Error::running(source, wrong));
    }
    let plan = plan.map_err(|error| Error::running(source, error))?;
    let eval = program.native_eval(&index, owned, plan.slot_layout())?;
    let workspace = Workspace::new(&plan, &*index, how.threads)?;
    let pattern = Arc::clone(plan.pattern());
    let scalars = vec![0.0; plan.info().scalar_outputs];
    let (plan, workspace) = (Box::new(plan), Box::new(workspace));
    Ok((Backend::Jit { eval, plan, workspace, scalars }, pattern))
}

fn interpret(
    program: &Program,
    source: &SourceFile,
    bound: &Bound,
    inputs: &[(usize, usize)],
    seeds: &[Seed],
) -> Result<(Backend, Arc<Pattern>), Error> {
    let mut bindings = bindings(&program.index, &bound.sizes, bound, inputs);
    for seed in seeds {
        // No subscript depends on a direction, but the interpreter wants every input.
        let zeros = match &seed.single {
            Some(single) => ArrayData::F32(single.clone()),
            None => ArrayData::F64(vec![0.0; seed.len]),
        };
        bindings.arrays.insert(Buffer::from_u32(seed.buffer as u32), zeros);
    }
    let found = interp::run(&program.index, &bindings).map_err(|e| Error::interpreting(source, e))?;
    let (rows, cols) = found.shape;
    let too_large = || Error::data("the matrix has more than 2^32 - 1 rows, columns or entries");
    let mut places: Vec<(usize, usize)> = found.triplets.iter().map(|&(row, col, _)| (row, col)).collect();
    places.sort_unstable();
    places.dedup();
    let mut row_ptr = vec![0_u32; rows + 1];
    let mut col_idx = Vec::with_capacity(places.len());
    for (row, col) in places {
        row_ptr[row + 1] += 1;
        col_idx.push(u32::try_from(col).map_err(|_| too_large())?);
    }
    for row in 0..rows {
        row_ptr[row + 1] = row_ptr[row].checked_add(row_ptr[row + 1]).ok_or_else(too_large)?;
    }
    let pattern = Pattern::new(rows, cols, row_ptr, col_idx);
    let pattern = pattern.ok_or_else(|| Error::Internal("the interpreter made no valid pattern".into()))?;
    Ok((Backend::Interp { sizes: bound.sizes.clone() }, Arc::new(pattern)))
}

/// What the interpreter takes.
pub(crate) fn bindings(func: &Func, sizes: &[i64], bound: &Bound, inputs: &[(usize, usize)]) -> Bindings {
    let mut bindings = Bindings::default();
    for (n, &value) in sizes.iter().enumerate() {
        bindings.sizes.insert(Size::from_u32(n as u32), value);
    }
    for &(n, at) in inputs {
        let buffer = Buffer::from_u32(n as u32);
        if func.buffers.get(buffer).is_none() {
            continue;
        }
        let data = match &bound.arrays[at] {
            Some(OwnedArray::F64(data)) => ArrayData::F64(data.clone()),
            Some(OwnedArray::F32(data)) => ArrayData::F32(data.clone()),
            Some(OwnedArray::I64(data)) => ArrayData::Int(data.clone()),
            Some(OwnedArray::Bool(data)) => ArrayData::Bool(data.clone()),
            None => continue,
        };
        bindings.arrays.insert(buffer, data);
    }
    bindings
}
