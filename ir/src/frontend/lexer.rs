//! Cuts `.ir` text into tokens; never fails, bad characters become diagnostics and are skipped.

use crate::diag::Diagnostic;
use crate::span::Span;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Tok {
    /// A name or a keyword (see [`is_reserved`]).
    Ident(String),
    /// An integer literal.
    Int(i64),
    /// A floating-point literal.
    Float(f64),
    /// A text in double quotes, only used by attributes.
    Text(String),
    /// A `///` line, without the slashes and one leading blank.
    Doc(String),
    /// An operator or a delimiter.
    Punct(&'static str),
    /// The end of the text.
    Eof,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub tok: Tok,
    /// Where it stands.
    pub span: Span,
}

/// Longest first, so that the first match is the right one.
const PUNCTS: [&str; 37] = [
    "..", "->", "+=", "-=", "==", "!=", "<=", ">=", "&&", "||", "*=", "/=", "(", ")", "[", "]", "{", "}",
    "<", ">", ",", ":", ";", "=", "+", "-", "*", "/", "%", "^", "@", "!", ".", "#", "&", "|", "?",
];

const RESERVED: [&str; 25] = [
    "kernel", "fn", "struct", "const", "let", "mut", "for", "in", "if", "else", "step", "with", "var", "sum",
    "prod", "map", "min", "max", "fold", "scan", "zeros", "true", "false", "while", "return",
];

/// Characters of typeset texts, and the operators they stand for: hyphens, dashes and minus signs; times signs; and so on.
const LOOK_ALIKES: [(&str, &str); 7] = [
    ("\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}\u{fe63}\u{ff0d}", "-"),
    ("\u{d7}\u{b7}\u{2217}\u{22c5}\u{2022}", "*"),
    ("\u{f7}\u{2044}\u{2215}", "/"),
    ("\u{2264}", "<="),
    ("\u{2265}", ">="),
    ("\u{2260}", "!="),
    ("\u{2026}", ".."),
];

/// Those that may stand for `dot`.
const DOTS: &str = "\u{b7}\u{2217}\u{22c5}\u{2022}";

/// Marks and spaces without a shape: they are shown by their number.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// May this word not be used as a name?
pub fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// All tokens of `text`, ended by [`Tok::Eof`], and what was wrong on the way.
pub fn lex(text: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), diagnostics: Vec::new() };
    while lexer.at < text.len() {
        lexer.step();
    }
    lexer.push(Tok::Eof, text.len());
    (lexer.tokens, lexer.diagnostics)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    diagnostics: Vec<Diagnostic>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, tok: Tok, start: usize) {
        self.tokens.push(Token { tok, span: Span::new(start, self.at) });
    }

    /// Moves past the characters that satisfy `keep`.
    fn take(&mut self, keep: impl Fn(char) -> bool) -> usize {
        let rest = self.rest();
        let length = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += length;
        length
    }

    fn step(&mut self) {
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return };
        if first.is_whitespace() {
            self.take(char::is_whitespace);
        } else if self.rest().starts_with("//") {
            self.comment(start);
        } else if first == '_' || first.is_alphabetic() {
            self.take(|c| c == '_' || c.is_alphanumeric());
            self.push(Tok::Ident(self.text[start..self.at].to_owned()), start);
        } else if first.is_ascii_digit() {
            self.number(start);
        } else if first == '"' {
            self.quoted(start);
        } else if let Some(punct) = PUNCTS.into_iter().find(|&punct| self.rest().starts_with(punct)) {
            self.at += punct.len();
            self.push(Tok::Punct(punct), start);
        } else {
            self.at += first.len_utf8();
            self.bad(first, start);
        }
    }

    /// Reports a character that no token starts with; one that looks like an operator counts as that, so that one mistake is one error.
    fn bad(&mut self, character: char, start: usize) {
        let span = Span::new(start, self.at);
        let shown = if character.is_ascii_graphic() || !character.is_ascii() && !is_hidden(character) {
            character.to_string()
        } else {
            character.escape_default().to_string()
        };
        let code =
            if character.is_ascii() { String::new() } else { format!(" (U+{:04X})", character as u32) };
        let mut diagnostic =
            Diagnostic::error("bad-character", format!("`{shown}`{code} has no meaning here"))
                .label(span, "unknown character");
        match LOOK_ALIKES.iter().find(|(look, _)| look.contains(character)) {
            Some(&(_, meant)) => {
                diagnostic = diagnostic.help(format!("write `{meant}`: operators are plain ASCII"));
                // A dot between vectors is another product.
                diagnostic = if DOTS.contains(character) {
                    diagnostic.help("the product of two vectors is `dot(a, b)`")
                } else {
                    diagnostic.patch(span, meant)
                };
                self.push(Tok::Punct(meant), start);
            }
            None => {
                diagnostic = diagnostic.help(
                    "names are letters, digits and `_`; the text is UTF-8 and operators are plain ASCII",
                );
            }
        }
        self.diagnostics.push(diagnostic);
    }

    fn comment(&mut self, start: usize) {
        self.take(|c| c != '\n');
        let line = &self.text[start..self.at];
        if line.starts_with("///") && !line.starts_with("////") {
            let doc = line[3..].trim_end();
            self.push(Tok::Doc(doc.strip_prefix(' ').unwrap_or(doc).to_owned()), start);
        }
    }

    fn number(&mut self, start: usize) {
        let digit = |c: char| c.is_ascii_digit() || c == '_';
        self.take(digit);
        let mut float = false;
        let mut next = self.rest().chars();
        if next.next() == Some('.') {
            // `0..N` is a range, `v.0.x` does not exist, `1.` and `1.5` are floats.
            let after = next.next();
            if !after.is_some_and(|c| c == '.' || c == '_' || c.is_alphabetic()) {
                float = true;
                self.at += 1;
                self.take(digit);
            }
        }
        let exponent = self.rest().strip_prefix(['e', 'E']).map(|tail| {
            let unsigned = tail.strip_prefix(['+', '-']).unwrap_or(tail);
            (tail.len() - unsigned.len(), unsigned.starts_with(|c: char| c.is_ascii_digit()))
        });
        if let Some((sign, true)) = exponent {
            float = true;
            self.at += 1 + sign;
            self.take(digit);
        }
        let glued = self.rest().starts_with(|c: char| c == '_' || c.is_alphabetic());
        let digits = self.text[start..self.at].replace('_', "");
        if glued {
            self.take(|c| c == '_' || c.is_alphanumeric());
            self.bad_number(
                start,
                "letters follow the digits",
                "write `2 * x`, not `2x`; exponents look like `1e-3`",
            );
        }
        if float {
            let value: f64 = digits.parse().unwrap_or(f64::INFINITY);
            if value.is_infinite() {
                self.bad_number(start, "larger than any 64-bit float", "write `inf` if infinity is meant");
            }
            self.push(Tok::Float(value), start);
            return;
        }
        let tok = digits.parse().map(Tok::Int).ok().unwrap_or_else(|| {
            self.bad_number(start, "does not fit into 64 bits", "write it as a float, `1e20`");
            Tok::Int(0)
        });
        self.push(tok, start);
    }

    fn bad_number(&mut self, start: usize, why: &str, help: &str) {
        let span = Span::new(start, self.at);
        let message = format!("`{}` is not a number", span.slice(self.text));
        self.diagnostics.push(Diagnostic::error("bad-number", message).label(span, why).help(help));
    }

    fn quoted(&mut self, start: usize) {
        self.at += 1;
        self.take(|c| c != '"' && c != '\n');
        let inside = self.text[start + 1..self.at].to_owned();
        if self.rest().starts_with('"') {
            self.at += 1;
        } else {
            self.diagnostics.push(
                Diagnostic::error("unterminated-text", "this text has no closing quote")
                    .label(Span::new(start, self.at), "starts here")
                    .help("close it with `\"` on the same line"),
            );
        }
        self.push(Tok::Text(inside), start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toks(text: &str) -> Vec<Tok> {
        lex(text).0.into_iter().map(|token| token.tok).collect()
    }

    #[test]
    fn ranges_are_not_floats() {
        assert_eq!(toks("0..3"), [Tok::Int(0), Tok::Punct(".."), Tok::Int(3), Tok::Eof]);
        assert_eq!(toks("1.5e-3 2. 1_000"), [Tok::Float(1.5e-3), Tok::Float(2.0), Tok::Int(1000), Tok::Eof]);
    }

    #[test]
    fn docs_are_kept_and_comments_are_not() {
        assert_eq!(
            toks("/// rest length\n// note\nx"),
            [Tok::Doc("rest length".into()), Tok::Ident("x".into()), Tok::Eof]
        );
    }

    #[test]
    fn typeset_operators_are_reported_and_meant() {
        let (tokens, diagnostics) = lex("a \u{2212} b \u{d7} c");
        let toks: Vec<Tok> = tokens.into_iter().map(|token| token.tok).collect();
        assert_eq!((&toks[1], &toks[3]), (&Tok::Punct("-"), &Tok::Punct("*")));
        let found: Vec<_> = diagnostics.iter().map(|d| (d.code, d.patch.as_ref().unwrap())).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, &found[0].1.replacement[..]), ("bad-character", "-"));
        assert_eq!(found[0].1.span, Span::new(2, 5));
        assert!(diagnostics[0].message.contains("U+2212"));
    }

    #[test]
    fn floats_beyond_64_bits_are_reported() {
        let codes = |text: &str| lex(text).1.iter().map(|d| d.code).collect::<Vec<_>>();
        assert_eq!(codes("1e999"), ["bad-number"]);
        assert!(codes("1e308 1e-999 0.0").is_empty());
    }

    #[test]
    fn bad_text_is_reported_and_skipped() {
        let (tokens, diagnostics) = lex("a $ 3x \"open");
        assert_eq!(tokens.len(), 4);
        let codes: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert_eq!(codes, ["bad-character", "bad-number", "unterminated-text"]);
    }
}
