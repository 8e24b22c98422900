//! From source text to lowered kernels: parse, look up items, lower each kernel.

use crate::diag::Diagnostic;
use crate::frontend::ast::Item;
use crate::frontend::items::Items;
use crate::frontend::lower::{check_function, lower_kernel};
use crate::frontend::parser::parse;
use crate::frontend::program::Program;
use std::collections::BTreeSet;

/// Reads and lowers every kernel of a source text.
///
/// Kernels with errors are left out of the result; their errors (and the warnings of all) are in its diagnostics. After
/// syntax errors nothing is lowered, because most of what follows from them would be noise.
pub fn compile(text: &str) -> Program {
    let (file, mut diagnostics) = parse(text);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Program { kernels: Vec::new(), diagnostics };
    }
    let items = Items::collect(&file, &mut diagnostics);
    let mut kernels = Vec::new();
    let mut called = BTreeSet::new();
    for item in &file.items {
        if let Item::Kernel(kernel) = item {
            let (lowered, found) = lower_kernel(kernel, &items, &mut called);
            diagnostics.extend(found);
            kernels.extend(lowered);
        }
    }
    for (name, function) in &items.functions {
        if !called.contains(name) {
            diagnostics.extend(check_function(function, &items));
        }
    }
    diagnostics.sort_by_key(Diagnostic::span);
    diagnostics.dedup();
    Program { kernels, diagnostics }
}
