//! Operators and assembly on the command line: what is written agrees with itself, and what does not fit is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::folder;
use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_io::npy::write::write_npy;
use spadina_io::sparse_file::by_name::read_sparse;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const KERNEL: &str = "#[derive(value, jacobian, hessian(lagrangian))]
#[example(random, 5)]
kernel k<N>(x: var vec2[N], p: f64, w: f64[N]) -> (objective: f64, balance: f64[N]) {
    let o = sum i in 0..N { w[i] * sqnorm(x[i])^2 * p };
    let b = map i in 0..N { sin(x[i][0]) * x[(i + 1) % N][1] + p^2 };
    (o, b)
}
";

struct Sandbox(PathBuf);

impl Sandbox {
    fn new(name: &str) -> Sandbox {
        let dir = folder(name);
        fs::write(dir.join("k.ir"), KERNEL).unwrap();
        fs::write(dir.join("t.ir"), "#[example(random, 3)]\nkernel t<N>(t: var f64, a: f64[N]) -> f64[N] { map i in 0..N { a[i] * t^3 } }").unwrap();
        let sandbox = Sandbox(dir);
        sandbox.floats("lambda.npy", &[5], 0.2);
        sandbox.floats("v.npy", &[10], 0.5);
        sandbox.floats("several.npy", &[3, 10], 0.6);
        sandbox.floats("w.npy", &[6], 0.9);
        sandbox.write("one.npy", &Array::new(vec![1], Data::F64(vec![1.0])).unwrap());
        sandbox.write(
            "mask.npy",
            &Array::new(vec![5], Data::Bool(vec![true, false, false, false, true])).unwrap(),
        );
        sandbox.write("list.npy", &Array::new(vec![4], Data::I64(vec![0, 1, 8, 9])).unwrap());
        sandbox
    }

    fn write(&self, name: &str, array: &Array) {
        write_npy(&self.0.join(name), array).unwrap();
    }

    fn floats(&self, name: &str, shape: &[usize], phase: f64) {
        let len: usize = shape.iter().product();
        let values = (0..len).map(|k| (1.3 * k as f64 + phase).sin()).collect();
        self.write(name, &Array::new(shape.to_vec(), Data::F64(values)).unwrap());
    }

    /// Runs; what stderr said.
    fn run(&self, code: i32, args: &str) -> String {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output =
            Command::new(env!("CARGO_BIN_EXE_spadina")).arg("run").args(&args).current_dir(&self.0).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{said}");
        said
    }

    fn refuses(&self, code: i32, args: &str, words: &[&str]) {
        let said = self.run(code, args);
        for word in words {
            assert!(said.contains(word), "{args}: no `{word}` in\n{said}");
        }
    }

    fn vector(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let array = read_npy(&self.0.join(name)).unwrap();
        (array.shape().to_vec(), array.to_f64(name).unwrap().into_owned())
    }

    /// A matrix in any file, dense.
    fn matrix(&self, name: &str) -> Vec<Vec<f64>> {
        if PathBuf::from(name).extension().is_some_and(|ending| ending == "npy") {
            let (shape, values) = self.vector(name);
            return values.chunks(shape[1]).map(<[f64]>::to_vec).collect();
        }
        let found = read_sparse(&self.0.join(name)).unwrap();
        let mut dense = vec![vec![0.0; found.ncols]; found.nrows];
        for (row, line) in dense.iter_mut().enumerate() {
            for at in found.row_ptr[row]..found.row_ptr[row + 1] {
                line[found.col_idx[at]] = found.values[at];
            }
        }
        dense
    }
}

fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

fn transposed(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..matrix[0].len()).map(|c| matrix.iter().map(|row| row[c]).collect()).collect()
}

fn near(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * (1.0 + b.abs())), "{what}: {a:?} {b:?}");
}

const LAGRANGIAN: &str = "k.ir --data multipliers.balance=lambda.npy";

