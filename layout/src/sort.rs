//! From streams to the pattern: references bucketed by row (counting sort), then distinct sorted columns row by row.
//!
//! # Method
//! 1. A *reference* is one row group of one emission, numbered `first of the site + (emission << bits) + group`.
//! 2. [`bucket`] counts the references of each row, takes prefix sums and scatters them: stable, so a row's references ascend.
//! 3. [`for_each_row`] walks the rows, marks the columns each row meets in a stamp array (distinct at once), and sorts
//!    them: short lists by rank, lists that fill much of the row by a scan of the stamps, others by `sort_unstable`.
//!
//! Linear in rows + columns + items but for the sorting of medium lists; a row that every emission meets (an arrow) costs
//! no more per item than others. Nothing is allocated.

use crate::blocks::Stream;
use crate::error::LayoutError;
use crate::filter::{DROPPED, Filter};
use crate::rows::{RowGroup, SiteRows};

/// A site ready for sorting.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Its stream; checked by [`crate::blocks::check_streams`].
    pub stream: Stream<'a>,
    /// Its row view.
    pub rows: &'a SiteRows,
    /// Number of its first reference.
    pub first_ref: u32,
}

impl Site<'_> {
    /// One emission, its stream and one group: what a reference stands for.
    #[inline]
    pub(crate) fn resolve(&self, reference: u32) -> (usize, &[u32], &RowGroup) {
        let (local, bits) = (reference - self.first_ref, self.rows.group_bits);
        let emission = (local >> bits) as usize;
        let group = &self.rows.groups[(local & ((1 << bits) - 1)) as usize];
        let width = self.rows.stream_width;
        (emission, &self.stream.bases[emission * width..][..width], group)
    }
}

/// The references of all rows: those of row `r` are `refs[first[r]..first[r + 1]]`, ascending.
#[derive(Clone, Copy, Debug)]
pub struct Buckets<'a> {
    /// Start of each row, one element more than there are rows.
    pub first: &'a [u32],
    /// References by row.
    pub refs: &'a [u32],
}

impl Buckets<'_> {
    /// The references of a row.
    #[inline]
    pub fn of(&self, row: usize) -> &[u32] {
        &self.refs[self.first[row] as usize..self.first[row + 1] as usize]
    }
}

