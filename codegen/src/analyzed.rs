//! A program and what all of its functions need to know of it, found once.

use crate::batch::{Batched, batched};
use crate::error::{CodegenError, Result};
use crate::filled::filled;
use crate::local::local_scratch;
use crate::options::Batch;
use crate::program::{Phase, phases};
use crate::stored::stored;
use crate::symbols::{Symbol, called, symbol};
use spadina_ir::func::{Buffer, Func, Inst, InstData};
use spadina_ir::walk;
use spadina_layout::program::ProgramInfo;
use std::collections::{BTreeMap, BTreeSet};

/// A program with its phases.
pub(crate) struct Analyzed<'a> {
    pub(crate) func: &'a Func,
    pub(crate) info: &'a ProgramInfo,
    pub(crate) phases: Vec<Phase>,
    /// Scratch arrays that live on the stack.
    pub(crate) local: BTreeSet<Buffer>,
    /// Accumulations that are stores.
    pub(crate) stored: BTreeSet<Inst>,
    /// Accumulations that fill their arrays.
    pub(crate) filled: BTreeSet<Inst>,
    /// The functions that its operations call.
    pub(crate) symbols: Vec<Symbol>,
    /// The sizes of the blocks that it projects.
    pub(crate) projected: BTreeSet<usize>,
    /// What holds several directions, where a call takes several.
    pub(crate) batched: Option<Batched>,
}

impl<'a> Analyzed<'a> {
    /// A program whose phases `info` must describe.
    pub(crate) fn new(func: &'a Func, info: &'a ProgramInfo, batch: Option<&Batch>) -> Result<Analyzed<'a>> {
        let phases = phases(func)?;
        if phases.len() != info.phases.len() {
            return Err(CodegenError::malformed(format!(
                "the function has {} phases, its description {}",
                phases.len(),
                info.phases.len()
            )));
        }
        let side_by_side = |batch| {
            let what =
                || CodegenError::Unsupported("a program that cannot take several directions at once".into());
            batched(func, batch).ok_or_else(what)
        };
        Ok(Analyzed {
            func,
            info,
            phases,
            local: local_scratch(func),
            stored: stored(func)?.insts,
            filled: filled(func).into_values().collect(),
            symbols: called_symbols(func),
            projected: projected_sizes(func),
            batched: batch.map(side_by_side).transpose()?,
        })
    }

    /// About how much code a phase makes.
    pub(crate) fn size(&self, phase: &Phase) -> usize {
        let mut size = 0;
        let mut add = |inst: Inst| {
            size += match &self.func.insts[inst] {
                InstData::Emit(emit) => emit.rows.len() + 2 * emit.values.len(),
                _ => 1,
            };
        };
        add(phase.root);
        for region in self.func.insts[phase.root].regions() {
            walk::visit_insts(self.func, region, &mut |_, inst| add(inst));
        }
        size
    }
}

/// The functions that the operations of a program call.
fn called_symbols(func: &Func) -> Vec<Symbol> {
    let mut found = BTreeMap::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Op(op, _) = &func.insts[inst] {
            for symbol in called(*op).iter().filter_map(|&op| symbol(op)) {
                found.insert(symbol.name, symbol);
            }
        }
    });
    found.into_values().collect()
}

/// The sizes of the blocks that a program projects; none in an index program.
pub(crate) fn projected_sizes(func: &Func) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    walk::visit_insts(func, func.body, &mut |_, inst| {
        if let InstData::Emit(emit) = &func.insts[inst]
            && emit.project.is_some()
            && !emit.values.is_empty()
        {
            found.insert(emit.rows.len());
        }
    });
    found
}
