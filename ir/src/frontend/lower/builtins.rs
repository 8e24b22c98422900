//! Calls of the built-in functions.

use super::Lowerer;
use super::call::arguments;
use super::linalg::Floats;
use super::value::{MAX_SMALL, Num, Small, Val};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Expr, Ident};
use crate::frontend::builtin;
use crate::op::Op;
use crate::span::Span;
use crate::types::{SizeExpr, Ty};

/// Arguments a built-in takes, at least and at most.
fn arity(name: &str) -> (usize, usize) {
    match name {
        "dot" | "cross" | "outer" | "hadamard" | "pow" | "complex" => (2, 2),
        "clamp" => (3, 3),
        "min" | "max" => (2, 64),
        "vec2" => (1, 2),
        "vec3" => (1, 3),
        "vec4" | "mat2" => (1, 4),
        "mat3" => (1, 9),
        "mat4" | "cols" | "rows" => (1, 16),
        _ if builtin::scalar_binary(name).is_some() => (2, 2),
        _ => (1, 1),
    }
}

impl<'a> Lowerer<'a> {
    pub(super) fn builtin(&mut self, ident: &'a Ident, args: &'a [Expr], span: Span) -> Val {
        let name = ident.name.as_str();
        let (least, most) = arity(name);
        if matches!(name, "sum" | "prod") {
            let diagnostic =
                Diagnostic::error("undefined-function", format!("`{name}` is a loop, not a function"))
                    .label(span, "called like a function")
                    .help(format!("write `{name} i in 0..N {{ a[i] }}`"));
            return self.report(diagnostic);
        }
        let mut vals = Vec::new();
        for arg in args {
            let val = self.expr(arg);
            vals.push(if name == "len" { val } else { self.force(val) });
        }
        if args.len() < least || args.len() > most {
            let wanted =
                if least == most { arguments(least) } else { format!("{least} to {}", arguments(most)) };
            let diagnostic =
                Diagnostic::error("wrong-arity", format!("`{name}` takes {wanted}, found {}", args.len()))
                    .label(span, arguments(args.len()))
                    .help(format!("give {wanted}"));
            return self.report(diagnostic);
        }
        if vals.iter().any(|val| matches!(val, Val::Error)) {
            return Val::Error;
        }
        self.at(span);
        let spans: Vec<Span> = args.iter().map(|arg| arg.span).collect();
        self.apply(name, &vals, &spans, span)
    }

    fn apply(&mut self, name: &str, vals: &[Val], spans: &[Span], span: Span) -> Val {
        if let [Val::Complex(re, im)] = vals
            && let Some(val) = self.complex_builtin(name, (*re, *im))
        {
            return val;
        }
        match name {
            "len" => self.len(&vals[0], span),
            "int" => self.truncated(&vals[0], spans[0]),
            "f64" | "f32" => self.as_float(name, &vals[0], spans[0]),
            "complex" => self.make_complex(vals, spans),
            "vec2" | "vec3" | "vec4" | "mat2" | "mat3" | "mat4" => self.constructor(name, vals, spans, span),
            "cols" | "rows" => self.stacked(name, vals, spans, span),
            "identity" => self.identity(&vals[0], span),
            "min" | "max" => self.min_max(name, name == "min", vals, spans, span),
            "clamp" => {
                let low = self.min_max(name, false, &vals[..2], &spans[..2], span);
                self.min_max(name, true, &[low, vals[2].clone()], &[span, spans[2]], span)
            }
            "abs" => self.abs(&vals[0], spans[0]),
            "pow" => match &vals[1] {
                Val::Num(exponent) => self.power(vals[0].clone(), *exponent, span),
                other => self.scalar_wanted("pow", other, spans[1]),
            },
            "stop_gradient" => self.stop_gradient(&vals[0], spans[0]),
            "conj" | "re" | "im" | "arg" => match self.as_pair(&vals[0], spans[0]) {
                Some(pair) => self.complex_builtin(name, pair).unwrap_or(Val::Error),
                None => Val::Error,
            },
            "dot" | "cross" | "norm" | "sqnorm" | "det" | "inv" | "transpose" | "trace" | "diag"
            | "outer" | "hadamard" | "normalize" => self.linear(name, vals, spans, span),
            _ => self.scalar_function(name, vals, spans, span),
        }
    }

    // ---- scalars --------------------------------------------------------------------------------------------------

