//! The rows of a pattern as they are found, compared with those of an older pattern as long as they are the same.
//!
//! Where nothing has changed since an earlier preparation, no list of the size of the matrix is written: memory that is touched for
//! the first time costs more than sorting does.

use crate::csr::Pattern;
use spadina_layout::band::Widths;

/// The rows of one band.
pub(crate) struct Found<'a> {
    /// The pattern that all rows up to now are the same as, and the first row of the band.
    old: Option<(&'a Pattern, usize)>,
    /// Rows found.
    rows: usize,
    /// End of each row in `col_idx`, once rows differ.
    ends: Vec<u32>,
    col_idx: Vec<u32>,
    overflow: bool,
    /// Entries that are emitted into the band.
    emitted: usize,
    /// Most entries there can be.
    most: usize,
}

impl<'a> Found<'a> {
    /// A band of `rows` rows from `first` on, of so many columns; `emitted` entries go into it, with repeats.
    pub(crate) fn new(
        (first, rows): (usize, usize),
        cols: usize,
        emitted: usize,
        old: Option<&'a Pattern>,
    ) -> Found<'a> {
        let most = rows.saturating_mul(cols);
        let mut found = Found {
            old: old.map(|old| (old, first)),
            rows: 0,
            ends: Vec::new(),
            col_idx: Vec::new(),
            overflow: false,
            emitted,
            most,
        };
        if old.is_none() {
            found.reserve();
        }
        found
    }

    /// Room for half of the emitted entries: on meshes fewer are distinct, and memory that stays untouched costs nothing,
    /// while growing by copies took longer than sorting.
    fn reserve(&mut self) {
        let room = (self.emitted / 2).min(self.most);
        // Without this room, pushing grows the list as usual.
        let reserved = self.col_idx.try_reserve_exact(room);
        self.overflow |= reserved.is_err() && room > u32::MAX as usize;
    }

    /// From now on rows are not those of the old pattern.
    fn part(&mut self) {
        let Some((old, first)) = self.old.take() else { return };
        self.reserve();
        let range = old.row_ptr()[first] as usize..old.row_ptr()[first + self.rows] as usize;
        let start = range.start as u32;
        self.ends.extend(old.row_ptr()[first + 1..=first + self.rows].iter().map(|&end| end - start));
        self.col_idx.extend_from_slice(&old.col_idx()[range]);
    }

    fn end_row(&mut self) {
        self.overflow |= self.col_idx.len() > u32::MAX as usize;
        self.ends.push(self.col_idx.len() as u32);
        self.rows += 1;
    }

    /// One row.
    pub(crate) fn push(&mut self, cols: &[u32]) {
        if let Some((old, first)) = self.old {
            if old.row(first + self.rows) == cols {
                self.rows += 1;
                return;
            }
            self.part();
        }
        if !self.overflow {
            self.col_idx.extend_from_slice(cols);
        }
        self.end_row();
    }

    /// A block of rows that see the same blocks of columns.
    pub(crate) fn push_block(&mut self, height: u32, bases: &[u32], widths: Widths<'_>) {
        let height = height.max(1) as usize;
        if let Some((old, first)) = self.old {
            let row = first + self.rows;
            let top = old.row(row);
            let same = is_blocks(top, bases, widths) && (1..height).all(|k| old.row(row + k) == top);
            if same {
                self.rows += height;
                return;
            }
            self.part();
        }
        let start = self.col_idx.len();
        if !self.overflow {
            for &base in bases {
                match widths.at(base) {
                    1 => self.col_idx.push(base),
                    2 => self.col_idx.extend_from_slice(&[base, base + 1]),
                    3 => self.col_idx.extend_from_slice(&[base, base + 1, base + 2]),
                    width => self.col_idx.extend(base..base + width),
                }
            }
        }
        let end = self.col_idx.len();
        self.end_row();
        for _ in 1..height {
            if !self.overflow {
                self.col_idx.extend_from_within(start..end);
            }
            self.end_row();
        }
    }

    /// Whether all rows are those of the old pattern.
    pub(crate) fn is_old(&self) -> bool {
        self.old.is_some()
    }

    /// All bands as one pattern's row starts and columns; `None` where there are too many entries.
    pub(crate) fn join(bands: Vec<Found<'_>>) -> Option<(Vec<u32>, Vec<u32>)> {
        let mut row_ptr = Vec::with_capacity(1 + bands.iter().map(|band| band.rows).sum::<usize>());
        row_ptr.push(0);
        let mut all = Vec::new();
        for (number, mut band) in bands.into_iter().enumerate() {
            band.part();
            let start = all.len();
            if band.overflow || start + band.col_idx.len() > u32::MAX as usize {
                return None;
            }
            row_ptr.extend(band.ends.iter().map(|&end| (start + end as usize) as u32));
            if number == 0 {
                all = band.col_idx;
            } else {
                all.extend_from_slice(&band.col_idx);
            }
        }
        all.shrink_to_fit();
        Some((row_ptr, all))
    }
}

