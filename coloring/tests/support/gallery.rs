//! The patterns on which colorings are compared with other software, by name: meshes, grids, bands, networks, random ones.
//!
//! They are those of `../shared/reference/coloring/gen.py`, entry by entry, built again. Random ones come from splitmix64.
#![allow(dead_code, clippy::unwrap_used)]

use super::Rng;
use spadina_coloring::pattern::Pattern;
use std::collections::BTreeSet;
use std::path::Path;

/// Every name, smaller patterns of a kind first.
pub(crate) const NAMES: &[&str] = &[
    "arrow_first_1000",
    "arrow_last_1000",
    "arrow_first_100000",
    "garrow_1000x1000",
    "frame_10x20",
    "frame_1000x2000",
    "band_5000_rho10",
    "band_5000_rho20",
    "band_10000_rho10",
    "band_10000_rho20",
    "band_20000_rho10",
    "band_20000_rho20",
    "diff_1000",
    "diffrev_1000",
    "conv5x5_28",
    "brusselator_6",
    "brusselator_12",
    "brusselator_24",
    "brusselator_32",
    "brusselator_48",
    "brusselator_96",
    "brusselator_100",
    "brusselator_192",
    "lap2d_5pt_30",
    "lap2d_5pt_300",
    "lap2d_9pt_300",
    "lap3d_7pt_40",
    "trimesh_100_dof1",
    "trimesh_100_dof2",
    "trimesh_100_dof2_blocked",
    "trimesh_100_dof3",
    "hinge_100_dof3",
    "tetmesh_16_dof3",
    "randsym_1000_deg2",
    "randsym_1000_deg5",
    "randsym_1000_deg10",
    "randsym_100000_deg2",
    "randsym_100000_deg5",
    "randsym_100000_deg10",
    "randrect_1000x1500_4perrow",
    "randrect_50000x75000_5perrow",
    "randrect_75000x50000_5perrow",
    "randrect_2000_dense5",
    "opfhess_3_lmbd",
    "opfhess_60_c",
    "opfhess_240_pserc",
    "opfhess_1951_rte",
    "opfhess_3375wp_k",
];

/// The pattern of this name; `None` where it needs a case file that is not beside the checkout.
pub(crate) fn named(name: &str) -> Option<Pattern> {
    if let Some(case) = name.strip_prefix("opfhess_") {
        return power_flow(case);
    }
    let numbers: Vec<usize> = name
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap())
        .collect();
    let family = name.split('_').next().unwrap_or_default();
    Some(match (family, &numbers[..]) {
        ("arrow", &[n]) => arrow(n, name.contains("last")),
        ("garrow", &[m, n]) => {
            let diagonal = (0..m.min(n)).map(|i| (i, i));
            pattern(m, n, diagonal.chain((0..m).map(|i| (i, 0))).chain((0..n).map(|j| (0, j))))
        }
        ("frame", &[m, n]) => {
            let rows = (0..n).flat_map(|j| [(0, j), (m - 1, j)]);
            pattern(m, n, rows.chain((0..m).flat_map(|i| [(i, 0), (i, n - 1)])))
        }
        ("band", &[n, rho]) => {
            symmetric(n, (0..n).flat_map(|i| (i..(i + rho / 2 + 1).min(n)).map(move |j| (i, j))))
        }
        ("diff", &[n]) => pattern(n - 1, n, (0..n - 1).flat_map(|i| [(i, i), (i, i + 1)])),
        ("diffrev", &[n]) => {
            let row = |i: usize| [i, i + 1, n - 1 - i, n - 2 - i].map(|j| (i, j));
            pattern(n - 1, n, (0..n - 1).flat_map(row))
        }
        ("conv5x5", &[_, _, n]) => {
            let cells = (n - 4) * (n - 4);
            let row = |r: usize| (0..25).map(move |k| (r, (r / (n - 4) + k / 5) * n + r % (n - 4) + k % 5));
            pattern(cells, n * n, (0..cells).flat_map(row))
        }
        ("brusselator", &[n]) => brusselator(n),
        ("lap2d", &[_, points, k]) => grid([k, k, 1], points == 9),
        ("lap3d", &[_, _, k]) => grid([k, k, k], false),
        ("trimesh", &[k, dof]) => cliques(k * k, triangles(k), dof, name.ends_with("blocked")),
        ("hinge", &[k, dof]) => cliques(k * k, hinges(k), dof, false),
        ("tetmesh", &[k, dof]) => cliques(k * k * k, tetrahedra(k), dof, false),
        ("randsym", &[n, degree]) => random_by_degree(n, degree),
        ("randrect", &[n, 5]) => dense_rows_and_columns(n),
        ("randrect", &[m, n, per_row]) => {
            let mut rng = Rng((99 + m + n + per_row) as u64);
            let entries: Vec<_> = (0..m * per_row).map(|k| (k / per_row, below(&mut rng, n))).collect();
            pattern(m, n, entries)
        }
        _ => panic!("{name} is no pattern of the gallery"),
    })
}

