//! Functions whose partials the author gives: `#[partials(..)]`.
//!
//! # Method
//! The body is elaborated with hidden parameters, so that no derivative passes through it. The partials are elaborated with the parameters
//! as they are, and attached to the value: `attach(attach(v, a, p), b, q)` has the value `v` and the differential `p da + q db`.
//! Derivatives of higher order are those of the partials.
//!
//! Partials may be written in terms of `result`, as those of implicit functions are. The derivative of `result` is what is being given, so
//! it is written out as often as somebody may differentiate: [`ORDERS`] times, the innermost `result` having slopes that are NaN. Equal
//! copies of the partials become one where the slopes are dropped.
//!
//! Arrays of symbolic length have no partials; a function that reads one is sealed (`Builder::seal`), and the passes refuse derivatives
//! that reach it through the array.

use super::value::{Base, Num, TypeSpec, Val};
use super::{Binding, Entry, Lowerer, NameKind};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Attr, AttrArg, Expr, Function, Param};
use crate::func::{Entries, Value};
use crate::op::Op;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// Partials that mention `result` are right up to this order of differentiation; beyond they are NaN.
const ORDERS: usize = 4;

/// What the value of the function is called in its partials.
const RESULT: &str = "result";

/// A parameter that has a partial.
struct Source<'a> {
    param: &'a Param,
    spec: TypeSpec,
    /// Its scalars with their types.
    scalars: Vec<(Value, Ty)>,
}

impl<'a> Lowerer<'a> {
    /// The value of a call of a function with given partials.
    pub(super) fn with_partials(
        &mut self,
        function: &'a Function,
        attr: &'a Attr,
        vals: &[Val],
        span: Span,
    ) -> Val {
        let vals: Vec<Val> = vals.iter().map(|val| self.force(val.clone())).collect();
        let Some((specs, sources)) = self.partial_signature(function, attr, &vals) else {
            return Val::Error;
        };
        let mark = self.env.len();
        let hidden: Vec<Val> = vals.iter().map(|val| self.hidden(val)).collect();
        self.bind_params(function, &hidden);
        let val = self.block(&function.body);
        let val = self.checked_result(val, &function.results, function);
        self.env.truncate(mark);
        if val.is_loose() {
            return Val::Error;
        }
        self.at(span);
        let reads_array = vals.iter().any(|val| matches!(val, Val::View(_)));
        let bare: Vec<Value> =
            val.scalars().into_iter().map(|v| if reads_array { self.b.seal(v) } else { v }).collect();
        let mut known = self.unknown_slopes(&bare, &sources);
        for _ in 0..ORDERS {
            let result = val.with(&mut known.iter().copied());
            self.bind_params(function, &vals);
            if function.params.iter().all(|param| param.name.name != RESULT) {
                let binding = Binding::Val(result);
                let span = attr.name.span;
                self.env.push(Entry { name: RESULT, binding, kind: NameKind::Local, span });
            }
            let slopes = self.slopes(function, attr, &specs, &sources, bare.len());
            self.env.truncate(mark);
            let Some(slopes) = slopes else { return Val::Error };
            self.at(span);
            known = self.attached(&bare, &sources, &slopes);
            if !self.used.contains(&attr.name.span) {
                break;
            }
        }
        val.with(&mut known.into_iter())
    }

    /// The types of the results and the parameters that have partials; `None` where the function cannot have them as given.
    fn partial_signature(
        &mut self,
        function: &'a Function,
        attr: &'a Attr,
        vals: &[Val],
    ) -> Option<(Vec<TypeSpec>, Vec<Source<'a>>)> {
        let mut specs = Vec::new();
        for ty in &function.results {
            let spec = self.ty(ty)?;
            let literal = spec.dims.iter().all(|dim| dim.as_constant().is_some());
            if !literal || !matches!(spec.base, Base::Scalar(ty) if ty.is_float()) {
                let found = self.spec_text(&spec);
                let diagnostic = Diagnostic::error(
                    "bad-partials",
                    format!("`{}` gives `{found}`, which has no partials", function.name.name),
                )
                .label(attr.span, "given here")
                .label(ty.span, "not a float, vector or matrix")
                .help("partials are those of floats, vectors and matrices: give such a result, or leave `#[partials(..)]` away");
                self.report(diagnostic);
                return None;
            }
            specs.push(spec);
        }
        let mut sources = Vec::new();
        for (param, val) in function.params.iter().zip(vals) {
            let spec = self.ty(&param.ty)?;
            let float =
                matches!(spec.base, Base::Complex) || matches!(spec.base, Base::Scalar(ty) if ty.is_float());
            if float && !matches!(val, Val::View(_)) {
                let scalars = val.scalars().into_iter().zip(val.types()).collect();
                sources.push(Source { param, spec, scalars });
            }
        }
        let (found, wanted) = (attr.args.len(), sources.len());
        if found != wanted || wanted == 0 {
            let names: Vec<String> = sources.iter().map(|s| format!("`{}`", s.param.name.name)).collect();
            let help = if names.is_empty() {
                "a function of integers and arrays has no partials: leave `#[partials(..)]` away".to_owned()
            } else {
                format!(
                    "give one expression for each of {}, in this order; integers, truth values and arrays of symbolic length have none",
                    names.join(", ")
                )
            };
            let diagnostic = Diagnostic::error(
                "wrong-arity",
                format!(
                    "`{}` takes {}, found {found}",
                    function.name.name,
                    if wanted == 1 { "1 partial".to_owned() } else { format!("{wanted} partials") }
                ),
            )
            .label(attr.span, format!("{found} given"))
            .label(function.name.span, "the function")
            .help(help);
            self.report(diagnostic);
            return None;
        }
        Some((specs, sources))
    }

