//! Elaborates results into their place: each additive part becomes loops that accumulate in their innermost body.
//!
//! `sink(a + b)` sinks both; `sink(c * sum ..)` sinks the sum with every addend weighed by `c`; a `sum` opens its loops and
//! sinks its body, a `map` opens its loops and sinks its body one axis further in. A `let` whose value is such a sum and
//! which is used once, linearly, is put off and sunk where it is used. Everything else is a value and is accumulated.

use super::loops::Nest;
use super::value::{Axis, Elem, Num, Small, Val, View};
use super::{AccKind, Binding, Lowerer, NameKind, query};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Block, Expr, ExprKind, Pat, Reduce, ReduceKind, StmtKind, UnaryOp};
use crate::func::{Const, Role, Value};
use crate::op::Op;
use crate::project::Projection;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// A factor that every addend gets.
#[derive(Clone, Copy)]
pub(super) enum Weight {
    Mul(Value),
    Div(Value),
    Neg,
}

/// How far calls are followed to see whether they give sums.
const CALL_DEPTH: u32 = 8;

impl<'a> Lowerer<'a> {
    /// Sinks one expression into one place, negated or not.
    pub(super) fn sink_signed(&mut self, expr: &'a Expr, negative: bool, dest: &View) {
        let weights = if negative { vec![Weight::Neg] } else { Vec::new() };
        self.sink(expr, &weights, std::slice::from_ref(dest));
    }

    // ---- what can be sunk -------------------------------------------------------------------------------------------

    /// Does the expression hold a `sum` or `map` in a linear position?
    fn sinkable(&self, expr: &Expr, depth: u32) -> bool {
        match &expr.kind {
            ExprKind::Reduce(node) => matches!(node.kind, ReduceKind::Sum | ReduceKind::Map),
            ExprKind::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => {
                let (mut first, mut found) = (a, self.sinkable(b, depth));
                while let (ExprKind::Binary(BinaryOp::Add | BinaryOp::Sub, a, b), false) =
                    (&first.kind, found)
                {
                    found = self.sinkable(b, depth);
                    first = a;
                }
                found || self.sinkable(first, depth)
            }
            ExprKind::Binary(BinaryOp::Mul, a, b) => self.sinkable(a, depth) != self.sinkable(b, depth),
            ExprKind::Binary(BinaryOp::Div, a, _) | ExprKind::Unary(UnaryOp::Neg, a) => {
                self.sinkable(a, depth)
            }
            ExprKind::If(node) => {
                let value =
                    |block: &Block| block.value.as_deref().is_some_and(|value| self.sinkable(value, depth));
                value(&node.then) || node.otherwise.as_ref().is_some_and(value)
            }
            ExprKind::Tuple(parts) | ExprKind::Vector(parts) => {
                parts.iter().any(|part| self.sinkable(part, depth))
            }
            ExprKind::Name(name) => matches!(self.peek_binding(name), Some(Binding::Deferred { .. })),
            ExprKind::Zeros(_) => true,
            ExprKind::Call(name, _) => {
                // What has given partials is a value: its body is not differentiated.
                let function = self.items.functions.get(name.name.as_str());
                let body = function.filter(|function| function.partials().is_none());
                let body = body.and_then(|function| function.body.value.as_deref());
                depth > 0 && body.is_some_and(|value| self.sinkable(value, depth - 1))
            }
            _ => false,
        }
    }

    /// Is `name` read exactly once in `value`, where it could be sunk?
    fn linear_use(&self, name: &str, value: &Expr) -> bool {
        match &value.kind {
            ExprKind::Name(found) => found == name,
            ExprKind::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => {
                self.linear_use(name, a) || self.linear_use(name, b)
            }
            ExprKind::Binary(BinaryOp::Mul, a, b) => {
                let rest = |other: &Expr| !self.sinkable(other, CALL_DEPTH);
                (self.linear_use(name, a) && rest(b)) || (self.linear_use(name, b) && rest(a))
            }
            ExprKind::Binary(BinaryOp::Div, a, _) | ExprKind::Unary(UnaryOp::Neg, a) => {
                self.linear_use(name, a)
            }
            ExprKind::Tuple(parts) | ExprKind::Vector(parts) => {
                parts.iter().any(|part| self.linear_use(name, part))
            }
            _ => false,
        }
    }

