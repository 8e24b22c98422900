//! Subscripts: views and vectors, slices, fields, loads, and what can be said about ranges before there is data.
//!
//! A subscript is refused here only if it is certainly out of range (or ranges over the wrong size) and stands under no
//! condition. Everything else is left to prepare, which checks every subscript on the data.

use super::Lowerer;
use super::value::{Axis, Elem, Field, Num, Small, Val, View};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Expr, ExprKind, Ident};
use crate::frontend::pretty::print_expr;
use crate::frontend::suggest::nearest;
use crate::func::{Entries, InstData, Value};
use crate::op::Op;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};
use std::collections::BTreeMap;

/// An affine expression over sizes and other integers.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Affine {
    size: SizeExpr,
    others: BTreeMap<Value, i64>,
}

impl Affine {
    fn atom(value: Value) -> Self {
        Self { size: SizeExpr::default(), others: BTreeMap::from([(value, 1)]) }
    }

    /// Is it one loop variable, shifted?
    fn is_shift(&self) -> bool {
        self.others.len() == 1 && self.others.values().all(|&factor| factor == 1)
    }

    fn add(&self, other: &Self, factor: i64) -> Option<Self> {
        let mut others = self.others.clone();
        for (&atom, &n) in &other.others {
            let entry = others.entry(atom).or_insert(0);
            *entry = entry.checked_add(n.checked_mul(factor)?)?;
        }
        others.retain(|_, n| *n != 0);
        Some(Self { size: self.size.checked_add(&other.size.checked_scale(factor)?)?, others })
    }

    /// The expression less one.
    pub(super) fn minus_one(&self) -> Option<Self> {
        let size = self.size.checked_sub(&SizeExpr::constant(1))?;
        Some(Self { size, others: self.others.clone() })
    }

    /// The expression, if it is made of sizes only.
    pub(super) fn as_size(&self) -> Option<SizeExpr> {
        self.others.is_empty().then(|| self.size.clone())
    }
}

/// How far the definition of an integer is followed.
const AFFINE_DEPTH: u32 = 32;

impl<'a> Lowerer<'a> {
    // ---- what is known about integers -----------------------------------------------------------------------------

    /// The affine form of an integer.
    pub(super) fn affine(&self, value: Value) -> Affine {
        self.affine_below(value, AFFINE_DEPTH).unwrap_or_else(|| Affine::atom(value))
    }

    fn affine_below(&self, value: Value, depth: u32) -> Option<Affine> {
        let depth = depth.checked_sub(1)?;
        let func = self.b.func();
        let side = |value| self.affine_below(value, depth).unwrap_or_else(|| Affine::atom(value));
        match func.def(value)? {
            InstData::Const(_) => {
                func.as_int(value).map(|n| Affine { size: SizeExpr::constant(n), others: BTreeMap::new() })
            }
            InstData::Size(size) => Some(Affine { size: size.clone(), others: BTreeMap::new() }),
            InstData::Op(Op::IntAdd, args) => side(args[0]).add(&side(args[1]), 1),
            InstData::Op(Op::IntSub, args) => side(args[0]).add(&side(args[1]), -1),
            InstData::Op(Op::IntMul, args) => match (func.as_int(args[0]), func.as_int(args[1])) {
                (Some(n), _) => Affine::default().add(&side(args[1]), n),
                (_, Some(n)) => Affine::default().add(&side(args[0]), n),
                (None, None) => None,
            },
            _ => None,
        }
    }

    /// The largest (or smallest) value an affine integer reaches, if its loops say so exactly.
    fn extreme(&self, affine: &Affine, largest: bool) -> Option<SizeExpr> {
        let mut affine = affine.clone();
        for _ in 0..AFFINE_DEPTH {
            // The innermost induction variable has the highest number.
            let Some((&atom, &factor)) = affine.others.iter().next_back() else { return Some(affine.size) };
            let bounds = self.loops.get(&atom)?;
            let bound = if (factor > 0) == largest { bounds.hi.as_ref() } else { bounds.lo.as_ref() }?;
            let without = affine.add(&Affine::atom(atom), -factor)?;
            affine = without.add(bound, factor)?;
        }
        None
    }

