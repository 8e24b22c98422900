//! Questions about the syntax tree that lowering asks before it commits: who uses a name, what is accumulated where.

use crate::frontend::ast::{Binders, Block, Expr, ExprKind, Stmt, StmtKind};

/// Calls `visit` on every expression below `block`, outermost first; places of accumulations come with `true`.
pub(super) fn walk_block<'a>(block: &'a Block, visit: &mut dyn FnMut(&'a Expr, bool)) {
    for stmt in &block.stmts {
        walk_stmt(stmt, visit);
    }
    if let Some(value) = &block.value {
        walk_expr(value, visit);
    }
}

/// Calls `visit` on every expression of a statement.
pub(super) fn walk_stmt<'a>(stmt: &'a Stmt, visit: &mut dyn FnMut(&'a Expr, bool)) {
    match &stmt.kind {
        StmtKind::Let { value, .. } => walk_expr(value, visit),
        StmtKind::For { binders, body } => {
            walk_binders(binders, visit);
            walk_block(body, visit);
        }
        StmtKind::Accum { place, value, .. } => {
            visit(place, true);
            let mut inner = place;
            while let ExprKind::Index(base, subs) = &inner.kind {
                for sub in subs {
                    walk_expr(sub, visit);
                }
                inner = base;
            }
            walk_expr(value, visit);
        }
    }
}

fn walk_binders<'a>(binders: &'a Binders, visit: &mut dyn FnMut(&'a Expr, bool)) {
    for binder in &binders.binders {
        walk_expr(&binder.over, visit);
        if let Some(step) = &binder.step {
            walk_expr(step, visit);
        }
    }
    if let Some(filter) = &binders.filter {
        walk_expr(filter, visit);
    }
}

/// Calls `visit` on `expr` and every expression below it.
pub(super) fn walk_expr<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr, bool)) {
    visit(expr, false);
    match &expr.kind {
        ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) | ExprKind::Name(_) | ExprKind::Error => {}
        ExprKind::Unary(_, a) | ExprKind::Field(a, _) => walk_expr(a, visit),
        ExprKind::Binary(_, a, b) => {
            // Chains are long: down to their first operand by a loop.
            let (mut left, mut rights) = (a, vec![b]);
            while let ExprKind::Binary(_, a, b) = &left.kind {
                visit(left, false);
                left = a;
                rights.push(b);
            }
            walk_expr(left, visit);
            for right in rights.into_iter().rev() {
                walk_expr(right, visit);
            }
        }
        ExprKind::Range(a, b) => {
            walk_expr(a, visit);
            walk_expr(b, visit);
        }
        ExprKind::Index(base, subs) => {
            walk_expr(base, visit);
            for sub in subs {
                walk_expr(sub, visit);
            }
        }
        ExprKind::Call(_, parts)
        | ExprKind::Vector(parts)
        | ExprKind::Tuple(parts)
        | ExprKind::Zeros(parts) => {
            for part in parts {
                walk_expr(part, visit);
            }
        }
        ExprKind::If(node) => {
            walk_expr(&node.cond, visit);
            walk_block(&node.then, visit);
            if let Some(otherwise) = &node.otherwise {
                walk_block(otherwise, visit);
            }
        }
        ExprKind::Reduce(node) => {
            walk_binders(&node.binders, visit);
            walk_block(&node.body, visit);
        }
        ExprKind::Fold(node) => {
            walk_expr(&node.binder.over, visit);
            walk_expr(&node.init, visit);
            walk_block(&node.body, visit);
        }
    }
}

/// The name at the bottom of `name[..][..].field`, if there is one.
pub(super) fn root_name(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Index(base, _) | ExprKind::Field(base, _) => root_name(base),
        _ => None,
    }
}

/// How often `name` is read in these statements and this value (shadowing is ignored: never too few).
pub(super) fn reads(name: &str, stmts: &[Stmt], value: Option<&Expr>) -> usize {
    let mut count = 0;
    let mut visit = |expr: &Expr, place: bool| {
        count += usize::from(!place && matches!(&expr.kind, ExprKind::Name(found) if found == name));
    };
    for stmt in stmts {
        walk_stmt(stmt, &mut visit);
    }
    if let Some(value) = value {
        walk_expr(value, &mut visit);
    }
    count
}

/// The names of everything that `block` accumulates into, in order, without repeats.
pub(super) fn accumulated(block: &Block) -> Vec<&str> {
    let mut names = Vec::new();
    walk_block(block, &mut |expr, place| {
        if place
            && let Some(name) = root_name(expr)
            && !names.contains(&name)
        {
            names.push(name);
        }
    });
    names
}

/// Does `name` occur in `expr`?
pub(super) fn mentions(expr: &Expr, name: &str) -> bool {
    let mut found = false;
    walk_expr(expr, &mut |inner, _| found |= matches!(&inner.kind, ExprKind::Name(other) if other == name));
    found
}

/// Does it read memory, loop or call: too much to evaluate when its value is not needed?
pub(super) fn is_costly(expr: &Expr) -> bool {
    let mut found = false;
    walk_expr(expr, &mut |inner, _| {
        found |= matches!(
            inner.kind,
            ExprKind::Index(..)
                | ExprKind::Call(..)
                | ExprKind::Reduce(_)
                | ExprKind::Fold(_)
                | ExprKind::If(_)
        );
    });
    found
}
