//! Evaluate: results into the caller's slices, with the same bits for any number of threads.
//!
//! # Order
//! Phases run in order. Consecutive phases that are not serial run as one parallel region: an owner needs no barrier between
//! them, because it alone writes its rows; a phase that reads sums of earlier ones begins a region of its own. Sums combine per iteration, per block of [`SUM_BLOCK`] iterations, then by pairs over
//! the blocks of all phases; those of the corner (common rows: [`spadina_layout::program`]) over the blocks of their phase.

use crate::array::{Array, ArrayMut};
use crate::buffer::BufferUse;
use crate::corner::Place;
use crate::error::RuntimeError;
use crate::frontier::{Fresh, runs};
use crate::partition::{Partition, Segment, Share};
use crate::plan::Plan;
use crate::program::EvalProgram;
use crate::sums::{in_order, pairwise};
use crate::team::{Pool, spread};
use crate::workspace::{OwnerState, Workspace};
use spadina_layout::abi::COUNTED;
use spadina_layout::env::Env;
use spadina_layout::program::{PhaseInfo, SUM_BLOCK};
use std::ops::Range;

/// The data and results of one evaluation.
#[derive(Debug, Default)]
pub struct Call<'a> {
    /// `(number, data)` of every buffer with [`BufferUse::Data`].
    pub data: &'a [(usize, Array<'a>)],
    /// `(number, slice)` of every buffer with [`BufferUse::Output`]: overwritten.
    pub outputs: &'a mut [(usize, ArrayMut<'a>)],
    /// One element per rank-0 output: overwritten.
    pub scalars: &'a mut [f64],
    /// One element per matrix entry: overwritten.
    pub values: &'a mut [f64],
    /// The pool that threads come from; the global one if there is none.
    pub pool: Option<&'a Pool>,
}

/// Evaluates. Allocates nothing (on one thread; a thread pool may, to hand over work).
pub fn evaluate(
    plan: &Plan,
    program: &dyn EvalProgram,
    workspace: &mut Workspace,
    call: Call<'_>,
) -> Result<(), RuntimeError> {
    let Call { data, outputs, scalars, values, pool } = call;
    check(plan, program, workspace, data, outputs, scalars, values)?;
    fill_env(plan, workspace, data, outputs);
    workspace.env.ask_nothing(values);
    // What is stored needs no zeros.
    let done = if plan.layout.stores { values.len() } else { 0 };
    let fresh = Fresh { values, start: 0, done, cleared: plan.cleared.as_deref() };
    let mut run = Run { plan, program, values: fresh, pool };
    let phases = &plan.info.phases;
    let mut phase = 0;
    while phase < phases.len() {
        let joins = |&(n, p): &(usize, &PhaseInfo)| !p.serial && (n == 0 || !p.waits);
        let end = phase + phases[phase..].iter().enumerate().take_while(joins).count();
        let done = if workspace.partition.is_some() && end > phase {
            run.parallel(workspace, phase..end);
            phase..end
        } else {
            run.serial(workspace, phase);
            phase..phase + 1
        };
        phase = done.end;
        workspace.keep_sums(plan, done);
    }
    run.zero(workspace.threads());
    for (phase, places) in plan.corner.iter().enumerate() {
        let first = plan.info.phases[phase].sums.len();
        for (k, place) in (first..).zip(places) {
            place.add_to_results(workspace.sum_of(plan, phase, k), run.values.values, outputs);
        }
    }
    for &at in &plan.identity {
        run.values.values[at as usize] = 1.0;
    }
    for (n, scalar) in scalars.iter_mut().enumerate() {
        *scalar = workspace.total(plan, n as u32);
    }
    Ok(())
}

