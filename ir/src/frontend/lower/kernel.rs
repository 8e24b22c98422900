//! The frame of a kernel: sizes, parameters, results, lints.

use super::attributes::Attributes;
use super::value::{Base, Elem, Field, TypeSpec, Val, View};
use super::{Binding, Lowerer, NameKind};
use crate::builder::Builder;
use crate::diag::Diagnostic;
use crate::frontend::ast::{Expr, Function, Kernel, KernelResult, Param, Type};
use crate::frontend::program;
use crate::func::{Buffer, BufferData, Const, Entries, Func, Plane, Role};
use crate::span::Span;
use crate::types::{SizeExpr, Ty};
use std::collections::BTreeMap;

/// Up to here a default, which is kept as a float, is exact.
const LARGEST_DEFAULT: u64 = 1 << 53;

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
        let Attributes { derive, example, allow } = self.kernel_attrs(kernel);
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

    /// The value of a default: what literals and constants make.
    fn default(&mut self, value: &'a Expr, spec: Option<&TypeSpec>) -> Option<f64> {
        let val = self.expr(value);
        let number = match &val {
            Val::Num(num) => match self.b.func().as_const(num.value) {
                Some(Const::F64(x)) => Some(x),
                Some(Const::F32(x)) => Some(f64::from(x)),
                Some(Const::Int(n)) if n.unsigned_abs() > LARGEST_DEFAULT => {
                    let diagnostic =
                        Diagnostic::error("bad-default", "the default of an integer is at most 2^53")
                            .label(value.span, "larger")
                            .help("pass it as data, or write it as a `const` where it is used");
                    self.report(diagnostic);
                    return None;
                }
                Some(Const::Int(n)) => Some(n as f64),
                Some(Const::Bool(c)) => Some(f64::from(u8::from(c))),
                None => None,
            },
            _ => None,
        };
        let scalar = spec.is_none_or(|spec| spec.dims.is_empty() && matches!(spec.base, Base::Scalar(_)));
        if (number.is_none() || !scalar) && !matches!(val, Val::Error) {
            let diagnostic = Diagnostic::error(
                "bad-default",
                "a default is a number known when the kernel is compiled, for a scalar parameter",
            )
            .label(value.span, "not such a number")
            .help("write `k: f64 = 1.0`");
            self.report(diagnostic);
            return None;
        }
        if let (Some(spec), true) = (spec, number.is_some()) {
            self.coerce(val, spec, value.span, "this default");
        }
        number
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
