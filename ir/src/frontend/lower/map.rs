//! `map`: arrays in registers where they are short, else in scratch buffers.

use super::Lowerer;
use super::loops::{MAX_UNROLL, Nest, Over};
use super::value::{Elem, MAX_SMALL, Small, Val, View};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Binder, Binders, ExprKind, Reduce};
use crate::func::{Buffer, BufferData, Entries, Plane, Role};
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

impl<'a> Lowerer<'a> {
    /// `map` as a value: in registers if it is short, else in a buffer.
    pub(super) fn map(&mut self, node: &'a Reduce, span: Span) -> Val {
        let stem = self.stem.take().unwrap_or("map");
        let Some(extents) = self.map_extents(&node.binders) else { return Val::Error };
        let literal: Option<Vec<usize>> =
            extents.iter().map(|size| size.as_constant().and_then(|n| usize::try_from(n).ok())).collect();
        let short = literal.filter(|dims| dims.iter().all(|&n| (n as i64) <= MAX_UNROLL));
        let model = self.rehearse(|lowerer| lowerer.body_model(node));
        if matches!(model, Val::Error) {
            return Val::Error;
        }
        let scalars = model.types().len();
        if let Some(dims) = short
            && dims
                .iter()
                .try_fold(scalars, |all, &n| all.checked_mul(n))
                .is_some_and(|n| n > 0 && n <= MAX_SMALL)
            && !matches!(model, Val::View(_) | Val::Tuple(_))
        {
            return self.small_map(node, dims, &model);
        }
        let Some((val, dests)) = self.new_arrays(stem, &extents, &model, node, span) else {
            return Val::Error;
        };
        self.map_into(node, &[], &dests, span);
        val
    }

    fn small_map(&mut self, node: &'a Reduce, dims: Vec<usize>, model: &Val) -> Val {
        if self.rehearsing {
            let count = dims.iter().product();
            return stack(dims, vec![model.clone(); count]);
        }
        let mut vals = Vec::new();
        let nest =
            Nest { unroll: true, ..Nest::new(&node.binders.binders, None, &node.body, node.body.span) };
        self.nest(&nest, &mut |lowerer, _, _| {
            let val = lowerer.inside(|lowerer| lowerer.block(&node.body));
            let val = lowerer.force(val);
            vals.push(lowerer.try_meet(&val, model).unwrap_or(Val::Error));
            Vec::new()
        });
        stack(dims, vals)
    }

    /// The lengths of the binders of a `map`, which must not depend on each other.
    pub(super) fn map_extents(&mut self, binders: &'a Binders) -> Option<Vec<SizeExpr>> {
        if let Some(filter) = &binders.filter {
            let diagnostic =
                Diagnostic::error("map-filter", "a `map` has a value at every index and takes no filter")
                    .label(filter.span, "filter")
                    .help("give the other entries a value: `if c { .. } else { 0.0 }`");
            self.report(diagnostic);
            return None;
        }
        binders.binders.iter().map(|binder| self.map_extent(binder)).collect()
    }

    fn map_extent(&mut self, binder: &'a Binder) -> Option<SizeExpr> {
        if let ExprKind::Range(lo, hi) = &binder.over.kind {
            let (lo, hi) = (self.size_expr(lo)?, self.size_expr(hi)?);
            let length = hi.checked_sub(&lo)?;
            let Some(step) = &binder.step else { return Some(length) };
            let step = self.try_size(step).and_then(|step| step.as_constant()).filter(|&n| n > 0);
            let length = length
                .as_constant()
                .zip(step)
                .map(|(n, step)| SizeExpr::constant((n + step - 1).div_euclid(step).max(0)));
            if length.is_none() {
                let diagnostic = Diagnostic::error(
                    "not-affine-size",
                    "the length of this `map` is not affine in the sizes",
                )
                .label(binder.span, "a step over a symbolic range")
                .help("loop over the positions, `k in 0..M`, and compute the index from them: `3*k`");
                self.report(diagnostic);
            }
            return length;
        }
        let over = self.rehearse(|lowerer| lowerer.over(binder));
        match over? {
            Over::View(view) => view.dims().first().cloned(),
            Over::Small(small) => small.dims.first().map(|&n| SizeExpr::constant(n as i64)),
            Over::Range { .. } => None,
        }
    }

