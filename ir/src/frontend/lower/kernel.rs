//! The frame of a kernel: sizes, parameters, results, attributes, lints.

use super::value::{Base, Elem, Field, TypeSpec, Val, View};
use super::{Binding, Lowerer, NameKind};
use crate::builder::Builder;
use crate::diag::Diagnostic;
use crate::frontend::ast::{Attr, AttrArg, Expr, ExprKind, Function, Kernel, KernelResult, Param, Type};
use crate::frontend::program::{self, Derive};
use crate::frontend::suggest::nearest;
use crate::func::{Buffer, BufferData, Const, Entries, Func, Plane, Role};
use crate::span::Span;
use crate::types::{SizeExpr, Ty};
use std::collections::BTreeMap;

const KERNEL_ATTRS: [&str; 3] = ["derive", "example", "allow"];
const PARAM_ATTRS: [&str; 2] = ["fixed", "structural"];
const DERIVES: [&str; 9] =
    ["value", "grad", "gradient", "jacobian", "hessian", "hvp", "jvp", "vjp", "gauss_newton"];

impl<'a> Lowerer<'a> {
    pub(super) fn kernel(&mut self, kernel: &'a Kernel) -> Option<program::Kernel> {
        for size in &kernel.sizes {
            let symbol = SizeExpr::size(self.b.size_symbol(size.name.clone()));
            self.bind(size, Binding::Size(symbol), NameKind::Size);
        }
        let mut params: Vec<program::Param> = kernel.params.iter().map(|param| self.param(param)).collect();
        for (declared, param) in kernel.params.iter().zip(&mut params) {
            param.fixed = self.fixed_masks(declared);
        }
        let (results, dests) = self.results(kernel)?;
        self.sink_block(&kernel.body, &[], &dests);
        let columns =
            params.iter().filter(|param| param.is_var).flat_map(|param| param.buffers.clone()).collect();
        self.b.set_columns(columns);
        self.b.set_rows(results.iter().map(|result| result.buffer).collect());
        let mut allow = Vec::new();
        let (mut derive, mut example) = (Vec::new(), None);
        for attr in &kernel.attrs {
            match attr.name.name.as_str() {
                "derive" => derive.extend(self.derive(attr)),
                "example" => example = self.example(attr),
                "allow" => allow.extend(attr.args.iter().filter_map(|arg| match arg {
                    AttrArg::Word(word, _) => Some(word.name.clone()),
                    AttrArg::Text(text, _) => Some(text.clone()),
                    AttrArg::Expr(_) => None,
                })),
                _ => {
                    self.unknown_attr(
                        attr,
                        &KERNEL_ATTRS,
                        "a kernel takes `#[derive(..)]`, `#[example(..)]` and `#[allow(..)]`",
                    );
                }
            }
        }
        self.lints(&allow);
        let mut func = std::mem::replace(&mut self.b, Builder::new(Func::new(""))).finish();
        for &buffer in &self.frozen {
            func.buffers[buffer].role = Role::Structural;
        }
        Some(program::Kernel {
            name: kernel.name.name.clone(),
            docs: kernel.docs.clone(),
            func,
            derive,
            example,
            params,
            results,
            terms: std::mem::take(&mut self.terms),
            allow,
            span: kernel.span,
        })
    }

    /// A function by itself: its parameters are inputs, its value is thrown away.
    pub(super) fn function(&mut self, function: &'a Function) {
        for size in &function.sizes {
            let symbol = SizeExpr::size(self.b.size_symbol(size.name.clone()));
            self.bind(size, Binding::Size(symbol), NameKind::Size);
        }
        let mark = self.env.len();
        for param in &function.params {
            self.param(param);
        }
        self.calls.push(&function.name.name);
        let Some(attr) = function.partials() else {
            let val = self.block(&function.body);
            self.checked_result(val, &function.results, function);
            return;
        };
        let bound = self.env.split_off(mark).into_iter().map(|entry| match entry.binding {
            Binding::Val(val) => val,
            Binding::Size(_) | Binding::Acc(_) | Binding::Deferred { .. } => Val::Error,
        });
        let vals: Vec<Val> = bound.collect();
        if vals.len() == function.params.len() && !vals.iter().any(|val| matches!(val, Val::Error)) {
            let vals: Vec<Val> = vals.into_iter().map(|val| self.settle(val)).collect();
            self.with_partials(function, attr, &vals, function.name.span);
        }
    }

    // ---- parameters -------------------------------------------------------------------------------------------------

