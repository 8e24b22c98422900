//! Calls: which function is meant, and inlining of the functions of the file.

use super::sink::Weight;
use super::value::{Elem, Val, View};
use super::{Binding, Lowerer, NameKind};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Expr, ExprKind, Function, Ident, Type};
use crate::frontend::builtin;
use crate::frontend::suggest::nearest;
use crate::func::Entries;
use crate::span::Span;
use crate::types::SizeExpr;

impl<'a> Lowerer<'a> {
    /// `name(args)` as a value.
    pub(super) fn call(&mut self, name: &'a Ident, args: &'a [Expr], span: Span) -> Val {
        if let Some(function) = self.items.functions.get(name.name.as_str()).copied() {
            let results = function.results.as_slice();
            return self.inlined(function, name, args, span, |lowerer, vals| {
                if let Some(attr) = function.partials() {
                    return lowerer.with_partials(function, attr, vals, span);
                }
                lowerer.bind_params(function, vals);
                let val = lowerer.block(&function.body);
                lowerer.checked_result(val, results, function)
            });
        }
        if builtin::is_builtin(&name.name) && !matches!(name.name.as_str(), "inf" | "pi") {
            return self.builtin(name, args, span);
        }
        for arg in args {
            self.expr(arg);
        }
        let functions = self.items.functions.keys().copied();
        let hint = nearest(&name.name, functions.chain(builtin::callable())).map(str::to_owned);
        let mut diagnostic =
            Diagnostic::error("undefined-function", format!("there is no function `{}`", name.name))
                .label(name.span, "unknown function");
        diagnostic = match hint {
            Some(hint) => diagnostic.help(format!("did you mean `{hint}`?")).patch(name.span, hint),
            None => match self.peek_binding(&name.name) {
                Some(_) => diagnostic.help(format!(
                    "`{0}` is a value: subscripts are written `{0}[i]`, products `{0} * (..)`",
                    name.name
                )),
                None => diagnostic.help("define it: `fn f(a: f64) -> f64 { .. }`"),
            },
        };
        self.report(diagnostic)
    }

    /// A call of a function of the file, its value sunk into its place.
    pub(super) fn sink_call(
        &mut self,
        name: &'a Ident,
        args: &'a [Expr],
        span: Span,
        weights: &[Weight],
        dests: &[View],
    ) {
        let Some(function) = self.items.functions.get(name.name.as_str()).copied() else { return };
        self.inlined(function, name, args, span, |lowerer, vals| {
            lowerer.bind_params(function, vals);
            lowerer.sink_block(&function.body, weights, dests);
            Val::Error
        });
    }

    /// Binds the parameters of a function.
    pub(super) fn bind_params(&mut self, function: &'a Function, vals: &[Val]) {
        for (param, val) in function.params.iter().zip(vals) {
            self.bind(&param.name, Binding::Val(val.clone()), NameKind::Param);
        }
    }

    /// Runs `body` on the arguments, where it sees the sizes of `function` and nothing of the caller.
    fn inlined(
        &mut self,
        function: &'a Function,
        name: &'a Ident,
        args: &'a [Expr],
        span: Span,
        body: impl FnOnce(&mut Self, &[Val]) -> Val,
    ) -> Val {
        let vals: Vec<Val> = args.iter().map(|arg| self.expr(arg)).collect();
        if vals.len() != function.params.len() {
            let (found, wanted) = (vals.len(), function.params.len());
            let diagnostic = Diagnostic::error(
                "wrong-arity",
                format!("`{}` takes {}, found {found}", name.name, arguments(wanted)),
            )
            .label(span, arguments(found))
            .label(function.name.span, "defined here")
            .help(format!("give {}", arguments(wanted)));
            return self.report(diagnostic);
        }
        if self.calls.contains(&name.name.as_str()) {
            let diagnostic = Diagnostic::error("recursion", format!("`{}` calls itself", name.name))
                .label(span, "called again here")
                .label(function.name.span, "defined here")
                .help("functions are inlined and cannot be recursive; write a recurrence: `fold k in 0..K with s = init { .. }`");
            return self.report(diagnostic);
        }
        self.calls.push(&function.name.name);
        self.called.insert(&function.name.name);
        let mark = self.env.len();
        let base = std::mem::replace(&mut self.env_base, mark);
        self.bind_sizes(function, &vals);
        let mut bound = Vec::with_capacity(vals.len());
        for ((param, val), arg) in function.params.iter().zip(vals).zip(args) {
            let failed = matches!(val, Val::Error);
            let val = match self.ty(&param.ty) {
                Some(spec) => {
                    let small =
                        spec.dims.iter().all(|dim| dim.as_constant().is_some()) && !spec.dims.is_empty();
                    let val = if small { self.settle(val) } else { val };
                    let what = format!("argument `{}` of `{}`", param.name.name, function.name.name);
                    self.coerce(val, &spec, arg.span, &what)
                }
                None => Val::Error,
            };
            bound.push(if failed { Val::Error } else { val });
        }
        let failed = bound.iter().any(|val| matches!(val, Val::Error));
        let result = if failed { Val::Error } else { body(self, &bound) };
        self.env.truncate(mark);
        self.env_base = base;
        self.calls.pop();
        result
    }