fn pattern(m: usize, n: usize, entries: impl IntoIterator<Item = (usize, usize)>) -> Pattern {
    let entries: Vec<_> = entries.into_iter().map(|(i, j)| (i as u32, j as u32)).collect();
    Pattern::from_entries(m, n, &entries).unwrap()
}

/// The pairs in both directions.
fn symmetric(n: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Pattern {
    pattern(n, n, pairs.into_iter().flat_map(|(i, j)| [(i, j), (j, i)]))
}

fn below(rng: &mut Rng, n: usize) -> usize {
    ((u128::from(rng.next()) * n as u128) >> 64) as usize
}

/// One full row and column, and the diagonal.
fn arrow(n: usize, is_last: bool) -> Pattern {
    let full = if is_last { n - 1 } else { 0 };
    symmetric(n, (0..n).flat_map(|i| [(i, i), (i, full)]))
}

/// Finite differences on a box; with the diagonals of the plane if asked.
fn grid([nx, ny, nz]: [usize; 3], with_diagonals: bool) -> Pattern {
    let pairs = (0..nx * ny * nz).flat_map(|v| {
        let (x, y, z) = (v % nx, v / nx % ny, v / (nx * ny));
        let right = (x + 1 < nx).then_some(v + 1);
        let up = (y + 1 < ny).then_some(v + nx);
        let back = (z + 1 < nz).then_some(v + nx * ny);
        let rising = (with_diagonals && x + 1 < nx && y + 1 < ny).then_some(v + nx + 1);
        let falling = (with_diagonals && x > 0 && y + 1 < ny).then(|| v + nx - 1);
        [Some(v), right, up, back, rising, falling].into_iter().flatten().map(move |w| (v, w))
    });
    symmetric(nx * ny * nz, pairs)
}

/// Two reacting quantities on a periodic grid.
fn brusselator(n: usize) -> Pattern {
    let index = move |i: usize, j: usize, c: usize| (c * n + j % n) * n + i % n;
    let at = move |i: usize, j: usize, c: usize| {
        let cells =
            [(i, j, c), (i + 1, j, c), (i + n - 1, j, c), (i, j + 1, c), (i, j + n - 1, c), (i, j, 1 - c)];
        cells.map(|(a, b, d)| (index(i, j, c), index(a, b, d)))
    };
    let entries = (0..n).flat_map(|j| (0..n).flat_map(move |i| [at(i, j, 0), at(i, j, 1)]));
    pattern(2 * n * n, 2 * n * n, entries.flatten())
}

/// All pairs within each group of vertices, `dof` unknowns a vertex: vertex by vertex, or one kind after the other.
fn cliques<const K: usize>(
    n: usize,
    groups: impl IntoIterator<Item = [usize; K]>,
    dof: usize,
    is_blocked: bool,
) -> Pattern {
    let blocks = groups.into_iter().flat_map(|g| g.into_iter().flat_map(move |a| g.map(|b| (a, b))));
    let blocks = pattern(n, n, blocks);
    let unknown = |v: usize, c: usize| if is_blocked { c * n + v } else { dof * v + c };
    let scalars = blocks
        .entries()
        .flat_map(|(a, b)| (0..dof * dof).map(move |k| (unknown(a, k / dof), unknown(b, k % dof))));
    pattern(dof * n, dof * n, scalars)
}

/// A square grid of `k` by `k` vertices, its cells cut along one diagonal.
fn triangles(k: usize) -> Vec<[usize; 3]> {
    let cell = move |x: usize, y: usize| {
        let a = y * k + x;
        [[a, a + 1, a + k + 1], [a, a + k + 1, a + k]]
    };
    (0..k - 1).flat_map(|y| (0..k - 1).flat_map(move |x| cell(x, y))).collect()
}

/// The four vertices around each edge between two triangles.
fn hinges(k: usize) -> Vec<[usize; 4]> {
    let mut sides: Vec<([usize; 2], usize)> = (triangles(k).into_iter())
        .flat_map(|[a, b, c]| [(a, b, c), (b, c, a), (c, a, b)])
        .map(|(a, b, opposite)| ([a.min(b), a.max(b)], opposite))
        .collect();
    sides.sort_unstable();
    let inner = sides.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    inner.map(|pair| [pair[0].0[0], pair[0].0[1], pair[0].1, pair[1].1]).collect()
}

/// A cube of vertices, each cell cut into the six paths from corner to corner.
fn tetrahedra(k: usize) -> Vec<[usize; 4]> {
    let corner = move |at: [usize; 3]| (at[2] * k + at[1]) * k + at[0];
    let paths = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let side = 0..k - 1;
    let cells = side.clone().flat_map(|z| {
        let side = side.clone();
        side.clone().flat_map(move |y| side.clone().map(move |x| [x, y, z]))
    });
    let cut = move |cell: [usize; 3]| {
        paths.map(|path| {
            let mut at = cell;
            let mut step = |axis: usize| {
                at[axis] += 1;
                corner(at)
            };
            [corner(cell), step(path[0]), step(path[1]), step(path[2])]
        })
    };
    cells.flat_map(cut).collect()
}

/// Symmetric with a full diagonal and `n * degree / 2` random pairs.
fn random_by_degree(n: usize, degree: usize) -> Pattern {
    let mut rng = Rng((1234 + n + degree) as u64);
    let mut lower = BTreeSet::new();
    while lower.len() < n * degree / 2 {
        let (a, b) = (below(&mut rng, n), below(&mut rng, n));
        if a != b {
            lower.insert((a.max(b), a.min(b)));
        }
    }
    symmetric(n, (0..n).map(|i| (i, i)).chain(lower))
}

/// Three random entries a row, and five full rows and columns.
fn dense_rows_and_columns(n: usize) -> Pattern {
    let mut rng = Rng(7);
    let sparse: Vec<_> = (0..3 * n).map(|k| (k / 3, below(&mut rng, n))).collect();
    let full = (0..n).flat_map(|i| (0..5).flat_map(move |j| [(i, j), (j, i)]));
    pattern(n, n, sparse.into_iter().chain(full))
}

/// Hessian of the Lagrangian of an optimal power flow, of a case file beside the checkout.
#[allow(clippy::print_stderr)]
fn power_flow(case: &str) -> Option<Pattern> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/data/power/pglib_opf_case{case}.m"));
    let text = std::fs::read_to_string(&file).ok();
    if text.is_none() {
        eprintln!("skipped: {} is missing", file.display());
    }
    text.map(|text| power_flow_hessian(&text))
}

