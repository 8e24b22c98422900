//! Independent verification of colorings, straight from the definitions: slow, and sharing no code with the algorithms.
//!
//! Rows, columns and colors as everywhere: indices from 0, colors from 1, 0 = neutral.

use std::collections::{BTreeMap, BTreeSet};

use crate::coloring::Coloring;
use crate::error::ColoringError;
use crate::options::{Decompression, Partition};
use crate::pattern::Pattern;

/// Checks a finished coloring by the definition of its kind.
///
/// # Errors
/// Naming the entries that cannot be recovered.
pub fn coloring(coloring: &Coloring) -> Result<(), ColoringError> {
    let (pattern, columns, rows) = (coloring.pattern(), coloring.column_colors(), coloring.row_colors());
    let has_neutral = columns.contains(&0);
    match (coloring.partition(), coloring.decompression()) {
        (Partition::Column, _) => self::columns(pattern, columns),
        (Partition::Row, _) => self::rows(pattern, rows),
        (Partition::Symmetric, Decompression::Direct) => {
            if !has_neutral {
                star(pattern, columns)?;
            }
            symmetric_direct(pattern, columns)
        }
        (Partition::Symmetric, Decompression::Substitution) => {
            if !has_neutral {
                acyclic(pattern, columns)?;
            }
            symmetric_substitution(pattern, columns)
        }
        (Partition::Bidirectional, Decompression::Direct) => bidirectional_direct(pattern, columns, rows),
        (Partition::Bidirectional, Decompression::Substitution) => {
            bidirectional_substitution(pattern, columns, rows)
        }
    }
}

/// Structurally orthogonal columns (Curtis, Powell, Reid 1974): no row has two entries of one color.
///
/// # Errors
/// Naming the two columns and the row.
pub fn columns(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    require_colors("columns", pattern.ncols(), colors)?;
    for row in 0..pattern.nrows() {
        let mut seen = BTreeMap::new();
        for &col in pattern.row(row) {
            let (col, color) = (col as usize, colors[col as usize] as usize);
            if color == 0 {
                return Err(ColoringError::Uncovered { row, col });
            }
            if let Some(first) = seen.insert(color, col) {
                return Err(ColoringError::ColumnsMeet { row, first, second: col, color });
            }
        }
    }
    Ok(())
}

/// Structurally orthogonal rows: no column has two entries of one color.
///
/// # Errors
/// Naming the two rows and the column.
pub fn rows(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    columns(&pattern.transpose(), colors).map_err(|error| match error {
        ColoringError::ColumnsMeet { row: col, first, second, color } => {
            ColoringError::RowsMeet { col, first, second, color }
        }
        ColoringError::Uncovered { row, col } => ColoringError::Uncovered { row: col, col: row },
        ColoringError::ColorsLength { expected, found, .. } => {
            ColoringError::ColorsLength { what: "rows", expected, found }
        }
        other => other,
    })
}

/// Star coloring (Coleman, Moré 1984): neighbors differ, and every path on four vertices has three colors.
///
/// # Errors
/// Naming the entry in the middle of a two-colored path.
pub fn star(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    proper(pattern, colors)?;
    for (b, c) in pattern.entries().filter(|(b, c)| b < c) {
        let others = |v: usize, not: usize, color: u32| {
            let others = pattern.row(v).iter().map(|&x| x as usize);
            others.into_iter().any(|x| x != v && x != not && colors[x] == color)
        };
        // a - b - c - d with the colors of c, b, c, b.
        if others(b, c, colors[c]) && others(c, b, colors[b]) {
            return Err(ColoringError::NotDirect { row: b, col: c });
        }
    }
    Ok(())
}

/// Acyclic coloring (Coleman, Cai 1986): neighbors differ, and every cycle has three colors.
///
/// # Errors
/// Naming an entry that cannot be reached by peeling leaves of two-colored subgraphs.
pub fn acyclic(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    proper(pattern, colors)?;
    symmetric_substitution(pattern, colors)
}

/// Symmetrically orthogonal partition (Powell, Toint 1979; Coleman, Moré 1984): each entry (i, j) is alone in row i
/// among the columns of j's color, or alone in row j among those of i's color. Neutral colors count as nothing.
///
/// # Errors
/// Naming the entry.
pub fn symmetric_direct(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    require_colors("unknowns", pattern.ncols(), colors)?;
    pattern.require_symmetric()?;
    let counts = count(pattern.entries().map(|(i, j)| (i, colors[j])));
    for (row, col) in pattern.entries() {
        let alone = |i: usize, color: u32| color != 0 && counts.get(&(i, color)) == Some(&1);
        if !alone(row, colors[col]) && !alone(col, colors[row]) {
            return Err(ColoringError::NotDirect { row, col });
        }
    }
    Ok(())
}

