//! Matrix Market coordinate files (`.mtx`).
//!
//! Written: `coordinate real general` or `coordinate pattern general`, one-based, every structural entry.
//! Read: `coordinate`, `real | integer | pattern`, `general | symmetric | skew-symmetric`.
//! Reference: Boisvert, Pozo, Remington, The Matrix Market Exchange Formats, NISTIR 5935, 1996.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::error::Error;
use crate::index::Index;
use crate::output::write_file;
use crate::sparse_file::csr::{Csr, CsrRef, check_extent, check_pattern};

/// Writes all entries, both triangles, values in the shortest form that reads back to the same double.
///
/// # Errors
/// An inconsistent matrix, what the system reports; no partial file is left.
pub fn write_mtx<P: Index, I: Index>(path: &Path, matrix: CsrRef<'_, P, I>) -> Result<(), Error> {
    matrix.check()?;
    let values = Some(matrix.values);
    write_entries(path, "real", (matrix.nrows, matrix.ncols), matrix.row_ptr, matrix.col_idx, values)
}

/// Writes where entries stand, without values (`coordinate pattern general`).
///
/// # Errors
/// As [`write_mtx`].
pub fn write_mtx_pattern<P: Index, I: Index>(
    path: &Path,
    (nrows, ncols): (usize, usize),
    row_ptr: &[P],
    col_idx: &[I],
) -> Result<(), Error> {
    check_pattern(nrows, ncols, row_ptr, col_idx)?;
    write_entries(path, "pattern", (nrows, ncols), row_ptr, col_idx, None)
}

fn write_entries<P: Index, I: Index>(
    path: &Path,
    field: &str,
    (nrows, ncols): (usize, usize),
    row_ptr: &[P],
    col_idx: &[I],
    values: Option<&[f64]>,
) -> Result<(), Error> {
    write_file(path, |out| {
        let mut all = || -> std::io::Result<()> {
            writeln!(out, "%%MatrixMarket matrix coordinate {field} general")?;
            writeln!(out, "{nrows} {ncols} {}", col_idx.len())?;
            for r in 0..nrows {
                for k in row_ptr[r].get()..row_ptr[r + 1].get() {
                    let c = col_idx[k].get() + 1;
                    match values {
                        Some(v) => writeln!(out, "{} {c} {:?}", r + 1, v[k])?,
                        None => writeln!(out, "{} {c}", r + 1)?,
                    }
                }
            }
            Ok(())
        };
        all().map_err(|e| Error::io(path, "write", e))
    })
}

/// Reads a coordinate file; pattern entries get the value 1, entries at the same place add up.
///
/// # Errors
/// Other variants (by name), malformed lines, indices out of range, too few or too many entries, with line numbers.
pub fn read_mtx(path: &Path) -> Result<Csr, Error> {
    let file = File::open(path).map_err(|e| Error::io(path, "read", e))?;
    let size = file.metadata().map_err(|e| Error::io(path, "read", e))?.len();
    read_lines(BufReader::new(file), size, path)
}

