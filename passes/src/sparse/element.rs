//! Elements whose inner loops are kept: their Hessian is gathered in a local block and emitted once.
//!
//! # Problem
//! An element with many unknowns reads them in loops, often once more for each quadrature point. Written out as one straight line, a
//! 20-node brick is half a megabyte of code; swept from every row, it emits all of its entries at every quadrature point:
//! ```text
//! for e { for q { f = for a in 0..20 sum { yield x[hexes[e,a]] * dn[e,q,a] };  accum out[] += w(f) } }
//!     ==>  for e { reset block
//!                  for q { f = ..;  for a { slope[a] += dn[e,q,a] };  W = w''(f)
//!                          for a, a' <= a { block[a,a'] += slope[a] W slope[a'] } }
//!                  for a, a' <= a { emit (hexes[e,a], hexes[e,a']), block[a,a'] + block[a',a] } }
//! ```
//! # Method
//! 1. *Local unknowns.* The loads behind an accumulated value, in sums over literal ranges, form families: the same subscripts up to the
//!    variable of the inner loop. Every load gets a slot: `base + iteration * width + component`.
//! 2. *Elimination* (`element/form`). As in `ad/eliminate`, but results of inner loops stay: each is a linear form in the unknowns, with
//!    its slopes in a scratch array, filled by one more run of the loop. The coefficients of one iteration go to the block.
//! 3. *Products* (`element/block`). With `W` the second derivatives by results of loops, the block receives `J^T W J`: pair loops that
//!    only multiply.
//! 4. *Emission* at the end of the shallowest loop that all subscripts need: loops around the value that they do not need (quadrature
//!    points) only add to the block.
//!
//! # Why it keeps the meaning
//! It is the chain rule with the loop results as intermediate variables, exact in any order. Slopes and coefficients are added up by slot,
//! so a load that stands in several places counts in all of them; two slots that hold the same unknown are emitted at the same position,
//! where emissions add.
//!
//! # Limits
//! Obstacles as in `ad/eliminate`; further loads in loops inside inner loops or under conditions there, ranges that are not literal, more
//! than [`MOST_SLOTS`] slots, and unknowns that only meet inside one iteration without being coupled everywhere (they would make the
//! block larger than the pattern). Those go the general way.
//!
//! # References
//! Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 10.3 (preaccumulation at local interfaces, partial separability).

pub mod block;
pub mod form;
pub mod places;
pub mod tree;

use crate::ad::graph::{Graph, Obstacle};
use crate::rewrite::Rewriter;
use crate::sparse::collect::Collector;
use crate::sparse::element::block::Block;
use crate::sparse::element::form::{Elimination, scratch};
use crate::sparse::element::places::Unknowns;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Inst, InstData, Value, ValueDef};
use std::collections::{BTreeMap, BTreeSet};

/// Most slots of an element: its block stays under 150 KiB.
pub const MOST_SLOTS: i64 = 132;

/// Where a block begins and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Home {
    /// The loop of the source whose iterations are the elements.
    at: Inst,
    slots: i64,
}

/// A construct that is open, with the variable that a loop has in the function under construction.
struct Open {
    inst: Inst,
    iv: Option<Value>,
}

/// What a first walk learns and a second one uses: which loops have blocks.
#[derive(Clone, Default)]
pub struct Homes(Vec<Home>);

impl Homes {
    /// The number of local unknowns of the largest element that keeps a loop, if any does.
    pub fn largest(&self) -> Option<i64> {
        self.0.iter().map(|home| home.slots).max()
    }
}

/// The elements of a function while it is copied.
pub struct Elements {
    homes: Homes,
    /// The blocks of the homes, in order; empty in the first walk.
    arrays: Vec<Buffer>,
    open: Vec<Open>,
    /// Finished blocks by home.
    blocks: BTreeMap<Inst, Vec<Block>>,
    met: usize,
}

impl Elements {
    /// For a walk; `homes` come from an earlier one over the same function.
    pub fn new(b: &mut Builder, homes: Homes) -> Elements {
        let ty = spadina_ir::types::Ty::F64;
        let arrays = homes.0.iter().map(|home| scratch(b, "block", ty, &[home.slots, home.slots])).collect();
        Elements { homes, arrays, open: Vec::new(), blocks: BTreeMap::new(), met: 0 }
    }

