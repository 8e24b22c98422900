//! Slot records: where in its row each entry of each emission lies. [`crate::band`] fills them.

use crate::site::{SiteShape, SlotWidth};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};

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
    /// A place of a record while records are filled: several threads write different places of one.
    type Cell: Sync + Send;
    /// A place with an offset in it.
    fn cell(self) -> Self::Cell;
    /// Puts an offset into a place.
    fn put(self, cell: &Self::Cell);
    /// What is in a place.
    fn take(cell: Self::Cell) -> Self;
}

macro_rules! slot_word {
    ($ty:ty, $cell:ty, $width:expr) => {
        impl SlotWord for $ty {
            type Cell = $cell;
            #[inline]
            fn cell(self) -> $cell {
                <$cell>::new(self)
            }
            #[inline]
            fn put(self, cell: &$cell) {
                cell.store(self, Ordering::Relaxed);
            }
            #[inline]
            fn take(cell: $cell) -> $ty {
                cell.into_inner()
            }
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

slot_word!(u8, AtomicU8, SlotWidth::U8);
slot_word!(u16, AtomicU16, SlotWidth::U16);
slot_word!(u32, AtomicU32, SlotWidth::U32);

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