    /// Checks one subscript of an axis of length `dim`.
    pub(super) fn check_range(&mut self, index: Value, dim: &SizeExpr, expr: &'a Expr, array: &str) {
        if self.guards > 0 {
            return;
        }
        let affine = self.affine(index);
        if self.wrong_size(index, &affine, dim, expr, array) {
            return;
        }
        let text = print_expr(expr);
        let length = self.size_text(dim);
        if let Some(top) = self.extreme(&affine, true)
            && let Some(over) = top.checked_sub(dim)
            && over.terms.iter().all(|term| term.1 >= 0)
            && (over.constant >= 0 || !over.terms.is_empty())
        {
            let reached = self.size_text(&top);
            let far = if over == SizeExpr::default() { "one past".to_owned() } else { "beyond".to_owned() };
            let message = if affine.others.is_empty() {
                format!("`{array}` has length `{length}` along this axis, and the subscript is {reached}")
            } else {
                format!("`{text}` can reach {reached}, {far} the end of `{array}`")
            };
            let help = if affine.others.is_empty() {
                "subscripts start at 0 and end one before the length".to_owned()
            } else {
                let inner =
                    if matches!(expr.kind, ExprKind::Name(_)) { text.clone() } else { format!("({text})") };
                let wrap = format!("for a periodic grid write `{inner} % {length}`");
                match (affine.is_shift(), over.terms.as_slice()) {
                    (true, []) => {
                        format!("{wrap}, for interior points end the loop {} earlier", over.constant + 1)
                    }
                    _ => wrap,
                }
            };
            // What no loop moves is outside always: no guard makes sense.
            let guard = (!affine.others.is_empty()).then(|| format!("{text} < {length}"));
            self.out_of_range(message, expr.span, &format!("the axis has length `{length}`"), help, guard);
        } else if let Some(bottom) = self.extreme(&affine, false)
            && bottom.terms.iter().all(|term| term.1 <= 0)
            && (bottom.constant < 0 || !bottom.terms.is_empty())
        {
            let reached = self.size_text(&bottom);
            let message = format!("`{text}` can reach {reached}, before the start of `{array}`");
            let wrap = format!("for a periodic grid write `({text} + {length}) % {length}`");
            let help = match (affine.is_shift(), bottom.terms.as_slice()) {
                (true, []) => {
                    format!(
                        "{wrap}, for interior points start the loop {} later",
                        bottom.constant.unsigned_abs()
                    )
                }
                (false, []) if affine.others.is_empty() => {
                    format!("subscripts start at 0; the last entry is `{length} - 1`")
                }
                _ => wrap,
            };
            let guard = (!affine.others.is_empty()).then(|| format!("{text} >= 0"));
            self.out_of_range(message, expr.span, "subscripts start at 0", help, guard);
        }
    }

    fn out_of_range(
        &mut self,
        message: String,
        span: Span,
        label: &str,
        help: String,
        guard: Option<String>,
    ) {
        let mut diagnostic = Diagnostic::error("out-of-range", message).label(span, label).help(help);
        if let Some(guard) = guard {
            diagnostic = diagnostic.help(format!(
                "or guard it: `if {guard} {{ .. }} else {{ .. }}`; then only subscripts whose guard holds are used"
            ));
        }
        self.report(diagnostic);
    }

