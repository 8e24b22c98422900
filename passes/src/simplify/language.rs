//! The e-graph language: scalar operations over opaque leaves, literals and sizes, and the facts known of each class.
//!
//! Subtraction is written as addition of a negation (`a - b` is `(add a (neg b))`, and `(iadd a (ineg b))` on integers), so
//! that a rule about sums needs no twin about differences. Negation is free: the builder moves it into the instruction that
//! uses it.

use super::fact::{Fact, transfer};
use egg::{Analysis, DidMerge, EGraph, FromOp, Id, Language};
use spadina_ir::func::Const;
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};

/// A node of the e-graph.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Scalar {
    /// A value computed elsewhere, by number.
    Leaf(u32),
    /// A finite `F64` literal that is not negative zero, as bits.
    Float(u64),
    /// An integer literal.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// The run-time value of a size expression that is not a literal.
    Size(SizeExpr),
    /// `-a` on integers, wrapping.
    IntNeg([Id; 1]),
    /// An operation with one argument.
    Unary(Op, [Id; 1]),
    /// An operation with two arguments.
    Binary(Op, [Id; 2]),
    /// An operation with three arguments.
    Ternary(Op, [Id; 3]),
}

/// What two nodes must share to be compared at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// [`Scalar::Leaf`].
    Leaf,
    /// A literal or a size.
    Literal,
    /// [`Scalar::IntNeg`].
    IntNeg,
    /// An operation.
    Op(Op),
}

impl Scalar {
    /// The node of an operation.
    pub fn op(op: Op, args: &[Id]) -> Option<Scalar> {
        match *args {
            [a] if op.arity() == 1 => Some(Scalar::Unary(op, [a])),
            [a, b] if op.arity() == 2 => Some(Scalar::Binary(op, [a, b])),
            [a, b, c] if op.arity() == 3 => Some(Scalar::Ternary(op, [a, b, c])),
            _ => None,
        }
    }

    /// The node of a literal, if literals like it are known to the e-graph: infinities, NaN, negative zero and `F32` are not,
    /// because the identities of real numbers do not hold for them.
    pub fn literal(literal: Const) -> Option<Scalar> {
        match literal {
            Const::F64(x) if x.is_finite() && x.to_bits() != (-0.0_f64).to_bits() => {
                Some(Scalar::Float(x.to_bits()))
            }
            Const::Int(n) => Some(Scalar::Int(n)),
            Const::Bool(b) => Some(Scalar::Bool(b)),
            Const::F64(_) | Const::F32(_) => None,
        }
    }

    /// The literal of this node.
    pub fn as_literal(&self) -> Option<Const> {
        match *self {
            Scalar::Float(bits) => Some(Const::F64(f64::from_bits(bits))),
            Scalar::Int(n) => Some(Const::Int(n)),
            Scalar::Bool(b) => Some(Const::Bool(b)),
            _ => None,
        }
    }

    /// The operation of this node, if it is one.
    pub fn as_op(&self) -> Option<Op> {
        match self {
            Scalar::Unary(op, _) | Scalar::Binary(op, _) | Scalar::Ternary(op, _) => Some(*op),
            _ => None,
        }
    }
}

impl Language for Scalar {
    type Discriminant = Kind;

    fn discriminant(&self) -> Kind {
        match self {
            Scalar::Leaf(_) => Kind::Leaf,
            Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) | Scalar::Size(_) => Kind::Literal,
            Scalar::IntNeg(_) => Kind::IntNeg,
            Scalar::Unary(op, _) | Scalar::Binary(op, _) | Scalar::Ternary(op, _) => Kind::Op(*op),
        }
    }

    fn matches(&self, other: &Self) -> bool {
        match (self.discriminant(), other.discriminant()) {
            (Kind::Leaf, Kind::Leaf) | (Kind::Literal, Kind::Literal) => self == other,
            (a, b) => a == b,
        }
    }

    fn children(&self) -> &[Id] {
        match self {
            Scalar::Leaf(_) | Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) | Scalar::Size(_) => &[],
            Scalar::IntNeg(args) | Scalar::Unary(_, args) => args,
            Scalar::Binary(_, args) => args,
            Scalar::Ternary(_, args) => args,
        }
    }

    fn children_mut(&mut self) -> &mut [Id] {
        match self {
            Scalar::Leaf(_) | Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) | Scalar::Size(_) => {
                &mut []
            }
            Scalar::IntNeg(args) | Scalar::Unary(_, args) => args,
            Scalar::Binary(_, args) => args,
            Scalar::Ternary(_, args) => args,
        }
    }
}