    fn scalar_wanted(&mut self, name: &str, val: &Val, span: Span) -> Val {
        let found = self.describe(val);
        let mut diagnostic =
            Diagnostic::error("type-mismatch", format!("`{name}` takes a float, found `{found}`"))
                .label(span, format!("this is `{found}`"));
        diagnostic = match val {
            Val::Num(Num { ty: Ty::Int, .. }) => diagnostic.help("write `f64(n)` for the integer"),
            Val::Array(_) => diagnostic.help("apply it to each component: `map c in 0..3 { f(v[c]) }`"),
            _ => diagnostic.help("give it a number"),
        };
        self.report(diagnostic)
    }

    fn float(&mut self, name: &str, val: &Val, span: Span) -> Option<Num> {
        let num = match val {
            Val::Num(num) if num.ty.is_float() => Some(*num),
            Val::Num(num) => self.with_ty(*num, Ty::F64),
            _ => None,
        };
        if num.is_none() {
            self.scalar_wanted(name, val, span);
        }
        num
    }

    fn scalar_function(&mut self, name: &str, vals: &[Val], spans: &[Span], span: Span) -> Val {
        let nums: Option<Vec<Num>> =
            vals.iter().zip(spans).map(|(val, &span)| self.float(name, val, span)).collect();
        let Some(nums) = nums else { return Val::Error };
        let (value, ty) = match (nums.as_slice(), builtin::scalar_unary(name), builtin::scalar_binary(name)) {
            ([a], Some(op), _) => (self.b.op(op, &[a.value]), a.ty),
            ([a, b], _, Some(op)) => {
                let Some((a, b)) = self.same_type(*a, *b, span) else { return Val::Error };
                (self.b.op(op, &[a.value, b.value]), a.ty)
            }
            _ => return Val::Error,
        };
        Val::Num(Num { value, ty, literal: false })
    }

    fn min_max(&mut self, name: &str, smaller: bool, vals: &[Val], spans: &[Span], span: Span) -> Val {
        let mut best: Option<Num> = None;
        for (val, &at) in vals.iter().zip(spans) {
            let num = match val {
                Val::Num(num) if num.ty != Ty::Bool => *num,
                Val::Error => return Val::Error,
                other => return self.scalar_wanted(name, other, at),
            };
            let Some(so_far) = best else {
                best = Some(num);
                continue;
            };
            let Some((a, b)) = self.same_type(so_far, num, span) else { return Val::Error };
            let op = match (a.ty, smaller) {
                (Ty::Int, true) => Op::IntMin,
                (Ty::Int, false) => Op::IntMax,
                (_, true) => Op::Min,
                (_, false) => Op::Max,
            };
            best = Some(Num {
                value: self.b.op(op, &[a.value, b.value]),
                ty: a.ty,
                literal: a.literal && b.literal,
            });
        }
        best.map_or(Val::Error, Val::Num)
    }

    fn abs(&mut self, val: &Val, span: Span) -> Val {
        match val {
            Val::Num(num) if num.ty.is_float() => {
                Val::Num(Num { value: self.b.op(Op::Abs, &[num.value]), ..*num })
            }
            Val::Num(num) if num.ty == Ty::Int => {
                let zero = self.b.int(0);
                let opposite = self.int_op(Op::IntSub, zero, num.value);
                Val::Num(Num { value: self.b.op(Op::IntMax, &[num.value, opposite]), ..*num })
            }
            other => self.scalar_wanted("abs", other, span),
        }
    }

    fn stop_gradient(&mut self, val: &Val, span: Span) -> Val {
        match val {
            Val::Num(num) if num.ty.is_float() => {
                Val::Num(Num { value: self.b.op(Op::StopGradient, &[num.value]), literal: false, ..*num })
            }
            Val::Complex(re, im) => self.complex_builtin("stop_gradient", (*re, *im)).unwrap_or(Val::Error),
            Val::Array(small) => {
                let items = small.items.iter().map(|item| self.stop_gradient(item, span)).collect();
                Val::Array(Small { dims: small.dims.clone(), items })
            }
            other => self.scalar_wanted("stop_gradient", other, span),
        }
    }

    // ---- conversions ------------------------------------------------------------------------------------------------

