//! `spadina color`: groups of columns or rows that share a product.

use super::args::{ColorArgs, Decompress, Lines};
use super::staged::Staged;
use super::{console, pattern, run};
use serde_json::{Map, Value, json};
use spadina::error::Error;
use spadina::options::Derivative;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::decompress::{ColorScatter, Target};
use spadina_coloring::error::ColoringError;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern as Uncolored;
use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_io::npy::write::write_npy;
use spadina_runtime::csr::Pattern;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn color(args: &ColorArgs) -> Result<(), Error> {
    let orders = args.order.iter().map(|name| name.parse::<Order>());
    let orders =
        orders.collect::<Result<Vec<_>, _>>().map_err(|e| Error::Usage(format!("`--order`: {e}")))?;
    let mut times = Map::new();
    let (found, symmetric) = if pattern::is_matrix(&args.file) {
        (pattern::of_file(&args.file)?, false)
    } else {
        let kernel = pattern::kernel(&args.file, args.kernel.as_deref())?;
        let symmetric = match args.partition {
            None => kernel.is_energy(),
            Some(partition) => partition == Lines::Symmetric,
        };
        // Rows and columns of an energy's matrix are colored apart on request: the matrix stays its Hessian.
        let order = Some(if symmetric || kernel.is_energy() { 2 } else { 1 });
        let found = pattern::detected(&kernel, order, false, args.wrt.as_deref(), &args.data)?;
        times.insert("detect".into(), run::milliseconds(found.time));
        (found.pattern, symmetric && found.derivative == Derivative::Hessian)
    };
    let partition = match args.partition {
        Some(lines) => partition(lines),
        None if symmetric => Partition::Symmetric,
        None => Partition::Column,
    };
    let decompression = match args.decompression {
        Decompress::Direct => Decompression::Direct,
        Decompress::Substitution => Decompression::Substitution,
    };
    let (coloring, time) = if let Some(path) = &args.given {
        given(&found, path, partition, decompression)?
    } else {
        let options = Options::new(partition).orders(orders).decompression(decompression);
        timed(&found, &options.postprocess(args.postprocess))?
    };
    times.insert("color".into(), run::milliseconds(time));
    if let Some(path) = &args.output {
        write(path, &coloring)?;
    }
    let mut text =
        if args.json { as_json(&found, &coloring, times) } else { as_text(&found, &coloring, time) };
    if let Some(path) = args.given.as_ref().filter(|_| !args.json) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: the coloring is valid", path.display());
    }
    console::print(&text)
}

/// The orders of the strategy `compressed`.
pub(crate) fn usual(partition: Partition) -> Options {
    Options::new(partition).orders([Order::SmallestLast, Order::LargestFirst, Order::Natural])
}

fn refused(e: &ColoringError) -> Error {
    match e {
        ColoringError::NoOrder | ColoringError::SubstitutionOneSided => Error::Usage(e.to_string()),
        _ => Error::Data(e.to_string()),
    }
}

fn structure(pattern: &Pattern) -> Result<Uncolored, Error> {
    let row_ptr: Vec<usize> = pattern.row_ptr().iter().map(|&n| n as usize).collect();
    let structure = Uncolored::new(pattern.rows(), pattern.cols(), row_ptr, pattern.col_idx().to_vec());
    structure.map_err(|e| refused(&e))
}

/// The lines to color.
pub(crate) fn partition(lines: Lines) -> Partition {
    match lines {
        Lines::Column => Partition::Column,
        Lines::Row => Partition::Row,
        Lines::Bidirectional => Partition::Bidirectional,
        Lines::Symmetric => Partition::Symmetric,
    }
}

