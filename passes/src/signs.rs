//! Of a difference and its negation, the one is computed that leaves the fewest negations.
//!
//! # Problem
//! ```text
//! d = a - b;  emit [.., -d, ..];  yield d      ==>   d' = b - a;  emit [.., d', ..];  yield -d'
//! ```
//! An entry that is stored must have its sign; what is summed up is subtracted as easily as added.
//!
//! # Method
//! 1. A sum of operands of different signs may be computed either way round: a *choice*. All other signs follow from the operands',
//!    because the builder moves negations out of sums, products and quotients.
//! 2. Choices are reversed one by one, last ones first, what follows from them being brought up to date, and kept where fewer stored
//!    entries are negations.
//! 3. A reversed choice is built negated and negated again; the builder does the rest.
//!
//! # Why it keeps the meaning
//! Negation is exact, and rounding does not depend on the sign. Only the sign of a zero may change: so no value is touched that leads to
//! anything but sums, products, numerators, emissions and accumulations, which all start from `+0`.
//!
//! # Limits
//! Regions do not see each other. The search is greedy.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::{EntitySet, SecondaryMap};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Carry, Func, Inst, InstData, Region, Value};
use spadina_ir::op::Op;
use spadina_ir::walk;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub const PASS: Pass =
    Pass { name: "signs", summary: "differences are computed the way round that saves negations", run };

/// How often all choices are looked at.
const ROUNDS: usize = 2;

/// Reverses differences where that saves negations.
///
/// # Errors
/// None.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    // What a region yields to sums may come negated: it is subtracted.
    let mut regions = BTreeMap::from([(func.body, Vec::new())]);
    walk::visit_insts(func, func.body, &mut |_, inst| {
        let data = &func.insts[inst];
        let sums = match data {
            InstData::Loop { carries, .. } => carries.iter().map(|carry| *carry == Carry::Sum).collect(),
            _ => Vec::new(),
        };
        regions.extend(data.regions().into_iter().map(|region| (region, sums.clone())));
    });
    let mut reversed = EntitySet::new();
    for (region, sums) in regions {
        if let Some(mut signs) = Signs::of(func, region, &sums) {
            signs.search();
            reversed.extend(signs.reversed());
        }
    }
    if reversed.is_empty() {
        return Ok(func.clone());
    }
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Reverse { reversed }))
}

struct Reverse {
    reversed: EntitySet<Inst>,
}

impl Visitor for Reverse {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        match &rw.src.insts[inst] {
            InstData::Op(op, args) if self.reversed.contains(inst) => {
                let args: Vec<Value> = args.iter().map(|&v| rw.b.neg(rw.map.get(v))).collect();
                let negated = rw.b.op(*op, &args);
                let image = rw.b.neg(negated);
                rw.map.set(rw.src.results[inst][0], image);
            }
            _ => rw.copy(inst, self),
        }
    }
}

/// A sum, product, quotient or negation.
struct Node {
    inst: Inst,
    op: Op,
    args: [Operand; 2],
    /// Whether its sign may be chosen at all.
    free: bool,
    /// What is computed is the negation of the value.
    negative: bool,
    /// The nodes that use it, ascending.
    users: Vec<u32>,
    /// The wishes that it takes part in.
    wishes: Vec<u32>,
}

/// A node of the region; `None` for a value that comes as it is.
type Operand = Option<u32>;

/// What the signs of a region are.
struct Signs {
    nodes: Vec<Node>,
    /// Values that should come as they are.
    wishes: Vec<Operand>,
}

