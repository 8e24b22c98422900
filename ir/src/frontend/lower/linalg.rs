//! Products, norms, determinants and inverses of small vectors and matrices, by formula.

use super::Lowerer;
use super::value::{Num, Small, Val};
use crate::diag::Diagnostic;
use crate::frontend::ast::{BinaryOp, Expr};
use crate::func::Value;
use crate::op::Op;
use crate::span::Span;
use crate::types::Ty;

/// A small array of floats of one width.
#[derive(Clone)]
pub(super) struct Floats {
    pub(super) dims: Vec<usize>,
    pub(super) items: Vec<Value>,
    pub(super) ty: Ty,
}

impl Floats {
    pub(super) fn val(self) -> Val {
        let items = self
            .items
            .into_iter()
            .map(|value| Val::Num(Num { value, ty: self.ty, literal: false }))
            .collect();
        Val::Array(Small { dims: self.dims, items })
    }

    fn at(&self, row: usize, column: usize) -> Value {
        self.items[row * self.dims[1] + column]
    }

    fn square(&self) -> Option<usize> {
        matches!(self.dims.as_slice(), [n, m] if n == m).then(|| self.dims[0])
    }
}

impl<'a> Lowerer<'a> {
    /// The value as an array of floats.
    pub(super) fn floats(&mut self, val: &Val, span: Span, what: &str) -> Option<Floats> {
        let found = match val {
            Val::Error => return None,
            Val::Array(small) => {
                let items: Option<Vec<Num>> = small
                    .items
                    .iter()
                    .map(|item| match item {
                        Val::Num(num) if num.ty.is_float() => Some(*num),
                        _ => None,
                    })
                    .collect();
                items.filter(|items| items.windows(2).all(|pair| pair[0].ty == pair[1].ty)).map(|items| {
                    Floats {
                        dims: small.dims.clone(),
                        ty: items.first().map_or(Ty::F64, |num| num.ty),
                        items: items.iter().map(|num| num.value).collect(),
                    }
                })
            }
            _ => None,
        };
        if found.is_none() {
            let text = self.describe(val);
            let mut diagnostic = Diagnostic::error(
                "type-mismatch",
                format!("{what} takes a vector or matrix of floats, found `{text}`"),
            )
            .label(span, format!("this is `{text}`"));
            diagnostic = match val {
                Val::View(_) => {
                    diagnostic.help("arrays of symbolic length are reduced in a loop: `sum i in 0..N { .. }`")
                }
                Val::Num(_) => diagnostic.help("for a number use `abs` or a product"),
                _ => diagnostic.help("write it as `[a, b]`, or as rows `[[a, b], [c, d]]`"),
            };
            self.report(diagnostic);
        }
        found
    }

    fn shape_error(&mut self, message: String, span: Span, help: &str) -> Val {
        let diagnostic =
            Diagnostic::error("shape-mismatch", message).label(span, "shapes do not fit").help(help);
        self.report(diagnostic)
    }

    /// Sum of products.
    pub(super) fn dot_items(&mut self, a: &[Value], b: &[Value], ty: Ty) -> Value {
        let mut sum: Option<Value> = None;
        for (&x, &y) in a.iter().zip(b) {
            let product = self.b.mul(x, y);
            sum = Some(match sum {
                Some(sum) => self.b.add(sum, product),
                None => product,
            });
        }
        sum.unwrap_or_else(|| self.b.float(ty, 0.0))
    }

