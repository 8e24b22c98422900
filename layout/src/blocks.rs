//! Whether the blocks of all emissions cut the positions in one consistent way, so that sorting can go block by block.

use crate::error::LayoutError;
use crate::filter::{DROPPED, Filter};
use crate::rows::{Fit, SiteRows};
use crate::site::{Block, SiteShape};
use alloc::vec::Vec;

/// The stream of one site.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The shape of each emission.
    pub shape: &'a SiteShape,
    /// Base positions, [`SiteShape::stream_width`] per emission.
    pub bases: &'a [u32],
    /// Number of emissions.
    pub emissions: usize,
}

/// Checks that all streams are long enough and stay inside the positions.
pub fn check_streams(streams: &[Stream<'_>], filter: &Filter<'_>) -> Result<(), LayoutError> {
    if !filter.is_valid() {
        return Err(LayoutError::TooLarge);
    }
    for (site, stream) in streams.iter().enumerate() {
        let width = stream.shape.stream_width();
        let needed = stream.emissions.checked_mul(width).ok_or(LayoutError::TooLarge)?;
        let bases = stream.bases.get(..needed).ok_or(LayoutError::Stream { site })?;
        if width == 0 {
            continue;
        }
        let rows = stream.shape.row_blocks.len();
        for (k, block) in axis_blocks(stream.shape).enumerate() {
            let bound = if k < rows { filter.row_positions } else { filter.col_positions };
            let symmetric_bound =
                if stream.shape.symmetric { bound.min(filter.col_positions) } else { bound };
            let Some(last) = symmetric_bound.checked_sub(block.width as usize) else {
                if bases.is_empty() {
                    continue;
                }
                return Err(LayoutError::Position { site, base: bases[k], bound });
            };
            let worst = bases.iter().skip(k).step_by(width).fold(0, |top, &base| top.max(base));
            if worst as usize > last {
                return Err(LayoutError::Position { site, base: worst, bound });
            }
        }
    }
    Ok(())
}

/// The blocks of the stream in order: rows, then columns unless they are the same.
fn axis_blocks(shape: &SiteShape) -> impl Iterator<Item = &Block> {
    let cols: &[Block] = if shape.symmetric { &[] } else { &shape.col_blocks };
    shape.row_blocks.iter().chain(cols)
}

/// Finds whether sorting can go block by block; then `row_width[r]` holds the width of the block that starts at row `r` (in
/// final numbers), 0 where none starts, and `col_width` the same for columns, unless it is empty: then columns are like rows.
///
/// It can when every pair of blocks is full or empty (or one of a block with itself that another emission fills), nothing is dropped,
/// numbering keeps blocks together, and no two blocks overlap without being the same. Streams must have passed [`check_streams`]. Linear in
/// positions and references.
pub fn consistent_blocks(
    streams: &[Stream<'_>],
    filter: &Filter<'_>,
    row_width: &mut [u32],
    col_width: &mut Vec<u32>,
) -> Result<bool, LayoutError> {
    if row_width.len() < filter.rows {
        return Err(LayoutError::Workspace);
    }
    let fits: Vec<Fit> = streams.iter().map(|s| SiteRows::fit(s.shape)).collect();
    if filter.drops() || fits.contains(&Fit::Entries) {
        return Ok(false);
    }
    row_width.fill(0);
    col_width.clear();
    // Where rows and columns are the same unknowns in the same order, one list tells of both.
    let same = filter.rows == filter.cols
        && filter.row_map == filter.col_map
        && streams.iter().all(|s| s.shape.symmetric || s.shape.stream_width() == 0);
    if !same {
        col_width.resize(filter.cols, 0);
    }
    for stream in streams {
        let width = stream.shape.stream_width();
        if width == 0 {
            continue;
        }
        let rows = stream.shape.row_blocks.len();
        let blocks: Vec<u32> = axis_blocks(stream.shape).map(|block| block.width).collect();
        for emission in stream.bases[..stream.emissions * width].chunks_exact(width) {
            for (k, (&base, &block)) in emission.iter().zip(&blocks).enumerate() {
                let of_row = k < rows;
                let of_col = !same && (!of_row || stream.shape.symmetric);
                if (of_row && !claim(row_width, filter.row_map, base, block))
                    || (of_col && !claim(col_width, filter.col_map, base, block))
                {
                    return Ok(false);
                }
            }
        }
    }
    Ok(is_disjoint(row_width) && is_disjoint(col_width) && is_covered(streams, &fits, filter))
}

/// Whether each block that some emission leaves partly empty is filled by another one.
fn is_covered(streams: &[Stream<'_>], fits: &[Fit], filter: &Filter<'_>) -> bool {
    if fits.iter().all(|&fit| fit == Fit::Blocks) {
        return true;
    }
    let mut full = alloc::vec![false; filter.rows];
    let number = |base: u32| filter.row_map.map_or(base, |map| map[base as usize]) as usize;
    let of = |fit: Fit| streams.iter().zip(fits).filter(move |(_, found)| **found == fit);
    let emissions = |stream: &Stream<'_>| stream.emissions * stream.shape.stream_width();
    for (stream, _) in of(Fit::Blocks).filter(|(stream, _)| stream.shape.symmetric) {
        let (width, diagonal) = (stream.shape.stream_width(), SiteRows::diagonal(stream.shape));
        for emission in stream.bases[..emissions(stream)].chunks_exact(width.max(1)) {
            for (&base, _) in emission.iter().zip(&diagonal).filter(|(_, meets)| **meets) {
                full[number(base)] = true;
            }
        }
    }
    of(Fit::Covered)
        .all(|(stream, _)| stream.bases[..emissions(stream)].iter().all(|&base| full[number(base)]))
}

/// Notes that a block starts at a position; false where another width does, or where numbering tears it apart.
#[inline]
fn claim(widths: &mut [u32], map: Option<&[u32]>, base: u32, width: u32) -> bool {
    let number = match map {
        None => base,
        Some(map) => map[base as usize],
    };
    let place = &mut widths[number as usize];
    if *place != 0 {
        return *place == width;
    }
    *place = width;
    let stays = |map: &[u32]| {
        map[base as usize..][..width as usize]
            .iter()
            .zip(number..)
            .all(|(&m, want)| m == want && m != DROPPED)
    };
    map.is_none_or(stays)
}

fn is_disjoint(widths: &[u32]) -> bool {
    let mut free = 0;
    for (start, &width) in widths.iter().enumerate() {
        if width != 0 {
            if start < free {
                return false;
            }
            free = start + width as usize;
        }
    }
    true
}
