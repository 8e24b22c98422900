//! Who owns which rows, and which iterations each owner runs.
//!
//! # Method
//! Every row has one owner. An iteration is run by every owner of a row that it writes; each writes only its own rows, in
//! iteration order, so every entry is summed in the order of a serial run: the same bits for any number of threads, no
//! atomics, no serial part. The lowest owner of an iteration counts its sums.
//!
//! 1. Rows are weighed by the entries written to them and cut into contiguous ranges of equal weight.
//! 2. If that makes owners repeat more than [`TOLERATED`] of the work, rows are ordered by a breadth-first walk over
//!    iterations that share rows, cut again, and the better of the two is kept.
//! 3. Blocks of [`SUM_BLOCK`] iterations that one owner runs alone become ranges; the rest become lists.
//! 4. Phases whose iterations store complete rows have no rows in common with anything: their iterations are cut evenly, whoever owns
//!    the rows.
//!
//! # Limits
//! A row that every iteration writes (an arrow) has one owner, who runs every iteration.

use crate::error::RuntimeError;
use crate::streams::SiteStream;
use crate::traverse::walk;
use spadina_layout::abi::COUNTED;
use spadina_layout::program::{PhaseInfo, ProgramInfo, SUM_BLOCK};
use std::ops::Range;

/// Runs of iterations per iteration beyond which rows are reordered.
pub const TOLERATED: f64 = 1.3;

/// The most owners there can be.
pub const MOST: usize = 255;

/// A stretch of what one owner runs in one phase, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// Whole blocks of [`SUM_BLOCK`] iterations that nobody else runs.
    Blocks(Range<u32>),
    /// A stretch of the share's element list.
    List(Range<usize>),
    /// Iterations that nobody else runs, of blocks that others run the rest of.
    Part(Range<u32>),
}

/// What one owner runs in one phase.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Stretches in ascending order of iterations.
    pub segments: Vec<Segment>,
    /// Iterations of the lists, ascending; the top bit says that sums are counted here.
    pub elements: Vec<u32>,
}

/// Owners of rows and shares of iterations for one number of threads.
#[derive(Clone, PartialEq, Debug)]
pub struct Partition {
    /// Number of owners.
    pub threads: usize,
    /// The owner of each row position.
    pub owner: Vec<u8>,
    /// First row position of each owner (and the end), where rows are cut into ranges.
    pub ranges: Option<Vec<usize>>,
    /// `shares[owner][phase]`.
    pub shares: Vec<Vec<Share>>,
    /// Blocks of iterations, by phase, whose sums come from lists.
    pub listed: Vec<Vec<u32>>,
    /// Iterations run, with repeats, per iteration.
    pub duplication: f64,
}

impl Partition {
    /// Shares rows and iterations among so many owners (at most [`MOST`]).
    pub fn new(
        info: &ProgramInfo,
        trips: &[i64],
        streams: &[SiteStream],
        rows: usize,
        threads: usize,
    ) -> Result<Partition, RuntimeError> {
        if threads == 0 || threads > MOST {
            return Err(RuntimeError::Options("the number of threads must be 1 to 255"));
        }
        if streams.iter().any(|s| !fits(s, rows)) {
            return Err(RuntimeError::Mismatch("streams and rows"));
        }
        let phases: Vec<Vec<&SiteStream>> = (0..info.phases.len())
            .map(|p| streams.iter().filter(|s| s.phase == p && is_shared(&info.phases[p])).collect())
            .collect();
        let weights = Weights::new(&phases, rows);
        let (owner, ranges) = weights.cut_ranges(threads);
        let mut best = Cut { owner, ranges: Some(ranges), duplication: 1.0 };
        best.duplication = duplication(&phases, trips, &best.owner, threads);
        if best.duplication > TOLERATED {
            let order = walk(&phases, trips, rows);
            let owner = weights.cut_order(&order, threads);
            let duplication = duplication(&phases, trips, &owner, threads);
            if duplication < best.duplication {
                best = Cut { owner, ranges: None, duplication };
            }
        }
        let mut made = Partition {
            threads,
            owner: best.owner,
            ranges: best.ranges,
            shares: vec![vec![Share::default(); phases.len()]; threads],
            listed: vec![Vec::new(); phases.len()],
            duplication: best.duplication,
        };
        for (p, phase) in phases.iter().enumerate() {
            if is_shared(&info.phases[p]) {
                made.share_phase(p, phase, trips[p] as usize);
            } else if info.phases[p].stores_rows() {
                made.share_rows(p, trips[p] as usize);
            }
        }
        Ok(made)
    }

