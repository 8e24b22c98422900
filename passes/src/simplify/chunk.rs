//! One sub-graph through the e-graph: insertion, saturation, extraction, and building what came out.

use super::cost;
use super::extract::{Extracted, extract};
use super::fact::Fact;
use super::language::{Facts, Graph, Scalar};
use super::pass::Limits;
use super::plan::Chunk;
use super::surroundings::{Around, Surroundings};
use egg::{BackoffScheduler, Id, Rewrite, Runner};
use spadina_ir::builder::Builder;
use spadina_ir::func::{BufferData, Const, Entries, Func, InstData, Plane, Role, Value};
use spadina_ir::op::Op;
use spadina_ir::types::{SizeExpr, Ty};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a chunk stands.
pub(super) struct Site<'a> {
    /// The function that is read.
    pub(super) src: &'a Func,
    /// What is known about its values.
    pub(super) known: &'a Surroundings,
    /// What holds in the region.
    pub(super) around: &'a Around,
    /// The rules.
    pub(super) rules: &'a [Rewrite<Scalar, Facts>],
    /// How much work is allowed.
    pub(super) limits: &'a Limits,
}

/// A cheaper way to compute the roots of a chunk.
pub(super) struct Better {
    program: Extracted,
    leaves: Vec<Value>,
}

/// What a value from outside is to a chunk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Literal(Scalar),
    /// A value of the function being built, and whether it is negated.
    Leaf(Value, bool),
}

/// How the function being built defines a value from outside. Negations are looked through: the builder shares signed nodes.
fn source(built: &Func, value: Value, truth: Option<Const>) -> Source {
    let literal = truth.or_else(|| built.as_const(value)).and_then(Scalar::literal);
    if let Some(literal) = literal {
        return Source::Literal(literal);
    }
    match built.def(value) {
        Some(InstData::Size(expr)) => Source::Literal(Scalar::Size(expr.clone())),
        Some(InstData::Op(Op::Neg, args)) if built.ty(args[0]) == Ty::F64 => Source::Leaf(args[0], true),
        _ => Source::Leaf(value, false),
    }
}

/// The chunk in the e-graph.
struct Inserted {
    egraph: Graph,
    leaves: Vec<Value>,
    roots: Vec<Id>,
    original: Vec<(Id, Scalar)>,
    /// The values from outside as they are, without what the branch decides about them.
    sources: BTreeMap<Value, Source>,
}

impl Site<'_> {
    /// Looks for a cheaper way to compute the roots; `image` gives the values of the function being built.
    pub(super) fn improve(
        &self,
        chunk: &Chunk,
        built: &Func,
        image: &dyn Fn(Value) -> Value,
    ) -> Option<Better> {
        if chunk.roots.is_empty() {
            return None;
        }
        let inserted = self.insert(chunk, built, image);
        let before = inserted.cost_before(self.src, built, chunk);
        if before == 0 {
            return None;
        }
        let Inserted { egraph, leaves, roots, original, .. } = inserted;
        let scheduler =
            BackoffScheduler::default().with_initial_match_limit(self.limits.matches).with_ban_length(2);
        let runner = Runner::<Scalar, Facts>::new(egraph.analysis.clone())
            .with_egraph(egraph)
            .with_scheduler(scheduler)
            .with_node_limit(self.limits.nodes)
            .with_iter_limit(self.limits.iterations)
            // Never the clock: the same source gives the same code.
            .with_time_limit(Duration::MAX)
            .run(self.rules);
        if !is_consistent(&runner.egraph) {
            return None;
        }
        let program = extract(&runner.egraph, &roots, &original)?;
        let mut scratch = Scratch::new();
        let values: Vec<Value> = leaves.iter().map(|&leaf| scratch.leaf(leaf, built.ty(leaf))).collect();
        let images = emit(&mut scratch.builder, &program, &values, |_, _| {});
        let after = cost::of_values(scratch.builder.func(), &images);
        (after < before).then_some(Better { program, leaves })
    }

    fn insert(&self, chunk: &Chunk, built: &Func, image: &dyn Fn(Value) -> Value) -> Inserted {
        let facts = Facts { not_negative: self.around.not_negative.clone(), ..Facts::default() };
        let mut into = Inserted {
            egraph: Graph::new(facts),
            leaves: Vec::new(),
            roots: Vec::new(),
            original: Vec::new(),
            sources: BTreeMap::new(),
        };
        let mut ids: BTreeMap<Value, Id> = BTreeMap::new();
        for &inst in &chunk.insts {
            let InstData::Op(op, args) = &self.src.insts[inst] else { continue };
            let args: Vec<Id> = args
                .iter()
                .map(|&arg| {
                    if let Some(&id) = ids.get(&arg) {
                        return id;
                    }
                    let inside = source(built, image(arg), self.around.truth(arg));
                    let id = into.outside(&inside, self.known.fact(self.src, arg), built);
                    into.sources.insert(arg, source(built, image(arg), None));
                    ids.insert(arg, id);
                    id
                })
                .collect();
            let id = into.operation(*op, &args);
            ids.insert(self.src.results[inst][0], id);
        }
        into.roots = chunk.roots.iter().filter_map(|root| ids.get(root).copied()).collect();
        into.seed_reciprocals();
        into.egraph.rebuild();
        into
    }
}

