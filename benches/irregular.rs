//! AC optimal power flow and bundle adjustment against loops written by hand in the same run: matrix values into a fixed pattern, one
//! thread.
//!
//! `cargo bench --bench irregular [-- CASE.m]`: the Hessian of the Lagrangian of a network of the Power Grid Library (`case3375wp_k`, read from
//! `../shared/data/power`; without it, of a ring that is made up), and the Jacobian of 50,000 observations that are made up. Ours and theirs
//! take turns; medians and ratios, and what compiling and preparing cost.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../examples/acopf/case.rs"]
mod case;
#[path = "support/mod.rs"]
mod support;

use case::Case;
use spadina::inputs::Inputs;
use spadina::options::{Derivative, Options};
use spadina::problem::{Evaluation, Problem};
use spadina_io::array::{Array, Data};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;
use support::{costs, median, prepare_with};

const ROUNDS: usize = 31;
/// Relative to the largest entry: the loops add in another order.
const TOLERANCE: f64 = 1e-12;

fn floats(inputs: &Inputs, name: &str) -> Vec<f64> {
    inputs.get(name).unwrap().to_f64(name).unwrap().into_owned()
}

fn numbers(inputs: &Inputs, name: &str) -> Vec<usize> {
    inputs.get(name).unwrap().to_usize(name).unwrap()
}

fn parted<T: Copy>(list: &[T], parts: usize) -> Vec<Vec<T>> {
    list.chunks((list.len() / parts).max(1)).map(<[T]>::to_vec).collect()
}

/// The Hessian of the Lagrangian of a network, branch by branch.
struct Power {
    va: Vec<f64>,
    vm: Vec<f64>,
    ends: Vec<[usize; 2]>,
    /// Coefficients of the four flows of each branch.
    flow: Vec<[[f64; 3]; 4]>,
    y_flow: Vec<[f64; 4]>,
    y_limit: Vec<[f64; 2]>,
    /// Multipliers of the balances, shunts.
    buses: Vec<[f64; 4]>,
    c2: Vec<f64>,
    /// Where the entries of each branch lie: by (angle, angle, magnitude, magnitude) twice.
    slots: Vec<[[u32; 4]; 4]>,
    limits: Vec<[u32; 4]>,
    of_buses: Vec<u32>,
    of_costs: Vec<u32>,
}

impl Power {
    fn new(inputs: &Inputs, problem: &Problem) -> Power {
        let (fr, to) = (numbers(inputs, "fr"), numbers(inputs, "to"));
        let (va, vm) = (floats(inputs, "va"), floats(inputs, "vm"));
        let (buses, generators, branches) = (va.len(), floats(inputs, "pg").len(), fr.len());
        let find = |row: usize, col: usize| problem.pattern().find(row, col as u32).unwrap() as u32;
        let ends: Vec<[usize; 2]> = fr.iter().zip(&to).map(|(&f, &t)| [f, t]).collect();
        let slots = ends.iter().map(|&[f, t]| {
            let unknowns = [f, t, buses + f, buses + t];
            unknowns.map(|row| unknowns.map(|col| find(row, col)))
        });
        let slots = slots.collect();
        let flows = 2 * (buses + generators);
        let limits = (0..branches)
            .map(|l| [0, 1, 2, 3].map(|k| find(flows + k * branches + l, flows + k * branches + l)));
        let flow = parted(&floats(inputs, "flow"), 4);
        let y_flow = parted(&floats(inputs, "y_flow"), 4);
        let y_limit = parted(&floats(inputs, "y_limit"), 2);
        let [y_p, y_q, gs, bs] = ["y_p", "y_q", "gs", "bs"].map(|name| floats(inputs, name));
        Power {
            limits: limits.collect(),
            of_buses: (0..buses).map(|b| find(buses + b, buses + b)).collect(),
            of_costs: (0..generators).map(|g| find(2 * buses + g, 2 * buses + g)).collect(),
            flow: (0..branches)
                .map(|l| [0, 1, 2, 3].map(|k| [0, 1, 2].map(|c| flow[k][3 * l + c])))
                .collect(),
            y_flow: (0..branches).map(|l| [0, 1, 2, 3].map(|k| y_flow[k][l])).collect(),
            y_limit: (0..branches).map(|l| [0, 1].map(|k| y_limit[k][l])).collect(),
            buses: (0..buses).map(|b| [y_p[b], y_q[b], gs[b], bs[b]]).collect(),
            c2: floats(inputs, "c2"),
            va,
            vm,
            ends,
            slots,
        }
    }

