//! Rows that one emission completes: their columns go into the pattern as they come, in closed form, without sorting and slots.

use crate::csr::Pattern;
use crate::error::RuntimeError;
use crate::streams::SiteStream;
use spadina_layout::site::SiteShape;
use std::ops::Range;

/// Where the columns of one row block come from.
struct RowBlock {
    /// Index in the stream of the first row.
    base: usize,
    /// Entries of each row.
    widths: Vec<u32>,
    /// Index in the stream and offset of each column, row after row.
    cols: Vec<(usize, u32)>,
}

fn row_blocks(shape: &SiteShape) -> Result<Vec<RowBlock>, RuntimeError> {
    let bad = RuntimeError::Mismatch("a complete row and its shape");
    let rows = shape.row_blocks.len();
    let block = |(base, block): (usize, &spadina_layout::site::Block)| {
        let mut made = RowBlock { base, widths: vec![0; block.width as usize], cols: Vec::new() };
        for &(a, c) in &shape.entries {
            if let Some(width) = a.checked_sub(block.start).and_then(|n| made.widths.get_mut(n as usize)) {
                *width += 1;
                let (at, delta) = SiteShape::locate(&shape.col_blocks, c).ok_or(bad.clone())?;
                made.cols.push((rows + at, delta));
            }
        }
        Ok(made)
    };
    shape.row_blocks.iter().enumerate().map(block).collect()
}

/// The positions that streams name, ascending.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) rows: Vec<u32>,
    pub(crate) cols: Vec<u32>,
    /// Whether they are all positions, each its own number.
    pub(crate) all: bool,
}

/// One in how many positions may be named where they are renumbered.
const FEW: usize = 8;

/// Renumbers the positions of streams, of so many rows and columns, in order and without gaps; blocks stay blocks. Returns the positions by
/// number. Borders of a large matrix name few positions; where streams name many, these keep their numbers.
pub(crate) fn compact(
    streams: &mut [SiteStream],
    (row_count, col_count): (usize, usize),
    square: bool,
) -> Named {
    let (mut rows, mut cols) = (Vec::new(), Vec::new());
    let blocks = |shape: &SiteShape| {
        let rows = shape.row_blocks.iter().map(|b| (true, b.width));
        let count = shape.stream_width() - rows.len();
        rows.chain(shape.col_blocks.iter().take(count).map(|b| (false, b.width))).collect::<Vec<_>>()
    };
    let widths =
        streams.iter().map(|s| s.emissions * blocks(&s.shape).iter().map(|b| b.1 as usize).sum::<usize>());
    if widths.sum::<usize>() > row_count.max(col_count) / FEW {
        let [rows, cols] = [row_count, col_count].map(|count| (0..count as u32).collect());
        return Named { rows, cols, all: true };
    }
    for stream in &*streams {
        let blocks = blocks(&stream.shape);
        for bases in stream.bases.chunks_exact(blocks.len().max(1)) {
            for (&base, &(is_row, width)) in bases.iter().zip(&blocks) {
                if is_row { &mut rows } else { &mut cols }.extend(base..base + width);
            }
        }
    }
    if square {
        rows.append(&mut cols);
    }
    for list in [&mut rows, &mut cols] {
        list.sort_unstable();
        list.dedup();
    }
    if square {
        cols.clone_from(&rows);
    }
    let number = |list: &[u32], position: u32| list.partition_point(|&p| p < position) as u32;
    for stream in streams {
        let blocks = blocks(&stream.shape);
        for bases in stream.bases.chunks_exact_mut(blocks.len().max(1)) {
            for (base, &(is_row, _)) in bases.iter_mut().zip(&blocks) {
                *base = number(if is_row { &rows } else { &cols }, *base);
            }
        }
    }
    Named { rows, cols, all: false }
}

