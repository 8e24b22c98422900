//! The rows of a band: their distinct columns in order, and the slots of what is emitted into them.
//!
//! # Method
//! For each row, in order:
//! 1. Every column that a reference meets is looked up in an array over all columns, which tells whether the row has met it before and
//!    as which of its columns: distinct at once. What each reference met is noted.
//! 2. The columns are sorted: short lists by rank, lists that fill much of the row by a scan of the array, others by
//!    `sort_unstable`. Columns of blocks are as wide as their blocks.
//! 3. The references are walked once more, and the offsets of what they met are stored.
//!
//! Sites of two to four blocks whose pairs are all full, the only site of a program, have loops of their own where nothing is renumbered, dropped
//! or added (the same steps, written out).
//!
//! So no search depends on the length of a row; a row that every emission meets (an arrow) costs no more per item than others. Linear in
//! rows + columns + items but for the sorting of medium lists. Bands share nothing that they write but records, each place of which
//! belongs to one row.
//!
//! # Limits
//! Offsets are stored as they fit the width: whoever takes them checks the longest row.

use crate::error::LayoutError;
use crate::filter::Filter;
use crate::slots::SlotWord;
use crate::sort::{Buckets, Site, for_each_group};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// What the rows of a band are made from.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// All sites.
    pub sites: &'a [Site<'a>],
    /// Numbers, and what is kept.
    pub filter: &'a Filter<'a>,
    /// References by row, from [`crate::sort::bucket`].
    pub buckets: Buckets<'a>,
    /// Widths of the blocks of columns, where sorting goes by blocks.
    pub col_width: Option<Widths<'a>>,
    /// Rows that have their diagonal entry in any case; empty where none has.
    pub forced: &'a [bool],
}

/// How wide blocks are.
#[derive(Clone, Copy, Debug)]
pub enum Widths<'a> {
    /// All the same.
    Equal(u32),
    /// By the position that a block starts at; 0 where none does.
    Each(&'a [u32]),
}

impl<'a> Widths<'a> {
    /// What is known of the width of the block that starts at each position, 0 where none does.
    pub fn of(widths: &'a [u32]) -> Widths<'a> {
        let widest = widths.iter().fold(0, |widest, &width| widest.max(width));
        let equal = widths.iter().all(|&width| width == 0 || width == widest);
        if equal { Widths::Equal(widest) } else { Widths::Each(widths) }
    }

    /// The width of the block that starts at a position.
    #[inline]
    pub fn at(self, position: u32) -> u32 {
        match self {
            Widths::Equal(width) => width,
            Widths::Each(widths) => widths[position as usize],
        }
    }

    /// Whether widths of so many positions are known.
    fn covers(self, positions: usize) -> bool {
        match self {
            Widths::Equal(_) => true,
            Widths::Each(widths) => widths.len() >= positions,
        }
    }
}

/// Working memory of one band.
#[derive(Debug)]
pub struct Memory {
    /// By column: the last row that met it (plus one), and as which of its columns.
    seen: Vec<(u32, u32)>,
    /// The columns of a row, and one more.
    list: Vec<u32>,
    /// By place in the list: the offset of the column.
    offset: Vec<u32>,
    /// What each reference of a row met, as places in the list.
    met: Vec<u32>,
}

impl Memory {
    /// For a matrix with so many columns.
    pub fn new(cols: usize) -> Memory {
        Memory { seen: vec![(0, 0); cols], list: Vec::new(), offset: Vec::new(), met: Vec::new() }
    }
}

/// Mark of a dropped entry among what was met.
const DROPPED: u32 = u32::MAX;

impl Rows<'_> {
    /// Calls `visit(row, columns)` for every row of the band in order, with its distinct columns ascending (first columns of blocks, where
    /// sorting goes by blocks), and stores offsets: `records[s]` holds `emissions * record_len` places of site `s`.
    pub fn walk<W: SlotWord>(
        &self,
        band: Range<usize>,
        memory: &mut Memory,
        records: &[&[W::Cell]],
        visit: impl FnMut(usize, &[u32]),
    ) -> Result<(), LayoutError> {
        let sound = memory.seen.len() >= self.filter.cols
            && band.end <= self.filter.rows
            && self.buckets.first.len() > self.filter.rows
            && self.col_width.is_none_or(|widths| widths.covers(self.filter.cols))
            && records.len() == self.sites.len()
            && self.sites.iter().zip(records).all(|(s, r)| r.len() >= s.stream.emissions * s.rows.record_len);
        if !sound {
            return Err(LayoutError::Workspace);
        }
        if self.filter.is_plain() {
            self.walk_as::<W, true>(band, memory, records, visit);
        } else {
            self.walk_as::<W, false>(band, memory, records, visit);
        }
        Ok(())
    }

