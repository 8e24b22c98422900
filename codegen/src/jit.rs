//! The JIT: compiled programs that own their code, and the calls into it. The only file of this crate with unsafe code.
#![allow(unsafe_code)]

use crate::analyzed::Analyzed;
use crate::error::{CodegenError, Result};
use crate::options::Options;
use crate::program::{env_layout, merge_info, program_info};
use crate::symbols::{Host, project_name, projections, symbol};
use crate::text::FunctionText;
use crate::unit::{EvalFunction, EvalFunctions, IndexFunctions, Unit};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, default_libcall_names};
use spadina_ir::func::Func;
use spadina_ir::op::Op;
use spadina_layout::abi::EnvLayout;
use spadina_layout::env::Env;
use spadina_layout::program::ProgramInfo;
use spadina_layout::site::SlotLayout;
use std::mem::ManuallyDrop;
use std::ops::Range;

type TripsFn = unsafe extern "C" fn(*const u64, *mut i64) -> i64;
type EvalFn = unsafe extern "C" fn(*const u64, i64, i64, *mut f64);
type EitherFn = unsafe extern "C" fn(*const u64, *const u32, i64, i64, i64, *mut f64);
type ListFn = unsafe extern "C" fn(*const u64, *const u32, i64);
type CountFn = unsafe extern "C" fn(*const u64, i64, i64, *mut u32) -> i64;
type IndexFn = unsafe extern "C" fn(*const u64, i64, i64) -> i64;

/// The memory of compiled code; freed on drop.
struct Code {
    module: ManuallyDrop<JITModule>,
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: `module` is taken once, here, and never used again.
        let module = unsafe { ManuallyDrop::take(&mut self.module) };
        // SAFETY: the function pointers into this memory live in the program that owns this value and are private to it; calls
        // borrow the program, so none is under way.
        unsafe { module.free_memory() };
    }
}

// SAFETY: after `finalize_definitions` the module is only kept for its memory, which is executable and read-only; nothing
// reads or writes the module itself until it is dropped, by one thread.
unsafe impl Send for Code {}
// SAFETY: as above: a shared reference gives access to nothing but finished code.
unsafe impl Sync for Code {}

/// What every compiled program tells about itself.
pub struct Summary {
    /// Phases, sites and sums.
    pub info: ProgramInfo,
    /// Where the words of its environment are.
    pub env: EnvLayout,
    /// Bytes of machine code.
    pub code_bytes: usize,
    /// Texts of its functions, if [`Options::texts`] was set.
    pub texts: Vec<FunctionText>,
}

/// What evaluates iterations of a phase.
#[derive(Clone, Copy)]
enum Eval {
    Range(EvalFn),
    /// A list, or with [`NO_LIST`] and a mask of zeros a range.
    Either(EitherFn),
}

/// The list of a range: with a mask of zeros each place is the first.
static NO_LIST: u32 = 0;

/// A derivative program (or the program itself) in machine code.
pub struct JitEval {
    /// What it tells about itself.
    pub summary: Summary,
    /// The slot layout it reads.
    pub slots: SlotLayout,
    trips: TripsFn,
    eval: Vec<Eval>,
    eval_owned: Vec<Option<ListFn>>,
    eval_listed: Vec<Option<ListFn>>,
    _code: Code,
}

/// An index program in machine code.
pub struct JitIndex {
    /// What it tells about itself.
    pub summary: Summary,
    trips: TripsFn,
    count: Vec<Option<CountFn>>,
    index: Vec<IndexFn>,
    _code: Code,
}

fn module(options: &Options) -> Result<JITModule> {
    let isa = cranelift_native::builder()
        .map_err(|e| CodegenError::Target(e.to_string()))?
        .finish(options.flags(false)?)
        .map_err(|e| CodegenError::Target(e.to_string()))?;
    let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
    for symbol in Op::ALL.iter().filter_map(|&op| symbol(op)) {
        let address = match symbol.host {
            Host::Unary(f) => f as *const u8,
            Host::Binary(f) => f as *const u8,
        };
        builder.symbol(symbol.name, address);
    }
    for (size, address) in projections() {
        builder.symbol(project_name(size), address);
    }
    Ok(JITModule::new(builder))
}

/// Compiles a program for evaluation, described by [`program_info`].
pub fn compile_eval(func: &Func, slots: SlotLayout, options: &Options) -> Result<JitEval> {
    compile_eval_as(func, &program_info(func)?, slots, options)
}