/// Whether a row holds the columns of these blocks.
fn is_blocks(row: &[u32], bases: &[u32], widths: Widths<'_>) -> bool {
    match widths {
        Widths::Equal(1) => return row == bases,
        Widths::Equal(2) => return is_equal_blocks::<2>(row, bases),
        Widths::Equal(3) => return is_equal_blocks::<3>(row, bases),
        Widths::Equal(_) | Widths::Each(_) => {}
    }
    let mut rest = row;
    for &base in bases {
        let Some((block, after)) = rest.split_at_checked(widths.at(base) as usize) else {
            return false;
        };
        if !(base..).zip(block).all(|(wanted, &column)| column == wanted) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// [`is_blocks`] for blocks of one width.
fn is_equal_blocks<const WIDTH: usize>(row: &[u32], bases: &[u32]) -> bool {
    let (blocks, rest) = row.as_chunks::<WIDTH>();
    let differs = |(&base, block): (&u32, &[u32; WIDTH])| {
        (base..).zip(block).fold(0, |differs, (wanted, &column)| differs | (wanted ^ column))
    };
    let same = bases.iter().zip(blocks).map(differs).fold(0, |all, differs| all | differs) == 0;
    same && blocks.len() == bases.len() && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Found, is_blocks};
    use crate::csr::Pattern;
    use spadina_layout::band::Widths;

    #[test]
    fn rows_are_compared_until_they_differ() {
        let old = Pattern::new(4, 4, vec![0, 2, 4, 5, 7], vec![0, 1, 0, 1, 2, 0, 3]).expect("a pattern");
        let widths = Widths::Each(&[2, 0, 1, 1]);
        for changed in 0..4 {
            let mut bands = Vec::new();
            for (first, rows) in [(0, 2), (2, 0), (2, 2)] {
                let mut band = Found::new((first, rows), 4, 7, Some(&old));
                if first == 0 {
                    let other: &[u32] = if changed == 1 { &[0, 2] } else { &[0] };
                    band.push_block(2, other, widths);
                } else if rows > 0 {
                    band.push(if changed == 2 { &[] } else { &[2] });
                    band.push_block(1, if changed == 3 { &[0, 2] } else { &[0, 3] }, Widths::Equal(1));
                }
                bands.push(band);
            }
            assert_eq!(bands.iter().all(Found::is_old), changed == 0);
            let (row_ptr, col_idx) = Found::join(bands).expect("few entries");
            let found = Pattern::new(4, 4, row_ptr, col_idx).expect("a pattern");
            let rows: [&[u32]; 4] = match changed {
                1 => [&[0, 1, 2], &[0, 1, 2], &[2], &[0, 3]],
                2 => [&[0, 1], &[0, 1], &[], &[0, 3]],
                3 => [&[0, 1], &[0, 1], &[2], &[0, 2]],
                _ => [&[0, 1], &[0, 1], &[2], &[0, 3]],
            };
            for (row, wanted) in rows.iter().enumerate() {
                assert_eq!(found.row(row), *wanted, "{changed}");
            }
        }
    }

    #[test]
    fn blocks_of_one_width_are_compared_as_all_others() {
        for width in 1..5_u32 {
            let widths = [width; 40];
            let bases = [0, 2 * width, 5 * width];
            let row: Vec<u32> = bases.iter().flat_map(|&base| base..base + width).collect();
            let mut rows = vec![row.clone(), row[1..].to_vec(), row[..row.len() - 1].to_vec(), Vec::new()];
            rows.push(row.iter().copied().chain([39]).collect());
            for n in 0..row.len() {
                let mut other = row.clone();
                other[n] += 1;
                rows.push(other);
            }
            for (n, row) in rows.iter().enumerate() {
                for known in [Widths::Equal(width), Widths::Each(&widths)] {
                    assert_eq!(is_blocks(row, &bases, known), n == 0, "{row:?} for {known:?}");
                }
            }
        }
    }
}
