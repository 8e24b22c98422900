//! Expressions: literals, names, operators, conditions.

use super::value::{Num, Small, Val};
use super::{AccKind, Binding, Lowerer, MAX_DEPTH, query};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Block, Expr, ExprKind, IfExpr, UnaryOp};
use crate::frontend::builtin;
use crate::frontend::parser::conditional_accumulation;
use crate::frontend::pretty::print_expr;
use crate::frontend::suggest::nearest;
use crate::func::{Const, Value};
use crate::op::Op;
use crate::span::Span;
use crate::types::Ty;

impl<'a> Lowerer<'a> {
    /// What an expression stands for.
    pub(super) fn expr(&mut self, expr: &'a Expr) -> Val {
        if self.depth >= MAX_DEPTH {
            let diagnostic = Diagnostic::error("too-deep", "calls and expressions are nested too deeply")
                .label(expr.span, "the limit is reached here")
                .help("give a name to a part of it with `let`");
            return self.report(diagnostic);
        }
        if !self.spend(expr.span) {
            return Val::Error;
        }
        self.depth += 1;
        let outer = self.b.span();
        self.at(expr.span);
        let val = self.expr_kind(expr);
        self.b.set_span(outer);
        self.depth -= 1;
        val
    }

    fn expr_kind(&mut self, expr: &'a Expr) -> Val {
        match &expr.kind {
            ExprKind::Int(n) => {
                let value = self.b.int(*n);
                Val::Num(Num { value, ty: Ty::Int, literal: true })
            }
            ExprKind::Float(x) => self.float_literal(*x),
            ExprKind::Bool(c) => {
                let value = self.b.bool(*c);
                Val::Num(Num { value, ty: Ty::Bool, literal: true })
            }
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Unary(op, a) => self.unary(*op, a, expr.span),
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => self.logical(*op, a, b),
            ExprKind::Binary(..) => self.chain(expr),
            ExprKind::Range(..) => {
                let diagnostic = Diagnostic::error("misplaced-range", "a range is not a value")
                    .label(expr.span, "ranges stand in loops, `i in 0..N`, and in slices, `v[0..2]`")
                    .help("loop over it");
                self.report(diagnostic)
            }
            ExprKind::Index(base, subs) => self.index(base, subs, expr.span),
            ExprKind::Field(base, field) => self.field(base, field),
            ExprKind::Call(name, args) => self.call(name, args, expr.span),
            ExprKind::Vector(parts) => self.vector(parts, expr.span),
            ExprKind::Tuple(parts) => Val::Tuple(parts.iter().map(|part| self.expr(part)).collect()),
            ExprKind::If(node) => self.if_expr(node, expr.span),
            ExprKind::Reduce(node) => self.reduce(node, expr.span),
            ExprKind::Fold(node) => self.fold(node, expr.span),
            ExprKind::Zeros(dims) => self.zeros(dims, expr.span),
            ExprKind::Error => Val::Error,
        }
    }

    /// A chain of operators, from its first operand to the right.
    fn chain(&mut self, expr: &'a Expr) -> Val {
        let (mut first, mut steps) = (expr, Vec::new());
        while let ExprKind::Binary(op, a, b) = &first.kind {
            if matches!(op, BinaryOp::And | BinaryOp::Or) {
                break;
            }
            steps.push((*op, b, first));
            first = a;
        }
        let mut left = self.expr(first);
        for (op, right, whole) in steps.into_iter().rev() {
            let right = self.expr(right);
            self.at(whole.span);
            left = self.binary(op, left, right, whole);
        }
        left
    }

    fn float_literal(&mut self, x: f64) -> Val {
        let value = self.b.f64(x);
        Val::Num(Num { value, ty: Ty::F64, literal: true })
    }

    // ---- names ------------------------------------------------------------------------------------------------

    fn name(&mut self, name: &'a str, span: Span) -> Val {
        match self.lookup(name) {
            Some(Binding::Val(val)) => val,
            Some(Binding::Size(size)) => {
                let value = self.b.size(&size);
                Val::Num(Num { value, ty: Ty::Int, literal: false })
            }
            Some(Binding::Acc(number)) => self.read_acc(number, span),
            Some(Binding::Deferred { expr, visible }) => self.seeing(visible, |lowerer| lowerer.expr(expr)),
            None => match name {
                "pi" => self.float_literal(std::f64::consts::PI),
                "inf" => self.float_literal(f64::INFINITY),
                _ => match self.items.consts.get(name) {
                    Some(constant) => self.constant(constant),
                    None => self.undefined(name, span),
                },
            },
        }
    }

