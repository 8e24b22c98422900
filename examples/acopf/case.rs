//! Power networks: read from MATPOWER case files, or made up; bound to the kernel `acopf`.
//!
//! A case file is a MATLAB function that fills `mpc.bus`, `mpc.gen`, `mpc.gencost` and `mpc.branch` with tables. What is read of it:
//! numbers, `mpc.baseMVA = ..;`, tables in brackets whose rows end with `;` or a line, comments from `%` on. What is out of service
//! (bus type 4, status 0) is left out, and what hangs on it too; the rest keeps its order.
//!
//! Reference: Zimmerman, Murillo-Sanchez and Thomas, MATPOWER, 2011, appendix B (columns) and section 3 (branch model).

use spadina::inputs::Inputs;
use spadina_io::array::{Array, Data};
use std::collections::BTreeMap;

/// A network in service, per unit, buses numbered from 0.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Case {
    pub(crate) slack: i64,
    /// Load (active, reactive) and shunt (conductance, susceptance) of every bus.
    pub(crate) loads: Vec<[f64; 2]>,
    pub(crate) shunts: Vec<[f64; 2]>,
    /// Bus and cost (quadratic, linear, constant) of every generator.
    pub(crate) generators: Vec<(i64, [f64; 3])>,
    pub(crate) branches: Vec<Branch>,
}

/// A line or transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Branch {
    pub(crate) ends: [i64; 2],
    /// Active flow at both ends, reactive flow at both ends: coefficients of v^2, v w cos d, v w sin d.
    pub(crate) flow: [[f64; 3]; 4],
}

/// Electrical data of a branch: series resistance and reactance, charging susceptance, tap ratio, phase shift in degrees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) resistance: f64,
    pub(crate) reactance: f64,
    pub(crate) charging: f64,
    pub(crate) ratio: f64,
    pub(crate) shift: f64,
}

impl Branch {
    /// The pi model, with an ideal transformer at the first end. A ratio of 0 is one of 1.
    pub(crate) fn new(ends: [i64; 2], line: Line) -> Branch {
        let Line { resistance, reactance, charging, ratio, shift } = line;
        let square = resistance * resistance + reactance * reactance;
        let (g, b, half) = (resistance / square, -reactance / square, 0.5 * charging);
        let tap = if ratio == 0.0 { 1.0 } else { ratio };
        let (tr, ti) = (tap * shift.to_radians().cos(), tap * shift.to_radians().sin());
        let tm = tr * tr + ti * ti;
        let flow = [
            [g / tm, (-g * tr + b * ti) / tm, (-b * tr - g * ti) / tm],
            [g, (-g * tr - b * ti) / tm, (-b * tr + g * ti) / tm],
            [-(b + half) / tm, (b * tr + g * ti) / tm, (-g * tr + b * ti) / tm],
            [-(b + half), (b * tr - g * ti) / tm, (-g * tr - b * ti) / tm],
        ];
        Branch { ends, flow }
    }
}

/// The tables of a case file.
struct Tables<'a> {
    base: f64,
    rows: BTreeMap<&'a str, Vec<Vec<f64>>>,
}

impl Tables<'_> {
    fn of(&self, name: &str) -> Result<&[Vec<f64>], String> {
        self.rows.get(name).map(Vec::as_slice).ok_or_else(|| format!("the case has no table `mpc.{name}`"))
    }
}

/// Splits a file into its tables.
fn tables(text: &str) -> Result<Tables<'_>, String> {
    let mut found = Tables { base: 1.0, rows: BTreeMap::new() };
    let mut open: Option<(&str, Vec<Vec<f64>>)> = None;
    for (line, number) in text.lines().zip(1..) {
        let mut rest = line.split('%').next().unwrap_or_default().trim();
        if open.is_none() {
            let Some((name, value)) = rest.strip_prefix("mpc.").and_then(|rest| rest.split_once('=')) else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            if name == "baseMVA" {
                let base = value.trim_end_matches(';').trim().parse().ok().filter(|&base: &f64| base > 0.0);
                found.base = base.ok_or_else(|| format!("line {number}: no positive number: {value}"))?;
            }
            let Some(inside) = value.strip_prefix('[') else { continue };
            (open, rest) = (Some((name, Vec::new())), inside);
        }
        let (inside, closed) = rest.split_once(']').map_or((rest, false), |(inside, _)| (inside, true));
        let Some((name, mut rows)) = open.take() else { continue };
        for words in inside.split(';') {
            let words = words.split([' ', '\t', ',']).filter(|word| !word.is_empty());
            let numbers =
                words.map(|word| word.parse().map_err(|_| format!("line {number}: not a number: `{word}`")));
            let row = numbers.collect::<Result<Vec<f64>, String>>()?;
            if !row.is_empty() {
                rows.push(row);
            }
        }
        if !closed {
            open = Some((name, rows));
        } else if found.rows.insert(name, rows).is_some() {
            return Err(format!("line {number}: a second table `mpc.{name}`"));
        }
    }
    open.map_or(Ok(found), |(name, _)| Err(format!("the table `mpc.{name}` does not end")))
}

