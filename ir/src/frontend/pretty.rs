//! Prints a syntax tree as `.ir` text that reads back to the same tree (spans aside).

use crate::frontend::ast::{
    Attr, AttrArg, Binder, BinderPat, Binders, Block, Const, Expr, ExprKind, File, Function, Ident, IfExpr,
    Item, Kernel, KernelResult, Param, Pat, Stmt, StmtKind, Struct, Type, UnaryOp,
};

/// The text of a whole file.
pub fn print_file(file: &File) -> String {
    let mut printer = Printer::default();
    for (number, item) in file.items.iter().enumerate() {
        if number > 0 {
            printer.out.push('\n');
        }
        match item {
            Item::Kernel(kernel) => printer.kernel(kernel),
            Item::Fn(function) => printer.function(function),
            Item::Struct(structure) => printer.structure(structure),
            Item::Const(constant) => printer.constant(constant),
        }
    }
    printer.out
}

/// The text of one expression.
pub fn print_expr(expr: &Expr) -> String {
    let mut printer = Printer::default();
    printer.expr(expr, 0);
    printer.out
}

/// The text of one type.
pub fn print_type(ty: &Type) -> String {
    let mut printer = Printer::default();
    printer.ty(ty);
    printer.out
}

const RANGE_LEVEL: u8 = 4;
const UNARY_LEVEL: u8 = 7;
const POSTFIX_LEVEL: u8 = 9;

#[derive(Default)]
struct Printer {
    out: String,
    indent: usize,
}

