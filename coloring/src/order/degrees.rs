//! Distance-2 neighbors and degrees of columns, with identical rows and columns merged.
//!
//! # Method
//! Columns are neighbors if a row holds both, and most pairs share several rows: what counts is how often pairs are met. Degrees meet each
//! pair from its smaller column only. Orders that take columns out meet the neighbors that are left: rows forget columns on the way. Of
//! identical rows only the first is walked, since the others meet no one else; of identical columns the degree is found once. Whether
//! there are any is asked of a few rows and columns first.

use super::dynamic::Neighbors;
use crate::graph::NONE;
use crate::pattern::Pattern;
use std::borrow::Cow;

/// Merging pays when rows are longer than this on average.
const MERGE_FROM: usize = 6;
/// Rows (or columns) that are compared with others before all are.
const SAMPLE: usize = 64;

/// Vertices by descending degree, equal degrees by index (a counting sort).
pub(super) fn by_descending(degrees: &[u32]) -> Vec<u32> {
    let max = degrees.iter().copied().max().unwrap_or(0) as usize;
    let mut start = vec![0u32; max + 2];
    for &d in degrees {
        start[max - d as usize + 1] += 1;
    }
    for k in 0..=max {
        start[k + 1] += start[k];
    }
    let mut order = vec![0; degrees.len()];
    for (v, &d) in degrees.iter().enumerate() {
        let slot = &mut start[max - d as usize];
        order[*slot as usize] = v as u32;
        *slot += 1;
    }
    order
}

/// Columns that share a row with a column.
pub(super) struct Distance2<'p> {
    /// For each column its rows; of identical rows only the first.
    columns: Lists<'p>,
    /// For each row its columns.
    rows: Lists<'p>,
    /// For each column the first identical one; `None` where all differ.
    twin: Option<Vec<u32>>,
}

impl<'p> Distance2<'p> {
    pub(super) fn new(rows: &'p Pattern, columns: &'p Pattern) -> Self {
        let merge = rows.nnz() > MERGE_FROM * rows.nrows();
        let twins = |of: &Pattern, by: &Pattern| (merge && seem_merged(of, by)).then(|| first_identical(of));
        let all = Lists::of(columns);
        let columns_once = match twins(rows, columns) {
            Some(row_twin) => all.keep(|r| row_twin[r as usize] == r),
            None => all,
        };
        Self { columns: columns_once, rows: Lists::of(rows), twin: twins(columns, rows) }
    }

    /// Number of other columns that share a row with each column.
    pub(super) fn degrees(&self) -> Vec<u32> {
        let n = self.columns.len();
        let Some(twin) = &self.twin else {
            return self.pairs(&self.rows, |_| true, |_| 1);
        };
        let mut weight = vec![0u32; n];
        for &t in twin {
            weight[t as usize] += 1;
        }
        let rows = self.rows.keep(|c| twin[c as usize] == c);
        let mut degrees = self.pairs(&rows, |c| twin[c] == c as u32, |c| weight[c]);
        for v in 0..n {
            degrees[v] = degrees[twin[v] as usize];
        }
        degrees
    }

    /// The degrees of the columns that are `first` among identical ones, which `rows` alone hold; each stands for `weight` columns.
    fn pairs(
        &self,
        rows: &Lists<'_>,
        first: impl Fn(usize) -> bool,
        weight: impl Fn(usize) -> u32,
    ) -> Vec<u32> {
        let n = self.columns.len();
        // For each column the last one that met it, and what is known of its degree: read together.
        let mut marks = vec![(NONE, 0u32); n];
        // The columns of each row that have not been passed.
        let mut ahead = rows.spans();
        for v in (0..n).filter(|&v| first(v)) {
            let own = weight(v);
            let mut sum = own - 1;
            for &r in self.columns.list(v) {
                let span = &mut ahead[r as usize];
                span.start += 1;
                for &c in &rows.items[span.range()] {
                    let (met, degree) = &mut marks[c as usize];
                    if *met != v as u32 {
                        *met = v as u32;
                        *degree += own;
                        sum += weight(c as usize);
                    }
                }
            }
            marks[v].1 += sum;
        }
        marks.into_iter().map(|(_, degree)| degree).collect()
    }

    /// The neighbors that are left while columns are taken out.
    pub(super) fn left(&self) -> Left<'_> {
        Left {
            columns: &self.columns,
            spans: self.rows.spans(),
            items: self.rows.items.to_vec(),
            step: 0,
            met: vec![0; self.columns.len()],
        }
    }
}

/// The columns that have not been taken out.
pub(super) struct Left<'p> {
    columns: &'p Lists<'p>,
    /// The columns of each row; those taken out are dropped on the way.
    spans: Vec<Span>,
    items: Vec<u32>,
    /// Columns that have been taken out.
    step: u32,
    /// When each column was met for the last time: before which step; `NONE` once it is taken out.
    met: Vec<u32>,
}

impl Neighbors for Left<'_> {
    fn visit(&mut self, v: u32, mut f: impl FnMut(u32)) {
        self.met[v as usize] = NONE;
        self.step += 1;
        let step = self.step;
        for &r in self.columns.list(v as usize) {
            let span = &mut self.spans[r as usize];
            let list = &mut self.items[span.range()];
            let mut kept = 0;
            for k in 0..list.len() {
                let c = list[k];
                let met = &mut self.met[c as usize];
                // Written in any case: which columns are left is hard to predict.
                list[kept] = c;
                kept += usize::from(*met != NONE);
                if *met < step {
                    *met = step;
                    f(c);
                }
            }
            span.end = span.start + kept as u32;
        }
    }
}