    fn walk_as<W: SlotWord, const PLAIN: bool>(
        &self,
        band: Range<usize>,
        memory: &mut Memory,
        records: &[&[W::Cell]],
        mut visit: impl FnMut(usize, &[u32]),
    ) {
        let longest = self.sites.iter().flat_map(|s| &s.rows.groups).map(|g| g.len as usize).max();
        let longest = longest.unwrap_or(0);
        let uniform = match self.sites {
            [site] if PLAIN && site.rows.uniform && self.forced.is_empty() => site.rows.stream_width,
            _ => 0,
        };
        for row in band {
            let refs = self.buckets.of(row);
            if refs.is_empty() && self.forced.is_empty() {
                visit(row, &[]);
                continue;
            }
            let most = refs.len() * longest;
            if memory.met.len() < most {
                memory.met.resize(most.max(64), 0);
            }
            let room = (most + 1).min(self.filter.cols) + 1;
            if memory.list.len() < room {
                memory.list.resize(room.max(64), 0);
                memory.offset.resize(room.max(64), 0);
            }
            let count = match uniform {
                2 => self.meet_uniform::<2>(row, refs, memory),
                3 => self.meet_uniform::<3>(row, refs, memory),
                4 => self.meet_uniform::<4>(row, refs, memory),
                _ => self.meet::<PLAIN>(row, refs, memory),
            };
            let Memory { seen, list, offset, met } = memory;
            sort_columns(list, count, offset, seen, row as u32 + 1);
            let list = &list[..count];
            if let Some(widths) = self.col_width {
                widen(list, &mut offset[..count], seen, widths);
            }
            match uniform {
                2 => self.store_uniform::<W, 2>(refs, met, offset, records),
                3 => self.store_uniform::<W, 3>(refs, met, offset, records),
                4 => self.store_uniform::<W, 4>(refs, met, offset, records),
                _ => self.store::<W>(refs, met, offset, records),
            }
            visit(row, list);
        }
    }

    /// The distinct columns of a row, unsorted; how many.
    #[inline]
    fn meet<const PLAIN: bool>(&self, row: usize, refs: &[u32], memory: &mut Memory) -> usize {
        let Memory { seen, list, met, .. } = memory;
        let mark = row as u32 + 1;
        let (mut count, mut at) = (0, 0);
        if self.forced.get(row).copied().unwrap_or(false) && row < self.filter.cols {
            seen[row] = (mark, 0);
            list[0] = row as u32;
            count = 1;
        }
        for_each_group(self.sites, refs, |site, _, bases, group| {
            let cols = self.sites[site].rows.cols_of(group);
            for (col, met) in cols.iter().zip(&mut met[at..]) {
                let position = bases[col.base as usize] + col.delta;
                let number = if PLAIN { position } else { self.filter.col(position) };
                if !PLAIN && !self.filter.keeps(row as u32, number) {
                    *met = DROPPED;
                    continue;
                }
                // Without a branch, since whether a column is new cannot be predicted; hence the spare element.
                let seen = &mut seen[number as usize];
                let new = seen.0 != mark;
                let place = if new { count as u32 } else { seen.1 };
                *seen = (mark, place);
                list[count] = number;
                count += usize::from(new);
                *met = place;
            }
            at += cols.len();
        });
        count
    }

