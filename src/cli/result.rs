//! Which results are asked for, and where they are written.

use super::args::What;
use super::staged::Staged;
use clap::ValueEnum;
use spadina::error::Error;
use spadina::kernel::Kernel;
use spadina::options::{Derivative, Format};
use spadina::problem::{Evaluation, Problem};
use spadina::product::Kind;
use spadina_io::array::{Array, Data};
use spadina_io::npy::write::{write_npy, write_npy_f64};
use spadina_io::sparse_file::by_name::write_sparse;
use spadina_io::sparse_file::csr::CsrRef;
use spadina_io::sparse_file::npz::{Compression, Stored, StoredLayout, write_npz_stored};
use spadina_ir::frontend::program::Derive;
use spadina_runtime::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
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
            let known: Vec<String> = What::value_variants()
                .iter()
                .filter_map(|what| Some(what.to_possible_value()?.get_name().to_owned()))
                .collect();
            Error::Usage(format!("`-o {arg}`: `{what}` is none of {}", known.join(", ")))
        })?;
        let path = PathBuf::from(path);
        let ending = ending(&path);
        let known: &[&str] = if what.is_matrix() { &["npz", "mtx", "npy"] } else { &["npy"] };
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

impl What {
    /// Whether it is a matrix.
    pub(crate) fn is_matrix(self) -> bool {
        matches!(self, What::Jacobian | What::Hessian | What::Lagrangian | What::GaussNewton)
    }

    /// The product with a direction that it is.
    pub(crate) fn product(self) -> Option<Kind> {
        match self {
            What::Jvp | What::Derivative => Some(Kind::Jvp),
            What::Vjp => Some(Kind::Vjp),
            What::Hvp => Some(Kind::Hvp),
            What::SecondDerivative => Some(Kind::Second),
            What::Value
            | What::Grad
            | What::Residual
            | What::Jacobian
            | What::Hessian
            | What::Lagrangian
            | What::GaussNewton => None,
        }
    }

    /// The program that gives it, beside products.
    pub(crate) fn derivative(self) -> Derivative {
        match self {
            What::Grad => Derivative::Gradient,
            What::Jacobian => Derivative::Jacobian,
            What::Hessian => Derivative::Hessian,
            What::Lagrangian => Derivative::Lagrangian,
            What::GaussNewton => Derivative::GaussNewton,
            What::Value
            | What::Residual
            | What::Jvp
            | What::Vjp
            | What::Hvp
            | What::Derivative
            | What::SecondDerivative => Derivative::Value,
        }
    }
}

/// Everything that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// By name.
    pub(crate) what: BTreeSet<What>,
    /// The program that gives all of it but products.
    pub(crate) derivative: Derivative,
}

/// From `--derive`, or what the kernel's attribute says, and the outputs. With multipliers a Hessian is that of the Lagrangian.
pub(crate) fn wanted(
    kernel: &Kernel,
    derive: Option<&[What]>,
    outputs: &[Output],
    multipliers: bool,
) -> Result<Wanted, Error> {
    let lagrangian = multipliers || (!kernel.is_energy() && kernel.derives(Derive::HessianLagrangian));
    let mut what: BTreeSet<What> = match derive {
        Some(list) => list.iter().copied().collect(),
        None => usual(kernel, outputs, multipliers),
    };
    what.extend(outputs.iter().map(|o| o.what));
    if lagrangian && what.remove(&What::Hessian) {
        what.insert(What::Lagrangian);
    }
    let derivative = derivative_of(&what)?;
    for asked in &what {
        kernel.admits(match asked {
            // Every matrix of unknowns has its gradient.
            What::Grad if derivative.is_square() => derivative,
            What::Hvp if lagrangian => Derivative::Lagrangian,
            What::Hvp => Derivative::Hessian,
            other => other.derivative(),
        })?;
    }
    if what.contains(&What::Jacobian) && what.contains(&What::Grad) {
        return Err(Error::usage(
            "`grad` and `jacobian` of one kernel are two runs: its Jacobian is the gradient as a row",
        ));
    }
    // The product takes the multipliers of its problem.
    let derivative = match derivative {
        Derivative::Value if lagrangian && what.contains(&What::Hvp) => Derivative::Lagrangian,
        other => other,
    };
    Ok(Wanted { what, derivative })
}

