//! Fewest colors possible, by exhaustive search with pruning: a reference for small patterns.

use crate::coloring::Coloring;
use crate::error::ColoringError;
use crate::options::{Decompression, Partition};
use crate::pattern::Pattern;

/// A coloring with the fewest colors, found by trying all. Symmetric colorings have no neutral colors, bidirectional
/// ones do. Meant for patterns of a dozen rows and columns: `max_steps` bounds the number of colors tried.
///
/// # Errors
/// When the options do not fit the pattern, or the steps did not suffice.
///
/// ```
/// use spadina_coloring::{optimal::optimal_coloring, options::{Decompression, Partition}, pattern::Pattern};
/// let ring = Pattern::from_entries(4, 4, &[(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)])?;
/// let best = optimal_coloring(&ring, Partition::Symmetric, Decompression::Direct, 1000)?;
/// assert_eq!(best.n_colors(), 3);
/// # Ok::<(), spadina_coloring::error::ColoringError>(())
/// ```
pub fn optimal_coloring(
    pattern: &Pattern,
    partition: Partition,
    decompression: Decompression,
    max_steps: u64,
) -> Result<Coloring, ColoringError> {
    let (m, n) = (pattern.nrows(), pattern.ncols());
    let mut steps = Steps { left: max_steps, max: max_steps };
    match partition {
        Partition::Column | Partition::Row if decompression == Decompression::Substitution => {
            Err(ColoringError::SubstitutionOneSided)
        }
        Partition::Column => {
            let colors = fewest(n, &mut steps, |colors, v| apart(pattern, colors, v))?;
            Coloring::from_column_colors(pattern, colors)
        }
        Partition::Row => {
            let transposed = pattern.transpose();
            let colors = fewest(m, &mut steps, |colors, v| apart(&transposed, colors, v))?;
            Coloring::from_row_colors(pattern, colors)
        }
        Partition::Symmetric => {
            pattern.require_symmetric()?;
            let colors = fewest(n, &mut steps, |colors, v| symmetric(pattern, decompression, colors, v))?;
            Coloring::from_symmetric_colors(pattern, colors, decompression)
        }
        Partition::Bidirectional => {
            for total in 0..=m.max(n) {
                for n_columns in 0..=total {
                    let mut search = Search {
                        colors: Vec::new(),
                        used: [0, 0],
                        limits: [n_columns, total - n_columns],
                        n_columns: n,
                        n_vertices: m + n,
                        lowest: 0,
                    };
                    let valid = |colors: &[u32], _| bidirectional(pattern, decompression, colors);
                    if search.run(&mut steps, &valid)? {
                        let rows = search.colors.split_off(n);
                        let columns = search.colors;
                        return Coloring::from_bidirectional_colors(pattern, columns, rows, decompression);
                    }
                }
            }
            // Unreachable: one side alone always suffices, with as many colors as it has lines.
            Err(ColoringError::SearchLimit { steps: max_steps })
        }
    }
}

struct Steps {
    left: u64,
    max: u64,
}

fn fewest(
    n: usize,
    steps: &mut Steps,
    valid: impl Fn(&[u32], usize) -> bool,
) -> Result<Vec<u32>, ColoringError> {
    for limit in 0..=n {
        let mut search = Search {
            colors: Vec::new(),
            used: [0, 0],
            limits: [limit, 0],
            n_columns: n,
            n_vertices: n,
            lowest: 1,
        };
        if search.run(steps, &valid)? {
            return Ok(search.colors);
        }
    }
    Err(ColoringError::SearchLimit { steps: steps.max })
}

/// Vertices `0..colors.len()` are colored; the others are not there yet.
struct Search {
    colors: Vec<u32>,
    /// Colors in use among the columns and among the rows.
    used: [usize; 2],
    limits: [usize; 2],
    n_columns: usize,
    n_vertices: usize,
    /// 0 with neutral colors, otherwise 1.
    lowest: usize,
}

impl Search {
    fn run(
        &mut self,
        steps: &mut Steps,
        valid: &impl Fn(&[u32], usize) -> bool,
    ) -> Result<bool, ColoringError> {
        let v = self.colors.len();
        if v == self.n_vertices {
            return Ok(true);
        }
        let side = usize::from(v >= self.n_columns);
        // A new color is tried once: colors not in use are all alike.
        for color in self.lowest..=self.limits[side].min(self.used[side] + 1) {
            steps.left = steps.left.checked_sub(1).ok_or(ColoringError::SearchLimit { steps: steps.max })?;
            let before = self.used[side];
            self.used[side] = before.max(color);
            self.colors.push(color as u32);
            if valid(&self.colors, v) && self.run(steps, valid)? {
                return Ok(true);
            }
            self.colors.pop();
            self.used[side] = before;
        }
        Ok(false)
    }
}

/// Does column `v` meet no earlier column of its color?
fn apart(pattern: &Pattern, colors: &[u32], v: usize) -> bool {
    (0..pattern.nrows()).all(|i| {
        pattern.find(i, v).is_none()
            || pattern.row(i).iter().map(|&c| c as usize).all(|c| c >= v || colors[c] != colors[v])
    })
}

/// Is the part colored so far star or acyclic?
fn symmetric(pattern: &Pattern, decompression: Decompression, colors: &[u32], v: usize) -> bool {
    let neighbors = |i: usize| {
        let row = pattern.row(i).iter().map(|&c| c as usize);
        row.filter(move |&c| c != i && c < colors.len())
    };
    if neighbors(v).any(|w| colors[w] == colors[v]) {
        return false;
    }
    let terms = (0..=v).flat_map(|i| neighbors(i).map(move |j| ((i, colors[j]), (i.min(j), i.max(j)))));
    recoverable(&terms.collect::<Vec<_>>(), decompression)
}

/// Can the entries whose row and column are both colored be recovered?
fn bidirectional(pattern: &Pattern, decompression: Decompression, colors: &[u32]) -> bool {
    let (n, m) = (pattern.ncols(), pattern.nrows());
    let inside = pattern.entries().filter(|&(i, _)| n + i < colors.len());
    let terms = inside.flat_map(|(i, j)| [((i, colors[j]), (i, j)), ((m + j, colors[n + i]), (i, j))]);
    recoverable(&terms.collect::<Vec<_>>(), decompression)
}

/// An equation (line and color) and an entry it holds.
type Term = ((usize, u32), (usize, usize));

/// Can the entries be told from the terms? Direct: every unknown is alone in one of its
/// equations. Substitution: again and again, take out an unknown that is. Equations of color 0 do not exist.
fn recoverable(terms: &[Term], decompression: Decompression) -> bool {
    let mut left = terms.to_vec();
    loop {
        let alone = |(equation, _): &Term| {
            equation.1 != 0 && left.iter().filter(|(other, _)| other == equation).count() == 1
        };
        let solved: Vec<(usize, usize)> = left.iter().filter(|term| alone(term)).map(|term| term.1).collect();
        let rest: Vec<_> = left.iter().filter(|term| !solved.contains(&term.1)).copied().collect();
        if rest.is_empty() {
            return true;
        }
        if rest.len() == left.len() || decompression == Decompression::Direct {
            return false;
        }
        left = rest;
    }
}