    /// Scratch arrays for a map with these lengths and this body; one for each part of a tuple.
    fn new_arrays(
        &mut self,
        stem: &str,
        extents: &[SizeExpr],
        model: &Val,
        node: &Reduce,
        span: Span,
    ) -> Option<(Val, Vec<View>)> {
        if let Val::Tuple(parts) = model {
            let mut views = Vec::new();
            for part in parts {
                let (_, mut dests) = self.new_arrays(stem, extents, part, node, span)?;
                views.append(&mut dests);
            }
            return Some((Val::Tuple(views.iter().cloned().map(Val::View).collect()), views));
        }
        let Some(view) = self.new_array(stem, extents, model, span) else {
            let found = self.describe(model);
            let at = node.body.value.as_ref().map_or(span, |value| value.span);
            let diagnostic = Diagnostic::error("type-mismatch", format!("`map` makes no array of `{found}`"))
                .label(at, format!("this is `{found}`"))
                .help("the body of a `map` is a float, an integer, a vector, a matrix, or a tuple of them");
            self.report(diagnostic);
            return None;
        };
        Some((Val::View(view.clone()), vec![view]))
    }

    /// A scratch array of `extents` with entries like `model`.
    pub(super) fn new_array(
        &mut self,
        stem: &str,
        extents: &[SizeExpr],
        model: &Val,
        span: Span,
    ) -> Option<View> {
        let constant = |n: &usize| SizeExpr::constant(*n as i64);
        let (dims, ty, complex) = match model {
            Val::Num(num) => (Vec::new(), num.ty, false),
            Val::Complex(..) => (Vec::new(), Ty::F64, true),
            Val::Array(small) => match small.items.first()? {
                Val::Num(num) => (small.dims.iter().map(constant).collect(), num.ty, false),
                Val::Complex(..) => (small.dims.iter().map(constant).collect(), Ty::F64, true),
                _ => return None,
            },
            Val::View(view) => match view.elem {
                Elem::Scalar(_, ty) => (view.dims(), ty, false),
                Elem::Complex(_) => (view.dims(), Ty::F64, true),
                Elem::Record { .. } => return None,
            },
            Val::Tuple(_) | Val::Error => return None,
        };
        if !ty.is_float() {
            return None;
        }
        let dims = [extents.to_vec(), dims].concat();
        Some(self.scratch(stem, &dims, ty, complex, span))
    }

    /// A new scratch buffer, all zeros.
    pub(super) fn scratch(
        &mut self,
        stem: &str,
        dims: &[SizeExpr],
        elem: Ty,
        complex: bool,
        span: Span,
    ) -> View {
        let name = self.b.func().fresh_buffer_name(stem);
        let mut all = dims.to_vec();
        all.extend(complex.then(|| SizeExpr::constant(2)));
        let buffer: Buffer = self.b.buffer(BufferData {
            name,
            elem,
            dims: all,
            role: Role::Scratch,
            plane: Plane::Primal,
            entries: Entries::Any,
            default: None,
            span: (span.start, span.end),
        });
        if self.b.depth() > 1 {
            self.b.reset(buffer);
        }
        View::whole(stem, if complex { Elem::Complex(buffer) } else { Elem::Scalar(buffer, elem) }, dims)
    }
}

/// Values of one shape as an array with `dims` in front.
fn stack(dims: Vec<usize>, vals: Vec<Val>) -> Val {
    let mut items = Vec::new();
    let mut inner = Vec::new();
    for val in vals {
        match val {
            Val::Array(small) => {
                inner.clone_from(&small.dims);
                items.extend(small.items);
            }
            Val::Error => return Val::Error,
            other => items.push(other),
        }
    }
    Val::Array(Small { dims: [dims, inner].concat(), items })
}
