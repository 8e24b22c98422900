//! Entries that some phases emit once each, and others add to later: those are stored, the rest are zeroed first.

use crate::assemble::Slots;
use crate::csr::Pattern;
use crate::streams::SiteStream;
use spadina_layout::program::ProgramInfo;
use spadina_layout::site::{SiteShape, SlotLayout};
use std::ops::Range;

/// The values that no phase stores; `None` where one is emitted twice by phases that would store it. Row positions are row numbers.
pub(crate) fn others(
    info: &ProgramInfo,
    streams: &[SiteStream],
    slots: &[Slots],
    layout: SlotLayout,
    pattern: &Pattern,
) -> Option<Vec<Range<usize>>> {
    let mut seen = Seen(vec![0; pattern.nnz().div_ceil(64)]);
    for (stream, slots) in streams.iter().zip(slots) {
        if !info.phases[stream.phase].once {
            continue;
        }
        let (runs, len) = (runs(&stream.shape, layout)?, layout.record_len(&stream.shape));
        let width = stream.shape.stream_width();
        for (emission, bases) in stream.bases.chunks_exact(width.max(1)).enumerate() {
            for run in &runs {
                let row = bases[run.block] as usize + run.inside;
                let start = pattern.row_ptr().get(row)? + slots.get(emission * len + run.offset)?;
                seen.add(start as usize + run.skip..start as usize + run.skip + run.len)?;
            }
        }
    }
    Some(seen.others(pattern.nnz()))
}

/// Entries of an emission that lie side by side in one row.
struct Run {
    /// The row block, and the row inside it.
    block: usize,
    inside: usize,
    /// The offset of the record that leads there, and how far behind it the first entry lies.
    offset: usize,
    skip: usize,
    len: usize,
}

fn runs(shape: &SiteShape, layout: SlotLayout) -> Option<Vec<Run>> {
    let mode = layout.mode_of(shape);
    let mut runs: Vec<(u32, Run)> = Vec::new();
    for (n, (row, col, _)) in shape.expanded().into_iter().enumerate() {
        let (block, inside) = SiteShape::locate(&shape.row_blocks, row)?;
        let (offset, skip) = shape.place(mode, n, (row, col))?;
        match runs.last_mut() {
            Some((last, run))
                if *last == row && run.offset == offset && run.skip + run.len == skip as usize =>
            {
                run.len += 1;
            }
            _ => {
                let (inside, skip) = (inside as usize, skip as usize);
                runs.push((row, Run { block, inside, offset, skip, len: 1 }));
            }
        }
    }
    Some(runs.into_iter().map(|(_, run)| run).collect())
}

/// A bit for each value.
struct Seen(Vec<u64>);

impl Seen {
    /// Marks values; `None` if one is marked already.
    fn add(&mut self, range: Range<usize>) -> Option<()> {
        for at in range {
            let (word, bit) = (self.0.get_mut(at / 64)?, 1 << (at % 64));
            if *word & bit != 0 {
                return None;
            }
            *word |= bit;
        }
        Some(())
    }

    /// The values that are not marked.
    fn others(&self, len: usize) -> Vec<Range<usize>> {
        let mut others: Vec<Range<usize>> = Vec::new();
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != u64::MAX);
        for at in
            words.flat_map(|(n, word)| (64 * n..64 * n + 64).filter(move |at| word >> (at % 64) & 1 == 0))
        {
            match others.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ if at < len => others.push(at..at + 1),
                _ => {}
            }
        }
        if let Some(last) = others.last_mut() {
            last.end = last.end.min(len);
        }
        others
    }
}
