//! Products that are only added become fused multiply-adds, where the target has them.
//!
//! # Problem
//! ```text
//! p = mul a, b;  s = add p, c      ==>   s = fma a, b, c
//! ```
//! One instruction for two, and one rounding.
//!
//! # Method
//! 1. A product can go if everything that uses it, negated or not, is a sum or difference of its own region.
//! 2. A sum takes such a product unless its other operand is a product too. A product that a sum did not take stays, and the sums are
//!    asked again. Products only ever drop out, so this ends.
//! 3. `a * b - c` and `c - a * b` negate an operand: targets have instructions for that too.
//!
//! # Why it keeps the meaning
//! A fused multiply-add is closer to the exact result than a product that is rounded before it is added. It is an operation of the program
//! like any other, the same for the interpreter, for every lane and for every thread. Of two products that cancel neither is fused:
//! `a * b - c * d` is zero where both are equal, not the rounding of one of them, and a norm of it has the kink that it should.
//!
//! # Limits
//! Products under another region (a loop, a branch) than their sum stay: they may be shared between iterations.

use crate::pass::Pass;
use crate::rewrite::{Rewriter, Visitor};
use cranelift_entity::{EntitySet, SecondaryMap};
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::op::Op;
use spadina_ir::walk;

/// The pass.
pub const PASS: Pass =
    Pass { name: "contract", summary: "products that are only added are fused with their sums", run };

/// Fuses products with sums.
///
/// # Errors
/// None: what cannot be fused stays.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    let Fusion { taken, free, .. } = Fusion::of(func);
    Ok(Rewriter::new(func, func.name.clone()).run(&mut Contract { taken, gone: free }))
}

/// A product among the operands of a sum.
#[derive(Clone, Copy)]
struct Product {
    value: Value,
    factors: [Value; 2],
    negated: bool,
}

/// Which operand each sum is fused with.
struct Fusion<'a> {
    func: &'a Func,
    /// The region of each instruction.
    home: SecondaryMap<Inst, Option<Region>>,
    /// How often each value is used; of a product, with the uses of its negation in place of the negation.
    uses: SecondaryMap<Value, u32>,
    /// Products that may yet go, by their value.
    free: EntitySet<Value>,
    taken: SecondaryMap<Inst, Option<u8>>,
}

impl Fusion<'_> {
    fn of(func: &Func) -> Fusion<'_> {
        let mut fusion = Fusion {
            func,
            home: SecondaryMap::new(),
            uses: SecondaryMap::new(),
            free: EntitySet::new(),
            taken: SecondaryMap::new(),
        };
        let mut sums = Vec::new();
        walk::visit_insts(func, func.body, &mut |region, inst| {
            fusion.home[inst] = Some(region);
            let data = &func.insts[inst];
            let yields = data.regions().into_iter().flat_map(|region| func.regions[region].yields.iter());
            for &used in data.operands().iter().chain(yields) {
                fusion.uses[used] += 1;
            }
            match data {
                InstData::Op(Op::Mul, _) if func.ty(func.results[inst][0]).is_float() => {
                    fusion.free.insert(func.results[inst][0]);
                }
                InstData::Op(Op::Add | Op::Sub, _) => sums.push(inst),
                _ => {}
            }
        });
        walk::visit_insts(func, func.body, &mut |_, inst| {
            if let InstData::Op(Op::Neg, args) = &func.insts[inst] {
                fusion.uses[args[0]] += fusion.uses[func.results[inst][0]];
                fusion.uses[args[0]] -= 1;
            }
        });
        loop {
            let mut fused: SecondaryMap<Value, u32> = SecondaryMap::new();
            for &sum in &sums {
                let found = fusion.product_of(sum);
                fusion.taken[sum] = found.map(|(operand, _)| operand);
                if let Some((_, product)) = found {
                    fused[product.value] += 1;
                }
            }
            let free: Vec<Value> = func.values.keys().filter(|&v| fusion.free.contains(v)).collect();
            let kept: Vec<Value> = free.iter().copied().filter(|&v| fusion.is_gone(v, &fused)).collect();
            if kept.len() == free.len() {
                return fusion;
            }
            fusion.free = EntitySet::new();
            for product in kept {
                fusion.free.insert(product);
            }
        }
    }

    /// Whether sums take every use of a product.
    fn is_gone(&self, product: Value, fused: &SecondaryMap<Value, u32>) -> bool {
        fused[product] > 0 && self.uses[product] == fused[product]
    }

    /// The operand that a sum is fused with, by number.
    fn product_of(&self, sum: Inst) -> Option<(u8, Product)> {
        let InstData::Op(_, operands) = &self.func.insts[sum] else { return None };
        match [operands[0], operands[1]].map(|operand| product(self.func, operand)) {
            [Some(product), None] => self.free_here(sum, product).then_some((0, product)),
            [None, Some(product)] => self.free_here(sum, product).then_some((1, product)),
            [None, None] | [Some(_), Some(_)] => None,
        }
    }

    fn free_here(&self, sum: Inst, product: Product) -> bool {
        let ValueDef::Result(inst, _) = self.func.values[product.value].def else { return false };
        self.free.contains(product.value) && self.home[inst] == self.home[sum]
    }
}

/// A value as a product, possibly negated.
fn product(func: &Func, operand: Value) -> Option<Product> {
    let (value, negated) = match func.def(operand)? {
        InstData::Op(Op::Neg, args) => (args[0], true),
        _ => (operand, false),
    };
    match func.def(value)? {
        InstData::Op(Op::Mul, args) => Some(Product { value, factors: [args[0], args[1]], negated }),
        _ => None,
    }
}

struct Contract {
    taken: SecondaryMap<Inst, Option<u8>>,
    /// Products that sums have taken.
    gone: EntitySet<Value>,
}

impl Visitor for Contract {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let src = rw.src;
        let InstData::Op(op, operands) = &src.insts[inst] else {
            rw.copy(inst, self);
            return;
        };
        let made = if *op == Op::Neg { operands[0] } else { src.results[inst][0] };
        if self.gone.contains(made) {
            return;
        }
        let Some(n) = self.taken[inst] else {
            rw.copy(inst, self);
            return;
        };
        let n = usize::from(n);
        let (Some(product), other) = (product(src, operands[n]), operands[1 - n]) else {
            rw.copy(inst, self);
            return;
        };
        let negated = product.negated != (*op == Op::Sub && n == 1);
        let mut factors = product.factors.map(|factor| rw.map.get(factor));
        if negated {
            factors[0] = rw.b.neg(factors[0]);
        }
        let mut other = rw.map.get(other);
        if *op == Op::Sub && n == 0 {
            other = rw.b.neg(other);
        }
        let sum = rw.b.op(Op::Fma, &[factors[0], factors[1], other]);
        rw.map.set(src.results[inst][0], sum);
    }
}
