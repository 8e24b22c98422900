//! The local unknowns of an element: families of loads that differ by the variable of an inner loop, numbered by slots.

use crate::ad::graph::{Graph, Obstacle};
use crate::sparse::element::tree::Tree;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Buffer, Carry, InstData, Region, Value, ValueDef};
use std::collections::BTreeSet;

/// The inner loop that a family runs over: literal bounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Trips {
    /// First value.
    pub lo: i64,
    /// Stride.
    pub step: i64,
    /// Number of iterations.
    pub count: i64,
}

/// Loads of one buffer with the same leading subscripts up to the variable of an inner loop: `x[hexes[e, a], 0..3]` for all `a`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Family {
    /// The unknown.
    pub buffer: Buffer,
    /// Its subscripts, without a literal last one.
    pub lead: Vec<Tree>,
    /// Literal last subscripts that occur, in order; one `None` where the last subscript is no literal.
    pub components: Vec<Option<i64>>,
    /// The loop it runs over, if its subscripts vary.
    pub trips: Option<Trips>,
    /// The slot of its first unknown.
    pub base: i64,
}

impl Family {
    /// How many members it has.
    pub fn count(&self) -> i64 {
        self.trips.map_or(1, |t| t.count)
    }

    /// Slots of one member.
    pub fn width(&self) -> i64 {
        self.components.len() as i64
    }

    /// The slot of component number `component` of the member at iteration `nth` (counted from 0).
    pub fn slot(&self, b: &mut Builder, nth: Value, component: usize) -> Value {
        let (base, width) = (b.int(self.base + component as i64), b.int(self.width()));
        let scaled = b.op(spadina_ir::op::Op::IntMul, &[nth, width]);
        b.op(spadina_ir::op::Op::IntAdd, &[scaled, base])
    }

    /// The position of component number `component` of the member at iteration `nth`.
    pub fn position(&self, b: &mut Builder, nth: Value, component: usize) -> Value {
        let inner = self.trips.map(|trips| variable(b, trips, nth));
        let mut index: Vec<Value> = self.lead.iter().map(|tree| tree.build(b, inner)).collect();
        if let Some(literal) = self.components[component] {
            index.push(b.int(literal));
        }
        b.position(self.buffer, &index)
    }
}

/// The loop variable at iteration `nth`.
fn variable(b: &mut Builder, trips: Trips, nth: Value) -> Value {
    let (lo, step) = (b.int(trips.lo), b.int(trips.step));
    let scaled = b.op(spadina_ir::op::Op::IntMul, &[nth, step]);
    b.op(spadina_ir::op::Op::IntAdd, &[scaled, lo])
}

/// The number of the iteration at which the loop variable is `iv`.
pub fn nth(b: &mut Builder, trips: Trips, iv: Value) -> Value {
    let (lo, step) = (b.int(trips.lo), b.int(trips.step));
    let offset = b.op(spadina_ir::op::Op::IntSub, &[iv, lo]);
    b.op(spadina_ir::op::Op::IntDiv, &[offset, step])
}

/// A loop of the function under construction, as a context of loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// Its variable.
    pub iv: Value,
    /// Its range.
    pub trips: Trips,
}

/// The local unknowns of one accumulated value.
#[derive(Clone, Default, Debug)]
pub struct Unknowns {
    /// All families, in order of their slots.
    pub families: Vec<Family>,
}

/// The key of a load: its family up to components, and the component.
fn key(b: &Builder, load: Value, context: Option<Context>) -> Option<(Family, Option<i64>)> {
    let Some(InstData::Load(buffer, index)) = b.func().def(load) else { return None };
    let literal = index.last().and_then(|&last| b.func().as_int(last));
    let leading = if literal.is_some() { &index[..index.len() - 1] } else { &index[..] };
    let inner = context.map(|c| c.iv);
    let lead: Vec<Tree> = leading.iter().map(|&v| Tree::of(b, v, inner)).collect::<Option<_>>()?;
    let trips = context.map(|c| c.trips).filter(|_| lead.iter().any(Tree::varies));
    Some((Family { buffer: *buffer, lead, components: Vec::new(), trips, base: 0 }, literal))
}

