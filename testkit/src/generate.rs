//! Random programs: energies and residuals with stencils, tables, stages, inner loops and branches.
//!
//! A program is a few *stages* (scratch arrays that are filled, then read) and a few *terms* (loops that add to the
//! outputs). Values are tracked by [`crate::range`], so whatever is generated is finite and, away from branches and
//! kinks, smooth for all inputs of [`crate::inputs`]; indices are in range by construction.

mod domain;
mod ends;
mod expr;
mod guard;
mod stage;
mod world;

use crate::case::Case;
use crate::inputs::random_inputs;
use crate::range::Range;
use crate::rng::Rng;
use spadina_ir::builder::Builder;
use spadina_ir::func::{Func, Value};
use spadina_ir::op::Op;
use std::collections::HashMap;
use world::World;

/// What programs may contain.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, set by name")]
pub struct Config {
    /// Only energies (`Some(false)`), only residuals (`Some(true)`), or both.
    pub residual: Option<bool>,
    /// Most terms.
    pub terms: usize,
    /// Most operations in one expression.
    pub ops: usize,
    /// Scratch arrays that are filled and then read.
    pub stages: bool,
    /// Scratch arrays that are reset in every iteration.
    pub local_arrays: bool,
    /// `if`s and selects, on data, indices and unknowns.
    pub branches: bool,
    /// Loops whose bounds come from offsets.
    pub ragged: bool,
    /// Loops with a `State` carry.
    pub states: bool,
    /// Products, minima and maxima as loop results.
    pub reductions: bool,
    /// `abs`, `min`, `floor` and the like.
    pub kinks: bool,
    /// Nonlinear functions of a sum over everything: their Hessian is dense.
    pub global_sums: bool,
    /// Elements that read many unknowns in inner loops over a literal range, also with points of quadrature around.
    pub wide: bool,
    /// Values whose partials are given.
    pub given: bool,
    /// Conditions in and beside each other, loads that they keep in range, and maps over the grid.
    pub guards: bool,
    /// Elements of two vertices that play the same part.
    pub pairs: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            residual: None,
            terms: 3,
            ops: 6,
            stages: true,
            local_arrays: true,
            branches: true,
            ragged: true,
            states: true,
            reductions: true,
            kinks: true,
            global_sums: true,
            wide: false,
            given: false,
            guards: false,
            pairs: false,
        }
    }
}

impl Config {
    /// Energies of sums over tables and stencils, and nothing else: where every road must be sparse.
    pub fn plain_energy() -> Config {
        Config {
            residual: Some(false),
            stages: false,
            local_arrays: false,
            branches: false,
            ragged: false,
            states: false,
            reductions: false,
            kinks: false,
            global_sums: false,
            ..Config::default()
        }
    }

    /// Energies of elements with many unknowns, read in inner loops, some of them under conditions.
    pub fn wide_energy() -> Config {
        Config { wide: true, branches: true, terms: 2, ops: 4, ..Config::plain_energy() }
    }

    /// Programs of all kinds, with values whose partials are given.
    pub fn given_partials() -> Config {
        Config { given: true, ..Config::default() }
    }

    /// Programs in which conditions, maps and rows meet in every way.
    pub fn guarded() -> Config {
        Config { guards: true, terms: 2, ops: 4, ..Config::default() }
    }

    /// Energies of elements of two vertices that play the same part, beside others.
    pub fn pairs() -> Config {
        Config { pairs: true, branches: true, kinks: true, terms: 2, ops: 3, ..Config::plain_energy() }
    }

    /// Residuals over tables and stencils, and nothing else.
    pub fn plain_residual() -> Config {
        Config { residual: Some(true), ..Config::plain_energy() }
    }
}

/// A random program with random inputs: the same for the same seed and configuration.
pub fn generate(seed: u64, config: &Config) -> Case {
    let mut rng = Rng::new(seed);
    let func = random_func(&mut rng, config);
    let bindings = random_inputs(&func, &mut rng).expect("sizes of 3 fit every declaration that worlds make");
    Case { func, bindings }
}

fn random_func(rng: &mut Rng, config: &Config) -> Func {
    let residual = config.residual.unwrap_or_else(|| rng.chance(0.4));
    let mut builder = Builder::new(Func::new(if residual { "residual" } else { "energy" }));
    let world = World::declare(&mut builder, rng, config, residual);
    let mut generator = Generator { rng, config, b: builder, world, ranges: HashMap::new() };
    if config.stages {
        for _ in 0..generator.rng.below(3) {
            generator.stage();
        }
    }
    if config.guards {
        for _ in 0..generator.rng.below(3) {
            generator.cell_stage();
        }
    }
    for _ in 0..=generator.rng.below(config.terms) {
        generator.term();
    }
    generator.b.finish()
}

/// The state while a program is made.
struct Generator<'a> {
    rng: &'a mut Rng,
    config: &'a Config,
    b: Builder,
    world: World,
    /// What is known about float values; never iterated.
    ranges: HashMap<Value, Range>,
}

impl Generator<'_> {
    fn range(&self, value: Value) -> Range {
        match self.b.func().as_const(value) {
            Some(spadina_ir::func::Const::F64(x)) => Range::point(x),
            _ => self.ranges.get(&value).copied().unwrap_or(Range::new(-1.0, 1.0)),
        }
    }

    /// Notes the range of a value, or what was known before if that is narrower.
    fn note(&mut self, value: Value, range: Range) -> Value {
        let known = self.ranges.entry(value).or_insert(range);
        if range.hi - range.lo < known.hi - known.lo {
            *known = range;
        }
        value
    }

    /// `value` if it is moderate, else its `tanh`.
    fn tame(&mut self, value: Value) -> Value {
        if self.range(value).magnitude() <= 4.0 {
            return value;
        }
        let tamed = self.b.op(Op::Tanh, &[value]);
        self.note(tamed, Range::new(-1.0, 1.0))
    }
}