    /// `a @ b`
    pub(super) fn matmul(&mut self, a: &Val, b: &Val, whole: &'a Expr) -> Val {
        let (left, right) = (self.describe(a), self.describe(b));
        let span = whole.span;
        if matches!((a, b), (Val::Num(_) | Val::Complex(..), _) | (_, Val::Num(_) | Val::Complex(..))) {
            return self.shape_error(
                format!("`@` takes matrices, found `{left}` and `{right}`"),
                span,
                "multiply by a scalar with `*`",
            );
        }
        let (Some(x), Some(y)) = (self.floats(a, span, "`@`"), self.floats(b, span, "`@`")) else {
            return Val::Error;
        };
        if x.ty != y.ty {
            return self.shape_error(
                format!("`@` of `{left}` and `{right}`"),
                span,
                "both sides have the same scalar type",
            );
        }
        let (dims, (n, k), (k2, m)) = match (x.dims.as_slice(), y.dims.as_slice()) {
            (&[n, k], &[k2, m]) => (vec![n, m], (n, k), (k2, m)),
            (&[n, k], &[k2]) => (vec![n], (n, k), (k2, 1)),
            (&[k], &[k2, m]) => (vec![m], (1, k), (k2, m)),
            ([_], [_]) => {
                return self.shape_error(
                    format!("`@` of `{left}` and `{right}`"),
                    span,
                    "the scalar product is `dot(a, b)`, the outer product `outer(a, b)`",
                );
            }
            _ => {
                return self.shape_error(
                    format!("`@` of `{left}` and `{right}`"),
                    span,
                    "`@` takes matrices and vectors",
                );
            }
        };
        if k != k2 {
            let message = format!("`@` of `{left}` and `{right}`: {k} columns meet {k2} rows");
            return self.shape_error(
                message,
                span,
                "the columns of the left matrix are as many as the rows of the right one; see `transpose`",
            );
        }
        let mut items = Vec::new();
        for row in 0..n {
            for column in 0..m {
                let column: Vec<Value> = (0..k).map(|i| y.items[i * m + column]).collect();
                items.push(self.dot_items(&x.items[row * k..(row + 1) * k], &column, x.ty));
            }
        }
        Floats { dims, items, ty: x.ty }.val()
    }

    /// Entry by entry, same shapes.
    pub(super) fn entrywise(
        &mut self,
        op: BinaryOp,
        a: &Floats,
        b: &Floats,
        name: &str,
        span: Span,
    ) -> Option<Floats> {
        if a.dims != b.dims || a.ty != b.ty {
            self.shape_error(
                format!("`{name}` takes two arrays of one shape"),
                span,
                "give both the same shape and scalar type",
            );
            return None;
        }
        let op = if op == BinaryOp::Mul { Op::Mul } else { Op::Sub };
        let items = a.items.iter().zip(&b.items).map(|(&x, &y)| self.b.op(op, &[x, y])).collect();
        Some(Floats { dims: a.dims.clone(), items, ty: a.ty })
    }

    /// The cross product of two vectors of three, or the scalar one of two vectors of two.
    pub(super) fn cross(&mut self, a: &Floats, b: &Floats, span: Span) -> Val {
        let minor = |lowerer: &mut Self, i: usize, j: usize| {
            let (p, q) = (lowerer.b.mul(a.items[i], b.items[j]), lowerer.b.mul(a.items[j], b.items[i]));
            lowerer.b.sub(p, q)
        };
        match (a.dims.as_slice(), b.dims.as_slice()) {
            ([3], [3]) if a.ty == b.ty => {
                let items = vec![minor(self, 1, 2), minor(self, 2, 0), minor(self, 0, 1)];
                Floats { dims: vec![3], items, ty: a.ty }.val()
            }
            ([2], [2]) if a.ty == b.ty => {
                Val::Num(Num { value: minor(self, 0, 1), ty: a.ty, literal: false })
            }
            _ => self.shape_error(
                "`cross` takes two vectors of length 3 (or 2)".to_owned(),
                span,
                "in the plane it gives the scalar `a[0]*b[1] - a[1]*b[0]`",
            ),
        }
    }

    /// The determinant of a square matrix.
    pub(super) fn det(&mut self, m: &Floats, span: Span) -> Option<Value> {
        if let Some(n @ 1..=4) = m.square() {
            let all: Vec<usize> = (0..n).collect();
            Some(self.minor(m, &all, &all))
        } else {
            self.shape_error(
                "`det` takes a square matrix, up to 4 by 4".to_owned(),
                span,
                "the determinant of `transpose(f) @ f` measures a non-square one",
            );
            None
        }
    }

