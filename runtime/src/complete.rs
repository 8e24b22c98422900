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

/// A pattern with the rows of direct emissions added, and the ranges of values that these emissions do not store.
pub(crate) fn with_rows(
    general: Pattern,
    stored: &[SiteStream],
) -> Result<(Pattern, Vec<Range<usize>>), RuntimeError> {
    let twice = RuntimeError::Mismatch("a complete row and other entries of it");
    let (rows, cols) = (general.rows(), general.cols());
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
    for row in 0..rows {
        let other = general.row(row).len();
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
        col_idx[range.clone()].copy_from_slice(here);
        others = rest;
    }
    drop(general);
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
    use super::with_rows;
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

    #[test]
    fn borders_and_interior_become_one_pattern() {
        let borders = Pattern::new(4, 4, vec![0, 2, 2, 2, 4], vec![0, 1, 2, 3]).expect("a pattern");
        let (pattern, cleared) = with_rows(borders, &[tridiagonal(1..3)]).expect("rows that do not meet");
        assert_eq!(pattern.row_ptr(), [0, 2, 5, 8, 10]);
        assert_eq!(pattern.col_idx(), [0, 1, 0, 1, 2, 1, 2, 3, 2, 3]);
        assert_eq!(cleared, [0..2, 8..10]);
    }

    #[test]
    fn a_row_is_complete_once() {
        let empty = || Pattern::new(4, 4, vec![0; 5], Vec::new()).expect("a pattern");
        assert!(with_rows(empty(), &[tridiagonal(1..3), tridiagonal(2..3)]).is_err());
        assert!(with_rows(empty(), &[tridiagonal(3..5)]).is_err());
        let other = Pattern::new(4, 4, vec![0, 0, 1, 1, 1], vec![3]).expect("a pattern");
        assert!(with_rows(other, &[tridiagonal(1..3)]).is_err());
        let (pattern, cleared) = with_rows(empty(), &[]).expect("nothing to add");
        assert_eq!((pattern.nnz(), cleared.len()), (0, 0));
    }
}
