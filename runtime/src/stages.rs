//! Elimination of intermediate arrays from a matrix in which they stand as unknowns and rows.
//!
//! # Problem
//! Of a program with stages (intermediate arrays `s` that later loops read) the emitted matrix is
//! ```text
//!              s      x
//!     M =  [ M_ss   M_sx ]  s          ds = M_ss ds + M_sx dx,    dr = M_rs ds + M_rx dx
//!          [ M_rs   M_rx ]  r
//! ```
//! and what is wanted is `dr/dx = M_rx + M_rs T` with the total derivative `T = (I - M_ss)^-1 M_sx` of the stages.
//!
//! # Method
//! An element of a stage depends on finished elements only, so the rows of `T` are computed one after the other,
//! `T_i = M_ix + sum_j M_ij T_j`, each into a dense row of workspace of which only the entries of its pattern are cleared and read
//! (Gustavson's product of sparse matrices by rows). Prepare sorts the elements into *levels* that depend on lower levels only, drops
//! those that no result depends on, and finds all patterns. Rows of a level, and all rows of the result, are independent of each
//! other; each is computed by one thread in one order, so the bits do not depend on the number of threads.
//!
//! # References
//! Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 9; Gustavson, ACM Trans. Math. Softw. 4 (1978), 250-269.

use crate::csr::Pattern;
use crate::error::RuntimeError;
use crate::room::Room;
use crate::team::{Pool, spread};
use std::ops::Range;
use std::sync::Arc;

/// How to eliminate the stages of one matrix, with workspace. A clone shares nothing.
#[derive(Clone, Debug)]
pub struct Elimination {
    /// The matrix with stages, which come first in rows and columns.
    source: Arc<Pattern>,
    stages: usize,
    /// Stage elements in the order of their levels.
    order: Vec<u32>,
    /// Where each level starts in `order`.
    levels: Vec<usize>,
    /// Where each stage element stands in `order`.
    rank: Vec<u32>,
    /// Patterns of the rows of `T`, in `order`.
    total_start: Vec<usize>,
    total_idx: Vec<u32>,
    total: Vec<f64>,
    /// The rows of the result in the matrix with stages, and where each starts in the result.
    results: Vec<u32>,
    start: Vec<usize>,
    pattern: Arc<Pattern>,
    products: u64,
    /// One dense row a thread.
    rows: Vec<Vec<f64>>,
}

/// Fewer rows are not worth a thread.
const LEAST_ROWS: usize = 32;

/// A stage element that nothing depends on.
const UNUSED: u32 = u32::MAX;

impl Elimination {
    /// Orders the elements and finds the patterns. The first `stages` rows and columns of `source` are stage elements; `threads` rows
    /// of workspace are made.
    ///
    /// # Errors
    /// [`RuntimeError::TooLarge`] for more than 2^32 - 1 entries, [`RuntimeError::Memory`], and [`RuntimeError::Mismatch`] where an
    /// element depends on itself, which no program gives.
    pub fn prepare(
        source: &Arc<Pattern>,
        stages: usize,
        threads: usize,
    ) -> Result<Elimination, RuntimeError> {
        let levels = levels(source, stages)?;
        let depth = levels.iter().filter(|&&l| l != UNUSED).max().map_or(0, |&l| l as usize + 1);
        let mut level_start = vec![0_usize; depth + 1];
        for &level in levels.iter().filter(|&&l| l != UNUSED) {
            level_start[level as usize + 1] += 1;
        }
        for level in 0..depth {
            level_start[level + 1] += level_start[level];
        }
        let mut next = level_start.clone();
        let mut order = vec![0_u32; *level_start.last().unwrap_or(&0)];
        let mut rank = vec![UNUSED; stages];
        for (element, &level) in (0_u32..).zip(&levels).filter(|(_, l)| **l != UNUSED) {
            let at = &mut next[level as usize];
            order[*at] = element;
            rank[element as usize] = *at as u32;
            *at += 1;
        }
        let unknowns = source.cols() - stages;
        let mut symbolic = Symbolic { stages, source, rank: &rank, seen: vec![0; unknowns], stamp: 0 };
        let (mut products, room) = (0, Room::default());
        let (mut total_start, mut total_idx, mut row) = (vec![0], Vec::new(), Vec::new());
        for &element in &order {
            row.clear();
            products += symbolic.row(element as usize, (&total_start, &total_idx), &mut row);
            append(&mut total_idx, &row, &room)?;
            total_start.push(total_idx.len());
        }
        let (mut start, mut col_idx) = (vec![0_usize], Vec::new());
        for result in stages..source.rows() {
            row.clear();
            products += symbolic.row(result, (&total_start, &total_idx), &mut row);
            append(&mut col_idx, &row, &room)?;
            start.push(col_idx.len());
        }
        let row_ptr = start.iter().map(|&s| s as u32).collect();
        let pattern = Arc::new(Pattern::trusted(source.rows() - stages, unknowns, row_ptr, col_idx));
        Ok(Elimination {
            source: Arc::clone(source),
            stages,
            order,
            levels: level_start,
            rank,
            total: vec![0.0; total_idx.len()],
            total_start,
            total_idx,
            results: (stages..source.rows()).map(|row| row as u32).collect(),
            start,
            pattern,
            products,
            rows: vec![vec![0.0; unknowns]; threads.max(1)],
        })
    }

