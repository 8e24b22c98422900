//! The syntax tree of the `.ir` language: what was written, with spans, before any name is looked up.

use crate::span::Span;

/// No tree is higher than this: every recursive walk over a parsed tree stays within a small stack.
pub const MAX_HEIGHT: u16 = 160;

/// No chain `a + b - c ..` or `a * b / c ..` written out has more operands than this.
pub const MAX_TERMS: u16 = 2000;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// A whole source text.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct File {
    /// Items in source order.
    pub items: Vec<Item>,
}

/// A top-level definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `kernel name<sizes>(params) -> result { .. }`
    Kernel(Kernel),
    /// `fn name<sizes>(params) -> type { .. }`, inlined where it is called.
    Fn(Function),
    /// `struct Name { field: type, .. }`
    Struct(Struct),
    /// `const NAME: type = expr;`
    Const(Const),
}

/// `#[name(args)]`
#[derive(Clone, Debug, PartialEq)]
pub struct Attr {
    /// What stands after `#[`.
    pub name: Ident,
    /// What stands in the parentheses.
    pub args: Vec<AttrArg>,
    /// The whole attribute.
    pub span: Span,
}

/// One argument of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttrArg {
    /// `hessian(lower)`: a word, with arguments of its own.
    Word(Ident, Vec<AttrArg>),
    /// `"a text"`
    Text(String, Span),
    /// Any other expression, such as `70` or `2 * x`.
    Expr(Expr),
}

/// `kernel ..`: what gets differentiated.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// Attributes before it.
    pub attrs: Vec<Attr>,
    /// Its name.
    pub name: Ident,
    /// Symbolic sizes.
    pub sizes: Vec<Ident>,
    /// Parameters.
    pub params: Vec<Param>,
    /// What it returns.
    pub result: KernelResult,
    /// Its body.
    pub body: Block,
    /// From `kernel` to the closing brace.
    pub span: Span,
}

/// What stands after a kernel's `->`.
#[derive(Clone, Debug, PartialEq)]
pub enum KernelResult {
    /// `-> f64`
    One(Type),
    /// `-> (flow: f64[L, 4], balance: f64[B, 2])`
    Named(Vec<(Ident, Type)>),
}

/// One parameter of a kernel or a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// Attributes before it.
    pub attrs: Vec<Attr>,
    /// Its name.
    pub name: Ident,
    /// Is it marked `var`?
    pub is_var: bool,
    /// Its type.
    pub ty: Type,
    /// `= expr`
    pub default: Option<Expr>,
}

/// `fn ..`
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// Attributes before it.
    pub attrs: Vec<Attr>,
    /// Its name.
    pub name: Ident,
    /// Symbolic sizes, found from the arguments of a call.
    pub sizes: Vec<Ident>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Result types: one, or several for `-> (f64, vec3)`.
    pub results: Vec<Type>,
    /// Its body.
    pub body: Block,
    /// From `fn` to the closing brace.
    pub span: Span,
}

impl Function {
    /// Its `#[partials(..)]`.
    pub fn partials(&self) -> Option<&Attr> {
        self.attrs.iter().find(|attr| attr.name.name == "partials")
    }
}

/// `struct ..`
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// Its name.
    pub name: Ident,
    /// Its fields.
    pub fields: Vec<(Ident, Type)>,
    /// From `struct` to the closing brace.
    pub span: Span,
}

/// `const ..`
#[derive(Clone, Debug, PartialEq)]
pub struct Const {
    /// `///` lines before it.
    pub docs: Vec<String>,
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: Type,
    /// Its value.
    pub value: Expr,
    /// From `const` to `;`.
    pub span: Span,
}

/// `vec3[V]`, `index<V>[E, 2]`, `index<(C, P)>[O, 2]`
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// The word it starts with.
    pub name: Ident,
    /// What stands between `<` and `>`.
    pub args: Vec<Expr>,
    /// Were the arguments in parentheses: one range for each column?
    pub per_column: bool,
    /// What stands between `[` and `]`.
    pub dims: Vec<Expr>,
    /// The whole type.
    pub span: Span,
}

