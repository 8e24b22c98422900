//! Slot records: where in its row each entry of each emission lies.
//!
//! Rows are walked as in [`crate::sort`]: the columns of a row are given their offsets once (an array over all
//! columns), then every reference to the row looks its columns up. So no search depends on the length of a row.

use crate::error::LayoutError;
use crate::filter::Filter;
use crate::rows::ColRef;
use crate::site::{SiteShape, SlotWidth};
use crate::sort::{Buckets, Site, for_each_group};
use alloc::vec::Vec;

/// An offset of a slot record.
pub trait SlotWord: Copy + Eq {
    /// The mark of a dropped entry.
    const DROPPED: Self;
    /// Which width this is.
    const WIDTH: SlotWidth;
    /// The offset as stored; rows are short enough by the choice of the width.
    fn from_offset(offset: u32) -> Self;
    /// The offset.
    fn offset(self) -> u32;
}

macro_rules! slot_word {
    ($ty:ty, $width:expr) => {
        impl SlotWord for $ty {
            const DROPPED: $ty = <$ty>::MAX;
            const WIDTH: SlotWidth = $width;
            #[inline]
            fn from_offset(offset: u32) -> $ty {
                offset as $ty
            }
            #[inline]
            fn offset(self) -> u32 {
                u32::from(self)
            }
        }
    };
}

slot_word!(u8, SlotWidth::U8);
slot_word!(u16, SlotWidth::U16);
slot_word!(u32, SlotWidth::U32);

/// The pattern that offsets refer to.
#[derive(Clone, Copy, Debug)]
pub struct PatternView<'a> {
    /// Start of each row, one element more than there are rows.
    pub row_ptr: &'a [u32],
    /// Columns, ascending in each row.
    pub col_idx: &'a [u32],
}

/// Fills the slot records of all sites. `buckets` come from [`crate::sort::bucket`]; `offsets` is a workspace of
/// one element per column; `records[s]` holds `emissions * record_len` offsets of site `s`.
pub fn fill<W: SlotWord>(
    sites: &[Site<'_>],
    filter: &Filter<'_>,
    buckets: Buckets<'_>,
    pattern: PatternView<'_>,
    offsets: &mut [u32],
    records: &mut [Vec<W>],
) -> Result<(), LayoutError> {
    let sound = offsets.len() >= filter.cols
        && buckets.first.len() > filter.rows
        && pattern.row_ptr.len() > filter.rows
        && records.len() == sites.len()
        && sites.iter().zip(&*records).all(|(s, r)| r.len() >= s.stream.emissions * s.rows.record_len);
    if !sound {
        return Err(LayoutError::Workspace);
    }
    if filter.drops() {
        for records in &mut *records {
            records.fill(W::DROPPED);
        }
    }
    if filter.is_plain() {
        fill_rows::<W, true>(sites, filter, buckets, pattern, offsets, records);
    } else {
        fill_rows::<W, false>(sites, filter, buckets, pattern, offsets, records);
    }
    Ok(())
}

fn fill_rows<W: SlotWord, const PLAIN: bool>(
    sites: &[Site<'_>],
    filter: &Filter<'_>,
    buckets: Buckets<'_>,
    pattern: PatternView<'_>,
    offsets: &mut [u32],
    records: &mut [Vec<W>],
) {
    for row in 0..filter.rows {
        let refs = buckets.of(row);
        if refs.is_empty() {
            continue;
        }
        let columns = &pattern.col_idx[pattern.row_ptr[row] as usize..pattern.row_ptr[row + 1] as usize];
        for (&column, offset) in columns.iter().zip(0..) {
            offsets[column as usize] = offset;
        }
        for_each_group(sites, refs, |site, emission, bases, group| {
            let rows = sites[site].rows;
            let record = &mut records[site][emission * rows.record_len..][..rows.record_len];
            let offset_of = |col: &ColRef| {
                let position = bases[col.base as usize] + col.delta;
                let number = if PLAIN { position } else { filter.col(position) };
                (PLAIN || filter.keeps(row as u32, number)).then(|| offsets[number as usize])
            };
            if rows.direct {
                for (col, target) in rows.cols_of(group).iter().zip(rows.direct_targets(group)) {
                    if let Some(offset) = offset_of(col) {
                        record[target.place as usize] = W::from_offset(offset);
                    }
                }
                return;
            }
            for col in rows.cols_of(group) {
                let Some(offset) = offset_of(col) else { continue };
                for target in &rows.targets[col.first as usize..][..col.len as usize] {
                    record[target.place as usize] = W::from_offset(offset + target.shift);
                }
            }
        });
    }
}

/// How entry records of a full shape turn into block records: for each pair of blocks the place of its first entry, and
/// for every entry its pair and its column inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condense {
    firsts: Vec<u32>,
    entries: Vec<(u32, u32)>,
}

impl Condense {
    /// The plan for a shape, unless it is not full.
    pub fn new(shape: &SiteShape) -> Option<Condense> {
        if !shape.is_full() {
            return None;
        }
        let mut firsts = alloc::vec![0; shape.block_pairs()];
        let mut entries = Vec::with_capacity(shape.expanded_len());
        for (place, (row, col, _)) in shape.expanded().into_iter().enumerate() {
            let (a, r) = SiteShape::locate(&shape.row_blocks, row)?;
            let (b, c) = SiteShape::locate(&shape.col_blocks, col)?;
            let pair = a * shape.col_blocks.len() + b;
            if r == 0 && c == 0 {
                firsts[pair] = place as u32;
            }
            entries.push((pair as u32, c));
        }
        Some(Condense { firsts, entries })
    }

    /// Whether in every record the rows of a block see a column block at one offset, its columns side by side.
    pub fn applies<W: SlotWord>(&self, records: &[W]) -> bool {
        self.entries.is_empty()
            || records.chunks_exact(self.entries.len()).all(|record| {
                record.iter().zip(&self.entries).all(|(&word, &(pair, shift))| {
                    let base = record[self.firsts[pair as usize] as usize];
                    word != W::DROPPED && word.offset() == base.offset() + shift
                })
            })
    }

    /// Turns entry records, to which [`Condense::applies`], into block records in place; returns their total length.
    pub fn run<W: SlotWord>(&self, records: &mut [W]) -> usize {
        let Some(emissions) = records.len().checked_div(self.entries.len()) else { return 0 };
        let mut scratch = Vec::with_capacity(self.firsts.len());
        for emission in 0..emissions {
            let record = &records[emission * self.entries.len()..];
            scratch.clear();
            scratch.extend(self.firsts.iter().map(|&place| record[place as usize]));
            records[emission * self.firsts.len()..][..self.firsts.len()].copy_from_slice(&scratch);
        }
        emissions * self.firsts.len()
    }
}
