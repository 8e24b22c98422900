//! Properties of single functions that need nothing but the IR: what every pass must keep true.

use crate::case::Case;
use crate::numeric::compare;
use spadina_ir::interp::{ArrayData, Outputs};
use spadina_ir::text::{parse, print};
use spadina_ir::verify::verify;

/// The function is well-formed.
///
/// # Errors
/// All violations, one a line.
pub fn well_formed(case: &Case) -> Result<(), String> {
    let violations: Vec<String> = verify(&case.func).iter().map(ToString::to_string).collect();
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
}

/// The text of the function is read back, printed alike, well-formed, and computes the same bits.
///
/// # Errors
/// What differs.
pub fn text_round_trips(case: &Case) -> Result<(), String> {
    let text = print(&case.func);
    let again = parse(&text).map_err(|error| format!("the printed text is refused: {error}"))?;
    let printed = print(&again);
    if printed != text {
        return Err(format!("the text changes when it is read and printed:\n{printed}"));
    }
    let again = Case { func: again, bindings: case.bindings.clone() };
    well_formed(&again)?;
    same_outputs(case, &again, 0.0)
}

/// All outputs are finite.
///
/// # Errors
/// The error of the run, or the name of an output that is not finite.
pub fn finite(case: &Case) -> Result<Outputs, String> {
    let outputs = case.run().map_err(|error| error.to_string())?;
    for (buffer, data) in &outputs.arrays {
        if let Some(x) = data.to_f64().into_iter().find(|x| !x.is_finite()) {
            return Err(format!("`{}` holds {x}", case.func.buffers[*buffer].name));
        }
    }
    Ok(outputs)
}

/// Two programs give the same outputs (by name; `b` may have more) and the same matrix, up to a tolerance relative to
/// the largest number.
///
/// # Errors
/// The error of a run, or what differs.
pub fn same_outputs(a: &Case, b: &Case, tolerance: f64) -> Result<(), String> {
    let expected = a.run().map_err(|error| format!("the first program: {error}"))?;
    let found = b.run().map_err(|error| format!("the second program: {error}"))?;
    for (buffer, data) in &expected.arrays {
        let name = &a.func.buffers[*buffer].name;
        let other = b.func.buffer_named(name).and_then(|buffer| found.arrays.get(&buffer));
        let other = other.map(ArrayData::to_f64).ok_or_else(|| format!("`{name}` is missing"))?;
        compare(&data.to_f64(), &other, tolerance).map_err(|what| format!("`{name}` {what}"))?;
    }
    if expected.shape != found.shape {
        return Err(format!("a matrix of {:?} instead of {:?}", found.shape, expected.shape));
    }
    if expected.triplets.is_empty() && found.triplets.is_empty() {
        return Ok(());
    }
    compare(&expected.dense(), &found.dense(), tolerance).map_err(|what| format!("the matrix {what}"))
}
