//! How far into the values the first iterations reach, so that zeroing goes along with the sums.
//!
//! # Problem
//! Zeroing all values before the first sum passes them through memory once more than needed: on meshes about a fifth of an
//! evaluation.
//!
//! # Method
//! For every block of [`SUM_BLOCK`] iterations the *frontier* is the number of leading values that contains all rows written so far. Values
//! are zeroed up to the frontier just before the block runs: they are still in the cache when they are added to.
//!
//! While it runs, it asks memory for what the next block will be the first to write ([`spadina_layout::abi`], `ahead`).
//!
//! # Limits
//! Where the numbering is bad the first block reaches to the end, and all values are zeroed at once, as without frontiers. Only for
//! matrices whose row positions are row numbers. Values that are stored whole, between the others, are passed over.

use crate::streams::SiteStream;
use spadina_layout::env::Env;
use spadina_layout::program::SUM_BLOCK;
use std::ops::Range;

/// Frontiers of the blocks of every phase, in the order in which phases run.
pub(crate) fn frontiers(streams: &[SiteStream], trips: &[i64], row_ptr: &[u32]) -> Vec<Vec<u32>> {
    let mut reached = 0;
    let phases = trips.iter().enumerate().map(|(phase, &trip)| {
        let trip = trip as usize;
        let sites: Vec<&SiteStream> = streams.iter().filter(|s| s.phase == phase).collect();
        let blocks = (0..trip.div_ceil(SUM_BLOCK)).map(|block| {
            let (first, last) = (block * SUM_BLOCK, ((block + 1) * SUM_BLOCK).min(trip) - 1);
            for site in &sites {
                let emissions = site.emissions_of(first).start..site.emissions_of(last).end;
                reached = reached.max(last_row(site, &site.bases[width(site, &emissions)]));
            }
            row_ptr.get(reached).copied().unwrap_or(u32::MAX)
        });
        blocks.collect()
    });
    phases.collect()
}

/// The positions of some emissions in the stream.
fn width(site: &SiteStream, emissions: &Range<usize>) -> Range<usize> {
    let width = site.shape.stream_width();
    emissions.start * width..emissions.end * width
}

/// One more than the last row that emissions write.
fn last_row(site: &SiteStream, bases: &[u32]) -> usize {
    let mut last = 0;
    for emission in bases.chunks_exact(site.shape.stream_width().max(1)) {
        for (&base, block) in emission.iter().zip(&site.shape.row_blocks) {
            last = last.max(base as usize + block.width as usize);
        }
    }
    last
}

/// The blocks that run at once. Where they sum something up, each runs alone; else those together that reach equally far, which without
/// frontiers are all.
pub(crate) fn runs(
    frontiers: Option<&[u32]>,
    blocks: Range<usize>,
    summed: bool,
) -> impl Iterator<Item = Range<usize>> {
    let mut first = blocks.start;
    std::iter::from_fn(move || {
        let alike = |&block: &usize| frontiers.is_none_or(|f| f.get(block) == f.get(first));
        let more = (first + 1..blocks.end).take_while(|block| !summed && alike(block)).count();
        let run = first..first + 1 + more;
        first = run.end;
        (run.end <= blocks.end).then_some(run)
    })
}

/// Values of which the first have been zeroed, those that are stored excepted.
pub(crate) struct Fresh<'v> {
    /// The values, and the number of the first among all values of the matrix.
    pub(crate) values: &'v mut [f64],
    pub(crate) start: usize,
    /// How many are zeroed.
    pub(crate) done: usize,
    /// Which values of the matrix are to be zeroed, in ascending order, where others are stored; all if there is no list.
    pub(crate) cleared: Option<&'v [Range<usize>]>,
}