    /// Runs `inner` with only the names that were visible at a deferred `let`.
    pub(super) fn seeing<T>(&mut self, visible: usize, inner: impl FnOnce(&mut Self) -> T) -> T {
        let hidden = self.env.split_off(visible.min(self.env.len()));
        let result = self.scoped(inner);
        self.env.extend(hidden);
        result
    }

    fn constant(&mut self, constant: &'a crate::frontend::ast::Const) -> Val {
        let Some(spec) = self.ty(&constant.ty) else { return Val::Error };
        let name = constant.name.name.as_str();
        if self.calls.contains(&name) {
            let diagnostic = Diagnostic::error("recursion", format!("`{name}` is defined by itself"))
                .label(constant.name.span, "this constant")
                .help("a constant is a literal, or made of other constants");
            return self.report(diagnostic);
        }
        self.calls.push(name);
        let base = std::mem::replace(&mut self.env_base, self.env.len());
        let val = self.expr(&constant.value);
        self.env_base = base;
        self.calls.pop();
        self.coerce(val, &spec, constant.value.span, &format!("the value of `{name}`"))
    }

    pub(super) fn undefined(&mut self, name: &str, span: Span) -> Val {
        let locals: Vec<&str> = self.env[self.env_base..].iter().rev().map(|entry| entry.name).collect();
        let consts = self.items.consts.keys().copied();
        let mut diagnostic = Diagnostic::error("undefined-name", format!("`{name}` is not defined"))
            .label(span, "unknown name");
        if let Some(hint) = nearest(name, locals.into_iter().chain(consts)) {
            diagnostic = diagnostic.help(format!("did you mean `{hint}`?")).patch(span, hint);
        } else if builtin::is_builtin(name) || self.items.functions.contains_key(name) {
            diagnostic = diagnostic.help(format!("`{name}` is a function: call it, `{name}(..)`"));
        } else {
            diagnostic = diagnostic
                .help(match name.chars().next() {
                    Some(first) if first.is_uppercase() => {
                        format!("if it is a size, declare it: `kernel name<.., {name}>(..)`; else make it a parameter, or a `const`")
                    }
                    _ => format!("make it a parameter of the kernel, or define it with `let {name} = ..;`"),
                });
        }
        self.report(diagnostic)
    }

    // ---- typed expressions --------------------------------------------------------------------------------------

    /// An expression that must be an integer.
    pub(super) fn int(&mut self, expr: &'a Expr, what: &str) -> Option<Value> {
        let val = self.expr(expr);
        self.as_int(val, expr.span, what)
    }

    pub(super) fn as_int(&mut self, val: Val, span: Span, what: &str) -> Option<Value> {
        match self.force(val) {
            Val::Num(num) if num.ty == Ty::Int => Some(num.value),
            Val::Error => None,
            other => {
                let found = self.describe(&other);
                let mut diagnostic =
                    Diagnostic::error("type-mismatch", format!("{what} is an `int`, found `{found}`"))
                        .label(span, format!("this is `{found}`"));
                diagnostic = if found == "f64" {
                    diagnostic
                        .help("`int(..)` truncates a float; what depends on unknowns cannot be a subscript")
                } else {
                    diagnostic.help("subscripts, bounds and sizes are integers")
                };
                self.report(diagnostic);
                None
            }
        }
    }

    /// An expression that must be a condition.
    pub(super) fn cond(&mut self, expr: &'a Expr) -> Option<Value> {
        let val = self.expr(expr);
        match self.force(val) {
            Val::Num(num) if num.ty == Ty::Bool => Some(num.value),
            Val::Error => None,
            other => {
                let found = self.describe(&other);
                let diagnostic =
                    Diagnostic::error("type-mismatch", format!("a condition is a `bool`, found `{found}`"))
                        .label(expr.span, format!("this is `{found}`"))
                        .help("compare it with something: `a > 0.0`, `i != 0`");
                self.report(diagnostic);
                None
            }
        }
    }

    // ---- operators ------------------------------------------------------------------------------------------------

    fn unary(&mut self, op: UnaryOp, a: &'a Expr, span: Span) -> Val {
        if op == UnaryOp::Not {
            let Some(value) = self.cond(a) else { return Val::Error };
            let value = self.b.op(Op::Not, &[value]);
            return Val::Num(Num { value, ty: Ty::Bool, literal: false });
        }
        let val = self.expr(a);
        self.at(span);
        self.negate(val, span)
    }

