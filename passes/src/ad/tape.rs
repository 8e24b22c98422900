//! Scratch arithmetic: sums, products and reciprocals of values, hash-consed with signs, counted before anything is built.
//!
//! A derivative is tried in several ways, each on a copy of one tape; only the cheapest is built. Nodes are never removed: what an attempt
//! adds and its results do not reach costs nothing. Operands have smaller numbers than the nodes that use them.
//!
//! A quotient `a / b` is the product of `a` and the reciprocal of `b`; where a reciprocal is used once, a quotient is built again.

use rustc_hash::FxHashMap;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Const, Func, InstData, Value};
use spadina_ir::math::{is_moderate, vanishes};
use spadina_ir::op::Op;
use spadina_ir::types::Ty;

/// A node or its negation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ref(u32);

impl Ref {
    fn new(node: usize) -> Ref {
        Ref((node as u32) << 1)
    }

    /// The number of the node.
    pub fn node(self) -> usize {
        (self.0 >> 1) as usize
    }

    /// Whether the node is negated.
    pub fn is_negated(self) -> bool {
        self.0 & 1 == 1
    }

    /// The node itself.
    #[must_use]
    pub fn abs(self) -> Ref {
        Ref(self.0 & !1)
    }

    /// The negation.
    #[must_use]
    pub fn negate(self) -> Ref {
        Ref(self.0 ^ 1)
    }

    /// The node with the sign of another reference multiplied in.
    #[must_use]
    pub fn signed_by(self, other: Ref) -> Ref {
        Ref(self.0 ^ (other.0 & 1))
    }
}

/// What a node computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Node {
    /// A value of the function under construction.
    Leaf(Value),
    /// A literal that is not negative, by its bits.
    Literal(u64),
    /// A sum; the first operand is not negated.
    Add(Ref, Ref),
    /// A product; no operand is negated.
    Mul(Ref, Ref),
    /// A reciprocal; the operand is not negated.
    Inv(Ref),
}

/// The cost of a division, where an addition costs one.
const DIVISION: usize = 8;

/// Nodes, hash-consed.
pub struct Tape {
    ty: Ty,
    nodes: Vec<Node>,
    /// The value that a node has already.
    origins: Vec<Option<Value>>,
    table: FxHashMap<Node, u32>,
    images: FxHashMap<Value, Ref>,
    /// What square roots are the roots of.
    squares: FxHashMap<u32, Ref>,
    /// Values from here on are not there for free: they belong to the attempt.
    base: Value,
}

impl Tape {
    /// An empty tape with room for some nodes, for values of one type; those numbered `base` and above are taken apart and built again.
    pub fn new(ty: Ty, base: Value, room: usize) -> Tape {
        let (nodes, origins) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let table = FxHashMap::with_capacity_and_hasher(room, rustc_hash::FxBuildHasher);
        let (images, squares) = (FxHashMap::default(), FxHashMap::default());
        Tape { ty, nodes, origins, table, images, squares, base }
    }