impl Fresh<'_> {
    /// Zeroes what lies before the frontier and is not zeroed yet. Compiled code writes to the values through the address that this
    /// exposes.
    pub(crate) fn reach(&mut self, frontier: usize) {
        let until = frontier.saturating_sub(self.start).min(self.values.len());
        if until > self.done {
            self.clear(until);
            self.done = until;
            self.values.as_mut_ptr().expose_provenance();
        }
    }

    fn clear(&mut self, until: usize) {
        let Some(cleared) = self.cleared else { return self.values[self.done..until].fill(0.0) };
        let (from, to) = (self.start + self.done, self.start + until);
        let first = cleared.partition_point(|range| range.end <= from);
        for range in cleared[first..].iter().take_while(|range| range.start < to) {
            let (from, to) = (range.start.max(from), range.end.min(to));
            self.values[from - self.start..to - self.start].fill(0.0);
        }
    }

    /// Zeroes what lies before the frontier of blocks that reach equally far, and has their iterations ask for what the next block will be the
    /// first to write. Without frontiers all is zeroed.
    pub(crate) fn reach_blocks(&mut self, frontiers: Option<&[u32]>, blocks: &Range<usize>, env: &mut Env) {
        let frontier = |block: usize| frontiers?.get(block).map(|&frontier| frontier as usize);
        self.reach(frontier(blocks.start).unwrap_or(usize::MAX));
        let until = frontier(blocks.end).unwrap_or(0).saturating_sub(self.start).min(self.values.len());
        if until > self.done {
            env.ask_ahead(&self.values[self.done..until], blocks.len() * SUM_BLOCK);
        } else {
            env.ask_nothing(self.values);
        }
    }

    /// Zeroes the rest.
    pub(crate) fn finish(&mut self) {
        self.reach(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::{Fresh, frontiers, runs};
    use crate::streams::SiteStream;
    use spadina_layout::abi::EnvLayout;
    use spadina_layout::env::Env;
    use spadina_layout::program::SUM_BLOCK;
    use spadina_layout::site::{Block, SiteShape};

    fn stream(phase: usize, bases: Vec<u32>) -> SiteStream {
        let block = vec![Block { start: 0, width: 2 }];
        let shape = SiteShape {
            row_blocks: block.clone(),
            col_blocks: block,
            entries: vec![(0, 0)],
            symmetric: true,
        };
        let emissions = bases.len();
        SiteStream {
            site: phase as u32,
            phase,
            matrix: true,
            direct: false,
            shape,
            bases,
            emissions,
            per_iteration: Some(1),
            first: Vec::new(),
        }
    }

    #[test]
    fn frontiers_never_fall_back() {
        let trip = SUM_BLOCK + 1;
        let mut bases = vec![4; trip];
        bases[7] = 2;
        bases[SUM_BLOCK] = 0;
        let streams = [stream(0, bases), stream(1, vec![8])];
        let row_ptr: Vec<u32> = (0..=10).map(|row| 3 * row).collect();
        assert_eq!(frontiers(&streams, &[trip as i64, 1], &row_ptr), [vec![18, 18], vec![30]]);
    }

    #[test]
    fn values_are_zeroed_once_and_in_order() {
        let mut values = [1.0; 6];
        let mut fresh = Fresh { values: &mut values, start: 10, done: 0, cleared: None };
        fresh.reach(5);
        fresh.reach(12);
        fresh.values[0] = 7.0;
        fresh.reach(11);
        fresh.finish();
        assert_eq!(values, [7.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn values_that_are_stored_are_not_zeroed() {
        let cleared = [2..4, 11..13, 15..16];
        for steps in [&[100][..], &[11, 12, 14, 17], &[13, 15, 16]] {
            let mut values = [1.0; 7];
            let mut fresh = Fresh { values: &mut values, start: 10, done: 0, cleared: Some(&cleared) };
            for &frontier in steps {
                fresh.reach(frontier);
            }
            assert_eq!(values, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0], "{steps:?}");
        }
    }

    #[test]
    fn what_comes_next_is_asked_for() {
        let mut values = vec![1.0; 300];
        let address = values.as_ptr() as u64;
        let layout = EnvLayout { sizes: 0, buffers: 0, sites: 0 };
        let (mut env, frontiers) = (Env::new(layout), [130, 258, 258]);
        let mut fresh = Fresh { values: &mut values, start: 2, done: 0, cleared: None };
        let mut asked = Vec::new();
        for block in 0..frontiers.len() {
            fresh.reach_blocks(Some(&frontiers), &(block..block + 1), &mut env);
            asked.push(((env.get(layout.ahead()) - address) / 8, env.get(layout.ahead_step())));
        }
        // Up to the next frontier, two values an iteration; then nothing.
        assert_eq!(asked, [(128, 16), (0, 0), (0, 0)]);
        assert_eq!((fresh.done, values[255], values[256]), (256, 0.0, 1.0));
    }

    #[test]
    fn blocks_without_sums_run_together_where_they_reach_equally_far() {
        let found = |frontiers: Option<&[u32]>, summed| -> Vec<_> { runs(frontiers, 1..5, summed).collect() };
        assert_eq!(found(Some(&[7, 7, 9, 9, 9]), false), [1..2, 2..5]);
        assert_eq!(found(Some(&[7, 7, 9, 9, 9]), true), [1..2, 2..3, 3..4, 4..5]);
        assert_eq!((found(None, false).len(), found(None, false).first()), (1, Some(&(1..5))));
        assert_eq!(runs(None, 0..0, false).count(), 0);
    }
}
