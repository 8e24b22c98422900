//! Recurrences: `fold` and `scan`.
//!
//! A state of scalars becomes state carries of a loop. A state that is an array in memory is stepped by unrolling, each step
//! into a buffer of its own, so the number of steps must be a literal then.

use super::Lowerer;
use super::loops::{CarrySpec, Nest};
use super::value::{Elem, Num, Val, View};
use crate::diag::Diagnostic;
use crate::frontend::ast::{ExprKind, Fold};
use crate::func::Carry;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// Most steps of a recurrence over arrays.
const MAX_ARRAY_STEPS: i64 = 64;

impl<'a> Lowerer<'a> {
    /// A recurrence as a value.
    pub(super) fn fold(&mut self, node: &'a Fold, span: Span) -> Val {
        let stem = self.stem.take();
        let init = self.expr(&node.init);
        let init = self.settle(init);
        if let Val::View(view) = &init
            && view.small_dims().is_none()
        {
            return self.fold_arrays(node, view, stem.unwrap_or("state"), span);
        }
        let init = self.settled_state(init);
        if init.is_loose() {
            if !matches!(init, Val::Error) {
                let found = self.describe(&init);
                let diagnostic =
                    Diagnostic::error("unsupported", format!("a recurrence cannot have the state `{found}`"))
                        .label(node.init.span, format!("this is `{found}`"))
                        .help("a state is a number, a vector, a matrix, a tuple of them, or one array");
                self.report(diagnostic);
            }
            return Val::Error;
        }
        let binders = std::slice::from_ref(&node.binder);
        let types = init.types();
        let start = init.scalars();
        let carries: Vec<CarrySpec> = start
            .iter()
            .zip(&types)
            .map(|(&value, &ty)| CarrySpec { carry: Carry::State(value), ty })
            .collect();
        let kept = if node.keep_all {
            self.scan_arrays(node, &init, stem.unwrap_or("scan"), span)
        } else {
            Some(Vec::new())
        };
        let Some(kept) = kept else { return Val::Error };
        let nest = Nest { carries, positions: node.keep_all, ..Nest::new(binders, None, &node.body, span) };
        let results = self.nest(&nest, &mut |lowerer, positions, states| {
            let states = if states.is_empty() { start.clone() } else { states.to_vec() };
            let next = lowerer.inside(|lowerer| {
                let state = init.with(&mut states.iter().copied());
                lowerer.bind_pat(&node.state, state, node.init.span);
                let val = lowerer.block(&node.body);
                lowerer.settled_state(val)
            });
            let fitted = lowerer.try_meet(&next, &init).filter(|fitted| fitted.types() == types);
            let Some(next) = fitted else {
                lowerer.state_mismatch(node, &next, &init);
                return states;
            };
            let parts = match (&next, kept.len()) {
                (Val::Tuple(parts), 2..) => parts.clone(),
                _ => vec![next.clone()],
            };
            for (view, part) in kept.iter().zip(parts) {
                let place = lowerer.fix(view, positions[0]);
                lowerer.store(part, &[], &place, span);
            }
            next.scalars()
        });
        match kept.as_slice() {
            [] => init.with(&mut results.into_iter()),
            [only] => Val::View(only.clone()),
            several => Val::Tuple(several.iter().cloned().map(Val::View).collect()),
        }
    }

    fn settled_state(&mut self, val: Val) -> Val {
        match self.force(val) {
            Val::Tuple(parts) => Val::Tuple(parts.into_iter().map(|part| self.settled_state(part)).collect()),
            Val::Num(num) => Val::Num(Num { literal: false, ..num }),
            other => other,
        }
    }

    fn state_mismatch(&mut self, node: &Fold, next: &Val, init: &Val) {
        if matches!(next, Val::Error) {
            return;
        }
        let (found, wanted) = (self.describe(next), self.describe(init));
        let at = node.body.value.as_ref().map_or(node.body.span, |value| value.span);
        let mut diagnostic = Diagnostic::error(
            "type-mismatch",
            format!("the next state is `{found}`, and the state is `{wanted}`"),
        )
        .label(at, format!("this is `{found}`"))
        .label(node.init.span, format!("the state starts as `{wanted}`"));
        diagnostic = if wanted == "int" && found == "f64" {
            diagnostic.help("start it as a float: `0.0`")
        } else {
            diagnostic.help("a recurrence keeps the type of its state")
        };
        self.report(diagnostic);
    }