#[test]
fn products_agree_with_matrices() {
    let s = Sandbox::new("products");
    s.run(0, "k.ir -o jacobian=J.npz -o jvp=jv.npy -o vjp=jw.npy -o residual=r.npy --tangent v.npy --cotangent w.npy");
    let jacobian = s.matrix("J.npz");
    let ((_, v), (_, w), (_, r)) = (s.vector("v.npy"), s.vector("w.npy"), s.vector("r.npy"));
    near(&s.vector("jv.npy").1, &times(&jacobian, &v), "jvp");
    near(&s.vector("jw.npy").1, &times(&transposed(&jacobian), &w), "vjp");
    s.run(0, "k.ir -o jvp=many.npy --tangent several.npy");
    let (shape, many) = s.vector("many.npy");
    assert_eq!(shape, [3, 6]);
    for (direction, product) in s.vector("several.npy").1.chunks(10).zip(many.chunks(6)) {
        near(product, &times(&jacobian, direction), "several");
    }
    s.run(0, "k.ir -o vjp=part.npy --cotangent balance=lambda.npy");
    let part = [vec![0.0], s.vector("lambda.npy").1].concat();
    near(&s.vector("part.npy").1, &times(&transposed(&jacobian), &part), "part");
    s.run(0, "k.ir -o gauss-newton=N.mtx -o grad=g.npy");
    let normal: Vec<f64> =
        transposed(&jacobian).iter().flat_map(|column| times(&transposed(&jacobian), column)).collect();
    near(&s.matrix("N.mtx").concat(), &normal, "J^T J");
    near(&s.vector("g.npy").1, &times(&transposed(&jacobian), &r), "J^T r");
    s.run(0, &format!("{LAGRANGIAN} -o hessian=H.npz -o hvp=hv.npy --tangent v.npy"));
    near(&s.vector("hv.npy").1, &times(&s.matrix("H.npz"), &v), "hvp");
    s.run(0, "t.ir -o derivative=a.npy -o second-derivative=b.npy");
    let (a, b) = (s.vector("a.npy").1, s.vector("b.npy").1);
    // 3 a t^2 and 6 a t: their ratio is t / 2 in every row.
    near(&[a[1] / b[1], a[2] / b[2]], &[a[0] / b[0]; 2], "by one number");
    // Weights of no results at all are weights all the same.
    s.floats("none.npy", &[0], 0.0);
    s.floats("weights.npy", &[3, 0], 0.0);
    s.run(0, "t.ir --data a=none.npy --data t=one.npy -o vjp=z.npy --cotangent weights.npy");
    assert_eq!(s.vector("z.npy"), (vec![3, 1], vec![0.0; 3]));
    fs::remove_dir_all(&s.0).unwrap();
}

#[test]
fn the_lagrangian_is_linear_in_its_multipliers() {
    let s = Sandbox::new("multipliers");
    s.run(0, &format!("{LAGRANGIAN} -o lagrangian=a.npy -o grad=ga.npy"));
    s.run(0, &format!("{LAGRANGIAN} --data multipliers.objective=3 -o hessian=b.npy"));
    s.run(0, &format!("{LAGRANGIAN} --data multipliers.objective=2 -o hessian=c.npy --strategy compressed"));
    let (a, b, c) = (s.matrix("a.npy").concat(), s.matrix("b.npy").concat(), s.matrix("c.npy").concat());
    let mean: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.5 * (a + b)).collect();
    near(&c, &mean, "linear");
    s.refuses(4, "k.ir -o lagrangian=H.npz", &["multipliers.balance", "f64[N]"]);
    s.refuses(
        4,
        "k.ir --data multipliers.nothing=lambda.npy",
        &["no result `nothing`", "objective, balance"],
    );
    s.refuses(4, "k.ir --data multipliers.balance=v.npy", &["[5]", "[10]"]);
    fs::remove_dir_all(&s.0).unwrap();
}

