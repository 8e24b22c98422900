//! Loops over binders, and the reductions made of them: `sum`, `prod`, `min`, `max`, `map`.
//!
//! A loop over a short literal range stays a loop unless its variable subscripts values in registers: then it is unrolled.

use super::value::{Elem, Num, Small, Val, View};
use super::{Binding, LoopBounds, Lowerer, NameKind, query};
use crate::diag::Diagnostic;
use crate::frontend::ast::{
    Attr, AttrArg, Binder, BinderPat, Binders, Block, Expr, ExprKind, Pat, Reduce, ReduceKind, StmtKind,
};
use crate::frontend::builtin;
use crate::frontend::program::{Project, Term};
use crate::func::{Buffer, BufferData, Carry, Const, Entries, Plane, Role, Value};
use crate::op::Op;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};
use std::collections::BTreeSet;

/// Longest range that is unrolled.
const MAX_UNROLL: i64 = 64;

/// How the values of iterations combine.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct CarrySpec {
    pub(super) carry: Carry,
    pub(super) ty: Ty,
}

/// The body of a loop nest: gets the position along each binder (from 0) and the states, gives one value per carry.
pub(super) type Body<'b, 'a> = &'b mut dyn FnMut(&mut Lowerer<'a>, &[Value], &[Value]) -> Vec<Value>;

/// A loop nest about to be built.
pub(super) struct Nest<'a> {
    pub(super) binders: &'a [Binder],
    pub(super) filter: Option<&'a Expr>,
    /// What may subscript with the loop variables: decides unrolling.
    pub(super) block: &'a Block,
    pub(super) carries: Vec<CarrySpec>,
    /// Unroll whatever the body needs (its values go into registers).
    pub(super) unroll: bool,
    /// Does the body use the positions along the binders?
    pub(super) positions: bool,
}

/// What a binder ranges over.
enum Over {
    Range { lo: Value, hi: Value, step: i64 },
    View(View),
    Small(Small),
}

impl<'a> Lowerer<'a> {
    /// Builds the loops of a nest around `body`.
    pub(super) fn nest(&mut self, nest: &Nest<'a>, body: Body<'_, 'a>) -> Vec<Value> {
        self.scoped(|lowerer| lowerer.nest_below(nest, 0, &mut Vec::new(), &[], body))
    }

    fn nest_below(
        &mut self,
        nest: &Nest<'a>,
        at: usize,
        positions: &mut Vec<Value>,
        states: &[Value],
        body: Body<'_, 'a>,
    ) -> Vec<Value> {
        let Some(binder) = nest.binders.get(at) else { return self.filtered(nest, positions, states, body) };
        let Some(over) = self.over(binder) else {
            self.bind_broken(binder);
            let zero = self.b.int(0);
            positions.push(zero);
            self.nest_below(nest, at + 1, positions, states, body);
            positions.pop();
            return self.neutrals(&nest.carries);
        };
        match over {
            Over::Range { lo, hi, step } => {
                let literal = self.b.func().as_int(lo).zip(self.b.func().as_int(hi));
                let trips = literal.map(|(lo, hi)| hi.saturating_sub(lo).saturating_add(step - 1) / step);
                let unroll = trips.is_some_and(|trips| trips <= MAX_UNROLL) && (nest.unroll || self.must_unroll(nest, binder));
                match literal.filter(|_| unroll) {
                    Some((lo, hi)) => {
                        let indices = (lo..hi).step_by(usize::try_from(step).unwrap_or(1)).map(Item::Index).collect();
                        self.unroll(nest, at, indices, positions, states, body)
                    }
                    None => self.range_loop(nest, at, (lo, hi, step), positions, states, body),
                }
            }
            Over::View(view) => {
                let length = view.dims()[0].clone();
                match length.as_constant().filter(|&n| n <= MAX_UNROLL && (nest.unroll || self.must_unroll(nest, binder))) {
                    Some(n) => {
                        let mut items = Vec::new();
                        for index in 0..n {
                            let index = self.b.int(index);
                            items.push(Item::Entry(self.fix(&view, index)));
                        }
                        self.unroll(nest, at, items, positions, states, body)
                    }
                    None => self.view_loop(nest, at, &view, &length, positions, states, body),
                }
            }
            Over::Small(small) => {
                let rest = small.dims[1..].to_vec();
                let width = rest.iter().product::<usize>().max(1);
                let items = small.items.chunks(width).map(|chunk| match rest.is_empty() {
                    true => Item::Value(chunk[0].clone()),
                    false => Item::Value(Val::Array(Small { dims: rest.clone(), items: chunk.to_vec() })),
                });
                self.unroll(nest, at, items.collect(), positions, states, body)
            }
        }
    }

