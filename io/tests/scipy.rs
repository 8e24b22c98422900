//! numpy and scipy read what we write and we read what they write; skipped where Python has no scipy.
#![allow(clippy::print_stderr, clippy::unwrap_used)] // a test that is skipped says so; helpers may fail

use std::fs;
use std::path::Path;
use std::process::Command;

use spadina_io::array::{Array, Data};
use spadina_io::npy::read::read_npy;
use spadina_io::npy::write::write_npy;
use spadina_io::sparse_file::by_name::{read_sparse, write_sparse};
use spadina_io::sparse_file::csr::Csr;
use spadina_io::sparse_file::npz::{Compression, write_npz};

const SCRIPT: &str = r"
import sys, os, numpy as np, scipy.sparse as sp, scipy.io
os.chdir(sys.argv[1])
a = sp.load_npz('deflate.npz')
assert a.format == 'csr' and a.shape == (3, 4) and a.indices.dtype == np.int32, a
assert a.has_canonical_format and a.nnz == 5
for other in (sp.load_npz('store.npz'), scipy.io.mmread('a.mtx').tocsr()):
    assert other.nnz == 5 and (other.toarray() == a.toarray()).all()
assert (np.load('a.npy') == a.toarray()).all()
assert np.load('mask.npy').dtype == np.bool_ and np.load('scalar.npy').shape == ()
want = np.load('small.npy'); assert want.dtype == np.float32 and want.shape == (2, 3)
keys = list(np.load('deflate.npz').keys())
sp.save_npz('theirs.npz', a); assert sorted(keys) == sorted(k for k in np.load('theirs.npz').keys() if k != '_is_array'), keys
sp.save_npz('csr.npz', a, compressed=False); sp.save_npz('csc.npz', a.tocsc()); sp.save_npz('coo.npz', a.tocoo())
sp.save_npz('coo_array.npz', sp.coo_array(a)); sp.save_npz('int.npz', a.astype(np.int32) * 0 + a.astype(np.int64))
sp.save_npz('bsr.npz', a.tobsr())
scipy.io.mmwrite('theirs.mtx', a); scipy.io.mmwrite('sym.mtx', a[:, :3] + a[:, :3].T, symmetry='symmetric')
np.save('f.npy', np.asfortranarray(np.arange(24.).reshape(2, 3, 4))); np.save('be.npy', np.arange(5, dtype='>u4'))
np.save('c.npy', np.array([1 + 2j, 3 - 4j])); np.save('o.npy', np.array([{}], dtype=object), allow_pickle=True)
";

#[test]
fn files_pass_both_ways() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let has_scipy = Command::new(&python).args(["-c", "import scipy.io, scipy.sparse"]).output();
    if !has_scipy.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: {python} has no scipy");
        return;
    }
    let dir = std::env::temp_dir().join(format!("spadina-io-scipy-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let at = |name: &str| dir.join(name);
    let values = vec![1.0, 0.0, -1e-300, 0.1 + 0.2, 1e300];
    let ours = Csr { nrows: 3, ncols: 4, row_ptr: vec![0, 2, 2, 5], col_idx: vec![0, 3, 0, 1, 3], values };
    write_npz(&at("store.npz"), ours.as_ref(), Compression::Store).unwrap();
    write_sparse(&at("deflate.npz"), ours.as_ref()).unwrap();
    write_sparse(&at("a.mtx"), ours.as_ref()).unwrap();
    write_sparse(&at("a.npy"), ours.as_ref()).unwrap();
    write_npy(&at("mask.npy"), &Array::vector(Data::Bool(vec![true, false]))).unwrap();
    write_npy(&at("scalar.npy"), &Array::scalar(0.5)).unwrap();
    write_npy(&at("small.npy"), &Array::new(vec![2, 3], Data::F32(vec![0.5; 6])).unwrap()).unwrap();
    let run = Command::new(&python).arg("-c").arg(SCRIPT).arg(&dir).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));

    for name in ["theirs.npz", "csr.npz", "csc.npz", "coo.npz", "coo_array.npz", "theirs.mtx"] {
        assert_eq!(read_sparse(&at(name)).unwrap(), ours, "{name}");
    }
    assert!(read_sparse(&at("int.npz")).is_ok());
    assert_eq!(read_sparse(&at("sym.mtx")).unwrap().ncols, 3);
    assert!(read_sparse(&at("bsr.npz")).unwrap_err().to_string().contains("sparse format `bsr`"));
    let ramp: Vec<f64> = (0..24).map(f64::from).collect();
    assert_eq!(*read(&at("f.npy")).to_f64("f").unwrap(), ramp);
    assert_eq!(*read(&at("be.npy")).to_i64("be").unwrap(), [0, 1, 2, 3, 4]);
    let complex = read(&at("c.npy"));
    assert!(complex.is_complex() && complex.shape() == [2, 2]);
    assert_eq!(*complex.to_f64("c").unwrap(), [1.0, 2.0, 3.0, -4.0]);
    assert!(read_npy(&at("o.npy")).unwrap_err().to_string().contains("dtype `|O`"));
    fs::remove_dir_all(&dir).unwrap();
}

fn read(path: &Path) -> Array {
    read_npy(path).unwrap()
}
