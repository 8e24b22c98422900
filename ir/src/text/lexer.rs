//! Tokens of the SSA text.

use super::error::TextError;

/// One token.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// A plain word: keyword, operation, buffer or size.
    Word(String),
    /// A quoted name: never a keyword.
    Quoted(String),
    /// A value, without its `%`.
    Value(String),
    /// An unsigned number and its suffix, as written.
    Number(String),
    /// Punctuation.
    Mark(&'static str),
    /// The end of the text.
    End,
}

/// A token and the byte where it starts.
#[derive(Clone, Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) at: usize,
}

const MARKS: &[&str] = &["..", "+=", "{", "}", "(", ")", "[", "]", ":", ",", "=", "@", "#", "*", "+", "-"];

/// True for what can stand bare where a name is expected: letters, digits, `_`, and `.` between them.
pub(super) fn is_plain(name: &str) -> bool {
    const RESERVED: &[&str] = &["true", "false", "inf", "nan", "inf_f32", "nan_f32"];
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let mut parts = name.split('.');
    let worded = parts.all(|part| !part.is_empty() && part.chars().all(is_word));
    starts && worded && !RESERVED.contains(&name)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// All tokens of a text, ending with [`Token::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Spanned>, TextError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if c == ';' || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (token, len) = if c.is_ascii_alphabetic() || c == '_' {
            let len = word_len(rest);
            (Token::Word(rest[..len].to_owned()), len)
        } else if c.is_ascii_digit() {
            let len = number_len(rest);
            (Token::Number(rest[..len].to_owned()), len)
        } else if c == '%' {
            let len = rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1);
            if len == 0 {
                return Err(error(text, at, "a value needs a name after `%`"));
            }
            (Token::Value(rest[1..=len].to_owned()), len + 1)
        } else if c == '"' {
            quoted(text, at)?
        } else if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            (Token::Mark(mark), mark.len())
        } else {
            return Err(error(text, at, format!("unexpected character {c:?}")));
        };
        tokens.push(Spanned { token, at });
        at += len;
    }
    tokens.push(Spanned { token: Token::End, at });
    Ok(tokens)
}

fn word_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let word = |i: usize| bytes.get(i).is_some_and(|&b| is_word(char::from(b)));
    let mut len = 0;
    while word(len) || (bytes.get(len) == Some(&b'.') && word(len + 1)) {
        len += 1;
    }
    len
}

/// Digits, a fraction unless `..` follows, an exponent, and the suffix `_f32`.
fn number_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut len = 0;
    while digit(len) {
        len += 1;
    }
    if bytes.get(len) == Some(&b'.') && digit(len + 1) {
        len += 1;
        while digit(len) {
            len += 1;
        }
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        if digit(len + 1 + sign) {
            len += 1 + sign;
            while digit(len) {
                len += 1;
            }
        }
    }
    while bytes.get(len).is_some_and(|&b| is_word(char::from(b))) {
        len += 1;
    }
    len
}

fn quoted(text: &str, at: usize) -> Result<(Token, usize), TextError> {
    let mut name = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Quoted(name), i + 2)),
            '\\' => match chars.next() {
                Some((_, 'n')) => name.push('\n'),
                Some((_, c @ ('\\' | '"'))) => name.push(c),
                _ => return Err(error(text, at + 1 + i, "unknown escape in a quoted name")),
            },
            '\n' => break,
            _ => name.push(c),
        }
    }
    Err(error(text, at, "a quoted name is not closed"))
}

/// An error at a byte of the text.
pub(super) fn error(text: &str, at: usize, message: impl Into<String>) -> TextError {
    let before = text.get(..at).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = 1 + before[line_start..].chars().count();
    TextError { line, column, message: message.into() }
}