    fn hessian(&self, values: &mut [f64]) {
        values.fill(0.0);
        let branches = self.ends.iter().zip(&self.flow).zip(&self.y_flow).zip(&self.slots);
        for (((&[from, to], flow), y), slots) in branches {
            let (v, w, d) = (self.vm[from], self.vm[to], self.va[from] - self.va[to]);
            let (sin, cos) = d.sin_cos();
            let here = y[0] * flow[0][0] + y[2] * flow[2][0];
            let there = y[1] * flow[1][0] + y[3] * flow[3][0];
            let of_cos = y[0] * flow[0][1] + y[1] * flow[1][1] + y[2] * flow[2][1] + y[3] * flow[3][1];
            let of_sin = y[0] * flow[0][2] - y[1] * flow[1][2] + y[2] * flow[2][2] - y[3] * flow[3][2];
            let g = of_cos * cos + of_sin * sin;
            let h = of_sin * cos - of_cos * sin;
            let (vh, wh, dd) = (v * h, w * h, -v * w * g);
            let block =
                [[dd, -dd, wh, vh], [-dd, dd, -wh, -vh], [wh, -wh, 2.0 * here, g], [vh, -vh, g, 2.0 * there]];
            for (slots, row) in slots.iter().zip(&block) {
                for (&slot, value) in slots.iter().zip(row) {
                    values[slot as usize] += value;
                }
            }
        }
        for (slots, y) in self.limits.iter().zip(&self.y_limit) {
            for (k, &slot) in slots.iter().enumerate() {
                values[slot as usize] = 2.0 * y[k % 2];
            }
        }
        for (&slot, [y_p, y_q, gs, bs]) in self.of_buses.iter().zip(&self.buses) {
            values[slot as usize] += 2.0 * (y_q * bs - y_p * gs);
        }
        for (&slot, c2) in self.of_costs.iter().zip(&self.c2) {
            values[slot as usize] = 2.0 * c2;
        }
    }
}

/// Bundle adjustment: the Jacobian, observation by observation.
struct Bundle {
    cameras: Vec<[f64; 11]>,
    points: Vec<[f64; 3]>,
    weights: Vec<f64>,
    observations: Vec<[usize; 2]>,
    features: Vec<[f64; 2]>,
}

const CAMERAS: usize = 50;
const POINTS: usize = 20_000;
const OBSERVATIONS: usize = 50_000;

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

impl Bundle {
    /// Cameras on a ring look at points in a ball.
    fn new() -> Bundle {
        let wave = |i: usize, k: usize| (1.3 * (i as f64) + 0.7 * (k as f64) + 0.1).sin();
        let camera = |i: usize| {
            let rotation = [0, 1, 2].map(|k| 0.3 * wave(i, k));
            let center = [wave(i, 5), wave(i, 6), -6.0 + 0.5 * wave(i, 7)];
            let [a, b, c] = rotation;
            let [x, y, z] = center;
            [a, b, c, x, y, z, 500.0 + 20.0 * wave(i, 8), 1.0, 2.0, 0.02 * wave(i, 9), 0.01 * wave(i, 10)]
        };
        Bundle {
            cameras: (0..CAMERAS).map(camera).collect(),
            points: (0..POINTS).map(|j| [0, 1, 2].map(|k| wave(j, 11 + k))).collect(),
            weights: (0..OBSERVATIONS).map(|o| 1.0 + 0.1 * wave(o, 1)).collect(),
            observations: (0..OBSERVATIONS).map(|o| [o * 7 % CAMERAS, o * 13 % POINTS]).collect(),
            features: (0..OBSERVATIONS).map(|o| [0, 1].map(|k| 30.0 * wave(o, k))).collect(),
        }
    }

    fn inputs(&self) -> Inputs {
        let array = |shape: Vec<usize>, data: Vec<f64>| Array::new(shape, Data::F64(data)).unwrap();
        let observations: Vec<[i64; 2]> = self.observations.iter().map(|o| o.map(|n| n as i64)).collect();
        let mut inputs = Inputs::new();
        inputs.set("cam", &array(vec![CAMERAS, 11], self.cameras.concat()));
        inputs.set("X", &array(vec![POINTS, 3], self.points.concat()));
        inputs.set("w", &self.weights).set("obs", &observations[..]);
        inputs.set("feat", &array(vec![OBSERVATIONS, 2], self.features.concat()));
        inputs
    }

