//! Lowers one kernel: looks up names, checks types and shapes, and builds its SSA program, in one walk.
//!
//! # Method
//! Expressions are *elaborated*: each stands for a [`value::Val`], scalars in SSA values, small arrays of them, or a view of
//! a buffer. A call of a `fn` elaborates its body again with its parameters bound to the arguments (inlining), so functions
//! are generic in sizes. Types are checked where values meet.
//!
//! Results are elaborated *into a place* ([`sink`]): `a + b` accumulates both, `c * sum ..` weighs, `sum` opens loops,
//! `map` stores, so a kernel becomes top-level loop nests that accumulate in their innermost bodies: the normal form that
//! derivatives want.
//!
//! A loop whose number of results is not known beforehand is elaborated once on a copy of the program that is thrown
//! away ([`Lowerer::rehearse`]); messages are remembered without repeats, so this is not seen outside.
//!
//! # Limits
//! [`FUEL`] bounds the work (inlining and unrolling can grow exponentially), [`MAX_DEPTH`] the stack.

mod accum;
mod arith;
mod attributes;
mod builtins;
mod call;
mod complex;
mod depend;
mod expr;
mod fold;
mod index;
mod kernel;
mod linalg;
mod loops;
mod map;
mod partials;
mod query;
mod reduce;
mod sink;
mod types;
mod unroll;
mod value;

use crate::builder::Builder;
use crate::diag::Diagnostic;
use crate::frontend::ast::{Expr, Function, Ident, Kernel};
use crate::frontend::items::Items;
use crate::frontend::program;
use crate::func::{Buffer, Func, Value};
use crate::span::Span;
use crate::types::SizeExpr;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use value::{Val, View};

/// Expressions elaborated for one kernel, at most.
const FUEL: u32 = 200_000;

/// Instructions in one kernel, at most.
const MAX_INSTS: usize = 200_000;

/// Expressions inside expressions, through calls too.
const MAX_DEPTH: u32 = 240;

/// Lowers a kernel, noting the functions it calls; `None` if it has errors.
pub(super) fn lower_kernel<'a>(
    kernel: &'a Kernel,
    items: &'a Items<'a>,
    called: &mut BTreeSet<&'a str>,
) -> (Option<program::Kernel>, Vec<Diagnostic>) {
    let mut lowerer = Lowerer::new(&kernel.name.name, items);
    let lowered = lowerer.kernel(kernel);
    called.append(&mut lowerer.called);
    let mut diagnostics = lowerer.diagnostics;
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    diagnostics.sort_by_key(Diagnostic::span);
    (lowered.filter(|_| !failed), diagnostics)
}

/// Checks a function by itself, for those that no kernel calls.
pub(super) fn check_function<'a>(function: &'a Function, items: &'a Items<'a>) -> Vec<Diagnostic> {
    let mut lowerer = Lowerer::new(&function.name.name, items);
    lowerer.function(function);
    let mut diagnostics = lowerer.diagnostics;
    diagnostics.sort_by_key(Diagnostic::span);
    diagnostics
}

/// What a name stands for.
#[derive(Clone)]
enum Binding<'a> {
    Val(Val),
    Size(SizeExpr),
    /// A `let mut`, by number.
    Acc(usize),
    /// A sum that is used once, where it can be accumulated in place; it sees the names below `visible`.
    Deferred {
        expr: &'a Expr,
        visible: usize,
    },
}

/// Why a name may or may not be shadowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameKind {
    Param,
    Size,
    Local,
    LoopVar,
}

#[derive(Clone)]
struct Entry<'a> {
    name: &'a str,
    binding: Binding<'a>,
    kind: NameKind,
    span: Span,
}

/// A `let mut`.
#[derive(Clone)]
struct Acc<'a> {
    name: &'a str,
    span: Span,
    /// Number of enclosing reductions and branches at its `let`.
    level: usize,
    /// Number of open loops that accumulate into it.
    open: usize,
    kind: AccKind,
}

