//! Which elements of outputs must be zero before they are added to: those that no iteration stores beside the complete rows of a matrix.

use crate::buffer::BufferSpec;
use crate::error::RuntimeError;
use crate::streams::SiteStream;
use spadina_layout::program::StoredOutput;
use spadina_layout::site::SiteShape;
use std::collections::BTreeMap;
use std::ops::Range;

const TWICE: RuntimeError = RuntimeError::Mismatch("a stored result and other terms of it");

/// The elements between those that are stored, by buffer; `None`, or no entry, where all are added to.
pub(crate) type Gaps = Vec<Option<Vec<Range<usize>>>>;

/// Finds the gaps, and that nothing else names the rows whose elements are stored.
pub(crate) fn gaps(
    stored: &[StoredOutput],
    buffers: &[BufferSpec],
    streams: &[SiteStream],
) -> Result<Gaps, RuntimeError> {
    // Stored elements, and how many positions lie before the first of the buffer.
    let mut covered: BTreeMap<usize, (Vec<Range<usize>>, usize)> = BTreeMap::new();
    for output in stored {
        let mut before = 0_usize;
        for &buffer in &output.before {
            let spec = buffers.get(buffer as usize).ok_or(TWICE)?;
            before = before.checked_add(spec.elements()?).ok_or(TWICE)?;
        }
        let place = covered.entry(output.buffer as usize).or_insert((Vec::new(), before));
        let Some(stream) = streams.iter().find(|s| s.direct && s.site == output.site) else { continue };
        elements(output, stream, before, &mut place.0)?;
    }
    let mut gaps = vec![None; if covered.is_empty() { 0 } else { buffers.len() }];
    for (buffer, (mut ranges, before)) in covered {
        ranges.sort_unstable_by_key(|range| range.start);
        apart(&ranges, before, streams)?;
        let len = buffers.get(buffer).ok_or(TWICE)?.elements()?;
        let (mut between, mut end) = (Vec::new(), 0);
        for range in ranges.iter().chain([&(len..len)]) {
            if range.start < end || range.end > len {
                return Err(TWICE);
            }
            if range.start > end {
                between.push(end..range.start);
            }
            end = range.end;
        }
        gaps[buffer] = Some(between);
    }
    Ok(gaps)
}

/// Appends the elements that an output has stored beside the rows of a stream.
fn elements(
    output: &StoredOutput,
    stream: &SiteStream,
    before: usize,
    ranges: &mut Vec<Range<usize>>,
) -> Result<(), RuntimeError> {
    let located = output.rows.iter().map(|&row| SiteShape::locate(&stream.shape.row_blocks, row));
    let rows: Vec<(usize, u32)> = located.collect::<Option<_>>().ok_or(TWICE)?;
    for bases in stream.bases.chunks_exact(stream.shape.stream_width().max(1)) {
        for &(at, delta) in &rows {
            let position = bases[at] as usize + delta as usize;
            let element = position.checked_sub(before).ok_or(TWICE)?;
            match ranges.last_mut() {
                Some(range) if range.end == element => range.end += 1,
                _ => ranges.push(element..element + 1),
            }
        }
    }
    Ok(())
}

/// Checks that emissions that add, and accumulations, name no row whose element is stored.
fn apart(stored: &[Range<usize>], before: usize, streams: &[SiteStream]) -> Result<(), RuntimeError> {
    let meets = |rows: Range<usize>| {
        let next = stored.partition_point(|range| range.end + before <= rows.start);
        stored.get(next).is_some_and(|range| range.start + before < rows.end)
    };
    for stream in streams.iter().filter(|s| !s.direct) {
        for bases in stream.bases.chunks_exact(stream.shape.stream_width().max(1)) {
            let rows = bases.iter().zip(&stream.shape.row_blocks);
            for (base, block) in rows.map(|(&base, block)| (base as usize, block)) {
                if meets(base..base + block.width as usize) {
                    return Err(TWICE);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::gaps;
    use crate::array::Element;
    use crate::buffer::{BufferSpec, BufferUse};
    use crate::streams::SiteStream;
    use spadina_layout::program::StoredOutput;
    use spadina_layout::site::{Block, SiteShape};

    /// Rows of two, at these positions; direct emissions and others.
    fn stream(site: u32, direct: bool, bases: &[u32]) -> SiteStream {
        let shape = SiteShape {
            row_blocks: vec![Block { start: 0, width: 2 }],
            col_blocks: Vec::new(),
            entries: Vec::new(),
            symmetric: false,
        };
        SiteStream {
            site,
            phase: 0,
            matrix: direct,
            direct,
            shape,
            bases: bases.to_vec(),
            emissions: bases.len(),
            per_iteration: Some(1),
            first: Vec::new(),
        }
    }

    fn buffers() -> Vec<BufferSpec> {
        let spec = |len| BufferSpec {
            name: String::new(),
            element: Element::F64,
            dims: vec![len],
            usage: BufferUse::Output,
        };
        vec![spec(3), spec(10)]
    }

    fn stored(rows: &[u32]) -> Vec<StoredOutput> {
        vec![StoredOutput { buffer: 1, site: 7, rows: rows.to_vec(), before: vec![0] }]
    }

    #[test]
    fn what_is_not_stored_is_cleared() {
        let direct = || stream(7, true, &[9, 5, 7]);
        let found = gaps(&stored(&[0, 1]), &buffers(), &[direct()]).expect("gaps");
        assert_eq!(found, [None, Some(vec![0..2, 8..10])]);
        let found = gaps(&stored(&[1]), &buffers(), &[direct()]).expect("gaps");
        assert_eq!(found, [None, Some(vec![0..3, 4..5, 6..7, 8..10])]);
        let found = gaps(&stored(&[0]), &buffers(), &[]).expect("gaps");
        assert!(found[1].as_ref().is_some_and(|ranges| ranges.iter().cloned().eq(std::iter::once(0..10))));
        assert!(gaps(&[], &buffers(), &[direct()]).expect("gaps").is_empty());
    }

    #[test]
    fn nothing_else_names_stored_rows() {
        let borders = |bases: &[u32]| stream(2, false, bases);
        let direct = || stream(7, true, &[5, 7]);
        assert!(gaps(&stored(&[0, 1]), &buffers(), &[direct(), borders(&[3, 9])]).is_ok());
        for wrong in [4, 6, 8] {
            assert!(gaps(&stored(&[0, 1]), &buffers(), &[direct(), borders(&[3, wrong])]).is_err());
        }
        let twice = stream(7, true, &[5, 6]);
        assert!(gaps(&stored(&[0, 1]), &buffers(), &[twice]).is_err());
        let outside = stream(7, true, &[12]);
        assert!(gaps(&stored(&[0, 1]), &buffers(), &[outside]).is_err());
    }
}