    fn filtered(&mut self, nest: &Nest<'a>, positions: &[Value], states: &[Value], body: Body<'_, 'a>) -> Vec<Value> {
        let Some(filter) = nest.filter else { return body(self, positions, states) };
        let Some(cond) = self.cond(filter) else {
            body(self, positions, states);
            return self.neutrals(&nest.carries);
        };
        match self.b.func().as_const(cond) {
            Some(Const::Bool(true)) => return body(self, positions, states),
            Some(Const::Bool(false)) => return self.neutrals(&nest.carries),
            _ => {}
        }
        self.b.begin_if(cond);
        let yields = self.guarded(|lowerer| lowerer.scoped(|lowerer| body(lowerer, positions, states)));
        self.b.begin_else(&yields);
        let neutrals = self.neutrals(&nest.carries);
        self.b.end_if(&neutrals)
    }

    /// The values that change nothing.
    pub(super) fn neutrals(&mut self, carries: &[CarrySpec]) -> Vec<Value> {
        let neutral = |lowerer: &mut Self, spec: &CarrySpec| match (spec.carry, spec.ty) {
            (Carry::State(init), _) => init,
            (Carry::Sum, ty) => lowerer.zero(ty),
            (Carry::Prod, Ty::Int) => lowerer.b.int(1),
            (Carry::Prod, ty) => lowerer.b.float(ty, 1.0),
            (Carry::Min, Ty::Int) => lowerer.b.int(i64::MAX),
            (Carry::Max, Ty::Int) => lowerer.b.int(i64::MIN),
            (Carry::Min, ty) => lowerer.b.float(ty, f64::INFINITY),
            (Carry::Max, ty) => lowerer.b.float(ty, f64::NEG_INFINITY),
        };
        carries.iter().map(|spec| neutral(self, spec)).collect()
    }

    fn combine(&mut self, spec: CarrySpec, sum: Value, value: Value) -> Value {
        let int = spec.ty == Ty::Int;
        let op = match spec.carry {
            Carry::State(_) => return value,
            Carry::Sum => if int { Op::IntAdd } else { Op::Add },
            Carry::Prod => if int { Op::IntMul } else { Op::Mul },
            Carry::Min => if int { Op::IntMin } else { Op::Min },
            Carry::Max => if int { Op::IntMax } else { Op::Max },
        };
        self.b.op(op, &[sum, value])
    }

    // ---- binders ------------------------------------------------------------------------------------------------