    /// Even shares of iterations that write nothing in common.
    fn share_rows(&mut self, phase: usize, trip: usize) {
        for owner in 0..self.threads {
            let end = trip * (owner + 1) / self.threads;
            let mut start = trip * owner / self.threads;
            while start < end {
                let block = start / SUM_BLOCK;
                let whole = block * SUM_BLOCK..((block + 1) * SUM_BLOCK).min(trip);
                let until = whole.end.min(end);
                let share = &mut self.shares[owner][phase];
                if (start..until) == whole {
                    share.push_block(block as u32);
                } else {
                    share.segments.push(Segment::Part(start as u32..until as u32));
                    if self.listed[phase].last() != Some(&(block as u32)) {
                        self.listed[phase].push(block as u32);
                    }
                }
                start = until;
            }
        }
    }

    fn share_phase(&mut self, phase: usize, sites: &[&SiteStream], trip: usize) {
        let mut owners = Owners::new(self.threads);
        let mut previous = 0;
        // Owners of the iterations of one block, one after another; `ends[i]` is where those of iteration i end.
        let (mut found, mut ends): (Vec<u8>, Vec<usize>) = (Vec::new(), Vec::new());
        for block in 0..trip.div_ceil(SUM_BLOCK) {
            found.clear();
            ends.clear();
            if sites.is_empty() {
                previous = (block * SUM_BLOCK * self.threads / trip) as u8;
            }
            let iterations = block * SUM_BLOCK..((block + 1) * SUM_BLOCK).min(trip);
            for iteration in iterations.clone() {
                let set = owners.of(sites, iteration, &self.owner);
                previous = set.first().copied().unwrap_or(previous);
                if set.is_empty() {
                    found.push(previous);
                } else {
                    found.extend_from_slice(set);
                }
                ends.push(found.len());
            }
            let alone = found.first().copied().filter(|&o| found.iter().all(|&x| x == o));
            if let Some(owner) = alone {
                self.shares[owner as usize][phase].push_block(block as u32);
                continue;
            }
            self.listed[phase].push(block as u32);
            let mut start = 0;
            for (iteration, &end) in iterations.zip(&ends) {
                let set = &found[start..end];
                let lowest = set.iter().min().copied().unwrap_or(0);
                for &owner in set {
                    let mark = if owner == lowest { COUNTED } else { 0 };
                    self.shares[owner as usize][phase].push_element(iteration as u32 | mark);
                }
                start = end;
            }
        }
    }
}

impl Share {
    /// How many sums of the phase's outputs the owner keeps: one for each block that it runs alone, one for each iteration of other
    /// blocks that it runs alone.
    pub(crate) fn own_sums(&self) -> usize {
        let len = |segment: &Segment| match segment {
            Segment::Blocks(range) | Segment::Part(range) => range.len(),
            Segment::List(_) => 0,
        };
        self.segments.iter().map(len).sum()
    }

    fn push_block(&mut self, block: u32) {
        match self.segments.last_mut() {
            Some(Segment::Blocks(range)) if range.end == block => range.end += 1,
            _ => self.segments.push(Segment::Blocks(block..block + 1)),
        }
    }

    fn push_element(&mut self, element: u32) {
        let end = self.elements.len();
        self.elements.push(element);
        match self.segments.last_mut() {
            Some(Segment::List(range)) => range.end = end + 1,
            _ => self.segments.push(Segment::List(end..end + 1)),
        }
    }
}

/// True for a phase of which several owners may run one iteration.
fn is_shared(info: &PhaseInfo) -> bool {
    !info.serial && !info.stores_rows()
}

struct Cut {
    owner: Vec<u8>,
    ranges: Option<Vec<usize>>,
    duplication: f64,
}

/// Whether all row blocks of a stream lie inside the rows.
fn fits(stream: &SiteStream, rows: usize) -> bool {
    let width = stream.shape.stream_width();
    if width == 0 {
        return true;
    }
    stream.bases.chunks_exact(width).all(|bases| {
        bases
            .iter()
            .zip(&stream.shape.row_blocks)
            .all(|(&b, block)| b as usize + block.width as usize <= rows)
    })
}

/// The distinct owners of the rows that an iteration writes.
struct Owners {
    seen: Vec<usize>,
    stamp: usize,
    list: Vec<u8>,
}

