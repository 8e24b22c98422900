//! Types and sizes: from syntax to dimensions, how values are described in messages, whether a value has a type.

use super::value::{Axis, Base, Elem, Num, Small, TypeSpec, Val, View};
use super::{Binding, Lowerer};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Expr, ExprKind, Type, UnaryOp};
use crate::frontend::builtin;
use crate::frontend::suggest::nearest;
use crate::func::{Const, Entries, Value};
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// Size expressions have at most so many terms.
const LONGEST_SIZE: u16 = 100;

impl<'a> Lowerer<'a> {
    // ---- sizes ------------------------------------------------------------------------------------------------

    /// The value of a dimension or range: affine in sizes. Reports where it is not.
    pub(super) fn size_expr(&mut self, expr: &'a Expr) -> Option<SizeExpr> {
        let size = self.try_size(expr);
        if size.is_none() && !self.explained(expr) {
            let diagnostic = Diagnostic::error("not-affine-size", "this is not a size")
                .label(expr.span, "sizes are sums of symbolic sizes and integers")
                .help(
                    "for example `V + 1` or `2*N`; sizes are declared after the name: `kernel k<V, N>(..)`",
                );
            self.report(diagnostic);
        }
        size
    }

    /// Is it no size because of a name that does not exist (reported here) or is broken?
    fn explained(&mut self, expr: &'a Expr) -> bool {
        if expr.terms > LONGEST_SIZE {
            return false;
        }
        match &expr.kind {
            ExprKind::Name(name) => match self.peek_binding(name) {
                Some(binding) => matches!(binding, Binding::Val(Val::Error)),
                None if self.items.consts.contains_key(name.as_str()) => false,
                None => {
                    self.undefined(name, expr.span);
                    true
                }
            },
            ExprKind::Binary(_, a, b) => {
                let (a, b) = (self.explained(a), self.explained(b));
                a || b
            }
            _ => false,
        }
    }

