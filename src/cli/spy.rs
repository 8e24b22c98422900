//! `spadina spy`: the sparsity pattern of a kernel or of a matrix file.

use super::args::SpyArgs;
use super::staged::Staged;
use super::{console, data, result, run};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::options::Derivative;
use spadina::problem::Problem;
use spadina_io::output::write_bytes;
use spadina_io::picture::pattern::{Paint, Pattern as View, Style};
use spadina_io::picture::png::pattern_png;
use spadina_io::picture::svg::pattern_svg;
use spadina_io::sparse_file::by_name::read_sparse;
use spadina_runtime::csr::Pattern;
use std::sync::Arc;

pub(crate) fn spy(args: &SpyArgs) -> Result<(), Error> {
    let ending = args.file.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (pattern, title) = match ending.as_str() {
        "mtx" | "npz" => (of_file(args)?, args.file.display().to_string()),
        _ => of_kernel(args)?,
    };
    let view = View {
        nrows: pattern.rows(),
        ncols: pattern.cols(),
        row_ptr: pattern.row_ptr(),
        col_idx: pattern.col_idx(),
    };
    let style = Style { title: Some(title), ..Style::default() };
    let mut staged = Staged::default();
    if let Some(path) = &args.svg {
        let picture = pattern_svg(&view, &Paint::Plain, &style)?;
        staged.add(path, |to| Ok(write_bytes(to, picture.as_bytes())?))?;
    }
    if let Some(path) = &args.png {
        let picture = pattern_png(&view, &Paint::Plain, &style)?;
        staged.add(path, |to| Ok(write_bytes(to, &picture)?))?;
    }
    staged.commit()?;
    if args.svg.is_none() && args.png.is_none() {
        console::print(&run::picture(&pattern)?)?;
    }
    Ok(())
}

fn of_file(args: &SpyArgs) -> Result<Arc<Pattern>, Error> {
    let matrix = read_sparse(&args.file)?;
    let too_large = || Error::data("the matrix has more than 2^32 - 1 entries");
    let narrow = |list: &[usize]| {
        let list = list.iter().map(|&n| u32::try_from(n).map_err(|_| too_large()));
        list.collect::<Result<Vec<u32>, Error>>()
    };
    let (row_ptr, col_idx) = (narrow(&matrix.row_ptr)?, narrow(&matrix.col_idx)?);
    let pattern = Pattern::new(matrix.nrows, matrix.ncols, row_ptr, col_idx);
    Ok(Arc::new(pattern.ok_or_else(|| Error::Internal("the file was read into no valid pattern".into()))?))
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
            return Err(Error::usage("only `jacobian` and `hessian` have a pattern"));
        }
        derivative = if kernel.is_energy() { Derivative::Hessian } else { Derivative::Jacobian };
    }
    let options = args.method.options(derivative);
    kernel.columns(options.wrt.as_deref())?;
    let inputs = data::inputs(&kernel, &args.data)?;
    let problem = Problem::prepare(&kernel, &inputs, &options)?;
    if let Some(report) = problem.warnings() {
        console::report(&report);
    }
    Ok((Arc::clone(problem.pattern()), format!("{} of {}", derivative.name(), kernel.name())))
}
