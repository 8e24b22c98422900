//! What is wrong with numbers that are not finite: the operation of the source where they begin.

use crate::error::Error;
use crate::part::bindings;
use crate::problem::{Evaluation, Problem};
use crate::report::Report;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Const, Func, Inst};
use spadina_ir::interp;
use spadina_ir::op::Op;
use spadina_ir::span::Span;
use spadina_passes::analysis::activity::Activity;
use std::sync::Arc;

/// What an operation does to derivatives at its operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// The value is finite, its slope is not.
    Slope,
    /// The value is not finite.
    Value,
}

impl Problem {
    /// Where an evaluation stops being finite, if its derivatives are not: the first operations on unknowns whose slope is unbounded at
    /// the bound point (`unbounded-slope`), or whose value is not finite (`not-finite`). Runs the kernel as it is written once
    /// in the interpreter, and only if there is something to find.
    ///
    /// # Errors
    /// Those of the interpreter, which the evaluation would have met too.
    pub fn doubts(&self, at: &Evaluation) -> Result<Option<Report>, Error> {
        let finite = |values: &[f64]| values.iter().all(|x| x.is_finite());
        let derivatives = finite(&at.gradient) && finite(&at.matrix);
        if derivatives && at.results.iter().all(|x| !x.is_nan()) {
            return Ok(None);
        }
        let func = self.primal();
        let activity = Activity::of(func, &func.columns);
        let inputs: Vec<(usize, usize)> = (0..func.buffers.len()).map(|n| (n, n)).collect();
        let mut bound = bindings(func, &self.bound().sizes, self.bound(), &inputs);
        bound.arrays.retain(|buffer, _| crate::kernel::is_input(func.buffers[*buffer].role));
        let mut found: Vec<(Inst, Op, Trouble)> = Vec::new();
        interp::observe(func, &bound, &mut |inst, op, args| {
            let active = activity.value(func.results[inst][0]);
            if let Some(trouble) = trouble(op, args)
                && active
                && !found.iter().any(|(_, _, other)| *other == trouble)
            {
                found.push((inst, op, trouble));
            }
        })?;
        // Where a value is not finite, what follows from it is not either.
        let value = found.iter().any(|(_, _, trouble)| *trouble == Trouble::Value);
        found.retain(|(_, _, trouble)| !value || *trouble == Trouble::Value);
        let diagnostics: Vec<Diagnostic> = found.into_iter().map(|found| diagnostic(func, found)).collect();
        let source = Arc::clone(self.kernel().source());
        Ok((!diagnostics.is_empty()).then_some(Report { source, diagnostics }))
    }
}

fn trouble(op: Op, args: &[Const]) -> Option<Trouble> {
    let floats: Option<Vec<f64>> = args
        .iter()
        .map(|arg| match *arg {
            Const::F64(x) => Some(x),
            Const::F32(x) => Some(f64::from(x)),
            Const::Int(_) | Const::Bool(_) => None,
        })
        .collect();
    let floats = floats.filter(|floats| floats.iter().all(|x| x.is_finite()))?;
    let result = spadina_ir::math::eval(op, args)?;
    let result = match result {
        Const::F64(x) => x,
        Const::F32(x) => f64::from(x),
        Const::Int(_) | Const::Bool(_) => return None,
    };
    if !result.is_finite() {
        return Some(Trouble::Value);
    }
    let &x = floats.first()?;
    let steep = match op {
        Op::Sqrt | Op::Cbrt => x == 0.0,
        Op::Asin | Op::Acos => x.abs() == 1.0,
        Op::Acosh => x == 1.0,
        Op::Pow => x == 0.0 && floats.get(1).is_some_and(|y| *y > 0.0 && *y < 1.0),
        Op::Atan2 | Op::Hypot => x == 0.0 && floats.get(1) == Some(&0.0),
        _ => false,
    };
    steep.then_some(Trouble::Slope)
}

fn diagnostic(func: &Func, (inst, op, trouble): (Inst, Op, Trouble)) -> Diagnostic {
    let (start, end) = func.spans[inst];
    let name = op.name();
    let (code, message, label) = match trouble {
        Trouble::Slope => (
            "unbounded-slope",
            format!("the slope of `{name}` is unbounded at the bound point, so derivatives are not finite"),
            "computed here first",
        ),
        Trouble::Value => (
            "not-finite",
            format!("`{name}` of finite numbers is not finite at the bound point"),
            "not a finite number here first",
        ),
    };
    let help = match op {
        Op::Sqrt | Op::Hypot | Op::Cbrt => {
            "add a small constant under the root, or write the term without it where it is near zero (`if`)"
        }
        Op::Acos | Op::Asin => "an angle has bounded slopes as `atan2(norm(cross(a, b)), dot(a, b))`",
        Op::Log | Op::Log2 | Op::Log10 | Op::Log1p => {
            "guard the argument: `if v > 0.0 { .. log(v) .. } else { inf }`"
        }
        Op::Div => "guard the divisor, or add a small constant to it",
        _ => "guard the argument with `if`, or start from another point",
    };
    Diagnostic::warning(code, message).label(Span { start, end }, label).help(help)
}
