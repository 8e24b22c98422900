//! From an SSA text to a function: tokens, names and declarations.

mod body;

use super::error::TextError;
use super::lexer::{Spanned, Token, error, lex};
use crate::func::{Buffer, BufferData, Const, Entries, Func, Plane, Region, Role, Value};
use crate::types::{Size, SizeExpr, Ty};
use std::collections::HashMap;

/// Reads one function. What types can say is checked here; the other invariants are the business of
/// [`crate::verify`].
///
/// # Errors
/// The first syntax, name or type error, with line and column.
pub fn parse(text: &str) -> Result<Func, TextError> {
    let tokens = lex(text)?;
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        func: Func::new(""),
        sizes: HashMap::new(),
        buffers: HashMap::new(),
        scopes: Vec::new(),
    };
    parser.func()?;
    Ok(parser.func)
}

type Parsed<T> = Result<T, TextError>;

/// What can be written in place: shared within a region and those nested in it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Inline {
    F64(u64),
    F32(u32),
    Int(i64),
    Bool(bool),
    Size(SizeExpr),
}

struct Scope {
    region: Region,
    names: HashMap<String, Value>,
    inlined: HashMap<Inline, Value>,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Spanned>,
    at: usize,
    func: Func,
    sizes: HashMap<String, Size>,
    buffers: HashMap<String, Buffer>,
    scopes: Vec<Scope>,
}