impl Inserted {
    fn add(&mut self, node: Scalar) -> Id {
        let id = self.egraph.add(node.clone());
        self.original.push((id, node));
        id
    }

    fn outside(&mut self, source: &Source, fact: Fact, built: &Func) -> Id {
        match source {
            Source::Literal(literal) => self.add(literal.clone()),
            Source::Leaf(value, negated) => {
                let n = self.leaves.iter().position(|leaf| leaf == value).unwrap_or_else(|| {
                    self.leaves.push(*value);
                    let structural = fact.structural;
                    let fact =
                        if *negated { Fact { structural, ..Fact::unknown(built.ty(*value)) } } else { fact };
                    self.egraph.analysis.leaves.push(fact);
                    self.leaves.len() - 1
                });
                let leaf = self.add(Scalar::Leaf(n as u32));
                if *negated { self.add(Scalar::Unary(Op::Neg, [leaf])) } else { leaf }
            }
        }
    }

    fn operation(&mut self, op: Op, args: &[Id]) -> Id {
        match (op, args) {
            (Op::Sub, &[a, b]) => {
                let negated = self.add(Scalar::Unary(Op::Neg, [b]));
                self.add(Scalar::Binary(Op::Add, [a, negated]))
            }
            (Op::IntSub, &[a, b]) => {
                let negated = self.add(Scalar::IntNeg([b]));
                self.add(Scalar::Binary(Op::IntAdd, [a, negated]))
            }
            _ => {
                let node = Scalar::op(op, args).expect("the source is verified: arities fit");
                self.add(node)
            }
        }
    }

    /// Adds the reciprocal of each divisor that two quotients share, for the rule `share-reciprocal` to find.
    fn seed_reciprocals(&mut self) {
        let mut dividends: BTreeMap<Id, Id> = BTreeMap::new();
        let mut shared: Vec<Id> = Vec::new();
        for (_, node) in &self.original {
            if let Scalar::Binary(Op::Div, [dividend, divisor]) = node
                && *dividends.entry(*divisor).or_insert(*dividend) != *dividend
                && !shared.contains(divisor)
            {
                shared.push(*divisor);
            }
        }
        for divisor in shared {
            let one = self.egraph.add(Scalar::Float(1.0_f64.to_bits()));
            self.egraph.add(Scalar::Binary(Op::Div, [one, divisor]));
        }
    }

    /// The cost of the chunk as it is, after the folding that any copy would do.
    fn cost_before(&self, src: &Func, built: &Func, chunk: &Chunk) -> u64 {
        let mut scratch = Scratch::new();
        let mut values: BTreeMap<Value, Value> = BTreeMap::new();
        for (&value, source) in &self.sources {
            let image = match source {
                Source::Literal(literal) => literal_value(&mut scratch.builder, literal),
                Source::Leaf(leaf, negated) => {
                    let value = scratch.leaf(*leaf, built.ty(*leaf));
                    if *negated { scratch.builder.neg(value) } else { value }
                }
            };
            values.insert(value, image);
        }
        for &inst in &chunk.insts {
            if let InstData::Op(op, args) = &src.insts[inst] {
                let args: Vec<Value> = args.iter().map(|arg| values[arg]).collect();
                let value = scratch.builder.op(*op, &args);
                values.insert(src.results[inst][0], value);
            }
        }
        let roots: Vec<Value> = chunk.roots.iter().map(|root| values[root]).collect();
        cost::of_values(scratch.builder.func(), &roots)
    }
}