/// Compiles a program for evaluation whose sites are described by `info`: that of its index program, so that both agree on
/// blocks and counts. The phases of `info` must be those of `func`, and its sums are replaced by those of `func`.
pub fn compile_eval_as(
    func: &Func,
    info: &ProgramInfo,
    slots: SlotLayout,
    options: &Options,
) -> Result<JitEval> {
    let info = merge_info(func, info)?;
    let analyzed = Analyzed::new(func, &info, options.batch.as_ref())?;
    let mut module = module(options)?;
    let mut unit = Unit::new(&mut module, "", Linkage::Export, options).asking_ahead();
    let functions = unit.eval_program(&analyzed, slots, options.owned)?;
    unit.compile()?;
    let summary = summary(&mut unit, &analyzed);
    finish_eval(module, &functions, summary, slots)
}

/// Compiles an index program.
pub fn compile_index(func: &Func, options: &Options) -> Result<JitIndex> {
    let info = program_info(func)?;
    let analyzed = Analyzed::new(func, &info, None)?;
    let mut module = module(options)?;
    let mut unit = Unit::new(&mut module, "", Linkage::Export, options);
    let functions = unit.index_program(&analyzed)?;
    unit.compile()?;
    let summary = summary(&mut unit, &analyzed);
    finish_index(module, &functions, summary)
}

/// Compiles a program as [`compile_eval_as`], and its index program described by [`program_info`], side by side.
pub fn compile_both(
    (eval, eval_info): (&Func, &ProgramInfo),
    (index, index_info): (&Func, &ProgramInfo),
    slots: SlotLayout,
    options: &Options,
) -> Result<(JitEval, JitIndex)> {
    let eval_info = merge_info(eval, eval_info)?;
    let eval = Analyzed::new(eval, &eval_info, options.batch.as_ref())?;
    let index = Analyzed::new(index, index_info, None)?;
    let (mut eval_module, mut index_module) = (module(options)?, module(options)?);
    let mut eval_unit = Unit::new(&mut eval_module, "", Linkage::Export, options).asking_ahead();
    let mut index_unit = Unit::new(&mut index_module, "", Linkage::Export, options);
    let eval_functions = eval_unit.eval_program(&eval, slots, options.owned)?;
    let index_functions = index_unit.index_program(&index)?;
    eval_unit.compile_with(&mut index_unit)?;
    let summaries = (summary(&mut eval_unit, &eval), summary(&mut index_unit, &index));
    let eval = finish_eval(eval_module, &eval_functions, summaries.0, slots)?;
    Ok((eval, finish_index(index_module, &index_functions, summaries.1)?))
}

fn summary(unit: &mut Unit<'_, '_, JITModule>, analyzed: &Analyzed<'_>) -> Summary {
    let (texts, code_bytes) = (std::mem::take(&mut unit.texts), unit.code_bytes);
    Summary { info: analyzed.info.clone(), env: env_layout(analyzed.func, analyzed.info), code_bytes, texts }
}

fn finish_eval(
    mut module: JITModule,
    functions: &EvalFunctions,
    summary: Summary,
    slots: SlotLayout,
) -> Result<JitEval> {
    module.finalize_definitions().map_err(CodegenError::backend)?;
    let address = |id: FuncId| module.get_finalized_function(id);
    // SAFETY: `Unit` declared `trips` with this signature and the default calling convention of the host.
    let trips = unsafe { std::mem::transmute::<*const u8, TripsFn>(address(functions.trips)) };
    // SAFETY: as above, for `eval_P`.
    let range = |id: FuncId| unsafe { std::mem::transmute::<*const u8, EvalFn>(address(id)) };
    // SAFETY: as above, for `eval_either_P`.
    let either = |id: FuncId| unsafe { std::mem::transmute::<*const u8, EitherFn>(address(id)) };
    let eval = |function: &EvalFunction| match *function {
        EvalFunction::Range(id) => Eval::Range(range(id)),
        EvalFunction::Either(id) => Eval::Either(either(id)),
    };
    let eval = functions.eval.iter().map(eval).collect();
    // SAFETY: as above, for `eval_owned_P` and `eval_listed_P`.
    let list = |&id: &FuncId| unsafe { std::mem::transmute::<*const u8, ListFn>(address(id)) };
    let lists = |ids: &[Option<FuncId>]| ids.iter().map(|id| id.as_ref().map(list)).collect();
    let (eval_owned, eval_listed) = (lists(&functions.eval_owned), lists(&functions.eval_listed));
    let code = Code { module: ManuallyDrop::new(module) };
    Ok(JitEval { summary, slots, trips, eval, eval_owned, eval_listed, _code: code })
}