    /// A parameter as the body sees it.
    fn hidden(&mut self, val: &Val) -> Val {
        let scalars: Vec<Value> = val
            .scalars()
            .into_iter()
            .zip(val.types())
            .map(|(value, ty)| if ty.is_float() { self.b.op(Op::Hidden, &[value]) } else { value })
            .collect();
        match val {
            Val::View(_) => val.clone(),
            Val::Num(_) | Val::Complex(..) | Val::Array(_) | Val::Tuple(_) | Val::Error => {
                val.with(&mut scalars.into_iter())
            }
        }
    }

    /// The innermost `result`: its slopes are not known.
    fn unknown_slopes(&mut self, bare: &[Value], sources: &[Source<'a>]) -> Vec<Value> {
        let columns: usize = sources.iter().map(|source| source.scalars.len()).sum();
        let mut slopes = Vec::new();
        for &value in bare {
            let unknown = self.b.float(self.b.func().ty(value), f64::NAN);
            slopes.push(vec![unknown; columns]);
        }
        self.attached(bare, sources, &slopes)
    }

    /// The values with their slopes: for each a row, one number for each scalar of the sources.
    fn attached(&mut self, bare: &[Value], sources: &[Source<'a>], slopes: &[Vec<Value>]) -> Vec<Value> {
        let scalars: Vec<(Value, Ty)> =
            sources.iter().flat_map(|source| source.scalars.iter().copied()).collect();
        let mut attached = Vec::with_capacity(bare.len());
        for (&value, row) in bare.iter().zip(slopes) {
            let mut image = value;
            for (&(argument, ty), &slope) in scalars.iter().zip(row) {
                let argument = match (ty, self.b.func().ty(value)) {
                    (Ty::F32, Ty::F64) => self.b.op(Op::Widen, &[argument]),
                    (Ty::F64, Ty::F32) => self.b.op(Op::Narrow, &[argument]),
                    _ => argument,
                };
                image = self.b.attach(image, argument, slope);
            }
            attached.push(image);
        }
        attached
    }

    /// The partials: for each of the `count` scalars of the results a row, one number for each scalar of the sources.
    fn slopes(
        &mut self,
        function: &'a Function,
        attr: &'a Attr,
        specs: &[TypeSpec],
        sources: &[Source<'a>],
        count: usize,
    ) -> Option<Vec<Vec<Value>>> {
        let mut rows: Vec<Vec<Value>> = vec![Vec::new(); count];
        for (source, arg) in sources.iter().zip(&attr.args) {
            let AttrArg::Expr(expr) = arg else { return None };
            let val = self.expr(expr);
            let parts = match val {
                Val::Error => return None,
                Val::Tuple(parts) if parts.len() == specs.len() => parts,
                val if specs.len() == 1 => vec![val],
                val => {
                    let found = self.describe(&val);
                    let name = &source.param.name.name;
                    let diagnostic = Diagnostic::error(
                        "type-mismatch",
                        format!(
                            "the partial of `{}` by `{name}` is `{found}`, expected a tuple of {}",
                            function.name.name,
                            specs.len()
                        ),
                    )
                    .label(expr.span, format!("this is `{found}`"))
                    .help("give one partial for each result, as a tuple `(a, b)`");
                    self.report(diagnostic);
                    return None;
                }
            };
            let mut row = 0;
            for (part, spec) in parts.into_iter().zip(specs) {
                let part = self.partial(part, spec, source, expr, function)?.scalars();
                let columns = source.scalars.len().max(1);
                for chunk in part.chunks(columns) {
                    rows[row].extend_from_slice(chunk);
                    row += 1;
                }
            }
        }
        Some(rows)
    }

    /// One partial, checked: the dimensions of the result, then those of the parameter.
    fn partial(
        &mut self,
        val: Val,
        result: &TypeSpec,
        source: &Source<'a>,
        expr: &'a Expr,
        function: &'a Function,
    ) -> Option<Val> {
        let dims: Vec<SizeExpr> = result.dims.iter().chain(&source.spec.dims).cloned().collect();
        let base = if source.spec.base == Base::Complex { Base::Complex } else { result.base.clone() };
        let spec = TypeSpec { base, dims, entries: Entries::Any };
        let val = self.force(val);
        if let Some(fitted) = self.fit(&val, &spec).filter(|val| !val.is_loose()) {
            return Some(fitted);
        }
        let (name, found) = (&source.param.name, self.describe(&val));
        let (wanted, by, of) = (self.spec_text(&spec), self.spec_text(&source.spec), self.spec_text(result));
        let mut diagnostic = Diagnostic::error(
            "type-mismatch",
            format!(
                "the partial of `{}` by `{}` is `{found}`, expected `{wanted}`",
                function.name.name, name.name
            ),
        )
        .label(expr.span, format!("this is `{found}`"))
        .label(name.span, format!("`{}` is `{by}`", name.name));
        let integer = matches!(val, Val::Num(Num { ty: Ty::Int, .. }));
        diagnostic = if integer && spec.dims.is_empty() {
            diagnostic.help("integers become floats only by `f64(..)`")
        } else {
            diagnostic.help(format!(
                "the partial of `{of}` by `{by}` is `{wanted}`: one number for each entry of the result and of the parameter"
            ))
        };
        self.report(diagnostic);
        None
    }
}