/// A column of a row.
fn at(row: &[f64], column: usize, table: &str) -> Result<f64, String> {
    row.get(column).copied().ok_or_else(|| format!("a row of `mpc.{table}` has no column {}", column + 1))
}

impl Case {
    /// Reads a case file.
    pub(crate) fn read(text: &str) -> Result<Case, String> {
        let tables = tables(text)?;
        let base = tables.base;
        let mut case = Case::default();
        let (mut numbers, mut slack) = (BTreeMap::new(), None);
        for row in tables.of("bus")? {
            let get = |column| at(row, column, "bus");
            let (name, kind) = (get(0)?, get(1)?);
            if kind == 4.0 {
                continue;
            }
            let number = case.loads.len() as i64;
            if numbers.insert(name as i64, number).is_some() {
                return Err(format!("bus {name} is there twice"));
            }
            if kind == 3.0 {
                slack = slack.or(Some(number));
            }
            case.loads.push([get(2)? / base, get(3)? / base]);
            case.shunts.push([get(4)? / base, get(5)? / base]);
        }
        case.slack = slack.ok_or("no bus is the reference (type 3)")?;
        let costs = tables.of("gencost")?;
        for (n, row) in tables.of("gen")?.iter().enumerate() {
            let get = |column| at(row, column, "gen");
            let Some(&bus) = numbers.get(&(get(0)? as i64)).filter(|_| row.get(7) > Some(&0.0)) else {
                continue;
            };
            let cost = costs.get(n).ok_or_else(|| format!("generator {} has no cost", n + 1))?;
            case.generators.push((bus, polynomial(cost, base)?));
        }
        for row in tables.of("branch")? {
            let get = |column| at(row, column, "branch");
            let bus = |name: f64| numbers.get(&(name as i64)).copied();
            let ends = (bus(get(0)?), bus(get(1)?));
            let ((Some(fr), Some(to)), true) = (ends, get(10)? > 0.0) else { continue };
            let (resistance, reactance, charging) = (get(2)?, get(3)?, get(4)?);
            let line = Line { resistance, reactance, charging, ratio: get(8)?, shift: get(9)? };
            case.branches.push(Branch::new([fr, to], line));
        }
        Ok(case)
    }

    /// A ring of buses with chords; every third has a generator, every fourth branch is a transformer.
    pub(crate) fn ring(buses: usize) -> Case {
        let wave = |k: usize, by: f64| (by * k as f64 + 1.0).sin();
        let mut case = Case::default();
        for bus in 0..buses {
            case.loads.push([0.6 + 0.3 * wave(bus, 1.1), 0.2 + 0.1 * wave(bus, 0.7)]);
            case.shunts.push([0.0, if bus % 5 == 0 { 0.19 } else { 0.0 }]);
            if bus % 3 == 0 {
                let quadratic = if bus % 2 == 0 { 0.04 + 0.01 * wave(bus, 0.3) } else { 0.0 };
                case.generators.push((bus as i64, [100.0 * 100.0 * quadratic, 20.0 * 100.0, 0.0]));
            }
        }
        let ring = (0..buses).map(|bus| [bus, (bus + 1) % buses]);
        let chords = (0..buses).step_by(4).map(|bus| [bus, (bus + buses / 2 + bus % 7) % buses]);
        for (n, [fr, to]) in ring.chain(chords).enumerate().filter(|(_, [fr, to])| fr != to) {
            let transforms = n % 4 == 3;
            let line = Line {
                resistance: 0.01 + 0.005 * wave(n, 0.9),
                reactance: 0.08 + 0.03 * wave(n, 1.3),
                charging: 0.02,
                ratio: if transforms { 0.97 } else { 0.0 },
                shift: if transforms { 2.0 } else { 0.0 },
            };
            case.branches.push(Branch::new([fr as i64, to as i64], line));
        }
        case
    }

