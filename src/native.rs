//! Machine code as the runtime takes it: phases of evaluation and index program brought together.
//!
//! # Phases
//! The runtime counts phases as evaluation does. An index program may lack some (a phase that only adds to scalars and whose subscripts
//! are proven leaves nothing to prepare), and may keep subscript checks of a phase apart. So phases are matched by
//! their sites, and those that write rows in order, if they write the same arrays and have the same iterations; index phases left
//! over run as further phases without evaluation.

use crate::error::Error;
use crate::program::Program;
use spadina_codegen::common::{common_unknowns, mark_corner, mark_rows, mark_scratch};
use spadina_codegen::jit::{JitEval, JitIndex, compile_both, compile_eval_as};
use spadina_codegen::options::Options;
use spadina_codegen::program::program_info;
use spadina_ir::func::{Buffer, Carry, Func, Inst, InstData, Role, Value, ValueDef};
use spadina_ir::walk;
use spadina_layout::abi::{EnvLayout, ErrorRecord};
use spadina_layout::env::Env;
use spadina_layout::program::{PhaseInfo, ProgramInfo};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use spadina_runtime::program::{EvalProgram, IndexProgram};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The layout that most plans have: what the first code is compiled for.
const USUAL: SlotLayout =
    SlotLayout { mode: SlotMode::Block, width: SlotWidth::U8, drops: false, stores: false };

/// An index program in machine code.
pub(crate) struct NativeIndex {
    jit: JitIndex,
    /// Tells the trips of phases that the index program does not have.
    eval: Arc<NativeEval>,
    /// Of every phase: evaluation's, then those of the index program alone.
    info: ProgramInfo,
    env: EnvLayout,
    /// For each phase, that of the index program.
    phase: Vec<Option<usize>>,
    /// What `trips` found wrong.
    wrong: Mutex<Option<ErrorRecord>>,
}

/// An evaluation program in machine code.
pub(crate) struct NativeEval {
    jit: JitEval,
}

impl NativeIndex {
    /// Compiles both programs, evaluation for the usual slot layout.
    pub(crate) fn compile(
        program: &Program,
        options: &Options,
    ) -> Result<(NativeIndex, Arc<NativeEval>), Error> {
        let theirs = program_info(&program.index)?;
        let mut own = program_info(&program.eval)?;
        mark_scratch(&program.eval, &program.index, &mut own)?;
        let (mut info, phase) = align(program, &own, &theirs)?;
        let (mine, others) = (common_unknowns(&program.eval), common_unknowns(&program.index));
        let common = mine.intersection(&others).copied().collect();
        mark_rows(&program.index, &common, &mut info);
        mark_corner(&program.eval, &program.index, &common, &mut info)?;
        info.may_store = rows_of_iterations(&program.eval);
        let usual = SlotLayout { stores: info.may_store, ..USUAL };
        let described = of_evaluation(&info, &own);
        let (eval, jit) =
            compile_both((&program.eval, &described), (&program.index, &theirs), usual, options)?;
        let eval = Arc::new(NativeEval { jit: eval });
        let env = jit.summary.env;
        let (sizes, buffers) = (eval.jit.summary.env.sizes, eval.jit.summary.env.buffers);
        if (env.sizes, env.buffers) != (sizes, buffers) {
            return Err(Error::Internal("evaluation and index program differ in buffers".into()));
        }
        let env = EnvLayout { sites: info.sites, ..env };
        let index = NativeIndex { jit, eval: Arc::clone(&eval), info, env, phase, wrong: Mutex::new(None) };
        Ok((index, eval))
    }