    // ---- blocks -----------------------------------------------------------------------------------------------------

    /// Sinks the value of a block; several places for a tuple.
    pub(super) fn sink_block(&mut self, block: &'a Block, weights: &[Weight], dests: &[View]) {
        self.scoped(|lowerer| {
            let Some(value) = block.value.as_deref() else {
                block.stmts.iter().for_each(|stmt| lowerer.stmt(stmt));
                lowerer.no_value(block);
                return;
            };
            for (number, stmt) in block.stmts.iter().enumerate() {
                let StmtKind::Let { mutable, pat: Pat::Name(name), ty: None, value: bound } = &stmt.kind
                else {
                    lowerer.stmt(stmt);
                    continue;
                };
                let rest = &block.stmts[number + 1..];
                let once = query::reads(&name.name, rest, Some(value)) == 1;
                if !mutable
                    && once
                    && lowerer.sinkable(bound, CALL_DEPTH)
                    && lowerer.linear_use(&name.name, value)
                    && !lowerer.reads_accs(bound)
                {
                    let binding = Binding::Deferred { expr: bound, visible: lowerer.env.len() };
                    lowerer.bind(name, binding, NameKind::Local);
                } else if *mutable && once && weights.is_empty() && matches!(bound.kind, ExprKind::Zeros(_)) {
                    match lowerer.own_place(&name.name, value, dests, bound) {
                        Some(view) => lowerer.new_acc(name, AccKind::Buffer { view, read: None }),
                        None => lowerer.stmt(stmt),
                    }
                } else {
                    lowerer.stmt(stmt);
                }
            }
            lowerer.sink(value, weights, dests);
        });
    }

    /// The place that an accumulator of zeros can use from the start, because it is that result and nothing else.
    fn own_place(&mut self, name: &str, value: &'a Expr, dests: &[View], zeros: &'a Expr) -> Option<View> {
        let is_it = |expr: &Expr| matches!(&expr.kind, ExprKind::Name(found) if found == name);
        let at = match &value.kind {
            ExprKind::Tuple(parts) if parts.len() == dests.len() && dests.len() > 1 => {
                parts.iter().position(is_it)?
            }
            _ if dests.len() == 1 && is_it(value) => 0,
            _ => return None,
        };
        let ExprKind::Zeros(dims) = &zeros.kind else { return None };
        let dims: Option<Vec<SizeExpr>> = dims.iter().map(|dim| self.try_size(dim)).collect();
        (dims? == dests[at].dims()).then(|| dests[at].clone())
    }

    fn reads_accs(&self, expr: &'a Expr) -> bool {
        let mut found = false;
        query::walk_expr(expr, &mut |inner, _| {
            if let ExprKind::Name(name) = &inner.kind {
                found |= matches!(self.peek_binding(name), Some(Binding::Acc(_)));
            }
        });
        found
    }

    // ---- expressions ------------------------------------------------------------------------------------------------

    /// Sinks an expression into its place, or a tuple into several.
    pub(super) fn sink(&mut self, expr: &'a Expr, weights: &[Weight], dests: &[View]) {
        if self.depth >= super::MAX_DEPTH || !self.spend(expr.span) {
            self.expr(expr);
            return;
        }
        self.depth += 1;
        let outer = self.b.span();
        self.at(expr.span);
        self.sink_kind(expr, weights, dests);
        self.b.set_span(outer);
        self.depth -= 1;
    }