    /// Number of unknowns: angle and magnitude of every bus, two powers of every generator, four flows of every branch.
    pub(crate) fn unknowns(&self) -> usize {
        2 * self.loads.len() + 2 * self.generators.len() + 4 * self.branches.len()
    }

    /// Binds the kernel at the point `x[i] = sin(i + 1)` with multipliers `y[k] = cos(k + 1)`, counted through all constraints:
    /// reference angle, balances, flows, differences of angles, squared flows.
    pub(crate) fn inputs(&self) -> Inputs {
        let (buses, generators, branches) = (self.loads.len(), self.generators.len(), self.branches.len());
        let mut inputs = Inputs::new();
        let mut x = (1_u32..).map(|i| f64::from(i).sin());
        for (name, len) in [("va", buses), ("vm", buses), ("pg", generators), ("qg", generators)] {
            inputs.set(name, &x.by_ref().take(len).collect::<Vec<f64>>());
        }
        for name in ["p", "q"] {
            inputs.set(name, &shaped(&[2, branches], x.by_ref().take(2 * branches).collect()));
        }
        let mut y = (1_u32..).map(|k| f64::from(k).cos());
        inputs.set("y_slack", &y.next().unwrap_or_default());
        for (name, len) in [("y_p", buses), ("y_q", buses)] {
            inputs.set(name, &y.by_ref().take(len).collect::<Vec<f64>>());
        }
        inputs.set("y_flow", &shaped(&[4, branches], y.by_ref().take(4 * branches).collect()));
        inputs.set("y_angle", &y.by_ref().take(branches).collect::<Vec<f64>>());
        inputs.set("y_limit", &shaped(&[2, branches], y.by_ref().take(2 * branches).collect()));
        for (names, columns) in [(["pd", "qd"], &self.loads), (["gs", "bs"], &self.shunts)] {
            for (n, name) in names.into_iter().enumerate() {
                inputs.set(name, &columns.iter().map(|row| row[n]).collect::<Vec<f64>>());
            }
        }
        for (n, name) in ["c2", "c1", "c0"].into_iter().enumerate() {
            inputs.set(name, &self.generators.iter().map(|(_, cost)| cost[n]).collect::<Vec<f64>>());
        }
        inputs.set("at", &self.generators.iter().map(|&(bus, _)| bus).collect::<Vec<i64>>());
        inputs.set("slack", &self.slack);
        for (n, name) in ["fr", "to"].into_iter().enumerate() {
            inputs.set(name, &self.branches.iter().map(|branch| branch.ends[n]).collect::<Vec<i64>>());
        }
        let flow = (0..4).flat_map(|k| self.branches.iter().flat_map(move |branch| branch.flow[k]));
        inputs.set("flow", &shaped(&[4, branches, 3], flow.collect()));
        inputs
    }
}

/// Cost of a generator per unit: quadratic, linear, constant.
fn polynomial(row: &[f64], base: f64) -> Result<[f64; 3], String> {
    if at(row, 0, "gencost")? != 2.0 {
        return Err("costs must be polynomials (model 2)".to_owned());
    }
    let count = at(row, 3, "gencost")? as usize;
    let listed = row.get(4..4 + count).ok_or("a row of `mpc.gencost` lacks coefficients")?;
    let mut cost = [0.0; 3];
    for (power, &coefficient) in listed.iter().rev().enumerate() {
        match cost.iter_mut().nth_back(power) {
            Some(place) => *place = coefficient * base.powi(power as i32),
            None if coefficient == 0.0 => {}
            None => return Err("costs must be quadratic".to_owned()),
        }
    }
    Ok(cost)
}

fn shaped(shape: &[usize], values: Vec<f64>) -> Array {
    Array::new(shape.to_vec(), Data::F64(values)).expect("the product of the shape is the number of values")
}