/// What the kernel's attribute asks for. A matrix or product among the outputs takes the place of its matrix.
fn usual(kernel: &Kernel, outputs: &[Output], multipliers: bool) -> BTreeSet<What> {
    let derivative = if multipliers { Derivative::Lagrangian } else { kernel.default_derivative() };
    let (grad, matrix) = match derivative {
        Derivative::Value => (None, None),
        Derivative::Gradient => (Some(What::Grad), None),
        Derivative::Jacobian => (None, Some(What::Jacobian)),
        Derivative::Hessian => (Some(What::Grad), Some(What::Hessian)),
        Derivative::Lagrangian => (Some(What::Grad), Some(What::Lagrangian)),
        Derivative::GaussNewton => (Some(What::Grad), Some(What::GaussNewton)),
    };
    let asked = |what: fn(What) -> bool| outputs.iter().any(|o| what(o.what));
    let replaced = asked(What::is_matrix) || asked(|what| what.product().is_some());
    let matrix = matrix.filter(|_| !replaced);
    let grad =
        grad.filter(|_| kernel.is_energy() && !asked(|what| what == What::Jacobian) || matrix.is_some());
    [Some(What::Value), grad, matrix].into_iter().flatten().collect()
}

/// The largest of what is asked for.
fn derivative_of(what: &BTreeSet<What>) -> Result<Derivative, Error> {
    let matrices: Vec<&What> = what.iter().filter(|what| what.is_matrix()).collect();
    match &matrices[..] {
        [] if what.contains(&What::Grad) => Ok(Derivative::Gradient),
        [] => Ok(Derivative::Value),
        [matrix] => Ok(matrix.derivative()),
        [a, b, ..] => {
            let (a, b) = (a.derivative().name(), b.derivative().name());
            Err(Error::Usage(format!("`{a}` and `{b}` are two runs: ask for one of them")))
        }
    }
}

/// The largest of a `--derive` list, or the kernel's own.
pub(crate) fn largest(kernel: &Kernel, derive: Option<&[What]>) -> Result<Derivative, Error> {
    let derivative = match derive {
        Some(list) if list.iter().any(|what| what.product().is_some()) => {
            return Err(Error::usage(
                "products with directions, `derivative` and `second-derivative` are asked of `run`; here it is value, grad or a matrix",
            ));
        }
        Some(list) => derivative_of(&list.iter().copied().collect())?,
        None => kernel.default_derivative(),
    };
    kernel.admits(derivative)?;
    Ok(derivative)
}

/// Writes every output, or none.
pub(crate) fn write(
    outputs: &[Output],
    problem: &Problem,
    at: &Evaluation,
    products: &BTreeMap<What, Array>,
) -> Result<(), Error> {
    let mut staged = Staged::default();
    for output in outputs {
        staged.add(&output.path, |path| match products.get(&output.what) {
            Some(product) => Ok(write_npy(path, product)?),
            None => write_one(output.what, path, problem, at),
        })?;
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
        What::Jacobian | What::Hessian | What::Lagrangian | What::GaussNewton => {
            let (pattern, storage) = (problem.pattern(), problem.storage());
            if storage.format != Format::Csr && ending(path) == "npz" {
                return stored(path, storage, &at.matrix);
            }
            let by_rows = problem.values_by_rows(&at.matrix);
            let matrix = CsrRef {
                nrows: pattern.rows(),
                ncols: pattern.cols(),
                row_ptr: pattern.row_ptr(),
                col_idx: pattern.col_idx(),
                values: &by_rows,
            };
            write_sparse(path, matrix)?;
        }
        What::Jvp | What::Vjp | What::Hvp | What::Derivative | What::SecondDerivative => {
            return Err(Error::Internal("a product was not computed".into()));
        }
    }
    Ok(())
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Writes the archive that scipy reads into the same format.
fn stored(path: &Path, storage: &Storage, values: &[f64]) -> Result<(), Error> {
    let (starts, indices) =
        (storage.starts().iter().collect::<Vec<_>>(), storage.indices().iter().collect::<Vec<_>>());
    let (nrows, ncols) = storage.shape;
    let layout = match storage.format {
        Format::Csr => StoredLayout::Csr,
        Format::Csc => StoredLayout::Csc,
        Format::Coo => StoredLayout::Coo,
        Format::Bsr(rows, cols) => StoredLayout::Bsr(rows, cols),
    };
    let matrix = Stored { layout, shape: (nrows, ncols), starts: &starts, indices: &indices, values };
    Ok(write_npz_stored(path, matrix, Compression::Deflate)?)
}