/// Unknowns: angles and magnitudes of the buses in order of their numbers, two of each generator, four of each branch.
fn power_flow_hessian(text: &str) -> Pattern {
    let table = |name: &str| -> Vec<Vec<f64>> {
        let start =
            text.find(&format!("mpc.{name} = [")).or_else(|| text.find(&format!("mpc.{name}=["))).unwrap();
        let body = text[start..].split_once('[').unwrap().1.split_once(']').unwrap().0;
        let lines =
            body.lines().map(|line| line.split('%').next().unwrap_or_default().trim().trim_end_matches(';'));
        let row = |line: &str| line.split_whitespace().map(|x| x.parse().unwrap()).collect();
        lines.filter(|line| !line.is_empty()).map(row).collect()
    };
    let mut buses: Vec<usize> =
        table("bus").iter().filter(|r| r[1] as usize != 4).map(|r| r[0] as usize).collect();
    buses.sort_unstable();
    let bus = |number: f64| buses.binary_search(&(number as usize)).ok();
    let generators = table("gen").iter().filter(|r| r[7] > 0.0 && bus(r[0]).is_some()).count();
    let branches: Vec<(usize, usize)> = (table("branch").iter().filter(|r| r[10] > 0.0))
        .filter_map(|r| Some((bus(r[0])?, bus(r[1])?)))
        .collect();
    let b = buses.len();
    let n = 2 * b + 2 * generators + 4 * branches.len();
    let costs = 2 * b..2 * b + generators;
    let diagonal = (b..2 * b).chain(costs).chain(2 * b + 2 * generators..n).map(|v| (v, v));
    let blocks = branches.iter().flat_map(|&(from, to)| {
        let unknowns = [from, to, b + from, b + to];
        unknowns.into_iter().flat_map(move |x| unknowns.map(|y| (x, y)))
    });
    pattern(n, n, diagonal.chain(blocks))
}
