//! What other languages write gets one message that says how it is written here.

use spadina_ir::frontend::compile::compile;

#[test]
fn other_languages_are_understood() {
    for (body, hint) in [
        ("sum i in 0..=N { x[i]^2 }", "a..b + 1"),
        ("sum i in 0..N { if x[i] > 0.0 and x[i] < 1.0 { x[i] } else { 0.0 } }", "&&"),
        ("sum i in 0..N { if x[i] > 0.0 & x[i] < 1.0 { x[i] } else { 0.0 } }", "&&"),
        ("sum i in 0..N { np.sin(x[i]) }", "no modules"),
        ("sum i in 0..N { x[i].sin() }", "no methods"),
        ("sum (i, j) in 0..N { x[i]^2 }", "without parentheses"),
        ("sum i in 0..N { x[i] > 0.0 ? x[i] : 0.0 }", "if c { a } else { b }"),
        ("sum i in 0..N { x[i] .* x[i] }", "hadamard"),
        ("sum i in 0..N { x[i]**2 }", "x^2"),
        ("let mut s = 0.0;\n for (int i = 0; i < N; i++) { s += x[i]^2; }\n s", "for i in 0..N"),
        ("let mut s = 0.0;\n for (i, j) in edges { s += x[i]^2; }\n s", "for [i, j] in edges"),
        ("sum i in 0..N { (x[i], 1.0).dot(2.0) }", "no methods"),
        ("sum i in 0..N { let t = (x[i], 1.0); t.max() }", "no methods"),
        ("double s = 0.0;\n sum i in 0..N { x[i]^2 }", "let name"),
        ("let mut s = 0.0;\n s++;\n sum i in 0..N { x[i]^2 }", "name += 1.0"),
        ("# a comment\n sum i in 0..N { x[i]^2 }", "//"),
    ] {
        let text = format!("kernel k<N>(x: var f64[N]) -> f64 {{\n {body}\n}}\n");
        let errors: Vec<_> =
            compile(&text).diagnostics.into_iter().filter(spadina_ir::diag::Diagnostic::is_error).collect();
        let first = errors.first().unwrap_or_else(|| panic!("{body} compiles"));
        assert!(first.help.iter().any(|help| help.contains(hint)), "{body}: {first:?}");
        assert!(errors.len() == 1, "{body}: {errors:?}");
    }
}