    fn sink_kind(&mut self, expr: &'a Expr, weights: &[Weight], dests: &[View]) {
        let with = |weight: Weight| [weights, &[weight]].concat();
        match &expr.kind {
            ExprKind::Tuple(parts) if dests.len() > 1 && parts.len() == dests.len() => {
                for (part, dest) in parts.iter().zip(dests) {
                    self.sink(part, weights, std::slice::from_ref(dest));
                }
            }
            ExprKind::Reduce(node) if node.kind == ReduceKind::Sum => {
                match self.term(&node.attrs, expr.span) {
                    Some(projection) => {
                        self.sum_projected(node, weights, dests, expr.span, projection);
                    }
                    None => self.sum_into(node, weights, dests, expr.span),
                }
            }
            ExprKind::Reduce(node)
                if node.kind == ReduceKind::Map && dests.iter().all(|dest| !dest.dims().is_empty()) =>
            {
                if self.term(&node.attrs, expr.span).is_some() {
                    self.not_projected(expr.span, "this is an array");
                }
                let Some(extents) = self.map_extents(&node.binders) else { return };
                if self.extents_fit(&extents, dests, expr.span) {
                    self.map_into(node, weights, dests, expr.span);
                }
            }
            ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b)
                if self.sinkable(expr, CALL_DEPTH) =>
            {
                let (mut first, mut rest) = (a, vec![(*op, b)]);
                while let ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) = &first.kind
                    && self.sinkable(first, CALL_DEPTH)
                {
                    rest.push((*op, b));
                    first = a;
                }
                self.sink(first, weights, dests);
                for (op, term) in rest.into_iter().rev() {
                    if op == BinaryOp::Add {
                        self.sink(term, weights, dests);
                    } else {
                        self.sink(term, &with(Weight::Neg), dests);
                    }
                }
            }
            ExprKind::Unary(UnaryOp::Neg, a) if self.sinkable(expr, CALL_DEPTH) => {
                self.sink(a, &with(Weight::Neg), dests);
            }
            ExprKind::Binary(BinaryOp::Mul, a, b) if self.sinkable(expr, CALL_DEPTH) => {
                let (factor, rest) = if self.sinkable(b, CALL_DEPTH) { (a, b) } else { (b, a) };
                self.weigh(factor, rest, Weight::Mul, weights, dests, expr);
            }
            ExprKind::Binary(BinaryOp::Div, a, b) if self.sinkable(a, CALL_DEPTH) => {
                self.weigh(b, a, Weight::Div, weights, dests, expr);
            }
            ExprKind::If(node) if self.sinkable(expr, CALL_DEPTH) && node.otherwise.is_some() => {
                let Some(cond) = self.cond(&node.cond) else { return };
                let Some(otherwise) = &node.otherwise else { return };
                if let Some(Const::Bool(taken)) = self.b.func().as_const(cond) {
                    let block = if taken { &node.then } else { otherwise };
                    return self.inside(|lowerer| lowerer.sink_block(block, weights, dests));
                }
                self.b.begin_if(cond);
                self.guarded(|lowerer| {
                    lowerer.inside(|lowerer| lowerer.sink_block(&node.then, weights, dests));
                });
                self.b.begin_else(&[]);
                self.guarded(|lowerer| {
                    lowerer.inside(|lowerer| lowerer.sink_block(otherwise, weights, dests));
                });
                self.at(expr.span);
                self.b.end_if(&[]);
            }
            ExprKind::Call(name, args)
                if self.items.functions.contains_key(name.name.as_str())
                    && self.sinkable(expr, CALL_DEPTH) =>
            {
                self.sink_call(name, args, expr.span, weights, dests);
            }
            ExprKind::Name(name) => match self.peek_binding(name).cloned() {
                Some(Binding::Deferred { expr: deferred, visible }) => {
                    self.lookup(name);
                    self.seeing(visible, |lowerer| lowerer.sink(deferred, weights, dests));
                }
                Some(Binding::Acc(number)) if self.is_own(number, dests) => {
                    self.lookup(name);
                }
                _ => self.sink_value(expr, weights, dests),
            },
            ExprKind::Zeros(sizes) if self.zeros_fit(sizes, dests) => {}
            ExprKind::Vector(parts)
                if self.sinkable(expr, CALL_DEPTH) && Self::rows_fit(parts.len(), dests) =>
            {
                for (number, part) in parts.iter().enumerate() {
                    let index = self.b.int(number as i64);
                    let dest = self.fix(&dests[0], index);
                    self.sink(part, weights, &[dest]);
                }
            }
            _ => self.sink_value(expr, weights, dests),
        }
    }

    fn rows_fit(rows: usize, dests: &[View]) -> bool {
        matches!(dests, [dest] if dest.dims().first().and_then(SizeExpr::as_constant) == Some(rows as i64))
    }

    /// Adding these zeros changes nothing.
    fn zeros_fit(&mut self, sizes: &'a [Expr], dests: &[View]) -> bool {
        let sizes: Option<Vec<SizeExpr>> = sizes.iter().map(|size| self.try_size(size)).collect();
        sizes.is_some_and(|sizes| dests.iter().all(|dest| dest.dims() == sizes))
    }

    /// Is this accumulator the result itself?
    fn is_own(&self, number: usize, dests: &[View]) -> bool {
        let buffer = |view: &View| match view.elem {
            Elem::Scalar(buffer, _) | Elem::Complex(buffer) => Some(buffer),
            Elem::Record { .. } => None,
        };
        match (&self.accs[number].kind, dests) {
            (AccKind::Buffer { view, .. }, [dest]) => buffer(view).is_some() && buffer(view) == buffer(dest),
            _ => false,
        }
    }

    fn sink_value(&mut self, expr: &'a Expr, weights: &[Weight], dests: &[View]) {
        let val = self.expr(expr);
        self.at(expr.span);
        if let [dest] = dests {
            self.store(val, weights, dest, expr.span);
            return;
        }
        match val {
            Val::Tuple(parts) if parts.len() == dests.len() => {
                for (part, dest) in parts.into_iter().zip(dests) {
                    self.store(part, weights, dest, expr.span);
                }
            }
            Val::Error => {}
            other => {
                let (found, wanted) = (self.describe(&other), dests.len());
                let diagnostic = Diagnostic::error("type-mismatch", format!("a tuple of {wanted} is wanted here, found `{found}`"))
                    .label(expr.span, format!("this is `{found}`"))
                    .help("several results are given as a tuple in the order of their declaration: `(flow, balance)`");
                self.report(diagnostic);
            }
        }
    }

    /// `factor * rest` or `rest / factor`, where `rest` is sunk.
    fn weigh(
        &mut self,
        factor: &'a Expr,
        rest: &'a Expr,
        weight: fn(Value) -> Weight,
        weights: &[Weight],
        dests: &[View],
        whole: &'a Expr,
    ) {
        let val = self.expr(factor);
        let ty = dests.first().and_then(|dest| match dest.elem {
            Elem::Scalar(_, ty) => Some(ty),
            Elem::Complex(_) | Elem::Record { .. } => None,
        });
        if let (Val::Num(num), Some(ty)) = (self.force(val.clone()), ty)
            && let Some(num) = self.widened(num, ty)
            && !self.is_global(num.value)
        {
            self.sink(rest, &[weights, &[weight(num.value)]].concat(), dests);
        } else {
            // Vector, complex or mistyped factors: an ordinary product, with its ordinary messages. Nor is a factor sunk that
            // is itself a sum over unknowns: every addend would depend on all of them.
            self.sink_value(whole, weights, dests);
        }
    }

    /// The number as a float of that width, where it has it, is a literal, or is narrower.
    fn widened(&mut self, num: Num, ty: Ty) -> Option<Num> {
        match (num.ty, ty) {
            (Ty::F32, Ty::F64) => Some(Num { value: self.b.op(Op::Widen, &[num.value]), ty, literal: false }),
            _ => self.with_ty(num, ty).filter(|num| num.ty.is_float()),
        }
    }

    fn sum_into(&mut self, node: &'a Reduce, weights: &[Weight], dests: &[View], span: Span) {
        let nest = Nest::new(&node.binders.binders, node.binders.filter.as_ref(), &node.body, span);
        self.nest(&nest, &mut |lowerer, _, _| {
            lowerer.inside(|lowerer| lowerer.sink_block(&node.body, weights, dests));
            Vec::new()
        });
    }

    /// A sum into an energy whose iterations are marked: each is one value, whatever sums it is made of.
    fn sum_projected(
        &mut self,
        node: &'a Reduce,
        weights: &[Weight],
        dests: &[View],
        span: Span,
        projection: Projection,
    ) {
        let energy = match dests {
            [View { elem: Elem::Scalar(buffer, _), .. }] => {
                let data = &self.b.func().buffers[*buffer];
                data.role == Role::Output && data.dims.is_empty()
            }
            _ => false,
        };
        if !energy {
            self.not_projected(span, "this is added to an array");
            return;
        }
        let nest = Nest::new(&node.binders.binders, node.binders.filter.as_ref(), &node.body, span);
        self.nest(&nest, &mut |lowerer, _, _| {
            let val = lowerer.inside(|lowerer| lowerer.block(&node.body));
            let val = match lowerer.force(val) {
                Val::Num(num) if num.ty.is_float() => {
                    lowerer.at(span);
                    let value = lowerer.b.project(num.value, projection);
                    Val::Num(Num { value, ..num })
                }
                // Anything else is refused for its type.
                other => other,
            };
            lowerer.store(val, weights, &dests[0], span);
            Vec::new()
        });
    }

    fn extents_fit(&mut self, extents: &[SizeExpr], dests: &[View], span: Span) -> bool {
        for dest in dests {
            let dims = dest.dims();
            if dims.len() >= extents.len() && dims[..extents.len()] == *extents {
                continue;
            }
            let found: Vec<String> = extents.iter().map(|size| self.size_text(size)).collect();
            let wanted: Vec<String> = dims.iter().map(|size| self.size_text(size)).collect();
            let (found, wanted) = (found.join(", "), wanted.join(", "));
            let diagnostic = Diagnostic::error(
                "shape-mismatch",
                format!("this `map` makes rows for `[{found}]`, and `[{wanted}]` is wanted"),
            )
            .label(span, format!("one entry for each of `[{found}]`"))
            .help("the binders of a `map` give the leading axes of its array, in order");
            self.report(diagnostic);
            return false;
        }
        true
    }

    /// Opens the loops of a map and sinks its body at their positions.
    pub(super) fn map_into(&mut self, node: &'a Reduce, weights: &[Weight], dests: &[View], span: Span) {
        let nest = Nest { positions: true, ..Nest::new(&node.binders.binders, None, &node.body, span) };
        self.nest(&nest, &mut |lowerer, positions, _| {
            let parts: Vec<View> = dests
                .iter()
                .map(|dest| {
                    positions.iter().fold(dest.clone(), |part, &position| lowerer.fix(&part, position))
                })
                .collect();
            lowerer.inside(|lowerer| lowerer.sink_block(&node.body, weights, &parts));
            Vec::new()
        });
    }

    // ---- storing ----------------------------------------------------------------------------------------------------

    /// `dest += weights * val`
    pub(super) fn store(&mut self, val: Val, weights: &[Weight], dest: &View, span: Span) {
        if let Val::View(view) = &val
            && self.copy(view, weights, dest, span)
        {
            return;
        }
        let val = self.force(val);
        let dims = dest.dims();
        match (&val, &dest.elem) {
            (Val::Error, _) => {}
            (Val::Num(num), Elem::Scalar(buffer, ty)) if dims.is_empty() => match self.widened(*num, *ty) {
                Some(num) => {
                    let value = self.weighted(num.value, weights);
                    self.b.accum(*buffer, &fixed(dest), value);
                }
                None => self.no_fit(&val, dest, span),
            },
            (Val::Complex(re, im), Elem::Complex(buffer)) if dims.is_empty() => {
                for (part, value) in [(0, *re), (1, *im)] {
                    let value = self.weighted(value, weights);
                    let part = self.b.int(part);
                    let index = [fixed(dest), vec![part]].concat();
                    self.b.accum(*buffer, &index, value);
                }
            }
            (Val::Num(num), Elem::Complex(_)) if dims.is_empty() => match self.with_ty(*num, Ty::F64) {
                Some(num) => {
                    let zero = self.b.f64(0.0);
                    self.store(Val::Complex(num.value, zero), weights, dest, span);
                }
                None => self.no_fit(&val, dest, span),
            },
            (Val::Array(small), _)
                if dims.first().and_then(SizeExpr::as_constant) == Some(small.dims[0] as i64) =>
            {
                let rest = small.dims[1..].to_vec();
                let width = rest.iter().product::<usize>().max(1);
                for (number, chunk) in small.items.chunks(width).enumerate() {
                    let part = if rest.is_empty() {
                        chunk[0].clone()
                    } else {
                        Val::Array(Small { dims: rest.clone(), items: chunk.to_vec() })
                    };
                    let index = self.b.int(number as i64);
                    let place = self.fix(dest, index);
                    self.store(part, weights, &place, span);
                }
            }
            _ => self.no_fit(&val, dest, span),
        }
    }

    fn no_fit(&mut self, val: &Val, dest: &View, span: Span) {
        let (found, wanted) = (self.describe(val), self.describe(&Val::View(dest.clone())));
        let mut diagnostic =
            Diagnostic::error("type-mismatch", format!("`{wanted}` is wanted here, found `{found}`"))
                .label(span, format!("this is `{found}`"));
        diagnostic = match found.as_str() {
            "int" => diagnostic.help("integers become floats only by `f64(..)`"),
            _ => diagnostic.help(format!("give a `{wanted}`, or change the declared result")),
        };
        self.report(diagnostic);
    }

    fn weighted(&mut self, value: Value, weights: &[Weight]) -> Value {
        let mut value = value;
        for weight in weights.iter().rev() {
            value = match *weight {
                Weight::Mul(factor) => self.b.mul(factor, value),
                Weight::Div(divisor) => self.b.div(value, divisor),
                Weight::Neg => self.b.neg(value),
            };
        }
        value
    }

    /// Copies an array of symbolic length entry by entry; false where it is not one of the wanted shape.
    fn copy(&mut self, view: &View, weights: &[Weight], dest: &View, span: Span) -> bool {
        let dims = view.dims();
        let symbolic = dims.first().is_some_and(|dim| dim.as_constant().is_none_or(|n| n > 64));
        if !symbolic || dims != dest.dims() {
            return false;
        }
        let (lo, hi) = (self.b.int(0), self.b.size(&dims[0]));
        self.at(span);
        let (iv, _) = self.b.begin_loop(lo, hi, 1, &[]);
        let (from, to) = (self.fix(view, iv), self.fix(dest, iv));
        self.store(Val::View(from), weights, &to, span);
        self.b.end_loop(&[]);
        true
    }
}

/// The subscripts of a view whose axes are all subscripted.
fn fixed(view: &View) -> Vec<Value> {
    let value = |axis: &Axis| match axis {
        Axis::Fixed(value) => Some(*value),
        Axis::Free { .. } => None,
    };
    view.axes.iter().filter_map(value).collect()
}