#[test]
fn matrices_are_stored_as_asked() {
    let s = Sandbox::new("assembled");
    s.run(0, &format!("{LAGRANGIAN} -o hessian=full.npz"));
    let full = s.matrix("full.npz");
    for format in ["csr", "csc", "coo", "bsr", "bsr:5x2"] {
        for ending in ["npz", "mtx", "npy"] {
            s.run(0, &format!("{LAGRANGIAN} --assemble {format} -o hessian=h.{ending}"));
            // scipy's block format is written, and read by scipy alone.
            if !(format.starts_with("bsr") && ending == "npz") {
                near(&s.matrix(&format!("h.{ending}")).concat(), &full.concat(), format);
            }
        }
    }
    s.run(0, &format!("{LAGRANGIAN} --lower -o hessian=lower.npz"));
    for (r, row) in s.matrix("lower.npz").iter().enumerate() {
        for (c, &value) in row.iter().enumerate() {
            assert_eq!(value, if c <= r { full[r][c] } else { 0.0 });
        }
    }
    for fixed in ["x=mask.npy", "mask.npy", "list.npy"] {
        s.run(0, &format!("{LAGRANGIAN} --fixed {fixed} -o hessian=part.npz -o grad=g.npy"));
        let inner: Vec<f64> = full[2..8].iter().flat_map(|row| row[2..8].to_vec()).collect();
        near(&s.matrix("part.npz").concat(), &inner, fixed);
        assert_eq!(s.vector("g.npy").0, [6]);
        s.run(0, &format!("{LAGRANGIAN} --fixed {fixed} --fixed-rule identity -o hessian=kept.npz"));
        let kept = s.matrix("kept.npz");
        assert_eq!((kept.len(), kept[0][0], kept[0][1], kept[3][3]), (10, 1.0, 0.0, full[3][3]));
    }
    s.run(0, &format!("{LAGRANGIAN} --rows x --wrt p -o hessian=mixed.npz"));
    assert_eq!((s.matrix("mixed.npz").len(), s.matrix("mixed.npz")[0].len()), (10, 1));
    // A product with a mixed block of an energy needs no `--derive`.
    let energy = "#[example(random, 5)]
        kernel e<N>(x: var vec2[N], p: f64, w: f64[N]) -> f64 { sum i in 0..N { w[i] * sqnorm(x[i])^2 * p^2 } }";
    fs::write(s.0.join("e.ir"), energy).unwrap();
    s.run(0, "e.ir --rows x --wrt p -o hessian=mixed.npz");
    s.run(0, "e.ir --rows x --wrt p -o hvp=product.npy --tangent one.npy");
    near(&s.vector("product.npy").1, &s.matrix("mixed.npz").concat(), "mixed product");
    fs::remove_dir_all(&s.0).unwrap();
}

#[test]
fn what_does_not_fit_is_refused() {
    let s = Sandbox::new("refused");
    s.refuses(2, "k.ir -o jvp=a.npy", &["--tangent"]);
    s.refuses(2, "k.ir --tangent v.npy", &["nobody asks for"]);
    s.refuses(4, "k.ir -o jvp=a.npy --tangent w.npy", &["[6]", "10 numbers"]);
    s.refuses(2, "k.ir -o jvp=a.npy --tangent y=v.npy", &["no unknown `y`"]);
    s.refuses(2, "k.ir -o jvp=a.npz --tangent v.npy", &[".npy"]);
    s.refuses(2, "k.ir -o derivative=a.npy", &["10 unknowns"]);
    s.refuses(2, "k.ir --lower", &["no triangles"]);
    s.refuses(2, "k.ir --lower --upper", &["--upper"]);
    s.refuses(2, "k.ir --rows x", &["mixed block"]);
    s.refuses(2, "k.ir --assemble ell", &["bsr"]);
    s.refuses(2, "k.ir --assemble bsr:4x4", &["divide"]);
    s.refuses(4, "k.ir --fixed v.npy", &["not floats"]);
    s.refuses(4, "k.ir --fixed x=list.npy", &["without a name"]);
    s.refuses(2, "k.ir --fixed y=mask.npy", &["no unknown `y`"]);
    s.refuses(2, "k.ir -o jacobian=a.npz -o gauss-newton=b.npz", &["two runs"]);
    s.refuses(2, "k.ir -o nothing=a.npy", &["second-derivative"]);
    fs::remove_dir_all(&s.0).unwrap();
}
