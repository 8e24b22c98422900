//! The phases of a program and of its index program brought together.
//!
//! An index program may lack phases (one that only adds to scalars, with subscripts proven, leaves nothing to prepare) and may
//! keep the checks of a phase apart. So phases are matched by their sites, and those that write rows in order; index phases
//! left over become further phases without evaluation.

use crate::error::{CodegenError, Result};
use crate::program::program_info;
use spadina_ir::func::{Buffer, Func, Role};
use spadina_ir::walk;
use spadina_layout::program::{PhaseInfo, ProgramInfo};

/// Phases of both programs.
#[derive(Clone, PartialEq, Debug)]
pub struct Aligned {
    /// All phases: those of evaluation in order, then those of the index program alone.
    pub info: ProgramInfo,
    /// How many of them evaluation has.
    pub eval_phases: usize,
    /// For each phase, that of the index program.
    pub index_phase: Vec<Option<usize>>,
}

impl Aligned {
    /// The part of the description that evaluation knows: what it is compiled with.
    pub fn of_evaluation(&self) -> ProgramInfo {
        ProgramInfo { phases: self.info.phases[..self.eval_phases].to_vec(), ..self.info.clone() }
    }
}

/// Matches the phases of `func` and of its index program, which `index` describes.
pub fn align(func: &Func, index: &ProgramInfo) -> Result<Aligned> {
    let eval = program_info(func)?;
    let numbers = |p: &PhaseInfo| p.sites.iter().map(|s| s.site).collect::<Vec<u32>>();
    let mut phase: Vec<Option<usize>> = vec![None; eval.phases.len()];
    for (own, place) in eval.phases.iter().zip(&mut phase).filter(|(own, _)| !own.sites.is_empty()) {
        *place = index.phases.iter().position(|k| numbers(k) == numbers(own));
        if place.is_none() {
            return Err(CodegenError::malformed("evaluation and index program differ in sites"));
        }
    }
    let writes = rows_written(func);
    let unmatched = |n: &usize| phase[*n].is_none() && writes.get(*n) == Some(&true);
    let own: Vec<usize> = (0..phase.len()).filter(unmatched).collect();
    let rows = |k: &usize| index.phases[*k].sites.is_empty() && !index.phases[*k].row_sites.is_empty();
    let other: Vec<usize> = (0..index.phases.len()).filter(rows).collect();
    if own.len() == other.len() {
        for (n, k) in own.into_iter().zip(other) {
            phase[n] = Some(k);
        }
    }
    let mut phases: Vec<PhaseInfo> = Vec::new();
    for (own, found) in eval.phases.iter().zip(&phase) {
        let mut merged = found.map_or_else(|| own.clone(), |k| index.phases[k].clone());
        merged.sums.clone_from(&own.sums);
        // Where the rows are not known that a phase writes: one thread, in order.
        merged.serial |= own.serial || found.is_none();
        phases.push(merged);
    }
    for k in 0..index.phases.len() {
        if !phase.contains(&Some(k)) {
            phases.push(PhaseInfo { sums: Vec::new(), ..index.phases[k].clone() });
            phase.push(Some(k));
        }
    }
    let sites = index.sites.max(eval.sites);
    let ProgramInfo { scalar_outputs, stored, filled, .. } = eval;
    let info = ProgramInfo { phases, scalar_outputs, sites, stored, filled, may_store: false };
    Ok(Aligned { info, eval_phases: eval.phases.len(), index_phase: phase })
}

/// For each phase, whether it writes results of rank one and more.
fn rows_written(func: &Func) -> Vec<bool> {
    let roots = func.regions[func.body].insts.iter().filter(|&&inst| walk::has_effects(func, inst));
    let ranked = |b: &Buffer| func.buffers[*b].role == Role::Output && !func.buffers[*b].dims.is_empty();
    roots.map(|&inst| walk::written_buffers(func, inst).iter().any(ranked)).collect()
}