    pub(super) fn negate(&mut self, val: Val, span: Span) -> Val {
        match self.force(val) {
            Val::Num(num) if num.ty.is_float() => Val::Num(Num { value: self.b.neg(num.value), ..num }),
            Val::Num(num) if num.ty == Ty::Int => {
                let zero = self.b.int(0);
                Val::Num(Num { value: self.int_op(Op::IntSub, zero, num.value), ..num })
            }
            Val::Complex(re, im) => Val::Complex(self.b.neg(re), self.b.neg(im)),
            Val::Array(small) => {
                let items = small.items.into_iter().map(|item| self.negate(item, span)).collect();
                Val::Array(Small { dims: small.dims, items })
            }
            Val::Error => Val::Error,
            other => {
                let found = self.describe(&other);
                let diagnostic = Diagnostic::error("type-mismatch", format!("a `{found}` has no negative"))
                    .label(span, format!("`-` on a `{found}`"))
                    .help("`-` takes numbers, vectors and matrices; the opposite of a condition is `!c`");
                self.report(diagnostic)
            }
        }
    }

    /// An integer operation; sums of sizes become one size expression.
    pub(super) fn int_op(&mut self, op: Op, a: Value, b: Value) -> Value {
        let sizes = self.affine(a).as_size().zip(self.affine(b).as_size());
        let folded = sizes.and_then(|(x, y)| match (op, x.as_constant(), y.as_constant()) {
            (Op::IntAdd, ..) => x.checked_add(&y),
            (Op::IntSub, ..) => x.checked_sub(&y),
            (Op::IntMul, Some(factor), _) => y.checked_scale(factor),
            (Op::IntMul, _, Some(factor)) => x.checked_scale(factor),
            _ => None,
        });
        match folded {
            Some(size) => self.b.size(&size),
            None => self.b.op(op, &[a, b]),
        }
    }

    /// `a && b`, `a || b`: what reads memory on the right is read only when the left side does not decide.
    fn logical(&mut self, op: BinaryOp, a: &'a Expr, b: &'a Expr) -> Val {
        let Some(left) = self.cond(a) else {
            self.cond(b);
            return Val::Error;
        };
        let (scalar, decided) = if op == BinaryOp::And { (Op::And, false) } else { (Op::Or, true) };
        if self.b.func().as_const(left) == Some(Const::Bool(decided)) {
            return Val::Num(Num { value: left, ty: Ty::Bool, literal: false });
        }
        let value = if query::is_costly(b) && self.b.func().as_const(left).is_none() {
            let cond = if op == BinaryOp::And { left } else { self.b.op(Op::Not, &[left]) };
            self.b.begin_if(cond);
            let right = self.guarded(|lowerer| lowerer.cond(b));
            let right = right.unwrap_or_else(|| self.b.bool(decided));
            self.b.begin_else(&[right]);
            let otherwise = self.b.bool(decided);
            self.b.end_if(&[otherwise])[0]
        } else {
            let Some(right) = self.guarded(|lowerer| lowerer.cond(b)) else { return Val::Error };
            self.b.op(scalar, &[left, right])
        };
        Val::Num(Num { value, ty: Ty::Bool, literal: false })
    }

    // ---- conditions -------------------------------------------------------------------------------------------------

