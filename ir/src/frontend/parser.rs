//! Reads tokens into a syntax tree, reporting as many errors as it can find in one run.
//!
//! Recursive descent with a Pratt loop for expressions. A function that cannot go on has reported why and returns
//! `Stop`; the nearest list (statements, parameters, items) skips to a place where it can go on. Nesting is bounded by
//! [`MAX_HEIGHT`], so that no text overflows the stack, here or later.

mod expr;
mod foreign;
mod item;
mod stmt;

pub(super) use foreign::conditional_accumulation;

use crate::diag::Diagnostic;
use crate::frontend::ast::{File, Ident, MAX_HEIGHT};
use crate::frontend::lexer::{Tok, Token, is_reserved, lex};
use crate::span::Span;

/// Reads a whole source text; the tree holds whatever could be understood.
pub fn parse(text: &str) -> (File, Vec<Diagnostic>) {
    let (tokens, diagnostics) = lex(text);
    let mut parser = Parser { tokens, at: 0, depth: 0, diagnostics };
    let file = parser.file();
    let mut diagnostics = parser.diagnostics;
    diagnostics.sort_by_key(Diagnostic::span);
    (file, diagnostics)
}

/// The error was reported; the caller unwinds to the next place where reading can go on.
pub(super) struct Stop;

pub(super) type Parsed<T> = Result<T, Stop>;

/// More errors than this help nobody.
const MAX_ERRORS: usize = 40;

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u16,
    diagnostics: Vec<Diagnostic>,
}

impl Parser {
    fn peek(&self) -> &Tok {
        &self.tokens[self.at].tok
    }

    fn peek_at(&self, ahead: usize) -> &Tok {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)].tok
    }

    fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    fn prev_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn bump(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn at_end(&self) -> bool {
        *self.peek() == Tok::Eof
    }

    fn is(&self, punct: &str) -> bool {
        matches!(self.peek(), Tok::Punct(found) if *found == punct)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Tok::Ident(found) if found == word)
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.bump();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, punct: &'static str, what: &str) -> Parsed<()> {
        if self.eat(punct) {
            return Ok(());
        }
        Err(self.expected(&format!("`{punct}`"), what))
    }

    /// Reports that `wanted` was expected; `why` says what for.
    fn expected(&mut self, wanted: &str, why: &str) -> Stop {
        let why = self.foreign().unwrap_or(why);
        let message = format!("expected {wanted}, found {}", self.found());
        let diagnostic =
            Diagnostic::error("expected", message).label(self.error_span(), format!("expected {wanted}"));
        self.report(diagnostic.help(why.to_owned()))
    }

    /// At the end of the text the caret stands after the last token.
    fn error_span(&self) -> Span {
        if self.at_end() { self.prev_span().after() } else { self.span() }
    }

    fn found(&self) -> String {
        match self.peek() {
            Tok::Ident(word) if is_reserved(word) => format!("the keyword `{word}`"),
            Tok::Ident(word) => format!("the name `{word}`"),
            Tok::Int(value) => format!("`{value}`"),
            Tok::Float(value) => format!("`{value:?}`"),
            Tok::Text(_) => "a text".to_owned(),
            Tok::Doc(_) => "a `///` comment".to_owned(),
            Tok::Punct(punct) => format!("`{punct}`"),
            Tok::Eof => "the end of the file".to_owned(),
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) -> Stop {
        if self.diagnostics.len() < MAX_ERRORS {
            self.diagnostics.push(diagnostic);
        }
        Stop
    }

    fn ident(&mut self, what: &str) -> Parsed<Ident> {
        match self.peek() {
            Tok::Ident(word) if is_reserved(word) => {
                let message = format!("`{word}` is a keyword and cannot be the name of {what}");
                let help = format!("choose another name, for example `{word}_`");
                let diagnostic =
                    Diagnostic::error("reserved-word", message).label(self.span(), "keyword").help(help);
                Err(self.report(diagnostic))
            }
            Tok::Ident(word) => {
                let ident = Ident { name: word.clone(), span: self.span() };
                self.bump();
                Ok(ident)
            }
            _ => Err(self.expected(&format!("the name of {what}"), "a name is letters, digits and `_`")),
        }
    }

    /// Reads `item, item, ..` up to `close`, which is eaten; a trailing comma is fine.
    fn list<T>(
        &mut self,
        close: &'static str,
        what: &str,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.is(close) {
            items.push(item(self)?);
            if !self.eat(",") && !self.is(close) {
                let wanted = format!("`,` or `{close}`");
                return Err(
                    self.expected(&wanted, &format!("{what} are separated by `,` and end with `{close}`"))
                );
            }
        }
        self.bump();
        Ok(items)
    }

    /// Runs `inner` one level deeper, refusing to go below the limit.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_HEIGHT {
            return Err(self.too_deep(self.span()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn too_deep(&mut self, span: Span) -> Stop {
        let message = format!("this is nested more than {MAX_HEIGHT} levels deep");
        let diagnostic = Diagnostic::error("too-deep", message)
            .label(span, "the limit is reached here")
            .help("give a name to a part of it with `let`, or use a loop such as `sum i in 0..N { .. }`");
        self.report(diagnostic)
    }

    /// Skips to one of `stops` outside all brackets opened on the way; a closing brace, a `let` and a `for` also stop.
    fn skip_to(&mut self, stops: &[&str]) {
        let mut open = 0usize;
        loop {
            match self.peek() {
                Tok::Eof => return,
                Tok::Punct(punct) => {
                    if open == 0 && (stops.contains(punct) || *punct == "}") {
                        return;
                    }
                    match *punct {
                        "(" | "[" | "{" => open += 1,
                        ")" | "]" | "}" => open = open.saturating_sub(1),
                        _ => {}
                    }
                }
                Tok::Ident(word) if matches!(word.as_str(), "kernel" | "fn" | "struct" | "const") => return,
                Tok::Ident(word) if open == 0 && matches!(word.as_str(), "let" | "for") => return,
                _ => {}
            }
            self.bump();
        }
    }
}