    fn len(&mut self, val: &Val, span: Span) -> Val {
        let size = match val {
            Val::View(view) => view.dims().first().cloned(),
            Val::Array(small) => Some(SizeExpr::constant(small.dims[0] as i64)),
            _ => None,
        };
        let Some(size) = size else {
            let found = self.describe(val);
            let diagnostic =
                Diagnostic::error("type-mismatch", format!("`len` takes an array, found `{found}`"))
                    .label(span, format!("this is `{found}`"))
                    .help("it gives the length of the first axis");
            return self.report(diagnostic);
        };
        Val::Num(Num { value: self.b.size(&size), ty: Ty::Int, literal: false })
    }

    fn truncated(&mut self, val: &Val, span: Span) -> Val {
        match val {
            Val::Num(num) if num.ty == Ty::Int => Val::Num(*num),
            Val::Num(num) if num.ty.is_float() => {
                if self.depends_on_var(num.value) {
                    let diagnostic = Diagnostic::error(
                        "active-index",
                        "an integer depends on a `var`: the pattern would change with the values",
                    )
                    .label(span, "computed from unknowns")
                    .help("pass it as an `index<..>` input and prepare again when it changes");
                    return self.report(diagnostic);
                }
                self.freeze(num.value);
                Val::Num(Num { value: self.b.op(Op::FloatToInt, &[num.value]), ty: Ty::Int, literal: false })
            }
            Val::Num(num) => {
                let (one, zero) = (self.b.int(1), self.b.int(0));
                Val::Num(Num { value: self.b.select(num.value, one, zero), ty: Ty::Int, literal: false })
            }
            other => self.scalar_wanted("int", other, span),
        }
    }

    fn as_float(&mut self, name: &str, val: &Val, span: Span) -> Val {
        let ty = if name == "f32" { Ty::F32 } else { Ty::F64 };
        match val {
            Val::Num(num) => {
                let value = match (num.ty, ty) {
                    (from, to) if from == to => num.value,
                    (Ty::F32, _) => self.b.op(Op::Widen, &[num.value]),
                    (Ty::F64, _) => self.b.op(Op::Narrow, &[num.value]),
                    (Ty::Int, _) => self.int_to_float(num.value, ty),
                    (Ty::Bool, _) => {
                        let wide = self.b.op(Op::BoolToFloat, &[num.value]);
                        if ty == Ty::F32 { self.b.op(Op::Narrow, &[wide]) } else { wide }
                    }
                };
                Val::Num(Num { value, ty, literal: false })
            }
            Val::Array(small) => {
                let items = small.items.iter().map(|item| self.as_float(name, item, span)).collect();
                Val::Array(Small { dims: small.dims.clone(), items })
            }
            other => self.scalar_wanted(name, other, span),
        }
    }

    fn make_complex(&mut self, vals: &[Val], spans: &[Span]) -> Val {
        let parts: Option<Vec<Num>> =
            vals.iter().zip(spans).map(|(val, &span)| self.float("complex", val, span)).collect();
        match parts.as_deref() {
            Some([re, im]) if re.ty == Ty::F64 && im.ty == Ty::F64 => Val::Complex(re.value, im.value),
            Some(_) => self.scalar_wanted("complex", &vals[0], spans[0]),
            None => Val::Error,
        }
    }

    // ---- constructors -----------------------------------------------------------------------------------------------

    /// `vec3(a)`, `vec3(a, b, c)`, `mat2(a, b, c, d)`
    fn constructor(&mut self, name: &str, vals: &[Val], spans: &[Span], span: Span) -> Val {
        let n = usize::from(name.as_bytes()[3] - b'0');
        let dims = if name.starts_with("vec") { vec![n] } else { vec![n, n] };
        let count: usize = dims.iter().product();
        let nums: Option<Vec<Num>> =
            vals.iter().zip(spans).map(|(val, &span)| self.float(name, val, span)).collect();
        let Some(nums) = nums else { return Val::Error };
        let nums: Vec<Val> = nums.into_iter().map(|num| Val::Num(Num { literal: false, ..num })).collect();
        match nums.as_slice() {
            [only] => Val::filled(dims, only),
            _ if nums.len() == count
                && Val::Tuple(nums.clone()).types().windows(2).all(|pair| pair[0] == pair[1]) =>
            {
                Val::Array(Small { dims, items: nums })
            }
            _ => {
                let diagnostic = Diagnostic::error(
                    "wrong-arity",
                    format!("`{name}` takes 1 or {count} numbers, found {}", nums.len()),
                )
                .label(span, arguments(nums.len()))
                .help("one number fills it; rows and columns make matrices with `rows(..)` and `cols(..)`");
                self.report(diagnostic)
            }
        }
    }

