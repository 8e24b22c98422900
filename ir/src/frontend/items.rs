//! The items of a file by name, and what is wrong with their names.

use crate::diag::Diagnostic;
use crate::frontend::ast::{Attr, Const, File, Function, Ident, Item, Kernel, Struct};
use crate::frontend::builtin;
use crate::frontend::suggest::nearest;
use std::collections::BTreeMap;

/// Functions, structs and constants by name.
#[derive(Default)]
pub(super) struct Items<'a> {
    pub(super) functions: BTreeMap<&'a str, &'a Function>,
    pub(super) structs: BTreeMap<&'a str, &'a Struct>,
    pub(super) consts: BTreeMap<&'a str, &'a Const>,
    kernels: BTreeMap<&'a str, &'a Kernel>,
}

impl<'a> Items<'a> {
    /// Collects the items, reporting names that are taken.
    pub(super) fn collect(file: &'a File, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut items = Self::default();
        for item in &file.items {
            let name = match item {
                Item::Kernel(kernel) => &kernel.name,
                Item::Fn(function) => &function.name,
                Item::Struct(structure) => &structure.name,
                Item::Const(constant) => &constant.name,
            };
            if let Some(first) = items.find(&name.name) {
                diagnostics.push(
                    Diagnostic::error("duplicate-name", format!("`{}` is defined twice", name.name))
                        .label(name.span, "defined again here")
                        .label(first.span, "first defined here")
                        .help("kernels, functions, structs and constants share one namespace: rename one of them"),
                );
                continue;
            }
            if builtin::is_builtin(&name.name) || builtin::is_type(&name.name) {
                diagnostics.push(
                    Diagnostic::error(
                        "duplicate-name",
                        format!("`{}` is built into the language", name.name),
                    )
                    .label(name.span, "cannot be defined again")
                    .help("choose another name"),
                );
                continue;
            }
            match item {
                Item::Kernel(kernel) => drop(items.kernels.insert(&kernel.name.name, kernel)),
                Item::Fn(function) => {
                    function_attrs(function, diagnostics);
                    items.functions.insert(&function.name.name, function);
                }
                Item::Struct(structure) => drop(items.structs.insert(&structure.name.name, structure)),
                Item::Const(constant) => drop(items.consts.insert(&constant.name.name, constant)),
            }
        }
        items
    }

    fn find(&self, name: &str) -> Option<&'a Ident> {
        let function = self.functions.get(name).map(|item| &item.name);
        let structure = self.structs.get(name).map(|item| &item.name);
        let constant = self.consts.get(name).map(|item| &item.name);
        let kernel = self.kernels.get(name).map(|item| &item.name);
        function.or(structure).or(constant).or(kernel)
    }
}

/// What stands before a function is understood, or said not to be.
fn function_attrs(function: &Function, diagnostics: &mut Vec<Diagnostic>) {
    let mut given: Option<&Attr> = None;
    for attr in &function.attrs {
        if attr.name.name != "partials" {
            let name = &attr.name.name;
            let mut diagnostic =
                Diagnostic::error("unknown-attribute", format!("`#[{name}]` has no meaning here"))
                    .label(attr.span, "not understood");
            if let Some(hint) = nearest(name, ["partials"]) {
                diagnostic = diagnostic.help(format!("did you mean `{hint}`?")).patch(attr.name.span, hint);
            }
            diagnostics.push(diagnostic.help("a function takes `#[partials(..)]`"));
        } else if let Some(first) = given {
            diagnostics.push(
                Diagnostic::error(
                    "bad-partials",
                    format!("the partials of `{}` are given twice", function.name.name),
                )
                .label(attr.span, "given again here")
                .label(first.span, "first given here")
                .help("keep one of them, with one expression for each float parameter"),
            );
        } else {
            given = Some(attr);
        }
    }
}