impl FromOp for Scalar {
    type Error = String;

    /// Reads the operator of a pattern: an operation by its SSA name, `ineg`, or a literal. A literal with a point is a float.
    fn from_op(op: &str, children: Vec<Id>) -> Result<Self, String> {
        let unknown =
            || format!("`{op}` with {} arguments is not a scalar operation or literal", children.len());
        match (op, &children[..]) {
            ("ineg", &[a]) => Ok(Scalar::IntNeg([a])),
            ("true", []) => Ok(Scalar::Bool(true)),
            ("false", []) => Ok(Scalar::Bool(false)),
            (_, []) if op.contains('.') => {
                let float = op.parse().map_err(|_| unknown())?;
                Scalar::literal(Const::F64(float)).ok_or_else(unknown)
            }
            (_, []) => op.parse().map(Scalar::Int).map_err(|_| unknown()),
            (_, args) => Op::from_name(op).and_then(|op| Scalar::op(op, args)).ok_or_else(unknown),
        }
    }
}

/// The e-graph of a sub-graph.
pub type Graph = EGraph<Scalar, Facts>;

/// What is known around a sub-graph, and what was learned while it was saturated.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Facts of the leaves, by number.
    pub leaves: Vec<Fact>,
    /// Size expressions that are not negative wherever the sub-graph is evaluated.
    pub not_negative: Vec<SizeExpr>,
    /// Two literals that differ by more than rounding became equal: some rule does not hold here (a division by a zero that
    /// only the e-graph sees), and nothing in this e-graph may be used.
    pub contradiction: bool,
}

/// Literals closer than this (relative) may become equal by rounding alone.
const ROUNDING: f64 = 1e-9;

fn contradict(a: Const, b: Const) -> bool {
    match (a, b) {
        (Const::F64(x), Const::F64(y)) => (x - y).abs() > ROUNDING * x.abs().max(y.abs()),
        _ => a != b,
    }
}

impl Analysis<Scalar> for Facts {
    type Data = Fact;

    fn make(egraph: &mut Graph, node: &Scalar, _id: Id) -> Fact {
        match node {
            Scalar::Leaf(n) => {
                egraph.analysis.leaves.get(*n as usize).cloned().unwrap_or_else(|| Fact::unknown(Ty::F64))
            }
            Scalar::Size(expr) => Fact::exactly(expr.clone()),
            Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) => {
                node.as_literal().map_or_else(|| Fact::unknown(Ty::F64), Fact::literal)
            }
            Scalar::IntNeg([a]) => egraph[*a].data.negated(),
            Scalar::Unary(op, args) => transfer_in(egraph, *op, args),
            Scalar::Binary(op, args) => transfer_in(egraph, *op, args),
            Scalar::Ternary(op, args) => transfer_in(egraph, *op, args),
        }
    }

    fn merge(&mut self, a: &mut Fact, b: Fact) -> DidMerge {
        if let (Some(x), Some(y)) = (a.literal, b.literal)
            && contradict(x, y)
        {
            self.contradiction = true;
        }
        if a.ty != b.ty {
            self.contradiction = true;
        }
        a.meet(b)
    }

    fn modify(egraph: &mut Graph, id: Id) {
        let fact = &egraph[id].data;
        let constant = match (fact.literal.and_then(Scalar::literal), fact.exact()) {
            (Some(literal), _) => literal,
            (None, Some(expr)) => match expr.as_constant() {
                Some(n) => Scalar::Int(n),
                None => Scalar::Size(expr.clone()),
            },
            (None, None) => return,
        };
        let added = egraph.add(constant);
        egraph.union(id, added);
        // Nothing is cheaper than a literal, so other ways to compute it would only be matched in vain.
        let id = egraph.find(id);
        egraph[id].nodes.retain(|node| node.is_leaf() || node.as_op() == Some(Op::Neg));
    }
}

fn transfer_in(egraph: &Graph, op: Op, args: &[Id]) -> Fact {
    let facts: Vec<&Fact> = args.iter().map(|&a| &egraph[a].data).collect();
    let same = args.len() == 2 && egraph.find(args[0]) == egraph.find(args[1]);
    transfer(op, &facts, same, &egraph.analysis.not_negative)
}
