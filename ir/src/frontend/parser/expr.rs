//! Expressions: a Pratt loop over binding powers, and the primaries.

use super::{Parsed, Parser};
use crate::diag::Diagnostic;
use crate::frontend::ast::{
    Attr, BinaryOp, Block, Expr, ExprKind, Fold, Ident, IfExpr, MAX_HEIGHT, MAX_TERMS, Reduce, ReduceKind,
    UnaryOp,
};
use crate::frontend::lexer::{Tok, is_reserved};
use crate::span::Span;

const RANGE_LEVEL: u8 = 4;
const UNARY_LEVEL: u8 = 7;

/// What stands between two operands.
#[derive(Clone, Copy, PartialEq)]
enum Infix {
    Op(BinaryOp),
    Range,
}

impl Infix {
    fn level(self) -> u8 {
        match self {
            Self::Op(op) => op.level(),
            Self::Range => RANGE_LEVEL,
        }
    }
}

impl Parser {
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.expr_above(1)
    }

    /// An expression whose operators all bind at least as tightly as `level`.
    pub(super) fn expr_above(&mut self, level: u8) -> Parsed<Expr> {
        self.nested(|parser| parser.pratt(level))
    }

    fn pratt(&mut self, level: u8) -> Parsed<Expr> {
        let mut left = self.prefix()?;
        let mut compared = false;
        while let Some(infix) = self.infix() {
            let found = infix.level();
            if found < level {
                break;
            }
            if matches!(infix, Infix::Op(op) if op.is_comparison()) {
                if compared {
                    let diagnostic = Diagnostic::error("chained-comparison", "comparisons cannot be chained")
                        .label(self.span(), "a second comparison")
                        .help("write `a < b && b < c`");
                    self.report(diagnostic);
                }
                compared = true;
            }
            self.bump();
            // `^` groups to the right, the others to the left.
            let right =
                self.expr_above(if infix == Infix::Op(BinaryOp::Pow) { UNARY_LEVEL } else { found + 1 })?;
            let span = left.span.to(right.span);
            let (a, b) = (Box::new(left), Box::new(right));
            let kind = match infix {
                Infix::Op(op) => ExprKind::Binary(op, a, b),
                Infix::Range => ExprKind::Range(a, b),
            };
            left = self.node(kind, span)?;
        }
        Ok(left)
    }

    fn infix(&self) -> Option<Infix> {
        let Tok::Punct(punct) = self.peek() else { return None };
        Some(Infix::Op(match *punct {
            ".." => return Some(Infix::Range),
            "||" => BinaryOp::Or,
            "&&" => BinaryOp::And,
            "==" => BinaryOp::Eq,
            "!=" => BinaryOp::Ne,
            "<" => BinaryOp::Lt,
            "<=" => BinaryOp::Le,
            ">" => BinaryOp::Gt,
            ">=" => BinaryOp::Ge,
            "+" => BinaryOp::Add,
            "-" => BinaryOp::Sub,
            "*" => BinaryOp::Mul,
            "/" => BinaryOp::Div,
            "%" => BinaryOp::Rem,
            "@" => BinaryOp::MatMul,
            "^" => BinaryOp::Pow,
            _ => return None,
        }))
    }

    /// Builds a node unless its tree would be too high.
    fn node(&mut self, kind: ExprKind, span: Span) -> Parsed<Expr> {
        let expr = Expr::new(kind, span);
        if expr.terms > MAX_TERMS {
            let message = format!("this chain has more than {MAX_TERMS} operands");
            let diagnostic = Diagnostic::error("too-deep", message)
                .label(span, "the limit is reached here")
                .help("give a name to a part of it with `let`, or use a loop such as `sum i in 0..N { .. }`");
            return Err(self.report(diagnostic));
        }
        if expr.height > MAX_HEIGHT { Err(self.too_deep(span)) } else { Ok(expr) }
    }

    fn prefix(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let op = if self.eat("-") {
            UnaryOp::Neg
        } else if self.eat("!") {
            UnaryOp::Not
        } else {
            return self.postfix();
        };
        // `-x^2` is `-(x^2)`: the operand may hold `^` but nothing looser.
        let operand = self.expr_above(UNARY_LEVEL)?;
        let span = start.to(operand.span);
        self.node(ExprKind::Unary(op, Box::new(operand)), span)
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        let mut base = self.primary()?;
        loop {
            let start = base.span;
            if self.eat("[") {
                let subs = self.list("]", "subscripts", Self::expr)?;
                if subs.is_empty() {
                    let help = "subscripts look like `a[i]`, `a[i, j]`, `v[0..2]`";
                    let diagnostic =
                        Diagnostic::error("expected", "a subscript is missing between `[` and `]`")
                            .label(self.prev_span(), "expected a subscript before this")
                            .help(help);
                    return Err(self.report(diagnostic));
                }
                let span = start.to(self.prev_span());
                base = self.node(ExprKind::Index(Box::new(base), subs), span)?;
            } else if self.is(".") {
                self.bump();
                let field = if let Tok::Int(number) = *self.peek() {
                    let field = Ident { name: number.to_string(), span: self.span() };
                    self.bump();
                    field
                } else if matches!(self.peek(), Tok::Ident(word) if is_reserved(word))
                    && *self.peek_at(1) == Tok::Punct("(")
                {
                    return Err(self.expected("the name of a field", "fields have names, and are not called"));
                } else {
                    self.ident("a field")?
                };
                if self.is("(") {
                    base = self.method(&base, &field)?;
                    continue;
                }
                let span = start.to(field.span);
                base = self.node(ExprKind::Field(Box::new(base), field), span)?;
            } else {
                return Ok(base);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let kind = match self.peek().clone() {
            Tok::Int(value) => self.literal(ExprKind::Int(value)),
            Tok::Float(value) => self.literal(ExprKind::Float(value)),
            Tok::Punct("(") => return self.parens(start),
            Tok::Punct("[") => {
                self.bump();
                ExprKind::Vector(self.list("]", "components", Self::expr)?)
            }
            Tok::Punct("#") => {
                let attrs = self.attrs()?;
                let Some(kind) = self.reduce_kind() else {
                    let help = "inside a kernel, attributes such as `#[project]` stand before `sum` and its relatives";
                    return Err(self.expected("`sum`, `prod`, `min`, `max` or `map`", help));
                };
                self.reduce(attrs, kind)?
            }
            Tok::Ident(word) => self.word(&word)?,
            _ => return Err(self.no_expression()),
        };
        self.node(kind, start.to(self.prev_span()))
    }

    fn literal(&mut self, kind: ExprKind) -> ExprKind {
        self.bump();
        kind
    }

    fn no_expression(&mut self) -> super::Stop {
        let help = match self.peek() {
            Tok::Punct("{") => "a block belongs to `if`, `for`, `sum` and their relatives",
            _ => {
                "an expression is a number, a name, a call, a vector `[a, b]`, a tuple `(a, b)`, an `if`, a `sum`, a `fold`, .. "
            }
        };
        self.expected("an expression", help.trim_end())
    }

    fn parens(&mut self, start: Span) -> Parsed<Expr> {
        self.bump();
        let mut parts = Vec::new();
        let mut tuple = false;
        while !self.is(")") {
            parts.push(self.expr()?);
            if self.eat(",") {
                tuple = true;
            } else if !self.is(")") {
                let diagnostic =
                    Diagnostic::error("unclosed", format!("expected `)` or `,`, found {}", self.found()))
                        .label(self.error_span(), "expected `)`")
                        .label(start, "to close this")
                        .help("close the parenthesis, or separate the parts of a tuple by `,`");
                return Err(self.report(diagnostic));
            }
        }
        self.bump();
        let span = start.to(self.prev_span());
        match (parts.pop(), tuple) {
            (Some(only), false) => Ok(Expr { span, ..only }),
            (Some(last), true) => {
                parts.push(last);
                self.node(ExprKind::Tuple(parts), span)
            }
            (None, _) => {
                let diagnostic = Diagnostic::error("expected", "these parentheses are empty")
                    .label(span, "expected an expression inside")
                    .help("there is no empty tuple");
                Err(self.report(diagnostic))
            }
        }
    }

    fn reduce_kind(&self) -> Option<ReduceKind> {
        let Tok::Ident(word) = self.peek() else { return None };
        let kind = match word.as_str() {
            "sum" => ReduceKind::Sum,
            "prod" => ReduceKind::Prod,
            "min" => ReduceKind::Min,
            "max" => ReduceKind::Max,
            "map" => ReduceKind::Map,
            _ => return None,
        };
        (*self.peek_at(1) != Tok::Punct("(")).then_some(kind)
    }

    fn word(&mut self, word: &str) -> Parsed<ExprKind> {
        if let Some(kind) = self.reduce_kind() {
            return self.reduce(Vec::new(), kind);
        }
        if self.is_bracketed_reduce(word) {
            return self.bracketed_reduce(word);
        }
        match word {
            "true" => Ok(self.literal(ExprKind::Bool(true))),
            "false" => Ok(self.literal(ExprKind::Bool(false))),
            "if" => {
                self.bump();
                let node = self.if_rest()?;
                Ok(ExprKind::If(Box::new(node)))
            }
            "fold" | "scan" => self.fold(word == "scan"),
            "zeros" => {
                self.bump();
                self.expect("[", "an array of zeros states its dimensions: `zeros[B, 2]`")?;
                Ok(ExprKind::Zeros(self.list("]", "dimensions", Self::expr)?))
            }
            _ => {
                let callable = matches!(word, "min" | "max" | "sum" | "prod" | "map");
                if is_reserved(word) && !callable {
                    return Err(self.no_expression());
                }
                let name = Ident { name: word.to_owned(), span: self.span() };
                self.bump();
                if !self.eat("(") {
                    return Ok(ExprKind::Name(name.name));
                }
                Ok(ExprKind::Call(name, self.list(")", "arguments", Self::expr)?))
            }
        }
    }

    fn reduce(&mut self, attrs: Vec<Attr>, kind: ReduceKind) -> Parsed<ExprKind> {
        self.bump();
        let binders = self.binders()?;
        let body = self.block("a loop has a body")?;
        Ok(ExprKind::Reduce(Box::new(Reduce { attrs, kind, binders, body })))
    }

    fn fold(&mut self, keep_all: bool) -> Parsed<ExprKind> {
        self.bump();
        let binder = self.binder()?;
        if !self.eat_word("with") {
            let help = "a recurrence names its state: `fold k in 0..K with s = 0.0 { s + x[k] }`";
            return Err(self.expected("`with`", help));
        }
        let state = self.pat()?;
        self.expect("=", "the state starts from a value: `with s = 0.0`")?;
        let init = self.expr()?;
        let body = self.block("a recurrence has a body, the next state")?;
        Ok(ExprKind::Fold(Box::new(Fold { keep_all, binder, state, init, body })))
    }

    fn if_rest(&mut self) -> Parsed<IfExpr> {
        let cond = self.expr()?;
        let then = self.block("an `if` has a block for each branch")?;
        if !self.eat_word("else") {
            return Ok(IfExpr { cond, then, otherwise: None });
        }
        let start = self.span();
        let otherwise = if self.eat_word("if") {
            let inner = self.nested(Self::if_rest)?;
            let span = start.to(self.prev_span());
            let value = self.node(ExprKind::If(Box::new(inner)), span)?;
            Block { stmts: Vec::new(), value: Some(Box::new(value)), span }
        } else {
            self.block("an `if` has a block for each branch")?
        };
        Ok(IfExpr { cond, then, otherwise: Some(otherwise) })
    }
}