    /// What this walk has learned.
    pub fn into_homes(self) -> Homes {
        self.homes
    }

    /// A loop or an `if` of the source has been opened.
    pub fn opened(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let iv = match &rw.src.insts[inst] {
            InstData::Loop { body, .. } => {
                for (home, &array) in self.homes.0.iter().zip(&self.arrays) {
                    if home.at == inst {
                        rw.b.reset(array);
                    }
                }
                Some(rw.map.get(rw.src.regions[*body].params[0]))
            }
            _ => None,
        };
        self.open.push(Open { inst, iv });
    }

    /// It is about to be closed: the blocks of its elements are emitted.
    pub fn closing(&mut self, rw: &mut Rewriter<'_>, collector: &mut Collector) {
        if let Some(open) = self.open.pop() {
            for block in self.blocks.remove(&open.inst).unwrap_or_default() {
                block.emit(&mut rw.b, collector);
            }
        }
    }

    /// Handles a value accumulated with weight `seed` if its unknowns are read in inner loops; `false` if none is. `known` says which
    /// conditions prepare knows.
    pub fn term(
        &mut self,
        rw: &mut Rewriter<'_>,
        graph: &mut Graph,
        (value, seed): (Value, Value),
        gradient: &dyn Fn(&mut Builder, Value, Value),
        known: &dyn Fn(&Builder, Value) -> bool,
    ) -> Result<bool, Obstacle> {
        let Some(unknowns) = Unknowns::behind(&rw.b, graph, value)? else { return Ok(false) };
        let ValueDef::Result(inst, _) = rw.b.func().values[value].def else { return Ok(false) };
        let obstacle = Obstacle::InnerLoad(inst);
        let slots = unknowns.slots();
        if slots > MOST_SLOTS || rw.b.func().ty(value) != spadina_ir::types::Ty::F64 {
            return Err(obstacle);
        }
        let home = self.home(rw, &unknowns.outer(), known).ok_or(obstacle)?;
        let known_array = self.arrays.get(self.met).copied();
        let array = known_array.unwrap_or_else(|| {
            self.homes.0.push(Home { at: home, slots });
            scratch(&mut rw.b, "block", spadina_ir::types::Ty::F64, &[slots, slots])
        });
        self.met += 1;
        let mut elimination = Elimination {
            unknowns: &unknowns,
            block: array,
            vectors: BTreeMap::new(),
            together: BTreeSet::new(),
            everywhere: BTreeSet::new(),
            gradient,
        };
        let form = elimination.run(&mut rw.b, graph, &[(value, seed)])?;
        elimination.finish(&mut rw.b, graph, &form)?;
        let (together, mut coupled) = (elimination.together, elimination.everywhere);
        for &((f, c), (g, d)) in &together {
            let apart = [f, g].iter().all(|&n| unknowns.families[n].trips.is_some());
            if apart && !coupled.contains(&((f, c), (g, d))) {
                return Err(obstacle);
            }
        }
        coupled.extend(together);
        self.blocks.entry(home).or_default().push(Block { unknowns, array, coupled });
        Ok(true)
    }

    /// The innermost open loop whose variable is among `needed`, or the outermost one. `None` where there is none, or where a condition
    /// that prepare knows stands between it and the value: it would decide which entries exist.
    fn home(
        &self,
        rw: &Rewriter<'_>,
        needed: &BTreeSet<Value>,
        known: &dyn Fn(&Builder, Value) -> bool,
    ) -> Option<Inst> {
        let needs = |open: &Open| open.iv.is_some_and(|iv| needed.contains(&iv));
        let at = self.open.iter().rposition(needs);
        let at = at.or_else(|| self.open.iter().position(|open| open.iv.is_some()))?;
        for open in &self.open[at + 1..] {
            let decides = match &rw.src.insts[open.inst] {
                InstData::If { cond, .. } => known(&rw.b, rw.map.get(*cond)),
                InstData::Loop { lo, hi, .. } => {
                    // A loop that may not run decides too; one with literal bounds runs or does not.
                    let bounds = [lo, hi].map(|v| rw.b.func().as_int(rw.map.get(*v)));
                    !matches!(bounds, [Some(lo), Some(hi)] if lo < hi)
                }
                _ => true,
            };
            if decides {
                return None;
            }
        }
        Some(self.open[at].inst)
    }
}
