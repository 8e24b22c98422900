//! Whole programs through prepare and evaluate, compared with dense sums, on 1, 2, 3 and 8 threads.

mod common;

use common::{Emission, Phase, Program, Random, Work, check, row_shape, shape};
use spadina_layout::filter::Triangle;
use spadina_layout::program::{PhaseInfo, SiteInfo};
use spadina_layout::site::{SiteShape, SlotMode, SlotWidth};
use spadina_runtime::error::RuntimeError;
use spadina_runtime::options::{FixedRule, PrepareOptions};
use spadina_runtime::team::Team;
use spadina_runtime::workspace::Workspace;

fn site(shape: SiteShape, per_iteration: Option<u32>) -> SiteInfo {
    SiteInfo { site: 0, shape, per_iteration, direct: false, common: vec![] }
}

/// Values that depend on the iteration, the local entry and the unknowns.
fn value(i: usize, k: usize, x: &[f64]) -> f64 {
    let at = (7 * i + k) % x.len().max(1);
    (i as f64 + 1.3 * k as f64).cos() + x.get(at).copied().unwrap_or(0.0) / 3.0
}

/// An energy over elements whose corners are blocks of `width` unknowns: Hessian blocks, gradient, one sum.
fn elements(corners: Vec<Vec<u32>>, width: u32, size: usize, n: usize) -> Program {
    let shape = shape(&vec![width; size], None, None);
    let count = shape.entries.len();
    let rows = row_shape(&vec![width; size]);
    let trip = corners.len();
    let body = move |i: usize, x: &[f64], _: &[f64]| {
        let bases: Vec<u32> = corners[i].iter().map(|v| v * width).collect();
        let values = (0..count).map(|k| value(i, k, x)).collect();
        let slopes = (0..size * width as usize).map(|k| value(i, k + 5, x)).collect();
        Work {
            emissions: vec![
                vec![Emission { bases: bases.clone(), values }],
                vec![Emission { bases, values: slopes }],
            ],
            sums: vec![value(i, 1, x)],
            scratch: Vec::new(),
        }
    };
    let info = PhaseInfo {
        sites: vec![site(shape, Some(1))],
        row_sites: vec![site(rows, Some(1))],
        sums: vec![0],
        ..PhaseInfo::default()
    };
    Program::new(vec![Phase { trip, info, body: Box::new(body) }], n, n, true)
}

fn springs(n: usize, width: u32) -> Program {
    let edges = (0..n - 1).map(|i| vec![i as u32, i as u32 + 1]).collect();
    elements(edges, width, 2, n * width as usize)
}

/// A grid of triangles, with some whose vertices coincide.
fn triangles(side: usize, degenerate: bool) -> Program {
    let vertex = |i: usize, j: usize| (i * (side + 1) + j) as u32;
    let mut faces = Vec::new();
    for i in 0..side {
        for j in 0..side {
            faces.push(vec![vertex(i, j), vertex(i + 1, j), vertex(i, j + 1)]);
            faces.push(vec![vertex(i + 1, j), vertex(i + 1, j + 1), vertex(i, j + 1)]);
        }
    }
    if degenerate {
        faces.push(vec![0, 0, 1]);
        faces.push(vec![2, 2, 2]);
        faces.insert(1, vec![3, 1, 3]);
    }
    elements(faces, 2, 3, 2 * (side + 1) * (side + 1))
}