/// Reads a coordinate file from memory; `name` stands for it in messages.
///
/// # Errors
/// As [`read_mtx`].
pub fn read_mtx_bytes(bytes: &[u8], name: &str) -> Result<Csr, Error> {
    read_lines(bytes, bytes.len() as u64, Path::new(name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Real,
    Integer,
    Pattern,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symmetry {
    General,
    Symmetric,
    Skew,
}

/// Lines with their numbers.
struct Lines<'a, R> {
    input: R,
    text: Vec<u8>,
    number: usize,
    path: &'a Path,
    file: String,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line that is neither empty nor a comment.
    fn next(&mut self, comments: bool) -> Result<Option<&str>, Error> {
        loop {
            self.text.clear();
            self.number += 1;
            let n =
                self.input.read_until(b'\n', &mut self.text).map_err(|e| Error::io(self.path, "read", e))?;
            if n == 0 {
                return Ok(None);
            }
            let line = self.text.trim_ascii();
            if !(line.is_empty() || comments && line.starts_with(b"%")) {
                break;
            }
        }
        match std::str::from_utf8(self.text.trim_ascii()) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(Error::line(&self.file, self.number, "not text")),
        }
    }

    fn fail(&self, message: impl Into<String>) -> Error {
        Error::line(&self.file, self.number, message)
    }
}

fn read_lines(input: impl BufRead, size: u64, path: &Path) -> Result<Csr, Error> {
    let mut lines = Lines { input, text: Vec::new(), number: 0, path, file: path.display().to_string() };
    let (field, symmetry) = {
        let banner = lines.next(false)?.unwrap_or_default().to_ascii_lowercase();
        parse_banner(&banner).map_err(|m| lines.fail(m))?
    };
    let sizes = lines.next(true)?.map(numbers::<3>);
    let Some(Some([nrows, ncols, count])) = sizes else {
        return Err(lines.fail("expected three sizes: rows, columns, entries"));
    };
    // A line holds at least two digits, a space and an end: what a file claims cannot exceed what it holds.
    if count as u64 > size / 4 + 1 {
        return Err(lines.fail(format!("{count} entries do not fit in a file of {size} bytes")));
    }
    if symmetry != Symmetry::General && nrows != ncols {
        return Err(lines.fail(format!("a symmetric matrix of {nrows} x {ncols}")));
    }
    check_extent("rows", nrows, count)
        .and(check_extent("columns", ncols, count))
        .map_err(|e| lines.fail(e.to_string()))?;

    let (mut rows, mut cols, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for seen in 0..count {
        let Some(line) = lines.next(true)? else {
            return Err(lines.fail(format!("the file ends after {seen} of {count} entries")));
        };
        let parsed = parse_entry(line, field);
        let (r, c, v) = parsed.map_err(|m| lines.fail(m))?;
        if r == 0 || c == 0 || r > nrows || c > ncols {
            return Err(lines.fail(format!("entry ({r}, {c}) is outside 1..{nrows} x 1..{ncols}")));
        }
        if symmetry == Symmetry::Skew && r == c {
            return Err(lines.fail(format!("diagonal entry ({r}, {c}) in a skew-symmetric matrix")));
        }
        rows.push(r - 1);
        cols.push(c - 1);
        values.push(v);
        if symmetry != Symmetry::General && r != c {
            rows.push(c - 1);
            cols.push(r - 1);
            values.push(if symmetry == Symmetry::Skew { -v } else { v });
        }
    }
    if lines.next(true)?.is_some() {
        return Err(lines.fail(format!("more than the {count} entries stated")));
    }
    Csr::from_triplets(nrows, ncols, &rows, &cols, &values)
        .map_err(|e| Error::format(&lines.file, e.to_string()))
}

fn parse_banner(banner: &str) -> Result<(Field, Symmetry), String> {
    let words: Vec<&str> = banner.split_whitespace().collect();
    let &["%%matrixmarket", "matrix", layout, field, symmetry] = words.as_slice() else {
        return Err("expected `%%MatrixMarket matrix coordinate FIELD SYMMETRY`".into());
    };
    if layout != "coordinate" {
        return Err(format!("layout `{layout}` is not supported (coordinate is)"));
    }
    let field = match field {
        "real" | "double" => Field::Real,
        "integer" => Field::Integer,
        "pattern" => Field::Pattern,
        other => return Err(format!("field `{other}` is not supported (real, integer and pattern are)")),
    };
    let symmetry = match symmetry {
        "general" => Symmetry::General,
        "symmetric" => Symmetry::Symmetric,
        "skew-symmetric" => Symmetry::Skew,
        other => {
            let known = "general, symmetric and skew-symmetric are";
            return Err(format!("symmetry `{other}` is not supported ({known})"));
        }
    };
    Ok((field, symmetry))
}

fn parse_entry(line: &str, field: Field) -> Result<(usize, usize, f64), String> {
    let mut words = line.split_whitespace();
    let mut index = || {
        let word = words.next().ok_or("expected a row and a column")?;
        word.parse::<usize>().map_err(|_| format!("`{word}` is not an index"))
    };
    let (r, c) = (index()?, index()?);
    let value = match field {
        Field::Pattern => 1.0,
        Field::Real | Field::Integer => {
            let word = words.next().ok_or("the value is missing")?;
            let bad = || format!("`{word}` is not a value");
            match field {
                Field::Integer => word.parse::<i64>().map_err(|_| bad())? as f64,
                // Fortran writes exponents with D.
                Field::Real | Field::Pattern => word.replace(['D', 'd'], "e").parse().map_err(|_| bad())?,
            }
        }
    };
    match words.next() {
        Some(extra) => Err(format!("unexpected `{extra}` after the entry")),
        None => Ok((r, c, value)),
    }
}

fn numbers<const N: usize>(line: &str) -> Option<[usize; N]> {
    let parsed: Option<Vec<usize>> = line.split_whitespace().map(|w| w.parse().ok()).collect();
    parsed?.try_into().ok()
}
