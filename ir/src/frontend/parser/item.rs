//! Items: kernels, functions, structs, constants, with their attributes, parameters and types.

use super::{Parsed, Parser};
use crate::diag::Diagnostic;
use crate::frontend::ast::{
    Attr, AttrArg, Const, File, Function, Ident, Item, Kernel, KernelResult, Param, Struct, Type,
};
use crate::frontend::lexer::Tok;
use crate::span::Span;

/// Size expressions in `index<V + 1>` bind tighter than the comparison that `>` would be.
const ABOVE_COMPARISON: u8 = 4;

impl Parser {
    pub(super) fn file(&mut self) -> File {
        let mut items = Vec::new();
        while !self.at_end() {
            let before = self.at;
            if let Ok(item) = self.item() {
                items.push(item);
            } else {
                self.skip_to_item(before);
            }
        }
        File { items }
    }

    /// After an error in an item: to the next word that starts one.
    fn skip_to_item(&mut self, before: usize) {
        if self.at == before {
            self.bump();
        }
        while !self.at_end() {
            match self.peek() {
                Tok::Ident(word) if matches!(word.as_str(), "kernel" | "fn" | "struct" | "const") => return,
                Tok::Punct("#") | Tok::Doc(_) => return,
                _ => self.bump(),
            }
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        let mut docs = self.docs();
        let attrs = self.attrs()?;
        docs.extend(self.docs());
        let start = self.span();
        if self.eat_word("kernel") {
            return self.kernel(docs, attrs, start).map(Item::Kernel);
        }
        if self.eat_word("fn") {
            return self.function(docs, attrs, start).map(Item::Fn);
        }
        if let Some(attr) = attrs.first() {
            let diagnostic =
                Diagnostic::error("misplaced-attribute", "this attribute belongs to a kernel or a function")
                    .label(attr.span, "nothing to attach it to")
                    .help("put it directly before `kernel` or `fn`");
            self.report(diagnostic);
        }
        if self.eat_word("struct") {
            return self.structure(docs, start).map(Item::Struct);
        }
        if self.eat_word("const") {
            return self.constant(docs, start).map(Item::Const);
        }
        let help =
            "a file is a list of kernels, functions, structs and constants; statements live inside a kernel";
        Err(self.expected("`kernel`, `fn`, `struct` or `const`", help))
    }

    pub(super) fn docs(&mut self) -> Vec<String> {
        let mut docs = Vec::new();
        while let Tok::Doc(line) = self.peek() {
            docs.push(line.clone());
            self.bump();
        }
        docs
    }

    pub(super) fn attrs(&mut self) -> Parsed<Vec<Attr>> {
        let mut attrs = Vec::new();
        while self.is("#") {
            let start = self.span();
            self.bump();
            self.expect("[", "an attribute looks like `#[derive(value, hessian)]`")?;
            let name = self.ident("an attribute")?;
            let args = match self.eat("(") {
                true if name.name == "partials" => {
                    self.list(")", "partials", |parser| parser.expr().map(AttrArg::Expr))?
                }
                true => self.list(")", "arguments", Self::attr_arg)?,
                false => Vec::new(),
            };
            self.expect("]", "an attribute ends with `]`")?;
            attrs.push(Attr { name, args, span: start.to(self.prev_span()) });
        }
        Ok(attrs)
    }

    fn attr_arg(&mut self) -> Parsed<AttrArg> {
        if let Tok::Text(text) = self.peek() {
            let arg = AttrArg::Text(text.clone(), self.span());
            self.bump();
            return Ok(arg);
        }
        let is_word =
            matches!(self.peek(), Tok::Ident(_)) && matches!(self.peek_at(1), Tok::Punct("," | ")" | "("));
        if !is_word {
            return Ok(AttrArg::Expr(self.expr()?));
        }
        self.nested(|parser| {
            let name = parser.ident("an attribute argument")?;
            let args =
                if parser.eat("(") { parser.list(")", "arguments", Self::attr_arg)? } else { Vec::new() };
            Ok(AttrArg::Word(name, args))
        })
    }

    fn kernel(&mut self, docs: Vec<String>, attrs: Vec<Attr>, start: Span) -> Parsed<Kernel> {
        let name = self.ident("a kernel")?;
        let sizes = self.sizes()?;
        let params = self.params()?;
        self.expect(
            "->",
            "a kernel says what it returns: `-> f64` for an energy, `-> f64[N]` for a residual",
        )?;
        let result = if self.eat("(") {
            KernelResult::Named(self.list(")", "results", Self::field)?)
        } else {
            KernelResult::One(self.ty()?)
        };
        let body = self.block("a kernel has a body")?;
        Ok(Kernel { docs, attrs, name, sizes, params, result, body, span: start.to(self.prev_span()) })
    }

    fn function(&mut self, docs: Vec<String>, attrs: Vec<Attr>, start: Span) -> Parsed<Function> {
        let name = self.ident("a function")?;
        let sizes = self.sizes()?;
        let params = self.params()?;
        self.expect(
            "->",
            "a function says what it returns: `-> f64`, or `-> (f64, vec3)` for several values",
        )?;
        let results = if self.eat("(") { self.list(")", "results", Self::ty)? } else { vec![self.ty()?] };
        let body = self.block("a function has a body")?;
        Ok(Function { docs, attrs, name, sizes, params, results, body, span: start.to(self.prev_span()) })
    }

    fn structure(&mut self, docs: Vec<String>, start: Span) -> Parsed<Struct> {
        let name = self.ident("a struct")?;
        self.expect("{", "a struct looks like `struct Branch { g: f64, b: f64 }`")?;
        let fields = self.list("}", "fields", Self::field)?;
        Ok(Struct { docs, name, fields, span: start.to(self.prev_span()) })
    }

    fn constant(&mut self, docs: Vec<String>, start: Span) -> Parsed<Const> {
        let name = self.ident("a constant")?;
        self.expect(":", "a constant has a type: `const G: f64 = 9.81;`")?;
        let ty = self.ty()?;
        self.expect("=", "a constant has a value: `const G: f64 = 9.81;`")?;
        let value = self.expr()?;
        self.semicolon("a constant")?;
        Ok(Const { docs, name, ty, value, span: start.to(self.prev_span()) })
    }

    fn sizes(&mut self) -> Parsed<Vec<Ident>> {
        if self.eat("<") { self.list(">", "sizes", |parser| parser.ident("a size")) } else { Ok(Vec::new()) }
    }

    /// Parameters; an unreadable one is skipped so that the following ones are still read.
    fn params(&mut self) -> Parsed<Vec<Param>> {
        self.expect("(", "parameters stand in parentheses")?;
        let mut params = Vec::new();
        loop {
            if self.eat(")") {
                return Ok(params);
            }
            if let Ok(param) = self.param() {
                params.push(param);
            } else {
                self.skip_to(&[",", ")"]);
            }
            if !self.eat(",") && !self.is(")") {
                let help = "parameters are separated by `,` and end with `)`";
                return Err(self.expected("`,` or `)`", help));
            }
        }
    }

    fn param(&mut self) -> Parsed<Param> {
        let mut docs = self.docs();
        let attrs = self.attrs()?;
        docs.extend(self.docs());
        if self.is_word("var") {
            let help = "write the mark after the colon: `x: var vec3[V]`";
            return Err(self.expected("the name of a parameter", help));
        }
        let name = self.ident("a parameter")?;
        self.expect(":", "a parameter has a type: `x: var vec3[V]`, `k: f64 = 1.0`")?;
        let is_var = self.eat_word("var");
        let ty = self.ty()?;
        let default = if self.eat("=") { Some(self.expr()?) } else { None };
        // A `///` may also follow on the same line as the last parameter.
        docs.extend(self.docs());
        Ok(Param { docs, attrs, name, is_var, ty, default })
    }

    fn field(&mut self) -> Parsed<(Ident, Type)> {
        self.docs();
        let name = self.ident("a field or result")?;
        self.expect(":", "it has a name and a type: `flow: f64[L, 4]`")?;
        let ty = self.ty()?;
        Ok((name, ty))
    }

    pub(super) fn ty(&mut self) -> Parsed<Type> {
        if !matches!(self.peek(), Tok::Ident(_)) {
            let help = "types are `f64`, `f32`, `int`, `bool`, `complex`, `vec3`, `mat2`, `index<V>`, `offsets<R>`, a struct, \
                        and arrays of them: `vec3[V]`, `f64[N, 2]`";
            return Err(self.expected("a type", help));
        }
        let name = self.ident("a type")?;
        let mut per_column = false;
        let args = if self.eat("<") {
            per_column = self.eat("(");
            let close = if per_column { ")" } else { ">" };
            let args = self.list(close, "ranges", |parser| parser.expr_above(ABOVE_COMPARISON))?;
            if per_column {
                self.expect(">", "the ranges of an index end with `>`: `index<(C, P)>[O, 2]`")?;
            }
            args
        } else {
            Vec::new()
        };
        let dims = if self.eat("[") { self.list("]", "dimensions", Self::expr)? } else { Vec::new() };
        let span = name.span.to(self.prev_span());
        Ok(Type { name, args, per_column, dims, span })
    }
}