    /// What `trips` found wrong since it was last asked.
    pub(crate) fn take_error(&self) -> Option<ErrorRecord> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether a matrix is likely to have each entry emitted once: the rows of its emissions are named by the iteration (a Jacobian of
/// residuals of elements). Prepare counts.
fn rows_of_iterations(func: &Func) -> bool {
    let (mut some, mut all) = (false, true);
    walk::visit_insts(func, func.body, &mut |_, inst| {
        let InstData::Emit(emit) = &func.insts[inst] else { return };
        if emit.cols.is_empty() {
            return;
        }
        let by_iteration = |&row: &Value| match func.def(row) {
            Some(InstData::Position(_, index)) => {
                index.iter().any(|&v| matches!(func.values[v].def, ValueDef::Param(..)))
            }
            _ => false,
        };
        some = true;
        all &=
            !emit.symmetric && !emit.direct && emit.project.is_none() && emit.rows.iter().all(by_iteration);
    });
    some && all
}

/// The part of a description that evaluation knows.
fn of_evaluation(info: &ProgramInfo, own: &ProgramInfo) -> ProgramInfo {
    ProgramInfo { phases: info.phases[..own.phases.len()].to_vec(), ..info.clone() }
}

/// Matches the phases of both programs; the merged description, and for each phase that of the index program.
fn align(
    programs: &Program,
    eval: &ProgramInfo,
    index: &ProgramInfo,
) -> Result<(ProgramInfo, Vec<Option<usize>>), Error> {
    let (own, other) = (roots(&programs.eval), roots(&programs.index));
    if (own.len(), other.len()) != (eval.phases.len(), index.phases.len()) {
        return Err(Error::Internal("phases are not the effects of the body".into()));
    }
    let numbers = |p: &PhaseInfo| p.sites.iter().map(|s| s.site).collect::<Vec<u32>>();
    let mut phase: Vec<Option<usize>> = vec![None; eval.phases.len()];
    // Phases with matrix entries have the same sites.
    for (n, place) in phase.iter_mut().enumerate().filter(|(n, _)| !eval.phases[*n].sites.is_empty()) {
        *place = index.phases.iter().position(|k| numbers(k) == numbers(&eval.phases[n]));
        if place.is_none_or(|k| own[n].iterates != other[k].iterates) {
            return Err(Error::Internal("evaluation and index program differ in sites".into()));
        }
    }
    // Of the others, those that write rows are in both, in the same order. A recurrence over floats is none to the index
    // program, which then has iterations where evaluation has one: those stay apart. A branch on values may give several.
    let mine: Vec<usize> =
        (0..phase.len()).filter(|&n| phase[n].is_none() && !own[n].rows.is_empty()).collect();
    let rows = |k: &usize| index.phases[*k].sites.is_empty() && !index.phases[*k].row_sites.is_empty();
    let theirs: Vec<usize> = (0..index.phases.len()).filter(rows).collect();
    if mine.len() == theirs.len() {
        for (n, k) in mine.into_iter().zip(theirs).filter(|&(n, k)| own[n] == other[k]) {
            phase[n] = Some(k);
        }
    }
    let mut phases: Vec<PhaseInfo> = Vec::new();
    let mut unowned = writes_unowned(&programs.eval);
    for ((eval, found), root) in eval.phases.iter().zip(&phase).zip(&own) {
        let mut merged = found.map_or_else(|| eval.clone(), |k| index.phases[k].clone());
        merged.sums.clone_from(&eval.sums);
        merged.waits = eval.waits;
        // Where the rows are not known that a phase writes: one thread, in order.
        merged.serial |= eval.serial || (found.is_none() && !root.rows.is_empty());
        merged.serial |= unowned.next().unwrap_or(false);
        phases.push(merged);
    }
    for k in 0..index.phases.len() {
        if !phase.contains(&Some(k)) {
            phases.push(PhaseInfo { sums: Vec::new(), ..index.phases[k].clone() });
            phase.push(Some(k));
        }
    }
    let sites = index.sites.max(eval.sites);
    let (stored, filled, scalar_outputs) = (eval.stored.clone(), eval.filled.clone(), eval.scalar_outputs);
    Ok((ProgramInfo { phases, scalar_outputs, sites, stored, filled, may_store: false }, phase))
}

/// What the root of a phase is.
#[derive(PartialEq)]
struct Root {
    /// The arrays, or the unknowns whose adjoints they are, that rows are written of.
    rows: BTreeSet<Buffer>,
    /// A loop without recurrence: the phase has its iterations. Anything else runs once.
    iterates: bool,
    /// First, last and step of the iterations, as far as they can be compared.
    bounds: Option<(Option<InstData>, Option<InstData>, i64)>,
}

fn roots(func: &Func) -> Vec<Root> {
    let insts = func.regions[func.body].insts.iter().filter(|&&inst| walk::has_effects(func, inst));
    let root = |&inst: &Inst| {
        let plain = |value| {
            let data = func.def(value).cloned();
            data.filter(|data| matches!(data, InstData::Const(_) | InstData::Size(_)))
        };
        let (iterates, bounds) = match &func.insts[inst] {
            InstData::Loop { lo, hi, step, carries, .. } => {
                let iterates = !carries.iter().any(|c| matches!(c, Carry::State(_)));
                (iterates, Some((plain(*lo), plain(*hi), *step)))
            }
            _ => (false, None),
        };
        Root { rows: written_rows(func, inst), iterates, bounds }
    };
    insts.map(root).collect()
}

/// For each phase, whether it writes arrays that are no rows of the program: nobody owns their elements.
fn writes_unowned(func: &Func) -> impl Iterator<Item = bool> + '_ {
    let insts = func.regions[func.body].insts.iter().filter(|&&inst| walk::has_effects(func, inst));
    let unowned = |b: &Buffer| {
        let data = &func.buffers[*b];
        data.role == Role::Output
            && !data.dims.is_empty()
            && !func.rows.contains(&crate::outputs::owner(func, *b))
    };
    insts.map(move |&inst| walk::written_buffers(func, inst).iter().any(unowned))
}

/// What an effect writes rows of: by accumulation, or, in an index program, by naming them.
fn written_rows(func: &Func, inst: Inst) -> BTreeSet<Buffer> {
    let ranked = |b: &Buffer| func.buffers[*b].role == Role::Output && !func.buffers[*b].dims.is_empty();
    let written = walk::written_buffers(func, inst).into_iter().filter(ranked);
    let mut rows: BTreeSet<Buffer> =
        written.map(|b| crate::outputs::owner(func, b)).filter(|b| func.rows.contains(b)).collect();
    let mut named = |inst: Inst| {
        if let InstData::Emit(emit) = &func.insts[inst] {
            rows.extend(emit.rows.iter().filter_map(|&position| match func.def(position) {
                Some(&InstData::Position(buffer, _)) => Some(buffer),
                _ => None,
            }));
        }
    };
    named(inst);
    for region in func.insts[inst].regions() {
        walk::visit_insts(func, region, &mut |_, inst| named(inst));
    }
    rows
}

impl IndexProgram for NativeIndex {
    fn info(&self) -> &ProgramInfo {
        &self.info
    }

