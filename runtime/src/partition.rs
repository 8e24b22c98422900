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
//! 3. Blocks of [`SUM_BLOCK`] iterations that one owner runs alone become ranges; the rest become lists, of iterations that nobody else
//!    runs and of those on the border, where every write asks for its owner.
//! 4. Phases whose iterations store complete rows have no rows in common with anything: their iterations are cut evenly, whoever owns
//!    the rows.
//!
//! Common rows ([`spadina_layout::program`]) have no owner: what every iteration writes there are sums, or entries that belong to the owners of
//! their columns.
//!
//! # Limits
//! Any other row that every iteration writes has one owner, who runs every iteration.

use crate::error::RuntimeError;
use crate::streams::SiteStream;
use crate::traverse::walk;
use spadina_layout::abi::COUNTED;
use spadina_layout::program::{PhaseInfo, ProgramInfo, SUM_BLOCK};
use std::ops::Range;

/// Runs of iterations per iteration beyond which rows are reordered.
pub const TOLERATED: f64 = 1.3;

/// The fewest iterations that are worth a list between two borders.
const LEAST_LIST: usize = 8;

/// The most owners there can be.
pub const MOST: usize = 255;

/// A stretch of what one owner runs in one phase, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// Whole blocks of [`SUM_BLOCK`] iterations that nobody else runs.
    Blocks(Range<u32>),
    /// A stretch of the share's element list: iterations that nobody else runs.
    List(Range<usize>),
    /// A stretch of the share's element list with iterations that others run too.
    Border(Range<usize>),
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
        let phases: Vec<Vec<Rows<'_>>> =
            (0..info.phases.len()).map(|p| Rows::of_phase(p, &info.phases[p], streams)).collect();
        let common = streams.iter().any(|stream| is_common(&info.phases[stream.phase], stream));
        let weights = Weights::new(&phases, rows);
        let (owner, ranges) = weights.cut_ranges(threads);
        // Owners zero the values of their own rows only where nobody else writes to them: not with common rows.
        let ranges = Some(ranges).filter(|_| !common);
        let mut best = Cut { owner, ranges, duplication: 1.0 };
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

    fn share_phase(&mut self, phase: usize, sites: &[Rows<'_>], trip: usize) {
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
                    let share = &mut self.shares[owner as usize][phase];
                    share.push_element(iteration as u32 | mark, set.len() == 1);
                }
                start = end;
            }
        }
        for shares in &mut self.shares {
            shares[phase].join_borders();
        }
    }
}

impl Share {
    /// How many sums of the phase's outputs the owner keeps: one for each block that it runs alone, one for each iteration of other
    /// blocks that it runs alone.
    pub(crate) fn own_sums(&self) -> usize {
        let len = |segment: &Segment| match segment {
            Segment::Blocks(range) | Segment::Part(range) => range.len(),
            Segment::List(_) | Segment::Border(_) => 0,
        };
        self.segments.iter().map(len).sum()
    }

    fn push_block(&mut self, block: u32) {
        match self.segments.last_mut() {
            Some(Segment::Blocks(range)) if range.end == block => range.end += 1,
            _ => self.segments.push(Segment::Blocks(block..block + 1)),
        }
    }

    fn push_element(&mut self, element: u32, alone: bool) {
        let end = self.elements.len();
        self.elements.push(element);
        match (self.segments.last_mut(), alone) {
            (Some(Segment::List(range)), true) | (Some(Segment::Border(range)), false) => range.end = end + 1,
            (_, true) => self.segments.push(Segment::List(end..end + 1)),
            (_, false) => self.segments.push(Segment::Border(end..end + 1)),
        }
    }

    /// Lists that are too short for a call of their own join the border beside them.
    fn join_borders(&mut self) {
        let mut joined: Vec<Segment> = Vec::with_capacity(self.segments.len());
        for segment in self.segments.drain(..) {
            match (joined.last_mut(), segment) {
                (Some(Segment::Border(before)), Segment::List(range)) if range.len() < LEAST_LIST => {
                    before.end = range.end;
                }
                (Some(Segment::Border(before)), Segment::Border(range)) => before.end = range.end,
                (_, segment) => joined.push(segment),
            }
        }
        self.segments = joined;
    }
}

/// True for a phase of which several owners may run one iteration.
fn is_shared(info: &PhaseInfo) -> bool {
    !info.serial && !info.stores_rows()
}

fn is_common(info: &PhaseInfo, stream: &SiteStream) -> bool {
    info.sites.iter().chain(&info.row_sites).any(|site| site.site == stream.site && !site.common.is_empty())
}

