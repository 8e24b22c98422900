//! `--tangent` and `--cotangent`: what jvp, hvp and vjp are with, and the products.

use super::args::{RunArgs, What};
use spadina::error::Error;
use spadina::problem::Problem;
use spadina::product::{Kind, Products};
use spadina_io::array::{Array, Data, Shape};
use spadina_io::npy::read::read_npy;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `FILE` or `NAME=FILE`.
pub(crate) fn named(arg: &str) -> (Option<&str>, &str) {
    match arg.split_once('=') {
        Some((name, path)) if name.split('.').all(is_word) => (Some(name), path),
        _ => (None, arg),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Whether directions and what needs them come together.
///
/// # Errors
/// [`Error::Usage`] where one comes without the other.
pub(crate) fn check(what: &BTreeSet<What>, args: &RunArgs) -> Result<(), Error> {
    let forward = [What::Jvp, What::Hvp].into_iter().find(|w| what.contains(w));
    let pairs = [
        ("tangent", &args.tangent, forward, "jvp or hvp"),
        ("cotangent", &args.cotangent, [What::Vjp].into_iter().find(|w| what.contains(w)), "vjp"),
    ];
    for (option, given, used, takers) in pairs {
        match (used, given.is_empty()) {
            (Some(_), true) => {
                return Err(Error::Usage(format!("{takers} needs a direction: `--{option} FILE`")));
            }
            (None, false) => {
                return Err(Error::Usage(format!(
                    "`--{option}` is for {takers}, which nobody asks for (`--derive`, or `-o WHAT=FILE`)"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every product that is asked for: one row for each direction, where there are several.
pub(crate) fn products(
    problem: &Problem,
    what: &BTreeSet<What>,
    args: &RunArgs,
) -> Result<BTreeMap<What, Array>, Error> {
    let mut found = BTreeMap::new();
    for &what in what {
        let Some(kind) = what.product() else { continue };
        let mut products = Products::new(problem, kind)?;
        let (inputs, outputs) = products.lengths();
        let directions = match what {
            What::Derivative | What::SecondDerivative => {
                if inputs != 1 {
                    return Err(Error::Usage(format!(
                        "a derivative is taken by one number, but there are {inputs} unknowns: name one with `--wrt`"
                    )));
                }
                Directions { rows: None, values: vec![1.0] }
            }
            _ if kind == Kind::Vjp => read(problem, &args.cotangent, inputs, true)?,
            _ => read(problem, &args.tangent, inputs, false)?,
        };
        let count = directions.rows.unwrap_or(1);
        let mut values = vec![0.0; count * outputs];
        products.apply_many(&directions.values, &mut values)?;
        let shape = directions.rows.into_iter().chain([outputs]).collect();
        found.insert(what, Array::new(shape, Data::F64(values))?);
    }
    Ok(found)
}

/// Directions one after the other; `rows` counts them where the file has a row for each.
struct Directions {
    rows: Option<usize>,
    values: Vec<f64>,
}

fn read(problem: &Problem, args: &[String], len: usize, weights: bool) -> Result<Directions, Error> {
    let mut sum: Option<Directions> = None;
    for arg in args {
        let (name, path) = named(arg);
        let array = read_npy(Path::new(path))?;
        let values = array.to_f64(path)?;
        let (start, width) = match name {
            None => (0, len),
            Some(name) => problem.place(name, weights)?,
        };
        let rows = match array.shape() {
            &[rows, columns] if columns == width && rows != 1 => Some(rows),
            _ if values.len() == width => None,
            shape => {
                let (shape, what) = (Shape(shape), if weights { "results" } else { "unknowns" });
                return Err(Error::Data(format!(
                    "`{path}` has shape {shape}; a direction has {width} numbers, one for each of the {what}"
                )));
            }
        };
        let count = rows.unwrap_or(1);
        let whole = sum.get_or_insert_with(|| Directions { rows, values: vec![0.0; count * len] });
        if whole.rows != rows {
            return Err(Error::Data(format!(
                "`{path}` has another number of directions than those before it"
            )));
        }
        for (to, from) in whole.values.chunks_exact_mut(len.max(1)).zip(values.chunks_exact(width.max(1))) {
            to[start..start + width].copy_from_slice(from);
        }
    }
    sum.ok_or_else(|| Error::Internal("a direction is missing".into()))
}