    fn env_layout(&self) -> EnvLayout {
        self.env
    }

    fn trips(&self, env: &Env, trips: &mut [i64]) {
        let mut record = [ErrorRecord::default()];
        let mut env = env.clone();
        env.set_slice_mut(env.layout().error(), &mut record);
        let Some(own) = self.jit.trips_in(&env) else {
            *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(record[0]);
            return;
        };
        let other = if self.phase.contains(&None) {
            // The index program has found every subscript legal that leads to a trip count.
            self.eval.jit.trips_in(&env)
        } else {
            Vec::new()
        };
        for (n, trip) in trips.iter_mut().enumerate() {
            let found = match self.phase.get(n) {
                Some(Some(k)) => own.get(*k),
                Some(None) => other.get(n),
                None => None,
            };
            *trip = found.copied().unwrap_or(0);
        }
    }

    fn count(&self, phase: usize, env: &Env, range: Range<i64>, counts: &mut [u32]) -> bool {
        let Some(&Some(own)) = self.phase.get(phase) else { return true };
        if !self.jit.counts(own) {
            return true;
        }
        self.jit.count_in(own, env, range, counts)
    }

    fn index(&self, phase: usize, env: &Env, range: Range<i64>) -> bool {
        let Some(&Some(own)) = self.phase.get(phase) else { return true };
        self.jit.index_in(own, env, range)
    }
}

impl NativeEval {
    /// Compiles for slot records of a layout.
    pub(crate) fn compile(
        func: &Func,
        index: &NativeIndex,
        layout: SlotLayout,
        options: &Options,
    ) -> Result<NativeEval, Error> {
        let own = program_info(func)?;
        let jit = compile_eval_as(func, &of_evaluation(&index.info, &own), layout, options)?;
        Ok(NativeEval { jit })
    }

    /// Bytes of machine code.
    pub(crate) fn code_bytes(&self) -> usize {
        self.jit.summary.code_bytes
    }

    /// The layout it was compiled for.
    pub(crate) fn layout(&self) -> SlotLayout {
        self.jit.slots
    }
}

impl EvalProgram for NativeEval {
    fn slot_layout(&self) -> SlotLayout {
        self.jit.slots
    }

    fn eval(&self, phase: usize, env: &Env, range: Range<i64>, sums: &mut [f64]) {
        self.jit.eval_in(phase, env, range, sums);
    }

    fn eval_owned(&self, phase: usize, env: &Env, elements: &[u32]) {
        self.jit.eval_owned_in(phase, env, elements);
    }

    fn eval_listed(&self, phase: usize, env: &Env, elements: &[u32]) {
        self.jit.eval_listed_in(phase, env, elements);
    }
}