#[derive(Clone)]
enum AccKind {
    /// Values so far; inside a loop, what this iteration adds.
    Small(Val),
    /// In a buffer; `read` is the place of the first read.
    Buffer { view: View, read: Option<Span> },
}

/// Bounds of an induction variable, inclusive, where they are affine and reached.
#[derive(Clone)]
struct LoopBounds {
    name: String,
    lo: Option<index::Affine>,
    hi: Option<index::Affine>,
    /// The size that it runs over, where it is `0..size`.
    over: Option<SizeExpr>,
    span: Span,
}

struct Lowerer<'a> {
    items: &'a Items<'a>,
    b: Builder,
    env: Vec<Entry<'a>>,
    /// Names below this belong to the caller of the function being inlined.
    env_base: usize,
    accs: Vec<Acc<'a>>,
    loops: BTreeMap<Value, LoopBounds>,
    calls: Vec<&'a str>,
    /// Every function that was inlined.
    called: BTreeSet<&'a str>,
    level: usize,
    /// Number of enclosing conditions: what they say is not used, so under them nothing is refused for its range.
    guards: usize,
    depth: u32,
    fuel: u32,
    diagnostics: Vec<Diagnostic>,
    seen: BTreeSet<(&'static str, Span)>,
    used: BTreeSet<Span>,
    declared: BTreeMap<Span, (&'a str, NameKind)>,
    terms: Vec<program::Term>,
    /// The name of the `let` being lowered: what a scratch array made for it is called.
    stem: Option<&'a str>,
    /// Float data that decides integers.
    frozen: BTreeSet<Buffer>,
    /// Does `f32` occur: float literals may be of either width.
    single: bool,
    /// On a copy that is thrown away: one iteration of an unrolled loop is enough.
    rehearsing: bool,
}

impl<'a> Lowerer<'a> {
    fn new(name: &str, items: &'a Items<'a>) -> Self {
        Self {
            items,
            b: Builder::new(Func::new(name)),
            env: Vec::new(),
            env_base: 0,
            accs: Vec::new(),
            loops: BTreeMap::new(),
            calls: Vec::new(),
            called: BTreeSet::new(),
            level: 0,
            guards: 0,
            depth: 0,
            fuel: FUEL,
            diagnostics: Vec::new(),
            seen: BTreeSet::new(),
            used: BTreeSet::new(),
            declared: BTreeMap::new(),
            terms: Vec::new(),
            stem: None,
            frozen: BTreeSet::new(),
            single: false,
            rehearsing: false,
        }
    }

    /// Keeps a message unless the same one was given for the same place (inlining and unrolling repeat).
    fn report(&mut self, diagnostic: Diagnostic) -> Val {
        let key = (diagnostic.code, diagnostic.span().unwrap_or_default());
        if self.seen.insert(key) {
            self.diagnostics.push(diagnostic);
        }
        Val::Error
    }

    fn at(&mut self, span: Span) {
        self.b.set_span((span.start, span.end));
    }

    // ---- names ------------------------------------------------------------------------------------------------

    /// Binds a name in the innermost scope, unless that shadows a parameter or a size.
    fn bind(&mut self, ident: &'a Ident, binding: Binding<'a>, kind: NameKind) {
        let name = ident.name.as_str();
        let protected = self.env[self.env_base..]
            .iter()
            .find(|entry| entry.name == name && matches!(entry.kind, NameKind::Param | NameKind::Size));
        if let Some(entry) = protected {
            let what = if entry.kind == NameKind::Param { "parameter" } else { "size" };
            let diagnostic = Diagnostic::error("shadowing", format!("`{name}` is already the name of a {what}"))
                .label(ident.span, "named again here")
                .label(entry.span, format!("the {what}"))
                .help("sizes, parameters and locals share one namespace; a local may shadow a local only: rename it");
            self.report(diagnostic);
            if matches!(kind, NameKind::Param | NameKind::Size) {
                return;
            }
        }
        self.declared.insert(ident.span, (name, kind));
        self.env.push(Entry { name, binding, kind, span: ident.span });
    }

    fn lookup(&mut self, name: &str) -> Option<Binding<'a>> {
        let entry = self.env[self.env_base..].iter().rev().find(|entry| entry.name == name)?;
        self.used.insert(entry.span);
        Some(entry.binding.clone())
    }

    /// The binding of a name, without counting as a use.
    fn peek_binding(&self, name: &str) -> Option<&Binding<'a>> {
        self.env[self.env_base..].iter().rev().find(|entry| entry.name == name).map(|entry| &entry.binding)
    }

    /// Runs `inner`, then forgets the names it bound.
    fn scoped<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.env.len();
        let result = inner(self);
        self.env.truncate(mark);
        result
    }

    /// Runs `inner` one reduction or branch deeper: accumulators of the outside are closed to it.
    fn inside<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.level += 1;
        let result = self.scoped(inner);
        self.level -= 1;
        result
    }

    /// Runs `inner` under a condition.
    fn guarded<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.guards += 1;
        let result = inner(self);
        self.guards -= 1;
        result
    }

    /// Runs `inner` on a copy of the program that is thrown away; only its result and its messages remain. In a rehearsal that copy serves
    /// already: the values of the result are then those of the program that is rehearsed.
    fn rehearse<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        if self.rehearsing {
            let (accs, terms, loops) = (self.accs.clone(), self.terms.clone(), self.loops.clone());
            let depth = self.b.depth();
            let result = self.scoped(inner);
            self.b.abandon(depth);
            (self.accs, self.terms, self.loops) = (accs, terms, loops);
            return result;
        }
        // A copy costs as much as a few expressions, more for a large program.
        self.fuel = self.fuel.saturating_sub(self.b.func().insts.len() as u32 / 64);
        let copy = Builder::new(self.b.func().clone());
        let real = std::mem::replace(&mut self.b, copy);
        let (accs, terms) = (self.accs.clone(), self.terms.clone());
        // Bounds are kept by value, and the values of the copy will be others of the program.
        let loops = self.loops.clone();
        self.rehearsing = true;
        let result = self.scoped(inner);
        self.rehearsing = false;
        self.b = real;
        self.accs = accs;
        self.terms = terms;
        self.loops = loops;
        result
    }

    /// Counts one more expression; false when the kernel is too large to go on.
    fn spend(&mut self, span: Span) -> bool {
        if self.fuel > 0 && self.b.func().insts.len() < MAX_INSTS {
            self.fuel -= 1;
            return true;
        }
        self.fuel = 0;
        if !self.diagnostics.iter().any(|diagnostic| diagnostic.code == "too-large") {
            let diagnostic = Diagnostic::error("too-large", "this kernel grows too large when it is inlined and unrolled")
                .label(span, "the limit is reached here")
                .help("loops over vectors of literal length are unrolled: make them shorter, or index an array instead");
            self.report(diagnostic);
        }
        false
    }

    /// The text of a size expression.
    fn size_text(&self, size: &SizeExpr) -> String {
        let mut text = String::new();
        for &(symbol, factor) in &size.terms {
            let name = &self.b.func().sizes[symbol];
            let sign = if factor < 0 { "-" } else { "+" };
            if !text.is_empty() {
                let _ = write!(text, " {sign} ");
            } else if factor < 0 {
                text += "-";
            }
            match factor.unsigned_abs() {
                1 => text += name,
                n => {
                    let _ = write!(text, "{n}*{name}");
                }
            }
        }
        match (text.is_empty(), size.constant) {
            (true, n) => n.to_string(),
            (false, 0) => text,
            (false, n) => format!("{text} {} {}", if n < 0 { "-" } else { "+" }, n.unsigned_abs()),
        }
    }
}