impl Signs {
    /// `None` where nothing can be gained.
    fn of(func: &Func, region: Region, sums: &[bool]) -> Option<Signs> {
        let stored = |&inst: &Inst| match &func.insts[inst] {
            InstData::Emit(emit) => !emit.symmetric && emit.project.is_none(),
            _ => false,
        };
        if !func.regions[region].insts.iter().any(stored) {
            return None;
        }
        let mut signs = Signs { nodes: Vec::new(), wishes: Vec::new() };
        let mut number: SecondaryMap<Value, Operand> = SecondaryMap::new();
        let mut fixed: EntitySet<Value> = EntitySet::new();
        let yields = func.regions[region].yields.iter().enumerate();
        fixed.extend(yields.filter(|(n, _)| !sums.get(*n).is_some_and(|&sum| sum)).map(|(_, &value)| value));
        for &inst in &func.regions[region].insts {
            match &func.insts[inst] {
                InstData::Op(op @ (Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Neg), args) => {
                    let at = signs.nodes.len() as u32;
                    let args = [number[args[0]], args.get(1).and_then(|&b| number[b])];
                    for arg in args.iter().flatten() {
                        signs.nodes[*arg as usize].users.push(at);
                    }
                    number[func.results[inst][0]] = Some(at);
                    let (users, wishes) = (Vec::new(), Vec::new());
                    signs.nodes.push(Node {
                        inst,
                        op: *op,
                        args,
                        free: true,
                        negative: false,
                        users,
                        wishes,
                    });
                }
                InstData::Emit(emit) if emit.symmetric || emit.project.is_some() => {
                    fixed.extend(emit.values.iter().copied());
                }
                InstData::Emit(emit) => signs.wishes.extend(emit.values.iter().map(|&v| number[v])),
                InstData::Accum(..) => {}
                data => {
                    fixed.extend(data.operands());
                    fixed.extend(walk::captures(func, inst));
                }
            }
        }
        if signs.wishes.is_empty() {
            return None;
        }
        for node in signs.nodes.iter_mut().rev() {
            let InstData::Op(op, args) = &func.insts[node.inst] else { continue };
            node.free = !fixed.contains(func.results[node.inst][0]);
            let followed = match op {
                _ if !node.free => 0,
                Op::Div => 1,
                _ => args.len(),
            };
            fixed.extend(args.iter().skip(followed).copied());
        }
        for at in 0..signs.nodes.len() {
            signs.nodes[at].negative = signs.implied(at).unwrap_or(false);
        }
        for (n, wish) in (0..).zip(&signs.wishes) {
            if let Some(at) = *wish {
                signs.nodes[at as usize].wishes.push(n);
            }
        }
        Some(signs)
    }

    fn sign(&self, operand: Operand) -> bool {
        operand.is_some_and(|at| self.nodes[at as usize].negative)
    }

    /// Whether a node is the negation of its value, as its operands have it; `None` for a choice.
    fn implied(&self, at: usize) -> Option<bool> {
        let node = &self.nodes[at];
        let [a, b] = node.args.map(|operand| self.sign(operand));
        match node.op {
            Op::Neg => Some(!a),
            Op::Add => (a == b).then_some(a),
            Op::Sub => (a != b).then_some(a),
            _ => Some(a != b),
        }
    }

    fn is_broken(&self, wish: u32) -> bool {
        self.sign(self.wishes[wish as usize])
    }

    fn search(&mut self) {
        for _ in 0..ROUNDS {
            let mut better = false;
            for at in (0..self.nodes.len()).rev() {
                if self.nodes[at].free && self.implied(at).is_none() {
                    better |= self.reverse(at);
                }
            }
            if !better {
                break;
            }
        }
    }

    /// Reverses a choice if that fulfills more wishes.
    fn reverse(&mut self, at: usize) -> bool {
        let mut changed = vec![at];
        let mut pending: BTreeSet<u32> = self.nodes[at].users.iter().copied().collect();
        self.nodes[at].negative ^= true;
        while let Some(user) = pending.pop_first() {
            // What is a choice now keeps its sign.
            let user = user as usize;
            if self.implied(user).is_some_and(|negative| negative != self.nodes[user].negative) {
                self.nodes[user].negative ^= true;
                changed.push(user);
                pending.extend(&self.nodes[user].users);
            }
        }
        let touched: BTreeSet<u32> =
            changed.iter().flat_map(|&node| self.nodes[node].wishes.iter().copied()).collect();
        let broken = |signs: &Signs| touched.iter().filter(|&&wish| signs.is_broken(wish)).count();
        let after = broken(self);
        let flip = |signs: &mut Signs| changed.iter().for_each(|&node| signs.nodes[node].negative ^= true);
        flip(self);
        if after >= broken(self) {
            return false;
        }
        flip(self);
        true
    }

    /// The choices that come out negative.
    fn reversed(&self) -> Vec<Inst> {
        let negative = |&at: &usize| self.nodes[at].negative && self.implied(at).is_none();
        (0..self.nodes.len()).filter(negative).map(|at| self.nodes[at].inst).collect()
    }
}