/// `{ stmt .. expr }`
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Statements in order.
    pub stmts: Vec<Stmt>,
    /// The value, if the block ends in an expression.
    pub value: Option<Box<Expr>>,
    /// From brace to brace.
    pub span: Span,
}

/// A statement and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// From its first token to its `;` or `}`.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// `let [mut] pat [: ty] = value;`
    Let {
        /// Is it an accumulator?
        mutable: bool,
        /// The names it binds.
        pat: Pat,
        /// The type it states.
        ty: Option<Type>,
        /// The value.
        value: Expr,
    },
    /// `for binders { .. }`
    For {
        /// What the loop runs over.
        binders: Binders,
        /// Its body.
        body: Block,
    },
    /// `place += value;`
    Accum {
        /// A name, or a name with subscripts.
        place: Expr,
        /// `-=` instead of `+=`?
        negative: bool,
        /// What is added.
        value: Expr,
    },
}

/// What a `let` binds.
#[derive(Clone, Debug, PartialEq)]
pub enum Pat {
    /// One name.
    Name(Ident),
    /// `[a, b]`: the components of a vector, the rows of a matrix.
    Vector(Vec<Pat>, Span),
    /// `(a, b)`: the parts of a tuple.
    Tuple(Vec<Pat>, Span),
}

/// `binder, binder if filter`
#[derive(Clone, Debug, PartialEq)]
pub struct Binders {
    /// From the outermost loop inwards.
    pub binders: Vec<Binder>,
    /// Iterations where it is false are skipped.
    pub filter: Option<Expr>,
}

/// `[number:] pat in over [step step]`
#[derive(Clone, Debug, PartialEq)]
pub struct Binder {
    /// `e` of `e: [i, j] in edges`.
    pub number: Option<Ident>,
    /// What each iteration binds.
    pub pat: BinderPat,
    /// A range or an array.
    pub over: Expr,
    /// The stride of a range.
    pub step: Option<Expr>,
    /// The whole binder.
    pub span: Span,
}

/// What a binder binds.
#[derive(Clone, Debug, PartialEq)]
pub enum BinderPat {
    /// One name.
    Name(Ident),
    /// `[i, j]`: the entries of a row.
    Row(Vec<Ident>, Span),
}

/// An expression, where it stands, and how high its tree is.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
    /// One more than the highest child; never above [`MAX_HEIGHT`]. The operands of a chain count as children of one node, although
    /// `a + b + c` is `(a + b) + c`: who walks over trees follows chains to the left by a loop.
    pub height: u16,
    /// The operands of the chain that ends here; never above [`MAX_TERMS`].
    pub terms: u16,
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `!`
    Not,
}

/// Infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
    /// `@`
    MatMul,
    /// `^`
    Pow,
}

impl BinaryOp {
    /// How it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
            Self::MatMul => "@",
            Self::Pow => "^",
        }
    }

    /// Binding power, as in the grammar: `||` 1 up to `^` 8 (`..` is 4, prefix operators are 7).
    pub fn level(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge => 3,
            Self::Add | Self::Sub => 5,
            Self::Mul | Self::Div | Self::Rem | Self::MatMul => 6,
            Self::Pow => 8,
        }
    }

    /// Is it one of the six comparisons?
    pub fn is_comparison(self) -> bool {
        self.level() == 3
    }
}

/// The loops that give a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    /// `sum`
    Sum,
    /// `prod`
    Prod,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `map`
    Map,
}

impl ReduceKind {
    /// How it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Prod => "prod",
            Self::Min => "min",
            Self::Max => "max",
            Self::Map => "map",
        }
    }
}

/// `if cond { .. } else ..`
#[derive(Clone, Debug, PartialEq)]
pub struct IfExpr {
    /// What decides.
    pub cond: Expr,
    /// Taken when true.
    pub then: Block,
    /// Taken when false; an `else if` is a block whose value is the inner `if`.
    pub otherwise: Option<Block>,
}

/// `sum binders { .. }` and its relatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// `#[project]`, `#[name("..")]`
    pub attrs: Vec<Attr>,
    /// Which one.
    pub kind: ReduceKind,
    /// What it runs over.
    pub binders: Binders,
    /// The value of one iteration.
    pub body: Block,
}

