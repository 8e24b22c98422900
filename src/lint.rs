//! What is wrong with numbers that are not finite: the input, or the operation of the source, where they begin.

use crate::bind::{Bound, number};
use crate::error::Error;
use crate::kernel::{Kernel, is_input};
use crate::part::bindings;
use crate::problem::{Evaluation, Problem};
use crate::report::Report;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Const, Func, Inst, Role};
use spadina_ir::interp;
use spadina_ir::op::Op;
use spadina_ir::span::Span;
use spadina_passes::analysis::activity::Activity;
use spadina_runtime::array::OwnedArray;
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
    /// Where an evaluation stops being finite. The data come first: inputs that hold NaN, and infinite ones where what was computed is not
    /// finite (`not-finite`). Without such, if derivatives are not finite: the first operations on unknowns whose slope is unbounded at
    /// the bound point (`unbounded-slope`), or whose value is not finite (`not-finite`). Runs the kernel as it is written once
    /// in the interpreter, and only if there is something to find.
    ///
    /// # Errors
    /// Those of the interpreter, which the evaluation would have met too.
    pub fn doubts(&self, at: &Evaluation) -> Result<Option<Report>, Error> {
        let finite = |values: &[f64]| values.iter().all(|x| x.is_finite());
        let derivatives = finite(&at.gradient) && finite(&at.matrix);
        let all_finite = derivatives && finite(&at.results);
        let mut blamed = not_finite(self.kernel(), self.bound(), |role| !all_finite && role == Role::Var);
        if blamed.is_empty() && !all_finite {
            blamed = not_finite(self.kernel(), self.bound(), |_| true);
        }
        if !blamed.is_empty() {
            return Ok(Some(Report { source: Arc::clone(self.kernel().source()), diagnostics: blamed }));
        }
        if derivatives && at.results.iter().all(|x| !x.is_nan()) {
            return Ok(None);
        }
        let func = self.primal();
        let activity = Activity::of(func, &func.columns);
        let inputs: Vec<(usize, usize)> = (0..func.buffers.len()).map(|n| (n, n)).collect();
        let mut bound = bindings(func, &self.bound().sizes, self.bound(), &inputs);
        bound.arrays.retain(|buffer, _| is_input(func.buffers[*buffer].role));
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

/// A warning for each input that has an entry that is NaN or, among those whose role is in doubt, infinite.
fn not_finite(kernel: &Kernel, bound: &Bound, in_doubt: impl Fn(Role) -> bool) -> Vec<Diagnostic> {
    let func = kernel.func();
    let found = func.buffers.iter().filter(|(_, data)| is_input(data.role)).filter_map(|(buffer, data)| {
        let infinite = in_doubt(data.role);
        let wrong = |x: f64| x.is_nan() || (infinite && x.is_infinite());
        let entries: Vec<(usize, f64)> = match bound.arrays[number(buffer)].as_deref()? {
            OwnedArray::F64(all) => all.iter().copied().enumerate().filter(|&(_, x)| wrong(x)).collect(),
            OwnedArray::F32(all) => {
                all.iter().map(|&x| f64::from(x)).enumerate().filter(|&(_, x)| wrong(x)).collect()
            }
            OwnedArray::I64(_) | OwnedArray::Bool(_) => return None,
        };
        let &(first, x) = entries.first()?;
        let name = &data.name;
        let mut message = if data.dims.is_empty() {
            format!("`{name}` is {x}")
        } else {
            format!("entry ({}) of `{name}` is {x}", bound.subscripts(data, first))
        };
        match entries.len() - 1 {
            0 => {}
            1 => message.push_str("; one more is not finite"),
            more => message = format!("{message}; {more} more are not finite"),
        }
        let (start, end) = data.span;
        let warning =
            Diagnostic::warning("not-finite", message).label(Span { start, end }, "bound to this parameter");
        Some(warning.help("look at the data: what is computed from this entry is not finite either"))
    });
    found.collect()
}

impl Bound {
    /// The inputs that hold NaN and the unknowns that are infinite, as warnings; `None` where there are none. Infinite data may be bounds.
    pub fn doubts(&self, kernel: &Kernel) -> Option<Report> {
        let diagnostics = not_finite(kernel, self, |role| role == Role::Var);
        (!diagnostics.is_empty()).then(|| Report { source: Arc::clone(kernel.source()), diagnostics })
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