impl Owners {
    fn new(threads: usize) -> Owners {
        Owners { seen: vec![0; threads], stamp: 0, list: Vec::with_capacity(threads) }
    }

    fn of(&mut self, sites: &[&SiteStream], iteration: usize, owner: &[u8]) -> &[u8] {
        self.stamp += 1;
        self.list.clear();
        for site in sites {
            let width = site.shape.stream_width();
            for emission in site.emissions_of(iteration) {
                let bases = &site.bases[emission * width..][..width];
                for (&base, block) in bases.iter().zip(&site.shape.row_blocks) {
                    for &owner in &owner[base as usize..][..block.width as usize] {
                        let seen = &mut self.seen[owner as usize];
                        if *seen != self.stamp {
                            *seen = self.stamp;
                            self.list.push(owner);
                        }
                    }
                }
            }
        }
        &self.list
    }
}

/// Iterations run, with repeats, per iteration.
fn duplication(phases: &[Vec<&SiteStream>], trips: &[i64], owner: &[u8], threads: usize) -> f64 {
    let mut owners = Owners::new(threads);
    let (mut run, mut all) = (0_u64, 0_u64);
    for (sites, &trip) in phases.iter().zip(trips) {
        if sites.is_empty() {
            continue;
        }
        for iteration in 0..trip as usize {
            run += owners.of(sites, iteration, owner).len().max(1) as u64;
            all += 1;
        }
    }
    if all == 0 { 1.0 } else { run as f64 / all as f64 }
}

/// How much is written to each row (counted at the first row of a block), and where blocks reach.
struct Weights {
    weight: Vec<u32>,
    /// Rows of the widest block that starts here.
    height: Vec<u32>,
    total: u64,
}

impl Weights {
    fn new(phases: &[Vec<&SiteStream>], rows: usize) -> Weights {
        let (mut weight, mut height) = (vec![0_u32; rows], vec![0_u32; rows]);
        for site in phases.iter().flatten() {
            let width = site.shape.stream_width();
            if width == 0 {
                continue;
            }
            let cols: u32 = site.shape.col_blocks.iter().map(|b| b.width).sum();
            for bases in site.bases.chunks_exact(width) {
                for (&base, block) in bases.iter().zip(&site.shape.row_blocks) {
                    let place = &mut weight[base as usize];
                    *place = place.saturating_add(block.width * (cols + 1));
                    height[base as usize] = height[base as usize].max(block.width);
                }
            }
        }
        let total = weight.iter().map(|&w| u64::from(w)).sum();
        Weights { weight, height, total }
    }

    /// The owner of what starts after this much weight.
    fn owner_at(&self, before: u64, threads: usize) -> u8 {
        let share = u128::from(before) * threads as u128 / u128::from(self.total.max(1));
        share.min(threads as u128 - 1) as u8
    }

    /// Contiguous ranges; a block is not cut unless blocks overlap in a chain.
    fn cut_ranges(&self, threads: usize) -> (Vec<u8>, Vec<usize>) {
        let rows = self.weight.len();
        let mut owner = Vec::with_capacity(rows);
        let (mut before, mut current, mut block_end, mut allowed) = (0_u64, 0_u8, 0_usize, 0_usize);
        for row in 0..rows {
            let wanted = if self.total == 0 {
                (row * threads / rows) as u8
            } else {
                // The middle of a row's weight decides: a heavy row goes to the side it mostly lies on.
                self.owner_at(before + u64::from(self.weight[row]) / 2, threads)
            };
            if wanted > current && (row >= block_end || row >= allowed) {
                current = wanted;
            }
            if row >= block_end {
                allowed = row + self.height[row] as usize;
            }
            block_end = block_end.max(row + self.height[row] as usize);
            owner.push(current);
            before += u64::from(self.weight[row]);
        }
        let ends = (0..=threads).map(|t| owner.partition_point(|&o| (o as usize) < t)).collect();
        (owner, ends)
    }

    /// Pieces of equal weight of an order of first rows.
    fn cut_order(&self, order: &[u32], threads: usize) -> Vec<u8> {
        let mut owner = vec![0; self.weight.len()];
        let mut before = 0;
        for &row in order {
            let row = row as usize;
            let piece = self.owner_at(before + u64::from(self.weight[row]) / 2, threads);
            owner[row..row + self.height[row].max(1) as usize].fill(piece);
            before += u64::from(self.weight[row]);
        }
        owner
    }
}