    /// The pattern of the result: rows and unknowns without stages.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// The pattern of the matrix with stages.
    pub fn source(&self) -> &Arc<Pattern> {
        &self.source
    }

    /// Multiplications of an evaluation.
    pub fn products(&self) -> u64 {
        self.products
    }

    /// Computes the values of the result from those of the matrix with stages; overwrites them. Allocates nothing on one thread.
    ///
    /// # Errors
    /// [`RuntimeError::Length`] for slices that do not fit the patterns.
    pub fn evaluate(
        &mut self,
        source: &[f64],
        result: &mut [f64],
        pool: Option<&Pool>,
    ) -> Result<(), RuntimeError> {
        for (name, expected, found) in
            [("source", self.source.nnz(), source.len()), ("values", self.pattern.nnz(), result.len())]
        {
            if expected != found {
                return Err(RuntimeError::Length { buffer: name.into(), expected, found });
            }
        }
        let mut total = std::mem::take(&mut self.total);
        let mut rows = std::mem::take(&mut self.rows);
        for level in self.levels.windows(2) {
            let (done, open) = total.split_at_mut(self.total_start[level[0]]);
            let target = Target { rows: &self.order, start: &self.total_start, idx: &self.total_idx };
            let end = self.total_start[level[1]] - done.len();
            self.fill(source, done, &target, level[0]..level[1], &mut open[..end], &mut rows, pool);
        }
        let target = Target { rows: &self.results, start: &self.start, idx: self.pattern.col_idx() };
        self.fill(source, &total, &target, 0..self.results.len(), result, &mut rows, pool);
        (self.total, self.rows) = (total, rows);
        Ok(())
    }

    /// Rows `range` of a target into `out`, split among as many threads as there are rows of workspace.
    #[allow(clippy::too_many_arguments, reason = "the parts of the state that are borrowed apart")]
    fn fill(
        &self,
        source: &[f64],
        total: &[f64],
        target: &Target<'_>,
        range: Range<usize>,
        out: &mut [f64],
        rows: &mut [Vec<f64>],
        pool: Option<&Pool>,
    ) {
        let pieces = (range.len() / LEAST_ROWS).clamp(1, rows.len());
        let edge = |piece: usize| range.start + range.len() * piece / pieces;
        let mut rest = out;
        let work = rows.iter_mut().take(pieces).enumerate().map(|(piece, row)| {
            let range = edge(piece)..edge(piece + 1);
            let (out, others) =
                std::mem::take(&mut rest).split_at_mut(target.start[range.end] - target.start[range.start]);
            rest = others;
            (range, out, row)
        });
        spread(pool, work, |(range, out, row)| self.rows_of(source, total, target, range, out, row));
    }

    fn rows_of(
        &self,
        source: &[f64],
        total: &[f64],
        target: &Target<'_>,
        range: Range<usize>,
        out: &mut [f64],
        dense: &mut [f64],
    ) {
        let offset = target.start[range.start];
        let (ptr, columns) = (self.source.row_ptr(), self.source.col_idx());
        for at in range {
            let (start, end) = (target.start[at], target.start[at + 1]);
            let idx = &target.idx[start..end];
            let out = &mut out[start - offset..end - offset];
            for &c in idx {
                dense[c as usize] = 0.0;
            }
            let row = target.rows[at] as usize;
            let entries = ptr[row] as usize..ptr[row + 1] as usize;
            for (&c, &m) in columns[entries.clone()].iter().zip(&source[entries]) {
                let c = c as usize;
                if c >= self.stages {
                    dense[c - self.stages] += m;
                    continue;
                }
                let rank = self.rank[c] as usize;
                let inner = self.total_start[rank]..self.total_start[rank + 1];
                for (&k, &t) in self.total_idx[inner.clone()].iter().zip(&total[inner]) {
                    dense[k as usize] += m * t;
                }
            }
            for (value, &c) in out.iter_mut().zip(idx) {
                *value = dense[c as usize];
            }
        }
    }
}

/// Where rows are written.
struct Target<'a> {
    /// The rows of the matrix with stages.
    rows: &'a [u32],
    /// Where their entries start.
    start: &'a [usize],
    idx: &'a [u32],
}

