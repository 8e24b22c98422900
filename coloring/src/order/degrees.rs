//! Distance-2 neighbors and degrees of columns, with identical rows and columns merged.

use super::dynamic::Neighbors;
use crate::graph::NONE;
use crate::pattern::Pattern;

/// Merging pays when rows are longer than this on average.
const MERGE_FROM: usize = 6;

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

/// Columns that share a row with a column. Of identical rows only the first is kept: the others meet no one else.
pub(super) struct Distance2 {
    /// For each column its rows, duplicates left out.
    columns: Lists,
    /// For each row its columns; columns already ordered are dropped on the way.
    rows: Lists,
    /// For each column the first identical one.
    twin: Vec<u32>,
    /// Last column that met this one; `NONE` once it is ordered.
    met: Vec<u32>,
}

impl Distance2 {
    pub(super) fn new(rows: &Pattern, columns: &Pattern) -> Self {
        let merge = rows.nnz() > MERGE_FROM * rows.nrows();
        let row_twin = if merge { first_identical(rows) } else { (0..rows.nrows() as u32).collect() };
        let twin = if merge { first_identical(columns) } else { (0..rows.ncols() as u32).collect() };
        Self {
            columns: Lists::filtered(columns, |r| row_twin[r as usize] == r),
            rows: Lists::filtered(rows, |_| true),
            twin,
            met: vec![NONE - 1; rows.ncols()],
        }
    }

    /// Number of other columns that share a row with each column.
    pub(super) fn degrees(&mut self) -> Vec<u32> {
        let n = self.twin.len();
        let mut weight = vec![0u32; n];
        for &t in &self.twin {
            weight[t as usize] += 1;
        }
        let rows = self.rows.keep(|c| self.twin[c as usize] == c);
        let mut degrees = vec![0u32; n];
        for v in 0..n {
            if self.twin[v] != v as u32 {
                degrees[v] = degrees[self.twin[v] as usize];
                continue;
            }
            self.met[v] = v as u32;
            let mut sum = weight[v] - 1;
            for &r in self.columns.list(v) {
                for &c in rows.list(r as usize) {
                    let met = &mut self.met[c as usize];
                    if *met != v as u32 {
                        *met = v as u32;
                        sum += weight[c as usize];
                    }
                }
            }
            degrees[v] = sum;
        }
        self.met.fill(NONE - 1);
        degrees
    }
}

impl Neighbors for &mut Distance2 {
    fn visit(&mut self, v: u32, mut f: impl FnMut(u32)) {
        let Distance2 { columns, rows, met, .. } = &mut **self;
        met[v as usize] = NONE;
        for &r in columns.list(v as usize) {
            let r = r as usize;
            let start = rows.ptr[r];
            let mut kept = start;
            for k in start..start + rows.len[r] as usize {
                let c = rows.items[k];
                let seen = met[c as usize];
                if seen != NONE {
                    rows.items[kept] = c;
                    kept += 1;
                    if seen != v {
                        met[c as usize] = v;
                        f(c);
                    }
                }
            }
            rows.len[r] = (kept - start) as u32;
        }
    }
}

/// Lists of numbers in one array, which can get shorter.
struct Lists {
    ptr: Vec<usize>,
    len: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn filtered(pattern: &Pattern, keep: impl Fn(u32) -> bool) -> Self {
        let n = pattern.nrows();
        let mut lists = Self {
            ptr: Vec::with_capacity(n),
            len: Vec::with_capacity(n),
            items: Vec::with_capacity(pattern.nnz()),
        };
        for i in 0..n {
            lists.push(pattern.row(i), &keep);
        }
        lists
    }

    fn keep(&self, keep: impl Fn(u32) -> bool) -> Self {
        let mut lists = Self { ptr: Vec::new(), len: Vec::new(), items: Vec::new() };
        for i in 0..self.len.len() {
            lists.push(self.list(i), &keep);
        }
        lists
    }

    fn push(&mut self, items: &[u32], keep: impl Fn(u32) -> bool) {
        let start = self.items.len();
        self.items.extend(items.iter().copied().filter(|&x| keep(x)));
        self.ptr.push(start);
        self.len.push((self.items.len() - start) as u32);
    }

    fn list(&self, i: usize) -> &[u32] {
        &self.items[self.ptr[i]..self.ptr[i] + self.len[i] as usize]
    }
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