    /// [`Rows::meet`] for the only site, where it is uniform, with so many blocks.
    #[inline]
    fn meet_uniform<const K: usize>(&self, row: usize, refs: &[u32], memory: &mut Memory) -> usize {
        let Memory { seen, list, met, .. } = memory;
        let site = &self.sites[0];
        let (bases, bits) = (site.stream.bases.as_chunks::<K>().0, site.rows.group_bits);
        let mark = row as u32 + 1;
        let mut count = 0;
        for (&reference, met) in refs.iter().zip(met.as_chunks_mut::<K>().0) {
            for (&number, met) in bases[(reference >> bits) as usize].iter().zip(met) {
                let seen = &mut seen[number as usize];
                let new = seen.0 != mark;
                let place = if new { count as u32 } else { seen.1 };
                *seen = (mark, place);
                list[count] = number;
                count += usize::from(new);
                *met = place;
            }
        }
        count
    }

    /// [`Rows::store`], likewise.
    #[inline]
    fn store_uniform<W: SlotWord, const K: usize>(
        &self,
        refs: &[u32],
        met: &[u32],
        offset: &[u32],
        records: &[&[W::Cell]],
    ) {
        let bits = self.sites[0].rows.group_bits;
        let rows = records[0].as_chunks::<K>().0;
        for (&reference, met) in refs.iter().zip(met.as_chunks::<K>().0) {
            let (emission, group) = ((reference >> bits) as usize, (reference & ((1 << bits) - 1)) as usize);
            for (cell, &place) in rows[emission * K + group].iter().zip(met) {
                W::from_offset(offset[place as usize]).put(cell);
            }
        }
    }

    /// Stores what the references of a row met.
    #[inline]
    fn store<W: SlotWord>(&self, refs: &[u32], met: &[u32], offset: &[u32], records: &[&[W::Cell]]) {
        let mut at = 0;
        for_each_group(self.sites, refs, |site, emission, _, group| {
            let rows = self.sites[site].rows;
            let record = &records[site][emission * rows.record_len..][..rows.record_len];
            let cols = rows.cols_of(group);
            let found = &met[at..at + cols.len()];
            at += cols.len();
            if rows.direct {
                for (target, &place) in rows.direct_targets(group).iter().zip(found) {
                    if place != DROPPED {
                        W::from_offset(offset[place as usize]).put(&record[target.place as usize]);
                    }
                }
                return;
            }
            for (col, &place) in cols.iter().zip(found).filter(|&(_, &place)| place != DROPPED) {
                let start = offset[place as usize];
                for target in &rows.targets[col.first as usize..][..col.len as usize] {
                    W::from_offset(start + target.shift).put(&record[target.place as usize]);
                }
            }
        });
    }
}

/// From ranks to offsets, where columns stand for blocks.
fn widen(sorted: &[u32], offset: &mut [u32], seen: &[(u32, u32)], widths: Widths<'_>) {
    match widths {
        Widths::Equal(width) => offset.iter_mut().for_each(|rank| *rank *= width),
        Widths::Each(widths) => {
            let mut start = 0;
            for &column in sorted {
                offset[seen[column as usize].1 as usize] = start;
                start += widths[column as usize];
            }
        }
    }
}

/// Lists up to this long are sorted by rank.
const SHORT: usize = 16;
/// A scan of all columns costs about as much as sorting a list of this fraction of them.
const DENSE: usize = 16;

