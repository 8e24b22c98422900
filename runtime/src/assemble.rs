//! From streams to a pattern and slot records: the sorting routines of `spadina-layout`, given memory.

use crate::csr::Pattern;
use crate::error::RuntimeError;
use crate::found::Found;
use crate::room::Room;
use crate::team::Team;
use spadina_layout::band::{Memory, Rows, Widths};
use spadina_layout::blocks::{Stream, check_streams, consistent_blocks};
use spadina_layout::filter::Filter;
use spadina_layout::rows::{Grain, SiteRows};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use spadina_layout::slots::{Condense, SlotWord};
use spadina_layout::sort::{Buckets, Site, bucket, number_refs, refs_len};
use std::ops::Range;
use std::sync::Arc;

/// The slot records of one site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Slots {
    /// Offsets of one byte.
    U8(Vec<u8>),
    /// Offsets of two bytes.
    U16(Vec<u16>),
    /// Offsets of four bytes.
    U32(Vec<u32>),
}

impl Slots {
    /// Number of offsets.
    pub fn len(&self) -> usize {
        match self {
            Slots::U8(data) => data.len(),
            Slots::U16(data) => data.len(),
            Slots::U32(data) => data.len(),
        }
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Width of an offset.
    pub fn width(&self) -> SlotWidth {
        match self {
            Slots::U8(_) => SlotWidth::U8,
            Slots::U16(_) => SlotWidth::U16,
            Slots::U32(_) => SlotWidth::U32,
        }
    }

    /// An offset.
    pub(crate) fn get(&self, n: usize) -> Option<u32> {
        match self {
            Slots::U8(data) => data.get(n).map(|&offset| u32::from(offset)),
            Slots::U16(data) => data.get(n).map(|&offset| u32::from(offset)),
            Slots::U32(data) => data.get(n).copied(),
        }
    }

    /// The address of the first offset, for compiled code to read.
    pub(crate) fn address(&self) -> u64 {
        let address = match self {
            Slots::U8(data) => data.as_ptr().expose_provenance(),
            Slots::U16(data) => data.as_ptr().expose_provenance(),
            Slots::U32(data) => data.as_ptr().expose_provenance(),
        };
        address as u64
    }

    /// Bytes of all offsets.
    pub fn bytes(&self) -> usize {
        self.len() * self.width().bytes()
    }
}

/// How to assemble, beyond the filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice {
    /// Entry records even where block records would do.
    pub entry_slots: bool,
    /// Offsets at least this wide.
    pub min_width: Option<SlotWidth>,
    /// Values that are emitted once each are stored ([`SlotLayout::stores`]).
    pub may_store: bool,
}

/// A pattern with the slot records that refer to it.
#[derive(Debug)]
pub struct Assembled {
    /// The pattern; an older one where it is the same.
    pub pattern: Arc<Pattern>,
    /// Slot records, one list per stream.
    pub slots: Vec<Slots>,
    /// Their layout.
    pub layout: SlotLayout,
}

