//! Attributes of a kernel and of its parameters.

use super::value::{Elem, Val, View};
use super::{Binding, Lowerer};
use crate::diag::Diagnostic;
use crate::frontend::ast::{Attr, AttrArg, Expr, ExprKind, Kernel, Param};
use crate::frontend::program::Derive;
use crate::frontend::suggest::nearest;
use crate::func::Buffer;
use crate::span::Span;
use crate::types::Ty;
use std::collections::BTreeMap;

const KERNEL_ATTRS: [&str; 3] = ["derive", "example", "allow"];
const PARAM_ATTRS: [&str; 2] = ["fixed", "structural"];
/// What `#[allow(..)]` silences.
const LINTS: [&str; 4] = ["unused_parameter", "unused_size", "unused_variable", "dense"];
const DERIVES: [&str; 9] =
    ["value", "grad", "gradient", "jacobian", "hessian", "hvp", "jvp", "vjp", "gauss_newton"];

/// What stands before a kernel, read.
pub(super) struct Attributes {
    pub(super) derive: Vec<Derive>,
    pub(super) example: Option<(String, u32)>,
    pub(super) allow: Vec<String>,
}

impl<'a> Lowerer<'a> {
    pub(super) fn kernel_attrs(&mut self, kernel: &'a Kernel) -> Attributes {
        let mut found = Attributes { derive: Vec::new(), example: None, allow: Vec::new() };
        let mut given: BTreeMap<&'a str, Span> = BTreeMap::new();
        for attr in &kernel.attrs {
            let name = attr.name.name.as_str();
            match name {
                "derive" | "example" => {
                    if let Some(&first) = given.get(name) {
                        self.given_twice(attr, first);
                        continue;
                    }
                    given.insert(name, attr.span);
                    if name == "derive" {
                        found.derive = self.derive(attr);
                    } else {
                        found.example = self.example(attr);
                    }
                }
                "allow" => found.allow.extend(self.allow(attr)),
                _ => {
                    self.unknown_attr(
                        attr,
                        &KERNEL_ATTRS,
                        "a kernel takes `#[derive(..)]`, `#[example(..)]` and `#[allow(..)]`",
                    );
                }
            }
        }
        found
    }

    fn given_twice(&mut self, attr: &Attr, first: Span) {
        let name = &attr.name.name;
        let help = if name == "derive" {
            "name everything in one: `#[derive(value, grad, hessian)]`"
        } else {
            "a kernel has one example input: keep one of them"
        };
        let diagnostic = Diagnostic::error("misplaced-attribute", format!("`#[{name}(..)]` is given twice"))
            .label(attr.span, "given again here")
            .label(first, "first given here")
            .help(help);
        self.report(diagnostic);
    }

    fn allow(&mut self, attr: &'a Attr) -> Vec<String> {
        let known = format!("the lints are {}", LINTS.map(|lint| format!("`{lint}`")).join(", "));
        if attr.args.is_empty() {
            self.unknown_attr(attr, &["allow"], &known);
        }
        let mut found = Vec::new();
        for arg in &attr.args {
            let (name, at) = match arg {
                AttrArg::Word(word, inner) if inner.is_empty() => (word.name.as_str(), word.span),
                AttrArg::Text(text, at) => (text.as_str(), *at),
                AttrArg::Word(..) | AttrArg::Expr(_) => {
                    self.unknown_attr(attr, &["allow"], &known);
                    continue;
                }
            };
            // A message shows its code with `-`.
            let lint = name.replace('-', "_");
            if LINTS.contains(&lint.as_str()) {
                found.push(lint);
                continue;
            }
            let mut diagnostic =
                Diagnostic::error("unknown-attribute", format!("there is no lint `{name}` to allow"))
                    .label(at, "not a lint");
            if let Some(hint) = nearest(&lint, LINTS) {
                diagnostic = diagnostic.help(format!("did you mean `{hint}`?")).patch(at, hint);
            }
            self.report(diagnostic.help(known.clone()));
        }
        found
    }

    pub(super) fn fixed_masks(&mut self, param: &'a Param) -> Vec<Buffer> {
        let mut masks = Vec::new();
        for attr in &param.attrs {
            match attr.name.name.as_str() {
                "structural" if attr.args.is_empty() => {}
                "fixed" => {
                    if !param.is_var {
                        let diagnostic =
                            Diagnostic::error("misplaced-attribute", "only unknowns can be fixed")
                                .label(attr.span, format!("`{}` is not a `var`", param.name.name))
                                .help("write `var` before its type, or remove the attribute");
                        self.report(diagnostic);
                    }
                    for arg in &attr.args {
                        masks.extend(self.mask(arg, attr.span));
                    }
                }
                _ => {
                    self.unknown_attr(
                        attr,
                        &PARAM_ATTRS,
                        "a parameter takes `#[fixed(mask)]` and `#[structural]`",
                    );
                }
            }
        }
        masks
    }