/// Sorts the distinct columns `list[..count]`, those whose mark is `mark`; `rank[k]` becomes the rank of what was at place `k`.
fn sort_columns(list: &mut [u32], count: usize, rank: &mut [u32], seen: &[(u32, u32)], mark: u32) {
    match count {
        0..=8 => return sort_by_rank::<8>(list, count, rank),
        9..=SHORT => return sort_by_rank::<SHORT>(list, count, rank),
        _ => {}
    }
    let list = &mut list[..count];
    if list.len() >= seen.len() / DENSE {
        let mut marked = (0_u32..).zip(seen).filter(|&(_, &(m, _))| m == mark);
        for place in &mut *list {
            if let Some((column, _)) = marked.next() {
                *place = column;
            }
        }
    } else {
        list.sort_unstable();
    }
    for (n, &column) in (0..).zip(&*list) {
        rank[seen[column as usize].1 as usize] = n;
    }
}

/// Sorts at most `N` distinct numbers, `N` a power of two: the rank of each is how many are smaller, so no branch depends on the data. Of both
/// lists, what lies behind the numbers in the first `N` places is lost.
fn sort_by_rank<const N: usize>(list: &mut [u32], count: usize, rank: &mut [u32]) {
    let (Some(list), Some(rank)) = (list.first_chunk_mut::<N>(), rank.first_chunk_mut::<N>()) else {
        unreachable!("lists have room for short ones");
    };
    let mut columns = *list;
    columns
        .iter_mut()
        .enumerate()
        .for_each(|(n, column)| *column = if n < count { *column } else { u32::MAX });
    // All ranks at a time: a comparison of one number with the others is one of vectors.
    let mut ranks = [0; N];
    for &other in &columns {
        for (rank, &column) in ranks.iter_mut().zip(&columns) {
            *rank += u32::from(other < column);
        }
    }
    for (&rank, &column) in ranks.iter().zip(&columns) {
        list[rank as usize % N] = column;
    }
    *rank = ranks;
}

#[cfg(test)]
mod tests {
    use super::{Widths, sort_columns, widen};
    use alloc::vec;
    use alloc::vec::Vec;

    /// Numbers that look random.
    fn scrambled(n: u32) -> u32 {
        n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 7
    }

    #[test]
    fn short_middling_and_dense_lists_are_sorted() {
        for count in 0..80_usize {
            // In the first round the list fills much of the row.
            for columns in [2 * count.max(1), 5000, 100_000] {
                let mut wanted: Vec<u32> = Vec::new();
                let mut next = count as u32 + columns as u32;
                while wanted.len() < count {
                    next += 1;
                    let column = scrambled(next) % columns as u32;
                    if !wanted.contains(&column) {
                        wanted.push(column);
                    }
                }
                let mark = 7;
                let mut seen = vec![(mark - 1, 3); columns];
                for (n, &column) in (0..).zip(&wanted) {
                    seen[column as usize] = (mark, n);
                }
                // What the rows before have left.
                let (mut list, mut rank) = (vec![1; 100], vec![9; 100]);
                list[..count].copy_from_slice(&wanted);
                sort_columns(&mut list, count, &mut rank, &seen, mark);
                let mut sorted = wanted.clone();
                sorted.sort_unstable();
                assert_eq!(list[..count], sorted, "{count} of {columns}");
                for (column, &rank) in wanted.iter().zip(&rank) {
                    assert_eq!(sorted[rank as usize], *column, "{count} of {columns}");
                }
                let equal = vec![3; columns];
                let mixed: Vec<u32> = (0..columns as u32).map(|n| 1 + n % 3).collect();
                assert!(matches!(Widths::of(&equal), Widths::Equal(3)));
                for widths in [&equal, &mixed] {
                    let mut offset = rank.clone();
                    widen(&sorted, &mut offset[..count], &seen, Widths::of(widths));
                    for (column, &offset) in wanted.iter().zip(&offset) {
                        let before = sorted.iter().filter(|&other| other < column);
                        assert_eq!(offset, before.map(|&other| widths[other as usize]).sum::<u32>());
                    }
                }
            }
        }
    }
}