    fn over(&mut self, binder: &'a Binder) -> Option<Over> {
        let step = match &binder.step {
            None => 1,
            Some(step) => {
                let known = self.try_size(step).and_then(|size| size.as_constant()).filter(|&n| n > 0);
                if known.is_none() {
                    let diagnostic = Diagnostic::error("bad-step", "a step is a positive integer literal")
                        .label(step.span, "not a positive literal")
                        .help("write `i in 0..N step 3`; to run backwards, use `N - 1 - i` inside");
                    self.report(diagnostic);
                }
                known?
            }
        };
        if let ExprKind::Range(lo, hi) = &binder.over.kind {
            let (lo, hi) = (self.int(lo, "the start of a range"), self.int(hi, "the end of a range"));
            if let BinderPat::Row(_, span) = &binder.pat {
                let diagnostic = Diagnostic::error("bad-binder", "a range gives one number, not a row")
                    .label(*span, "several names")
                    .help("write `i in a..b`; rows come from arrays: `[i, j] in edges`");
                self.report(diagnostic);
                return None;
            }
            return Some(Over::Range { lo: lo?, hi: hi?, step });
        }
        let val = self.expr(&binder.over);
        let found = self.describe(&val);
        let text = Self::text(&binder.over);
        match val {
            Val::Error => None,
            Val::View(view) if !view.dims().is_empty() && binder.step.is_none() => Some(Over::View(view)),
            Val::Array(small) if binder.step.is_none() => Some(Over::Small(small)),
            Val::View(_) | Val::Array(_) if binder.step.is_some() => {
                let diagnostic = Diagnostic::error("bad-step", "only ranges have a step")
                    .label(binder.span, "a step over an array")
                    .help(format!("loop over numbers: `i in 0..len({text}) step 2`"));
                self.report(diagnostic);
                None
            }
            _ => {
                let mut diagnostic = Diagnostic::error("bad-binder", format!("a loop runs over a range or an array, not over `{found}`"))
                    .label(binder.over.span, format!("this is `{found}`"));
                diagnostic = if found == "int" {
                    diagnostic.help(format!("write `0..{text}`")).patch(binder.over.span, format!("0..{text}"))
                } else {
                    diagnostic.help("write `i in 0..N`, or `e: [i, j] in edges`")
                };
                self.report(diagnostic);
                None
            }
        }
    }

    /// Binds the names of a binder that was refused, so that its body is still checked.
    fn bind_broken(&mut self, binder: &'a Binder) {
        let names: Vec<_> = match &binder.pat {
            BinderPat::Name(name) => vec![name],
            BinderPat::Row(names, _) => names.iter().collect(),
        };
        for name in names.into_iter().chain(&binder.number) {
            self.bind(name, Binding::Val(Val::Error), NameKind::LoopVar);
        }
    }

    fn int_val(value: Value) -> Val {
        Val::Num(Num { value, ty: Ty::Int, literal: false })
    }

    fn range_loop(
        &mut self,
        nest: &Nest<'a>,
        at: usize,
        (lo, hi, step): (Value, Value, i64),
        positions: &mut Vec<Value>,
        states: &[Value],
        body: Body<'_, 'a>,
    ) -> Vec<Value> {
        let binder = &nest.binders[at];
        let (first, end) = (self.affine(lo), self.affine(hi));
        let over = end.as_size().filter(|_| self.b.func().as_int(lo) == Some(0) && step == 1);
        let ragged = first.as_size().is_none() || end.as_size().is_none();
        let last = end.minus_one();
        let (name, span) = (binder_name(binder), binder.span);
        let carries = self.open_carries(nest, states);
        let (iv, states) = self.b.begin_loop(lo, hi, step, &carries);
        self.loops.insert(iv, LoopBounds { name, lo: Some(first), hi: last.filter(|_| step == 1), over, span });
        let mark = self.env.len();
        if let BinderPat::Name(name) = &binder.pat {
            self.bind(name, Binding::Val(Self::int_val(iv)), NameKind::LoopVar);
        }
        let mut position = iv;
        if nest.positions || binder.number.is_some() {
            position = self.int_op(Op::IntSub, iv, lo);
            if step != 1 {
                let step = self.b.int(step);
                position = self.b.op(Op::IntDiv, &[position, step]);
            }
        }
        if let Some(number) = &binder.number {
            self.bind(number, Binding::Val(Self::int_val(position)), NameKind::LoopVar);
        }
        positions.push(position);
        // Whether a ragged loop runs at all is not known: subscripts of outer variables are not refused inside.
        self.guards += usize::from(ragged);
        let yields = self.nest_below(nest, at + 1, positions, &states, body);
        self.guards -= usize::from(ragged);
        positions.pop();
        self.env.truncate(mark);
        self.at(span);
        self.b.end_loop(&yields)
    }

    fn open_carries(&self, nest: &Nest<'a>, states: &[Value]) -> Vec<Carry> {
        let mut states = states.iter();
        let carry = |spec: &CarrySpec| match spec.carry {
            Carry::State(init) => Carry::State(states.next().copied().unwrap_or(init)),
            other => other,
        };
        nest.carries.iter().map(carry).collect()
    }

