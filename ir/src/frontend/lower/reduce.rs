//! `sum`, `prod`, `min` and `max` as values: loops with reducing carries.

use super::Lowerer;
use super::loops::{CarrySpec, Nest};
use super::value::{Num, Val};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Attr, AttrArg, BinaryOp, Expr, ExprKind, Reduce, ReduceKind, UnaryOp};
use crate::frontend::builtin;
use crate::frontend::program::Term;
use crate::func::{Carry, Value};
use crate::project::{Filter, Projection};
use crate::span::Span;
use crate::types::Ty;

impl<'a> Lowerer<'a> {
    /// A reduction as a value.
    pub(super) fn reduce(&mut self, node: &'a Reduce, span: Span) -> Val {
        if self.term(&node.attrs, span).is_some() {
            return self.not_projected(span, "its result is used as a number");
        }
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
            let zeros: Vec<Value> = model.types().iter().map(|&ty| self.zero(ty)).collect();
            return model.with(&mut zeros.into_iter());
        }
        let types = model.types();
        let carries: Vec<CarrySpec> = types.iter().map(|&ty| CarrySpec { carry, ty }).collect();
        let nest = Nest {
            carries,
            ..Nest::new(&node.binders.binders, node.binders.filter.as_ref(), &node.body, span)
        };
        let results = self.nest(&nest, &mut |lowerer, _, _| {
            let val = lowerer.inside(|lowerer| lowerer.block(&node.body));
            let val = lowerer.force(val);
            let val = lowerer.try_meet(&val, &model).unwrap_or(Val::Error);
            let yields = val.scalars();
            if yields.len() == types.len() {
                yields
            } else {
                types.iter().map(|&ty| lowerer.zero(ty)).collect()
            }
        });
        model.with(&mut results.into_iter())
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
    pub(super) fn body_model(&mut self, node: &'a Reduce) -> Val {
        let mut model = None;
        let nest = Nest::new(&node.binders.binders, node.binders.filter.as_ref(), &node.body, node.body.span);
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
            (Val::Complex(..) | Val::Array(_) | Val::Tuple(_), Carry::Sum) => !model.is_loose(),
            _ => false,
        };
        if !fits {
            let (kind, found) = (node.kind.text(), self.describe(model));
            let at = node.body.value.as_ref().map_or(span, |value| value.span);
            let mut diagnostic =
                Diagnostic::error("type-mismatch", format!("`{kind}` does not take `{found}`"))
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

    // ---- attributes of terms ----------------------------------------------------------------------------------------

    /// Notes the attributes of a reduction; how its iterations are projected.
    pub(super) fn term(&mut self, attrs: &'a [Attr], span: Span) -> Option<Projection> {
        let mut term = Term { span, project: None, name: None };
        for attr in attrs {
            match (attr.name.name.as_str(), attr.args.as_slice()) {
                ("project", args) if projection(args).is_some() => term.project = projection(args),
                ("name", [AttrArg::Text(text, _)]) => term.name = Some(text.clone()),
                _ => {
                    self.unknown_attr(
                        attr,
                        &["project", "name"],
                        "`#[project]`, `#[project(abs)]`, `#[project(clamp, 1e-9)]` and `#[name(\"..\")]` stand before a `sum`",
                    );
                }
            }
        }
        let project = term.project;
        if !attrs.is_empty() && !self.terms.contains(&term) {
            self.terms.push(term);
        }
        project
    }

    /// Says that a reduction cannot be projected.
    pub(super) fn not_projected(&mut self, span: Span, label: &str) -> Val {
        let message = "`#[project]` stands before a `sum` whose iterations are added to an energy";
        self.report(
            Diagnostic::error("project", message)
                .label(span, label)
                .help("only such a sum has a Hessian that is a sum of element blocks; leave the attribute away, or give the sum as (part of) the result"),
        )
    }
}

/// What the arguments of `#[project(..)]` say: `clamp` or `abs`, then the smallest eigenvalue.
fn projection(args: &[AttrArg]) -> Option<Projection> {
    let (filter, rest) = match args {
        [AttrArg::Word(word, inner), rest @ ..] if inner.is_empty() => match word.name.as_str() {
            "clamp" => (Filter::Clamp, rest),
            "abs" => (Filter::Abs, rest),
            _ => return None,
        },
        _ => (Filter::Clamp, args),
    };
    let eps = match rest {
        [] => 0.0,
        [AttrArg::Expr(expr)] => match expr.kind {
            ExprKind::Float(eps) => eps,
            ExprKind::Int(0) => 0.0,
            _ => return None,
        },
        _ => return None,
    };
    Projection::new(filter, eps)
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
            use BinaryOp::{Add, Div, Mul, Pow, Sub};
            match op {
                Add | Sub => surely_float(a) || surely_float(b),
                Mul => surely_float(a) && surely_float(b),
                Div | Pow => surely_float(a),
                _ => false,
            }
        }
        ExprKind::Unary(UnaryOp::Neg, a) => surely_float(a),
        _ => false,
    }
}