    /// `cols(a, b)`: the matrix with these columns; `rows(a, b)`: with these rows.
    fn stacked(&mut self, name: &str, vals: &[Val], spans: &[Span], span: Span) -> Val {
        let parts: Option<Vec<Floats>> =
            vals.iter().zip(spans).map(|(val, &span)| self.floats(val, span, name)).collect();
        let Some(parts) = parts else { return Val::Error };
        let (dims, ty) = (parts[0].dims.clone(), parts[0].ty);
        if dims.len() != 1
            || parts.iter().any(|part| part.dims != dims || part.ty != ty)
            || dims[0] * parts.len() > MAX_SMALL
        {
            let diagnostic =
                Diagnostic::error("shape-mismatch", format!("`{name}` takes vectors of one length"))
                    .label(span, "lengths differ")
                    .help("each vector becomes a column (or row)");
            return self.report(diagnostic);
        }
        let dims = vec![parts.len(), dims[0]];
        let items = parts.into_iter().flat_map(|part| part.items).collect();
        let rows = Floats { dims, items, ty };
        if name == "rows" { rows.val() } else { self.transpose(&rows, span) }
    }

    fn identity(&mut self, val: &Val, span: Span) -> Val {
        let n = match val {
            Val::Num(num) if num.ty == Ty::Int => {
                self.b.func().as_int(num.value).and_then(|n| usize::try_from(n).ok())
            }
            _ => None,
        };
        let Some(n) = n.filter(|&n| (1..=16).contains(&n)) else {
            let diagnostic =
                Diagnostic::error("type-mismatch", "`identity` takes a literal size of at most 16")
                    .label(span, "not such a literal")
                    .help("write `identity(3)`");
            return self.report(diagnostic);
        };
        let one = self.b.f64(1.0);
        self.diag(&Floats { dims: vec![n], items: vec![one; n], ty: Ty::F64 }, span)
    }

    // ---- vectors and matrices ---------------------------------------------------------------------------------------

    fn linear(&mut self, name: &str, vals: &[Val], spans: &[Span], span: Span) -> Val {
        let what = format!("`{name}`");
        let args: Option<Vec<Floats>> =
            vals.iter().zip(spans).map(|(val, &span)| self.floats(val, span, &what)).collect();
        let Some(args) = args else { return Val::Error };
        let a = &args[0];
        let num = |value| Val::Num(Num { value, ty: a.ty, literal: false });
        match name {
            "dot" => {
                if self.entrywise_shapes(a, &args[1], name, span) {
                    num(self.dot_items(&a.items, &args[1].items, a.ty))
                } else {
                    Val::Error
                }
            }
            "sqnorm" => num(self.dot_items(&a.items, &a.items, a.ty)),
            "norm" => {
                let square = self.dot_items(&a.items, &a.items, a.ty);
                num(self.b.op(Op::Sqrt, &[square]))
            }
            "normalize" => {
                let square = self.dot_items(&a.items, &a.items, a.ty);
                let norm = self.b.op(Op::Sqrt, &[square]);
                let items = a.items.iter().map(|&item| self.b.div(item, norm)).collect();
                Floats { dims: a.dims.clone(), items, ty: a.ty }.val()
            }
            "cross" => self.cross(a, &args[1], span),
            "outer" => self.outer(a, &args[1], span),
            "hadamard" => {
                self.entrywise(BinaryOp::Mul, a, &args[1], name, span).map_or(Val::Error, Floats::val)
            }
            "det" => self.det(a, span).map_or(Val::Error, num),
            "inv" => self.inv(a, span),
            "transpose" => self.transpose(a, span),
            "trace" => self.trace(a, span),
            _ => self.diag(a, span),
        }
    }

    fn entrywise_shapes(&mut self, a: &Floats, b: &Floats, name: &str, span: Span) -> bool {
        let fits = a.dims == b.dims && a.ty == b.ty;
        if !fits {
            let (left, right) = (self.describe(&a.clone().val()), self.describe(&b.clone().val()));
            let diagnostic =
                Diagnostic::error("shape-mismatch", format!("`{name}` of `{left}` and `{right}`"))
                    .label(span, "shapes differ")
                    .help("both have the same shape and scalar type");
            self.report(diagnostic);
        }
        fits
    }
}