    /// Does the subscript run over another size than the one of the axis?
    fn wrong_size(
        &mut self,
        index: Value,
        affine: &Affine,
        dim: &SizeExpr,
        expr: &Expr,
        array: &str,
    ) -> bool {
        let symbol = |size: &SizeExpr| match (size.constant, size.terms.as_slice()) {
            (0, [(symbol, 1)]) => Some(*symbol),
            _ => None,
        };
        let Some(wanted) = symbol(dim) else { return false };
        let length = self.size_text(dim);
        let name = print_expr(expr);
        if *affine == Affine::atom(index)
            && let Some(bounds) = self.loops.get(&index).cloned()
            && let Some(over) = &bounds.over
            && symbol(over).is_some_and(|found| found != wanted)
        {
            let over = self.size_text(over);
            let mut diagnostic = Diagnostic::error(
                "axis-mismatch",
                format!(
                    "axis of `{array}` has size `{length}`, but the binder `{}` ranges over `0..{over}`",
                    bounds.name
                ),
            )
            .label(expr.span, format!("subscript of an axis of size `{length}`"))
            .label(bounds.span, format!("ranges over `0..{over}`"));
            if let Some(table) = self.index_into(dim, bounds.over.as_ref()) {
                diagnostic = diagnostic
                    .help(format!("did you mean an entry of `{table}`, which points into `0..{length}`?"));
            }
            diagnostic = diagnostic
                .help(format!("loop over `0..{length}`, or guard the access with `if {name} < {length}`"));
            self.report(diagnostic);
            return true;
        }
        let Some(InstData::Load(buffer, subs)) = self.b.func().def(index) else { return false };
        let data = &self.b.func().buffers[*buffer];
        let Entries::Index(bounds) = &data.entries else { return false };
        let column = subs.last().and_then(|&last| self.b.func().as_int(last)).unwrap_or(0);
        let bound = if bounds.len() == 1 { bounds.first() } else { bounds.get(column as usize) };
        let Some(bound) = bound.filter(|bound| symbol(bound).is_some_and(|found| found != wanted)) else {
            return false;
        };
        let (table, span, bound) =
            (data.name.clone(), Span { start: data.span.0, end: data.span.1 }, self.size_text(bound));
        let diagnostic = Diagnostic::error(
            "axis-mismatch",
            format!("axis of `{array}` has size `{length}`, but `{table}` points into `0..{bound}`"),
        )
        .label(expr.span, format!("an entry of `{table}`, in `0..{bound}`"))
        .label(span, format!("declared `index<{bound}>`"))
        .help(format!("subscript an array of length `{bound}`, or declare `{table}` as `index<{length}>`"));
        self.report(diagnostic);
        true
    }

    /// An index table that points into `dim` and has a row for each of `rows`, for a hint.
    fn index_into(&self, dim: &SizeExpr, rows: Option<&SizeExpr>) -> Option<String> {
        let rows = rows?;
        let fits = |data: &&crate::func::BufferData| {
            matches!(&data.entries, Entries::Index(bounds) if bounds.contains(dim))
                && data.dims.first() == Some(rows)
        };
        self.b.func().buffers.values().find(fits).map(|data| data.name.clone())
    }

    // ---- subscripts -------------------------------------------------------------------------------------------------

    /// `base[subs]`
    pub(super) fn index(&mut self, base: &'a Expr, subs: &'a [Expr], span: Span) -> Val {
        let mut val = self.expr(base);
        // Axes that a slice leaves open; later subscripts belong to the axes after them.
        let mut sliced = 0;
        for (at, sub) in subs.iter().enumerate() {
            val = match val {
                Val::View(view) if view.dims().len() > sliced => {
                    let part = self.index_view(&view, sub, base, sliced);
                    sliced += usize::from(matches!(sub.kind, ExprKind::Range(..)));
                    part
                }
                Val::Array(small) => self.index_small(&small, sub),
                Val::Error => return Val::Error,
                other => {
                    let found = self.describe(&other);
                    let whole = print_expr(base);
                    let diagnostic = Diagnostic::error(
                        "too-many-subscripts",
                        format!("a `{found}` has no axis to subscript"),
                    )
                    .label(sub.span, "one subscript too many")
                    .label(
                        base.span,
                        format!("`{whole}` takes {at} subscript{}", if at == 1 { "" } else { "s" }),
                    )
                    .help("tuples are taken apart by `let (a, b) = ..` or `.0`, `.1`");
                    return self.report(diagnostic);
                }
            };
        }
        self.at(span);
        match val {
            Val::View(view) if view.dims().is_empty() && !matches!(view.elem, Elem::Record { .. }) => {
                self.load(&view)
            }
            other => other,
        }
    }

