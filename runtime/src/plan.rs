//! What prepare leaves behind: sizes, frozen arrays, the pattern, slot records. Read-only from then on.

use crate::array::OwnedArray;
use crate::assemble::Slots;
use crate::buffer::{BufferSpec, BufferUse};
use crate::corner::Place;
use crate::csr::{Csr, Pattern};
use crate::error::RuntimeError;
use crate::gaps::Gaps;
use crate::options::PrepareOptions;
use crate::partition::Partition;
use crate::prepare::Inputs;
use crate::program::IndexProgram;
use crate::streams::run_index;
use crate::team::Team;
use spadina_layout::abi::EnvLayout;
use spadina_layout::env::Env;
use spadina_layout::program::ProgramInfo;
use spadina_layout::site::SlotLayout;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

static PLANS: AtomicU64 = AtomicU64::new(0);

/// A number that no other plan has.
pub(crate) fn next_serial() -> u64 {
    PLANS.fetch_add(1, Ordering::Relaxed)
}

/// The records of one site.
#[derive(Clone, PartialEq, Debug)]
pub struct PlanSite {
    /// The number of the site.
    pub site: u32,
    /// Slot records.
    pub slots: Slots,
    /// First emission of each iteration (and the end), where the count per iteration is not fixed.
    pub first: Vec<u32>,
}

/// A prepared program: everything that evaluation needs besides float data and results.
#[derive(Debug)]
pub struct Plan {
    /// Unlike that of any other plan of the process: workspaces belong to one plan.
    pub(crate) serial: u64,
    pub(crate) info: ProgramInfo,
    pub(crate) env_layout: EnvLayout,
    pub(crate) sizes: Vec<i64>,
    pub(crate) buffers: Vec<BufferSpec>,
    /// Not changed by anybody: shared with whoever bound them.
    pub(crate) frozen: Vec<Option<Arc<OwnedArray>>>,
    pub(crate) trips: Vec<i64>,
    pub(crate) row_positions: usize,
    pub(crate) pattern: Arc<Pattern>,
    /// Start of each row by position; empty where positions are row numbers.
    pub(crate) row_start: Vec<u32>,
    /// Values that must be zero before emissions add to them, where others are stored by direct ones.
    pub(crate) cleared: Option<Vec<Range<usize>>>,
    /// By buffer, the elements that must be zero before they are added to, where the others are stored; none, or no entry, for all.
    pub(crate) gaps: Gaps,
    /// How many leading values the iterations up to the end of each block write, by phase; empty where all are zeroed first. Those that are stored count.
    pub(crate) frontiers: Vec<Vec<u32>>,
    /// Where the sums of the corner go, by phase.
    pub(crate) corner: Vec<Vec<Place>>,
    /// Values that are one.
    pub(crate) identity: Vec<u32>,
    pub(crate) sites: Vec<PlanSite>,
    pub(crate) layout: SlotLayout,
    pub(crate) partitions: Mutex<BTreeMap<usize, Arc<Partition>>>,
    /// Row positions, column positions, whether they are the same unknowns, and options, where known.
    pub(crate) made_for: Option<((usize, usize, bool), PrepareOptions)>,
}

impl Plan {
    /// How many rows are stored whole, where any are.
    pub fn complete_rows(&self) -> usize {
        let Some(cleared) = &self.cleared else { return 0 };
        let mut cleared = cleared.iter().peekable();
        let row_ptr = self.pattern.row_ptr().windows(2).map(|ends| ends[0] as usize..ends[1] as usize);
        let whole = row_ptr.filter(|row| {
            while cleared.next_if(|range| range.end <= row.start).is_some() {}
            !row.is_empty() && cleared.peek().is_none_or(|range| range.start >= row.end)
        });
        whole.count()
    }

    /// Whether more than the borders of complete rows must be zeroed.
    pub(crate) fn clears_most(&self) -> bool {
        self.cleared.is_none() || !self.frontiers.is_empty()
    }

    /// The pattern of the matrix.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// A matrix of zeros in the pattern.
    pub fn matrix(&self) -> Csr {
        Csr::zeros(Arc::clone(&self.pattern))
    }

    /// The slot records' layout: what evaluation code must be compiled for.
    pub fn slot_layout(&self) -> SlotLayout {
        self.layout
    }

    /// Phases and sites.
    pub fn info(&self) -> &ProgramInfo {
        &self.info
    }

    /// Outer iterations of each phase.
    pub fn trips(&self) -> &[i64] {
        &self.trips
    }

    /// Values of the symbolic sizes.
    pub fn sizes(&self) -> &[i64] {
        &self.sizes
    }

    /// Buffers with their dimensions.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// A frozen array.
    pub fn frozen(&self, buffer: usize) -> Option<&Arc<OwnedArray>> {
        self.frozen.get(buffer)?.as_ref()
    }

    /// Records of the matrix sites, by phase.
    pub fn sites(&self) -> &[PlanSite] {
        &self.sites
    }