    /// Arrays for all states of a `scan`, one for each part of a tuple.
    fn scan_arrays(&mut self, node: &'a Fold, init: &Val, stem: &str, span: Span) -> Option<Vec<View>> {
        let steps = self.steps(node)?;
        let parts = match init {
            Val::Tuple(parts) => parts.clone(),
            other => vec![other.clone()],
        };
        let views: Option<Vec<View>> =
            parts.iter().map(|part| self.new_array(stem, std::slice::from_ref(&steps), part, span)).collect();
        if views.is_none() {
            let found = self.describe(init);
            let diagnostic =
                Diagnostic::error("unsupported", format!("`scan` cannot keep states of `{found}`"))
                    .label(node.init.span, format!("this is `{found}`"))
                    .help("the states of a `scan` are floats, vectors, matrices or tuples of them");
            self.report(diagnostic);
        }
        views
    }

    /// The number of steps.
    fn steps(&mut self, node: &'a Fold) -> Option<SizeExpr> {
        if let ExprKind::Range(lo, hi) = &node.binder.over.kind {
            let (lo, hi) = (self.size_expr(lo)?, self.size_expr(hi)?);
            let length = hi.checked_sub(&lo)?;
            if node.binder.step.is_none() {
                return Some(length);
            }
            let step = node
                .binder
                .step
                .as_ref()
                .and_then(|step| self.try_size(step))
                .and_then(|step| step.as_constant());
            let count = length
                .as_constant()
                .zip(step.filter(|&n| n > 0))
                .map(|(n, step)| (n + step - 1).div_euclid(step).max(0));
            if count.is_none() {
                let diagnostic =
                    Diagnostic::error("not-affine-size", "the number of steps is not affine in the sizes")
                        .label(node.binder.span, "a step over a symbolic range")
                        .help("loop over the positions, `k in 0..M`, and compute the index from them: `3*k`");
                self.report(diagnostic);
            }
            return count.map(SizeExpr::constant);
        }
        let over = self.rehearse(|lowerer| lowerer.expr(&node.binder.over));
        match over {
            Val::View(view) => view.dims().first().cloned(),
            Val::Array(small) => small.dims.first().map(|&n| SizeExpr::constant(n as i64)),
            _ => None,
        }
    }

    /// A recurrence over an array in memory: one buffer a step.
    fn fold_arrays(&mut self, node: &'a Fold, init: &View, stem: &str, span: Span) -> Val {
        let steps = self
            .steps(node)
            .and_then(|steps| steps.as_constant())
            .filter(|n| (0..=MAX_ARRAY_STEPS).contains(n));
        let Some(_) = steps.filter(|_| !node.keep_all && Self::is_plain(init)) else {
            let diagnostic = Diagnostic::error(
                "unsupported",
                "a recurrence over an array takes a short literal number of steps",
            )
            .label(
                node.binder.span,
                format!("steps: a literal of at most {MAX_ARRAY_STEPS} is supported here"),
            )
            .label(node.init.span, "the state is an array of symbolic length")
            .help(
                "write the number of steps as a literal, `k in 0..10`, with `fold` and an array of numbers",
            );
            return self.report(diagnostic);
        };
        let ty = match init.elem {
            Elem::Scalar(_, ty) => ty,
            Elem::Complex(_) | Elem::Record { .. } => Ty::F64,
        };
        let dims = init.dims();
        let mut state = init.clone();
        let nest =
            Nest { unroll: true, ..Nest::new(std::slice::from_ref(&node.binder), None, &node.body, span) };
        self.nest(&nest, &mut |lowerer, _, _| {
            let next = lowerer.scratch(stem, &dims, ty, false, span);
            lowerer.inside(|lowerer| {
                lowerer.bind_pat(&node.state, Val::View(state.clone()), node.init.span);
                lowerer.sink_block(&node.body, &[], std::slice::from_ref(&next));
            });
            state = next;
            Vec::new()
        });
        Val::View(state)
    }
}