    fn index_view(&mut self, view: &View, sub: &'a Expr, base: &'a Expr, skip: usize) -> Val {
        if let ExprKind::Range(lo, hi) = &sub.kind {
            return self.slice_view(view, lo, hi, sub.span, skip);
        }
        let Some(index) = self.int(sub, "a subscript") else { return Val::Error };
        let array = print_expr(base);
        self.check_range(index, &view.dims()[skip], sub, &array);
        Val::View(self.fix_axis(view, skip, index))
    }

    /// `array[lo..hi]`: the same buffer, another origin and length.
    fn slice_view(&mut self, view: &View, lo: &'a Expr, hi: &'a Expr, span: Span, skip: usize) -> Val {
        let (Some(lo), Some(hi)) = (self.size_expr(lo), self.size_expr(hi)) else { return Val::Error };
        let (Some(dim), Some(at)) = (hi.checked_sub(&lo), view.free_axis(skip)) else { return Val::Error };
        let length = &view.dims()[skip];
        let beyond = hi
            .checked_sub(length)
            .is_some_and(|over| over.constant > 0 && over.terms.iter().all(|t| t.1 >= 0));
        let before = lo.constant < 0 && lo.terms.iter().all(|term| term.1 <= 0);
        if beyond || before || dim.as_constant().is_some_and(|n| n < 0) {
            let length = self.size_text(length);
            let diagnostic = Diagnostic::error("out-of-range", format!("this slice leaves `0..{length}`"))
                .label(span, "slice")
                .help("a slice `a..b` has `0 <= a <= b <= length`");
            return self.report(diagnostic);
        }
        let start = self.b.size(&lo);
        let mut part = view.clone();
        if let Axis::Free { offset, .. } = &view.axes[at] {
            let offset = match offset {
                Some(offset) => self.b.op(Op::IntAdd, &[*offset, start]),
                None => start,
            };
            part.axes[at] = Axis::Free { dim, offset: Some(offset) };
        }
        Val::View(part)
    }

    fn index_small(&mut self, small: &Small, sub: &'a Expr) -> Val {
        let Some((&length, rest)) = small.dims.split_first() else { return Val::Error };
        let width: usize = rest.iter().product();
        if let ExprKind::Range(lo, hi) = &sub.kind {
            let (Some(lo), Some(hi)) =
                (self.literal_subscript(lo, length + 1), self.literal_subscript(hi, length + 1))
            else {
                return Val::Error;
            };
            let count = hi.saturating_sub(lo);
            let mut dims = small.dims.clone();
            dims[0] = count;
            return Val::Array(Small { dims, items: small.items[lo * width..(lo + count) * width].to_vec() });
        }
        let Some(n) = self.literal_subscript(sub, length) else { return Val::Error };
        if rest.is_empty() {
            return small.items[n].clone();
        }
        Val::Array(Small { dims: rest.to_vec(), items: small.items[n * width..(n + 1) * width].to_vec() })
    }

    /// A subscript of values in registers: known now and below `length`.
    pub(super) fn literal_subscript(&mut self, sub: &'a Expr, length: usize) -> Option<usize> {
        let index = self.int(sub, "a subscript")?;
        let Some(n) = self.b.func().as_int(index) else {
            let diagnostic = Diagnostic::error("vector-subscript", "a vector is subscripted by literals or by loop variables of a short literal range")
                .label(sub.span, "not known before the data is")
                .help("vectors and matrices live in registers; use an array of symbolic length, or a loop over a literal range such as `0..3`");
            self.report(diagnostic);
            return None;
        };
        let found = usize::try_from(n).ok().filter(|&n| n < length);
        if found.is_none() {
            let diagnostic =
                Diagnostic::error("out-of-range", format!("subscript {n} of an axis of length {length}"))
                    .label(sub.span, format!("this is {n}"))
                    .help("subscripts start at 0 and end one before the length");
            self.report(diagnostic);
        }
        found
    }