    #[allow(clippy::too_many_arguments, reason = "the nest and where in it we are")]
    fn view_loop(
        &mut self,
        nest: &Nest<'a>,
        at: usize,
        view: &View,
        length: &SizeExpr,
        positions: &mut Vec<Value>,
        states: &[Value],
        body: Body<'_, 'a>,
    ) -> Vec<Value> {
        let binder = &nest.binders[at];
        let (zero, hi) = (self.b.int(0), self.b.size(length));
        let (first, end) = (self.affine(zero), self.affine(hi));
        let last = end.minus_one();
        let name = binder.number.as_ref().map_or_else(|| binder_name(binder), |number| number.name.clone());
        let carries = self.open_carries(nest, states);
        let (iv, states) = self.b.begin_loop(zero, hi, 1, &carries);
        let bounds = LoopBounds { name, lo: Some(first), hi: last, over: Some(length.clone()), span: binder.span };
        self.loops.insert(iv, bounds);
        let mark = self.env.len();
        if let Some(number) = &binder.number {
            self.bind(number, Binding::Val(Self::int_val(iv)), NameKind::LoopVar);
        }
        let entry = self.fix(view, iv);
        self.bind_entry(binder, Val::View(entry));
        positions.push(iv);
        let yields = self.nest_below(nest, at + 1, positions, &states, body);
        positions.pop();
        self.env.truncate(mark);
        self.at(binder.span);
        self.b.end_loop(&yields)
    }

    fn unroll(
        &mut self,
        nest: &Nest<'a>,
        at: usize,
        items: Vec<Item>,
        positions: &mut Vec<Value>,
        states: &[Value],
        body: Body<'_, 'a>,
    ) -> Vec<Value> {
        let binder = &nest.binders[at];
        let mut results: Option<Vec<Value>> = None;
        for (number, item) in items.into_iter().enumerate() {
            if self.fuel == 0 || (self.rehearsing && number > 0) {
                break;
            }
            let mark = self.env.len();
            let position = self.b.int(number as i64);
            if let Some(name) = &binder.number {
                self.bind(name, Binding::Val(Self::int_val(position)), NameKind::LoopVar);
            }
            match item {
                Item::Index(n) => {
                    let value = self.b.int(n);
                    if let BinderPat::Name(name) = &binder.pat {
                        self.bind(name, Binding::Val(Self::int_val(value)), NameKind::LoopVar);
                    }
                }
                Item::Entry(view) => self.bind_entry(binder, Val::View(view)),
                Item::Value(val) => self.bind_entry(binder, val),
            }
            positions.push(position);
            let before = results.clone().unwrap_or_else(|| states.to_vec());
            let stateful = nest.carries.iter().any(|spec| matches!(spec.carry, Carry::State(_)));
            let yields = self.nest_below(nest, at + 1, positions, if stateful { &before } else { &[] }, body);
            positions.pop();
            self.env.truncate(mark);
            results = Some(match results {
                None => yields,
                Some(sums) => {
                    let triples = nest.carries.iter().zip(sums.iter().zip(&yields));
                    triples.map(|(&spec, (&sum, &value))| self.combine(spec, sum, value)).collect()
                }
            });
        }
        match results {
            Some(results) => results,
            None if states.is_empty() => self.neutrals(&nest.carries),
            None => states.to_vec(),
        }
    }

    /// Binds what one iteration over an array sees.
    fn bind_entry(&mut self, binder: &'a Binder, entry: Val) {
        match &binder.pat {
            BinderPat::Name(name) => {
                let entry = self.settle(entry);
                self.bind(name, Binding::Val(entry), NameKind::LoopVar);
            }
            BinderPat::Row(names, span) => {
                let parts = self.parts(entry, names.len(), *span);
                for (number, name) in names.iter().enumerate() {
                    let part = parts.as_ref().map_or(Val::Error, |parts| parts[number].clone());
                    self.bind(name, Binding::Val(part), NameKind::LoopVar);
                }
            }
        }
    }

    // ---- unrolling ------------------------------------------------------------------------------------------------