/// Substitutable partition (Coleman, Moré 1984): the entries can be solved for one after the other.
///
/// # Errors
/// Naming an entry that cannot.
pub fn symmetric_substitution(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    require_colors("unknowns", pattern.ncols(), colors)?;
    pattern.require_symmetric()?;
    solvable(pattern.entries().map(|(i, j)| ((i, colors[j]), (i.max(j), i.min(j)))))
}

/// Structurally biorthogonal partition (Montoison, Dalle, Gebremedhin 2025): each entry is alone in its row among the
/// columns of its column's color, or alone in its column among the rows of its row's color.
///
/// # Errors
/// Naming the entry.
pub fn bidirectional_direct(
    pattern: &Pattern,
    column_colors: &[u32],
    row_colors: &[u32],
) -> Result<(), ColoringError> {
    require_colors("columns", pattern.ncols(), column_colors)?;
    require_colors("rows", pattern.nrows(), row_colors)?;
    let in_rows = count(pattern.entries().map(|(i, j)| (i, column_colors[j])));
    let in_columns = count(pattern.entries().map(|(i, j)| (j, row_colors[i])));
    for (row, col) in pattern.entries() {
        let (column_color, row_color) = (column_colors[col], row_colors[row]);
        let by_column = column_color != 0 && in_rows.get(&(row, column_color)) == Some(&1);
        let by_row = row_color != 0 && in_columns.get(&(col, row_color)) == Some(&1);
        if !by_column && !by_row {
            return Err(ColoringError::NotDirect { row, col });
        }
    }
    Ok(())
}

/// Bidirectional partition by substitution: the entries can be solved for one after the other.
///
/// # Errors
/// Naming an entry that cannot.
pub fn bidirectional_substitution(
    pattern: &Pattern,
    column_colors: &[u32],
    row_colors: &[u32],
) -> Result<(), ColoringError> {
    require_colors("columns", pattern.ncols(), column_colors)?;
    require_colors("rows", pattern.nrows(), row_colors)?;
    let m = pattern.nrows();
    solvable(
        pattern
            .entries()
            .flat_map(|(i, j)| [((i, column_colors[j]), (i, j)), ((m + j, row_colors[i]), (i, j))]),
    )
}

fn require_colors(what: &'static str, expected: usize, colors: &[u32]) -> Result<(), ColoringError> {
    if colors.len() == expected {
        Ok(())
    } else {
        Err(ColoringError::ColorsLength { what, expected, found: colors.len() })
    }
}

fn proper(pattern: &Pattern, colors: &[u32]) -> Result<(), ColoringError> {
    require_colors("unknowns", pattern.ncols(), colors)?;
    pattern.require_symmetric()?;
    for (row, col) in pattern.entries() {
        let color = colors[row] as usize;
        if color == 0 {
            return Err(ColoringError::Uncovered { row, col });
        }
        if row != col && colors[col] as usize == color {
            return Err(ColoringError::Adjacent { row, col, color });
        }
    }
    Ok(())
}

fn count(keys: impl Iterator<Item = (usize, u32)>) -> BTreeMap<(usize, u32), usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

/// One compressed value: line and color.
type Equation = (usize, u32);
/// One matrix entry: row and column.
type Unknown = (usize, usize);

/// Can all unknowns be found by solving, again and again, an equation with one unknown left? Equations of color 0 do
/// not exist.
fn solvable(terms: impl Iterator<Item = (Equation, Unknown)>) -> Result<(), ColoringError> {
    let mut left: BTreeMap<Equation, BTreeSet<Unknown>> = BTreeMap::new();
    let mut uses: BTreeMap<Unknown, Vec<Equation>> = BTreeMap::new();
    for (equation, unknown) in terms {
        let uses = uses.entry(unknown).or_default();
        if equation.1 != 0 {
            uses.push(equation);
            left.entry(equation).or_default().insert(unknown);
        }
    }
    let single =
        |(equation, unknowns): (&Equation, &BTreeSet<Unknown>)| (unknowns.len() == 1).then_some(*equation);
    let mut ready: Vec<Equation> = left.iter().filter_map(single).collect();
    while let Some(equation) = ready.pop() {
        let Some(&unknown) = left.get(&equation).and_then(|unknowns| unknowns.first()) else { continue };
        for other in uses.remove(&unknown).unwrap_or_default() {
            if let Some(unknowns) = left.get_mut(&other) {
                unknowns.remove(&unknown);
                if unknowns.len() == 1 {
                    ready.push(other);
                }
            }
        }
    }
    match uses.first_key_value() {
        None => Ok(()),
        Some((&(row, col), equations)) if equations.is_empty() => Err(ColoringError::Uncovered { row, col }),
        Some((&(row, col), _)) => Err(ColoringError::TwoColoredCycle { row, col }),
    }
}
