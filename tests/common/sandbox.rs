//! A scratch folder in which the command runs: a kernel, its data, and what a run must say.

use super::folder;
use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_io::npy::write::write_npy;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The kernel that every folder starts with.
const SPRINGS: &str = "
#[derive(value, grad, hessian)]
kernel springs<V, E>(
    x: var vec2[V], edges: index<V>[E, 2], rest: f64[E], k: f64 = 1.0,
) -> f64 {
    sum e: [i, j] in edges { 0.5 * k * (norm(x[i] - x[j]) - rest[e])^2 }
}
";

/// A scratch folder with a kernel and data.
pub struct Sandbox {
    dir: PathBuf,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Sandbox {
    pub fn new(name: &str) -> Sandbox {
        let dir = folder(name);
        fs::create_dir(dir.join("data")).unwrap();
        let sandbox = Sandbox { dir };
        sandbox.text("springs.ir", SPRINGS);
        sandbox.array("data/x.npy", &Array::rows(&[[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]));
        sandbox.array("data/edges.npy", &Array::index_rows(&[[0, 1], [1, 2]]));
        sandbox.array("data/rest.npy", &Array::vector(Data::F64(vec![1.0, 1.0])));
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn text(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn array(&self, name: &str, array: &Array) {
        write_npy(&self.path(name), array).unwrap();
    }

    pub fn spadina(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_spadina")).args(args).current_dir(&self.dir).output().unwrap()
    }

    /// Runs and checks the exit code; what stdout and stderr said.
    pub fn expect(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.spadina(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\nstdout: {out}\nstderr: {err}");
        if code != 0 {
            assert!(out.is_empty(), "{args:?} failed, but wrote to stdout: {out}");
            assert!(!err.is_empty(), "{args:?} failed without a word");
        }
        (out, err)
    }

    /// A run that must fail with a code and all these words, leaving no file behind.
    pub fn refuses(&self, code: i32, args: &[&str], words: &[&str]) {
        let before = self.files();
        let (_, err) = self.expect(code, args);
        for word in words {
            assert!(err.contains(word), "{args:?}: no `{word}` in\n{err}");
        }
        assert_eq!(self.files(), before, "{args:?} left files behind");
    }

    pub fn files(&self) -> Vec<PathBuf> {
        let mut list: Vec<PathBuf> = fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().path()).collect();
        list.sort();
        list
    }

    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let (out, _) = self.expect(0, args);
        serde_json::from_str(&out).unwrap()
    }
}

/// The floats of a file.
pub fn floats(path: &Path) -> Vec<f64> {
    read_npy(path).unwrap().to_f64("result").unwrap().into_owned()
}
