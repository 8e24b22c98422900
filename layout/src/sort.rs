//! From streams to references bucketed by row: a counting sort.
//!
//! # Method
//! 1. A *reference* is one row group of one emission, numbered `first of the site + (emission << bits) + group`.
//! 2. [`bucket`] counts the references of each row, takes prefix sums and scatters them: stable, so a row's references ascend.
//!
//! [`crate::band`] goes on from there. Linear in rows and references; nothing is allocated.

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