    /// Rows of 14 entries (a camera without the other coordinate of the principal point, a point, a weight), then one weight a row.
    fn jacobian(&self, values: &mut [f64]) {
        let (reprojections, weights) = values.split_at_mut(28 * OBSERVATIONS);
        let rows = reprojections.as_chunks_mut::<28>().0;
        let observations = self.observations.iter().zip(&self.weights).zip(&self.features);
        for (((&[i, j], &weight), feature), rows) in observations.zip(rows) {
            let camera = &self.cameras[i];
            let r = [camera[0], camera[1], camera[2]];
            let focal = camera[6];
            let x = self.points[j];
            let d = [x[0] - camera[3], x[1] - camera[4], x[2] - camera[5]];
            let angle = dot(r, r).sqrt();
            let (sin, cos) = angle.sin_cos();
            let inverse = 1.0 / angle;
            let k = r.map(|c| c * inverse);
            let (kd, kxd) = (dot(k, d), cross(k, d));
            let y = [0, 1, 2].map(|a| d[a] * cos + kxd[a] * sin + k[a] * kd * (1.0 - cos));
            // By the angle, and by the axis.
            let by_angle = [0, 1, 2].map(|a| kxd[a] * cos + (k[a] * kd - d[a]) * sin);
            let by_rotation = [0, 1, 2].map(|m| {
                let axis = [0, 1, 2].map(|a| (f64::from(u8::from(a == m)) - k[a] * k[m]) * inverse);
                let (along, turned) = (dot(axis, d), cross(axis, d));
                [0, 1, 2].map(|a| {
                    k[m] * by_angle[a] + sin * turned[a] + (1.0 - cos) * (axis[a] * kd + k[a] * along)
                })
            });
            let rotation = [
                [
                    cos + k[0] * k[0] * (1.0 - cos),
                    k[0] * k[1] * (1.0 - cos) - k[2] * sin,
                    k[0] * k[2] * (1.0 - cos) + k[1] * sin,
                ],
                [
                    k[1] * k[0] * (1.0 - cos) + k[2] * sin,
                    cos + k[1] * k[1] * (1.0 - cos),
                    k[1] * k[2] * (1.0 - cos) - k[0] * sin,
                ],
                [
                    k[2] * k[0] * (1.0 - cos) - k[1] * sin,
                    k[2] * k[1] * (1.0 - cos) + k[0] * sin,
                    cos + k[2] * k[2] * (1.0 - cos),
                ],
            ];
            let depth = 1.0 / y[2];
            let p = [y[0] * depth, y[1] * depth];
            let q = p[0] * p[0] + p[1] * p[1];
            let distortion = 1.0 + camera[9] * q + camera[10] * q * q;
            let slope = 2.0 * (camera[9] + 2.0 * camera[10] * q);
            for (n, row) in rows.as_chunks_mut::<14>().0.iter_mut().enumerate() {
                let scale = weight * focal;
                let by_p =
                    [0, 1].map(|m| scale * (slope * p[n] * p[m] + if m == n { distortion } else { 0.0 }));
                let by_y = [by_p[0] * depth, by_p[1] * depth, -(by_p[0] * p[0] + by_p[1] * p[1]) * depth];
                for m in 0..3 {
                    let by_point =
                        by_y[0] * rotation[0][m] + by_y[1] * rotation[1][m] + by_y[2] * rotation[2][m];
                    row[m] = dot(by_y, by_rotation[m]);
                    row[3 + m] = -by_point;
                    row[10 + m] = by_point;
                }
                row[6] = weight * p[n] * distortion;
                row[7] = weight;
                row[8] = scale * p[n] * q;
                row[9] = scale * p[n] * q * q;
                row[13] = p[n] * distortion * focal + camera[7 + n] - feature[n];
            }
        }
        for (value, weight) in weights.iter_mut().zip(&self.weights) {
            *value = -2.0 * weight;
        }
    }
}

/// Ours and theirs in turns; a line of figures.
fn compare(name: &str, problem: &mut Problem, theirs: impl Fn(&mut [f64])) {
    let mut at: Evaluation = problem.evaluation();
    let mut values = vec![0.0; at.matrix.len()];
    problem.evaluate(&mut at).unwrap();
    theirs(&mut values);
    let largest = values.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let wrong = values.iter().zip(&at.matrix).position(|(a, b)| (a - b).abs() > TOLERANCE * largest);
    assert_eq!(wrong, None, "both compute the same matrix");
    let (mut ours, mut hand) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        problem.evaluate(&mut at).unwrap();
        ours.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        theirs(black_box(&mut values));
        hand.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let (ours, hand) = (median(&mut ours), median(&mut hand));
    println!("{name}: {} entries", values.len());
    println!("  ours {ours:.3} ms, by hand {hand:.3} ms, ratio {:.2}", ours / hand);
}

fn main() {
    let file = std::env::args().skip(1).find(|word| !word.starts_with('-')).map(PathBuf::from);
    let file = file.unwrap_or_else(|| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/power/pglib_opf_case3375wp_k.m")
    });
    let (name, case) = match std::fs::read_to_string(&file) {
        Ok(text) => (file.file_stem().unwrap().to_string_lossy().into_owned(), Case::read(&text).unwrap()),
        Err(error) => {
            println!("{}: {error}; a ring instead", file.display());
            ("ring of 3,000 buses".to_owned(), Case::ring(3000))
        }
    };
    let matrix_only = |derivative| Options { value: false, gradient: false, ..Options::new(derivative) };
    let text = include_str!("../examples/acopf.ir");
    let (inputs, options) = (case.inputs(), matrix_only(Derivative::Hessian));
    let mut problem = prepare_with(text, &inputs, &options);
    let power = Power::new(&inputs, &problem);
    let name = format!("Hessian of the Lagrangian, {name}, {} unknowns", case.unknowns());
    compare(&name, &mut problem, |values| power.hessian(values));
    println!("  {}", costs(text, &inputs, &options));
    let text = include_str!("../tests/cases/ba.ir");
    let bundle = Bundle::new();
    let (inputs, options) = (bundle.inputs(), matrix_only(Derivative::Jacobian));
    let mut problem = prepare_with(text, &inputs, &options);
    compare("bundle adjustment, 50,000 observations", &mut problem, |values| bundle.jacobian(values));
    println!("  {}", costs(text, &inputs, &options));
}
