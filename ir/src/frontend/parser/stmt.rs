//! Blocks, statements, patterns and loop binders.

use super::foreign::conditional_accumulation;
use super::{Parsed, Parser};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Binder, BinderPat, Binders, Block, Expr, ExprKind, Pat, Stmt, StmtKind};
use crate::frontend::lexer::Tok;
use crate::span::Span;

impl Parser {
    /// `{ stmt .. expr }`; a statement that cannot be read is skipped.
    pub(super) fn block(&mut self, why: &str) -> Parsed<Block> {
        let start = self.span();
        if !self.eat("{") {
            return Err(self.expected("`{`", &format!("{why}, which starts with `{{`")));
        }
        self.nested(|parser| parser.block_rest(start))
    }

    fn block_rest(&mut self, start: Span) -> Parsed<Block> {
        let mut stmts = Vec::new();
        let mut value: Option<Box<Expr>> = None;
        loop {
            if self.eat("}") {
                return Ok(Block { stmts, value, span: start.to(self.prev_span()) });
            }
            if self.at_end() || self.starts_item() {
                let diagnostic = Diagnostic::error("unclosed", "this `{` is never closed")
                    .label(start, "opened here")
                    .label(self.error_span(), "expected `}` before this")
                    .help("close the block with `}`");
                return Err(self.report(diagnostic));
            }
            if let Some(middle) = value.take()
                && self.dangling(&middle)
            {
                value = Some(Box::new(Expr { kind: ExprKind::Error, ..*middle }));
                continue;
            }
            let before = self.at;
            match self.stmt_or_value() {
                Ok(Line::Stmt(stmt)) => stmts.push(stmt),
                Ok(Line::Value(expr)) => value = Some(Box::new(expr)),
                Err(_) => {
                    if self.at == before {
                        self.bump();
                    }
                    self.skip_to(&[";"]);
                    self.eat(";");
                }
            }
        }
    }

    fn starts_item(&self) -> bool {
        matches!(self.peek(), Tok::Ident(word) if matches!(word.as_str(), "kernel" | "struct" | "const"))
    }

    /// A value in the middle of a block: the next token cannot continue it. Whether the rest of the line was skipped.
    fn dangling(&mut self, value: &Expr) -> bool {
        if matches!(value.kind, ExprKind::Error) {
            return false;
        }
        if let ExprKind::If(node) = &value.kind
            && let Some(diagnostic) = conditional_accumulation(node, value.span)
        {
            self.report(diagnostic);
            return false;
        }
        let foreign = self.foreign_after(value);
        let mut skipped = foreign.is_some();
        let diagnostic = if let Some(help) = foreign {
            let message = format!("expected an operator or the end of the block, found {}", self.found());
            let diagnostic = Diagnostic::error("expected", message)
                .label(self.error_span(), "this cannot follow a value")
                .help(help);
            self.skip_to(&[";"]);
            self.eat(";");
            diagnostic
        } else if self.is("=") {
            self.skip_to(&[";"]);
            self.eat(";");
            skipped = true;
            Diagnostic::error("assignment", "a value cannot be assigned to")
                .label(value.span, "this does not change")
                .help(
                    "write `let name = ..;` for a new value, or `name += ..;` to add to an accumulator (`let mut name = 0.0;`)",
                )
        } else {
            Diagnostic::error("unused-value", "this value is not the last thing in its block, and nothing uses it")
                .label(value.span, "the value of a block is its last expression")
                .label(self.error_span(), "but the block goes on here")
                .help("bind it with `let name = ..;`, add it to an accumulator with `+=`, or join the two with an operator")
        };
        self.report(diagnostic);
        skipped
    }

    pub(super) fn semicolon(&mut self, what: &str) -> Parsed<()> {
        if self.eat(";") {
            return Ok(());
        }
        // What can neither continue the expression nor start a statement is the real trouble.
        if matches!(self.peek(), Tok::Punct(punct) if !matches!(*punct, "(" | "[" | "-" | "!" | "#" | "}")) {
            let help = match self.peek() {
                Tok::Punct("=") => "values are compared with `==`; only `let` has a `=`",
                _ => "something is missing before this, or one character too many",
            };
            return Err(self.expected("an operator or `;`", help));
        }
        let after = self.prev_span().after();
        let diagnostic =
            Diagnostic::error("missing-semicolon", format!("{what} ends with `;`, found {}", self.found()))
                .label(after, "`;` belongs here")
                .help("add `;`")
                .patch(after, ";");
        self.report(diagnostic);
        // The next statement can most likely be read as it stands.
        Ok(())
    }

