//! Blocks and statements: `let`, patterns, accumulators and the `for` loops that feed them.
//!
//! An accumulator of literal shape lives in registers: a `for` loop that adds to it gets a sum carry for each of its
//! scalars, and inside the loop the accumulator stands for what one iteration adds. One of symbolic shape is a buffer.

use super::loops::{CarrySpec, Nest};
use super::value::{Elem, MAX_SMALL, Num, Small, Val, View};
use super::{Acc, AccKind, Binding, Lowerer, NameKind, query};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Binders, Block, Expr, ExprKind, Pat, Stmt, StmtKind, Type};
use crate::frontend::parser::conditional_accumulation;
use crate::func::{Carry, Value};
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// Views with at most so many scalars are loaded when a `let` names them.
const LOAD_AT_LET: usize = 16;

impl<'a> Lowerer<'a> {
    /// The value of a block.
    pub(super) fn block(&mut self, block: &'a Block) -> Val {
        self.scoped(|lowerer| {
            for stmt in &block.stmts {
                lowerer.stmt(stmt);
            }
            match &block.value {
                Some(value) => lowerer.expr(value),
                None => lowerer.no_value(block),
            }
        })
    }

    pub(super) fn no_value(&mut self, block: &Block) -> Val {
        let end = Span { start: block.span.end.saturating_sub(1), end: block.span.end };
        let diagnostic = Diagnostic::error("missing-value", "this block has no value")
            .label(end, "expected an expression before this")
            .help("the value of a block is its last expression, without `;`");
        self.report(diagnostic)
    }

    pub(super) fn stmt(&mut self, stmt: &'a Stmt) {
        self.at(stmt.span);
        match &stmt.kind {
            StmtKind::Let { mutable: false, pat, ty, value } => {
                self.stem = match pat {
                    Pat::Name(name) => Some(&name.name),
                    Pat::Vector(..) | Pat::Tuple(..) => None,
                };
                let val = self.expr(value);
                self.stem = None;
                self.let_pat(pat, ty.as_ref(), val, value.span);
            }
            StmtKind::Let { mutable: true, pat, ty, value } => self.let_mut(pat, ty.as_ref(), value),
            StmtKind::For { binders, body } => self.for_loop(binders, body, stmt.span),
            StmtKind::Accum { place, negative, value } => self.accumulate(place, *negative, value),
        }
    }

    // ---- let ------------------------------------------------------------------------------------------------------

    pub(super) fn let_pat(&mut self, pat: &'a Pat, ty: Option<&'a Type>, val: Val, span: Span) {
        let val = match ty.and_then(|ty| self.ty(ty)) {
            Some(spec) => {
                let val = if spec.dims.iter().all(|dim| dim.as_constant().is_some()) {
                    self.force(val)
                } else {
                    val
                };
                self.coerce(val, &spec, span, "this value")
            }
            None => val,
        };
        self.bind_pat(pat, val, span);
    }

    /// Binds the names of a pattern to the parts of a value.
    pub(super) fn bind_pat(&mut self, pat: &'a Pat, val: Val, span: Span) {
        match pat {
            Pat::Name(name) => {
                let val = self.settle(val);
                self.bind(name, Binding::Val(val), NameKind::Local);
            }
            Pat::Vector(pats, pat_span) => {
                let parts = self.parts(val, pats.len(), *pat_span);
                self.bind_pats(pats, parts.as_deref(), span);
            }
            Pat::Tuple(pats, pat_span) => {
                let parts = match val {
                    Val::Tuple(parts) if parts.len() == pats.len() => Some(parts),
                    Val::Error => None,
                    other => {
                        let found = self.describe(&other);
                        let names = pats.len();
                        let diagnostic = Diagnostic::error(
                            "pattern-mismatch",
                            format!("this pattern takes a tuple of {names}, found `{found}`"),
                        )
                        .label(*pat_span, format!("{names} names"))
                        .label(span, format!("this is `{found}`"))
                        .help("tuples are taken apart by `(a, b)`, vectors by `[a, b]`");
                        self.report(diagnostic);
                        None
                    }
                };
                self.bind_pats(pats, parts.as_deref(), span);
            }
        }
    }