/// Lists of numbers in one array.
struct Lists<'p> {
    /// Where each list starts, and the end of the last.
    ptr: Cow<'p, [usize]>,
    items: Cow<'p, [u32]>,
}

impl<'p> Lists<'p> {
    /// The rows of a pattern.
    fn of(pattern: &'p Pattern) -> Self {
        Self { ptr: Cow::Borrowed(pattern.row_ptr()), items: Cow::Borrowed(pattern.col_idx()) }
    }

    /// The same lists without some of the numbers.
    fn keep(&self, keep: impl Fn(u32) -> bool) -> Self {
        let mut ptr = Vec::with_capacity(self.ptr.len());
        let mut items = Vec::with_capacity(self.items.len());
        ptr.push(0);
        for i in 0..self.len() {
            items.extend(self.list(i).iter().copied().filter(|&x| keep(x)));
            ptr.push(items.len());
        }
        Self { ptr: ptr.into(), items: items.into() }
    }

    fn len(&self) -> usize {
        self.ptr.len() - 1
    }

    /// Where each list starts and ends, in one word.
    fn spans(&self) -> Vec<Span> {
        self.ptr.windows(2).map(|ends| Span { start: ends[0] as u32, end: ends[1] as u32 }).collect()
    }

    fn list(&self, i: usize) -> &[u32] {
        &self.items[self.ptr[i]..self.ptr[i + 1]]
    }
}

/// A part of the numbers of all lists: patterns have less than 2^31 entries.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Whether one of a few rows is identical to another, which then holds its first column too.
fn seem_merged(rows: &Pattern, columns: &Pattern) -> bool {
    let n = rows.nrows();
    (0..n).step_by(n.div_ceil(SAMPLE).max(1)).any(|i| {
        let row = rows.row(i);
        let others = row.first().map_or(&[][..], |&c| columns.row(c as usize));
        others.iter().take(SAMPLE).any(|&k| k as usize != i && rows.row(k as usize) == row)
    })
}

/// For each row the first row with the same columns; by a hash table with open addressing.
fn first_identical(pattern: &Pattern) -> Vec<u32> {
    let n = pattern.nrows();
    let size = (2 * n).next_power_of_two().max(2);
    let shift = 64 - size.trailing_zeros();
    let mut table = vec![NONE; size];
    let mut first = Vec::with_capacity(n);
    for i in 0..n {
        let row = pattern.row(i);
        let hash = row.iter().fold(row.len() as u64, |hash, &c| {
            (hash.rotate_left(5) ^ u64::from(c)).wrapping_mul(0x517C_C1B7_2722_0A95)
        });
        let mut at = (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize;
        let found = loop {
            let other = table[at];
            if other == NONE {
                table[at] = i as u32;
                break i as u32;
            }
            if pattern.row(other as usize) == row {
                break other;
            }
            at = (at + 1) & (size - 1);
        };
        first.push(found);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::Distance2;
    use crate::order::dynamic::Neighbors;
    use crate::pattern::Pattern;
    use std::collections::BTreeSet;

    /// The columns that share a row with each, by definition.
    fn neighbors(rows: &Pattern) -> Vec<BTreeSet<u32>> {
        let mut found = vec![BTreeSet::new(); rows.ncols()];
        for i in 0..rows.nrows() {
            for &a in rows.row(i) {
                found[a as usize].extend(rows.row(i).iter().copied().filter(|&b| b != a));
            }
        }
        found
    }

    /// Patterns without twins, with some, with nothing but twins, and with empty rows and columns.
    fn patterns() -> Vec<Pattern> {
        let mut state = 7_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % bound) as u32
        };
        let mut found = vec![Pattern::from_entries(0, 0, &[]).unwrap()];
        for copies in [1, 2, 3] {
            for (m, n, entries) in [(30, 20, 60), (15, 25, 150), (90, 90, 900)] {
                let base: Vec<(u32, u32)> = (0..entries).map(|_| (below(m), below(n))).collect();
                let blocks = (0..copies).flat_map(|a| (0..copies).map(move |b| (a, b)));
                let shift =
                    |(a, b): (u32, u32)| base.iter().map(move |&(i, j)| (i + a * m as u32, j + b * n as u32));
                let all: Vec<(u32, u32)> = blocks.flat_map(shift).collect();
                let (m, n) = (m as usize * copies as usize, n as usize * copies as usize);
                found.push(Pattern::from_entries(m, n, &all).unwrap());
            }
        }
        found
    }

    #[test]
    fn degrees_count_the_neighbors() {
        let mut merged = 0;
        for rows in patterns() {
            let columns = rows.transpose();
            let distance2 = Distance2::new(&rows, &columns);
            merged += usize::from(distance2.twin.is_some());
            let expected: Vec<u32> = neighbors(&rows).iter().map(|set| set.len() as u32).collect();
            assert_eq!(distance2.degrees(), expected);
        }
        assert!((3..9).contains(&merged), "{merged} patterns with twins");
    }

    #[test]
    fn each_neighbor_that_is_left_is_met_once() {
        for rows in patterns() {
            let columns = rows.transpose();
            let distance2 = Distance2::new(&rows, &columns);
            let (mut left, all) = (distance2.left(), neighbors(&rows));
            let mut gone = BTreeSet::new();
            for k in 0..rows.ncols() {
                let v = ((k * 7) % rows.ncols()) as u32;
                if gone.insert(v) {
                    let mut met = Vec::new();
                    left.visit(v, |w| met.push(w));
                    met.sort_unstable();
                    assert!(met.iter().eq(all[v as usize].difference(&gone)));
                }
            }
        }
    }
}
