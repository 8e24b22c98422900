//! Did you mean ..: the known name nearest to a misspelled one.

/// What other languages call things, and what they are called here. An empty name: nothing here is meant.
const ALIASES: &[(&str, &str)] = &[
    ("PI", "pi"),
    ("arccos", "acos"),
    ("arcsin", "asin"),
    ("arctan", "atan"),
    ("arctan2", "atan2"),
    ("cwiseProduct", "hadamard"),
    ("determinant", "det"),
    ("double", "f64"),
    ("fabs", "abs"),
    ("float", "f64"),
    ("i32", "int"),
    ("i64", "int"),
    ("inverse", "inv"),
    ("length", "norm"),
    ("ln", "log"),
    ("norm2", "sqnorm"),
    ("normalized", "normalize"),
    ("normsq", "sqnorm"),
    ("powi", "pow"),
    ("sqr", ""),
    ("square", ""),
    ("squaredNorm", "sqnorm"),
    ("squared_norm", "sqnorm"),
    ("tr", "trace"),
    ("u32", "int"),
    ("u64", "int"),
    ("usize", "int"),
];

/// The candidate that other languages give this name, else the one with the smallest edit distance, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return candidates.into_iter().find(|candidate| candidate == meant);
    }
    // One letter for another is no hint: only its other case is.
    let limit = match name.chars().count() {
        0..=1 => 0,
        2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= limit && *edits < candidate.chars().count().max(2))
        // Of equally near names the one that starts alike: `sinn` is `sin`, not `sign`.
        .min_by_key(|(edits, candidate)| (*edits, std::cmp::Reverse(common_start(name, candidate))))
        .map(|(_, candidate)| candidate)
}

fn common_start(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count()
}

/// Levenshtein distance, with a case change counted as nothing when it is the only one.
fn distance(a: &str, b: &str) -> usize {
    if a.eq_ignore_ascii_case(b) {
        return 0;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("egdes", ["rest", "edges"]), Some("edges"));
        assert_eq!(nearest("x", ["rest", "y", "X"]), Some("X"));
        assert_eq!(nearest("x", ["rest", "edges"]), None);
        assert_eq!(nearest("lenght", ["length", "len"]), Some("length"));
        assert_eq!(nearest("sinn", ["sign", "sin"]), Some("sin"));
        assert_eq!(nearest("ln", ["len", "log"]), Some("log"));
        assert_eq!(nearest("sqr", ["sqrt"]), None);
    }
}