/// For every vertex a ring of neighbors, with repeats: one emission per neighbor, and a scalar term.
fn rings(n: usize) -> Program {
    let neighbors = move |v: usize| -> Vec<u32> {
        let ring = [1, 5, 1, 0, 11, 5];
        ring[..v % 7 % 6].iter().map(|d| ((v + d) % n) as u32).collect()
    };
    let pair = shape(&[3, 3], None, None);
    let (count, rows) = (pair.entries.len(), row_shape(&[3]));
    let body = move |i: usize, x: &[f64], _: &[f64]| {
        let ring = neighbors(i);
        let matrix = ring.iter().enumerate().map(|(r, &w)| Emission {
            bases: vec![3 * i as u32, 3 * w],
            values: (0..count).map(|k| value(i, k + 31 * r, x)).collect(),
        });
        let slopes = ring.iter().enumerate().map(|(r, &w)| Emission {
            bases: vec![3 * w],
            values: (0..3).map(|k| value(i, k + 17 * r, x)).collect(),
        });
        Work {
            emissions: vec![matrix.collect(), slopes.collect()],
            sums: vec![value(i, 2, x)],
            scratch: vec![],
        }
    };
    let info = PhaseInfo {
        sites: vec![site(pair, None)],
        row_sites: vec![site(rows, None)],
        sums: vec![0],
        ..PhaseInfo::default()
    };
    Program::new(vec![Phase { trip: n, info, body: Box::new(body) }], 3 * n, 3 * n, true)
}

/// A scalar unknown (the last) in every element.
fn arrow(n: usize) -> Program {
    let shape = shape(&[3, 1], None, None);
    let count = shape.entries.len();
    let body = move |i: usize, x: &[f64], _: &[f64]| Work {
        emissions: vec![vec![Emission {
            bases: vec![3 * i as u32, 3 * n as u32],
            values: (0..count).map(|k| value(i, k, x)).collect(),
        }]],
        sums: vec![value(i, 0, x)],
        scratch: vec![],
    };
    let info = PhaseInfo {
        sites: vec![site(shape, Some(1))],
        row_sites: vec![],
        sums: vec![0],
        serial: false,
        ..PhaseInfo::default()
    };
    Program::new(vec![Phase { trip: n, info, body: Box::new(body) }], 3 * n + 1, 3 * n + 1, true)
}

#[test]
fn springs_have_block_records() {
    let plan = check(&springs(700, 3), &PrepareOptions::default());
    assert_eq!(plan.slot_layout().mode, SlotMode::Block);
    assert_eq!(plan.slot_layout().width, SlotWidth::U8);
    assert_eq!(plan.slot_bytes(), 699 * 4);
    assert_eq!(plan.pattern().nnz(), 9 * (700 + 2 * 699));
    check(&springs(3000, 3), &PrepareOptions::default());
}

#[test]
fn entry_records_say_the_same() {
    let options =
        PrepareOptions { entry_slots: true, min_width: Some(SlotWidth::U16), ..PrepareOptions::default() };
    let plan = check(&springs(50, 3), &options);
    assert_eq!((plan.slot_layout().mode, plan.slot_layout().width), (SlotMode::Entry, SlotWidth::U16));
}

#[test]
fn triangles_with_coincident_vertices() {
    for degenerate in [false, true] {
        let program = triangles(25, degenerate);
        check(&program, &PrepareOptions::default());
        for triangle in [Triangle::Lower, Triangle::Upper] {
            let plan = check(&program, &PrepareOptions { triangle, ..PrepareOptions::default() });
            assert!(plan.slot_layout().drops);
        }
    }
}

#[test]
fn fixed_unknowns_go_or_become_identity() {
    let program = triangles(12, true);
    let whole = vec![0, 1, 2, 3, 100, 101, 336, 337];
    let second: Vec<u32> = (0..40).map(|v| 4 * v + 1).collect();
    for fixed in [whole, second, (0..338).collect(), vec![7, 7]] {
        for fixed_rule in [FixedRule::Drop, FixedRule::Identity] {
            for triangle in [Triangle::Full, Triangle::Lower] {
                let fixed = fixed.clone();
                let options = PrepareOptions { fixed, fixed_rule, triangle, ..PrepareOptions::default() };
                check(&program, &options);
            }
        }
    }
}

#[test]
fn orders_renumber_rows_and_columns() {
    let mut random = Random(3);
    let program = triangles(15, true);
    let by_vertex: Vec<u32> = random.permutation(256).iter().flat_map(|&v| [2 * v, 2 * v + 1]).collect();
    let plan = check(&program, &with_order(by_vertex, vec![]));
    assert_eq!(plan.slot_layout().mode, SlotMode::Block);
    let torn = random.permutation(512);
    check(&program, &with_order(torn.clone(), vec![]));
    check(&program, &with_order(torn, vec![5, 9, 300]));
}

