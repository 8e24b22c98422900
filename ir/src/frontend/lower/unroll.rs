//! Which loops are unrolled: those over a short literal range whose variable subscripts values in registers.

use super::loops::Nest;
use super::value::Val;
use super::{Binding, Lowerer, query};
use crate::frontend::ast::{Binder, BinderPat, Block, Expr, ExprKind, Pat, StmtKind};
use crate::frontend::builtin;
use std::collections::BTreeSet;

impl<'a> Lowerer<'a> {
    /// Does the body subscript values in registers with this loop variable?
    pub(super) fn must_unroll(&self, nest: &Nest<'a>, binder: &'a Binder) -> bool {
        let mut tainted: BTreeSet<&str> = BTreeSet::new();
        if let (BinderPat::Name(name), ExprKind::Range(..)) = (&binder.pat, &binder.over.kind) {
            tainted.insert(&name.name);
        }
        tainted.extend(binder.number.as_ref().map(|number| number.name.as_str()));
        let mut bound = BTreeSet::new();
        taint(nest.block, &mut tainted, &mut bound);
        let touches = |expr: &Expr| tainted.iter().any(|name| query::mentions(expr, name));
        let mut found = false;
        let mut visit = |expr: &'a Expr, _: bool| {
            found |= match &expr.kind {
                ExprKind::Index(base, subs) if subs.iter().any(&touches) => match query::root_name(base) {
                    Some(root) => bound.contains(root) || !self.is_in_memory(root),
                    None => true,
                },
                ExprKind::Call(name, args) => !builtin::is_builtin(&name.name) && args.iter().any(&touches),
                _ => false,
            };
        };
        query::walk_block(nest.block, &mut visit);
        for binder in nest.binders {
            query::walk_expr(&binder.over, &mut visit);
        }
        if let Some(filter) = nest.filter {
            query::walk_expr(filter, &mut visit);
        }
        found
    }

    /// Does the name stand for an array in a buffer, which any integer may subscript?
    fn is_in_memory(&self, name: &str) -> bool {
        match self.peek_binding(name) {
            Some(Binding::Val(val)) => matches!(val, Val::View(_) | Val::Error),
            Some(Binding::Acc(_)) => !self.is_small_acc(name),
            Some(Binding::Size(_) | Binding::Deferred { .. }) => true,
            // Bound inside the loop: an entry, a state.
            None => false,
        }
    }
}

/// Adds the names that depend on tainted ones, and collects all names that the block binds.
fn taint<'a>(block: &'a Block, tainted: &mut BTreeSet<&'a str>, bound: &mut BTreeSet<&'a str>) {
    for stmt in &block.stmts {
        match &stmt.kind {
            StmtKind::Let { pat, value, mutable, .. } => {
                let depends = !mutable && tainted.iter().any(|name| query::mentions(value, name));
                for name in pattern_names(pat) {
                    bound.insert(name);
                    if depends {
                        tainted.insert(name);
                    }
                }
                taint_inside(value, tainted, bound);
            }
            StmtKind::For { binders, body } => {
                bound.extend(binders.binders.iter().flat_map(binder_names));
                taint(body, tainted, bound);
            }
            StmtKind::Accum { value, .. } => taint_inside(value, tainted, bound),
        }
    }
    if let Some(value) = &block.value {
        taint_inside(value, tainted, bound);
    }
}

/// The same for the blocks inside an expression.
fn taint_inside<'a>(expr: &'a Expr, tainted: &mut BTreeSet<&'a str>, bound: &mut BTreeSet<&'a str>) {
    let mut blocks = Vec::new();
    query::walk_expr(expr, &mut |inner, _| match &inner.kind {
        ExprKind::Reduce(node) => {
            bound.extend(node.binders.binders.iter().flat_map(binder_names));
            blocks.push(&node.body);
        }
        ExprKind::Fold(node) => {
            bound.extend(binder_names(&node.binder));
            bound.extend(pattern_names(&node.state));
            blocks.push(&node.body);
        }
        ExprKind::If(node) => {
            blocks.push(&node.then);
            blocks.extend(&node.otherwise);
        }
        _ => {}
    });
    // The walk above reaches nested blocks by itself: only their statements are left.
    for block in blocks {
        for stmt in &block.stmts {
            if let StmtKind::Let { pat, value, mutable: false, .. } = &stmt.kind {
                let depends = tainted.iter().any(|name| query::mentions(value, name));
                bound.extend(pattern_names(pat));
                tainted.extend(pattern_names(pat).into_iter().filter(|_| depends));
            }
        }
    }
}

fn binder_names(binder: &Binder) -> Vec<&str> {
    let names = match &binder.pat {
        BinderPat::Name(name) => vec![name.name.as_str()],
        BinderPat::Row(names, _) => names.iter().map(|name| name.name.as_str()).collect(),
    };
    names.into_iter().chain(binder.number.as_ref().map(|number| number.name.as_str())).collect()
}

fn pattern_names(pat: &Pat) -> Vec<&str> {
    match pat {
        Pat::Name(name) => vec![name.name.as_str()],
        Pat::Vector(parts, _) | Pat::Tuple(parts, _) => parts.iter().flat_map(pattern_names).collect(),
    }
}
