//! Simplification: scalar sub-graphs are rewritten to cheaper ones that compute the same.
//!
//! # Problem
//! Derivatives and solved indices repeat factors, divide often by the same, and take remainders of what is in range:
//! ```text
//! a = r * jx; b = r * jy; s = a * a + b * b           ==>   s = r * r * (jx * jx + jy * jy), sharing jx * jx + jy * jy
//! w = ((i + 1) % N + N - 1) % N                       ==>   w = i
//! g = select(c, k * f, 0) + select(c, k * h, 0)       ==>   g = select(c, k * (f + h), 0)
//! ```
//! # Method
//! 1. Surroundings: ranges, signs and structure of all values; conditions decided by enclosing branches.
//! 2. Plan (`plan`): each region's scalar operations become connected chunks of bounded size.
//! 3. Each chunk goes into an e-graph and is saturated with the rules (`rules`), within a number of nodes and iterations.
//! 4. Extraction (`extract`) minimizes the cost of the shared graph.
//! 5. Old and new are both built in a scratch builder and counted there (`cost`); the new one is taken if it is cheaper.
//!
//! # Why it keeps the meaning
//! Every rule is an identity on the domain (`rules` says what that allows); loads, loops, branches and effects stay as they are.
//! Structural values stay structural. An e-graph in which two literals or leaves met is thrown away.
//!
//! # Limits
//! Chunks do not see each other; `F32` is left alone; an operation counts the same in every loop, so hoisting comes first.
//! Results of float operations change by rounding.
//!
//! # References
//! Willsey et al., egg: Fast and Extensible Equality Saturation, POPL 2021.

use super::chunk::Site;
use super::cost;
use super::language::{Facts, Scalar};
use super::plan::{self, Chunk, Place, RegionPlan};
use super::rules;
use super::surroundings::Surroundings;
use crate::pass::Pass;
use crate::rewrite::{CopyAll, Rewriter, Visitor};
use cranelift_entity::SecondaryMap;
use egg::Rewrite;
use spadina_ir::diag::Diagnostic;
use spadina_ir::func::{Func, Inst, InstData, Region, Value, ValueDef};
use spadina_ir::walk;

/// The pass.
pub const PASS: Pass =
    Pass { name: "simplify", summary: "rewrite scalar sub-graphs to cheaper equal ones", run };

/// How much work is allowed. There is no limit on time: the same source gives the same code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Operations in one chunk.
    pub chunk: usize,
    /// Nodes of an e-graph.
    pub nodes: usize,
    /// Iterations of saturation.
    pub iterations: usize,
    /// Matches of one rule in one iteration, above which it pauses.
    pub matches: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { chunk: 80, nodes: 4000, iterations: 10, matches: 400 }
    }
}

/// What simplification did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Cost of the function before (see [`cost`]).
    pub before: u64,
    /// Cost of the function after.
    pub after: u64,
    /// Chunks looked at.
    pub chunks: usize,
    /// Chunks that became cheaper.
    pub improved: usize,
}

/// Simplifies a function.
///
/// # Errors
/// None: what cannot be simplified stays.
pub fn run(func: &Func) -> Result<Func, Diagnostic> {
    Ok(simplify_with(func, &Limits::default()).0)
}

/// Simplifies a function within the given limits, and says what it did.
pub fn simplify_with(func: &Func, limits: &Limits) -> (Func, Report) {
    let mut plans: SecondaryMap<Region, RegionPlan> = SecondaryMap::new();
    let mut homes: SecondaryMap<Inst, (Option<Region>, usize)> = SecondaryMap::new();
    for region in regions(func) {
        plans[region] = plan::region(func, region, limits.chunk);
        for (n, &inst) in func.regions[region].insts.iter().enumerate() {
            homes[inst] = (Some(region), n);
        }
    }
    let mut pass = Simplify {
        known: Surroundings::of(func),
        rules: rules::rewrites(),
        limits,
        plans,
        homes,
        built: SecondaryMap::new(),
        report: Report { before: cost::of_func(func), ..Report::default() },
    };
    let simple = Rewriter::new(func, func.name.clone()).run(&mut pass);
    let mut report = pass.report;
    report.after = cost::of_func(&simple);
    if report.after > report.before {
        // Sharing between chunks was lost: rare, and never worth it.
        let copy = Rewriter::new(func, func.name.clone()).run(&mut CopyAll);
        report.after = cost::of_func(&copy);
        return (copy, report);
    }
    (simple, report)
}