/// Numbers the references of sites in order; fails beyond 32 bits.
pub fn number_refs(sites: &mut [Site<'_>]) -> Result<(), LayoutError> {
    let mut next: u64 = 0;
    for site in sites {
        site.first_ref = u32::try_from(next).map_err(|_| LayoutError::TooLarge)?;
        next += (site.stream.emissions as u64) << site.rows.group_bits;
    }
    if next > u64::from(u32::MAX) { Err(LayoutError::TooLarge) } else { Ok(()) }
}

/// An upper bound of the number of references: the length that [`bucket`] needs.
pub fn refs_len(sites: &[Site<'_>]) -> usize {
    sites.iter().map(|s| s.stream.emissions * s.rows.groups.len()).sum()
}

/// Sorts the references of all sites by row: those of row `r` are `refs[first[r]..first[r + 1]]`, ascending. `first` has
/// one element more than there are rows.
pub fn bucket(
    sites: &[Site<'_>],
    filter: &Filter<'_>,
    first: &mut [u32],
    refs: &mut [u32],
) -> Result<(), LayoutError> {
    let first = first.get_mut(..=filter.rows).ok_or(LayoutError::Workspace)?;
    if refs.len() < refs_len(sites) {
        return Err(LayoutError::Workspace);
    }
    first.fill(0);
    for_each_ref(sites, filter, |row, _| first[row as usize] += 1);
    let mut total = 0;
    for place in &mut *first {
        total += *place;
        *place = total;
    }
    // Every place now holds the end of its row; filling from the back leaves it at the start.
    for_each_ref_back(sites, filter, |row, reference| {
        let place = &mut first[row as usize];
        *place -= 1;
        refs[*place as usize] = reference;
    });
    Ok(())
}

fn for_each_ref(sites: &[Site<'_>], filter: &Filter<'_>, mut visit: impl FnMut(u32, u32)) {
    for site in sites {
        let (width, bits) = (site.rows.stream_width.max(1), site.rows.group_bits);
        let bases = &site.stream.bases[..site.stream.emissions * site.rows.stream_width];
        for (emission, bases) in bases.chunks_exact(width).enumerate() {
            let start = site.first_ref + ((emission as u32) << bits);
            for (group, number) in site.rows.groups.iter().zip(start..) {
                let row = filter.row(bases[group.base as usize] + group.delta);
                if row != DROPPED {
                    visit(row, number);
                }
            }
        }
    }
}

fn for_each_ref_back(sites: &[Site<'_>], filter: &Filter<'_>, mut visit: impl FnMut(u32, u32)) {
    for site in sites.iter().rev() {
        let (width, bits) = (site.rows.stream_width.max(1), site.rows.group_bits);
        let bases = &site.stream.bases[..site.stream.emissions * site.rows.stream_width];
        for (emission, bases) in bases.chunks_exact(width).enumerate().rev() {
            let start = site.first_ref + ((emission as u32) << bits);
            for (k, group) in site.rows.groups.iter().enumerate().rev() {
                let row = filter.row(bases[group.base as usize] + group.delta);
                if row != DROPPED {
                    visit(row, start + k as u32);
                }
            }
        }
    }
}

/// Calls `visit(row, columns)` for every row in order, with its distinct columns ascending (bases of column blocks, when
/// row views have block grain). `forced(row)` adds the diagonal. `stamp` holds one element per column, `list` one more.
pub fn for_each_row(
    sites: &[Site<'_>],
    filter: &Filter<'_>,
    buckets: Buckets<'_>,
    stamp: &mut [u32],
    list: &mut [u32],
    forced: impl Fn(usize) -> bool,
    visit: impl FnMut(usize, &[u32]),
) -> Result<(), LayoutError> {
    let stamp = stamp.get_mut(..filter.cols).ok_or(LayoutError::Workspace)?;
    let list = list.get_mut(..=filter.cols).ok_or(LayoutError::Workspace)?;
    if buckets.first.len() <= filter.rows {
        return Err(LayoutError::Workspace);
    }
    stamp.fill(0);
    if filter.is_plain() {
        rows_of::<true>(sites, filter, buckets, stamp, list, forced, visit);
    } else {
        rows_of::<false>(sites, filter, buckets, stamp, list, forced, visit);
    }
    Ok(())
}

fn rows_of<const PLAIN: bool>(
    sites: &[Site<'_>],
    filter: &Filter<'_>,
    buckets: Buckets<'_>,
    stamp: &mut [u32],
    list: &mut [u32],
    forced: impl Fn(usize) -> bool,
    mut visit: impl FnMut(usize, &[u32]),
) {
    for row in 0..filter.rows {
        let mark = row as u32 + 1;
        let mut count = 0;
        if forced(row) && row < filter.cols {
            stamp[row] = mark;
            list[0] = row as u32;
            count = 1;
        }
        for_each_group(sites, buckets.of(row), |site, _, bases, group| {
            for col in sites[site].rows.cols_of(group) {
                let position = bases[col.base as usize] + col.delta;
                let number = if PLAIN { position } else { filter.col(position) };
                if PLAIN || filter.keeps(row as u32, number) {
                    // Without a branch, since whether a column is new cannot be predicted; hence the spare element.
                    let seen = &mut stamp[number as usize];
                    list[count] = number;
                    count += usize::from(*seen != mark);
                    *seen = mark;
                }
            }
        });
        sort_columns(&mut list[..count], stamp, mark);
        visit(row, &list[..count]);
    }
}

/// Resolves ascending references: calls `visit(site, emission, stream, group)`.
#[inline]
pub(crate) fn for_each_group(
    sites: &[Site<'_>],
    refs: &[u32],
    mut visit: impl FnMut(usize, usize, &[u32], &RowGroup),
) {
    let mut at = 0;
    for &reference in refs {
        while at + 1 < sites.len() && sites[at + 1].first_ref <= reference {
            at += 1;
        }
        let (emission, bases, group) = sites[at].resolve(reference);
        visit(at, emission, bases, group);
    }
}

/// Lists up to this long are sorted by rank.
const SHORT: usize = 16;
/// A scan of the stamps costs about as much as sorting a list of this fraction of the columns.
const DENSE: usize = 16;

/// Sorts distinct columns, those whose stamp is `mark`.
fn sort_columns(list: &mut [u32], stamp: &[u32], mark: u32) {
    if list.len() <= SHORT / 2 {
        sort_by_rank::<{ SHORT / 2 }>(list);
    } else if list.len() <= SHORT {
        sort_by_rank::<SHORT>(list);
    } else if list.len() >= stamp.len() / DENSE {
        let mut marked = (0_u32..).zip(stamp).filter(|&(_, &s)| s == mark);
        for place in list {
            if let Some((column, _)) = marked.next() {
                *place = column;
            }
        }
    } else {
        list.sort_unstable();
    }
}

/// Sorts at most `N` distinct numbers: the rank of each is how many are smaller, so no branch depends on the data.
fn sort_by_rank<const N: usize>(list: &mut [u32]) {
    let mut padded = [u32::MAX; N];
    padded[..list.len()].copy_from_slice(list);
    for &column in &padded[..list.len()] {
        let rank: u32 = padded.iter().map(|&other| u32::from(other < column)).sum();
        list[rank as usize] = column;
    }
}