/// False where a class claims to be two different leaves or literals: then some rule did not hold.
fn is_consistent(egraph: &Graph) -> bool {
    let free = |node: &&Scalar| {
        matches!(
            node,
            Scalar::Leaf(_) | Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) | Scalar::Size(_)
        )
    };
    let clash = |class: &egg::EClass<Scalar, Fact>| {
        let leaves = class.nodes.iter().filter(free).filter(|node| matches!(node, Scalar::Leaf(_))).count();
        let literals = class.nodes.iter().filter(free).count() - leaves;
        leaves > 1 || (leaves == 1 && literals > 0)
    };
    !egraph.analysis.contradiction && !egraph.classes().any(clash)
}

/// A builder to count with: values from outside are loads of an array.
struct Scratch {
    builder: Builder,
    leaves: BTreeMap<Value, Value>,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch { builder: Builder::new(Func::new("scratch")), leaves: BTreeMap::new() }
    }

    fn leaf(&mut self, value: Value, ty: Ty) -> Value {
        if let Some(&leaf) = self.leaves.get(&value) {
            return leaf;
        }
        let buffer = self.builder.buffer(BufferData {
            name: value.to_string(),
            elem: ty,
            dims: Vec::<SizeExpr>::new(),
            role: Role::Data,
            plane: Plane::Primal,
            entries: Entries::Any,
            default: None,
            span: (0, 0),
        });
        let leaf = self.builder.load(buffer, &[]);
        self.leaves.insert(value, leaf);
        leaf
    }
}

fn literal_value(b: &mut Builder, literal: &Scalar) -> Value {
    if let Scalar::Size(expr) = literal {
        return b.size(expr);
    }
    let literal = literal.as_literal().expect("called on literals and sizes");
    b.constant(literal)
}

impl Better {
    /// Builds the roots, in order. `begin` is called before what a root needs first.
    pub(super) fn build(&self, b: &mut Builder, begin: impl FnMut(&mut Builder, usize)) -> Vec<Value> {
        emit(b, &self.program, &self.leaves, begin)
    }
}

/// A value, and whether it stands for its negation (integers only: the builder signs floats itself).
#[derive(Clone, Copy)]
struct Signed {
    value: Value,
    negated: bool,
}

impl Signed {
    fn plain(value: Value) -> Signed {
        Signed { value, negated: false }
    }

    fn force(self, b: &mut Builder) -> Value {
        if self.negated {
            let zero = b.int(0);
            b.op(Op::IntSub, &[zero, self.value])
        } else {
            self.value
        }
    }
}

fn emit(
    b: &mut Builder,
    program: &Extracted,
    leaves: &[Value],
    mut begin: impl FnMut(&mut Builder, usize),
) -> Vec<Value> {
    let mut values: Vec<Signed> = Vec::with_capacity(program.nodes.len());
    let mut images = Vec::with_capacity(program.roots.len());
    for (n, &root) in program.roots.iter().enumerate() {
        begin(b, n);
        while values.len() <= root {
            let value = emit_node(b, &program.nodes[values.len()], leaves, &values);
            values.push(value);
        }
        images.push(values[root].force(b));
    }
    images
}

fn emit_node(b: &mut Builder, node: &Scalar, leaves: &[Value], values: &[Signed]) -> Signed {
    let at = |id: Id| values[usize::from(id)];
    match node {
        Scalar::Leaf(n) => Signed::plain(leaves[*n as usize]),
        Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_) | Scalar::Size(_) => {
            Signed::plain(literal_value(b, node))
        }
        Scalar::IntNeg([a]) => Signed { negated: !at(*a).negated, ..at(*a) },
        Scalar::Binary(Op::IntAdd, [x, y]) => {
            let (x, y) = (at(*x), at(*y));
            match (x.negated, y.negated) {
                (true, false) => Signed::plain(b.op(Op::IntSub, &[y.value, x.value])),
                (false, true) => Signed::plain(b.op(Op::IntSub, &[x.value, y.value])),
                (negated, _) => Signed { value: b.op(Op::IntAdd, &[x.value, y.value]), negated },
            }
        }
        Scalar::Binary(Op::IntMul, [x, y]) => {
            let (x, y) = (at(*x), at(*y));
            Signed { value: b.op(Op::IntMul, &[x.value, y.value]), negated: x.negated != y.negated }
        }
        Scalar::Unary(op, args) => forced(b, *op, args, values),
        Scalar::Binary(op, args) => forced(b, *op, args, values),
        Scalar::Ternary(op, args) => forced(b, *op, args, values),
    }
}

fn forced(b: &mut Builder, op: Op, args: &[Id], values: &[Signed]) -> Signed {
    let args: Vec<Value> = args.iter().map(|&id| values[usize::from(id)].force(b)).collect();
    Signed::plain(b.op(op, &args))
}