fn with_order(order: Vec<u32>, fixed: Vec<u32>) -> PrepareOptions {
    let order = Some(order);
    PrepareOptions { row_order: order.clone(), col_order: order, fixed, ..PrepareOptions::default() }
}

#[test]
fn rings_with_repeated_neighbors() {
    check(&rings(12), &PrepareOptions::default());
    check(&rings(1500), &PrepareOptions::default());
    check(&rings(400), &PrepareOptions { triangle: Triangle::Lower, ..PrepareOptions::default() });
}

#[test]
fn arrow_with_a_scalar_unknown() {
    let plan = check(&arrow(40), &PrepareOptions::default());
    assert_eq!(plan.slot_layout().width, SlotWidth::U8);
    let plan = check(&arrow(1200), &PrepareOptions::default());
    assert_eq!(plan.slot_layout().mode, SlotMode::Block);
    assert_eq!(plan.slot_layout().width, SlotWidth::U16);
    let plan = check(&arrow(22_000), &PrepareOptions::default());
    assert_eq!(plan.slot_layout().width, SlotWidth::U32);
}

/// A stencil whose local unknowns are consecutive but overlap from element to element.
#[test]
fn overlapping_blocks_fall_back_to_entries() {
    let n = 2500;
    let shape = shape(&[3], None, None);
    let body = |i: usize, x: &[f64], _: &[f64]| Work {
        emissions: vec![vec![Emission {
            bases: vec![i as u32],
            values: (0..6).map(|k| value(i, k, x)).collect(),
        }]],
        ..Work::default()
    };
    let info = PhaseInfo {
        sites: vec![site(shape, Some(1))],
        row_sites: vec![],
        sums: vec![],
        serial: false,
        ..PhaseInfo::default()
    };
    let phase = Phase { trip: n - 2, info, body: Box::new(body) };
    let plan = check(&Program::new(vec![phase], n, n, true), &PrepareOptions::default());
    assert_eq!(plan.slot_layout().mode, SlotMode::Entry);
}

/// Scratch written by a serial phase and read by the next; a Jacobian whose rows and columns differ; a site with a hole;
/// two rank-0 outputs that phases share.
#[test]
fn several_phases_and_sites() {
    let (m, n) = (300, 200);
    let first =
        PhaseInfo { sites: vec![], row_sites: vec![], sums: vec![1], serial: true, ..PhaseInfo::default() };
    let fill = |i: usize, x: &[f64], _: &[f64]| Work {
        emissions: vec![],
        sums: vec![x[i]],
        scratch: vec![(i, x[i] * x[i])],
    };
    let hole = shape(&[2, 1], Some(&[1, 2]), Some(vec![(0, 0), (2, 2), (1, 1), (2, 0)]));
    let full = shape(&[1], Some(&[2]), None);
    let second = PhaseInfo {
        sites: vec![site(hole, None), site(full, Some(2))],
        row_sites: vec![site(row_shape(&[1]), Some(1))],
        sums: vec![0, 1],
        ..PhaseInfo::default()
    };
    let body = move |i: usize, x: &[f64], scratch: &[f64]| {
        let (r, c) = ((i % 99) as u32, (i * i % 180) as u32);
        let s = scratch[i % 200];
        let guarded = Emission {
            bases: vec![r, r + 150, c, c + 10],
            values: (0..4).map(|k| value(i, k, x) + s).collect(),
        };
        let plain = |k: usize| Emission { bases: vec![r + 200, c + 3], values: vec![s, value(i, k, x)] };
        Work {
            emissions: vec![
                vec![guarded; usize::from(i.is_multiple_of(3))],
                vec![plain(0), plain(1)],
                vec![Emission { bases: vec![r], values: vec![s] }],
            ],
            sums: vec![s, value(i, 9, x)],
            scratch: vec![],
        }
    };
    let single = PhaseInfo {
        sites: vec![site(shape(&[1], Some(&[1]), None), Some(1))],
        row_sites: vec![],
        sums: vec![0],
        ..PhaseInfo::default()
    };
    let lone = |_: usize, x: &[f64], _: &[f64]| Work {
        emissions: vec![vec![Emission { bases: vec![299, 0], values: vec![x[3]] }]],
        sums: vec![x[0]],
        scratch: vec![],
    };
    let phases = vec![
        Phase { trip: n, info: first, body: Box::new(fill) },
        Phase { trip: 5000, info: second, body: Box::new(body) },
        Phase { trip: 1, info: single, body: Box::new(lone) },
        Phase {
            trip: 0,
            info: PhaseInfo {
                sites: vec![],
                row_sites: vec![],
                sums: vec![0],
                serial: false,
                ..PhaseInfo::default()
            },
            body: Box::new(|_, _, _| Work::default()),
        },
    ];
    let program = Program::new(phases, m, n, false);
    check(&program, &PrepareOptions::default());
    check(&program, &PrepareOptions { fixed: vec![0, 3, 17, 18, 19], ..PrepareOptions::default() });
}