/// The rows by which the iterations of a stream are shared: all but the common ones.
pub(crate) struct Rows<'a> {
    pub(crate) stream: &'a SiteStream,
    /// Place in the stream and width of each row block.
    blocks: Vec<(usize, u32)>,
}

impl<'a> Rows<'a> {
    fn of_phase(phase: usize, info: &PhaseInfo, streams: &'a [SiteStream]) -> Vec<Rows<'a>> {
        if !is_shared(info) {
            return Vec::new();
        }
        let rows = streams.iter().filter(|stream| stream.phase == phase).map(|stream| {
            let site = info.sites.iter().chain(&info.row_sites).find(|site| site.site == stream.site);
            let common = |block: usize| site.is_some_and(|site| site.common.contains(&(block as u32)));
            let blocks = stream.shape.row_blocks.iter().map(|block| block.width).enumerate();
            Rows { stream, blocks: blocks.filter(|&(block, _)| !common(block)).collect() }
        });
        rows.filter(|rows| !rows.blocks.is_empty()).collect()
    }

    /// First row and width of the blocks of an emission.
    #[inline]
    pub(crate) fn of_emission(&self, emission: usize) -> impl Iterator<Item = (u32, u32)> + '_ {
        let width = self.stream.shape.stream_width();
        let bases = &self.stream.bases[emission * width..][..width];
        self.blocks.iter().map(|&(place, width)| (bases[place], width))
    }
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

    fn of(&mut self, sites: &[Rows<'_>], iteration: usize, owner: &[u8]) -> &[u8] {
        self.stamp += 1;
        self.list.clear();
        for site in sites {
            for emission in site.stream.emissions_of(iteration) {
                for (base, width) in site.of_emission(emission) {
                    for &owner in &owner[base as usize..][..width as usize] {
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
fn duplication(phases: &[Vec<Rows<'_>>], trips: &[i64], owner: &[u8], threads: usize) -> f64 {
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
    fn new(phases: &[Vec<Rows<'_>>], rows: usize) -> Weights {
        let (mut weight, mut height) = (vec![0_u32; rows], vec![0_u32; rows]);
        for site in phases.iter().flatten() {
            let cols: u32 = site.stream.shape.col_blocks.iter().map(|b| b.width).sum();
            for emission in 0..site.stream.emissions {
                for (base, width) in site.of_emission(emission) {
                    let place = &mut weight[base as usize];
                    *place = place.saturating_add(width * (cols + 1));
                    height[base as usize] = height[base as usize].max(width);
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

#[cfg(test)]
mod tests {
    use super::Partition;
    use crate::streams::SiteStream;
    use spadina_layout::program::{PhaseInfo, ProgramInfo, SUM_BLOCK, SiteInfo};
    use spadina_layout::site::{Block, SiteShape};

    /// Pairs of a row of its own and the last row, which is common or not.
    fn arrow(trip: usize, common: Vec<u32>) -> Partition {
        let blocks = vec![Block { start: 0, width: 1 }, Block { start: 1, width: 1 }];
        let shape = SiteShape {
            row_blocks: blocks.clone(),
            col_blocks: blocks,
            entries: vec![(0, 0), (0, 1), (1, 1)],
            symmetric: true,
        };
        let site = SiteInfo { site: 0, shape: shape.clone(), per_iteration: Some(1), direct: false, common };
        let info = ProgramInfo {
            phases: vec![PhaseInfo { sites: vec![site], ..PhaseInfo::default() }],
            scalar_outputs: 0,
            sites: 1,
            stored: Vec::new(),
            filled: Vec::new(),
            may_store: false,
        };
        let stream = SiteStream {
            site: 0,
            phase: 0,
            matrix: true,
            direct: false,
            shape,
            bases: (0..trip as u32).flat_map(|i| [i, trip as u32]).collect(),
            emissions: trip,
            per_iteration: Some(1),
            first: Vec::new(),
        };
        Partition::new(&info, &[trip as i64], &[stream], trip + 1, 2).expect("a partition")
    }

    #[test]
    fn a_common_row_joins_nothing() {
        let trip = 8 * SUM_BLOCK;
        let shared = arrow(trip, vec![1]);
        assert_eq!((shared.duplication, &shared.ranges), (1.0, &None));
        assert!(shared.shares.iter().all(|owner| owner[0].own_sums() == 4 && owner[0].elements.is_empty()));
        let joined = arrow(trip, Vec::new());
        assert!(
            joined.shares.iter().any(|owner| owner[0].own_sums() == 8 || owner[0].elements.len() == trip)
        );
    }

    #[test]
    fn iterations_with_nothing_but_common_rows_are_shared() {
        let shared = arrow(8 * SUM_BLOCK, vec![0, 1]);
        assert!(shared.shares.iter().all(|owner| owner[0].own_sums() == 4));
    }
}