    /// Start of each row in the values, by position.
    pub fn row_start(&self) -> &[u32] {
        if self.row_start.is_empty() { self.pattern.row_ptr() } else { &self.row_start }
    }

    /// Bytes of slot records and of what belongs to them.
    pub fn slot_bytes(&self) -> usize {
        self.sites.iter().map(|s| s.slots.bytes() + 4 * s.first.len()).sum()
    }

    /// Bytes of frozen arrays.
    pub fn frozen_bytes(&self) -> usize {
        self.frozen.iter().flatten().map(|array| array.bytes()).sum()
    }

    /// How rows and iterations are shared by so many threads; made on first use by running the index program again.
    pub fn partition(
        &self,
        program: &dyn IndexProgram,
        threads: usize,
    ) -> Result<Arc<Partition>, RuntimeError> {
        if let Some(found) = self.cached_partition(threads) {
            return Ok(found);
        }
        self.check_program(program)?;
        let mut env = Env::new(self.env_layout);
        let _scratch = self.fill_index_env(&mut env)?;
        let team = Team::default();
        let streams = run_index(
            program,
            &self.buffers,
            &mut env,
            &self.trips,
            (self.row_positions, self.pattern.cols()),
            team,
        )?;
        let made = Arc::new(Partition::new(&self.info, &self.trips, &streams, self.row_positions, threads)?);
        if let Ok(mut cache) = self.partitions.lock() {
            cache.insert(threads, Arc::clone(&made));
        }
        Ok(made)
    }

    /// Whether preparing would give the same plan: by the same program, sizes and options, and by arrays that are the same memory.
    pub(crate) fn is_for(
        &self,
        program: &dyn IndexProgram,
        inputs: &Inputs<'_>,
        options: &PrepareOptions,
    ) -> bool {
        let shape = (inputs.rows, inputs.cols, inputs.square);
        let Some((made, by)) = &self.made_for else { return false };
        let same = |(n, array): &(usize, Arc<OwnedArray>)| {
            self.frozen.get(*n).and_then(Option::as_ref).is_some_and(|own| Arc::ptr_eq(own, array))
        };
        (*made, by) == (shape, options)
            && self.sizes == inputs.sizes
            && self.buffers == inputs.buffers
            && inputs.arrays.len() == self.frozen.iter().flatten().count()
            && inputs.arrays.iter().all(same)
            && self.check_program(program).is_ok()
    }

    fn cached_partition(&self, threads: usize) -> Option<Arc<Partition>> {
        self.partitions.lock().ok()?.get(&threads).cloned()
    }

    fn check_program(&self, program: &dyn IndexProgram) -> Result<(), RuntimeError> {
        if program.env_layout() == self.env_layout && *program.info() == self.info {
            Ok(())
        } else {
            Err(RuntimeError::Mismatch("index program and plan"))
        }
    }

    /// Sizes and frozen arrays.
    pub(crate) fn fill_env(&self, env: &mut Env) {
        for (n, &size) in self.sizes.iter().enumerate() {
            env.set(self.env_layout.size(n), size as u64);
        }
        for (n, array) in self.frozen.iter().enumerate() {
            if let Some(array) = array {
                env.set(self.env_layout.buffer(n), array.view().address());
            }
        }
    }

    /// [`Plan::fill_env`], and scratch buffers, which the caller keeps as long as the environment is used.
    pub(crate) fn fill_index_env(&self, env: &mut Env) -> Result<Vec<OwnedArray>, RuntimeError> {
        self.fill_env(env);
        let mut scratch = make_scratch(&self.buffers)?;
        for (n, array) in scratch_numbers(&self.buffers).zip(&mut scratch) {
            env.set(self.env_layout.buffer(n), array.place());
        }
        Ok(scratch)
    }

    /// Zeroes every scratch buffer that the program does not fill, and puts the addresses of all into the environment.
    pub(crate) fn place_scratch(&self, scratch: &mut [OwnedArray], env: &mut Env) {
        for (n, array) in scratch_numbers(&self.buffers).zip(scratch) {
            if !self.info.filled.contains(&(n as u32)) {
                array.zero();
            }
            env.set(self.env_layout.buffer(n), array.place());
        }
    }
}

/// Zeroed memory for every scratch buffer, in order.
pub(crate) fn make_scratch(buffers: &[BufferSpec]) -> Result<Vec<OwnedArray>, RuntimeError> {
    let scratch = buffers.iter().filter(|b| b.usage == BufferUse::Scratch);
    scratch
        .map(|spec| {
            let made = OwnedArray::zeros(spec.element, spec.elements()?);
            made.ok_or_else(|| RuntimeError::Memory { buffer: spec.name.clone() })
        })
        .collect()
}

/// The numbers of the scratch buffers, in order.
fn scratch_numbers(buffers: &[BufferSpec]) -> impl Iterator<Item = usize> {
    (0..).zip(buffers).filter(|(_, b)| b.usage == BufferUse::Scratch).map(|(n, _)| n)
}