    /// Does the body subscript values in registers with this loop variable?
    fn must_unroll(&self, nest: &Nest<'a>, binder: &'a Binder) -> bool {
        let mut tainted: BTreeSet<&str> = BTreeSet::new();
        if let (BinderPat::Name(name), ExprKind::Range(..)) = (&binder.pat, &binder.over.kind) {
            tainted.insert(&name.name);
        }
        tainted.extend(binder.number.as_ref().map(|number| number.name.as_str()));
        let mut bound = BTreeSet::new();
        taint(nest.block, &mut tainted, &mut bound);
        let touches = |expr: &Expr| tainted.iter().any(|name| query::mentions(expr, name));
        let mut found = false;
        let mut visit = |expr: &'a Expr, _: bool| {
            found |= match &expr.kind {
                ExprKind::Index(base, subs) if subs.iter().any(&touches) => match query::root_name(base) {
                    Some(root) => bound.contains(root) || !self.is_in_memory(root),
                    None => true,
                },
                ExprKind::Call(name, args) => {
                    !builtin::is_builtin(&name.name) && args.iter().any(&touches)
                }
                _ => false,
            };
        };
        query::walk_block(nest.block, &mut visit);
        for binder in nest.binders {
            query::walk_expr(&binder.over, &mut visit);
        }
        if let Some(filter) = nest.filter {
            query::walk_expr(filter, &mut visit);
        }
        found
    }

    /// Does the name stand for an array in a buffer, which any integer may subscript?
    fn is_in_memory(&self, name: &str) -> bool {
        match self.peek_binding(name) {
            Some(Binding::Val(val)) => matches!(val, Val::View(_) | Val::Error),
            Some(Binding::Acc(_)) => !self.is_small_acc(name),
            Some(Binding::Size(_) | Binding::Deferred { .. }) | None => true,
        }
    }

    // ---- reductions ------------------------------------------------------------------------------------------------

    /// A reduction as a value.
    pub(super) fn reduce(&mut self, node: &'a Reduce, span: Span) -> Val {
        self.term(&node.attrs, span);
        let carry = match node.kind {
            ReduceKind::Map => return self.map(node, span),
            ReduceKind::Sum => Carry::Sum,
            ReduceKind::Prod => Carry::Prod,
            ReduceKind::Min => Carry::Min,
            ReduceKind::Max => Carry::Max,
        };
        let model = match self.sure_model(node) {
            Some(model) => model,
            None => self.rehearse(|lowerer| lowerer.body_model(node)),
        };
        if matches!(model, Val::Error) || !self.reducible_model(&model, carry, node, span) {
            return Val::Error;
        }
        if self.rehearsing {
            let zeros: Vec<Value> = self.flatten(&model).iter().map(|_| self.b.f64(0.0)).collect();
            let zeros = self.retype(&model, zeros);
            return self.unflatten(&model, &mut zeros.into_iter());
        }
        let types = self.model_types(&model);
        let carries: Vec<CarrySpec> = types.iter().map(|&ty| CarrySpec { carry, ty }).collect();
        let nest = Nest {
            binders: &node.binders.binders,
            filter: node.binders.filter.as_ref(),
            block: &node.body,
            carries,
            unroll: false,
            positions: false,
        };
        let results = self.nest(&nest, &mut |lowerer, _, _| {
            let val = lowerer.inside(|lowerer| lowerer.block(&node.body));
            let val = lowerer.force(val);
            let val = lowerer.try_meet(&val, &model).unwrap_or(Val::Error);
            let yields = lowerer.flatten(&val);
            if yields.len() == types.len() { yields } else { types.iter().map(|&ty| lowerer.zero(ty)).collect() }
        });
        self.unflatten(&model, &mut results.into_iter())
    }

    /// A body whose last operation leaves no doubt that it is one float needs no rehearsal.
    fn sure_model(&mut self, node: &'a Reduce) -> Option<Val> {
        let value = node.body.value.as_deref()?;
        if self.single || self.rehearsing || !surely_float(value) {
            return None;
        }
        let value = self.b.f64(0.0);
        Some(Val::Num(Num { value, ty: Ty::F64, literal: false }))
    }

    /// The shape of one iteration, found by building one.
    fn body_model(&mut self, node: &'a Reduce) -> Val {
        let mut model = None;
        let nest = Nest {
            binders: &node.binders.binders,
            filter: node.binders.filter.as_ref(),
            block: &node.body,
            carries: Vec::new(),
            unroll: false,
            positions: false,
        };
        self.nest(&nest, &mut |lowerer, _, _| {
            let val = lowerer.inside(|lowerer| lowerer.block(&node.body));
            model = Some(if node.kind == ReduceKind::Map { val } else { lowerer.force(val) });
            Vec::new()
        });
        // A literal range without iterations: an empty sum.
        model.unwrap_or_else(|| {
            let value = self.b.f64(0.0);
            Val::Num(Num { value, ty: Ty::F64, literal: false })
        })
    }

    fn reducible_model(&mut self, model: &Val, carry: Carry, node: &Reduce, span: Span) -> bool {
        let fits = match (model, carry) {
            (Val::Num(num), _) => num.ty != Ty::Bool,
            (Val::Complex(..) | Val::Array(_) | Val::Tuple(_), Carry::Sum) => !Self::is_loose(model),
            _ => false,
        };
        if !fits {
            let (kind, found) = (node.kind.text(), self.describe(model));
            let at = node.body.value.as_ref().map_or(span, |value| value.span);
            let mut diagnostic = Diagnostic::error("type-mismatch", format!("`{kind}` does not take `{found}`"))
                .label(at, format!("this is `{found}`"));
            diagnostic = match (model, carry) {
                (Val::View(_), _) => diagnostic.help("arrays of symbolic length are summed into an accumulator: `let mut s = zeros[N];` and `for`"),
                (_, Carry::Sum) => diagnostic.help("`sum` adds numbers, vectors, matrices; to count write `if c { 1.0 } else { 0.0 }`"),
                _ => diagnostic.help(format!("`{kind}` takes one number an iteration")),
            };
            self.report(diagnostic);
        }
        fits
    }

    /// The types of the scalars of a value.
    pub(super) fn model_types(&self, model: &Val) -> Vec<Ty> {
        match model {
            Val::Num(num) => vec![num.ty],
            Val::Complex(..) => vec![Ty::F64; 2],
            Val::Array(Small { items: parts, .. }) | Val::Tuple(parts) => {
                parts.iter().flat_map(|part| self.model_types(part)).collect()
            }
            Val::View(_) | Val::Error => Vec::new(),
        }
    }

    fn retype(&mut self, model: &Val, values: Vec<Value>) -> Vec<Value> {
        let types = self.model_types(model);
        values.iter().zip(types).map(|(_, ty)| self.zero(ty)).collect()
    }

    // ---- map ------------------------------------------------------------------------------------------------------

    /// `map` as a value: in registers if it is short, else in a buffer.
    fn map(&mut self, node: &'a Reduce, span: Span) -> Val {
        let Some(extents) = self.map_extents(&node.binders) else { return Val::Error };
        let literal: Option<Vec<usize>> =
            extents.iter().map(|size| size.as_constant().and_then(|n| usize::try_from(n).ok())).collect();
        let short = literal.filter(|dims| dims.iter().all(|&n| (n as i64) <= MAX_UNROLL));
        let model = self.rehearse(|lowerer| lowerer.body_model(node));
        if matches!(model, Val::Error) {
            return Val::Error;
        }
        let scalars = self.model_types(&model).len();
        if let Some(dims) = short
            && dims.iter().try_fold(scalars, |all, &n| all.checked_mul(n)).is_some_and(|n| n > 0 && n <= super::value::MAX_SMALL)
            && !matches!(model, Val::View(_) | Val::Tuple(_))
        {
            return self.small_map(node, dims, &model);
        }
        let Some((val, dests)) = self.new_arrays(&extents, &model, node, span) else { return Val::Error };
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
            Nest { binders: &node.binders.binders, filter: None, block: &node.body, carries: Vec::new(), unroll: true, positions: false };
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
            let diagnostic = Diagnostic::error("map-filter", "a `map` has a value at every index and takes no filter")
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
            let length = length.as_constant().zip(step).map(|(n, step)| SizeExpr::constant((n + step - 1).div_euclid(step).max(0)));
            if length.is_none() {
                let diagnostic = Diagnostic::error("not-affine-size", "the length of this `map` is not affine in the sizes")
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
    fn new_arrays(&mut self, extents: &[SizeExpr], model: &Val, node: &Reduce, span: Span) -> Option<(Val, Vec<View>)> {
        if let Val::Tuple(parts) = model {
            let mut views = Vec::new();
            for part in parts {
                let (_, mut dests) = self.new_arrays(extents, part, node, span)?;
                views.append(&mut dests);
            }
            return Some((Val::Tuple(views.iter().cloned().map(Val::View).collect()), views));
        }
        let Some(view) = self.new_array("map", extents, model, span) else {
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
    pub(super) fn new_array(&mut self, stem: &str, extents: &[SizeExpr], model: &Val, span: Span) -> Option<View> {
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
    pub(super) fn scratch(&mut self, stem: &str, dims: &[SizeExpr], elem: Ty, complex: bool, span: Span) -> View {
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

    // ---- attributes of terms ----------------------------------------------------------------------------------------

    /// Notes the attributes of a reduction.
    pub(super) fn term(&mut self, attrs: &'a [Attr], span: Span) {
        let mut term = Term { span, project: None, name: None };
        for attr in attrs {
            match (attr.name.name.as_str(), attr.args.as_slice()) {
                ("project", []) => term.project = Some(Project::Clamp),
                ("project", [AttrArg::Word(word, _)]) if word.name == "abs" => term.project = Some(Project::Abs),
                ("project", [AttrArg::Word(word, _)]) if word.name == "clamp" => term.project = Some(Project::Clamp),
                ("name", [AttrArg::Text(text, _)]) => term.name = Some(text.clone()),
                _ => {
                    self.unknown_attr(attr, &["project", "name"], "`#[project]`, `#[project(abs)]` and `#[name(\"..\")]` stand before a `sum`");
                }
            }
        }
        if !attrs.is_empty() && !self.terms.contains(&term) {
            self.terms.push(term);
        }
    }
}

/// What one unrolled iteration binds.
enum Item {
    Index(i64),
    Entry(View),
    Value(Val),
}

fn binder_name(binder: &Binder) -> String {
    match &binder.pat {
        BinderPat::Name(name) => name.name.clone(),
        BinderPat::Row(names, _) => {
            let names: Vec<&str> = names.iter().map(|name| name.name.as_str()).collect();
            format!("[{}]", names.join(", "))
        }
    }
}

/// Adds the names that depend on tainted ones, and collects all names that the block binds.
fn taint<'a>(block: &'a Block, tainted: &mut BTreeSet<&'a str>, bound: &mut BTreeSet<&'a str>) {
    let mut blocks = vec![block];
    while let Some(block) = blocks.pop() {
        for stmt in &block.stmts {
            match &stmt.kind {
                StmtKind::Let { pat, value, mutable, .. } => {
                    let depends = tainted.iter().any(|name| query::mentions(value, name));
                    let mut pats = vec![pat];
                    while let Some(pat) = pats.pop() {
                        match pat {
                            Pat::Name(name) => {
                                bound.insert(&name.name);
                                if depends && !mutable {
                                    tainted.insert(&name.name);
                                }
                            }
                            Pat::Vector(parts, _) | Pat::Tuple(parts, _) => pats.extend(parts),
                        }
                    }
                }
                StmtKind::For { body, .. } => blocks.push(body),
                StmtKind::Accum { .. } => {}
            }
        }
    }
}

/// Is the value one `f64` whatever the names in it are?
fn surely_float(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Float(_) => true,
        ExprKind::Call(name, _) => {
            let float = !matches!(name.name.as_str(), "min" | "max" | "clamp" | "len" | "int" | "f32");
            float && builtin::gives_scalar(&name.name)
        }
        ExprKind::Binary(op, a, b) => {
            use crate::frontend::ast::BinaryOp::{Add, Div, Mul, Pow, Sub};
            match op {
                Add | Sub => surely_float(a) || surely_float(b),
                Mul => surely_float(a) && surely_float(b),
                Div | Pow => surely_float(a),
                _ => false,
            }
        }
        ExprKind::Unary(crate::frontend::ast::UnaryOp::Neg, a) => surely_float(a),
        _ => false,
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
