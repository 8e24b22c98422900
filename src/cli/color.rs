//! `spadina color`: groups of columns or rows that share a product.

use super::args::{ColorArgs, Decompress, Lines};
use super::staged::Staged;
use super::{console, pattern, run};
use serde_json::{Map, Value, json};
use spadina::error::Error;
use spadina::options::Derivative;
use spadina_coloring::coloring::Coloring;
use spadina_coloring::error::ColoringError;
use spadina_coloring::options::{Decompression, Options, Partition};
use spadina_coloring::order::Order;
use spadina_coloring::pattern::Pattern as Uncolored;
use spadina_io::array::{Array, Data};
use spadina_io::npy::write::write_npy;
use spadina_runtime::csr::Pattern;
use std::fmt::Write;
use std::time::{Duration, Instant};

pub(crate) fn color(args: &ColorArgs) -> Result<(), Error> {
    let orders = args.order.iter().map(|name| name.parse::<Order>());
    let orders =
        orders.collect::<Result<Vec<_>, _>>().map_err(|e| Error::Usage(format!("`--order`: {e}")))?;
    let ending = args.file.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let mut times = Map::new();
    let (found, symmetric) = if matches!(ending.as_str(), "mtx" | "npz") {
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
        Some(Lines::Row) => Partition::Row,
        Some(Lines::Bidirectional) => Partition::Bidirectional,
        Some(Lines::Symmetric) => Partition::Symmetric,
        None if symmetric => Partition::Symmetric,
        Some(Lines::Column) | None => Partition::Column,
    };
    let decompression = match args.decompression {
        Decompress::Direct => Decompression::Direct,
        Decompress::Substitution => Decompression::Substitution,
    };
    let options = Options::new(partition).orders(orders).decompression(decompression);
    let (coloring, time) = timed(&found, &options.postprocess(args.postprocess))?;
    times.insert("color".into(), run::milliseconds(time));
    if let Some(path) = &args.output {
        write(path, &coloring)?;
    }
    let text = if args.json { as_json(&found, &coloring, times) } else { as_text(&found, &coloring, time) };
    console::print(&text)
}

/// The orders of the strategy `compressed`.
pub(crate) fn usual(partition: Partition) -> Options {
    Options::new(partition).orders([Order::SmallestLast, Order::LargestFirst, Order::Natural])
}

/// Colors a pattern; with the time it took.
pub(crate) fn timed(pattern: &Pattern, options: &Options) -> Result<(Coloring, Duration), Error> {
    let refused = |e: ColoringError| match e {
        ColoringError::NoOrder | ColoringError::SubstitutionOneSided => Error::Usage(e.to_string()),
        _ => Error::Data(e.to_string()),
    };
    let row_ptr: Vec<usize> = pattern.row_ptr().iter().map(|&n| n as usize).collect();
    let structure = Uncolored::new(pattern.rows(), pattern.cols(), row_ptr, pattern.col_idx().to_vec());
    let structure = structure.map_err(refused)?;
    let started = Instant::now();
    let coloring = Coloring::new(&structure, options).map_err(refused)?;
    Ok((coloring, started.elapsed()))
}

/// The colors of the columns: symmetric where the pattern is.
pub(crate) fn of_columns(pattern: &Pattern) -> Result<Vec<u32>, Error> {
    let symmetric = timed(pattern, &usual(Partition::Symmetric));
    let (coloring, _) = symmetric.or_else(|_| timed(pattern, &usual(Partition::Column)))?;
    Ok(coloring.column_colors().to_vec())
}

fn write(path: &std::path::Path, coloring: &Coloring) -> Result<(), Error> {
    if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("npy")) {
        return Err(Error::usage("`-o`: colors are written as .npy"));
    }
    let all = coloring.column_colors().iter().chain(coloring.row_colors());
    let array = Array::vector(Data::I64(all.map(|&color| i64::from(color)).collect()));
    let mut staged = Staged::default();
    staged.add(path, |to| Ok(write_npy(to, &array)?))?;
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
