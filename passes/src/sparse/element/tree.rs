//! Subscripts as trees over loop variables and structural data, so that they can be compared and built again in another loop.

use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Const, InstData, Role, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::types::SizeExpr;
use std::collections::BTreeSet;

/// An integer that is known at prepare, as a tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tree {
    /// The variable of the inner loop that the subscript stands in.
    Inner,
    /// The variable of a loop around.
    Outer(Value),
    /// A literal.
    Int(i64),
    /// A size.
    Size(SizeExpr),
    /// An operation.
    Op(Op, Vec<Tree>),
    /// An entry of a structural array.
    Load(Buffer, Vec<Tree>),
}

impl Tree {
    /// The tree behind a value; `None` where something else decides it than loop variables, sizes and structural arrays.
    pub fn of(b: &Builder, value: Value, inner: Option<Value>) -> Option<Tree> {
        if Some(value) == inner {
            return Some(Tree::Inner);
        }
        let all = |args: &[Value]| args.iter().map(|&a| Tree::of(b, a, inner)).collect::<Option<Vec<_>>>();
        match b.func().def(value) {
            None => match b.func().values[value].def {
                ValueDef::Param(_, 0) => Some(Tree::Outer(value)),
                ValueDef::Param(..) | ValueDef::Result(..) => None,
            },
            Some(InstData::Const(Const::Int(n))) => Some(Tree::Int(*n)),
            Some(InstData::Size(expr)) => Some(Tree::Size(expr.clone())),
            Some(InstData::Op(op, args)) => Some(Tree::Op(*op, all(args)?)),
            Some(InstData::Load(buffer, index)) if b.func().buffers[*buffer].role == Role::Structural => {
                Some(Tree::Load(*buffer, all(index)?))
            }
            Some(_) => None,
        }
    }

    /// Builds the value at the insertion point, with `inner` for the variable of the inner loop.
    pub fn build(&self, b: &mut Builder, inner: Option<Value>) -> Value {
        match self {
            Tree::Inner => inner.expect("a tree with an inner variable is built in a loop"),
            Tree::Outer(value) => *value,
            Tree::Int(n) => b.int(*n),
            Tree::Size(expr) => b.size(expr),
            Tree::Op(op, args) => {
                let args: Vec<Value> = args.iter().map(|a| a.build(b, inner)).collect();
                b.op(*op, &args)
            }
            Tree::Load(buffer, index) => {
                let index: Vec<Value> = index.iter().map(|a| a.build(b, inner)).collect();
                b.load(*buffer, &index)
            }
        }
    }

    /// Adds the variables of loops around.
    pub fn outer(&self, into: &mut BTreeSet<Value>) {
        match self {
            Tree::Outer(value) => {
                into.insert(*value);
            }
            Tree::Op(_, args) | Tree::Load(_, args) => args.iter().for_each(|a| a.outer(into)),
            Tree::Inner | Tree::Int(_) | Tree::Size(_) => {}
        }
    }

    /// Whether the variable of the inner loop occurs.
    pub fn varies(&self) -> bool {
        match self {
            Tree::Inner => true,
            Tree::Op(_, args) | Tree::Load(_, args) => args.iter().any(Tree::varies),
            Tree::Outer(_) | Tree::Int(_) | Tree::Size(_) => false,
        }
    }
}