impl Parser<'_> {
    // ---- tokens -----------------------------------------------------------------------------------------------

    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn error_at<T>(&self, at: usize, message: impl Into<String>) -> Parsed<T> {
        Err(error(self.text, self.tokens[at].at, message))
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        self.error_at(self.at, message)
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        let found = match self.peek() {
            Token::Word(word) => format!("`{word}`"),
            Token::Quoted(name) => format!("`{name:?}`"),
            Token::Value(name) => format!("`%{name}`"),
            Token::Number(number) => format!("`{number}`"),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::End => "the end of the text".to_owned(),
        };
        self.fail(format!("expected {what}, found {found}"))
    }

    fn at_mark(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(m) if *m == mark)
    }

    fn eat_mark(&mut self, mark: &str) -> bool {
        let found = self.at_mark(mark);
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, mark: &str) -> Parsed<()> {
        if self.eat_mark(mark) { Ok(()) } else { self.expected(&format!("`{mark}`")) }
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { self.expected(&format!("`{word}`")) }
    }

    fn name(&mut self, what: &str) -> Parsed<String> {
        match self.peek().clone() {
            Token::Word(name) | Token::Quoted(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.expected(what),
        }
    }

    fn value_name(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Token::Value(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.expected("a value like `%0`"),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Parsed<T> {
        match self.peek() {
            Token::Number(digits) => match digits.parse() {
                Ok(number) => {
                    self.at += 1;
                    Ok(number)
                }
                Err(_) => self.expected(what),
            },
            _ => self.expected(what),
        }
    }

    /// Items between commas, at least one.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_mark(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Items between commas up to a closing mark, possibly none.
    fn closed_list<T>(&mut self, close: &str, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        if self.eat_mark(close) {
            return Ok(Vec::new());
        }
        let items = self.list(item)?;
        self.mark(close)?;
        Ok(items)
    }

    // ---- declarations -----------------------------------------------------------------------------------------

    fn func(&mut self) -> Parsed<()> {
        self.word("func")?;
        self.mark("@")?;
        self.func.name = self.name("the name of the function")?;
        self.mark("(")?;
        self.closed_list(")", |parser| {
            parser.word("size")?;
            let at = parser.at;
            let name = parser.name("the name of a size")?;
            let size = parser.func.sizes.push(name.clone());
            match parser.sizes.insert(name, size) {
                Some(_) => parser.error_at(at, "a size of this name exists already"),
                None => Ok(()),
            }
        })?;
        self.mark("{")?;
        let mut planes = Vec::new();
        loop {
            if self.eat_word("buffer") {
                self.buffer(&mut planes)?;
            } else if self.eat_word("columns") {
                self.func.columns = self.list(Self::buffer_name)?;
            } else if self.eat_word("rows") {
                self.func.rows = self.list(Self::buffer_name)?;
            } else {
                break;
            }
        }
        let end = self.at;
        for (buffer, at) in planes {
            self.at = at;
            self.func.buffers[buffer].plane = self.plane()?;
        }
        self.at = end;
        self.region_contents(self.func.body, Vec::new())?;
        self.mark("}")?;
        if *self.peek() == Token::End { Ok(()) } else { self.expected("the end of the text") }
    }

    /// `planes` collects where planes are written: they may name buffers that are declared later.
    fn buffer(&mut self, planes: &mut Vec<(Buffer, usize)>) -> Parsed<()> {
        let at = self.at;
        let name = self.name("the name of a buffer")?;
        self.mark(":")?;
        let role = match self.peek() {
            Token::Word(word) => match word.as_str() {
                "var" => Role::Var,
                "data" => Role::Data,
                "structural" => Role::Structural,
                "scratch" => Role::Scratch,
                "output" => Role::Output,
                _ => return self.expected("`var`, `data`, `structural`, `scratch` or `output`"),
            },
            _ => return self.expected("`var`, `data`, `structural`, `scratch` or `output`"),
        };
        self.at += 1;
        let elem = match self.peek() {
            Token::Word(word) => match word.as_str() {
                "f64" => Ty::F64,
                "f32" => Ty::F32,
                "int" => Ty::Int,
                "bool" => Ty::Bool,
                _ => return self.expected("`f64`, `f32`, `int` or `bool`"),
            },
            _ => return self.expected("`f64`, `f32`, `int` or `bool`"),
        };
        self.at += 1;
        let dims = if self.eat_mark("[") { self.closed_list("]", Self::size_expr)? } else { Vec::new() };
        let entries = if self.eat_word("index") {
            self.mark("(")?;
            Entries::Index(self.closed_list(")", Self::size_expr)?)
        } else if self.eat_word("offsets") {
            self.mark("(")?;
            let bound = self.size_expr()?;
            self.mark(")")?;
            Entries::Offsets(bound)
        } else {
            Entries::Any
        };
        let buffer = self.func.buffers.next_key();
        if self.at_word("tangent") || self.at_word("adjoint") || self.at_word("block") {
            planes.push((buffer, self.at));
            while !self.eat_mark(")") {
                if self.next() == Token::End {
                    return self.expected("`)`");
                }
            }
        }
        let default = if self.eat_mark("=") {
            let at = self.at;
            match self.literal()? {
                Some(Const::F64(x)) => Some(x),
                Some(Const::Int(n)) => Some(n as f64),
                _ => return self.error_at(at, "a default is a number"),
            }
        } else {
            None
        };
        let data = BufferData {
            name: name.clone(),
            elem,
            dims,
            role,
            plane: Plane::Primal,
            entries,
            default,
            span: (0, 0),
        };
        self.func.buffers.push(data);
        match self.buffers.insert(name, buffer) {
            Some(_) => self.error_at(at, "a buffer of this name exists already"),
            None => Ok(()),
        }
    }

    fn plane(&mut self) -> Parsed<Plane> {
        let keyword = self.next();
        self.mark("(")?;
        let first = self.buffer_name()?;
        let plane = match keyword {
            Token::Word(word) if word == "tangent" => Plane::Tangent(first),
            Token::Word(word) if word == "adjoint" => Plane::Adjoint(first),
            _ => {
                self.mark(",")?;
                Plane::Block(first, self.buffer_name()?)
            }
        };
        self.mark(")")?;
        Ok(plane)
    }

    fn buffer_name(&mut self) -> Parsed<Buffer> {
        let at = self.at;
        let name = self.name("the name of a buffer")?;
        match self.buffers.get(&name) {
            Some(&buffer) => Ok(buffer),
            None => self.error_at(at, format!("no buffer is named `{name}`")),
        }
    }

    /// `2*N + V - 1`
    fn size_expr(&mut self) -> Parsed<SizeExpr> {
        let mut sum = SizeExpr::default();
        let mut negative = self.eat_mark("-");
        loop {
            let at = self.at;
            let term = self.size_term(negative)?;
            match sum.checked_add(&term) {
                Some(next) => sum = next,
                None => return self.error_at(at, "this size overflows"),
            }
            negative = self.at_mark("-");
            if !(self.eat_mark("-") || self.eat_mark("+")) {
                return Ok(sum);
            }
        }
    }

    fn size_term(&mut self, negative: bool) -> Parsed<SizeExpr> {
        if let Token::Number(_) = self.peek() {
            let number = self.integer(negative)?;
            if !self.eat_mark("*") {
                return Ok(SizeExpr::constant(number));
            }
            let size = self.size_name()?;
            let terms = if number == 0 { Vec::new() } else { vec![(size, number)] };
            return Ok(SizeExpr { constant: 0, terms });
        }
        let size = self.size_name()?;
        Ok(SizeExpr { constant: 0, terms: vec![(size, if negative { -1 } else { 1 })] })
    }

    fn size_name(&mut self) -> Parsed<Size> {
        let at = self.at;
        let name = self.name("a size")?;
        match self.sizes.get(&name) {
            Some(&size) => Ok(size),
            None => self.error_at(at, format!("no size is named `{name}`")),
        }
    }

    /// An integer whose sign has been read.
    fn integer(&mut self, negative: bool) -> Parsed<i64> {
        let at = self.at;
        let magnitude: u64 = self.number("an integer")?;
        let number =
            if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
        match number {
            Some(number) => Ok(number),
            None => self.error_at(at, "this integer does not fit into 64 bits"),
        }
    }
}