    pub(super) fn checked_result(&mut self, val: Val, results: &'a [Type], function: &'a Function) -> Val {
        let span = function.body.value.as_ref().map_or(function.body.span, |value| value.span);
        let what = format!("the result of `{}`", function.name.name);
        match (results, val) {
            (_, Val::Error) => Val::Error,
            ([only], val) => self.result_as(val, only, span, &what),
            (several, Val::Tuple(parts)) if parts.len() == several.len() => Val::Tuple(
                parts
                    .into_iter()
                    .zip(several)
                    .map(|(part, ty)| self.result_as(part, ty, span, &what))
                    .collect(),
            ),
            (several, val) => {
                let (found, wanted) = (self.describe(&val), several.len());
                let diagnostic = Diagnostic::error(
                    "type-mismatch",
                    format!("{what} is `{found}`, expected a tuple of {wanted}"),
                )
                .label(span, format!("this is `{found}`"))
                .help("give the results as a tuple, `(a, b)`");
                self.report(diagnostic)
            }
        }
    }

    fn result_as(&mut self, val: Val, ty: &'a Type, span: Span, what: &str) -> Val {
        let Some(spec) = self.ty(ty) else { return Val::Error };
        let val =
            if spec.dims.iter().all(|dim| dim.as_constant().is_some()) { self.settle(val) } else { val };
        self.coerce(val, &spec, span, what)
    }

    /// Binds the sizes of a function to the lengths found in the arguments.
    fn bind_sizes(&mut self, function: &'a Function, vals: &[Val]) {
        for size in &function.sizes {
            let found = function
                .params
                .iter()
                .zip(vals)
                .find_map(|(param, val)| self.size_in(&size.name, &param.ty, val));
            match found {
                Some(found) => self.bind(size, Binding::Size(found), NameKind::Size),
                None if vals.iter().any(|val| matches!(val, Val::Error)) => {
                    self.bind(size, Binding::Val(Val::Error), NameKind::Size);
                }
                None => {
                    let diagnostic = Diagnostic::error(
                        "unbound-size",
                        format!("no parameter of `{}` says what `{}` is", function.name.name, size.name),
                    )
                    .label(size.span, "not a dimension of any parameter")
                    .help(format!(
                        "a size is found where it stands alone as a dimension: `a: f64[{}]`",
                        size.name
                    ));
                    self.report(diagnostic);
                    self.bind(size, Binding::Val(Val::Error), NameKind::Size);
                }
            }
        }
    }

    /// What the size must be for `val` to have type `ty`, where the size is a dimension or a range by itself.
    fn size_in(&self, size: &str, ty: &Type, val: &Val) -> Option<SizeExpr> {
        let is_it = |expr: &Expr| matches!(&expr.kind, ExprKind::Name(name) if name == size);
        let dims = match val {
            Val::View(view) => view.dims(),
            Val::Array(small) => small.dims.iter().map(|&n| SizeExpr::constant(n as i64)).collect(),
            Val::Num(_) | Val::Complex(..) | Val::Tuple(_) | Val::Error => Vec::new(),
        };
        if let Some(dim) = ty.dims.iter().position(is_it).and_then(|at| dims.get(at)) {
            return Some(dim.clone());
        }
        let at = ty.args.iter().position(is_it)?;
        let Val::View(View { elem: Elem::Scalar(buffer, _), .. }) = val else { return None };
        match &self.b.func().buffers[*buffer].entries {
            Entries::Index(bounds) => bounds.get(at).cloned(),
            Entries::Offsets(bound) => Some(bound.clone()),
            Entries::Any => None,
        }
    }
}

/// `2 arguments`
pub(super) fn arguments(count: usize) -> String {
    match count {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        n => format!("{n} arguments"),
    }
}
