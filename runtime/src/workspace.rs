//! The memory that evaluations reuse: environments, scratch buffers, partial sums.

use crate::array::OwnedArray;
use crate::error::RuntimeError;
use crate::partition::Partition;
use crate::plan::{Plan, make_scratch};
use crate::program::IndexProgram;
use spadina_layout::env::Env;
use spadina_layout::program::SUM_BLOCK;
use std::sync::Arc;

/// Memory of evaluations of one plan on a given number of threads. One evaluation at a time uses it.
#[derive(Debug)]
pub struct Workspace {
    /// The plan this was made for.
    pub(crate) plan: u64,
    pub(crate) env: Env,
    pub(crate) scratch: Vec<OwnedArray>,
    /// Sums of blocks: for each phase, one row per sum of the phase, one element per block.
    pub(crate) block_sums: Vec<Vec<f64>>,
    /// Room for all blocks of one rank-0 output.
    pub(crate) tree: Vec<f64>,
    /// Room for the sums of one call.
    pub(crate) sums: Vec<f64>,
    /// Per-iteration sums of the phases that have lists, one after another.
    pub(crate) element_sums: Vec<f64>,
    /// Where those of each phase start.
    pub(crate) element_start: Vec<usize>,
    pub(crate) partition: Option<Arc<Partition>>,
    pub(crate) owners: Vec<OwnerState>,
}

/// What one owner works with.
#[derive(Debug)]
pub(crate) struct OwnerState {
    pub(crate) me: usize,
    pub(crate) env: Env,
    /// Sums of the owner's own blocks and iterations, by phase: one row of the phase's rank-0 outputs for each, in order.
    pub(crate) sums: Vec<Vec<f64>>,
}

impl Workspace {
    /// Memory for evaluations on one thread.
    pub fn serial(plan: &Plan) -> Result<Workspace, RuntimeError> {
        let blocks = |p: usize| (plan.trips[p] as usize).div_ceil(SUM_BLOCK);
        let phases = || plan.info.phases.iter().enumerate();
        let total: usize = phases().filter(|(_, f)| f.width() > 0).map(|(p, _)| blocks(p)).sum();
        let widest = phases().map(|(_, f)| f.width()).max().unwrap_or(0);
        if phases().any(|(_, f)| f.sums.iter().any(|&s| s as usize >= plan.info.scalar_outputs)) {
            return Err(RuntimeError::Mismatch("sums and outputs"));
        }
        Ok(Workspace {
            plan: plan.serial,
            env: Env::new(plan.env_layout),
            scratch: make_scratch(&plan.buffers)?,
            block_sums: phases().map(|(p, f)| vec![0.0; f.width() * blocks(p)]).collect(),
            tree: vec![0.0; total],
            sums: vec![0.0; widest],
            element_sums: Vec::new(),
            element_start: Vec::new(),
            partition: None,
            owners: Vec::new(),
        })
    }

    /// Memory for evaluations on so many threads; the plan keeps the partition, so that the next workspace is cheap.
    pub fn new(plan: &Plan, program: &dyn IndexProgram, threads: usize) -> Result<Workspace, RuntimeError> {
        let mut workspace = Workspace::serial(plan)?;
        if threads == 1 {
            return Ok(workspace);
        }
        let partition = plan.partition(program, threads)?;
        let phases = || plan.info.phases.iter().enumerate();
        let mut total = 0;
        for (p, f) in phases() {
            workspace.element_start.push(total);
            if !partition.listed[p].is_empty() {
                total += f.width() * plan.trips[p] as usize;
            }
        }
        workspace.element_sums = vec![0.0; total];
        workspace.owners = (0..threads)
            .map(|me| OwnerState {
                me,
                env: Env::new(plan.env_layout),
                sums: phases()
                    .map(|(p, f)| vec![0.0; f.width() * partition.shares[me][p].own_sums()])
                    .collect(),
            })
            .collect();
        workspace.partition = Some(partition);
        Ok(workspace)
    }

    /// Whether the memory was made for this plan.
    pub(crate) fn fits(&self, plan: &Plan) -> bool {
        self.plan == plan.serial
    }

    /// Number of threads that evaluations with this workspace use.
    pub fn threads(&self) -> usize {
        self.owners.len().max(1)
    }

    /// How rows and iterations are shared, with more than one thread.
    pub fn partition(&self) -> Option<&Partition> {
        self.partition.as_deref()
    }
}