    fn stmt_or_value(&mut self) -> Parsed<Line> {
        self.docs();
        let start = self.span();
        let kind = if self.eat_word("let") {
            self.let_stmt()?
        } else if self.eat_word("for") {
            if self.is("(") {
                return self.foreign_loop(start);
            }
            let binders = self.binders()?;
            let body = self.block("a loop has a body")?;
            StmtKind::For { binders, body }
        } else if self.is_word("while") || self.is_word("return") {
            return Err(self.no_such_statement());
        } else {
            let place = self.expr()?;
            let negative = self.is("-=");
            if !negative && !self.is("+=") {
                if self.is("*=") || self.is("/=") {
                    let help =
                        "accumulators take `+=` and `-=`; for a running product write `prod i in .. { .. }`";
                    return Err(self.expected("`+=` or `-=`", help));
                }
                if self.eat(";") {
                    let diagnostic = Diagnostic::error(
                        "unused-value",
                        "this value is computed and thrown away",
                    )
                    .label(place.span, "nothing uses it")
                    .help(
                        "as the value of the block it takes no `;`; otherwise bind it with `let name = ..;`",
                    );
                    self.report(diagnostic);
                    return Ok(Line::Value(Expr::new(ExprKind::Error, place.span)));
                }
                return Ok(Line::Value(place));
            }
            self.bump();
            let value = self.expr()?;
            self.semicolon("an accumulation")?;
            StmtKind::Accum { place, negative, value }
        };
        Ok(Line::Stmt(Stmt { kind, span: start.to(self.prev_span()) }))
    }

    /// `for (int i = 0; ..)` and `for (i, j) in ..`: one message, and on with what follows.
    fn foreign_loop(&mut self, start: Span) -> Parsed<Line> {
        let diagnostic = Diagnostic::error("expected", "expected a loop variable, found `(`")
            .label(self.span(), "loops stand without parentheses")
            .help("a loop is written `for i in 0..N { .. }`, or `for i in 0..N, j in 0..M { .. }`, or over the rows of a table, `for [i, j] in edges { .. }`");
        self.report(diagnostic);
        while !self.at_end() && !self.is("{") && !self.is("}") {
            self.bump();
        }
        self.block("a loop has a body")?;
        Ok(Line::Value(Expr::new(ExprKind::Error, start.to(self.prev_span()))))
    }

    fn no_such_statement(&mut self) -> super::Stop {
        let found = self.found();
        let help = if self.is_word("while") {
            "a loop whose length depends on values is written `fold k in 0..K with s = init { .. }`, with a fixed K"
        } else {
            "the value of a block is its last expression, without `return`"
        };
        let diagnostic = Diagnostic::error(
            "not-in-language",
            format!("the language has no {}", found.trim_start_matches("the ")),
        )
        .label(self.span(), "left out on purpose")
        .help(help);
        self.report(diagnostic)
    }

    fn let_stmt(&mut self) -> Parsed<StmtKind> {
        let mutable = self.eat_word("mut");
        let pat = self.pat()?;
        let ty = if self.eat(":") { Some(self.ty()?) } else { None };
        self.expect("=", "a `let` gives a value at once: `let a = 1.0;`")?;
        let value = self.expr()?;
        self.semicolon("a `let`")?;
        Ok(StmtKind::Let { mutable, pat, ty, value })
    }

    pub(super) fn pat(&mut self) -> Parsed<Pat> {
        let start = self.span();
        let (close, vector) = if self.eat("[") {
            ("]", true)
        } else if self.eat("(") {
            (")", false)
        } else {
            return Ok(Pat::Name(self.ident("a value")?));
        };
        let parts = self.nested(|parser| parser.list(close, "names", Self::pat))?;
        let span = start.to(self.prev_span());
        Ok(if vector { Pat::Vector(parts, span) } else { Pat::Tuple(parts, span) })
    }

    pub(super) fn binders(&mut self) -> Parsed<Binders> {
        let mut binders = vec![self.binder()?];
        while self.eat(",") {
            binders.push(self.binder()?);
        }
        let filter = if self.eat_word("if") { Some(self.expr()?) } else { None };
        Ok(Binders { binders, filter })
    }

    pub(super) fn binder(&mut self) -> Parsed<Binder> {
        let start = self.span();
        let number = if matches!(self.peek_at(1), Tok::Punct(":")) {
            let number = self.ident("the number of an iteration")?;
            self.bump();
            Some(number)
        } else {
            None
        };
        let at = self.span();
        let pat = if self.eat("[") {
            let names = self.list("]", "names", |parser| parser.ident("an entry"))?;
            BinderPat::Row(names, at.to(self.prev_span()))
        } else {
            BinderPat::Name(self.ident("a loop variable")?)
        };
        if !self.eat_word("in") {
            let help =
                "a loop runs over a range, `i in 0..N`, or over the rows of an array, `e: [i, j] in edges`";
            return Err(self.expected("`in`", help));
        }
        let over = self.expr()?;
        let step = if self.eat_word("step") { Some(self.expr()?) } else { None };
        Ok(Binder { number, pat, over, step, span: start.to(self.prev_span()) })
    }
}

enum Line {
    Stmt(Stmt),
    Value(Expr),
}