/// The coloring in a file, verified; with the time that took.
fn given(
    pattern: &Pattern,
    path: &Path,
    partition: Partition,
    decompression: Decompression,
) -> Result<(Coloring, Duration), Error> {
    let colors = read(path)?;
    let (rows, columns) = (pattern.rows(), pattern.cols());
    let wanted = match partition {
        Partition::Column | Partition::Symmetric => columns,
        Partition::Row => rows,
        Partition::Bidirectional => columns + rows,
    };
    if colors.len() != wanted {
        let (path, found) = (path.display(), colors.len());
        return Err(Error::Data(format!("{path}: colors of {found} lines, but {wanted} are colored")));
    }
    let structure = structure(pattern)?;
    let started = Instant::now();
    let one_sided = matches!(partition, Partition::Column | Partition::Row);
    let coloring = match partition {
        _ if one_sided && decompression == Decompression::Substitution => {
            Err(ColoringError::SubstitutionOneSided)
        }
        Partition::Column => Coloring::from_column_colors(&structure, colors),
        Partition::Row => Coloring::from_row_colors(&structure, colors),
        Partition::Symmetric => Coloring::from_symmetric_colors(&structure, colors, decompression),
        Partition::Bidirectional => {
            // Colors of rows may be counted from where those of columns end.
            let of_columns = colors[..columns].to_vec();
            let shift = of_columns.iter().copied().max().unwrap_or(0);
            let of_rows = &colors[columns..];
            let apart = of_rows.iter().all(|&c| c == 0 || c > shift);
            let of_rows = of_rows.iter().map(|&c| if apart { c.saturating_sub(shift) } else { c });
            let of_rows = of_rows.collect();
            Coloring::from_bidirectional_colors(&structure, of_columns, of_rows, decompression)
        }
    };
    let coloring = coloring.map_err(|error| match error {
        ColoringError::SubstitutionOneSided => refused(&error),
        error => Error::Verification(format!("{}: {error}", path.display())),
    })?;
    Ok((coloring, started.elapsed()))
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Colors of lines, from 1.
fn read(path: &Path) -> Result<Vec<u32>, Error> {
    let wrong = |what: &str| Error::Data(format!("{}: {what}", path.display()));
    match ending(path).as_str() {
        "npy" => {
            let array = read_npy(path)?;
            let colors = array.to_i64("colors")?;
            let colors = colors.iter().map(|&color| u32::try_from(color));
            colors.collect::<Result<_, _>>().map_err(|_| wrong("a color is negative or too large"))
        }
        "mtx" | "npz" => {
            let matrix = pattern::of_file(path)?;
            let color = |row: usize| {
                let range = matrix.row_ptr()[row] as usize..matrix.row_ptr()[row + 1] as usize;
                match matrix.col_idx()[range] {
                    [] => Ok(0),
                    [color] => Ok(color + 1),
                    _ => Err(wrong("a line has two colors")),
                }
            };
            (0..matrix.rows()).map(color).collect()
        }
        _ => Err(Error::usage("`--given`: colors are read from .npy, .mtx or .npz")),
    }
}

/// Colors a pattern; with the time it took.
pub(crate) fn timed(pattern: &Pattern, options: &Options) -> Result<(Coloring, Duration), Error> {
    let structure = structure(pattern)?;
    let started = Instant::now();
    let coloring = Coloring::new(&structure, options).map_err(|e| refused(&e))?;
    Ok((coloring, started.elapsed()))
}

/// A coloring to show: symmetric where the pattern is, unless something is asked for. Colors that nothing is read from are given up where
/// both sides are colored.
pub(crate) fn shown(pattern: &Pattern, lines: Option<Lines>) -> Result<Coloring, Error> {
    let with = |partition| match partition {
        Partition::Bidirectional => timed(pattern, &usual_both().postprocess(true)),
        _ => timed(pattern, &usual(partition)),
    };
    let (coloring, _) = match lines {
        Some(lines) => with(partition(lines))?,
        None => with(Partition::Symmetric).or_else(|_| with(Partition::Column))?,
    };
    Ok(coloring)
}

/// Random orders serve both sides best.
fn usual_both() -> Options {
    let usual = [Order::SmallestLast, Order::LargestFirst, Order::Natural];
    Options::new(Partition::Bidirectional).orders(usual.into_iter().chain((0..8).map(Order::Random)))
}

/// For each entry the color of the product that it is read from: those of columns, then those of rows.
pub(crate) fn of_entries(coloring: &Coloring) -> Result<Vec<u32>, Error> {
    let pattern = coloring.pattern();
    let scatter = ColorScatter::new(coloring, Target::default()).map_err(|e| refused(&e))?;
    let mut read = vec![0.0; pattern.nnz()];
    for color in 1..=coloring.n_colors() {
        let of_columns = color <= coloring.n_column_colors();
        let product = vec![color as f64; if of_columns { pattern.nrows() } else { pattern.ncols() }];
        scatter.decompress(color, &product, &mut read).map_err(|e| refused(&e))?;
    }
    Ok(read.into_iter().map(|color| color as u32).collect())
}

fn write(path: &Path, coloring: &Coloring) -> Result<(), Error> {
    let all = || coloring.column_colors().iter().chain(coloring.row_colors()).copied();
    let mut staged = Staged::default();
    match ending(path).as_str() {
        "npy" => {
            let array = Array::vector(Data::I64(all().map(i64::from).collect()));
            staged.add(path, |to| Ok(write_npy(to, &array)?))?;
        }
        "mtx" | "npz" => {
            // Colors of rows follow those of columns.
            let (columns, shift) = (coloring.column_colors().len(), coloring.n_column_colors() as u32);
            let placed = all().enumerate().map(|(n, c)| if n < columns || c == 0 { c } else { c + shift });
            let (mut row_ptr, mut col_idx) = (vec![0_u32], Vec::new());
            for color in placed {
                col_idx.extend(color.checked_sub(1));
                row_ptr.push(col_idx.len() as u32);
            }
            let seeds = Pattern::new(row_ptr.len() - 1, coloring.n_colors(), row_ptr, col_idx);
            let seeds = seeds.ok_or_else(|| Error::Internal("colors make no valid pattern".into()))?;
            staged.add(path, |to| pattern::write(to, &seeds))?;
        }
        _ => return Err(Error::usage("`-o`: colors are written as .npy, .mtx or .npz")),
    }
    staged.commit()
}

fn as_json(pattern: &Pattern, coloring: &Coloring, times: Map<String, Value>) -> String {
    let mut object = json!({
        "m": pattern.rows(),
        "n": pattern.cols(),
        "nnz": pattern.nnz(),
        "n_colors": coloring.n_colors(),
        "colors": coloring.column_colors(),
    });
    match coloring.partition() {
        Partition::Row => object["colors"] = json!(coloring.row_colors()),
        Partition::Bidirectional => object["row_colors"] = json!(coloring.row_colors()),
        Partition::Column | Partition::Symmetric => {}
    }
    object["order"] = json!(coloring.order().map(|order| order.to_string()));
    object["times_ms"] = Value::Object(times);
    format!("{object}\n")
}

fn as_text(pattern: &Pattern, coloring: &Coloring, time: Duration) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "pattern    {} x {}, {} entries", pattern.rows(), pattern.cols(), pattern.nnz());
    let order = coloring.order().map_or(String::new(), |order| format!(", order {order}"));
    let both = match coloring.partition() {
        Partition::Bidirectional => {
            format!(" ({} of columns, {} of rows)", coloring.n_column_colors(), coloring.n_row_colors())
        }
        Partition::Column | Partition::Row | Partition::Symmetric => String::new(),
    };
    let _ = writeln!(text, "colors     {}{both}{order}", coloring.n_colors());
    let sizes = |groups: spadina_coloring::groups::Groups| {
        let mut sizes: Vec<usize> = groups.iter().map(<[u32]>::len).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let shown: Vec<String> = sizes.iter().take(12).map(usize::to_string).collect();
        let rest = if sizes.len() > 12 { ", .." } else { "" };
        shown.join(", ") + rest
    };
    if coloring.n_column_colors() > 0 {
        let _ = writeln!(text, "columns    {} of a color", sizes(coloring.column_groups()));
    }
    if coloring.n_row_colors() > 0 {
        let _ = writeln!(text, "rows       {} of a color", sizes(coloring.row_groups()));
    }
    let _ = writeln!(text, "times      color {:.2} ms", time.as_secs_f64() * 1e3);
    text
}
