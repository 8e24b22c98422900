//! Just enough JSON to read the reference files.

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Text(String),
    Number(f64),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads a text; panics on anything that is not JSON.
pub(crate) fn parse(text: &str) -> Json {
    let mut chars = text.chars().peekable();
    let value = value(&mut chars);
    skip(&mut chars);
    assert_eq!(chars.next(), None, "one value");
    value
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip(chars: &mut Chars<'_>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

/// Whether a separator follows (and takes it), or the end (and takes that).
fn more(chars: &mut Chars<'_>, end: char) -> bool {
    skip(chars);
    if chars.next_if_eq(&end).is_some() {
        return false;
    }
    chars.next_if_eq(&',');
    true
}

fn value(chars: &mut Chars<'_>) -> Json {
    skip(chars);
    match chars.peek() {
        Some('"') => Json::Text(text(chars)),
        Some('[') => {
            chars.next();
            let mut items = Vec::new();
            while more(chars, ']') {
                items.push(value(chars));
            }
            Json::List(items)
        }
        Some('{') => {
            chars.next();
            let mut items = Vec::new();
            while more(chars, '}') {
                skip(chars);
                let key = text(chars);
                skip(chars);
                assert_eq!(chars.next(), Some(':'));
                items.push((key, value(chars)));
            }
            Json::Object(items)
        }
        _ => {
            let mut digits = String::new();
            while let Some(c) = chars.next_if(|c| "+-.eE0123456789".contains(*c)) {
                digits.push(c);
            }
            Json::Number(digits.parse().unwrap())
        }
    }
}

fn text(chars: &mut Chars<'_>) -> String {
    assert_eq!(chars.next(), Some('"'));
    let mut text = String::new();
    loop {
        match chars.next().unwrap() {
            '"' => return text,
            '\\' => text.push(chars.next().unwrap()),
            c => text.push(c),
        }
    }
}

impl Json {
    pub(crate) fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            other => panic!("{other:?} is no list"),
        }
    }

    pub(crate) fn get(&self, key: &str) -> &Json {
        match self {
            Json::Object(items) => &items.iter().find(|(name, _)| name == key).unwrap().1,
            other => panic!("{other:?} is no object"),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    pub(crate) fn number(&self) -> f64 {
        match self {
            Json::Number(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.items().iter().map(|item| item.text().to_owned()).collect()
    }
}