impl Unknowns {
    /// Finds the loads behind `value`; those in sums over literal ranges at the level of `value` form families. Returns `None` where
    /// no load stands in such a sum.
    pub fn behind(b: &Builder, graph: &mut Graph, value: Value) -> Result<Option<Unknowns>, Obstacle> {
        let mut found = Unknowns::default();
        let mut seen = BTreeSet::new();
        let mut stack: Vec<(Value, Option<Context>)> = vec![(value, None)];
        let mut kept = false;
        while let Some((v, at)) = stack.pop() {
            // What a body captures stands outside of it.
            let at = at.filter(|context| v >= context.iv);
            if !graph.is_active(b, v) || !seen.insert(v) {
                continue;
            }
            let ValueDef::Result(inst, n) = b.func().values[v].def else { continue };
            if graph.is_leaf(b, v) {
                let Some((family, component)) = key(b, v, at) else {
                    return Err(Obstacle::InnerLoad(inst));
                };
                kept |= at.is_some();
                found.insert(&family, component);
                continue;
            }
            match &b.func().insts[inst] {
                InstData::Op(_, args) => stack.extend(args.iter().map(|&a| (a, at))),
                InstData::Load(..) => return Err(Obstacle::Stage(inst)),
                InstData::Loop { lo, hi, step, carries, body } => {
                    if carries[n as usize] != Carry::Sum {
                        return Err(Obstacle::Recurrence(inst));
                    }
                    let within = match at {
                        Some(_) => at,
                        None => context(b, *lo, *hi, *step, *body),
                    };
                    let Some(within) = within else { return Err(Obstacle::InnerLoad(inst)) };
                    stack.push((b.func().regions[*body].yields[n as usize], Some(within)));
                }
                InstData::If { then, els, .. } => {
                    stack.extend([*then, *els].iter().map(|&r| (b.func().regions[r].yields[n as usize], at)));
                }
                InstData::Const(_)
                | InstData::Size(_)
                | InstData::Position(..)
                | InstData::Accum(..)
                | InstData::Reset(..)
                | InstData::Check(..)
                | InstData::Emit(_) => {}
            }
        }
        found.number();
        Ok(kept.then_some(found))
    }

    fn insert(&mut self, family: &Family, component: Option<i64>) {
        let same = |f: &Family| {
            let literal = f.components.first().is_none_or(Option::is_some) == component.is_some();
            literal && f.buffer == family.buffer && f.lead == family.lead && f.trips == family.trips
        };
        let at = self.families.iter().position(same).unwrap_or_else(|| {
            self.families.push(family.clone());
            self.families.len() - 1
        });
        let components = &mut self.families[at].components;
        if let Err(place) = components.binary_search(&component) {
            components.insert(place, component);
        }
    }

    fn number(&mut self) {
        self.families.sort_by(|f, g| (f.buffer, &f.lead, f.trips).cmp(&(g.buffer, &g.lead, g.trips)));
        let mut base = 0;
        for family in &mut self.families {
            family.base = base;
            base += family.count().saturating_mul(family.width());
        }
    }

    /// The number of slots.
    pub fn slots(&self) -> i64 {
        self.families.last().map_or(0, |f| f.base.saturating_add(f.count().saturating_mul(f.width())))
    }

    /// Family and component number of a load.
    pub fn find(&self, b: &Builder, load: Value, context: Option<Context>) -> Option<(usize, usize)> {
        let (family, component) = key(b, load, context)?;
        self.families.iter().enumerate().find_map(|(n, f)| {
            let same = f.buffer == family.buffer && f.lead == family.lead && f.trips == family.trips;
            let at = f.components.binary_search(&component).ok()?;
            same.then_some((n, at))
        })
    }

    /// The variables of loops around that subscripts depend on.
    pub fn outer(&self) -> BTreeSet<Value> {
        let mut variables = BTreeSet::new();
        self.families.iter().flat_map(|f| &f.lead).for_each(|tree| tree.outer(&mut variables));
        variables
    }
}

/// The context that a loop with literal bounds gives its body.
pub fn context(b: &Builder, lo: Value, hi: Value, step: i64, body: Region) -> Option<Context> {
    let (lo, hi) = (b.func().as_int(lo)?, b.func().as_int(hi)?);
    let count = if hi <= lo { 0 } else { hi.checked_sub(lo)?.checked_sub(1)? / step + 1 };
    let iv = *b.func().regions[body].params.first()?;
    Some(Context { iv, trips: Trips { lo, step, count } })
}