    fn bind_pats(&mut self, pats: &'a [Pat], parts: Option<&[Val]>, span: Span) {
        for (number, pat) in pats.iter().enumerate() {
            let part = parts.map_or(Val::Error, |parts| parts[number].clone());
            self.bind_pat(pat, part, span);
        }
    }

    /// A value as a name keeps it: small views are loaded here, once; literals get their own type.
    pub(super) fn settle(&mut self, val: Val) -> Val {
        match val {
            Val::View(view) => match view.small_dims() {
                Some(dims) if dims.iter().product::<usize>() <= LOAD_AT_LET => self.force(Val::View(view)),
                _ => Val::View(view),
            },
            Val::Num(num) => Val::Num(Num { literal: false, ..num }),
            Val::Tuple(parts) => Val::Tuple(parts.into_iter().map(|part| self.settle(part)).collect()),
            other => other,
        }
    }

    /// The parts of a vector, or of an array with a literal first dimension.
    pub(super) fn parts(&mut self, val: Val, count: usize, span: Span) -> Option<Vec<Val>> {
        let found = self.describe(&val);
        let (length, parts) = match val {
            Val::Error => return None,
            Val::View(view) => {
                let length =
                    view.dims().first().and_then(SizeExpr::as_constant).and_then(|n| usize::try_from(n).ok());
                let mut parts = Vec::new();
                for n in 0..length.filter(|&n| n == count).unwrap_or(0) {
                    let index = self.b.int(n as i64);
                    let part = self.fix(&view, index);
                    parts.push(if part.dims().is_empty() { self.load(&part) } else { Val::View(part) });
                }
                (length, parts)
            }
            Val::Array(small) => {
                let rest = small.dims[1..].to_vec();
                let width = rest.iter().product::<usize>().max(1);
                let parts = small.items.chunks(width).map(|chunk| {
                    if rest.is_empty() {
                        chunk[0].clone()
                    } else {
                        Val::Array(Small { dims: rest.clone(), items: chunk.to_vec() })
                    }
                });
                (Some(small.dims[0]), parts.collect())
            }
            Val::Complex(..) | Val::Num(_) | Val::Tuple(_) => (None, Vec::new()),
        };
        if length == Some(count) {
            return Some(parts);
        }
        let message = match length {
            Some(length) => format!("this pattern has {count} names, the vector {length} components"),
            None => format!("this pattern takes a vector, found `{found}`"),
        };
        let diagnostic = Diagnostic::error("pattern-mismatch", message)
            .label(span, format!("{count} name{}", if count == 1 { "" } else { "s" }))
            .help("vectors and rows are taken apart by `[a, b]`, with a name for each component; tuples by `(a, b)`");
        self.report(diagnostic);
        None
    }

    // ---- accumulators -----------------------------------------------------------------------------------------------

    fn let_mut(&mut self, pat: &'a Pat, ty: Option<&'a Type>, value: &'a Expr) {
        let Pat::Name(name) = pat else {
            let (Pat::Vector(_, span)
            | Pat::Tuple(_, span)
            | Pat::Name(crate::frontend::ast::Ident { span, .. })) = pat;
            let diagnostic = Diagnostic::error("bad-accumulator", "an accumulator has one name")
                .label(*span, "several names")
                .help("write a `let mut` for each");
            self.report(diagnostic);
            return;
        };
        let kind = if let ExprKind::Zeros(dims) = &value.kind {
            self.zeros_acc(dims, &name.name, value.span)
        } else {
            let val = self.expr(value);
            let val = self.settle(val);
            let val = self.force(val);
            match val {
                Val::Num(num) if num.ty != Ty::Bool => Some(AccKind::Small(val)),
                Val::Complex(..) | Val::Array(_) => Some(AccKind::Small(val)),
                Val::Error => None,
                other => {
                    let found = self.describe(&other);
                    let diagnostic = Diagnostic::error(
                        "bad-accumulator",
                        format!("a `{found}` cannot be accumulated into"),
                    )
                    .label(value.span, format!("this is `{found}`"))
                    .help("an accumulator starts as a number, a vector, a matrix or `zeros[..]`");
                    self.report(diagnostic);
                    None
                }
            }
        };
        let kind = match (kind, ty.and_then(|ty| self.ty(ty))) {
            (Some(AccKind::Small(val)), Some(spec)) => {
                match self.coerce(val, &spec, value.span, "this value") {
                    Val::Error => None,
                    val => Some(AccKind::Small(val)),
                }
            }
            (kind, _) => kind,
        };
        let Some(kind) = kind else {
            self.bind(name, Binding::Val(Val::Error), NameKind::Local);
            return;
        };
        self.new_acc(name, kind);
    }