    fn param(&mut self, param: &'a Param) -> program::Param {
        let mut result = program::Param {
            name: param.name.name.clone(),
            docs: param.docs.clone(),
            is_var: param.is_var,
            buffers: Vec::new(),
            fixed: Vec::new(),
            span: param.name.span,
        };
        let structural = param.attrs.iter().any(|attr| attr.name.name == "structural");
        let spec = self.ty(&param.ty);
        let default = param.default.as_ref().and_then(|value| self.default(value, spec.as_ref()));
        let Some(spec) = spec else {
            self.bind(&param.name, Binding::Val(Val::Error), NameKind::Param);
            return result;
        };
        if param.is_var && !matches!(spec.base, Base::Scalar(Ty::F64 | Ty::F32) | Base::Complex) {
            let found = self.spec_text(&spec);
            let diagnostic = Diagnostic::error("bad-var", format!("an unknown is a float, not `{found}`"))
                .label(param.ty.span, "cannot be differentiated with respect to")
                .help("remove `var`, or make it `f64`");
            self.report(diagnostic);
        }
        let view = self.declare(&param.name.name, &spec, param, structural, default, &mut result.buffers);
        let val = match view {
            Some(view) if view.dims().is_empty() => self.load(&view),
            Some(view) => Val::View(view),
            None => Val::Error,
        };
        self.bind(&param.name, Binding::Val(val), NameKind::Param);
        result
    }

    /// Declares the buffers of a parameter: one, or one for each field.
    fn declare(
        &mut self,
        name: &str,
        spec: &TypeSpec,
        param: &'a Param,
        structural: bool,
        default: Option<f64>,
        buffers: &mut Vec<Buffer>,
    ) -> Option<View> {
        if let Base::Record(record) = &spec.base {
            let structure = *self.items.structs.get(record.as_str())?;
            let mut fields = Vec::new();
            for (field, ty) in &structure.fields {
                let inner = self.ty(ty)?;
                if matches!(inner.base, Base::Record(_)) {
                    let diagnostic = Diagnostic::error("unsupported", "a struct cannot hold another struct")
                        .label(ty.span, "a struct inside a struct")
                        .help("write its fields out here");
                    self.report(diagnostic);
                    return None;
                }
                let whole =
                    TypeSpec { dims: [spec.dims.clone(), inner.dims.clone()].concat(), ..inner.clone() };
                let view = self.declare(
                    &format!("{name}.{}", field.name),
                    &whole,
                    param,
                    structural,
                    None,
                    buffers,
                )?;
                fields.push(Field { name: field.name.clone(), elem: view.elem, dims: inner.dims });
            }
            return Some(View::whole(name, Elem::Record { name: record.clone(), fields }, &spec.dims));
        }
        let (elem, complex) = match spec.base {
            Base::Scalar(ty) => (ty, false),
            Base::Complex | Base::Record(_) => (Ty::F64, true),
        };
        let role = match elem {
            Ty::F64 | Ty::F32 if param.is_var => Role::Var,
            Ty::F64 | Ty::F32 if !structural => Role::Data,
            _ => Role::Structural,
        };
        let mut dims = spec.dims.clone();
        dims.extend(complex.then(|| SizeExpr::constant(2)));
        let span = (param.name.span.start, param.name.span.end);
        let buffer = self.b.buffer(BufferData {
            name: name.to_owned(),
            elem,
            dims,
            role,
            plane: Plane::Primal,
            entries: spec.entries.clone(),
            default,
            span,
        });
        buffers.push(buffer);
        Some(View::whole(
            name,
            if complex { Elem::Complex(buffer) } else { Elem::Scalar(buffer, elem) },
            &spec.dims,
        ))
    }

    /// The literal value of a default.
    fn default(&mut self, value: &'a Expr, spec: Option<&TypeSpec>) -> Option<f64> {
        let val = self.expr(value);
        let number = match &val {
            Val::Num(num) => match self.b.func().as_const(num.value) {
                Some(Const::F64(x)) => Some(x),
                Some(Const::F32(x)) => Some(f64::from(x)),
                Some(Const::Int(n)) => Some(n as f64),
                Some(Const::Bool(c)) => Some(f64::from(u8::from(c))),
                None => None,
            },
            _ => None,
        };
        let scalar = spec.is_none_or(|spec| spec.dims.is_empty() && matches!(spec.base, Base::Scalar(_)));
        if (number.is_none() || !scalar) && !matches!(val, Val::Error) {
            let diagnostic =
                Diagnostic::error("bad-default", "a default is a literal number for a scalar parameter")
                    .label(value.span, "not such a literal")
                    .help("write `k: f64 = 1.0`");
            self.report(diagnostic);
            return None;
        }
        if let (Some(spec), true) = (spec, number.is_some()) {
            self.coerce(val, spec, value.span, "this default");
        }
        number
    }

