//! The SSA text of every kernel in the repository is read back and printed alike.

use spadina_ir::frontend::compile::compile;
use spadina_ir::text::{parse, print};
use spadina_ir::verify::verify;
use std::path::Path;

#[test]
fn kernels_survive_their_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for folder in ["tests/frontend_kernels", "../tests/cases"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "ir")) {
            let program = compile(&std::fs::read_to_string(path).unwrap());
            assert!(!program.has_errors(), "{}", path.display());
            for kernel in program.kernels {
                let text = print(&kernel.func);
                let again =
                    parse(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()));
                assert_eq!(print(&again), text, "{}", path.display());
                let violations = verify(&again);
                assert!(violations.is_empty(), "{}: {violations:?}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 30, "only {seen} kernels");
}
