//! The text half of the front end: every kernel reads, printing and reading agree, broken text never panics.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::format_push_string, reason = "helpers of tests")]

use spadina_ir::frontend::{parser::parse, pretty::print_file};
use std::fmt::Write as _;
use std::path::Path;

/// All `.ir` texts of the repository, by name.
fn kernels() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [root.join("tests/frontend_kernels"), root.join("../tests/cases")] {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "ir") {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() >= 5, "the kernels are missing");
    found
}

/// The tree as text without its spans.
fn shape(text: &str) -> String {
    let (file, _) = parse(text);
    let debug = format!("{file:?}");
    let mut out = String::with_capacity(debug.len());
    let mut rest = debug.as_str();
    while let Some(at) = rest.find('@') {
        out.push_str(&rest[..at]);
        rest = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    }
    out + rest
}

#[test]
fn every_kernel_reads_without_a_message() {
    for (name, text) in kernels() {
        let (file, diagnostics) = parse(&text);
        assert!(diagnostics.is_empty(), "{name}: {diagnostics:?}");
        assert!(!file.items.is_empty(), "{name}");
    }
}

#[test]
fn printing_and_reading_agree() {
    for (name, text) in kernels() {
        let printed = print_file(&parse(&text).0);
        let (again, diagnostics) = parse(&printed);
        assert!(diagnostics.is_empty(), "{name}: {diagnostics:?}\n{printed}");
        assert_eq!(shape(&text), shape(&printed), "{name}");
        assert_eq!(printed, print_file(&again), "{name}");
    }
}