    fn if_expr(&mut self, node: &'a IfExpr, span: Span) -> Val {
        let Some(otherwise) = &node.otherwise else { return self.missing_else(node, span) };
        let Some(cond) = self.cond(&node.cond) else {
            return Val::Error;
        };
        if let Some(Const::Bool(taken)) = self.b.func().as_const(cond) {
            return self.inside(|lowerer| lowerer.block(if taken { &node.then } else { otherwise }));
        }
        if is_ready(&node.then) && is_ready(otherwise) {
            let (a, b) = (self.block(&node.then), self.block(otherwise));
            return self.choose(cond, a, b, span);
        }
        // A literal takes the type of the other branch, so the other branch goes first.
        let flip = node.then.stmts.is_empty()
            && node.then.value.as_deref().is_some_and(|value| gives_way(&value.kind, self.single));
        let (cond, first, second) = if flip {
            (self.b.op(Op::Not, &[cond]), otherwise, &node.then)
        } else {
            (cond, &node.then, otherwise)
        };
        self.b.begin_if(cond);
        let model = self.guarded(|lowerer| lowerer.inside(|lowerer| lowerer.branch(first)));
        let yields = model.scalars();
        self.b.begin_else(&yields);
        let other = self.guarded(|lowerer| lowerer.inside(|lowerer| lowerer.branch(second)));
        let loose = model.is_loose() || other.is_loose();
        let met = if loose { None } else { self.meet(&other, &model, span) };
        let same = |met: &Val| {
            let types = |list: &[Value]| list.iter().map(|&v| self.b.func().ty(v)).collect::<Vec<_>>();
            types(&met.scalars()) == types(&yields)
        };
        let met = match met {
            Some(met) if !same(&met) => self.branches_differ(&met, &model, span),
            met => met,
        };
        let Some(met) = met else {
            let zeros: Vec<Value> = yields.iter().map(|&value| self.zero_like(value)).collect();
            self.b.end_if(&zeros);
            return self.loose_branch(&model, &other, span);
        };
        let yields = met.scalars();
        self.at(span);
        let results = self.b.end_if(&yields);
        model.with(&mut results.into_iter())
    }

    fn loose_branch(&mut self, a: &Val, b: &Val, span: Span) -> Val {
        if matches!((a, b), (Val::View(_), _) | (_, Val::View(_))) {
            let diagnostic = Diagnostic::error(
                "array-branch",
                "an array of symbolic length cannot be the value of an `if`",
            )
            .label(span, "the branches give arrays")
            .help("choose entry by entry: `map i in 0..N { if c { a[i] } else { b[i] } }`");
            return self.report(diagnostic);
        }
        Val::Error
    }

    fn branch(&mut self, block: &'a Block) -> Val {
        let val = self.block(block);
        self.force(val)
    }

    fn missing_else(&mut self, node: &IfExpr, span: Span) -> Val {
        if let Some(diagnostic) = conditional_accumulation(node, span) {
            return self.report(diagnostic);
        }
        let diagnostic = Diagnostic::error("missing-else", "this `if` has no value when its condition does not hold")
            .label(span, "`else { .. }` is missing")
            .help("write `else { 0.0 }`; to skip iterations of a loop, give it a filter: `sum i in 0..N if i > 0 { .. }`");
        self.report(diagnostic)
    }

    /// A choice between values that are at hand already.
    fn choose(&mut self, cond: Value, a: Val, b: Val, span: Span) -> Val {
        let (a, b) = (self.force(a), self.force(b));
        let Some(a) = self.meet(&a, &b, span) else { return Val::Error };
        let Some(b) = self.meet(&b, &a, span) else { return Val::Error };
        let (left, right) = (a.scalars(), b.scalars());
        self.at(span);
        let picked: Vec<Value> = left.iter().zip(&right).map(|(&a, &b)| self.b.select(cond, a, b)).collect();
        a.with(&mut picked.into_iter())
    }

    /// Fits `val` to the shape and scalar types of `other`, where literals may give way.
    fn meet(&mut self, val: &Val, other: &Val, span: Span) -> Option<Val> {
        let met = self.try_meet(val, other);
        if met.is_none() && !matches!((val, other), (Val::Error, _) | (_, Val::Error)) {
            return self.branches_differ(val, other, span);
        }
        met
    }

    fn branches_differ(&mut self, a: &Val, b: &Val, span: Span) -> Option<Val> {
        let (a, b) = (self.describe(a), self.describe(b));
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let diagnostic =
            Diagnostic::error("type-mismatch", format!("the branches of this `if` differ: `{a}` and `{b}`"))
                .label(span, "both branches give the value of the `if`")
                .help("give both branches the same type");
        self.report(diagnostic);
        None
    }

    pub(super) fn try_meet(&mut self, val: &Val, other: &Val) -> Option<Val> {
        match (val, other) {
            (Val::Num(a), Val::Num(b)) => {
                if a.ty == b.ty {
                    let literal = a.literal && b.literal;
                    return Some(Val::Num(Num { literal, ..*a }));
                }
                if let Some(num) = self.with_ty(*a, b.ty) {
                    return Some(Val::Num(num));
                }
                (b.literal && a.ty.is_float() && b.ty != Ty::Bool).then(|| val.clone())
            }
            (Val::Complex(..), Val::Complex(..)) => Some(val.clone()),
            (Val::Array(a), Val::Array(b)) if a.dims == b.dims => {
                let items: Option<Vec<Val>> =
                    a.items.iter().zip(&b.items).map(|(a, b)| self.try_meet(a, b)).collect();
                Some(Val::Array(Small { dims: a.dims.clone(), items: items? }))
            }
            (Val::Tuple(a), Val::Tuple(b)) if a.len() == b.len() => {
                let parts: Option<Vec<Val>> = a.iter().zip(b).map(|(a, b)| self.try_meet(a, b)).collect();
                Some(Val::Tuple(parts?))
            }
            _ => None,
        }
    }

