//! Cases of `../shared` and how results are compared with them; scratch folders.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "every test file uses its own part"
)]

pub mod sandbox;

use spadina_io::array::Array;
use spadina_io::npy::read::read_npy;
use spadina_runtime::csr::Pattern;
use std::path::{Path, PathBuf};

/// Relative tolerance of values, from the README of the cases; bundle adjustment has its own.
pub const VALUE: f64 = 1e-12;
/// Gradients and residuals, relative to the largest entry.
pub const VECTOR: f64 = 1e-10;
/// Matrix entries and products, relative to the largest.
pub const MATRIX: f64 = 1e-9;
/// A reference entry above this (relative) must be in the pattern.
pub const STORED: f64 = 1e-12;

/// An empty scratch folder of that name.
pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("spadina-test-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A reference matrix: rows, columns, entries.
pub struct Reference {
    pub row_ptr: Vec<usize>,
    pub col_idx: Vec<usize>,
    pub values: Vec<f64>,
}

/// One case folder.
pub struct Case {
    pub set: String,
    pub name: String,
    pub path: PathBuf,
    pub variables: Vec<String>,
    pub inputs: Vec<String>,
    pub kind: String,
}

fn floats(path: &Path) -> Option<Vec<f64>> {
    path.is_file().then(|| read_npy(path).unwrap().to_f64("reference").unwrap().into_owned())
}

impl Case {
    /// All cases of a set, by name; none where `../shared` is missing.
    pub fn all(set: &str) -> Vec<Case> {
        let dir = root().join("../shared").join(set);
        let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        paths.sort();
        let cases = paths.into_iter().map(|path| {
            let text = std::fs::read_to_string(path.join("case.json")).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let strings = |list: &serde_json::Value, key: Option<&str>| {
                let list = list.as_array().unwrap().iter();
                let text = |v: &serde_json::Value| key.map_or(v, |k| &v[k]).as_str().unwrap().to_owned();
                list.map(text).collect::<Vec<String>>()
            };
            Case {
                set: set.to_owned(),
                name: json["name"].as_str().unwrap().to_owned(),
                variables: strings(&json["variables"], None),
                inputs: strings(&json["inputs"], Some("name")),
                kind: json["kind"].as_str().unwrap().to_owned(),
                path,
            }
        });
        cases.collect()
    }

    pub fn label(&self) -> String {
        format!("{}/{}", self.set, self.path.file_name().unwrap().to_str().unwrap())
    }

    pub fn kernel_file(&self) -> PathBuf {
        root().join("tests/cases").join(format!("{}.ir", self.name))
    }

    pub fn is_energy(&self) -> bool {
        self.path.join("ref/value.npy").is_file()
    }

    /// `ref`, and `alt` where there is one.
    pub fn points(&self) -> Vec<&'static str> {
        let alt = self.path.join("alt").is_dir().then_some("alt");
        std::iter::once("ref").chain(alt).collect()
    }

    pub fn inputs(&self) -> Vec<(String, Array)> {
        let read = |name: &String| read_npy(&self.path.join(format!("inputs/{name}.npy"))).unwrap();
        self.inputs.iter().map(|name| (name.clone(), read(name))).collect()
    }

    /// Files of the unknowns of the second point.
    pub fn variable_files(&self, point: &str) -> Vec<(String, PathBuf)> {
        let files = self
            .variables
            .iter()
            .map(|name| (name.clone(), self.path.join(point).join(format!("var_{name}.npy"))));
        files.filter(|(_, file)| file.is_file()).collect()
    }

    pub fn variables(&self, point: &str) -> Vec<(String, Array)> {
        let files = self.variable_files(point).into_iter();
        files.map(|(name, file)| (name, read_npy(&file).unwrap())).collect()
    }

    /// Compares value and gradient, or residual.
    pub fn agree_results(&self, what: &str, point: &str, results: &[f64], gradient: &[f64]) {
        let dir = self.path.join(point);
        if let Some(value) = floats(&dir.join("value.npy")) {
            let tolerance = if self.name == "ba" { 1e-11 } else { VALUE };
            assert!(
                (results[0] - value[0]).abs() <= tolerance * value[0].abs(),
                "{what}: value {} against {}",
                results[0],
                value[0]
            );
            agree_vector(
                &format!("{what} gradient"),
                gradient,
                &floats(&dir.join("gradient.npy")).unwrap(),
                VECTOR,
            );
        } else {
            agree_vector(
                &format!("{what} residual"),
                results,
                &floats(&dir.join("residual.npy")).unwrap(),
                VECTOR,
            );
        }
    }

    pub fn matrix(&self, point: &str) -> Option<Reference> {
        let read = |part: &str| read_npy(&self.path.join(point).join(format!("matrix_{part}.npy"))).ok();
        Some(Reference {
            row_ptr: read("indptr")?.to_usize("indptr").unwrap(),
            col_idx: read("indices")?.to_usize("indices").unwrap(),
            values: read("data")?.to_f64("data").unwrap().into_owned(),
        })
    }

    pub fn matvec(&self, point: &str) -> Option<(Vec<f64>, Vec<f64>)> {
        let dir = self.path.join(point);
        Some((floats(&dir.join("dir.npy"))?, floats(&dir.join("matvec.npy"))?))
    }

    pub fn vecmat(&self, point: &str) -> Option<(Vec<f64>, Vec<f64>)> {
        let dir = self.path.join(point);
        Some((floats(&dir.join("codir.npy"))?, floats(&dir.join("vecmat.npy"))?))
    }
}

