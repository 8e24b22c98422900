//! `spadina spy`: the sparsity pattern of a kernel or of a matrix file.

use super::args::SpyArgs;
use super::staged::Staged;
use super::{color, console, data, pattern, result, run};
use spadina::compiler::Module;
use spadina::error::Error;
use spadina::options::Derivative;
use spadina::problem::Problem;
use spadina_io::output::write_bytes;
use spadina_io::picture::pattern::{Paint, Pattern as View, Style};
use spadina_io::picture::png::pattern_png;
use spadina_io::picture::svg::pattern_svg;
use spadina_runtime::csr::Pattern;
use std::sync::Arc;

pub(crate) fn spy(args: &SpyArgs) -> Result<(), Error> {
    let ending = args.file.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (found, title) = match ending.as_str() {
        "mtx" | "npz" => (pattern::of_file(&args.file)?, args.file.display().to_string()),
        _ => of_kernel(args)?,
    };
    let view =
        View { nrows: found.rows(), ncols: found.cols(), row_ptr: found.row_ptr(), col_idx: found.col_idx() };
    let colors = if args.colors { color::of_columns(&found)? } else { Vec::new() };
    let paint = if args.colors { Paint::Columns(&colors) } else { Paint::Plain };
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
