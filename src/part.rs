//! One prepared program: evaluated by machine code over a plan, or by the interpreter.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::kernel::{Kernel, is_input};
use crate::native::NativeEval;
use crate::options::Engine;
use crate::outputs::{Output, Seed, Slices, Take, destinations, element, outputs, seeds, total};
use crate::product::Kind;
use crate::program::Program;
use spadina_codegen::batch::{Batched, batched};
use spadina_codegen::options::Batch;
use spadina_ir::func::{Buffer, Func, Plane, Role};
use spadina_ir::interp::{self, ArrayData, Bindings};
use spadina_ir::span::SourceFile;
use spadina_ir::types::Size;
use spadina_passes::analysis::effort::{self, Setting};
use spadina_passes::sparse::stages::listed;
use spadina_runtime::array::{Array, ArrayMut, OwnedArray};
use spadina_runtime::buffer::{BufferSpec, BufferUse};
use spadina_runtime::csr::Pattern;
use spadina_runtime::error::RuntimeError;
use spadina_runtime::evaluate::{Call, evaluate};
use spadina_runtime::options::PrepareOptions;
use spadina_runtime::plan::Plan;
use spadina_runtime::prepare::{Inputs, prepare, rebind};
use spadina_runtime::stages::Elimination;
use spadina_runtime::team::{Pool, Team};
use spadina_runtime::workspace::Workspace;
use std::sync::Arc;

/// Most buffers of a kind that a call passes without allocating.
const USUAL_BUFFERS: usize = 48;

/// What is asked of the engine.
#[derive(Clone)]
pub(crate) struct How {
    pub(crate) engine: Engine,
    pub(crate) threads: usize,
    pub(crate) pool: Option<Pool>,
}

/// What a program is prepared for.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) bound: &'a Bound,
    pub(crate) how: &'a How,
    pub(crate) take: Take,
    /// Which entries are kept, and under which numbers (compiled code only).
    pub(crate) options: Option<&'a PrepareOptions>,
    /// A part of the same program: its pattern is shared if it has not changed.
    pub(crate) old: Option<&'a Part>,
    /// How many directions a program of products takes in a call, the same elements of all side by side; else 1.
    pub(crate) lanes: usize,
}

/// A prepared program.
pub(crate) struct Part {
    program: Arc<Program>,
    how: How,
    /// `(buffer of the program, buffer of the kernel as written)` of all inputs.
    inputs: Vec<(usize, usize)>,
    /// Further inputs, which together are a direction or weights.
    seeds: Vec<Seed>,
    /// Sorted by where they go.
    outputs: Vec<Output>,
    /// What the program emits; that is the matrix, unless stages are eliminated from it.
    pattern: Arc<Pattern>,
    stages: Option<Box<Stages>>,
    backend: Backend,
}

enum Backend {
    Jit { eval: Arc<NativeEval>, plan: Arc<Plan>, workspace: Box<Workspace>, scalars: Vec<f64> },
    Interp { sizes: Vec<i64> },
}

/// Intermediate arrays that the emitted matrix has rows and columns for.
#[derive(Clone)]
struct Stages {
    elimination: Elimination,
    /// Values of the emitted matrix.
    emitted: Vec<f64>,
}