/// `fold binder with pat = init { next }`
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// `scan` keeps every state, `fold` the last one.
    pub keep_all: bool,
    /// What it runs over.
    pub binder: Binder,
    /// Names of the state.
    pub state: Pat,
    /// The state before the first step.
    pub init: Expr,
    /// The next state.
    pub body: Block,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `3`
    Int(i64),
    /// `3.0`
    Float(f64),
    /// `true`
    Bool(bool),
    /// A name.
    Name(String),
    /// `-x`, `!c`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a..b`, only in binders and slices.
    Range(Box<Expr>, Box<Expr>),
    /// `base[i, j]`
    Index(Box<Expr>, Vec<Expr>),
    /// `base.field`, `base.0`
    Field(Box<Expr>, Ident),
    /// `name(args)`
    Call(Ident, Vec<Expr>),
    /// `[a, b]`
    Vector(Vec<Expr>),
    /// `(a, b)`
    Tuple(Vec<Expr>),
    /// `if c { .. } else { .. }`
    If(Box<IfExpr>),
    /// `sum i in 0..N { .. }`
    Reduce(Box<Reduce>),
    /// `fold k in 0..K with s = init { .. }`
    Fold(Box<Fold>),
    /// `zeros[N, 2]`
    Zeros(Vec<Expr>),
    /// What could not be read; reported already.
    Error,
}

impl Expr {
    /// A node over its children; computes the height.
    pub fn new(kind: ExprKind, span: Span) -> Self {
        let height = 1 + kind.child_height();
        let terms = match &kind {
            ExprKind::Binary(..) => kind.chained().map_or(2, |left| left.terms.saturating_add(1)),
            _ => 1,
        };
        Self { kind, span, height, terms }
    }
}

fn highest<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> u16 {
    exprs.into_iter().map(|expr| expr.height).max().unwrap_or(0)
}

fn binder_height(binder: &Binder) -> u16 {
    binder.over.height.max(binder.step.as_ref().map_or(0, |step| step.height))
}

impl Binders {
    fn height(&self) -> u16 {
        let over = self.binders.iter().map(binder_height).max().unwrap_or(0);
        over.max(self.filter.as_ref().map_or(0, |filter| filter.height))
    }
}

impl Block {
    /// The height of its highest expression or nested block, plus one.
    pub fn height(&self) -> u16 {
        let stmts = self.stmts.iter().map(|stmt| match &stmt.kind {
            StmtKind::Let { value, .. } => value.height,
            StmtKind::For { binders, body } => binders.height().max(body.height()),
            StmtKind::Accum { place, value, .. } => place.height.max(value.height),
        });
        1 + stmts.max().unwrap_or(0).max(highest(self.value.as_deref()))
    }
}

impl ExprKind {
    /// The chain of sums, or of products, that this operation goes on.
    fn chained(&self) -> Option<&Expr> {
        let Self::Binary(op, a, _) = self else { return None };
        let chains = [BinaryOp::Add.level(), BinaryOp::Mul.level()].contains(&op.level());
        let goes_on = matches!(&a.kind, Self::Binary(left, ..) if left.level() == op.level());
        (chains && goes_on).then_some(a.as_ref())
    }

    fn child_height(&self) -> u16 {
        match self {
            Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::Name(_) | Self::Error => 0,
            Self::Unary(_, a) | Self::Field(a, _) => a.height,
            Self::Binary(_, a, b) => {
                let left = if self.chained().is_some() { a.height - 1 } else { a.height };
                left.max(b.height)
            }
            Self::Range(a, b) => a.height.max(b.height),
            Self::Index(base, subs) => base.height.max(highest(subs)),
            Self::Call(_, parts) | Self::Vector(parts) | Self::Tuple(parts) | Self::Zeros(parts) => {
                highest(parts)
            }
            Self::If(node) => {
                let branches = node.then.height().max(node.otherwise.as_ref().map_or(0, Block::height));
                node.cond.height.max(branches)
            }
            Self::Reduce(node) => node.binders.height().max(node.body.height()),
            Self::Fold(node) => node.init.height.max(binder_height(&node.binder)).max(node.body.height()),
        }
    }
}
