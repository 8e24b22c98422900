//! Partial distance-2 coloring of one side of a bipartite graph: column and row colorings.
//!
//! Gebremedhin, Manne, Pothen, "What color is your Jacobian?", SIAM Review 47 (2005), Algorithm 3.2. The colors are
//! those of the published algorithm. Instead of walking over all columns of each row, each row keeps the set of the
//! colors it has seen: colors 1 to 64 as one word, larger ones as a list, and as bits in long rows. The work for a
//! column is the number of its entries as long as 64 colors suffice.

use crate::graph::NONE;
use crate::pattern::Pattern;

/// Rows longer than this keep their colors above 64 as bits, since a list would make the work quadratic.
const LONG_ROW: usize = 512;

/// Colors (from 1) of the columns visited in `order`; `columns` is the transpose of `rows`.
///
/// For a row coloring, exchange the two patterns.
pub(crate) fn distance2_coloring(rows: &Pattern, columns: &Pattern, order: &[u32]) -> Vec<u32> {
    let mut sets = RowSets::new(rows);
    let mut colors = vec![0; rows.ncols()];
    for &v in order {
        let column = columns.row(v as usize);
        let color = sets.smallest_allowed(column);
        colors[v as usize] = color;
        for &r in column {
            sets.insert(r as usize, color);
        }
    }
    colors
}

/// The colors seen in each row.
struct RowSets<'p> {
    rows: &'p Pattern,
    /// Bit `c - 1` for color `c` up to 64.
    words: Vec<u64>,
    /// What lies above 64; filled at the first such color.
    large: Option<Large>,
}

struct Large {
    /// Colors minus 65, in the place of the row's entries.
    list: Vec<u32>,
    len: Vec<u32>,
    /// For long rows, index of its bits.
    long: Vec<u32>,
    bits: Vec<LongRow>,
    /// Scratch: union of the sets of the rows at hand, all zero between uses.
    union: Vec<u64>,
}

#[derive(Default)]
struct LongRow {
    words: Vec<u64>,
    /// Number of leading words with all bits set.
    full: usize,
}

impl<'p> RowSets<'p> {
    fn new(rows: &'p Pattern) -> Self {
        Self { rows, words: vec![0; rows.nrows()], large: None }
    }

    fn smallest_allowed(&mut self, column: &[u32]) -> u32 {
        let word = column.iter().fold(0, |word, &r| word | self.words[r as usize]);
        if word != u64::MAX {
            return word.trailing_ones() + 1;
        }
        self.large.as_mut().map_or(65, |large| large.smallest_allowed(self.rows, column))
    }

    fn insert(&mut self, row: usize, color: u32) {
        if color <= 64 {
            self.words[row] |= 1 << (color - 1);
        } else {
            self.large.get_or_insert_with(|| Large::new(self.rows)).insert(self.rows, row, color - 65);
        }
    }
}

impl Large {
    fn new(rows: &Pattern) -> Self {
        let mut long = vec![NONE; rows.nrows()];
        let mut bits = Vec::new();
        for (row, long) in long.iter_mut().enumerate() {
            if rows.row(row).len() > LONG_ROW {
                *long = bits.len() as u32;
                bits.push(LongRow::default());
            }
        }
        Self { list: vec![0; rows.nnz()], len: vec![0; rows.nrows()], long, bits, union: Vec::new() }
    }

    fn smallest_allowed(&mut self, rows: &Pattern, column: &[u32]) -> u32 {
        // Words below `low` are full in some long row.
        let mut low = 0;
        for &r in column {
            if let Some(row) = self.bits.get(self.long[r as usize] as usize) {
                low = low.max(row.full);
            }
        }
        let mut high = low;
        for &r in column {
            let r = r as usize;
            if let Some(row) = self.bits.get(self.long[r] as usize) {
                for (union, word) in self.union.iter_mut().zip(&row.words).skip(low) {
                    *union |= word;
                }
                high = high.max(row.words.len());
            } else {
                let start = rows.row_ptr()[r];
                for &c in &self.list[start..start + self.len[r] as usize] {
                    let at = (c >> 6) as usize;
                    if at >= low {
                        self.union[at] |= 1 << (c & 63);
                        high = high.max(at + 1);
                    }
                }
            }
        }
        let free = self.union.iter().skip(low).position(|&w| w != u64::MAX);
        let at = free.map_or(self.union.len().max(low), |k| low + k);
        let bit = self.union.get(at).map_or(0, |w| w.trailing_ones());
        if let Some(used) = self.union.get_mut(low..high) {
            used.fill(0);
        }
        65 + 64 * at as u32 + bit
    }

    fn insert(&mut self, rows: &Pattern, row: usize, color: u32) {
        let at = (color >> 6) as usize;
        if at >= self.union.len() {
            self.union.resize(at + 1, 0);
        }
        if let Some(set) = self.bits.get_mut(self.long[row] as usize) {
            if at >= set.words.len() {
                set.words.resize(at + 1, 0);
            }
            set.words[at] |= 1 << (color & 63);
            while set.words.get(set.full) == Some(&u64::MAX) {
                set.full += 1;
            }
        } else {
            self.list[rows.row_ptr()[row] + self.len[row] as usize] = color;
            self.len[row] += 1;
        }
    }
}