impl Printer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.indent {
            self.out.push_str("    ");
        }
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        for (number, each) in items.iter().enumerate() {
            if number > 0 {
                self.put(", ");
            }
            item(self, each);
        }
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        self.list(exprs, |printer, expr| printer.expr(expr, 0));
    }

    fn docs(&mut self, docs: &[String]) {
        for doc in docs {
            let blank = if doc.is_empty() { "" } else { " " };
            self.put(&format!("///{blank}{doc}"));
            self.line();
        }
    }

    fn attrs(&mut self, attrs: &[Attr]) {
        for attr in attrs {
            self.put("#[");
            self.put(&attr.name.name);
            self.attr_args(&attr.args);
            self.put("]");
            self.line();
        }
    }

    fn attr_args(&mut self, args: &[AttrArg]) {
        if args.is_empty() {
            return;
        }
        self.put("(");
        self.list(args, |printer, arg| match arg {
            AttrArg::Word(word, inner) => {
                printer.put(&word.name);
                printer.attr_args(inner);
            }
            AttrArg::Text(text, _) => printer.put(&format!("\"{text}\"")),
            AttrArg::Expr(expr) => printer.expr(expr, 0),
        });
        self.put(")");
    }

    fn signature(&mut self, word: &str, name: &Ident, sizes: &[Ident], params: &[Param]) {
        self.put(&format!("{word} {}", name.name));
        if !sizes.is_empty() {
            self.put("<");
            self.list(sizes, |printer, size| printer.put(&size.name));
            self.put(">");
        }
        self.put("(");
        self.indent += 1;
        for param in params {
            self.line();
            self.docs(&param.docs);
            self.attrs(&param.attrs);
            self.put(&param.name.name);
            self.put(if param.is_var { ": var " } else { ": " });
            self.ty(&param.ty);
            if let Some(default) = &param.default {
                self.put(" = ");
                self.expr(default, 0);
            }
            self.put(",");
        }
        self.indent -= 1;
        if !params.is_empty() {
            self.line();
        }
        self.put(") -> ");
    }

    fn fields(&mut self, fields: &[(Ident, Type)]) {
        self.list(fields, |printer, (name, ty)| {
            printer.put(&name.name);
            printer.put(": ");
            printer.ty(ty);
        });
    }

    fn kernel(&mut self, kernel: &Kernel) {
        self.docs(&kernel.docs);
        self.attrs(&kernel.attrs);
        self.signature("kernel", &kernel.name, &kernel.sizes, &kernel.params);
        match &kernel.result {
            KernelResult::One(ty) => self.ty(ty),
            KernelResult::Named(fields) => {
                self.put("(");
                self.fields(fields);
                self.put(")");
            }
        }
        self.put(" ");
        self.block(&kernel.body);
        self.put("\n");
    }

    fn function(&mut self, function: &Function) {
        self.docs(&function.docs);
        self.attrs(&function.attrs);
        self.signature("fn", &function.name, &function.sizes, &function.params);
        if let [only] = function.results.as_slice() {
            self.ty(only);
        } else {
            self.put("(");
            self.list(&function.results, Self::ty);
            self.put(")");
        }
        self.put(" ");
        self.block(&function.body);
        self.put("\n");
    }

    fn structure(&mut self, structure: &Struct) {
        self.docs(&structure.docs);
        self.put(&format!("struct {} {{ ", structure.name.name));
        self.fields(&structure.fields);
        self.put(" }\n");
    }

    fn constant(&mut self, constant: &Const) {
        self.docs(&constant.docs);
        self.put(&format!("const {}: ", constant.name.name));
        self.ty(&constant.ty);
        self.put(" = ");
        self.expr(&constant.value, 0);
        self.put(";\n");
    }

    fn ty(&mut self, ty: &Type) {
        self.put(&ty.name.name);
        if !ty.args.is_empty() {
            self.put(if ty.per_column { "<(" } else { "<" });
            self.list(&ty.args, |printer, arg| printer.expr(arg, RANGE_LEVEL));
            self.put(if ty.per_column { ")>" } else { ">" });
        }
        if !ty.dims.is_empty() {
            self.put("[");
            self.exprs(&ty.dims);
            self.put("]");
        }
    }

    fn block(&mut self, block: &Block) {
        self.put("{");
        self.indent += 1;
        for stmt in &block.stmts {
            self.line();
            self.stmt(stmt);
        }
        if let Some(value) = &block.value {
            self.line();
            self.expr(value, 0);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Let { mutable, pat, ty, value } => {
                self.put(if *mutable { "let mut " } else { "let " });
                self.pat(pat);
                if let Some(ty) = ty {
                    self.put(": ");
                    self.ty(ty);
                }
                self.put(" = ");
                self.expr(value, 0);
                self.put(";");
            }
            StmtKind::For { binders, body } => {
                self.put("for ");
                self.binders(binders);
                self.put(" ");
                self.block(body);
            }
            StmtKind::Accum { place, negative, value } => {
                self.expr(place, 0);
                self.put(if *negative { " -= " } else { " += " });
                self.expr(value, 0);
                self.put(";");
            }
        }
    }

    fn pat(&mut self, pat: &Pat) {
        let (parts, open, close) = match pat {
            Pat::Name(name) => return self.put(&name.name),
            Pat::Vector(parts, _) => (parts, "[", "]"),
            Pat::Tuple(parts, _) => (parts, "(", ")"),
        };
        self.put(open);
        self.list(parts, Self::pat);
        self.put(close);
    }

    fn binders(&mut self, binders: &Binders) {
        self.list(&binders.binders, Self::binder);
        if let Some(filter) = &binders.filter {
            self.put(" if ");
            self.expr(filter, 0);
        }
    }

    fn binder(&mut self, binder: &Binder) {
        if let Some(number) = &binder.number {
            self.put(&format!("{}: ", number.name));
        }
        match &binder.pat {
            BinderPat::Name(name) => self.put(&name.name),
            BinderPat::Row(names, _) => {
                self.put("[");
                self.list(names, |printer, name| printer.put(&name.name));
                self.put("]");
            }
        }
        self.put(" in ");
        self.expr(&binder.over, 0);
        if let Some(step) = &binder.step {
            self.put(" step ");
            self.expr(step, 0);
        }
    }

    /// Prints `expr` so that it can stand where operators of `level` and tighter are read.
    fn expr(&mut self, expr: &Expr, level: u8) {
        let own = match &expr.kind {
            ExprKind::Binary(op, ..) => op.level(),
            ExprKind::Range(..) => RANGE_LEVEL,
            ExprKind::Unary(..) => UNARY_LEVEL,
            // A literal followed by `.field` would read as a float.
            ExprKind::Int(_) | ExprKind::Float(_) => POSTFIX_LEVEL - 1,
            _ => POSTFIX_LEVEL,
        };
        if own < level {
            self.put("(");
            self.bare(expr);
            self.put(")");
        } else {
            self.bare(expr);
        }
    }

    fn bare(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Int(value) => self.put(&value.to_string()),
            ExprKind::Float(value) => self.put(&format!("{value:?}")),
            ExprKind::Bool(value) => self.put(if *value { "true" } else { "false" }),
            ExprKind::Name(name) => self.put(name),
            ExprKind::Unary(op, operand) => {
                self.put(if *op == UnaryOp::Neg { "-" } else { "!" });
                self.expr(operand, UNARY_LEVEL);
            }
            ExprKind::Binary(op, a, b) => {
                let level = op.level();
                // `^` groups to the right and binds tighter than a prefix operator on its left only.
                let right_to_left = level > UNARY_LEVEL;
                let compared = op.is_comparison();
                if right_to_left || compared {
                    self.expr(a, level + 1);
                    self.put(&format!(" {} ", op.text()));
                    self.expr(b, if right_to_left { UNARY_LEVEL } else { level + 1 });
                    return;
                }
                let (mut first, mut rest) = (a, vec![(op, b)]);
                while let ExprKind::Binary(op, a, b) = &first.kind
                    && op.level() == level
                {
                    rest.push((op, b));
                    first = a;
                }
                self.expr(first, level);
                for (op, operand) in rest.into_iter().rev() {
                    self.put(&format!(" {} ", op.text()));
                    self.expr(operand, level + 1);
                }
            }
            ExprKind::Range(a, b) => {
                self.expr(a, RANGE_LEVEL);
                self.put("..");
                self.expr(b, RANGE_LEVEL + 1);
            }
            ExprKind::Index(base, subs) => {
                self.expr(base, POSTFIX_LEVEL);
                self.put("[");
                self.exprs(subs);
                self.put("]");
            }
            ExprKind::Field(base, field) => {
                self.expr(base, POSTFIX_LEVEL);
                self.put(".");
                self.put(&field.name);
            }
            ExprKind::Call(name, args) => {
                self.put(&name.name);
                self.put("(");
                self.exprs(args);
                self.put(")");
            }
            ExprKind::Vector(parts) => {
                self.put("[");
                self.exprs(parts);
                self.put("]");
            }
            ExprKind::Tuple(parts) => {
                self.put("(");
                self.exprs(parts);
                self.put(if parts.len() == 1 { ",)" } else { ")" });
            }
            ExprKind::If(node) => self.if_expr(node),
            ExprKind::Reduce(node) => {
                self.attrs(&node.attrs);
                self.put(node.kind.text());
                self.put(" ");
                self.binders(&node.binders);
                self.put(" ");
                self.block(&node.body);
            }
            ExprKind::Fold(node) => {
                self.put(if node.keep_all { "scan " } else { "fold " });
                self.binder(&node.binder);
                self.put(" with ");
                self.pat(&node.state);
                self.put(" = ");
                self.expr(&node.init, 0);
                self.put(" ");
                self.block(&node.body);
            }
            ExprKind::Zeros(dims) => {
                self.put("zeros[");
                self.exprs(dims);
                self.put("]");
            }
            ExprKind::Error => self.put("<error>"),
        }
    }

    fn if_expr(&mut self, node: &IfExpr) {
        self.put("if ");
        self.expr(&node.cond, 0);
        self.put(" ");
        self.block(&node.then);
        if let Some(otherwise) = &node.otherwise {
            self.put(" else ");
            match otherwise.value.as_deref() {
                Some(Expr { kind: ExprKind::If(inner), .. }) if otherwise.stmts.is_empty() => {
                    self.if_expr(inner);
                }
                _ => self.block(otherwise),
            }
        }
    }
}