fn finish_index(mut module: JITModule, functions: &IndexFunctions, summary: Summary) -> Result<JitIndex> {
    module.finalize_definitions().map_err(CodegenError::backend)?;
    let address = |id: FuncId| module.get_finalized_function(id);
    // SAFETY: `Unit` declared `index_trips` with this signature and the default calling convention of the host.
    let trips = unsafe { std::mem::transmute::<*const u8, TripsFn>(address(functions.trips)) };
    // SAFETY: as above, for `count_P`.
    let count =
        |id: &Option<FuncId>| id.map(|id| unsafe { std::mem::transmute::<*const u8, CountFn>(address(id)) });
    let count = functions.count.iter().map(count).collect();
    // SAFETY: as above, for `index_P`.
    let index = |&id: &FuncId| unsafe { std::mem::transmute::<*const u8, IndexFn>(address(id)) };
    let index = functions.index.iter().map(index).collect();
    Ok(JitIndex { summary, trips, count, index, _code: Code { module: ManuallyDrop::new(module) } })
}

impl JitEval {
    /// Number of phases.
    pub fn phases(&self) -> usize {
        self.eval.len()
    }

    /// Outer iterations of every phase.
    ///
    /// # Safety
    /// `env` must point to an environment of [`Summary::env`] whose sizes are set and whose structural buffers are bound to
    /// arrays of the declared dimensions.
    pub unsafe fn trips(&self, env: *const u64) -> Vec<i64> {
        let mut trips = vec![0; self.phases()];
        // SAFETY: the caller vouches for `env`; `trips` has one word a phase.
        unsafe { (self.trips)(env, trips.as_mut_ptr()) };
        trips
    }

    /// Iterations `begin..end` of a phase; the sums of its rank-0 outputs over the range are stored to `sums`. No phase of
    /// that number: nothing happens.
    ///
    /// # Safety
    /// `env` must point to a complete environment: sizes set, every buffer bound to an array of the declared dimensions,
    /// integer entries as the index program accepted them, values, row starts, slot records and first emissions as
    /// prepared for the slot layout [`JitEval::slots`]. `0 <= begin`, `end` at most the phase's iterations, `sums` points to a
    /// word for each of the phase's sums. No other thread may write what this call reads or writes.
    pub unsafe fn eval(&self, phase: usize, env: *const u64, begin: i64, end: i64, sums: *mut f64) {
        match self.eval.get(phase) {
            // SAFETY: the caller vouches for the arguments.
            Some(Eval::Range(eval)) => unsafe { eval(env, begin, end, sums) },
            // SAFETY: as above; with this mask only the first word of the list is read.
            Some(Eval::Either(eval)) => unsafe { eval(env, &raw const NO_LIST, 0, begin, end, sums) },
            None => {}
        }
    }

    /// The listed iterations of a phase; only rows whose owner is the environment's `me` are written. False where these
    /// functions were not compiled ([`Options::owned`]).
    ///
    /// # Safety
    /// As [`JitEval::eval`]; also owners are set for every row, `elements` points to `count` iteration numbers of the phase
    /// (with or without [`spadina_layout::abi::COUNTED`]) and the per-iteration sums are bound if any is counted. Other threads may
    /// run the same phase at the same time for other owners, if no iteration is counted twice.
    pub unsafe fn eval_owned(&self, phase: usize, env: *const u64, elements: *const u32, count: i64) -> bool {
        let Some(Some(eval)) = self.eval_owned.get(phase) else { return false };
        // SAFETY: the caller vouches for the arguments.
        unsafe { eval(env, elements, count) };
        true
    }

    /// The same, and every row of the iterations is written.
    ///
    /// # Safety
    /// As [`JitEval::eval_owned`], and no other thread runs an iteration that writes one of these rows at the same time.
    pub unsafe fn eval_listed(
        &self,
        phase: usize,
        env: *const u64,
        elements: *const u32,
        count: i64,
    ) -> bool {
        match (self.eval.get(phase), self.eval_listed.get(phase)) {
            // SAFETY: the caller vouches for the arguments; with this mask nothing is written to the sums of a range.
            (Some(Eval::Either(eval)), _) => unsafe {
                eval(env, elements, -1, 0, count, std::ptr::null_mut());
            },
            // SAFETY: the caller vouches for the arguments.
            (_, Some(Some(eval))) => unsafe { eval(env, elements, count) },
            _ => return false,
        }
        true
    }
}

impl JitIndex {
    /// Number of phases.
    pub fn phases(&self) -> usize {
        self.index.len()
    }