/// A pattern over the named positions with the rows of direct emissions added, in a matrix of the given shape, and the ranges of values that these emissions do not store.
pub(crate) fn with_rows(
    general: &Pattern,
    named: &Named,
    (rows, cols): (usize, usize),
    stored: &[SiteStream],
) -> Result<(Pattern, Vec<Range<usize>>), RuntimeError> {
    let twice = RuntimeError::Mismatch("a complete row and other entries of it");
    let blocks: Vec<Vec<RowBlock>> =
        stored.iter().map(|s| row_blocks(&s.shape)).collect::<Result<_, RuntimeError>>()?;
    // Lengths first, in the place where the starts will be.
    let mut row_ptr = vec![0_u32; rows + 1];
    for (stream, blocks) in stored.iter().zip(&blocks) {
        for bases in stream.bases.chunks_exact(stream.shape.stream_width().max(1)) {
            for block in blocks {
                let first = bases[block.base] as usize + 1;
                let lengths = row_ptr.get_mut(first..first + block.widths.len()).ok_or(twice.clone())?;
                for (length, &width) in lengths.iter_mut().zip(&block.widths) {
                    if std::mem::replace(length, width) != 0 {
                        return Err(twice);
                    }
                }
            }
        }
    }
    let mut cleared: Vec<Range<usize>> = Vec::new();
    let mut end = 0_usize;
    let mut others = named.rows.iter().zip(general.row_ptr().windows(2)).peekable();
    for row in 0..rows {
        let found = others.next_if(|&(&position, _)| position as usize == row);
        let other = found.map_or(0, |(_, ends)| (ends[1] - ends[0]) as usize);
        let length = &mut row_ptr[row + 1];
        if other > 0 {
            if *length != 0 {
                return Err(twice);
            }
            match cleared.last_mut() {
                Some(range) if range.end == end => range.end += other,
                _ => cleared.push(end..end + other),
            }
        }
        end += *length as usize + other;
        *length = u32::try_from(end).map_err(|_| RuntimeError::TooLarge { what: "matrix entries" })?;
    }
    let mut col_idx = Vec::new();
    let memory = |_| RuntimeError::Memory { buffer: "pattern".into() };
    col_idx.try_reserve_exact(end).map_err(memory)?;
    col_idx.resize(end, 0_u32);
    // The ranges hold the general rows one after another.
    let mut others = general.col_idx();
    for range in &cleared {
        let (here, rest) = others.split_at(range.len());
        for (place, &col) in col_idx[range.clone()].iter_mut().zip(here) {
            *place = named.cols[col as usize];
        }
        others = rest;
    }
    for (stream, blocks) in stored.iter().zip(&blocks) {
        for bases in stream.bases.chunks_exact(stream.shape.stream_width().max(1)) {
            for block in blocks {
                let start = row_ptr[bases[block.base] as usize] as usize;
                let places = &mut col_idx[start..start + block.cols.len()];
                for (place, &(at, delta)) in places.iter_mut().zip(&block.cols) {
                    *place = bases[at] + delta;
                }
            }
        }
    }
    Ok((Pattern::trusted(rows, cols, row_ptr, col_idx), cleared))
}

#[cfg(test)]
mod tests {
    use super::{Named, with_rows};
    use crate::csr::Pattern;
    use crate::streams::SiteStream;
    use spadina_layout::site::{Block, SiteShape};

    /// Rows `first..first + bases` of a tridiagonal matrix.
    fn tridiagonal(rows: std::ops::Range<u32>) -> SiteStream {
        let block = |start| Block { start, width: 1 };
        let shape = SiteShape {
            row_blocks: vec![block(0)],
            col_blocks: vec![block(0), block(1), block(2)],
            entries: vec![(0, 0), (0, 1), (0, 2)],
            symmetric: false,
        };
        let emissions = rows.len();
        let bases = rows.flat_map(|r| [r, r - 1, r, r + 1]).collect();
        SiteStream {
            site: 0,
            phase: 0,
            matrix: true,
            direct: true,
            shape,
            bases,
            emissions,
            per_iteration: Some(1),
            first: Vec::new(),
        }
    }

    fn all(count: u32) -> Named {
        Named { rows: (0..count).collect(), cols: (0..count).collect(), all: true }
    }

    #[test]
    fn borders_and_interior_become_one_pattern() {
        let borders = Pattern::new(4, 4, vec![0, 2, 2, 2, 4], vec![0, 1, 2, 3]).expect("a pattern");
        let (pattern, cleared) =
            with_rows(&borders, &all(4), (4, 4), &[tridiagonal(1..3)]).expect("rows that do not meet");
        assert_eq!(pattern.row_ptr(), [0, 2, 5, 8, 10]);
        assert_eq!(pattern.col_idx(), [0, 1, 0, 1, 2, 1, 2, 3, 2, 3]);
        assert_eq!(cleared, [0..2, 8..10]);
    }

    #[test]
    fn a_row_is_complete_once() {
        let empty = || Pattern::new(4, 4, vec![0; 5], Vec::new()).expect("a pattern");
        assert!(with_rows(&empty(), &all(4), (4, 4), &[tridiagonal(1..3), tridiagonal(2..3)]).is_err());
        assert!(with_rows(&empty(), &all(4), (4, 4), &[tridiagonal(3..5)]).is_err());
        let other = Pattern::new(4, 4, vec![0, 0, 1, 1, 1], vec![3]).expect("a pattern");
        assert!(with_rows(&other, &all(4), (4, 4), &[tridiagonal(1..3)]).is_err());
        let (pattern, cleared) = with_rows(&empty(), &all(4), (4, 4), &[]).expect("nothing to add");
        assert_eq!((pattern.nnz(), cleared.len()), (0, 0));
    }
}
