//! Random functions are well-formed, finite, reproducible, cover every construct, and survive their text.

use spadina_ir::func::{Carry, Func, InstData};
use spadina_ir::op::Op;
use spadina_ir::walk::visit_insts;
use spadina_testkit::case::Case;
use spadina_testkit::check::{finite, text_round_trips, well_formed};
use spadina_testkit::generate::{Config, generate};
use spadina_testkit::inputs::random_inputs;
use spadina_testkit::numeric::{compare_with_estimates, jacobian};
use spadina_testkit::rng::Rng;
use spadina_testkit::shrink::shrink;
use std::collections::BTreeSet;

const SEEDS: u64 = 800;

/// Fails with the smallest case that breaks the property.
fn hold(seed: u64, case: &Case, property: fn(&Case) -> Result<(), String>) {
    if let Err(what) = property(case) {
        let small = shrink(case, &mut |candidate| property(candidate).is_err());
        let small_what = property(&small).err().unwrap_or_default();
        panic!("seed {seed}: {what}\nshrunk: {small_what}\n{small}");
    }
}

#[test]
fn they_are_well_formed_and_finite_and_survive_their_text() {
    let configs = [Config::default(), Config::guarded()];
    for (seed, config) in (0..SEEDS).flat_map(|seed| configs.iter().map(move |config| (seed, config))) {
        let case = generate(seed, config);
        if let Err(violations) = well_formed(&case) {
            panic!("seed {seed}: {violations}\n{case}");
        }
        hold(seed, &case, |case| finite(case).map(|_| ()));
        hold(seed, &case, text_round_trips);
    }
}

#[test]
fn other_inputs_fit_as_well() {
    for seed in 0..200 {
        let mut case = generate(seed, &[Config::default(), Config::guarded()][(seed % 2) as usize]);
        let mut rng = Rng::new(!seed);
        for _ in 0..5 {
            case.bindings = random_inputs(&case.func, &mut rng).unwrap();
            hold(seed, &case, |case| finite(case).map(|_| ()));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_case() {
    for seed in 0..50 {
        let (a, b) = (generate(seed, &Config::default()), generate(seed, &Config::default()));
        assert_eq!(a.to_string(), b.to_string());
    }
}

/// Names of the constructs in a function.
fn constructs(func: &Func) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit_insts(func, func.body, &mut |region, inst| {
        let nested = if region == func.body { "" } else { "nested " };
        let name = match &func.insts[inst] {
            InstData::Op(op, _) => op.name().to_owned(),
            InstData::Loop { carries, .. } if carries.is_empty() => format!("{nested}loop"),
            InstData::Loop { carries, .. } => match carries[0] {
                Carry::Sum => format!("{nested}sum"),
                Carry::Prod => "prod".to_owned(),
                Carry::Min => "min loop".to_owned(),
                Carry::Max => "max loop".to_owned(),
                Carry::State(_) => "state".to_owned(),
            },
            InstData::If { .. } if func.results[inst].is_empty() => "if for effect".to_owned(),
            InstData::If { .. } => "if".to_owned(),
            InstData::Accum(..) => format!("{nested}accum"),
            InstData::Reset(..) => "reset".to_owned(),
            InstData::Const(_)
            | InstData::Size(_)
            | InstData::Load(..)
            | InstData::Position(..)
            | InstData::Check(..)
            | InstData::Emit(_) => return,
        };
        found.insert(name);
    });
    found
}

#[test]
fn every_construct_and_almost_every_operation_occurs() {
    let mut found = BTreeSet::new();
    for seed in 0..SEEDS {
        found.extend(constructs(&generate(seed, &Config::default()).func));
    }
    for construct in [
        "sum",
        "nested sum",
        "nested loop",
        "loop",
        "prod",
        "min loop",
        "max loop",
        "state",
        "if",
        "if for effect",
        "reset",
        "accum",
        "nested accum",
    ] {
        assert!(found.contains(construct), "no {construct}");
    }
    // Discrete operations that no generated index or condition needs, and those that differences cannot follow.
    let absent = [
        Op::StopGradient,
        Op::Hidden,
        Op::Attach,
        Op::ProjectClamp,
        Op::ProjectAbs,
        Op::FloatToInt,
        Op::Narrow,
        Op::FloatEq,
        Op::FloatNe,
        Op::IntDiv,
        Op::IntMul,
        Op::IntMin,
        Op::IntMax,
        Op::IntSub,
    ];
    for op in Op::ALL.iter().filter(|op| !absent.contains(op)) {
        assert!(found.contains(op.name()), "no `{}`", op.name());
    }
}

#[test]
fn plain_configurations_hold_nothing_fancy() {
    let fancy =
        ["prod", "min loop", "max loop", "state", "if", "if for effect", "reset", "select", "abs", "floor"];
    for seed in 0..200 {
        for config in [Config::plain_energy(), Config::plain_residual()] {
            let case = generate(seed, &config);
            let found = constructs(&case.func);
            assert!(fancy.iter().all(|name| !found.contains(*name)), "{case}");
            assert_eq!(case.func.name == "residual", config.residual == Some(true));
        }
    }
}

/// Two differences with other steps agree on most entries: the programs are as smooth as they should be.
#[test]
fn differences_of_smooth_programs_are_reliable() {
    let (mut compared, mut all) = (0, 0);
    for seed in 0..80 {
        let case = generate(seed, &Config { branches: false, kinks: false, ..Config::default() });
        let difference = jacobian(&case, &case.func.rows, &case.func.columns).unwrap();
        assert_eq!(difference.entries.len(), difference.rows * difference.cols);
        let values: Vec<f64> = difference.entries.iter().map(|estimate| estimate.value).collect();
        all += values.len();
        compared += compare_with_estimates(&difference.entries, &values).unwrap();
        let worst = difference.entries.iter().map(|estimate| estimate.error).fold(0.0, f64::max);
        let scale = values.iter().fold(1.0_f64, |scale, x| scale.max(x.abs()));
        assert!(worst < 1e-3 * scale, "seed {seed}: error {worst:e} at scale {scale:e}\n{case}");
    }
    assert!(all > 200 && compared == all, "{compared} of {all}");
}

#[test]
fn shrinking_keeps_the_failure_and_little_else() {
    let has_sine = |case: &Case| constructs(&case.func).contains("sin");
    let mut shrunk = 0;
    for seed in 0..200 {
        let case = generate(seed, &Config::default());
        if !has_sine(&case) {
            continue;
        }
        let small = shrink(&case, &mut |candidate| has_sine(candidate));
        assert!(has_sine(&small) && well_formed(&small).is_ok());
        let lines = small.func.to_string().lines().filter(|line| line.contains('%')).count();
        assert!(lines <= 8, "seed {seed}\n{small}");
        shrunk += 1;
        if shrunk == 20 {
            return;
        }
    }
    panic!("only {shrunk} programs with a sine");
}