    fn fixed_masks(&mut self, param: &'a Param) -> Vec<Buffer> {
        let mut masks = Vec::new();
        for attr in &param.attrs {
            match attr.name.name.as_str() {
                "structural" if attr.args.is_empty() => {}
                "fixed" => {
                    if !param.is_var {
                        let diagnostic =
                            Diagnostic::error("misplaced-attribute", "only unknowns can be fixed")
                                .label(attr.span, format!("`{}` is not a `var`", param.name.name))
                                .help("write `var` before its type, or remove the attribute");
                        self.report(diagnostic);
                    }
                    for arg in &attr.args {
                        masks.extend(self.mask(arg, attr.span));
                    }
                }
                _ => {
                    self.unknown_attr(
                        attr,
                        &PARAM_ATTRS,
                        "a parameter takes `#[fixed(mask)]` and `#[structural]`",
                    );
                }
            }
        }
        masks
    }

    fn mask(&mut self, arg: &'a AttrArg, span: Span) -> Option<Buffer> {
        let (name, at) = match arg {
            AttrArg::Word(word, _) => (word.name.as_str(), word.span),
            AttrArg::Expr(Expr { kind: ExprKind::Name(name), span, .. }) | AttrArg::Text(name, span) => {
                (name.as_str(), *span)
            }
            AttrArg::Expr(_) => ("", span),
        };
        let bound = self.lookup(name);
        let buffer = match bound {
            Some(Binding::Val(Val::View(View { elem: Elem::Scalar(buffer, Ty::Bool), .. }))) => Some(buffer),
            _ => None,
        };
        if buffer.is_none() {
            let diagnostic = Diagnostic::error("bad-mask", "a mask is a `bool` array parameter")
                .label(at, "not a `bool` array")
                .help(
                    "declare it: `mask: bool[V]`, one flag for each vertex, or one mask for each component",
                );
            self.report(diagnostic);
        }
        buffer
    }

    // ---- results ----------------------------------------------------------------------------------------------------

    fn results(&mut self, kernel: &'a Kernel) -> Option<(Vec<program::KernelResult>, Vec<View>)> {
        let declared: Vec<(Option<&'a str>, &'a Type, Span)> = match &kernel.result {
            KernelResult::One(ty) => vec![(None, ty, ty.span)],
            KernelResult::Named(fields) => {
                fields.iter().map(|(name, ty)| (Some(name.name.as_str()), ty, name.span)).collect()
            }
        };
        let mut results = Vec::new();
        let mut dests = Vec::new();
        let mut names: BTreeMap<&str, Span> = BTreeMap::new();
        for (name, ty, span) in declared {
            let spec = self.ty(ty)?;
            let (elem, complex) = match spec.base {
                Base::Scalar(elem) if elem.is_float() => (elem, false),
                Base::Complex => (Ty::F64, true),
                Base::Scalar(_) | Base::Record(_) => {
                    let found = self.spec_text(&spec);
                    let diagnostic =
                        Diagnostic::error("bad-result", format!("a kernel returns floats, not `{found}`"))
                            .label(ty.span, "cannot be a result")
                            .help("return `f64`, or an array of it");
                    self.report(diagnostic);
                    return None;
                }
            };
            let stem = name.unwrap_or("out");
            if let Some(first) = names.insert(stem, span).filter(|_| name.is_some()) {
                let diagnostic =
                    Diagnostic::error("duplicate-name", format!("two results are named `{stem}`"))
                        .label(span, "named again here")
                        .label(first, "first here")
                        .help("rename one of them");
                self.report(diagnostic);
            }
            let unique = self.b.func().fresh_buffer_name(stem);
            let mut dims = spec.dims.clone();
            dims.extend(complex.then(|| SizeExpr::constant(2)));
            let buffer = self.b.buffer(BufferData {
                name: unique.clone(),
                elem,
                dims: dims.clone(),
                role: Role::Output,
                plane: Plane::Primal,
                entries: Entries::Any,
                default: None,
                span: (span.start, span.end),
            });
            let elem = if complex { Elem::Complex(buffer) } else { Elem::Scalar(buffer, elem) };
            dests.push(View::whole(stem, elem, &spec.dims));
            results.push(program::KernelResult { name: name.unwrap_or("out").to_owned(), buffer, dims });
        }
        Some((results, dests))
    }