fn check(
    plan: &Plan,
    program: &dyn EvalProgram,
    workspace: &Workspace,
    data: &[(usize, Array<'_>)],
    outputs: &[(usize, ArrayMut<'_>)],
    scalars: &[f64],
    values: &[f64],
) -> Result<(), RuntimeError> {
    let has_slots = !plan.sites.is_empty();
    if has_slots && program.slot_layout() != plan.layout {
        return Err(RuntimeError::SlotLayout { code: program.slot_layout(), plan: plan.layout });
    }
    if !workspace.fits(plan) {
        return Err(RuntimeError::Mismatch("workspace and plan"));
    }
    let expect = |name: &str, expected: usize, found: usize| {
        let wrong = expected != found;
        if wrong { Err(RuntimeError::Length { buffer: name.into(), expected, found }) } else { Ok(()) }
    };
    expect("scalars", plan.info.scalar_outputs, scalars.len())?;
    expect("values", plan.pattern.nnz(), values.len())?;
    for (n, array) in data {
        let spec = plan.buffers.get(*n).filter(|b| b.usage == BufferUse::Data);
        spec.ok_or(RuntimeError::Unexpected { buffer: *n })?.accept(array)?;
    }
    for (n, array) in outputs {
        let spec = plan.buffers.get(*n).filter(|b| b.usage == BufferUse::Output);
        spec.ok_or(RuntimeError::Unexpected { buffer: *n })?.check(array.element(), array.len())?;
    }
    for (n, spec) in plan.buffers.iter().enumerate() {
        let given = match spec.usage {
            BufferUse::Data => data.iter().any(|d| d.0 == n),
            BufferUse::Output => outputs.iter().filter(|o| o.0 == n).count() == 1,
            BufferUse::Frozen | BufferUse::Scratch | BufferUse::Absent => true,
        };
        if !given {
            return Err(RuntimeError::Missing { buffer: spec.name.clone() });
        }
    }
    Ok(())
}

/// Everything but the matrix values and what belongs to one owner.
fn fill_env(
    plan: &Plan,
    workspace: &mut Workspace,
    data: &[(usize, Array<'_>)],
    outputs: &mut [(usize, ArrayMut<'_>)],
) {
    let (env, layout) = (&mut workspace.env, plan.env_layout);
    plan.fill_env(env);
    plan.place_scratch(&mut workspace.scratch, env);
    for (n, array) in data {
        env.set(layout.buffer(*n), array.address());
    }
    for (n, array) in outputs {
        let filled = plan.info.filled.contains(&(*n as u32));
        let gaps = if filled { Some(&[][..]) } else { plan.gaps.get(*n).and_then(Option::as_deref) };
        env.set(layout.buffer(*n), array.zero(gaps));
    }
    env.set_slice(layout.row_start(), plan.row_start());
    if let Some(partition) = &workspace.partition {
        env.set_slice(layout.owner(), &partition.owner);
    }
    for site in &plan.sites {
        let number = site.site as usize;
        env.set(layout.site_data(number), site.slots.address());
        match &site.first[..] {
            [] => env.set(layout.site_first(number), 0),
            first => env.set_slice(layout.site_first(number), first),
        }
    }
}

/// One evaluation under way.
struct Run<'a, 'v> {
    plan: &'a Plan,
    program: &'a dyn EvalProgram,
    values: Fresh<'v>,
    pool: Option<&'a Pool>,
}

impl Run<'_, '_> {
    /// Zeroes all values that are not zeroed yet.
    fn zero(&mut self, threads: usize) {
        let fresh = &mut self.values;
        if fresh.done == fresh.values.len() {
            return;
        }
        if threads > 1 && self.plan.clears_most() {
            let (start, cleared) = (fresh.start + fresh.done, fresh.cleared);
            let rest = &mut fresh.values[fresh.done..];
            let size = rest.len().div_ceil(threads).max(1 << 12);
            let chunks = rest.chunks_mut(size).enumerate();
            let parts = chunks.map(|(n, values)| Fresh { values, start: start + n * size, done: 0, cleared });
            spread(self.pool, parts, |mut part| part.finish());
        } else {
            fresh.finish();
        }
        fresh.done = fresh.values.len();
    }

    fn serial(&mut self, workspace: &mut Workspace, phase: usize) {
        let layout = self.plan.env_layout;
        let frontiers = self.plan.frontiers.get(phase).map(Vec::as_slice);
        if frontiers.is_none() {
            self.zero(workspace.threads());
        }
        workspace.env.set_slice_mut(layout.values(), self.values.values);
        let trip = self.plan.trips[phase];
        let info = &self.plan.info.phases[phase];
        let width = info.width();
        let blocks = (trip as usize).div_ceil(SUM_BLOCK);
        for together in runs(frontiers, 0..blocks, width > 0) {
            self.values.reach_blocks(frontiers, &together, &mut workspace.env);
            let sums = &mut workspace.sums[..width];
            self.program.eval(phase, &workspace.env, iterations(&together, trip), sums);
            for (k, &sum) in sums.iter().enumerate() {
                workspace.block_sums[phase][k * blocks + together.start] = sum;
            }
        }
    }

    fn parallel(&mut self, workspace: &mut Workspace, phases: Range<usize>) {
        let Workspace { env, element_sums, element_start, owners, partition, .. } = workspace;
        let Some(partition) = partition.as_deref() else { return };
        // Where owners have ranges of rows, each zeroes its own values just before it adds to them.
        let ranges = partition.ranges.as_deref().filter(|_| self.values.done == 0);
        let ranges = ranges.filter(|_| self.plan.row_start.is_empty() && self.plan.clears_most());
        if ranges.is_none() {
            self.zero(owners.len());
        }
        let layout = self.plan.env_layout;
        env.set_slice_mut(layout.values(), self.values.values);
        env.set_slice_mut(layout.element_sums(), element_sums);
        for owner in &mut *owners {
            owner.env.copy_from(env);
            owner.env.set(layout.me(), owner.me as u64);
        }
        let region = Region {
            plan: self.plan,
            program: self.program,
            partition,
            element_sums: env.get(layout.element_sums()),
            element_start,
            phases: phases.clone(),
        };
        let (mut rest, mut start) = (&mut *self.values.values, 0);
        let (row_ptr, cleared) = (self.plan.pattern.row_ptr(), self.values.cleared);
        let owned = owners.iter_mut().map(|owner| {
            let end = ranges.map_or(start, |ranges| row_ptr[ranges[owner.me + 1]] as usize);
            let (values, others) = std::mem::take(&mut rest).split_at_mut(end - start);
            let fresh = Fresh { values, start, done: 0, cleared };
            (rest, start) = (others, end);
            (owner, fresh)
        });
        spread(self.pool, owned, |(owner, mut fresh)| {
            region.run(owner, &mut fresh);
            fresh.finish();
        });
        self.values.done = self.values.values.len();
        for phase in phases {
            collect_sums(self.plan, workspace, phase);
        }
    }
}

/// Block sums of a phase from what owners left.
fn collect_sums(plan: &Plan, workspace: &mut Workspace, phase: usize) {
    let width = plan.info.phases[phase].width();
    let trip = plan.trips[phase] as usize;
    let blocks = trip.div_ceil(SUM_BLOCK);
    let Some(partition) = workspace.partition.as_deref().filter(|_| width > 0) else { return };
    let target = &mut workspace.block_sums[phase];
    let start = workspace.element_start[phase];
    for owner in &workspace.owners {
        let mut sums = owner.sums[phase].chunks_exact(width);
        for segment in &partition.shares[owner.me][phase].segments {
            // Where the sums of these blocks or iterations go, and how many there are of each output.
            let (range, place, count) = match segment {
                Segment::Blocks(range) => (range, &mut target[..], blocks),
                Segment::Part(range) => (range, &mut workspace.element_sums[start..], trip),
                Segment::List(_) | Segment::Border(_) => continue,
            };
            for (n, sums) in range.clone().zip(&mut sums) {
                for (k, &sum) in sums.iter().enumerate() {
                    place[k * count + n as usize] = sum;
                }
            }
        }
    }
    let elements = &workspace.element_sums[start..];
    for &block in &partition.listed[phase] {
        let start = block as usize * SUM_BLOCK;
        let end = (start + SUM_BLOCK).min(trip);
        for k in 0..width {
            target[k * blocks + block as usize] = in_order(&elements[k * trip + start..k * trip + end]);
        }
    }
}

fn iterations(blocks: &Range<usize>, trip: i64) -> Range<i64> {
    (blocks.start * SUM_BLOCK) as i64..((blocks.end * SUM_BLOCK) as i64).min(trip)
}

/// Consecutive phases that owners run side by side.
struct Region<'a> {
    plan: &'a Plan,
    program: &'a dyn EvalProgram,
    partition: &'a Partition,
    element_sums: u64,
    element_start: &'a [usize],
    phases: Range<usize>,
}

impl Region<'_> {
    /// One owner, which zeroes its values just before it adds to them.
    fn run(&self, owner: &mut OwnerState, values: &mut Fresh<'_>) {
        let OwnerState { me, env, sums } = owner;
        for phase in self.phases.clone() {
            let share = &self.partition.shares[*me][phase];
            let address = self.element_sums + 8 * self.element_start[phase] as u64;
            env.set(self.plan.env_layout.element_sums(), address);
            self.run_share(phase, share, env, &mut sums[phase], values);
        }
    }

    fn run_share(
        &self,
        phase: usize,
        share: &Share,
        env: &mut Env,
        mut sums: &mut [f64],
        values: &mut Fresh<'_>,
    ) {
        let frontiers = self.plan.frontiers.get(phase).map(Vec::as_slice);
        let width = self.plan.info.phases[phase].width();
        let trip = self.plan.trips[phase];
        for segment in &share.segments {
            match segment {
                Segment::List(range) | Segment::Border(range) => {
                    let elements = &share.elements[range.clone()];
                    let last = elements.last().map_or(0, |&element| (element & (COUNTED - 1)) as usize);
                    let block = last / SUM_BLOCK;
                    values.reach_blocks(frontiers, &(block..block + 1), env);
                    // Elements of a list are not the ones that lie between.
                    env.ask_nothing(values.values);
                    if matches!(segment, Segment::List(_)) {
                        self.program.eval_listed(phase, env, elements);
                    } else {
                        self.program.eval_owned(phase, env, elements);
                    }
                }
                Segment::Part(range) if width == 0 => {
                    self.program.eval(phase, env, i64::from(range.start)..i64::from(range.end), &mut []);
                }
                Segment::Part(range) => {
                    for iteration in range.clone().map(i64::from) {
                        let (here, rest) = std::mem::take(&mut sums).split_at_mut(width);
                        self.program.eval(phase, env, iteration..iteration + 1, here);
                        sums = rest;
                    }
                }
                Segment::Blocks(range) => {
                    for together in runs(frontiers, range.start as usize..range.end as usize, width > 0) {
                        values.reach_blocks(frontiers, &together, env);
                        let (here, rest) = std::mem::take(&mut sums).split_at_mut(width);
                        self.program.eval(phase, env, iterations(&together, trip), here);
                        sums = rest;
                    }
                }
            }
        }
    }
}

impl Workspace {
    /// Sum `k` of a phase over all its blocks.
    fn sum_of(&mut self, plan: &Plan, phase: usize, k: usize) -> f64 {
        let blocks = (plan.trips[phase] as usize).div_ceil(SUM_BLOCK);
        self.tree[..blocks].copy_from_slice(&self.block_sums[phase][k * blocks..(k + 1) * blocks]);
        pairwise(&mut self.tree[..blocks])
    }

    /// Puts what phases have summed up for later ones where those read it.
    fn keep_sums(&mut self, plan: &Plan, phases: Range<usize>) {
        for phase in phases {
            let first = plan.info.phases[phase].sums.len();
            for (k, place) in (first..).zip(plan.corner.get(phase).into_iter().flatten()) {
                let Place::Scratch { buffer, at } = place else { continue };
                let sum = self.sum_of(plan, phase, k);
                if let Some(address) = self.scratch.get_mut(*at).and_then(|kept| kept.add_to_first(sum)) {
                    self.env.set(plan.env_layout.buffer(*buffer), address);
                }
            }
        }
    }

    /// The sum of all blocks of all phases of a rank-0 output.
    fn total(&mut self, plan: &Plan, output: u32) -> f64 {
        let mut len = 0;
        for (phase, info) in plan.info.phases.iter().enumerate() {
            let blocks = (plan.trips[phase] as usize).div_ceil(SUM_BLOCK);
            if let Some(k) = info.sums.iter().position(|&s| s == output) {
                let from = &self.block_sums[phase][k * blocks..(k + 1) * blocks];
                self.tree[len..len + blocks].copy_from_slice(from);
                len += blocks;
            }
        }
        pairwise(&mut self.tree[..len])
    }
}