impl Part {
    /// Prepares a program.
    pub(crate) fn prepare(kernel: &Kernel, program: &Arc<Program>, setup: &Setup<'_>) -> Result<Part, Error> {
        let &Setup { bound, how, take, .. } = setup;
        let (func, source, kernel) = (&program.eval, kernel.source(), kernel.func());
        let inputs =
            func.buffers.iter().filter(|(_, data)| is_input(data.role) && data.plane == Plane::Primal);
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
        let mut outputs = outputs(kernel, func, take, bound)?;
        let mut seeds = seeds(kernel, func, bound)?;
        if let Some(batch) = batch_of(func, setup) {
            let listed = |n: usize| batch.buffers.iter().any(|&b| number(b) == n);
            outputs.iter_mut().filter(|o| listed(o.buffer)).for_each(|o| o.widen(batch.lanes));
            seeds.iter_mut().filter(|s| listed(s.buffer)).for_each(|s| s.widen(batch.lanes));
        }
        let (backend, pattern) = match how.engine {
            Engine::Jit => jit(program, source, setup, &inputs, (rows, cols))?,
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

    /// What holds a number for each direction, where a program of products can take this many in a call.
    pub(crate) fn directions(program: &Program, take: Take, lanes: usize) -> Option<Batched> {
        batched(&program.eval, &batch(&program.eval, take, lanes)?)
    }

    /// Whether a program of products takes this many directions in a call.
    pub(crate) fn takes(program: &Program, take: Take, how: &How, lanes: usize) -> bool {
        how.engine == Engine::Jit && Part::directions(program, take, lanes).is_some()
    }

    /// Elements of the product that an evaluation overwrites.
    pub(crate) fn product_len(&self) -> usize {
        self.outputs.iter().map(Output::of_product).sum()
    }

    /// The counted work of an evaluation, without the elimination of stages.
    pub(crate) fn work(&self, bound: &Bound) -> u64 {
        effort::of(&self.program.eval, &Setting { sizes: &bound.sizes, directions: None })
    }

    /// The multiplications that eliminate stages.
    pub(crate) fn eliminated(&self) -> u64 {
        self.stages.as_ref().map_or(0, |stages| stages.elimination.products())
    }

    /// The same prepared program with memory of its own, for another thread.
    pub(crate) fn fork(&self) -> Result<Part, Error> {
        let backend = match &self.backend {
            Backend::Jit { eval, plan, scalars, .. } => {
                let index = self.program.native_index(self.how.threads > 1)?;
                let workspace = Box::new(Workspace::new(plan, &*index, self.how.threads)?);
                let (eval, plan) = (Arc::clone(eval), Arc::clone(plan));
                Backend::Jit { eval, plan, workspace, scalars: scalars.clone() }
            }
            Backend::Interp { sizes } => Backend::Interp { sizes: sizes.clone() },
        };
        Ok(Part {
            program: Arc::clone(&self.program),
            how: self.how.clone(),
            inputs: self.inputs.clone(),
            seeds: self.seeds.clone(),
            outputs: self.outputs.clone(),
            pattern: Arc::clone(&self.pattern),
            stages: self.stages.clone(),
            backend,
        })
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

    /// Iterations of all phases, and bytes of machine code; nothing where it is interpreted.
    pub(crate) fn effort(&self) -> (u64, usize) {
        match &self.backend {
            Backend::Jit { plan, eval, .. } => {
                let phases = plan.trips().iter().zip(&plan.info().phases);
                // An iteration that stores complete rows stores many.
                let others = phases.filter(|(_, phase)| !phase.stores_rows());
                let trips = others.map(|(&trip, _)| trip as u64).sum::<u64>();
                (trips + plan.complete_rows() as u64, eval.code_bytes())
            }
            Backend::Interp { .. } => (0, 0),
        }
    }

    /// Evaluates into the caller's slices.
    pub(crate) fn evaluate(&mut self, bound: &Bound, slices: &mut Slices<'_>) -> Result<(), Error> {
        let Some(mut stages) = self.stages.take() else { return self.emit(bound, slices) };
        let Slices { results, gradient, matrix, product, direction, weights } = slices;
        let matrix_of_all = &mut stages.emitted[..];
        let mut emitting = Slices { results, gradient, matrix: matrix_of_all, product, direction, weights };
        let outcome = self.emit(bound, &mut emitting);
        let pool = self.how.pool.as_ref();
        let outcome =
            outcome.and_then(|()| Ok(stages.elimination.evaluate(&stages.emitted, matrix, pool)?));
        self.stages = Some(stages);
        outcome
    }

    /// Runs the program; its matrix is the emitted one.
    fn emit(&mut self, bound: &Bound, slices: &mut Slices<'_>) -> Result<(), Error> {
        let (direction, weights) = (slices.direction, slices.weights);
        for seed in &mut self.seeds {
            seed.load(direction, weights);
        }
        match &mut self.backend {
            Backend::Jit { eval, plan, workspace, scalars } => {
                {
                    let mut data = [(0, Array::F64(&[])); USUAL_BUFFERS];
                    let mut data_spill = Vec::new();
                    let buffers = plan.buffers();
                    let frozen = |n: usize| buffers[n].usage == BufferUse::Frozen;
                    let wanted = self.inputs.iter().filter(|(n, _)| !frozen(*n));
                    let views = wanted.filter_map(|&(n, at)| Some((n, bound.arrays[at].as_ref()?.view())));
                    let seeds = self.seeds.iter().map(|seed| (seed.buffer, seed.view(direction, weights)));
                    let count = self.inputs.len() + self.seeds.len();
                    let data = collect(views.chain(seeds), count, &mut data, &mut data_spill);
                    let mut out: [_; USUAL_BUFFERS] = std::array::from_fn(|_| (0, ArrayMut::F64(&mut [])));
                    let mut out_spill = Vec::new();
                    let count = self.outputs.len();
                    let Slices { results, gradient, product, matrix, .. } = &mut *slices;
                    let values = if self.pattern.nnz() > 0 { &mut **matrix } else { &mut [][..] };
                    let places = destinations(&mut self.outputs, results, gradient, product);
                    let outputs = collect(places, count, &mut out, &mut out_spill);
                    let pool = self.how.pool.as_ref();
                    evaluate(plan, &**eval, workspace, Call { data, outputs, scalars, values, pool })?;
                }
                for output in &self.outputs {
                    output.copy(scalars, slices);
                }
                Ok(())
            }
            Backend::Interp { sizes } => {
                let mut bindings = bindings(&self.program.eval, sizes, bound, &self.inputs);
                for seed in &self.seeds {
                    let data = match &seed.single {
                        Some(single) => ArrayData::F32(single.clone()),
                        None => ArrayData::F64(seed.values(direction, weights).to_vec()),
                    };
                    bindings.arrays.insert(Buffer::from_u32(seed.buffer as u32), data);
                }
                let found = interp::run(&self.program.eval, &bindings)?;
                for output in &self.outputs {
                    let buffer = Buffer::from_u32(output.buffer as u32);
                    let array = found.arrays.get(&buffer).map(ArrayData::to_f64).unwrap_or_default();
                    output.put(slices, array.into_iter());
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

/// The buffers of a program of products that hold an element of each direction in a call: directions and products.
fn batch(func: &Func, take: Take, lanes: usize) -> Option<Batch> {
    let kind = take.product?;
    let listed = func.buffers.iter().filter(|(_, data)| match (data.role, data.plane, kind) {
        (Role::Output, Plane::Adjoint(_), _) => take.adjoint_is_product(),
        (Role::Output, Plane::Tangent(of), Kind::Jvp) => func.buffers[of].plane == Plane::Primal,
        (Role::Output, Plane::Tangent(of), Kind::Hvp) => matches!(func.buffers[of].plane, Plane::Adjoint(_)),
        (Role::Output, ..) => false,
        (role, Plane::Adjoint(_), Kind::Vjp) | (role, Plane::Tangent(_), Kind::Jvp | Kind::Hvp) => {
            is_input(role)
        }
        _ => false,
    });
    Some(Batch { lanes, buffers: listed.map(|(buffer, _)| buffer).collect() })
}

/// [`batch`], where there are several directions in a call.
fn batch_of(func: &Func, setup: &Setup<'_>) -> Option<Batch> {
    if setup.lanes > 1 { batch(func, setup.take, setup.lanes) } else { None }
}

fn jit(
    program: &Program,
    source: &SourceFile,
    setup: &Setup<'_>,
    inputs: &[(usize, usize)],
    (rows, cols): (usize, usize),
) -> Result<(Backend, Arc<Pattern>), Error> {
    let &Setup { bound, how, old, .. } = setup;
    let func = &program.eval;
    let owned = how.threads > 1;
    let index = program.native_index(owned)?;
    let batch = batch_of(func, setup);
    let side_by_side = batch.as_ref().and_then(|batch| batched(func, batch));
    let specs = func.buffers.iter().map(|(buffer, data)| {
        let mut dims: Vec<i64> = data.dims.iter().map(|d| bound.eval(d).unwrap_or(-1)).collect();
        if side_by_side.as_ref().is_some_and(|all| all.buffers().contains(&buffer)) {
            dims.push(setup.lanes as i64);
        }
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
    let frozen: Vec<(usize, Arc<OwnedArray>)> = inputs
        .iter()
        .filter(|(n, _)| buffers[*n].usage == BufferUse::Frozen)
        .filter_map(|&(n, at)| Some((n, Arc::clone(bound.arrays[at].as_ref()?))))
        .collect();
    let square = rows == cols && func.rows == func.columns;
    let inputs = Inputs { sizes: &bound.sizes, buffers, arrays: &frozen, rows, cols, square };
    let options = setup.options.cloned().unwrap_or_default();
    let old = old.and_then(|part| match &part.backend {
        Backend::Jit { plan, .. } => Some(plan),
        Backend::Interp { .. } => None,
    });
    let team = Team::new(how.threads, how.pool.as_ref());
    let plan = match old {
        Some(old) => rebind(old, &*index, inputs, &options, team),
        None => prepare(&*index, inputs, &options, team).map(Arc::new),
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
    let eval = match batch {
        Some(batch) => program.native_batch(&index, owned, batch, plan.slot_layout())?,
        None => program.native_eval(&index, owned, plan.slot_layout())?,
    };
    let workspace = Workspace::new(&plan, &*index, how.threads)?;
    let pattern = Arc::clone(plan.pattern());
    let scalars = vec![0.0; plan.info().scalar_outputs];
    let workspace = Box::new(workspace);
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
        let data = match bound.arrays[at].as_deref() {
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
