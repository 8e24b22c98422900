//! Loop nests: from binders to loops, with the values they carry.
//!
//! A loop over a short literal range stays a loop unless its variable subscripts values in registers ([`super::unroll`]).

use super::value::{Num, Small, Val, View};
use super::{Binding, LoopBounds, Lowerer, NameKind};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Binder, BinderPat, Block, Expr, ExprKind};
use crate::func::{Carry, Const, Value};
use crate::op::Op;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// Longest range that is unrolled.
pub(super) const MAX_UNROLL: i64 = 64;

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
    /// The whole expression or statement.
    pub(super) span: Span,
}

impl<'a> Nest<'a> {
    /// Loops without carries, run for their effects.
    pub(super) fn new(binders: &'a [Binder], filter: Option<&'a Expr>, block: &'a Block, span: Span) -> Self {
        Self { binders, filter, block, carries: Vec::new(), unroll: false, positions: false, span }
    }

    /// Where the loop of a binder says it is: the outermost one stands for the whole.
    fn span_at(&self, at: usize) -> Span {
        if at == 0 { self.span } else { self.binders[at].span }
    }
}

/// What a binder ranges over.
pub(super) enum Over {
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
                let unroll = trips.is_some_and(|trips| trips <= MAX_UNROLL)
                    && (nest.unroll || self.must_unroll(nest, binder));
                match literal.filter(|_| unroll) {
                    Some((lo, hi)) => {
                        let indices =
                            (lo..hi).step_by(usize::try_from(step).unwrap_or(1)).map(Item::Index).collect();
                        self.unroll(nest, at, indices, positions, states, body)
                    }
                    None => self.range_loop(nest, at, (lo, hi, step), positions, states, body),
                }
            }
            Over::View(view) => {
                let length = view.dims()[0].clone();
                match length
                    .as_constant()
                    .filter(|&n| n <= MAX_UNROLL && (nest.unroll || self.must_unroll(nest, binder)))
                {
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
                let items = small.items.chunks(width).map(|chunk| {
                    if rest.is_empty() {
                        Item::Value(chunk[0].clone())
                    } else {
                        Item::Value(Val::Array(Small { dims: rest.clone(), items: chunk.to_vec() }))
                    }
                });
                self.unroll(nest, at, items.collect(), positions, states, body)
            }
        }
    }

    fn filtered(
        &mut self,
        nest: &Nest<'a>,
        positions: &[Value],
        states: &[Value],
        body: Body<'_, 'a>,
    ) -> Vec<Value> {
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
        self.b.end_if(&neutrals).into_vec()
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
            Carry::Sum => {
                if int {
                    Op::IntAdd
                } else {
                    Op::Add
                }
            }
            Carry::Prod => {
                if int {
                    Op::IntMul
                } else {
                    Op::Mul
                }
            }
            Carry::Min => {
                if int {
                    Op::IntMin
                } else {
                    Op::Min
                }
            }
            Carry::Max => {
                if int {
                    Op::IntMax
                } else {
                    Op::Max
                }
            }
        };
        self.b.op(op, &[sum, value])
    }

    // ---- binders ------------------------------------------------------------------------------------------------

    pub(super) fn over(&mut self, binder: &'a Binder) -> Option<Over> {
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
                let mut diagnostic = Diagnostic::error(
                    "bad-binder",
                    format!("a loop runs over a range or an array, not over `{found}`"),
                )
                .label(binder.over.span, format!("this is `{found}`"));
                diagnostic = if found == "int" {
                    diagnostic
                        .help(format!("write `0..{text}`"))
                        .patch(binder.over.span, format!("0..{text}"))
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
        let carries = Self::open_carries(nest, states);
        let (iv, states) = self.b.begin_loop(lo, hi, step, &carries);
        self.loops
            .insert(iv, LoopBounds { name, lo: Some(first), hi: last.filter(|_| step == 1), over, span });
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
        self.at(nest.span_at(at));
        self.b.end_loop(&yields).into_vec()
    }

    fn open_carries(nest: &Nest<'a>, states: &[Value]) -> Vec<Carry> {
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
        let carries = Self::open_carries(nest, states);
        let (iv, states) = self.b.begin_loop(zero, hi, 1, &carries);
        let bounds =
            LoopBounds { name, lo: Some(first), hi: last, over: Some(length.clone()), span: binder.span };
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
        self.at(nest.span_at(at));
        self.b.end_loop(&yields).into_vec()
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