    fn mask(&mut self, arg: &'a AttrArg, span: Span) -> Option<Buffer> {
        let (name, at) = match arg {
            AttrArg::Word(word, _) => (word.name.as_str(), word.span),
            AttrArg::Expr(Expr { kind: ExprKind::Name(name), span, .. }) | AttrArg::Text(name, span) => {
                (name.as_str(), *span)
            }
            AttrArg::Expr(_) => ("", span),
        };
        let bound = self.lookup(name);
        let buffer = match bound {
            Some(Binding::Val(Val::View(View { elem: Elem::Scalar(buffer, Ty::Bool), .. }))) => Some(buffer),
            _ => None,
        };
        if buffer.is_none() {
            let diagnostic = Diagnostic::error("bad-mask", "a mask is a `bool` array parameter")
                .label(at, "not a `bool` array")
                .help(
                    "declare it: `mask: bool[V]`, one flag for each vertex, or one mask for each component",
                );
            let masks: Vec<&'a str> = self.env[self.env_base..]
                .iter()
                .filter(|entry| is_mask(&entry.binding))
                .map(|entry| entry.name)
                .collect();
            let diagnostic = match nearest(name, masks) {
                Some(hint) => diagnostic.help(format!("did you mean `{hint}`?")).patch(at, hint),
                None => diagnostic,
            };
            self.report(diagnostic);
        }
        buffer
    }

    /// Reports an attribute that has no meaning where it stands.
    pub(super) fn unknown_attr(&mut self, attr: &Attr, known: &[&str], help: &str) {
        let name = &attr.name.name;
        let message = if known.contains(&name.as_str()) {
            format!("`#[{name}(..)]` does not take these arguments")
        } else {
            format!("`#[{name}]` has no meaning here")
        };
        let mut diagnostic =
            Diagnostic::error("unknown-attribute", message).label(attr.span, "not understood");
        if let Some(hint) = nearest(name, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{hint}`?")).patch(attr.name.span, hint);
        }
        self.report(diagnostic.help(help));
    }

    fn derive(&mut self, attr: &'a Attr) -> Vec<Derive> {
        let mut found = Vec::new();
        if attr.args.is_empty() {
            self.unknown_attr(attr, &["derive"], "name what is meant: `#[derive(value, grad, hessian)]`");
        }
        for arg in &attr.args {
            let (word, inner) = match arg {
                AttrArg::Word(word, inner) => (word, inner.as_slice()),
                AttrArg::Text(..) | AttrArg::Expr(_) => {
                    self.unknown_attr(attr, &["derive"], "it takes words: `#[derive(value, grad, hessian)]`");
                    continue;
                }
            };
            let detail = match inner {
                [] => Some(""),
                [AttrArg::Word(word, inner)] if inner.is_empty() => Some(word.name.as_str()),
                _ => None,
            };
            let derive = match (word.name.as_str(), detail) {
                ("value", Some("")) => Derive::Value,
                ("grad" | "gradient", Some("")) => Derive::Gradient,
                ("jacobian", Some("")) => Derive::Jacobian,
                ("hessian", Some("")) => Derive::Hessian,
                ("hessian", Some("lower")) => Derive::HessianLower,
                ("hessian", Some("lagrangian")) => Derive::HessianLagrangian,
                ("hvp", Some("")) => Derive::Hvp,
                ("jvp", Some("")) => Derive::Jvp,
                ("vjp", Some("")) => Derive::Vjp,
                ("gauss_newton", Some("")) => Derive::GaussNewton,
                (name, _) => {
                    let mut diagnostic = Diagnostic::error("unknown-derive", format!("`{name}` cannot be derived like this"))
                        .label(word.span, "not a derivative")
                        .help("value, grad, jacobian, hessian, hessian(lower), hessian(lagrangian), hvp, jvp, vjp, gauss_newton");
                    if let Some(hint) = nearest(name, DERIVES) {
                        diagnostic =
                            diagnostic.help(format!("did you mean `{hint}`?")).patch(word.span, hint);
                    }
                    self.report(diagnostic);
                    continue;
                }
            };
            if !found.contains(&derive) {
                found.push(derive);
            }
        }
        found
    }

    fn example(&mut self, attr: &'a Attr) -> Option<(String, u32)> {
        match attr.args.as_slice() {
            [AttrArg::Word(word, inner), AttrArg::Expr(Expr { kind: ExprKind::Int(size), .. })]
                if inner.is_empty() =>
            {
                if let Ok(size) = u32::try_from(*size) {
                    return Some((word.name.clone(), size));
                }
            }
            _ => {}
        }
        self.unknown_attr(
            attr,
            &["example"],
            "it names a generated input and its size: `#[example(cloth, 70)]`",
        );
        None
    }
}

fn is_mask(binding: &Binding<'_>) -> bool {
    matches!(binding, Binding::Val(Val::View(View { elem: Elem::Scalar(_, Ty::Bool), .. })))
}
