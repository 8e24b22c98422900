//! `spadina spy`: the sparsity pattern of a kernel or of a matrix file.

use super::args::{MATRICES, SpyArgs};
use super::staged::Staged;
use super::{color, console, data, pattern, result, run};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::options::Derivative;
use spadina::problem::Problem;
use spadina_coloring::coloring::Coloring;
use spadina_io::output::write_bytes;
use spadina_io::picture::pattern::{Paint, Pattern as View, Style};
use spadina_io::picture::png::pattern_png;
use spadina_io::picture::svg::pattern_svg;
use spadina_runtime::csr::Pattern;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn spy(args: &SpyArgs) -> Result<(), Error> {
    for (path, kind, other) in [(&args.svg, "svg", "png"), (&args.png, "png", "svg")] {
        let ends = |path: &Path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(other));
        if let Some(path) = path.as_deref().filter(|path| ends(path)) {
            return Err(Error::Usage(format!(
                "`--{kind} {}`: this would write {kind} under a name that ends in .{other} (`--{other}` writes that)",
                path.display()
            )));
        }
    }
    let (found, mut title) = if pattern::is_matrix(&args.file) {
        (pattern::of_file(&args.file)?, args.file.display().to_string())
    } else {
        of_kernel(args)?
    };
    let (found, colors) = if args.colors {
        let coloring = color::shown(&found, args.partition)?;
        if args.compressed {
            title.push_str(", compressed");
            compressed(&coloring)?
        } else {
            (found, color::of_entries(&coloring)?)
        }
    } else {
        (found, Vec::new())
    };
    let view =
        View { nrows: found.rows(), ncols: found.cols(), row_ptr: found.row_ptr(), col_idx: found.col_idx() };
    let paint = if args.colors { Paint::Entries(&colors) } else { Paint::Plain };
    let style = Style { title: Some(title), ..Style::default() };
    let mut staged = Staged::default();
    if let Some(path) = &args.svg {
        let picture = pattern_svg(&view, &paint, &style)?;
        staged.add(path, |to| Ok(write_bytes(to, picture.as_bytes())?))?;
    }
    if let Some(path) = &args.png {
        let picture = pattern_png(&view, &paint, &style)?;
        staged.add(path, |to| Ok(write_bytes(to, &picture)?))?;
    }
    staged.commit()?;
    if args.svg.is_none() && args.png.is_none() {
        console::print(&run::picture(&found, &paint)?)?;
    }
    Ok(())
}

/// The compressed matrix with the color of each entry: a column for each color of columns; below and beside, a row for each color of
/// rows.
fn compressed(coloring: &Coloring) -> Result<(Arc<Pattern>, Vec<u32>), Error> {
    let pattern = coloring.pattern();
    let (of_columns, of_rows) = (coloring.n_column_colors(), coloring.n_row_colors());
    let mut rows: Vec<BTreeSet<usize>> = Vec::new();
    let mut below = vec![BTreeSet::new(); of_rows];
    for row in 0..pattern.nrows() {
        let mut products = BTreeSet::new();
        for &col in pattern.row(row) {
            let color = coloring.column_colors().get(col as usize).copied().unwrap_or(0);
            products.extend((color as usize).checked_sub(1));
            let color = coloring.row_colors().get(row).copied().unwrap_or(0);
            if let Some(at) = (color as usize).checked_sub(1) {
                below[at].insert(of_columns + col as usize);
            }
        }
        rows.push(products);
    }
    if of_columns == 0 {
        rows.clear();
    }
    rows.append(&mut below);
    let columns = of_columns + if of_rows > 0 { pattern.ncols() } else { 0 };
    let (mut row_ptr, mut col_idx, mut colors) = (vec![0_u32], Vec::new(), Vec::new());
    let first_below = rows.len() - of_rows;
    for (row, products) in rows.iter().enumerate() {
        for &at in products {
            col_idx.push(at as u32);
            let color = if row < first_below { at + 1 } else { of_columns + row - first_below + 1 };
            colors.push(color as u32);
        }
        row_ptr.push(
            u32::try_from(col_idx.len()).map_err(|_| Error::data("the compressed matrix is too large"))?,
        );
    }
    let found = Pattern::new(rows.len(), columns, row_ptr, col_idx);
    let found = found.ok_or_else(|| Error::Internal("products make no valid pattern".into()))?;
    Ok((Arc::new(found), colors))
}

fn of_kernel(args: &SpyArgs) -> Result<(Arc<Pattern>, String), Error> {
    let module = Module::open(&args.file)?;
    if let Some(report) = module.report() {
        console::report(&report);
    }
    let kernel = module.kernel(args.kernel.as_deref())?;
    let mut derivative = result::largest(&kernel, args.derive.as_deref())?;
    if !derivative.has_matrix() {
        if args.derive.is_some() {
            return Err(Error::usage(format!("a matrix has a pattern: {MATRICES}")));
        }
        derivative = if kernel.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
    }
    let mut options = args.method.options(derivative);
    let usual = kernel.default_options();
    // Products give the whole matrix, so that is what is colored.
    if args.derive.is_none() && !args.colors && usual.derivative == derivative {
        options.assembly.triangle = usual.assembly.triangle;
    }
    kernel.columns(options.wrt.as_deref())?;
    let inputs = data::inputs(&kernel, &args.data)?;
    let problem = Problem::prepare(&kernel, &inputs, &options)?;
    if let Some(report) = problem.warnings() {
        console::report(&report);
    }
    Ok((Arc::clone(problem.pattern()), format!("{} of {}", derivative.name(), kernel.name())))
}