fn scale(values: &[f64]) -> f64 {
    values.iter().fold(0.0_f64, |s, x| s.max(x.abs()))
}

/// Every element within the tolerance times the largest reference.
pub fn agree_vector(what: &str, found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}: length");
    let limit = tolerance * scale(wanted);
    for (at, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= limit, "{what} [{at}]: {a:?} against {b:?}");
    }
}

/// Every entry of both patterns; what the reference stores and is not negligible must be stored.
pub fn agree_matrix(what: &str, reference: &Reference, pattern: &Pattern, values: &[f64]) {
    assert_eq!(pattern.rows() + 1, reference.row_ptr.len(), "{what}: rows");
    let s = scale(&reference.values);
    let mut row_of_reference = vec![0.0; pattern.cols()];
    for row in 0..pattern.rows() {
        let range = reference.row_ptr[row]..reference.row_ptr[row + 1];
        for at in range.clone() {
            let col = reference.col_idx[at];
            row_of_reference[col] = reference.values[at];
            let stored = pattern.find(row, col as u32).is_some();
            assert!(
                stored || reference.values[at].abs() <= STORED * s,
                "{what}: entry ({row}, {col}) = {} is not in the pattern",
                reference.values[at]
            );
        }
        let start = pattern.row_ptr()[row] as usize;
        for (k, &col) in pattern.row(row).iter().enumerate() {
            let (a, b) = (values[start + k], row_of_reference[col as usize]);
            assert!((a - b).abs() <= MATRIX * s, "{what}: entry ({row}, {col}) is {a:?} against {b:?}");
        }
        for at in range {
            row_of_reference[reference.col_idx[at]] = 0.0;
        }
    }
}

/// `A x`.
pub fn agree_matvec(what: &str, pattern: &Pattern, values: &[f64], x: &[f64], wanted: &[f64]) {
    let product = |row: usize| {
        let start = pattern.row_ptr()[row] as usize;
        let entries = pattern.row(row).iter().zip(&values[start..]);
        entries.map(|(&col, value)| value * x[col as usize]).sum::<f64>()
    };
    let found: Vec<f64> = (0..pattern.rows()).map(product).collect();
    agree_vector(&format!("{what} matrix times vector"), &found, wanted, MATRIX);
}

/// `A^T y`.
pub fn agree_vecmat(what: &str, pattern: &Pattern, values: &[f64], y: &[f64], wanted: &[f64]) {
    let mut found = vec![0.0; pattern.cols()];
    assert_eq!(y.len(), pattern.rows(), "{what}: rows");
    for (row, weight) in y.iter().enumerate() {
        let start = pattern.row_ptr()[row] as usize;
        for (&col, value) in pattern.row(row).iter().zip(&values[start..]) {
            found[col as usize] += value * weight;
        }
    }
    agree_vector(&format!("{what} transposed matrix times vector"), &found, wanted, MATRIX);
}