#[test]
fn nothing_to_do() {
    check(&elements(vec![], 3, 2, 0), &PrepareOptions::default());
    let plan = check(&elements(vec![], 3, 2, 30), &PrepareOptions::default());
    assert_eq!((plan.pattern().rows(), plan.pattern().nnz()), (30, 0));
    check(&Program::new(vec![], 0, 0, true), &PrepareOptions::default());
}

#[test]
fn badly_numbered_meshes_are_renumbered_for_threads() {
    let side = 60;
    let names = Random(11).permutation((side + 1) * (side + 1));
    let vertex = |i: usize, j: usize| names[i * (side + 1) + j];
    let faces = (0..side * side).map(|k| (k / side, k % side));
    let faces = faces.map(|(i, j)| vec![vertex(i, j), vertex(i + 1, j), vertex(i, j + 1)]).collect();
    let program = elements(faces, 2, 3, 2 * (side + 1) * (side + 1));
    let plan = check(&program, &PrepareOptions::default());
    let workspace = Workspace::new(&plan, &program, 3).unwrap();
    let partition = workspace.partition().unwrap();
    assert!(partition.ranges.is_none() && partition.duplication < 1.15, "{}", partition.duplication);
}

#[test]
fn refusals_name_the_culprit() {
    let program = elements(vec![vec![0, 1], vec![4, 10]], 3, 2, 30);
    let error = program.prepare(&PrepareOptions::default()).unwrap_err();
    assert!(matches!(error, RuntimeError::Subscript { index: 30, bound: 30, .. }), "{error}");
    // The base is inside, but the block is not.
    let program = elements(vec![vec![0, 1]], 3, 2, 5);
    assert!(matches!(program.prepare(&PrepareOptions::default()), Err(RuntimeError::Layout(_))));
    let program = springs(10, 3);
    let wrong = PrepareOptions { fixed: vec![30], ..PrepareOptions::default() };
    assert!(matches!(program.prepare(&wrong), Err(RuntimeError::Options(_))));
    assert!(matches!(program.prepare(&with_order(vec![0; 30], vec![])), Err(RuntimeError::Options(_))));
    let mut inputs = program.inputs();
    inputs.buffers[0].dims = vec![1 << 40, 1 << 40];
    let error =
        spadina_runtime::prepare::prepare(&program, inputs, &PrepareOptions::default(), Team::default())
            .unwrap_err();
    assert_eq!(error, RuntimeError::Overflow { buffer: "x".into() });
    let mut inputs = program.inputs();
    inputs.buffers[1].dims = vec![3, -2];
    let error =
        spadina_runtime::prepare::prepare(&program, inputs, &PrepareOptions::default(), Team::default())
            .unwrap_err();
    assert_eq!(error, RuntimeError::NegativeSize { buffer: "gradient".into(), axis: 1, size: -2 });
}
