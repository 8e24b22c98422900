//! Symbolic sizes from the shapes of the arrays that are bound.

use super::error::InterpError;
use crate::func::{Buffer, Func};
use crate::text;
use crate::types::{Size, SizeExpr};
use std::collections::BTreeMap;

struct Equation<'a> {
    buffer: Buffer,
    axis: usize,
    expr: &'a SizeExpr,
    extent: i64,
}

struct Solver<'a> {
    func: &'a Func,
    sizes: BTreeMap<Size, i64>,
    /// The buffer and axis that gave each size.
    origin: BTreeMap<Size, (Buffer, usize)>,
}

/// Solves for the sizes of `func` under the shapes of some of its buffers.
///
/// Dimensions that are a plain size come first, then dimensions with one unknown size are solved until none is left,
/// then every dimension is checked. Scalars need no shape.
///
/// # Errors
/// A wrong number of dimensions, two dimensions that disagree (both arrays are named), no non-negative solution, or a
/// size that no shape determines.
pub fn infer_sizes(
    func: &Func,
    shapes: &BTreeMap<Buffer, Vec<i64>>,
) -> Result<BTreeMap<Size, i64>, InterpError> {
    let mut equations = Vec::new();
    for (&buffer, shape) in shapes {
        let Some(data) = func.buffers.get(buffer) else {
            return Err(InterpError::UnknownName { name: buffer.to_string() });
        };
        if data.dims.len() != shape.len() {
            let (expected, found) = (data.dims.len(), shape.len());
            return Err(InterpError::WrongRank { buffer: data.name.clone(), expected, found });
        }
        for (axis, (expr, &extent)) in data.dims.iter().zip(shape).enumerate() {
            if extent < 0 {
                let buffer = data.name.clone();
                return Err(InterpError::BadDimension { buffer, axis, value: Some(extent) });
            }
            equations.push(Equation { buffer, axis, expr, extent });
        }
    }
    let mut solver = Solver { func, sizes: BTreeMap::new(), origin: BTreeMap::new() };
    for equation in &equations {
        if let ([(size, 1)], 0) = (&equation.expr.terms[..], equation.expr.constant) {
            solver.learn(*size, equation.extent, equation);
        }
    }
    let mut progress = true;
    while progress {
        progress = false;
        for equation in &equations {
            progress |= solver.solve(equation)?;
        }
    }
    for equation in &equations {
        solver.check(equation)?;
    }
    match func.sizes.iter().find(|(size, _)| !solver.sizes.contains_key(size)) {
        Some((_, name)) => Err(InterpError::UnboundSize { size: name.clone() }),
        None => Ok(solver.sizes),
    }
}

impl Solver<'_> {
    fn learn(&mut self, size: Size, value: i64, equation: &Equation<'_>) {
        self.sizes.entry(size).or_insert(value);
        self.origin.entry(size).or_insert((equation.buffer, equation.axis));
    }

    /// Solves an equation with one unknown size; true where it gave one.
    fn solve(&mut self, equation: &Equation<'_>) -> Result<bool, InterpError> {
        let mut rest = i128::from(equation.extent) - i128::from(equation.expr.constant);
        let mut unknown = None;
        for &(size, coefficient) in &equation.expr.terms {
            match self.sizes.get(&size) {
                Some(&value) => rest -= i128::from(value) * i128::from(coefficient),
                None if unknown.is_some() => return Ok(false),
                None => unknown = Some((size, i128::from(coefficient))),
            }
        }
        let Some((size, coefficient)) = unknown else { return Ok(false) };
        if coefficient == 0 {
            return Ok(false);
        }
        match i64::try_from(rest / coefficient) {
            Ok(value) if rest % coefficient == 0 && value >= 0 => {
                self.learn(size, value, equation);
                Ok(true)
            }
            _ => Err(self.conflict(equation, None)),
        }
    }

    fn check(&self, equation: &Equation<'_>) -> Result<(), InterpError> {
        if let Some((size, _)) = equation.expr.terms.iter().find(|(size, _)| !self.sizes.contains_key(size)) {
            return Err(InterpError::UnboundSize { size: self.func.sizes[*size].clone() });
        }
        let expected = equation.expr.eval(&|size| self.sizes[&size]);
        if expected == Some(equation.extent) { Ok(()) } else { Err(self.conflict(equation, expected)) }
    }

    fn conflict(&self, equation: &Equation<'_>, expected: Option<i64>) -> InterpError {
        let because = equation.expr.terms.iter().filter_map(|(size, _)| {
            let (buffer, axis) = self.origin.get(size)?;
            let (name, value) = (&self.func.sizes[*size], self.sizes[size]);
            Some(format!("{name} = {value} from axis {axis} of `{}`", self.func.buffers[*buffer].name))
        });
        InterpError::SizeConflict {
            buffer: self.func.buffers[equation.buffer].name.clone(),
            axis: equation.axis,
            found: equation.extent,
            expected,
            expr: text::size::show(equation.expr, &self.func.sizes).to_string(),
            because: because.collect(),
        }
    }
}
