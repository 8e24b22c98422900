//! Which results are asked for, and where they are written.

use super::args::What;
use super::staged::Staged;
use clap::ValueEnum;
use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::options::Derivative;
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use spadina_io::npy::write::{write_npy, write_npy_f64};
use spadina_io::sparse_file::by_name::write_sparse;
use spadina_io::sparse_file::csr::CsrRef;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// `-o WHAT=FILE`.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) what: What,
    pub(crate) path: PathBuf,
}

/// Reads `-o` arguments; endings are checked here, before anything is computed.
pub(crate) fn outputs(args: &[String]) -> Result<Vec<Output>, Error> {
    let mut list: Vec<Output> = Vec::new();
    for arg in args {
        let parts = arg.split_once('=').filter(|(what, path)| !what.is_empty() && !path.is_empty());
        let (what, path) = parts.ok_or_else(|| Error::Usage(format!("`-o {arg}`: expected WHAT=FILE")))?;
        let what = What::from_str(what, false).map_err(|_| {
            Error::Usage(format!("`-o {arg}`: `{what}` is none of value, grad, residual, jacobian, hessian"))
        })?;
        let path = PathBuf::from(path);
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let known: &[&str] = match what {
            What::Value | What::Grad | What::Residual => &["npy"],
            What::Jacobian | What::Hessian => &["npz", "mtx", "npy"],
        };
        if !known.contains(&ending.as_str()) {
            let known: Vec<String> = known.iter().map(|e| format!(".{e}")).collect();
            return Err(Error::Usage(format!("`-o {arg}`: the file name must end in {}", known.join(", "))));
        }
        if list.iter().any(|o| o.path == path) {
            return Err(Error::Usage(format!("`-o {arg}`: two results cannot go into one file")));
        }
        list.push(Output { what, path });
    }
    Ok(list)
}

/// Everything that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// By name.
    pub(crate) what: BTreeSet<What>,
    /// The program that gives all of it.
    pub(crate) derivative: Derivative,
}

/// From `--derive`, or what the kernel's attribute says, and the outputs.
pub(crate) fn wanted(kernel: &Kernel, derive: Option<&[What]>, outputs: &[Output]) -> Result<Wanted, Error> {
    let mut what: BTreeSet<What> = match derive {
        Some(list) => list.iter().copied().collect(),
        None => match kernel.default_derivative() {
            Derivative::Value => BTreeSet::from([What::Value]),
            Derivative::Gradient => BTreeSet::from([What::Value, What::Grad]),
            Derivative::Jacobian => BTreeSet::from([What::Value, What::Jacobian]),
            Derivative::Hessian => BTreeSet::from([What::Value, What::Grad, What::Hessian]),
        },
    };
    what.extend(outputs.iter().map(|o| o.what));
    let derivative = derivative_of(&what)?;
    for asked in &what {
        kernel.admits(match asked {
            What::Value | What::Residual => Derivative::Value,
            What::Grad => Derivative::Gradient,
            What::Jacobian => Derivative::Jacobian,
            What::Hessian => Derivative::Hessian,
        })?;
    }
    if what.contains(&What::Jacobian) && what.contains(&What::Grad) {
        return Err(Error::usage(
            "`grad` and `jacobian` of one kernel are two runs: its Jacobian is the gradient as a row",
        ));
    }
    Ok(Wanted { what, derivative })
}

/// The largest of what is asked for.
fn derivative_of(what: &BTreeSet<What>) -> Result<Derivative, Error> {
    let has = |w: What| what.contains(&w);
    match (has(What::Hessian), has(What::Jacobian), has(What::Grad)) {
        (true, true, _) => Err(Error::usage("`jacobian` and `hessian` are two runs: ask for one of them")),
        (true, false, _) => Ok(Derivative::Hessian),
        (false, true, _) => Ok(Derivative::Jacobian),
        (false, false, true) => Ok(Derivative::Gradient),
        (false, false, false) => Ok(Derivative::Value),
    }
}

/// The largest of a `--derive` list, or the kernel's own.
pub(crate) fn largest(kernel: &Kernel, derive: Option<&[What]>) -> Result<Derivative, Error> {
    let derivative = match derive {
        Some(list) => derivative_of(&list.iter().copied().collect())?,
        None => kernel.default_derivative(),
    };
    kernel.admits(derivative)?;
    Ok(derivative)
}

/// Writes every output, or none.
pub(crate) fn write(outputs: &[Output], problem: &Problem, at: &Evaluation) -> Result<(), Error> {
    let mut staged = Staged::default();
    for output in outputs {
        staged.add(&output.path, |path| write_one(output.what, path, problem, at))?;
    }
    staged.commit()
}

fn write_one(what: What, path: &Path, problem: &Problem, at: &Evaluation) -> Result<(), Error> {
    match what {
        What::Value if problem.kernel().is_energy() => {
            write_npy(path, &Array::new(Vec::new(), Data::F64(at.results.clone()))?)?;
        }
        What::Value | What::Residual => write_npy_f64(path, &at.results)?,
        What::Grad => write_npy_f64(path, &at.gradient)?,
        What::Jacobian | What::Hessian => {
            let pattern = problem.pattern();
            let matrix = CsrRef {
                nrows: pattern.rows(),
                ncols: pattern.cols(),
                row_ptr: pattern.row_ptr(),
                col_idx: pattern.col_idx(),
                values: &at.matrix,
            };
            write_sparse(path, matrix)?;
        }
    }
    Ok(())
}