fn regions(func: &Func) -> Vec<Region> {
    let mut regions = vec![func.body];
    walk::visit_insts(func, func.body, &mut |_, inst| regions.extend(func.insts[inst].regions()));
    regions
}

struct Simplify<'a> {
    known: Surroundings,
    rules: Vec<Rewrite<Scalar, Facts>>,
    limits: &'a Limits,
    plans: SecondaryMap<Region, RegionPlan>,
    /// Region and place of each instruction.
    homes: SecondaryMap<Inst, (Option<Region>, usize)>,
    /// How many due lists of each region are built.
    built: SecondaryMap<Region, usize>,
    report: Report,
}

impl Simplify<'_> {
    /// Builds the chunks of a region that are due at this moment.
    fn build_due(&mut self, rw: &mut Rewriter<'_>, region: Region, moment: usize) {
        while let Some((due, chunks)) = self.plans[region].due.get_mut(self.built[region]) {
            if *due > moment {
                return;
            }
            let chunks = std::mem::take(chunks);
            self.built[region] += 1;
            let span = rw.b.span();
            for chunk in &chunks {
                self.build(rw, region, chunk);
            }
            rw.b.set_span(span);
        }
    }

    fn build(&mut self, rw: &mut Rewriter<'_>, region: Region, chunk: &Chunk) {
        let src = rw.src;
        self.report.chunks += 1;
        // Literals may stand after the moment at which the chunk is due; they have no operands.
        for value in chunk.insts.iter().flat_map(|&inst| src.insts[inst].operands()) {
            if let (None, Some(InstData::Const(_) | InstData::Size(_)), ValueDef::Result(inst, _)) =
                (rw.map.find(value), src.def(value), src.values[value].def)
            {
                rw.copy(inst, self);
            }
        }
        let site = Site {
            src,
            known: &self.known,
            around: self.known.around(region),
            rules: &self.rules,
            limits: self.limits,
        };
        let better = site.improve(chunk, rw.b.func(), &|value| rw.map.get(value));
        let Some(better) = better else {
            for &inst in &chunk.insts {
                rw.b.set_span(src.spans[inst]);
                rw.copy(inst, self);
            }
            return;
        };
        self.report.improved += 1;
        let images = better.build(&mut rw.b, |b, n| b.set_span(span_of(src, chunk.roots[n])));
        for (&root, &image) in chunk.roots.iter().zip(&images) {
            rw.map.set(root, image);
        }
    }
}

fn span_of(func: &Func, value: Value) -> (u32, u32) {
    match func.values[value].def {
        ValueDef::Result(inst, _) => func.spans[inst],
        ValueDef::Param(..) => (0, 0),
    }
}

impl Visitor for Simplify<'_> {
    fn visit(&mut self, rw: &mut Rewriter<'_>, inst: Inst) {
        let (Some(region), n) = self.homes[inst] else {
            rw.copy(inst, self);
            return;
        };
        match self.plans[region].places[n] {
            Place::Copied => rw.copy(inst, self),
            Place::Chunked => {}
            Place::Moment(moment) => {
                self.build_due(rw, region, moment);
                rw.copy(inst, self);
            }
        }
        if n + 1 == rw.src.regions[region].insts.len() {
            self.build_due(rw, region, usize::MAX);
        }
    }
}