    /// Outer iterations of every phase, or `None` after a wrong subscript was written to the error record.
    ///
    /// # Safety
    /// `env` must point to an environment of [`Summary::env`] whose sizes are set, whose structural buffers are bound to arrays of
    /// the declared dimensions and whose error word is the address of an error record.
    pub unsafe fn trips(&self, env: *const u64) -> Option<Vec<i64>> {
        let mut trips = vec![0; self.phases()];
        // SAFETY: the caller vouches for `env`; `trips` has one word a phase.
        let status = unsafe { (self.trips)(env, trips.as_mut_ptr()) };
        (status == 0).then_some(trips)
    }

    /// True where a phase has a site whose emissions per iteration vary, so that [`JitIndex::count`] is needed.
    pub fn counts(&self, phase: usize) -> bool {
        self.count.get(phase).is_some_and(Option::is_some)
    }

    /// Emissions of each site in iterations `begin..end` of a phase; true if all went well. Nothing is written for a phase
    /// without such a function.
    ///
    /// # Safety
    /// As [`JitIndex::trips`]; `counts` points to `end - begin` words (`u32`) for each matrix site and row site of the phase.
    pub unsafe fn count(
        &self,
        phase: usize,
        env: *const u64,
        begin: i64,
        end: i64,
        counts: *mut u32,
    ) -> bool {
        match self.count.get(phase) {
            // SAFETY: the caller vouches for the arguments.
            Some(Some(count)) => unsafe { count(env, begin, end, counts) == 0 },
            Some(None) | None => true,
        }
    }

    /// Writes the streams of iterations `begin..end` of a phase; true if every subscript was right.
    ///
    /// # Safety
    /// As [`JitIndex::trips`]; the stream of each site has room for all its emissions, and the first emission of each iteration
    /// is set where counts vary.
    pub unsafe fn index(&self, phase: usize, env: *const u64, begin: i64, end: i64) -> bool {
        match self.index.get(phase) {
            // SAFETY: the caller vouches for the arguments.
            Some(index) => unsafe { index(env, begin, end) == 0 },
            None => true,
        }
    }
}

/// Calls on an environment whose slices are alive: what the runtime makes. An [`Env`] holds addresses without lifetimes, so these
/// functions are as safe as the environment is true; `spadina_runtime::program` states what must be in it, and the runtime is the only
/// one to fill it.
impl JitEval {
    /// [`JitEval::trips`] on an environment.
    pub fn trips_in(&self, env: &Env) -> Vec<i64> {
        // SAFETY: the environment is complete for this call.
        unsafe { self.trips(env.words().as_ptr()) }
    }

    /// [`JitEval::eval`] on an environment; `sums` has a place for each sum of the phase.
    pub fn eval_in(&self, phase: usize, env: &Env, range: Range<i64>, sums: &mut [f64]) {
        // SAFETY: the environment is complete for this call; phases beyond the last are not run.
        unsafe { self.eval(phase, env.words().as_ptr(), range.start, range.end, sums.as_mut_ptr()) };
    }

    /// [`JitEval::eval_owned`] on an environment.
    pub fn eval_owned_in(&self, phase: usize, env: &Env, elements: &[u32]) -> bool {
        // SAFETY: the environment is complete for this call, owners are set, and no two calls at a time have the same owner.
        unsafe { self.eval_owned(phase, env.words().as_ptr(), elements.as_ptr(), elements.len() as i64) }
    }

    /// [`JitEval::eval_listed`] on an environment.
    pub fn eval_listed_in(&self, phase: usize, env: &Env, elements: &[u32]) -> bool {
        // SAFETY: as above; the rows of these iterations have one owner.
        unsafe { self.eval_listed(phase, env.words().as_ptr(), elements.as_ptr(), elements.len() as i64) }
    }
}

/// As for [`JitEval`].
impl JitIndex {
    /// [`JitIndex::trips`] on an environment.
    pub fn trips_in(&self, env: &Env) -> Option<Vec<i64>> {
        // SAFETY: sizes, structural arrays and the error record are set.
        unsafe { self.trips(env.words().as_ptr()) }
    }

    /// [`JitIndex::count`] on an environment; `counts` has the length stated there.
    pub fn count_in(&self, phase: usize, env: &Env, range: Range<i64>, counts: &mut [u32]) -> bool {
        // SAFETY: sizes, structural arrays and the error record are set.
        unsafe { self.count(phase, env.words().as_ptr(), range.start, range.end, counts.as_mut_ptr()) }
    }

    /// [`JitIndex::index`] on an environment whose streams have room for all emissions.
    pub fn index_in(&self, phase: usize, env: &Env, range: Range<i64>) -> bool {
        // SAFETY: sizes, structural arrays, streams and the error record are set.
        unsafe { self.index(phase, env.words().as_ptr(), range.start, range.end) }
    }
}