/// Sorts all streams into a pattern and gives every emission its slots. `forced[row]` adds the diagonal entry of a row. The pattern is `old` where
/// that is the same. The result does not depend on the team.
///
/// Linear in rows, columns and emitted items but for the sorting of rows of middling length; temporary memory is one word per
/// row group and row, and two per column and member of the team.
pub fn assemble(
    streams: &[Stream<'_>],
    filter: &Filter<'_>,
    forced: &[bool],
    choice: Choice,
    team: Team<'_>,
    old: Option<&Arc<Pattern>>,
) -> Result<Assembled, RuntimeError> {
    check_streams(streams, filter)?;
    let mut row_width = vec![0; filter.rows];
    let mut col_width = Vec::new();
    let by_block = forced.is_empty() && consistent_blocks(streams, filter, &mut row_width, &mut col_width)?;
    let grain = if by_block { Grain::Block } else { Grain::Entry };
    let drops = filter.drops();
    let mode = if by_block && !choice.entry_slots { SlotMode::Block } else { SlotMode::Entry };
    let layout = SlotLayout { mode, width: SlotWidth::U8, drops, stores: false };

    let views: Vec<SiteRows> = streams.iter().map(|s| SiteRows::new(s.shape, grain, layout)).collect();
    let mut sites: Vec<Site<'_>> =
        streams.iter().zip(&views).map(|(&stream, rows)| Site { stream, rows, first_ref: 0 }).collect();
    number_refs(&mut sites)?;
    let mut first = vec![0; filter.rows + 1];
    let mut refs = vec![0; refs_len(&sites)];
    bucket(&sites, filter, &mut first, &mut refs)?;
    let widths = if col_width.is_empty() { &row_width } else { &col_width };
    let rows = Rows {
        sites: &sites,
        filter,
        buckets: Buckets { first: &first, refs: &refs },
        col_width: by_block.then(|| Widths::of(widths)),
        forced,
    };
    let row_width = by_block.then_some(&row_width[..]);
    let old = old.filter(|old| (old.rows(), old.cols()) == (filter.rows, filter.cols));
    let may_store = choice.may_store && !drops && forced.is_empty();
    let job = Job { rows, row_width, emitted: emitted(streams), may_store, team, old };
    let condense = layout.mode == SlotMode::Entry && !drops && !choice.entry_slots;
    let mut width = choice.min_width.unwrap_or(SlotWidth::U8);
    // Most rows are short. Where one turns out too long for its offsets, the rows are walked again.
    loop {
        let made = match width {
            SlotWidth::U8 => job.run::<u8>(layout, condense, Slots::U8)?,
            SlotWidth::U16 => job.run::<u16>(layout, condense, Slots::U16)?,
            SlotWidth::U32 => job.run::<u32>(layout, condense, Slots::U32)?,
        };
        let needed = SlotWidth::for_row_len(made.pattern.longest_row());
        if needed <= width {
            return Ok(made);
        }
        width = needed;
    }
}

/// Entries that are emitted, with repeats.
fn emitted(streams: &[Stream<'_>]) -> usize {
    streams.iter().map(|s| s.emissions * s.shape.expanded_len()).sum()
}

struct Job<'a> {
    rows: Rows<'a>,
    /// Width of the block that starts at each row, where sorting goes by blocks.
    row_width: Option<&'a [u32]>,
    emitted: usize,
    /// Whether values that are emitted once may be stored.
    may_store: bool,
    team: Team<'a>,
    old: Option<&'a Arc<Pattern>>,
}

impl Job<'_> {
    /// Pattern and records; with `condense` turns them into block records where all full sites allow it.
    fn run<W: SlotWord>(
        &self,
        mut layout: SlotLayout,
        condense: bool,
        wrap: fn(Vec<W>) -> Slots,
    ) -> Result<Assembled, RuntimeError> {
        layout.width = W::WIDTH;
        let sites = self.rows.sites;
        let blank = if self.rows.filter.drops() { W::DROPPED } else { W::from_offset(0) };
        let offsets: usize = sites.iter().map(|s| s.stream.emissions * s.rows.record_len).sum();
        if !Room::default().holds((offsets * W::WIDTH.bytes()) as u64) {
            return Err(RuntimeError::Memory { buffer: "slot records".into() });
        }
        let records: Vec<Vec<W::Cell>> = sites
            .iter()
            .map(|s| (0..s.stream.emissions * s.rows.record_len).map(|_| blank.cell()).collect())
            .collect();
        let pattern = self.pattern::<W>(&records.iter().map(|r| &r[..]).collect::<Vec<_>>())?;
        // In place: cells are no larger than what they hold.
        let mut records: Vec<Vec<W>> =
            records.into_iter().map(|cells| cells.into_iter().map(W::take).collect()).collect();
        if condense {
            let plans: Vec<_> = sites.iter().map(|s| Condense::new(s.stream.shape)).collect();
            let pairs = || plans.iter().zip(&records);
            if pairs().all(|(plan, records)| plan.as_ref().is_none_or(|p| p.applies(records))) {
                layout.mode = SlotMode::Block;
                for (plan, records) in plans.iter().zip(&mut records) {
                    if let Some(plan) = plan {
                        let len = plan.run(records);
                        records.truncate(len);
                        records.shrink_to_fit();
                    }
                }
            }
        }
        // No value is emitted twice if there are as many as are emitted.
        layout.stores = self.may_store && self.emitted == pattern.nnz();
        let slots = records.into_iter().map(wrap).collect();
        Ok(Assembled { pattern, slots, layout })
    }

    /// The pattern, band by band; fills records on the way.
    fn pattern<W: SlotWord>(&self, records: &[&[W::Cell]]) -> Result<Arc<Pattern>, RuntimeError> {
        let made = self.team.map(self.bands(), |band| self.band::<W>(band, records));
        let made = made.into_iter().collect::<Result<Vec<Found<'_>>, RuntimeError>>()?;
        if let Some(old) = self.old.filter(|_| made.iter().all(Found::is_old)) {
            return Ok(Arc::clone(old));
        }
        let filter = self.rows.filter;
        let (row_ptr, col_idx) =
            Found::join(made).ok_or(RuntimeError::TooLarge { what: "matrix entries" })?;
        Ok(Arc::new(Pattern::trusted(filter.rows, filter.cols, row_ptr, col_idx)))
    }

    fn band<W: SlotWord>(
        &self,
        band: Range<usize>,
        records: &[&[W::Cell]],
    ) -> Result<Found<'_>, RuntimeError> {
        let filter = self.rows.filter;
        let (refs, all) = (self.refs_of(&band), self.rows.buckets.refs.len().max(1));
        let share = (self.emitted as u128 * refs as u128 / all as u128) as usize;
        let old = self.old.map(|old| &**old);
        let mut rows = Found::new((band.start, band.len()), filter.cols, share, old);
        let mut memory = Memory::new(filter.cols);
        // Rows inside a block come with its first.
        let mut next = band.start;
        self.rows.walk::<W>(band, &mut memory, records, |row, cols| {
            match (self.row_width, self.rows.col_width) {
                (Some(heights), Some(widths)) => {
                    if row >= next {
                        rows.push_block(heights[row], cols, widths);
                        next = row + heights[row].max(1) as usize;
                    }
                }
                _ => rows.push(cols),
            }
        })?;
        Ok(rows)
    }

    fn refs_of(&self, band: &Range<usize>) -> usize {
        let first = self.rows.buckets.first;
        (first[band.end] - first[band.start]) as usize
    }

    /// Bands with about as many references each, one for each member of the team; blocks of rows stay together.
    fn bands(&self) -> Vec<Range<usize>> {
        let (rows, first) = (self.rows.filter.rows, self.rows.buckets.first);
        let all = u64::from(first[rows]);
        let mut bands = Vec::new();
        let mut start = 0;
        for member in 1..=self.team.members() as u64 {
            let wanted = all * member / self.team.members() as u64;
            let mut end = first.partition_point(|&before| u64::from(before) < wanted).clamp(start, rows);
            if member == self.team.members() as u64 {
                end = rows;
            } else if let Some(heights) = self.row_width {
                let block = (start..end).rev().find(|&row| heights[row] > 0);
                end = block.map_or(end, |row| end.max(row + heights[row] as usize).min(rows));
            }
            bands.push(start..end);
            start = end;
        }
        bands
    }
}