    /// The determinant of the rows and columns named, by expansion along the first row.
    fn minor(&mut self, m: &Floats, rows: &[usize], columns: &[usize]) -> Value {
        let Some((&row, rest)) = rows.split_first() else { return self.b.float(m.ty, 1.0) };
        let mut sum: Option<Value> = None;
        for (number, &column) in columns.iter().enumerate() {
            let others: Vec<usize> = columns.iter().copied().filter(|&other| other != column).collect();
            let inner = self.minor(m, rest, &others);
            let product = self.b.mul(m.at(row, column), inner);
            sum = Some(match sum {
                None => product,
                Some(sum) if number % 2 == 1 => self.b.sub(sum, product),
                Some(sum) => self.b.add(sum, product),
            });
        }
        sum.unwrap_or_else(|| self.b.float(m.ty, 1.0))
    }

    /// The inverse of a square matrix: adjugate over determinant.
    pub(super) fn inv(&mut self, m: &Floats, span: Span) -> Val {
        let Some(det) = self.det(m, span) else { return Val::Error };
        let n = m.dims[0];
        let mut items = Vec::new();
        for row in 0..n {
            for column in 0..n {
                let rows: Vec<usize> = (0..n).filter(|&other| other != column).collect();
                let columns: Vec<usize> = (0..n).filter(|&other| other != row).collect();
                let minor = self.minor(m, &rows, &columns);
                let signed = if (row + column) % 2 == 1 { self.b.neg(minor) } else { minor };
                items.push(self.b.div(signed, det));
            }
        }
        Floats { dims: m.dims.clone(), items, ty: m.ty }.val()
    }

    /// Rows become columns.
    pub(super) fn transpose(&mut self, m: &Floats, span: Span) -> Val {
        let &[n, k] = m.dims.as_slice() else {
            return self.shape_error(
                "`transpose` takes a matrix".to_owned(),
                span,
                "a vector on the left of `@` counts as a row already",
            );
        };
        let items = (0..k)
            .flat_map(|column| (0..n).map(move |row| (row, column)))
            .map(|(row, column)| m.at(row, column))
            .collect();
        Floats { dims: vec![k, n], items, ty: m.ty }.val()
    }

    /// The diagonal of a square matrix, or the matrix with that diagonal.
    pub(super) fn diag(&mut self, m: &Floats, span: Span) -> Val {
        match (m.dims.as_slice(), m.square()) {
            (&[n], _) => {
                let zero = self.b.float(m.ty, 0.0);
                let items =
                    (0..n * n).map(|at| if at / n == at % n { m.items[at / n] } else { zero }).collect();
                Floats { dims: vec![n, n], items, ty: m.ty }.val()
            }
            (_, Some(n)) => {
                Floats { dims: vec![n], items: (0..n).map(|i| m.at(i, i)).collect(), ty: m.ty }.val()
            }
            _ => self.shape_error(
                "`diag` takes a vector or a square matrix".to_owned(),
                span,
                "of a vector it makes a matrix, of a matrix it takes the diagonal",
            ),
        }
    }

    /// The sum of the diagonal.
    pub(super) fn trace(&mut self, m: &Floats, span: Span) -> Val {
        let Some(n) = m.square() else {
            return self.shape_error(
                "`trace` takes a square matrix".to_owned(),
                span,
                "it sums the diagonal",
            );
        };
        let mut sum = m.at(0, 0);
        for i in 1..n {
            sum = self.b.add(sum, m.at(i, i));
        }
        Val::Num(Num { value: sum, ty: m.ty, literal: false })
    }

    /// All products of a component of `a` with one of `b`.
    pub(super) fn outer(&mut self, a: &Floats, b: &Floats, span: Span) -> Val {
        let (&[n], &[m]) = (a.dims.as_slice(), b.dims.as_slice()) else {
            return self.shape_error(
                "`outer` takes two vectors".to_owned(),
                span,
                "it gives the matrix of all products",
            );
        };
        let mut items = Vec::new();
        for &x in &a.items {
            for &y in &b.items {
                items.push(self.b.mul(x, y));
            }
        }
        Floats { dims: vec![n, m], items, ty: a.ty }.val()
    }
}