/// The level of every stage element that a result depends on: one more than the highest it depends on itself.
fn levels(source: &Pattern, stages: usize) -> Result<Vec<u32>, RuntimeError> {
    let mut levels = vec![UNUSED; stages];
    let mut open = vec![false; stages];
    let mut stack: Vec<(usize, usize)> = Vec::new();
    let before = |row: usize| source.row(row).iter().take_while(|&&c| (c as usize) < stages);
    for row in stages..source.rows() {
        for &element in before(row) {
            if levels[element as usize] == UNUSED {
                stack.push((element as usize, 0));
                open[element as usize] = true;
            }
            while let Some((element, next)) = stack.last_mut() {
                let Some(&on) = source.row(*element).get(*next).filter(|&&c| (c as usize) < stages) else {
                    let element = *element;
                    levels[element] = before(element).map(|&c| levels[c as usize] + 1).max().unwrap_or(0);
                    open[element] = false;
                    stack.pop();
                    continue;
                };
                *next += 1;
                let on = on as usize;
                if open[on] {
                    return Err(RuntimeError::Mismatch("a stage and the elements it depends on"));
                }
                if levels[on] == UNUSED {
                    open[on] = true;
                    stack.push((on, 0));
                }
            }
        }
    }
    Ok(levels)
}

struct Symbolic<'a> {
    stages: usize,
    source: &'a Pattern,
    rank: &'a [u32],
    /// The stamp under which each unknown was seen last.
    seen: Vec<u64>,
    stamp: u64,
}

impl Symbolic<'_> {
    /// Adds the columns of a row to `into`, ascending; returns the multiplications.
    fn row(&mut self, row: usize, (start, idx): (&[usize], &[u32]), into: &mut Vec<u32>) -> u64 {
        self.stamp += 1;
        let mut products = 0;
        for &c in self.source.row(row) {
            let c = c as usize;
            if c >= self.stages {
                self.add((c - self.stages) as u32, into);
                continue;
            }
            let rank = self.rank[c] as usize;
            let total = &idx[start[rank]..start[rank + 1]];
            products += total.len() as u64;
            for &k in total {
                self.add(k, into);
            }
        }
        into.sort_unstable();
        products
    }

    fn add(&mut self, column: u32, into: &mut Vec<u32>) {
        if std::mem::replace(&mut self.seen[column as usize], self.stamp) != self.stamp {
            into.push(column);
        }
    }
}

/// Adds a row, if its columns and values will fit into memory with those before it.
fn append(list: &mut Vec<u32>, row: &[u32], room: &Room) -> Result<(), RuntimeError> {
    if list.len() + row.len() > u32::MAX as usize {
        return Err(RuntimeError::TooLarge { what: "entries of a matrix" });
    }
    let memory = || RuntimeError::Memory { buffer: "the derivative of intermediate arrays".into() };
    if !room.holds(12 * (list.len() + row.len()) as u64) {
        return Err(memory());
    }
    list.try_reserve(row.len()).map_err(|_| memory())?;
    list.extend_from_slice(row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(rows: usize, cols: usize, places: &[(u32, u32)]) -> Arc<Pattern> {
        let mut row_ptr = vec![0_u32; rows + 1];
        for &(row, _) in places {
            row_ptr[row as usize + 1] += 1;
        }
        for row in 0..rows {
            row_ptr[row + 1] += row_ptr[row];
        }
        let idx = places.iter().map(|&(_, col)| col).collect();
        Arc::new(Pattern::new(rows, cols, row_ptr, idx).expect("sorted places"))
    }

    /// s0 = 2 x0 + 3 x1, s1 = 5 s0 + 7 x2, s2 unused, r = 11 s1 + 13 x0.
    #[test]
    fn a_chain_of_stages_by_hand() {
        let source = pattern(4, 6, &[(0, 3), (0, 4), (1, 0), (1, 5), (2, 3), (3, 1), (3, 3)]);
        let mut made = Elimination::prepare(&source, 3, 2).expect("no cycle");
        assert_eq!(made.pattern().row(0), [0, 1, 2]);
        let mut values = vec![0.0; 3];
        made.evaluate(&[2.0, 3.0, 5.0, 7.0, 99.0, 11.0, 13.0], &mut values, None).expect("fits");
        assert_eq!(values, [13.0 + 11.0 * 5.0 * 2.0, 11.0 * 5.0 * 3.0, 11.0 * 7.0]);
    }

    #[test]
    fn an_element_that_depends_on_itself_is_refused() {
        let source = pattern(3, 3, &[(0, 1), (1, 0), (2, 0)]);
        assert!(matches!(Elimination::prepare(&source, 2, 1), Err(RuntimeError::Mismatch(_))));
    }
}
