//! Products with random directions, formed without a matrix, against the matrix.

use super::matrix::{Matrix, same};
use super::probe::{PROBES, culprit, random};
use super::say;
use spadina::error::Error;
use spadina::options::Derivative;
use spadina::product::{Kind, Products};

/// Compares the products of all matrices.
pub(super) fn products(all: &[&Matrix], derivative: Derivative, said: &mut String) -> Result<(), Error> {
    let Some(first) = all.first() else { return Ok(()) };
    let (rows, columns) = (first.problem.rows(), first.problem.columns());
    let kinds: &[(Kind, &str)] = match derivative {
        Derivative::Hessian | Derivative::Lagrangian => &[(Kind::Hvp, "H v")],
        Derivative::GaussNewton => &[],
        Derivative::Value | Derivative::Gradient | Derivative::Jacobian => {
            &[(Kind::Jvp, "J v"), (Kind::Vjp, "J^T w")]
        }
    };
    for &(kind, name) in kinds {
        let mut products = match Products::new(&first.problem, kind) {
            // Reverse mode may be refused where forward mode is not.
            Err(Error::Source(_)) if kind == Kind::Vjp => {
                say(said, "products", &format!("{name} is refused"));
                continue;
            }
            other => other?,
        };
        let transposed = kind == Kind::Vjp;
        let (from, to) = if transposed { (rows, columns) } else { (columns, rows) };
        let (mut wanted, mut found, mut sizes) = (vec![0.0; to], vec![0.0; to], vec![0.0; to]);
        for probe in 0..PROBES {
            let direction = random(from, probe);
            products.apply(&direction, &mut wanted)?;
            for matrix in all {
                matrix.times(transposed, &direction, &mut found, &mut sizes);
                let wrong = (0..to)
                    .find(|&at| !same(found[at], wanted[at], matrix.tolerance * sizes[at].max(matrix.scale)));
                if let Some(at) = wrong {
                    return Err(blame(&mut products, matrix, (transposed, name), &direction, at)?);
                }
            }
        }
        say(said, "products", &format!("{name} agrees in {PROBES} random directions"));
    }
    Ok(())
}

/// The error about element `at` of a product.
fn blame(
    products: &mut Products,
    matrix: &Matrix,
    (transposed, name): (bool, &str),
    direction: &[f64],
    at: usize,
) -> Result<Error, Error> {
    let to = if transposed { matrix.problem.columns() } else { matrix.problem.rows() };
    let (mut wanted, mut found, mut sizes) = (vec![0.0; to], vec![0.0; to], vec![0.0; to]);
    let mut both = (0.0, 0.0);
    let other = culprit(direction, |part| {
        products.apply(part, &mut wanted)?;
        matrix.times(transposed, part, &mut found, &mut sizes);
        both = (found[at], wanted[at]);
        let tolerance = matrix.tolerance * sizes[at].max(matrix.scale);
        Ok(if same(found[at], wanted[at], tolerance) { -1.0 } else { (found[at] - wanted[at]).abs() })
    })?;
    let strategy = matrix.strategy;
    if let Some(other) = other {
        let entry = if transposed { (other, at) } else { (at, other) };
        let value = matrix.at(entry.0, entry.1);
        let what = format!("is {value:e} ({strategy}), but {name} along this column alone disagrees");
        let what = if transposed { what.replace("column", "row") } else { what };
        return Ok(matrix.failed(entry, &what));
    }
    let problem = &matrix.problem;
    let of = if transposed { problem.column_name(at) } else { problem.row_name(at) };
    let ((found, wanted), of) = (both, of.unwrap_or_default());
    Ok(Error::Verification(format!(
        "element {at} (`{of}`) of {name} for a random direction is {wanted:e}, but {found:e} by the matrix ({strategy})"
    )))
}
