//! Random shapes, streams and options against dense sums; and flat plans, read back or damaged.

mod common;

use common::{Emission, Phase, Program, Random, Work, check, row_shape, shape};
use spadina_layout::filter::Triangle;
use spadina_layout::program::{PhaseInfo, SiteInfo};
use spadina_runtime::options::{FixedRule, PrepareOptions};
use spadina_runtime::plan::Plan;

fn widths(random: &mut Random, aligned: Option<u32>) -> Vec<u32> {
    (0..=random.below(3)).map(|_| aligned.unwrap_or(1 + random.below(3) as u32)).collect()
}

/// A base position for a block of this width, on the grid of blocks when aligned.
fn base(random: &mut Random, n: usize, width: u32, aligned: Option<u32>) -> u32 {
    match aligned {
        Some(step) => step * random.below(n / step as usize) as u32,
        None => random.below(n - width as usize + 1) as u32,
    }
}

fn random_phase(random: &mut Random, n: usize, m: usize, square: bool) -> Phase {
    let trip = [0, 1, 7, 60, 1030][random.below(5)];
    let aligned = (random.below(2) == 0).then(|| 1 + random.below(3) as u32);
    let (mut sites, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(2) {
        let rows = widths(random, aligned);
        let symmetric = square && random.below(2) == 0;
        let cols = widths(random, aligned);
        let mut shape = shape(&rows, (!symmetric).then_some(&cols[..]), None);
        if random.below(3) == 0 {
            shape.entries.retain(|_| random.below(3) > 0);
        }
        let per_iteration = (random.below(2) == 0).then(|| random.below(3) as u32);
        let lists: Vec<Vec<Emission>> = (0..trip)
            .map(|_| {
                let count = per_iteration.map_or_else(|| random.below(4), |c| c as usize);
                let emission = |random: &mut Random| {
                    let mut bases: Vec<u32> = rows.iter().map(|&w| base(random, m, w, aligned)).collect();
                    if !symmetric {
                        bases.extend(cols.iter().map(|&w| base(random, n, w, aligned)));
                    }
                    let values = shape.entries.iter().map(|_| random.below(1000) as f64 / 7.0).collect();
                    Emission { bases, values }
                };
                (0..count).map(|_| emission(random)).collect()
            })
            .collect();
        sites.push(SiteInfo { site: 0, shape, per_iteration, direct: false, common: vec![] });
        streams.push(lists);
    }
    let rows = SiteInfo {
        site: 0,
        shape: row_shape(&[1]),
        per_iteration: Some(1),
        direct: false,
        common: Vec::new(),
    };
    let slopes: Vec<u32> = (0..trip).map(|_| random.below(m) as u32).collect();
    let body = move |i: usize, x: &[f64], _: &[f64]| {
        let mut emissions: Vec<Vec<Emission>> = streams.iter().map(|s| s[i].clone()).collect();
        let slope = x[i % x.len()] + i as f64;
        emissions.push(vec![Emission { bases: vec![slopes[i]], values: vec![slope] }]);
        Work { emissions, sums: vec![slope / 3.0], scratch: vec![] }
    };
    let serial = random.below(6) == 0;
    let info = PhaseInfo { sites, row_sites: vec![rows], sums: vec![0], serial, ..PhaseInfo::default() };
    Phase { trip, info, body: Box::new(body) }
}

fn random_options(random: &mut Random, n: usize, square: bool) -> PrepareOptions {
    let mut options = PrepareOptions::default();
    if random.below(3) == 0 {
        options.fixed = (0..random.below(n)).map(|_| random.below(n) as u32).collect();
    }
    if square {
        options.triangle = [Triangle::Full, Triangle::Lower, Triangle::Upper][random.below(3)];
        options.fixed_rule = [FixedRule::Drop, FixedRule::Identity][random.below(2)];
    }
    if random.below(4) == 0 {
        options.col_order = Some(random.permutation(n));
        options.row_order = if square { options.col_order.clone() } else { None };
    }
    options.entry_slots = random.below(4) == 0;
    options
}

#[test]
fn random_programs_equal_dense_sums() {
    let mut random = Random(20_251_121);
    for _ in 0..60 {
        let square = random.below(2) == 0;
        let n = 6 + random.below(60);
        let m = if square { n } else { 6 + random.below(90) };
        let phases = (0..=random.below(3)).map(|_| random_phase(&mut random, n, m, square)).collect();
        let program = Program::new(phases, m, n, square);
        let options = random_options(&mut random, n, square);
        let plan = check(&program, &options);
        round_trip(&program, &plan, &mut random);
    }
}

fn round_trip(program: &Program, plan: &Plan, random: &mut Random) {
    let words = plan.to_words();
    let again = Plan::from_words(&words, program, program.inputs()).expect("a whole plan");
    assert_eq!(again.pattern(), plan.pattern());
    assert_eq!(again.pattern().id(), plan.pattern().id());
    assert_eq!(again.sites(), plan.sites());
    assert_eq!(again.slot_layout(), plan.slot_layout());
    let x = vec![0.25; program.cols];
    assert_eq!(program.evaluate(&again, 2, &x), program.evaluate(plan, 1, &x));
    let mut damaged = words.clone();
    damaged[random.below(words.len())] ^= 1 << random.below(64);
    assert!(Plan::from_words(&damaged, program, program.inputs()).is_err());
    let cut = &words[..random.below(words.len())];
    assert!(Plan::from_words(cut, program, program.inputs()).is_err());
}