    // ---- attributes -------------------------------------------------------------------------------------------------

    /// Reports an attribute that has no meaning where it stands.
    pub(super) fn unknown_attr(&mut self, attr: &Attr, known: &[&str], help: &str) {
        let name = &attr.name.name;
        let message = if known.contains(&name.as_str()) {
            format!("`#[{name}(..)]` does not take these arguments")
        } else {
            format!("`#[{name}]` has no meaning here")
        };
        let mut diagnostic =
            Diagnostic::error("unknown-attribute", message).label(attr.span, "not understood");
        if let Some(hint) = nearest(name, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{hint}`?")).patch(attr.name.span, hint);
        }
        self.report(diagnostic.help(help));
    }

    fn derive(&mut self, attr: &'a Attr) -> Vec<Derive> {
        let mut found = Vec::new();
        for arg in &attr.args {
            let (word, inner) = match arg {
                AttrArg::Word(word, inner) => (word, inner.as_slice()),
                AttrArg::Text(..) | AttrArg::Expr(_) => {
                    self.unknown_attr(attr, &["derive"], "it takes words: `#[derive(value, grad, hessian)]`");
                    continue;
                }
            };
            let detail = match inner {
                [] => Some(""),
                [AttrArg::Word(word, inner)] if inner.is_empty() => Some(word.name.as_str()),
                _ => None,
            };
            let derive = match (word.name.as_str(), detail) {
                ("value", Some("")) => Derive::Value,
                ("grad" | "gradient", Some("")) => Derive::Gradient,
                ("jacobian", Some("")) => Derive::Jacobian,
                ("hessian", Some("")) => Derive::Hessian,
                ("hessian", Some("lower")) => Derive::HessianLower,
                ("hessian", Some("lagrangian")) => Derive::HessianLagrangian,
                ("hvp", Some("")) => Derive::Hvp,
                ("jvp", Some("")) => Derive::Jvp,
                ("vjp", Some("")) => Derive::Vjp,
                ("gauss_newton", Some("")) => Derive::GaussNewton,
                (name, _) => {
                    let mut diagnostic = Diagnostic::error("unknown-derive", format!("`{name}` cannot be derived like this"))
                        .label(word.span, "not a derivative")
                        .help("value, grad, jacobian, hessian, hessian(lower), hessian(lagrangian), hvp, jvp, vjp, gauss_newton");
                    if let Some(hint) = nearest(name, DERIVES) {
                        diagnostic =
                            diagnostic.help(format!("did you mean `{hint}`?")).patch(word.span, hint);
                    }
                    self.report(diagnostic);
                    continue;
                }
            };
            if !found.contains(&derive) {
                found.push(derive);
            }
        }
        found
    }

    fn example(&mut self, attr: &'a Attr) -> Option<(String, u32)> {
        match attr.args.as_slice() {
            [AttrArg::Word(word, inner), AttrArg::Expr(Expr { kind: ExprKind::Int(size), .. })]
                if inner.is_empty() =>
            {
                if let Ok(size) = u32::try_from(*size) {
                    return Some((word.name.clone(), size));
                }
            }
            _ => {}
        }
        self.unknown_attr(
            attr,
            &["example"],
            "it names a generated input and its size: `#[example(cloth, 70)]`",
        );
        None
    }

    // ---- lints ------------------------------------------------------------------------------------------------------

    fn lints(&mut self, allow: &[String]) {
        if self.diagnostics.iter().any(Diagnostic::is_error) {
            return;
        }
        let unused: Vec<(Span, &'a str, NameKind)> = self
            .declared
            .iter()
            .filter(|(span, (name, _))| !self.used.contains(span) && !name.starts_with('_'))
            .map(|(&span, &(name, kind))| (span, name, kind))
            .collect();
        for (span, name, kind) in unused {
            let (code, what) = match kind {
                NameKind::Param => ("unused-parameter", "parameter"),
                NameKind::Size => ("unused-size", "size"),
                NameKind::Local => ("unused-variable", "variable"),
                NameKind::LoopVar => continue,
            };
            if allow.iter().any(|allowed| allowed.replace('_', "-") == code) {
                continue;
            }
            let diagnostic = Diagnostic::warning(code, format!("the {what} `{name}` is never used"))
                .label(span, "not used")
                .help(format!("remove it, or call it `_{name}`"));
            self.report(diagnostic);
        }
    }
}