    /// `base.field`
    pub(super) fn field(&mut self, base: &'a Expr, field: &'a Ident) -> Val {
        let val = self.expr(base);
        let name = field.name.as_str();
        let found = self.describe(&val);
        match val {
            Val::Error => Val::Error,
            Val::Tuple(parts) => {
                if let Some(part) = name.parse::<usize>().ok().and_then(|n| parts.get(n)) {
                    return part.clone();
                }
                self.no_field(field, &found, None)
            }
            Val::Complex(re, _) if name == "re" => Val::Num(Num { value: re, ty: Ty::F64, literal: false }),
            Val::Complex(_, im) if name == "im" => Val::Num(Num { value: im, ty: Ty::F64, literal: false }),
            Val::View(View { name: array, elem: Elem::Record { fields, .. }, axes }) => {
                let Some(Field { elem, dims, .. }) = fields.iter().find(|other| other.name == name) else {
                    let hint =
                        nearest(name, fields.iter().map(|other| other.name.as_str())).map(str::to_owned);
                    return self.no_field(field, &found, hint);
                };
                let mut view = View::whole(&format!("{array}.{name}"), elem.clone(), dims);
                view.axes.splice(0..0, axes);
                if view.dims().is_empty() { self.load(&view) } else { Val::View(view) }
            }
            Val::Array(small) if small.dims.len() == 1 => {
                let at = ["x", "y", "z", "w"].iter().position(|component| *component == name);
                match at.and_then(|at| small.items.get(at)) {
                    Some(item) => item.clone(),
                    None => self.no_field(field, &found, None),
                }
            }
            view @ Val::View(_) => match self.force(view) {
                Val::Array(small) if small.dims.len() == 1 => {
                    let at = ["x", "y", "z", "w"].iter().position(|component| *component == name);
                    match at.and_then(|at| small.items.get(at)) {
                        Some(item) => item.clone(),
                        None => self.no_field(field, &found, None),
                    }
                }
                _ => self.no_field(field, &found, None),
            },
            Val::Num(_) | Val::Complex(..) | Val::Array(_) => self.no_field(field, &found, None),
        }
    }

    fn no_field(&mut self, field: &Ident, found: &str, hint: Option<String>) -> Val {
        let mut diagnostic =
            Diagnostic::error("unknown-field", format!("a `{found}` has no field `{}`", field.name))
                .label(field.span, "unknown field");
        diagnostic = match hint {
            Some(hint) => diagnostic.help(format!("did you mean `{hint}`?")).patch(field.span, hint),
            None => diagnostic.help(
                "structs have the fields they declare, tuples `.0`, `.1`, .., vectors `.x`, `.y`, `.z`, `.w`",
            ),
        };
        self.report(diagnostic)
    }

    /// Loads the entry of a view whose axes are all subscripted.
    pub(super) fn load(&mut self, view: &View) -> Val {
        let index: Vec<Value> = view
            .axes
            .iter()
            .filter_map(|axis| match axis {
                Axis::Fixed(value) => Some(*value),
                Axis::Free { .. } => None,
            })
            .collect();
        match view.elem {
            Elem::Scalar(buffer, ty) => {
                Val::Num(Num { value: self.b.load(buffer, &index), ty, literal: false })
            }
            Elem::Complex(buffer) => {
                let [re, im] = [0, 1].map(|part| {
                    let part = self.b.int(part);
                    let pair: Vec<Value> = index.iter().copied().chain([part]).collect();
                    self.b.load(buffer, &pair)
                });
                Val::Complex(re, im)
            }
            Elem::Record { .. } => Val::View(view.clone()),
        }
    }
}
