//! From streams to a pattern and slot records: the sorting routines of `spadina-layout`, given memory.

use crate::csr::Pattern;
use crate::error::RuntimeError;
use spadina_layout::blocks::{Stream, check_streams, consistent_blocks};
use spadina_layout::filter::Filter;
use spadina_layout::rows::{Grain, SiteRows};
use spadina_layout::site::{SlotLayout, SlotMode, SlotWidth};
use spadina_layout::slots::{Condense, PatternView, SlotWord, fill};
use spadina_layout::sort::{Buckets, Site, bucket, for_each_row, number_refs, refs_len};

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
}

/// A pattern with the slot records that refer to it.
#[derive(Debug)]
pub struct Assembled {
    /// The pattern.
    pub pattern: Pattern,
    /// Slot records, one list per stream.
    pub slots: Vec<Slots>,
    /// Their layout.
    pub layout: SlotLayout,
}

/// Sorts all streams into a pattern and gives every emission its slots. `forced[row]` adds the diagonal entry of a row.
///
/// Linear in rows, columns and emitted items but for the sorting of rows of middling length; temporary memory is one word per
/// row group, row and column.
pub fn assemble(
    streams: &[Stream<'_>],
    filter: &Filter<'_>,
    forced: &[bool],
    choice: Choice,
) -> Result<Assembled, RuntimeError> {
    check_streams(streams, filter)?;
    let mut row_width = vec![0; filter.rows];
    let mut col_width = vec![0; filter.cols];
    let by_block = forced.is_empty() && consistent_blocks(streams, filter, &mut row_width, &mut col_width)?;
    let grain = if by_block { Grain::Block } else { Grain::Entry };
    let drops = filter.drops();
    let mode = if by_block && !choice.entry_slots { SlotMode::Block } else { SlotMode::Entry };
    let mut layout = SlotLayout { mode, width: SlotWidth::U8, drops };

    let views: Vec<SiteRows> = streams.iter().map(|s| SiteRows::new(s.shape, grain, layout)).collect();
    let mut sites: Vec<Site<'_>> =
        streams.iter().zip(&views).map(|(&stream, rows)| Site { stream, rows, first_ref: 0 }).collect();
    number_refs(&mut sites)?;
    let mut first = vec![0; filter.rows + 1];
    let mut refs = vec![0; refs_len(&sites)];
    bucket(&sites, filter, &mut first, &mut refs)?;
    let buckets = Buckets { first: &first, refs: &refs };

    let mut stamp = vec![0; filter.cols];
    let mut rows = RowBuilder::new(filter, streams);
    let mut list = vec![0; filter.cols + 1];
    for_each_row(
        &sites,
        filter,
        buckets,
        &mut stamp,
        &mut list,
        |row| forced.get(row).copied().unwrap_or(false),
        |row, cols| {
            if by_block {
                rows.push_block(row, row_width[row], cols, &col_width);
            } else {
                rows.push(cols);
            }
        },
    )?;
    drop((list, row_width, col_width));
    let pattern = rows.finish(filter)?;

    let needed = SlotWidth::for_row_len(pattern.longest_row());
    layout.width = choice.min_width.map_or(needed, |least| needed.max(least));
    let view = PatternView { row_ptr: pattern.row_ptr(), col_idx: pattern.col_idx() };
    let job = Job { sites: &sites, filter, buckets, view };
    let condense = layout.mode == SlotMode::Entry && !drops && !choice.entry_slots;
    let (slots, mode) = match layout.width {
        SlotWidth::U8 => job.run::<u8>(&mut stamp, condense, Slots::U8)?,
        SlotWidth::U16 => job.run::<u16>(&mut stamp, condense, Slots::U16)?,
        SlotWidth::U32 => job.run::<u32>(&mut stamp, condense, Slots::U32)?,
    };
    layout.mode = mode.unwrap_or(layout.mode);
    Ok(Assembled { pattern, slots, layout })
}

/// The rows of a pattern as they are found.
struct RowBuilder {
    row_ptr: Vec<u32>,
    col_idx: Vec<u32>,
    overflow: bool,
}

impl RowBuilder {
    /// Room for half of the emitted entries: on meshes fewer are distinct, and memory that stays untouched costs nothing,
    /// while growing by copies took longer than sorting.
    fn new(filter: &Filter<'_>, streams: &[Stream<'_>]) -> RowBuilder {
        let mut row_ptr = Vec::with_capacity(filter.rows + 1);
        row_ptr.push(0);
        let emitted: usize = streams.iter().map(|s| s.emissions * s.shape.expanded_len()).sum();
        let mut col_idx = Vec::new();
        // Without this room, pushing grows the list as usual.
        let room = (emitted / 2).min(filter.rows.saturating_mul(filter.cols));
        let reserved = col_idx.try_reserve_exact(room);
        RowBuilder { row_ptr, col_idx, overflow: reserved.is_err() && room > u32::MAX as usize }
    }

    fn end_row(&mut self) {
        self.overflow |= self.col_idx.len() > u32::MAX as usize;
        self.row_ptr.push(self.col_idx.len() as u32);
    }

    fn push(&mut self, cols: &[u32]) {
        if !self.overflow {
            self.col_idx.extend_from_slice(cols);
        }
        self.end_row();
    }

    /// A block of rows that see the same blocks of columns; rows inside a block have come with its first.
    fn push_block(&mut self, row: usize, height: u32, bases: &[u32], col_width: &[u32]) {
        if self.row_ptr.len() > row + 1 || self.overflow {
            return;
        }
        let start = self.col_idx.len();
        for &base in bases {
            self.col_idx.extend(base..base + col_width[base as usize]);
        }
        let end = self.col_idx.len();
        self.end_row();
        for _ in 1..height {
            self.col_idx.extend_from_within(start..end);
            self.end_row();
        }
    }

    fn finish(mut self, filter: &Filter<'_>) -> Result<Pattern, RuntimeError> {
        if self.overflow {
            return Err(RuntimeError::TooLarge { what: "matrix entries" });
        }
        self.col_idx.shrink_to_fit();
        Ok(Pattern::trusted(filter.rows, filter.cols, self.row_ptr, self.col_idx))
    }
}

struct Job<'a> {
    sites: &'a [Site<'a>],
    filter: &'a Filter<'a>,
    buckets: Buckets<'a>,
    view: PatternView<'a>,
}

impl Job<'_> {
    /// Fills records; with `condense` turns them into block records where all full sites allow it.
    fn run<W: SlotWord>(
        &self,
        offsets: &mut [u32],
        condense: bool,
        wrap: fn(Vec<W>) -> Slots,
    ) -> Result<(Vec<Slots>, Option<SlotMode>), RuntimeError> {
        let len = |s: &Site<'_>| s.stream.emissions * s.rows.record_len;
        let mut records: Vec<Vec<W>> = self.sites.iter().map(|s| vec![W::from_offset(0); len(s)]).collect();
        fill(self.sites, self.filter, self.buckets, self.view, offsets, &mut records)?;
        let mut mode = None;
        if condense {
            let plans: Vec<_> = self.sites.iter().map(|s| Condense::new(s.stream.shape)).collect();
            let pairs = || plans.iter().zip(&records);
            if pairs().all(|(plan, records)| plan.as_ref().is_none_or(|p| p.applies(records))) {
                mode = Some(SlotMode::Block);
                for (plan, records) in plans.iter().zip(&mut records) {
                    if let Some(plan) = plan {
                        let len = plan.run(records);
                        records.truncate(len);
                        records.shrink_to_fit();
                    }
                }
            }
        }
        Ok((records.into_iter().map(wrap).collect(), mode))
    }
}