    pub(super) fn try_size(&mut self, expr: &'a Expr) -> Option<SizeExpr> {
        if expr.terms > LONGEST_SIZE {
            return None;
        }
        match &expr.kind {
            ExprKind::Int(n) => Some(SizeExpr::constant(*n)),
            ExprKind::Name(name) => match self.lookup(name) {
                Some(Binding::Size(size)) => Some(size),
                Some(Binding::Val(Val::Num(Num { value, ty: Ty::Int, .. }))) => self.affine(value).as_size(),
                Some(_) => None,
                None => {
                    let constant = *self.items.consts.get(name.as_str())?;
                    self.try_size(&constant.value)
                }
            },
            ExprKind::Unary(UnaryOp::Neg, a) => self.try_size(a)?.checked_scale(-1),
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.try_size(a)?, self.try_size(b)?);
                match op {
                    BinaryOp::Add => a.checked_add(&b),
                    BinaryOp::Sub => a.checked_sub(&b),
                    BinaryOp::Mul => match (a.as_constant(), b.as_constant()) {
                        (Some(factor), _) => b.checked_scale(factor),
                        (_, Some(factor)) => a.checked_scale(factor),
                        (None, None) => None,
                    },
                    BinaryOp::Div => {
                        let (a, b) = (a.as_constant()?, b.as_constant()?);
                        (b > 0).then(|| SizeExpr::constant(a.div_euclid(b)))
                    }
                    _ => None,
                }
            }
            ExprKind::Call(name, args) if name.name == "len" => match args.as_slice() {
                [Expr { kind: ExprKind::Name(array), .. }] => match self.lookup(array)? {
                    Binding::Val(Val::View(view)) => view.dims().first().cloned(),
                    Binding::Val(Val::Array(small)) => {
                        small.dims.first().map(|&n| SizeExpr::constant(n as i64))
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    // ---- types ------------------------------------------------------------------------------------------------

    /// The meaning of a written type.
    pub(super) fn ty(&mut self, ty: &'a Type) -> Option<TypeSpec> {
        let name = ty.name.name.as_str();
        let mut dims = Vec::new();
        for dim in &ty.dims {
            let size = self.size_expr(dim)?;
            if size.as_constant().is_some_and(|n| n < 0) {
                let diagnostic = Diagnostic::error("negative-size", "an array cannot have a negative length")
                    .label(dim.span, format!("this is {}", size.constant))
                    .help("write a length of at least 0");
                self.report(diagnostic);
                return None;
            }
            dims.push(size);
        }
        let plain = |base| TypeSpec { base, dims: Vec::new(), entries: Entries::Any };
        let float = self.float_arg(ty);
        let mut spec = match name {
            "f64" => plain(Base::Scalar(Ty::F64)),
            "f32" => plain(Base::Scalar(Ty::F32)),
            "int" => plain(Base::Scalar(Ty::Int)),
            "bool" => plain(Base::Scalar(Ty::Bool)),
            "complex" => plain(Base::Complex),
            "vec2" | "vec3" | "vec4" | "mat2" | "mat3" | "mat4" => {
                let n = i64::from(name.as_bytes()[3] - b'0');
                let rank = if name.starts_with("vec") { 1 } else { 2 };
                dims.extend((0..rank).map(|_| SizeExpr::constant(n)));
                plain(Base::Scalar(float?))
            }
            "index" | "offsets" => {
                let bounds: Option<Vec<SizeExpr>> = ty.args.iter().map(|arg| self.size_expr(arg)).collect();
                let entries = self.entries(ty, bounds?, &dims)?;
                TypeSpec { base: Base::Scalar(Ty::Int), dims: Vec::new(), entries }
            }
            _ if self.items.structs.contains_key(name) => plain(Base::Record(name.to_owned())),
            _ => {
                let structs = self.items.structs.keys().copied();
                let hint = nearest(name, builtin::types().chain(structs));
                let mut diagnostic = Diagnostic::error("unknown-type", format!("there is no type `{name}`"))
                    .label(ty.name.span, "unknown type")
                    .help("types are f64, f32, int, bool, complex, vec2..vec4, mat2..mat4, index<..>, offsets<..>, and structs");
                if let Some(hint) = hint {
                    diagnostic = diagnostic.help(format!("did you mean `{hint}`?")).patch(ty.name.span, hint);
                }
                self.report(diagnostic);
                return None;
            }
        };
        if !ty.args.is_empty() && matches!(name, "f64" | "f32" | "int" | "bool" | "complex") {
            let diagnostic =
                Diagnostic::error("type-arguments", format!("`{name}` takes no arguments in `<>`"))
                    .label(ty.span, "dimensions stand in brackets")
                    .help(format!("write `{name}[N]` for an array"));
            self.report(diagnostic);
            return None;
        }
        spec.dims = dims;
        self.single |= spec.base == Base::Scalar(Ty::F32);
        Some(spec)
    }

    /// `vec3<f32>`: the scalar of a vector type; `f64` where nothing is said.
    fn float_arg(&mut self, ty: &'a Type) -> Option<Ty> {
        match ty.args.as_slice() {
            [] => Some(Ty::F64),
            [Expr { kind: ExprKind::Name(name), .. }] if name == "f64" => Some(Ty::F64),
            [Expr { kind: ExprKind::Name(name), .. }] if name == "f32" => Some(Ty::F32),
            _ => {
                if ty.name.name.starts_with("vec") || ty.name.name.starts_with("mat") {
                    let name = &ty.name.name;
                    let diagnostic = Diagnostic::error(
                        "type-arguments",
                        format!("`{name}` takes a scalar type in `<>`"),
                    )
                    .label(ty.span, "expected `f64` or `f32` there")
                    .help(format!(
                        "write `{name}[V]` for an array of V of them, `{name}<f32>` for single precision"
                    ));
                    self.report(diagnostic);
                }
                None
            }
        }
    }

    fn entries(&mut self, ty: &Type, bounds: Vec<SizeExpr>, dims: &[SizeExpr]) -> Option<Entries> {
        let columns = dims.last().and_then(SizeExpr::as_constant);
        let (message, help) = if ty.name.name == "offsets" {
            if let ([bound], [_]) = (bounds.as_slice(), dims) {
                return Some(Entries::Offsets(bound.clone()));
            }
            ("`offsets` has one range and one axis", "write `ptr: offsets<R>[V + 1]`")
        } else if bounds.is_empty() {
            ("`index` says what its entries point into", "write `index<V>[E, 2]`: every entry lies in `0..V`")
        } else if (!ty.per_column && bounds.len() == 1) || columns == i64::try_from(bounds.len()).ok() {
            return Some(Entries::Index(bounds));
        } else {
            ("an `index` with several ranges has one for each column", "write `index<(C, P)>[O, 2]`")
        };
        self.report(Diagnostic::error("type-arguments", message).label(ty.span, "in this type").help(help));
        None
    }

    // ---- descriptions -------------------------------------------------------------------------------------------

    fn dims_text(&self, dims: &[SizeExpr]) -> String {
        let texts: Vec<String> = dims.iter().map(|dim| self.size_text(dim)).collect();
        texts.join(", ")
    }

    /// A type in words of the language.
    pub(super) fn spec_text(&self, spec: &TypeSpec) -> String {
        let base = match &spec.base {
            Base::Scalar(ty) => ty.to_string(),
            Base::Complex => "complex".to_owned(),
            Base::Record(name) => name.clone(),
        };
        self.array_text(&base, &spec.dims)
    }

    fn array_text(&self, base: &str, dims: &[SizeExpr]) -> String {
        let literal: Vec<Option<i64>> = dims.iter().map(SizeExpr::as_constant).collect();
        match literal.as_slice() {
            [] => base.to_owned(),
            [Some(n @ 2..=4)] if base == "f64" => format!("vec{n}"),
            [Some(n @ 2..=4), Some(m)] if base == "f64" && n == m => format!("mat{n}"),
            _ => format!("{base}[{}]", self.dims_text(dims)),
        }
    }

    /// The type of a value in words of the language.
    pub(super) fn describe(&self, val: &Val) -> String {
        match val {
            Val::Num(num) => num.ty.to_string(),
            Val::Complex(..) => "complex".to_owned(),
            Val::Array(small) => {
                let dims: Vec<SizeExpr> = small.dims.iter().map(|&n| SizeExpr::constant(n as i64)).collect();
                let base = small.items.first().map_or_else(|| "f64".to_owned(), |item| self.describe(item));
                self.array_text(&base, &dims)
            }
            Val::Tuple(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.describe(part)).collect();
                format!("({})", parts.join(", "))
            }
            Val::View(view) => {
                let base = match &view.elem {
                    Elem::Scalar(_, ty) => ty.to_string(),
                    Elem::Complex(_) => "complex".to_owned(),
                    Elem::Record { name, .. } => name.clone(),
                };
                self.array_text(&base, &view.dims())
            }
            Val::Error => "unknown".to_owned(),
        }
    }

    // ---- checks -------------------------------------------------------------------------------------------------

    /// Fits a value to a stated type: literals take its scalar type, everything else must match.
    pub(super) fn coerce(&mut self, val: Val, spec: &TypeSpec, span: Span, what: &str) -> Val {
        let fitted = self.fit(&val, spec);
        if matches!(val, Val::Error) {
            return val;
        }
        fitted.unwrap_or_else(|| {
            let (found, wanted) = (self.describe(&val), self.spec_text(spec));
            let mut diagnostic =
                Diagnostic::error("type-mismatch", format!("{what} is `{found}`, expected `{wanted}`"))
                    .label(span, format!("this is `{found}`"));
            diagnostic = match (found.as_str(), wanted.as_str()) {
                ("int", "f64") => diagnostic.help("integers become floats only by `f64(..)`"),
                ("f64", "int") => {
                    diagnostic.help("floats become integers only by `int(..)`, which truncates")
                }
                _ => diagnostic.help(format!("give a `{wanted}` here, or change the type that is stated")),
            };
            self.report(diagnostic)
        })
    }

    /// The value as one of that type, if it can be.
    pub(super) fn fit(&mut self, val: &Val, spec: &TypeSpec) -> Option<Val> {
        match val {
            Val::Num(num) => match (&spec.base, spec.dims.is_empty()) {
                (Base::Scalar(ty), true) => self.with_ty(*num, *ty).map(Val::Num),
                (Base::Complex, true) if num.literal => {
                    let re = self.with_ty(*num, Ty::F64)?.value;
                    let im = self.b.f64(0.0);
                    Some(Val::Complex(re, im))
                }
                _ => None,
            },
            Val::Complex(..) => (spec.base == Base::Complex && spec.dims.is_empty()).then(|| val.clone()),
            Val::Array(small) => {
                let dims: Option<Vec<i64>> = spec.dims.iter().map(SizeExpr::as_constant).collect();
                if !dims?.iter().map(|&n| n as usize).eq(small.dims.iter().copied()) {
                    return None;
                }
                let item_spec = TypeSpec { base: spec.base.clone(), dims: Vec::new(), entries: Entries::Any };
                let items: Option<Vec<Val>> =
                    small.items.iter().map(|item| self.fit(item, &item_spec)).collect();
                Some(Val::Array(Small { dims: small.dims.clone(), items: items? }))
            }
            Val::View(view) => {
                let base = match &view.elem {
                    Elem::Scalar(_, ty) => Base::Scalar(*ty),
                    Elem::Complex(_) => Base::Complex,
                    Elem::Record { name, .. } => Base::Record(name.clone()),
                };
                (base == spec.base && view.dims() == spec.dims).then(|| val.clone())
            }
            Val::Tuple(_) => None,
            Val::Error => Some(Val::Error),
        }
    }

    /// The number as a value of that type, if it has it or is a literal that can take it.
    pub(super) fn with_ty(&mut self, num: Num, ty: Ty) -> Option<Num> {
        if num.ty == ty {
            return Some(num);
        }
        if !num.literal || !ty.is_float() {
            return None;
        }
        let number = match self.b.func().as_const(num.value)? {
            Const::Int(n) => n as f64,
            Const::F64(x) => x,
            Const::F32(x) => f64::from(x),
            Const::Bool(_) => return None,
        };
        let value = self.b.float(ty, number);
        Some(Num { value, ty, literal: true })
    }

    /// A view as a value: loaded if it is a small array of scalars, itself otherwise.
    pub(super) fn force(&mut self, val: Val) -> Val {
        let Val::View(view) = val else { return val };
        if matches!(view.elem, Elem::Record { .. }) {
            return Val::View(view);
        }
        match view.small_dims() {
            Some(dims) if dims.is_empty() => self.load(&view),
            Some(dims) => {
                let items = self.load_items(&view, &dims);
                Val::Array(Small { dims, items })
            }
            None => Val::View(view),
        }
    }

    fn load_items(&mut self, view: &View, dims: &[usize]) -> Vec<Val> {
        let Some((&first, rest)) = dims.split_first() else { return vec![self.load(view)] };
        let mut items = Vec::new();
        for n in 0..first {
            let index = self.b.int(n as i64);
            let part = self.fix(view, index);
            items.extend(self.load_items(&part, rest));
        }
        items
    }

    /// The view with its first open axis subscripted (the subscript is in range).
    pub(super) fn fix(&mut self, view: &View, index: Value) -> View {
        self.fix_axis(view, 0, index)
    }

    /// The view with the open axis after `skip` others subscripted.
    pub(super) fn fix_axis(&mut self, view: &View, skip: usize, index: Value) -> View {
        let mut part = view.clone();
        if let Some(at) = view.free_axis(skip)
            && let Axis::Free { offset, .. } = &view.axes[at]
        {
            let index = match offset {
                Some(offset) => self.b.op(crate::op::Op::IntAdd, &[index, *offset]),
                None => index,
            };
            part.axes[at] = Axis::Fixed(index);
        }
        part
    }
}