/// How many times longer than usual to fuzz: `SPADINA_FUZZ=50 cargo test -p spadina-ir --test frontend_syntax`.
fn effort() -> usize {
    std::env::var("SPADINA_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// xorshift64*, enough for fuzzing.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

const WORDS: [&str; 40] = [
    "kernel", "fn", "struct", "const", "let", "mut", "for", "in", "if", "else", "step", "with", "sum", "map",
    "fold", "zeros", "(", ")", "[", "]", "{", "}", "<", ">", "..", "->", "+=", ";", ",", ":", "#", "x", "V",
    "1", "2.5", "-", "^", "@", ".", "\"t\"",
];

#[test]
fn random_words_never_panic() {
    let mut rng = Rng(7);
    for _ in 0..3000 * effort() {
        let mut text = String::from("kernel k<V>(x: var f64[V]) -> f64 { ");
        for _ in 0..rng.below(60) {
            let _ = write!(text, "{} ", WORDS[rng.below(WORDS.len())]);
        }
        let (file, diagnostics) = parse(&text);
        let _ = print_file(&file);
        if diagnostics.is_empty() {
            assert_eq!(shape(&text), shape(&print_file(&file)), "{text}");
        }
    }
}

#[test]
fn mutated_kernels_never_panic() {
    let mut rng = Rng(11);
    for (_, text) in kernels() {
        for _ in 0..150 * effort() {
            let mut bytes: Vec<char> = text.chars().collect();
            for _ in 0..=rng.below(4) {
                if bytes.is_empty() {
                    break;
                }
                let at = rng.below(bytes.len());
                match rng.below(4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, ['(', ')', '{', '}', '"', '.', '-', 'é', '0', '#'][rng.below(10)]),
                    2 => bytes.truncate(at.max(1)),
                    _ => {
                        let word = WORDS[rng.below(WORDS.len())];
                        bytes.splice(at..at, word.chars());
                    }
                }
            }
            let mutated: String = bytes.into_iter().collect();
            let (file, diagnostics) = parse(&mutated);
            let printed = print_file(&file);
            if diagnostics.is_empty() {
                assert_eq!(shape(&mutated), shape(&printed), "{mutated}");
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused_not_overflowed() {
    let deep = 100_000;
    let shapes = [
        ("(".repeat(deep), ")".repeat(deep)),
        ("-".repeat(deep), String::new()),
        ("x + ".repeat(deep), String::new()),
        ("2 ^ ".repeat(deep), String::new()),
        (String::new(), "[0]".repeat(deep)),
        (String::new(), ".f".repeat(deep)),
        ("if c { ".repeat(deep), "} else {1}".repeat(deep)),
        ("if c { 1 } else ".repeat(deep), String::new()),
        ("for i in 0..3 { ".repeat(deep), "}".repeat(deep)),
        ("let ((((".repeat(deep), String::new()),
        ("sum i in 0..3 { ".repeat(deep), "}".repeat(deep)),
        ("((x + ".repeat(deep), ")+x)".repeat(deep)),
    ];
    for (before, after) in shapes {
        let text = format!("kernel k() -> f64 {{ {before} x {after} }}");
        let (file, diagnostics) = parse(&text);
        assert!(!diagnostics.is_empty());
        let _ = print_file(&file);
    }
}

#[test]
fn several_errors_in_one_run_each_with_place_and_help() {
    let text = "
kernel k<V>(x: f64[V], : int, y: f64) -> f64 {
    let a = 1.0
    let b = * 2;
    a = 3;
    let c = (a + b;
    for i in 0..V { b += }
    2x
}
kernel l() -> { 1 }
";
    let (_, diagnostics) = parse(text);
    let codes: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(
        codes,
        [
            "expected",
            "missing-semicolon",
            "expected",
            "assignment",
            "unclosed",
            "expected",
            "bad-number",
            "expected"
        ]
    );
    for diagnostic in diagnostics {
        assert!(!diagnostic.labels.is_empty() && !diagnostic.help.is_empty(), "{diagnostic:?}");
    }
}

#[test]
fn mutated_kernels_lower_without_a_panic() {
    use spadina_ir::frontend::compile::compile;
    use spadina_ir::verify::verify;
    let mut rng = Rng(23);
    // Words that keep most mutants readable, so that they reach the checks.
    let words = [
        "0",
        "1",
        "2.0",
        "V",
        "N",
        "E",
        "x",
        "u",
        "i",
        "j",
        "edge",
        "[i]",
        "[0]",
        "+",
        "-",
        "*",
        "/",
        "@",
        "^",
        "%",
        "&&",
        "==",
        "<",
        "(x)",
        "norm",
        "sum",
        "map",
        "for",
        "fold",
        "zeros[V]",
        "zeros[2]",
        "let",
        "mut",
        "+=",
        "vec3(0.0)",
        "[1.0, 2.0]",
        "if",
        "else",
        "complex",
        "f32",
        "int",
        "bool",
        "..",
        "0..N",
        "(1, 2)",
        "true",
        "sqnorm(x[0])",
        ".0",
        "f64(",
        "index<V>",
    ];
    let mut lowered = 0;
    for (_, text) in kernels() {
        let tokens: Vec<&str> = text.split_inclusive([' ', '(', ')', '[', ']', ',', ';', '\n']).collect();
        for _ in 0..60 * effort() {
            let mut mutant: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
            for _ in 0..=rng.below(2) {
                let at = rng.below(mutant.len());
                match rng.below(4) {
                    0 => drop(mutant.remove(at)),
                    1 => mutant.insert(at, format!(" {} ", words[rng.below(words.len())])),
                    2 => {
                        let other = rng.below(mutant.len());
                        mutant.swap(at, other);
                    }
                    _ => {
                        let tail: String =
                            mutant[at].chars().filter(|c| !c.is_alphanumeric() && *c != '_').collect();
                        mutant[at] = format!("{}{tail}", words[rng.below(words.len())]);
                    }
                }
            }
            let source = mutant.concat();
            let program = compile(&source);
            for kernel in &program.kernels {
                lowered += 1;
                let violations = verify(&kernel.func);
                assert!(violations.is_empty(), "{violations:?}\n{source}");
            }
            assert!(
                !program.kernels.is_empty() || program.has_errors() || !source.contains("kernel"),
                "{source}"
            );
        }
    }
    assert!(lowered > 50, "only {lowered} mutants lowered: the mutations are too rough");
}

#[test]
fn growth_is_bounded() {
    use spadina_ir::frontend::compile::compile;
    let mut calls = String::from("fn f0(a: f64) -> f64 { a * a + 1.0 }\n");
    for level in 1..40 {
        let _ = writeln!(calls, "fn f{level}(a: f64) -> f64 {{ f{0}(a) + f{0}(a + 1.0) }}", level - 1);
    }
    calls += "kernel k(x: var f64) -> f64 { f39(x) }";
    let mut loops = String::from("kernel k(x: var f64, v: vec3) -> f64 { sum i in 0..3 { v[i]");
    for level in 0..20 {
        let _ = write!(loops, " * sum i{level} in 0..3 {{ v[i{level}]");
    }
    loops += &"}".repeat(22);
    let nested_if = format!(
        "kernel k(x: var f64) -> f64 {{ {} x {} }}",
        "if x > 0.0 { 1 } else { ".repeat(70),
        "}".repeat(70)
    );
    let nested_sum = format!(
        "kernel k(x: var f64) -> f64 {{ exp({} x {}) }}",
        "sum i in 0..100 { x * ".repeat(50),
        "}".repeat(50)
    );
    let mut nested_map = String::from("x");
    for level in 0..12 {
        nested_map = format!("(map i{level} in 0..3 {{ {nested_map} }})[0]");
    }
    let nested_map = format!("kernel k(x: var f64) -> f64 {{ {nested_map} }}");
    for source in [calls, loops, nested_if, nested_sum, nested_map] {
        let start = std::time::Instant::now();
        let program = compile(&source);
        assert!(!program.kernels.is_empty() || program.has_errors());
        assert!(start.elapsed().as_secs() < 60, "{source}");
        eprintln!(
            "{} ms, {} kernels, {:?}",
            start.elapsed().as_millis(),
            program.kernels.len(),
            program.diagnostics.first().map(|d| d.code)
        );
    }
}

#[test]
fn printed_kernels_lower_to_the_same_program() {
    use spadina_ir::frontend::compile::compile;
    use spadina_ir::text;
    for (name, source) in kernels() {
        let printed = print_file(&parse(&source).0);
        let (a, b) = (compile(&source), compile(&printed));
        let ssa = |kernels: &[spadina_ir::frontend::program::Kernel]| {
            kernels.iter().map(|kernel| text::print(&kernel.func)).collect::<String>()
        };
        assert!(!a.kernels.is_empty(), "{name}");
        assert_eq!(ssa(&a.kernels), ssa(&b.kernels), "{name}");
    }
}

#[test]
fn deep_programs_lower_or_are_refused() {
    use spadina_ir::frontend::compile::compile;
    let deep = 70;
    let mut calls = format!("fn f0(a: f64) -> f64 {{ {}a{} }}\n", "(1.0 + ".repeat(deep), ")".repeat(deep));
    for level in 1..30 {
        let _ = writeln!(
            calls,
            "fn f{level}(a: f64) -> f64 {{ {}f{}(a){} }}",
            "-(2.0 * ".repeat(deep / 2),
            level - 1,
            ")".repeat(deep / 2)
        );
    }
    calls += "kernel k(x: var f64) -> f64 { f29(x) }";
    let vectors =
        format!("kernel k(x: var f64) -> f64 {{ norm({}x{}) }}", "[".repeat(deep), "]".repeat(deep));
    let loops = format!(
        "kernel k(x: var f64) -> f64 {{ {} x {} }}",
        "1.0 + sum i in 0..100 { ".repeat(40),
        "}".repeat(40)
    );
    let folds = format!(
        "kernel k(x: var f64) -> f64 {{ {} x {} }}",
        "fold i in 0..9 with s = x { s * ".repeat(50),
        "}".repeat(50)
    );
    let ifs = format!(
        "kernel k(x: var f64) -> f64 {{ {} x }}",
        "if x > 1.0 { x } else if x < 0.0 { 1 } else { exp(".repeat(25)
    ) + &")}".repeat(25)
        + "}";
    for source in [calls, vectors, loops, folds, ifs] {
        let program = compile(&source);
        assert!(!program.kernels.is_empty() || program.has_errors(), "{source}");
    }
}
