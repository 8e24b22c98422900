//! Formulas of the reference files: small Python-like expressions, parsed.

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Number(f64),
    Name(String),
    Negated(Box<Expr>),
    /// `+ - * / **` or a comparison.
    Binary(String, Box<Expr>, Box<Expr>),
    /// `a ? b : c`
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    List(Vec<Expr>),
    /// `[a for name in range(count)]`
    Each(Box<Expr>, String, Box<Expr>),
    Index(Box<Expr>, Box<Expr>),
    /// `a[from:to:step]`
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>, Option<Box<Expr>>),
}

/// Parses a formula; panics on what the reference files do not contain.
pub(crate) fn parse(text: &str) -> Expr {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let expr = parser.choice();
    assert_eq!(parser.at, parser.tokens.len(), "{text}: something is left over");
    expr
}

fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let c = chars[at];
        at += 1;
        if c.is_whitespace() {
            continue;
        }
        if c.is_ascii_digit() || c == '.' && chars.get(at).is_some_and(char::is_ascii_digit) {
            while chars.get(at).is_some_and(|c| c.is_ascii_digit() || *c == '.') {
                at += 1;
            }
        } else if c.is_alphabetic() {
            while chars.get(at).is_some_and(|c| c.is_alphanumeric()) {
                at += 1;
            }
        } else if chars
            .get(at)
            .is_some_and(|&next| matches!((c, next), ('*', '*') | ('<' | '>' | '=' | '!', '=')))
        {
            at += 1;
        }
        tokens.push(chars[start..at].iter().collect());
    }
    tokens
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "`{token}` expected at `{}`", self.peek());
    }

    fn choice(&mut self) -> Expr {
        let cond = self.binary(0);
        if !self.take("?") {
            return cond;
        }
        let then = self.choice();
        self.expect(":");
        Expr::Choice(Box::new(cond), Box::new(then), Box::new(self.choice()))
    }

    fn binary(&mut self, level: usize) -> Expr {
        const LEVELS: [&[&str]; 3] = [&["<", "<=", ">", ">=", "==", "!="], &["+", "-"], &["*", "/"]];
        let Some(ops) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1);
        while ops.contains(&self.peek()) {
            let op = self.next();
            left = Expr::Binary(op, Box::new(left), Box::new(self.binary(level + 1)));
        }
        left
    }

    fn unary(&mut self) -> Expr {
        if self.take("-") {
            return Expr::Negated(Box::new(self.unary()));
        }
        let base = self.postfix();
        if self.take("**") {
            return Expr::Binary("**".to_owned(), Box::new(base), Box::new(self.unary()));
        }
        base
    }

    fn postfix(&mut self) -> Expr {
        let mut expr = self.primary();
        while self.take("[") {
            let mut parts = [None, None, None];
            let mut part = 0;
            while !self.take("]") {
                if self.take(":") {
                    part += 1;
                } else {
                    parts[part] = Some(Box::new(self.choice()));
                }
            }
            let [from, to, step] = parts;
            expr = if part == 0 {
                Expr::Index(Box::new(expr), from.unwrap())
            } else {
                Expr::Slice(Box::new(expr), from, to, step)
            };
        }
        expr
    }

    fn primary(&mut self) -> Expr {
        let token = self.next();
        match token.as_str() {
            "(" => {
                let inner = self.choice();
                self.expect(")");
                inner
            }
            "[" => {
                let mut items = Vec::new();
                while !self.take("]") {
                    items.push(self.choice());
                    if self.take("for") {
                        let name = self.next();
                        for token in ["in", "range", "("] {
                            self.expect(token);
                        }
                        let count = self.choice();
                        self.expect(")");
                        self.expect("]");
                        return Expr::Each(Box::new(items.remove(0)), name, Box::new(count));
                    }
                    self.take(",");
                }
                Expr::List(items)
            }
            _ if token.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                Expr::Number(token.parse().unwrap())
            }
            _ if self.take("(") => {
                let mut args = Vec::new();
                while !self.take(")") {
                    args.push(self.choice());
                    self.take(",");
                }
                Expr::Call(token, args)
            }
            _ => Expr::Name(token),
        }
    }
}