    // ---- zeros ------------------------------------------------------------------------------------------------------

    fn zero_like(&mut self, value: Value) -> Value {
        self.zero(self.b.func().ty(value))
    }

    pub(super) fn zero(&mut self, ty: Ty) -> Value {
        match ty {
            Ty::F64 | Ty::F32 => self.b.float(ty, 0.0),
            Ty::Int => self.b.int(0),
            Ty::Bool => self.b.bool(false),
        }
    }

    /// `[a, b]`: numbers make a vector, vectors a matrix (its rows), and so on.
    fn vector(&mut self, parts: &'a [Expr], span: Span) -> Val {
        let mut vals = Vec::new();
        for part in parts {
            let val = self.expr(part);
            let val = self.force(val);
            if matches!(val, Val::Error) {
                return Val::Error;
            }
            vals.push(val);
        }
        let Some(model) = vals
            .iter()
            .find(|val| !matches!(val, Val::Num(Num { literal: true, .. })))
            .or(vals.first())
            .cloned()
        else {
            let diagnostic = Diagnostic::error("empty-vector", "a vector has at least one component")
                .label(span, "nothing inside")
                .help("write `[a, b]`");
            return self.report(diagnostic);
        };
        let mut items = Vec::new();
        let mut inner = Vec::new();
        for (val, part) in vals.iter().zip(parts) {
            let met = self.try_meet(val, &model);
            match met {
                Some(Val::Array(small)) => {
                    inner.clone_from(&small.dims);
                    items.extend(small.items);
                }
                Some(item @ (Val::Num(_) | Val::Complex(..))) => items.push(item),
                _ => {
                    let (a, b) = (self.describe(val), self.describe(&model));
                    let diagnostic = Diagnostic::error("type-mismatch", format!("the components of a vector differ: `{a}` and `{b}`"))
                        .label(part.span, format!("this is `{a}`"))
                        .help("numbers make a vector, vectors of one length a matrix; different things together make a tuple, `(a, b)`");
                    return self.report(diagnostic);
                }
            }
        }
        // Literals alone make a vector of floats.
        let items = items.into_iter().map(|item| self.float_item(item)).collect();
        let dims = [vec![vals.len()], inner].concat();
        Val::Array(Small { dims, items })
    }

    fn float_item(&mut self, item: Val) -> Val {
        match item {
            Val::Num(num @ Num { literal: true, ty: Ty::Int, .. }) => {
                self.with_ty(num, Ty::F64).map_or(Val::Error, |num| Val::Num(Num { literal: false, ..num }))
            }
            other => other,
        }
    }

    /// A name for messages: the text of the expression.
    pub(super) fn text(expr: &Expr) -> String {
        print_expr(expr)
    }

    /// Is the name that of an accumulator kept in registers?
    pub(super) fn is_small_acc(&self, name: &str) -> bool {
        match self.peek_binding(name) {
            Some(Binding::Acc(number)) => matches!(self.accs[*number].kind, AccKind::Small(_)),
            _ => false,
        }
    }
}

/// Is the value of this block a literal or a name: nothing to compute?
fn is_ready(block: &Block) -> bool {
    block.stmts.is_empty()
        && block.value.as_deref().is_some_and(|value| match &value.kind {
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) | ExprKind::Name(_) => true,
            ExprKind::Unary(_, inner) => {
                matches!(inner.kind, ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Name(_))
            }
            _ => false,
        })
}

/// Whether an expression is nothing but literals that take the type of what they meet; floats do only where there are two kinds.
fn gives_way(kind: &ExprKind, single: bool) -> bool {
    match kind {
        ExprKind::Int(_) => true,
        ExprKind::Float(_) => single,
        ExprKind::Vector(parts) | ExprKind::Tuple(parts) => {
            parts.iter().all(|part| gives_way(&part.kind, single))
        }
        _ => false,
    }
}