    /// A copy with room for some more nodes.
    #[must_use]
    pub fn fork(&self, room: usize) -> Tape {
        let room = self.nodes.len() + room;
        let mut fork = Tape::new(self.ty, self.base, room);
        fork.nodes.extend(&self.nodes);
        fork.origins.extend(&self.origins);
        fork.table.extend(&self.table);
        fork.images.clone_from(&self.images);
        fork.squares.clone_from(&self.squares);
        fork
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// What a node computes.
    pub fn get(&self, node: usize) -> Node {
        self.nodes[node]
    }

    /// A node, not negated.
    pub fn reference(&self, node: usize) -> Ref {
        debug_assert!(node < self.nodes.len(), "nodes are never removed");
        Ref::new(node)
    }

    /// Whether a node has its value already.
    pub fn is_built(&self, node: usize) -> bool {
        self.origins[node].is_some()
    }

    /// Whether a node is there or is not taken apart.
    pub fn is_given(&self, node: usize) -> bool {
        self.is_built(node) || matches!(self.nodes[node], Node::Leaf(_))
    }

    /// What a node is the square root of, if it is known to be one.
    pub fn square(&self, node: usize) -> Option<Ref> {
        self.squares.get(&(node as u32)).copied()
    }

    fn make(&mut self, node: Node) -> Ref {
        let next = self.nodes.len();
        let number = *self.table.entry(node).or_insert(next as u32) as usize;
        if number == next {
            self.nodes.push(node);
            self.origins.push(None);
        }
        Ref::new(number)
    }

    /// A literal.
    pub fn literal(&mut self, x: f64) -> Ref {
        let positive = self.make(Node::Literal(x.abs().to_bits()));
        if x < 0.0 { positive.negate() } else { positive }
    }

    /// The literal that a reference is.
    pub fn as_literal(&self, a: Ref) -> Option<f64> {
        match self.nodes[a.node()] {
            Node::Literal(bits) => {
                let x = f64::from_bits(bits);
                Some(if a.is_negated() { -x } else { x })
            }
            Node::Leaf(_) | Node::Add(..) | Node::Mul(..) | Node::Inv(_) => None,
        }
    }

    /// A literal factor and the rest.
    fn scaled(&self, a: Ref) -> (f64, Ref) {
        let sign = if a.is_negated() { -1.0 } else { 1.0 };
        if let Node::Mul(x, y) = self.nodes[a.node()] {
            match (self.as_literal(x), self.as_literal(y)) {
                (Some(c), _) => return (sign * c, y),
                (_, Some(c)) => return (sign * c, x),
                (None, None) => {}
            }
        }
        (sign, a.abs())
    }

    /// `a + b`
    pub fn add(&mut self, a: Ref, b: Ref) -> Ref {
        match (self.as_literal(a), self.as_literal(b)) {
            (Some(x), Some(y)) => return self.literal(x + y),
            (Some(0.0), None) => return b,
            (None, Some(0.0)) => return a,
            _ => {}
        }
        let ((c, x), (d, y)) = (self.scaled(a), self.scaled(b));
        if x == y {
            let factor = self.literal(c + d);
            return self.mul(factor, x);
        }
        let (first, second) = if a.node() <= b.node() { (a, b) } else { (b, a) };
        let sum = self.make(Node::Add(first.abs(), second.signed_by(first)));
        sum.signed_by(first)
    }

    /// `a * b`
    pub fn mul(&mut self, a: Ref, b: Ref) -> Ref {
        match (self.as_literal(a), self.as_literal(b)) {
            (Some(x), Some(y)) if !vanishes([x, y], x * y) => return self.literal(x * y),
            (Some(x), None) => return self.scale(x, b),
            (None, Some(y)) => return self.scale(y, a),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let (first, second) = if a.node() <= b.node() { (a, b) } else { (b, a) };
        self.make(Node::Mul(first.abs(), second.abs())).signed_by(first).signed_by(second)
    }

    fn scale(&mut self, factor: f64, a: Ref) -> Ref {
        if factor == 0.0 {
            return self.literal(0.0);
        }
        let (c, rest) = self.scaled(a);
        let sign = if a.is_negated() { -1.0 } else { 1.0 };
        // Literals that scale unknowns stay with them: their product may be zero where no result is.
        let joins = is_moderate(factor * c) || c.abs() == 1.0;
        let (factor, rest) = if joins { (factor * c, rest) } else { (factor * sign, a.abs()) };
        if factor.abs() == 1.0 {
            return if factor < 0.0 { rest.negate() } else { rest };
        }
        let literal = self.literal(factor);
        let (first, second) =
            if literal.node() <= rest.node() { (literal.abs(), rest) } else { (rest, literal.abs()) };
        self.make(Node::Mul(first, second)).signed_by(literal)
    }

    /// `1 / a`
    pub fn inv(&mut self, a: Ref) -> Ref {
        match self.as_literal(a) {
            Some(x) => self.literal(1.0 / x),
            None => self.make(Node::Inv(a.abs())).signed_by(a),
        }
    }

    /// The node of a value: sums, products and quotients are taken apart, where `inside` holds.
    pub fn import(&mut self, func: &Func, value: Value, inside: &dyn Fn(Value) -> bool) -> Ref {
        let mut stack = vec![value];
        while let Some(&v) = stack.last() {
            if self.images.contains_key(&v) {
                stack.pop();
                continue;
            }
            let parts: &[Value] = match func.def(v) {
                Some(InstData::Op(Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Neg, args))
                    if func.ty(v) == self.ty && inside(v) =>
                {
                    args
                }
                Some(InstData::Op(Op::Sqrt, args)) if func.ty(v) == self.ty => args,
                _ => &[],
            };
            let before = stack.len();
            stack.extend(parts.iter().copied().filter(|part| !self.images.contains_key(part)));
            if stack.len() > before {
                continue;
            }
            stack.pop();
            let image = self.import_one(func, v);
            self.images.insert(v, image);
        }
        self.images[&value]
    }

    fn import_one(&mut self, func: &Func, v: Value) -> Ref {
        let image = match func.def(v) {
            Some(InstData::Const(Const::F64(x))) if self.ty == Ty::F64 => return self.literal(*x),
            Some(InstData::Const(Const::F32(x))) if self.ty == Ty::F32 => return self.literal(f64::from(*x)),
            Some(InstData::Op(op, args)) if func.ty(v) == self.ty => {
                let at = |n: usize| self.images.get(&args[n]).copied();
                match (op, at(0), args.get(1).and_then(|_| at(1))) {
                    (Op::Neg, Some(x), _) => x.negate(),
                    (Op::Add, Some(x), Some(y)) => self.add(x, y),
                    (Op::Sub, Some(x), Some(y)) => self.add(x, y.negate()),
                    (Op::Mul, Some(x), Some(y)) => self.mul(x, y),
                    (Op::Div, Some(x), Some(y)) => {
                        let inverse = self.inv(y);
                        self.mul(x, inverse)
                    }
                    (Op::Sqrt, Some(x), _) => {
                        let root = self.make(Node::Leaf(v));
                        self.squares.insert(root.0 >> 1, x);
                        root
                    }
                    _ => self.make(Node::Leaf(v)),
                }
            }
            _ => self.make(Node::Leaf(v)),
        };
        let origin = &mut self.origins[image.node()];
        if v < self.base && origin.is_none() && !image.is_negated() {
            *origin = Some(v);
        }
        image
    }

    /// The nodes behind these references that have to be built, and how often each is used by others.
    pub fn uses(&self, roots: &[Ref]) -> Vec<u32> {
        let mut uses = vec![0; self.nodes.len()];
        let mut top = 0;
        for root in roots {
            uses[root.node()] += 1;
            top = top.max(root.node() + 1);
        }
        for n in (0..top).rev() {
            if uses[n] == 0 || self.origins[n].is_some() {
                continue;
            }
            match self.nodes[n] {
                Node::Leaf(_) | Node::Literal(_) => {}
                Node::Add(x, y) | Node::Mul(x, y) => {
                    uses[x.node()] += 1;
                    uses[y.node()] += 1;
                }
                Node::Inv(x) => uses[x.node()] += 1,
            }
        }
        uses
    }

    /// The operations behind these references; a division costs more.
    pub fn cost(&self, roots: &[Ref]) -> usize {
        // Many nodes are substituted into others: only what is reached is looked at.
        let mut reached = vec![false; self.nodes.len()];
        let mut stack: Vec<Ref> = roots.to_vec();
        let mut cost = 0;
        while let Some(a) = stack.pop() {
            let n = a.node();
            if std::mem::replace(&mut reached[n], true) || self.origins[n].is_some() {
                continue;
            }
            match self.nodes[n] {
                Node::Leaf(_) | Node::Literal(_) => {}
                Node::Add(x, y) | Node::Mul(x, y) => {
                    cost += 1;
                    stack.extend([x, y]);
                }
                Node::Inv(x) => {
                    cost += DIVISION;
                    stack.push(x);
                }
            }
        }
        cost
    }

    /// Builds these references.
    pub fn build(&self, b: &mut Builder, roots: &[Ref]) -> Vec<Value> {
        let mut emission = Emission::new(self, roots);
        roots.iter().map(|&root| emission.value(self, b, root, &|v| v)).collect()
    }
}

/// Nodes on their way into a function, one root after the other.
pub struct Emission {
    uses: Vec<u32>,
    values: Vec<Option<Value>>,
}

impl Emission {
    /// An emission of these roots.
    pub fn new(tape: &Tape, roots: &[Ref]) -> Emission {
        let mut uses = tape.uses(roots);
        // A root is used by others too: a reciprocal among them is built.
        for root in roots {
            uses[root.node()] += 1;
        }
        Emission { uses, values: vec![None; tape.nodes.len()] }
    }

    /// Whether a node is a reciprocal that one product uses: they are built as a quotient.
    fn divisor(&self, tape: &Tape, a: Ref) -> Option<Ref> {
        match tape.nodes[a.node()] {
            Node::Inv(d) if tape.origins[a.node()].is_none() && self.uses[a.node()] == 1 => Some(d),
            _ => None,
        }
    }

    /// The operands of a node as it is built.
    fn operands(&self, tape: &Tape, n: usize) -> [Option<Ref>; 2] {
        match tape.nodes[n] {
            _ if tape.origins[n].is_some() => [None, None],
            Node::Leaf(_) | Node::Literal(_) => [None, None],
            Node::Inv(x) => [Some(x), None],
            Node::Add(x, y) => [Some(x), Some(y)],
            Node::Mul(x, y) => match (self.divisor(tape, x), self.divisor(tape, y)) {
                (Some(d), _) => [Some(y), Some(d)],
                (None, Some(d)) => [Some(x), Some(d)],
                (None, None) => [Some(x), Some(y)],
            },
        }
    }

    /// Builds a root; `leaf` gives the values that leaves are.
    pub fn value(&mut self, tape: &Tape, b: &mut Builder, root: Ref, leaf: &dyn Fn(Value) -> Value) -> Value {
        let mut stack = vec![root.node()];
        while let Some(&n) = stack.last() {
            if self.values[n].is_some() {
                stack.pop();
                continue;
            }
            let operands = self.operands(tape, n);
            let before = stack.len();
            let missing = operands.iter().rev().flatten().map(|a| a.node());
            stack.extend(missing.filter(|&a| self.values[a].is_none()));
            if stack.len() > before {
                continue;
            }
            stack.pop();
            self.values[n] = Some(self.node(tape, b, n, operands, leaf));
        }
        self.at(b, root)
    }

    fn at(&self, b: &mut Builder, a: Ref) -> Value {
        let value = self.values[a.node()].expect("operands come first");
        if a.is_negated() { b.neg(value) } else { value }
    }

    fn node(
        &self,
        tape: &Tape,
        b: &mut Builder,
        n: usize,
        operands: [Option<Ref>; 2],
        leaf: &dyn Fn(Value) -> Value,
    ) -> Value {
        if let Some(v) = tape.origins[n] {
            return leaf(v);
        }
        let operands = operands.map(|a| a.map(|a| self.at(b, a)));
        match (tape.nodes[n], operands) {
            (Node::Leaf(v), _) => leaf(v),
            (Node::Literal(bits), _) => b.float(tape.ty, f64::from_bits(bits)),
            (Node::Inv(_), [Some(x), _]) => {
                let one = b.float(tape.ty, 1.0);
                b.div(one, x)
            }
            (Node::Add(..), [Some(x), Some(y)]) => b.add(x, y),
            (Node::Mul(x, y), [Some(first), Some(second)]) => {
                if self.divisor(tape, x).is_some() || self.divisor(tape, y).is_some() {
                    b.div(first, second)
                } else {
                    b.mul(first, second)
                }
            }
            (Node::Inv(_) | Node::Add(..) | Node::Mul(..), _) => unreachable!("operations have operands"),
        }
    }
}