    pub(super) fn new_acc(&mut self, name: &'a crate::frontend::ast::Ident, kind: AccKind) {
        self.accs.push(Acc { name: &name.name, span: name.span, level: self.level, open: 0, kind });
        self.bind(name, Binding::Acc(self.accs.len() - 1), NameKind::Local);
    }

    fn zeros_acc(&mut self, dims: &'a [Expr], name: &str, span: Span) -> Option<AccKind> {
        let dims: Option<Vec<SizeExpr>> = dims.iter().map(|dim| self.size_expr(dim)).collect();
        let dims = dims?;
        if let Some(small) = self.small_zeros(&dims) {
            return Some(AccKind::Small(small));
        }
        let view = self.scratch(name, &dims, Ty::F64, false, span);
        Some(AccKind::Buffer { view, read: None })
    }

    /// Zeros in registers, if the dimensions are literal and few.
    fn small_zeros(&mut self, dims: &[SizeExpr]) -> Option<Val> {
        let dims: Option<Vec<usize>> =
            dims.iter().map(|dim| usize::try_from(dim.as_constant()?).ok()).collect();
        let dims = dims?;
        let count = dims.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).filter(|&n| n <= MAX_SMALL)?;
        let value = self.b.f64(0.0);
        let zero = Val::Num(Num { value, ty: Ty::F64, literal: false });
        Some(if dims.is_empty() { zero } else { Val::Array(Small { dims, items: vec![zero; count] }) })
    }

    /// `zeros[..]` as a value.
    pub(super) fn zeros(&mut self, dims: &'a [Expr], span: Span) -> Val {
        let dims: Option<Vec<SizeExpr>> = dims.iter().map(|dim| self.size_expr(dim)).collect();
        let Some(dims) = dims else { return Val::Error };
        match self.small_zeros(&dims) {
            Some(small) => small,
            None => Val::View(self.scratch("zeros", &dims, Ty::F64, false, span)),
        }
    }

    /// An accumulator where a value is wanted.
    pub(super) fn read_acc(&mut self, number: usize, span: Span) -> Val {
        let acc = &mut self.accs[number];
        let (name, declared) = (acc.name, acc.span);
        if acc.open > 0 {
            let diagnostic = Diagnostic::error("accumulator-read", format!("the accumulator `{name}` is read inside the loop that accumulates it"))
                .label(span, "not finished here")
                .label(declared, "the accumulator")
                .help("finish it in a loop of its own and read it afterwards; a value that depends on the previous iteration is a `fold`");
            return self.report(diagnostic);
        }
        match &mut acc.kind {
            AccKind::Small(val) => val.clone(),
            AccKind::Buffer { view, read } => {
                read.get_or_insert(span);
                Val::View(view.clone())
            }
        }
    }

    /// `place += value;`
    fn accumulate(&mut self, place: &'a Expr, negative: bool, value: &'a Expr) {
        let mut subs: Vec<&'a Expr> = Vec::new();
        let mut root = place;
        while let ExprKind::Index(base, inner) = &root.kind {
            subs.splice(0..0, inner);
            root = base;
        }
        let number = match &root.kind {
            ExprKind::Name(name) => match self.peek_binding(name) {
                Some(Binding::Acc(number)) => Some(*number),
                _ => None,
            },
            _ => None,
        };
        let Some(number) = number else {
            self.expr(value);
            self.not_an_accumulator(root);
            return;
        };
        let acc = &self.accs[number];
        let (name, declared, inner) = (acc.name, acc.span, acc.level != self.level);
        if inner {
            let diagnostic = Diagnostic::error("accumulator-outside", format!("`{name}` is accumulated inside an expression that gives a value of its own"))
                .label(place.span, "inside a `sum`, `map`, `fold` or `if`")
                .label(declared, "declared outside of it")
                .help("accumulate in a `for` loop; what a `sum` or an `if` computes is its value, and it has no other effect");
            self.report(diagnostic);
            return;
        }
        match self.accs[number].kind.clone() {
            AccKind::Small(total) => {
                let addend = self.expr(value);
                let addend = self.force(addend);
                let op = if negative { BinaryOp::Sub } else { BinaryOp::Add };
                let sum = self.add_small(&total, &subs, op, addend, value);
                if !matches!(sum, Val::Error) {
                    self.accs[number].kind = AccKind::Small(sum);
                }
            }
            AccKind::Buffer { view, read } => {
                if let Some(read) = read {
                    let diagnostic = Diagnostic::error("accumulator-after-read", format!("`{name}` is accumulated into after it was read"))
                        .label(place.span, "too late")
                        .label(read, "first read here")
                        .help("an array is finished before it is read: move this before the first read, or use a second accumulator");
                    self.report(diagnostic);
                    return;
                }
                let Some(part) = self.place(&view, &subs, root) else { return };
                self.sink_signed(value, negative, &part);
            }
        }
    }

    /// The part of a buffer that a place names.
    fn place(&mut self, view: &View, subs: &[&'a Expr], root: &'a Expr) -> Option<View> {
        let mut part = view.clone();
        for &sub in subs {
            let Some(dim) = part.dims().first().cloned() else {
                let diagnostic =
                    Diagnostic::error("too-many-subscripts", "there is no axis left to subscript")
                        .label(sub.span, "one subscript too many")
                        .help("an accumulator takes as many subscripts as it has axes");
                self.report(diagnostic);
                return None;
            };
            let index = self.int(sub, "a subscript")?;
            let array = Self::text(root);
            self.check_range(index, &dim, sub, &array);
            part = self.fix(&part, index);
        }
        Some(part)
    }

    /// `total[subs] += addend` on values in registers.
    fn add_small(&mut self, total: &Val, subs: &[&'a Expr], op: BinaryOp, addend: Val, at: &'a Expr) -> Val {
        let (Some((&sub, rest)), Val::Array(small)) = (subs.split_first(), total) else {
            if let Some(sub) = subs.first() {
                let found = self.describe(total);
                let diagnostic =
                    Diagnostic::error("too-many-subscripts", format!("a `{found}` has no axis to subscript"))
                        .label(sub.span, "one subscript too many")
                        .help("an accumulator takes as many subscripts as it has axes");
                return self.report(diagnostic);
            }
            return self.add_whole(total, op, addend, at);
        };
        let Some(n) = self.literal_subscript(sub, small.dims[0]) else { return Val::Error };
        let inner = small.dims[1..].to_vec();
        let width: usize = inner.iter().product();
        let part = if inner.is_empty() {
            small.items[n].clone()
        } else {
            Val::Array(Small { dims: inner, items: small.items[n * width..(n + 1) * width].to_vec() })
        };
        let items = match self.add_small(&part, rest, op, addend, at) {
            Val::Array(sum) => sum.items,
            Val::Error => return Val::Error,
            scalar => vec![scalar],
        };
        let mut all = small.clone();
        all.items.splice(n * width..(n + 1) * width, items);
        Val::Array(all)
    }

    fn add_whole(&mut self, total: &Val, op: BinaryOp, addend: Val, at: &'a Expr) -> Val {
        if let (Val::Num(Num { ty: Ty::Int, .. }), Val::Num(Num { ty: Ty::F64 | Ty::F32, .. })) =
            (total, &addend)
        {
            let diagnostic = Diagnostic::error("mixed-numbers", "a float is added to an integer accumulator")
                .label(at.span, "this is a float")
                .help("start the accumulator as a float: `let mut s = 0.0;`");
            return self.report(diagnostic);
        }
        let sum = self.binary(op, total.clone(), addend, at);
        match self.settle(sum) {
            Val::Error => Val::Error,
            sum if sum.types() == total.types() => sum,
            sum => {
                let (found, wanted) = (self.describe(&sum), self.describe(total));
                let diagnostic = Diagnostic::error(
                    "type-mismatch",
                    format!("this adds `{found}` to an accumulator of `{wanted}`"),
                )
                .label(at.span, format!("this is `{found}`"))
                .help(format!("add a `{wanted}`, or start the accumulator as `{found}`"));
                self.report(diagnostic)
            }
        }
    }

    fn not_an_accumulator(&mut self, root: &'a Expr) {
        let diagnostic = match &root.kind {
            ExprKind::Name(name) if self.peek_binding(name).is_some() => {
                Diagnostic::error("not-accumulator", format!("`{name}` is not an accumulator"))
                    .label(root.span, "cannot change")
                    .help(format!("declare it with `let mut {name} = 0.0;` (or `zeros[N]`) before the loop"))
            }
            ExprKind::Name(name) => {
                self.undefined(name, root.span);
                return;
            }
            _ => Diagnostic::error("not-accumulator", "this is not a place that can be accumulated into")
                .label(root.span, "cannot change")
                .help("accumulate into a `let mut`, with subscripts if it is an array: `p[i] += ..;`"),
        };
        self.report(diagnostic);
    }

    // ---- for --------------------------------------------------------------------------------------------------------

    fn for_loop(&mut self, binders: &'a Binders, body: &'a Block, span: Span) {
        if let Some(value) = &body.value
            && !matches!(value.kind, ExprKind::Error)
        {
            if let ExprKind::If(node) = &value.kind
                && let Some(diagnostic) = conditional_accumulation(node, value.span)
            {
                self.report(diagnostic);
                return;
            }
            let diagnostic = Diagnostic::error("unused-value", "a `for` loop has no value")
                .label(value.span, "nothing uses this")
                .help("accumulate it, `s += ..;`, or write `sum` instead of `for`");
            self.report(diagnostic);
        }
        let open: Vec<usize> = query::accumulated(body)
            .into_iter()
            .filter_map(|name| match self.peek_binding(name) {
                Some(Binding::Acc(number)) if self.accs[*number].level == self.level => Some(*number),
                _ => None,
            })
            .collect();
        let mut small = Vec::new();
        let mut carries = Vec::new();
        for &number in &open {
            self.accs[number].open += 1;
            if let AccKind::Small(total) = self.accs[number].kind.clone() {
                carries.extend(total.types().into_iter().map(|ty| CarrySpec { carry: Carry::Sum, ty }));
                small.push((number, total));
            }
        }
        let nest = Nest { carries, ..Nest::new(&binders.binders, binders.filter.as_ref(), body, span) };
        let sums = self.nest(&nest, &mut |lowerer, _, _| {
            for (number, total) in &small {
                let zeros: Vec<Value> = total.types().iter().map(|&ty| lowerer.zero(ty)).collect();
                let zeros = total.with(&mut zeros.into_iter());
                lowerer.accs[*number].kind = AccKind::Small(zeros);
            }
            lowerer.scoped(|lowerer| body.stmts.iter().for_each(|stmt| lowerer.stmt(stmt)));
            let totals = small.iter().map(|(number, _)| match &lowerer.accs[*number].kind {
                AccKind::Small(val) => val.scalars(),
                AccKind::Buffer { .. } => Vec::new(),
            });
            totals.flatten().collect()
        });
        let mut sums = sums.into_iter();
        self.at(span);
        for (number, total) in small {
            let added = total.with(&mut sums);
            let total = self.add_values(&total, &added);
            self.accs[number].kind = AccKind::Small(total);
        }
        for number in open {
            self.accs[number].open -= 1;
        }
    }

    /// Entry by entry, both of the same shape.
    fn add_values(&mut self, a: &Val, b: &Val) -> Val {
        match (a, b) {
            (Val::Num(x), Val::Num(y)) => {
                let op = if x.ty == Ty::Int { crate::op::Op::IntAdd } else { crate::op::Op::Add };
                Val::Num(Num { value: self.b.op(op, &[x.value, y.value]), ..*x })
            }
            (Val::Complex(a, b), Val::Complex(c, d)) => Val::Complex(self.b.add(*a, *c), self.b.add(*b, *d)),
            (Val::Array(x), Val::Array(y)) => {
                let items = x.items.iter().zip(&y.items).map(|(a, b)| self.add_values(a, b)).collect();
                Val::Array(Small { dims: x.dims.clone(), items })
            }
            _ => Val::Error,
        }
    }

    /// The element of a view for messages and checks elsewhere: is it an array of plain numbers?
    pub(super) fn is_plain(view: &View) -> bool {
        matches!(view.elem, Elem::Scalar(..))
    }
}
