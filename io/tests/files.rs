//! Files on disk: round trips, foreign variants, refusals with their words.
#![allow(clippy::unwrap_used)] // helpers of tests may fail as tests do

use std::fs;
use std::path::PathBuf;

use spadina_io::array::{Array, Data};
use spadina_io::npy::header::encode;
use spadina_io::npy::read::{read_npy, read_npy_bytes};
use spadina_io::npy::write::{write_array, write_npy, write_npy_f64};
use spadina_io::sparse_file::by_name::{read_sparse, write_sparse};
use spadina_io::sparse_file::csr::{Csr, CsrRef};
use spadina_io::sparse_file::mtx::{read_mtx_bytes, write_mtx_pattern};
use spadina_io::sparse_file::npz::{Compression, write_npz};

/// A directory of its own that goes away at the end of a test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("spadina-io-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A `.npy` with any header text.
fn npy(version: u8, dict: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    if version == 1 {
        bytes.extend((dict.len() as u16).to_le_bytes());
    } else {
        bytes.extend((dict.len() as u32).to_le_bytes());
    }
    bytes.extend(dict.as_bytes());
    bytes.extend(payload);
    bytes
}

fn dict(descr: &str, fortran: bool, shape: &str) -> String {
    let order = if fortran { "True" } else { "False" };
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
}

#[test]
fn every_type_comes_back_from_disk() {
    let scratch = Scratch::new("types");
    for data in [
        Data::F64(vec![1.5, -0.0, f64::INFINITY, f64::MIN_POSITIVE, 0.1, 6.0]),
        Data::F32(vec![1.5, -0.0, 3.0, 4.0, 5.0, 6.0]),
        Data::I64(vec![i64::MIN, -1, 0, 1, 2, i64::MAX]),
        Data::I32(vec![i32::MIN, -1, 0, 1, 2, i32::MAX]),
        Data::U64(vec![0, 1, 2, 3, 4, u64::MAX]),
        Data::U32(vec![0, 1, 2, 3, 4, u32::MAX]),
        Data::Bool(vec![true, false, true, true, false, false]),
    ] {
        for shape in [vec![6], vec![2, 3], vec![1, 3, 2, 1]] {
            let array = Array::new(shape, data.clone()).unwrap();
            let path = scratch.file("a.npy");
            write_npy(&path, &array).unwrap();
            assert_eq!(read_npy(&path).unwrap(), array);
        }
    }
    let path = scratch.file("empty.npy");
    write_npy_f64(&path, &[]).unwrap();
    assert_eq!(read_npy(&path).unwrap().shape(), [0]);
    write_npy(&path, &Array::scalar(2.5)).unwrap();
    assert_eq!(read_npy(&path).unwrap(), Array::scalar(2.5));
}

#[test]
fn versions_orders_and_byte_orders_agree() {
    let want = Array::new(vec![2, 3], Data::I32(vec![0, 1, 2, 3, 4, 5])).unwrap();
    let by_columns = [0_i32, 3, 1, 4, 2, 5];
    for version in 1..=3 {
        let le: Vec<u8> = (0_i32..6).flat_map(i32::to_le_bytes).collect();
        let be: Vec<u8> = (0_i32..6).flat_map(i32::to_be_bytes).collect();
        let fortran: Vec<u8> = by_columns.iter().flat_map(|v| v.to_be_bytes()).collect();
        for bytes in [
            npy(version, &dict("<i4", false, "(2, 3)"), &le),
            npy(version, &dict(">i4", false, "(2, 3)"), &be),
            npy(version, &dict(">i4", true, "(2, 3)"), &fortran),
        ] {
            assert_eq!(read_npy_bytes(&bytes, "a.npy").unwrap(), want);
        }
    }
    let pairs: Vec<u8> =
        [1.0, 10.0, 3.0, 30.0, 2.0, 20.0, 4.0, 40.0].iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
    let complex = read_npy_bytes(&npy(1, &dict("<c16", true, "(2, 2)"), &pairs), "c.npy").unwrap();
    assert_eq!(complex.shape(), [2, 2, 2]);
    assert_eq!(complex.data(), &Data::F64(vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0]));
    let cube: Vec<u8> = (0..24).flat_map(|v: i64| v.to_le_bytes()).collect();
    let cube = read_npy_bytes(&npy(1, &dict("<i8", true, "(2, 3, 4)"), &cube), "cube.npy").unwrap();
    // Element [i, j, k] was at i + 2 j + 6 k.
    assert_eq!(cube.to_i64("cube").unwrap()[12 + 2 * 4 + 3], 1 + 2 * 2 + 6 * 3);
}

#[test]
fn bad_npy_files_are_refused_by_name() {
    for (bytes, part) in [
        (npy(1, &dict("<f2", false, "(1,)"), &[0; 2]), "`bad.npy`: dtype `<f2` is not supported"),
        (npy(1, &dict("|O", false, "(1,)"), &[0; 2]), "dtype `|O`"),
        (npy(1, &dict("<U3", false, "(1,)"), &[0; 12]), "dtype `<U3`"),
        (npy(1, &dict("|i1", false, "(1,)"), &[0; 1]), "dtype `|i1`"),
        (npy(1, &dict("<M8[ns]", false, "(1,)"), &[0; 8]), "dtype `<M8[ns]`"),
        (npy(4, &dict("<f8", false, "(1,)"), &[0; 8]), "version 4.0 is not supported"),
        (
            npy(1, &dict("<f8", false, "(3,)"), &[0; 20]),
            "truncated: shape [3] of `<f8` needs 24 bytes, the file holds 20",
        ),
        (npy(1, &dict("<f8", false, "(2,)"), &[0; 20]), "trailing bytes"),
        (npy(1, &dict("<f8", false, "(1000000000000,)"), &[0; 8]), "truncated"),
        (npy(1, &dict("<f8", false, "(4294967296, 4294967296)"), &[0; 8]), "more elements than memory"),
        (npy(1, &dict("<f8", false, "(4611686018427387904,)"), &[0; 8]), "more elements than memory"),
        (npy(1, &dict("<f8", false, "(-1,)"), &[0; 8]), "negative extent"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "claims"),
        (b"\x93NUMPY\x01\x00\xff\x00{".to_vec(), "ends inside the .npy header"),
        (b"PK\x03\x04aaaaaaaaa".to_vec(), "not a .npy file"),
        (Vec::new(), "ends inside"),
    ] {
        let message = read_npy_bytes(&bytes, "bad.npy").unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("bad.npy"), "{message}");
    }
    let missing = read_npy("/nonexistent/x.npy".as_ref()).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read `/nonexistent/x.npy`"), "{missing}");
    assert!(read_npy(&std::env::temp_dir()).is_err());
}

fn sample() -> Csr {
    let row_ptr = vec![0, 2, 2, 5];
    let col_idx = vec![0, 3, 0, 1, 3];
    let values = vec![1.0, 0.0, -1e-300, 0.1 + 0.2, f64::MAX];
    Csr { nrows: 3, ncols: 4, row_ptr, col_idx, values }
}

#[test]
fn sparse_files_keep_every_structural_entry_and_every_bit() {
    let scratch = Scratch::new("sparse");
    for name in ["a.npz", "a.mtx"] {
        let path = scratch.file(name);
        write_sparse(&path, sample().as_ref()).unwrap();
        assert_eq!(read_sparse(&path).unwrap(), sample(), "{name}");
        let empty = Csr { nrows: 0, ncols: 0, row_ptr: vec![0], col_idx: vec![], values: vec![] };
        write_sparse(&path, empty.as_ref()).unwrap();
        assert_eq!(read_sparse(&path).unwrap(), empty);
    }
    let text = {
        let path = scratch.file("a.mtx");
        write_sparse(&path, sample().as_ref()).unwrap();
        fs::read_to_string(path).unwrap()
    };
    assert_eq!(
        text,
        "%%MatrixMarket matrix coordinate real general\n3 4 5\n1 1 1.0\n1 4 0.0\n3 1 -1e-300\n\
         3 2 0.30000000000000004\n3 4 1.7976931348623157e308\n"
    );
    write_mtx_pattern(&scratch.file("p.mtx"), (3, 4), &sample().row_ptr, &sample().col_idx).unwrap();
    assert_eq!(read_sparse(&scratch.file("p.mtx")).unwrap().values, [1.0; 5]);

    let dense = scratch.file("a.npy");
    write_sparse(&dense, sample().as_ref()).unwrap();
    let array = read_npy(&dense).unwrap();
    assert_eq!(array.shape(), [3, 4]);
    assert_eq!(array.to_f64("a").unwrap()[8..], [-1e-300, 0.1 + 0.2, 0.0, f64::MAX]);
}

#[test]
fn archives_are_deterministic_and_take_any_index_type() {
    let scratch = Scratch::new("npz");
    let (ptr, idx): (Vec<u32>, Vec<u64>) = (vec![0, 2, 2, 5], vec![0, 3, 0, 1, 3]);
    let values = sample().values;
    let m = CsrRef { nrows: 3, ncols: 4, row_ptr: &ptr, col_idx: &idx, values: &values };
    for compression in [Compression::Store, Compression::Deflate] {
        let (a, b) = (scratch.file("a.npz"), scratch.file("b.npz"));
        write_npz(&a, m, compression).unwrap();
        write_npz(&b, sample().as_ref(), compression).unwrap();
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        assert_eq!(read_sparse(&a).unwrap(), sample());
    }
}

#[test]
fn nothing_is_left_of_refused_output() {
    let scratch = Scratch::new("refused");
    let wide =
        Csr { nrows: 20_000, ncols: 20_000, row_ptr: vec![0; 20_001], col_idx: vec![], values: vec![] };
    let message = write_sparse(&scratch.file("big.npy"), wide.as_ref()).unwrap_err().to_string();
    assert!(message.contains("3.2 GB"), "{message}");
    let broken = Csr { col_idx: vec![0, 9, 0, 1, 3], ..sample() };
    for name in ["x.npz", "x.mtx", "x.npy", "x.txt"] {
        assert!(write_sparse(&scratch.file(name), broken.as_ref()).is_err());
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn matrix_market_variants_and_complaints() {
    let read = |text: &str| read_mtx_bytes(text.as_bytes(), "m.mtx");
    let head = "%%MatrixMarket matrix coordinate";
    let sym = read(&format!("{head} real symmetric\n% a comment\n\n2 2 2\n1 1 1.5\n2 1 -2D0\n")).unwrap();
    assert_eq!((sym.col_idx, sym.values), (vec![0, 1, 0], vec![1.5, -2.0, -2.0]));
    let skew = read(&format!("{head} integer skew-symmetric\n2 2 1\n2 1 3\n")).unwrap();
    assert_eq!((skew.col_idx, skew.values), (vec![1, 0], vec![-3.0, 3.0]));
    let pattern = read(&format!("{head} PATTERN General\r\n2 3 2\r\n1 3\r\n1 1\r\n")).unwrap();
    assert_eq!((pattern.ncols, pattern.col_idx), (3, vec![0, 2]));
    for (text, part) in [
        ("hello".into(), "line 1: expected `%%MatrixMarket"),
        ("%%MatrixMarket matrix array real general\n".into(), "layout `array`"),
        (format!("{head} complex general\n"), "field `complex`"),
        (format!("{head} real hermitian\n"), "symmetry `hermitian`"),
        (format!("{head} real general\n2 2\n"), "line 2: expected three sizes"),
        (format!("{head} real general\n2 2 9999999999\n"), "do not fit in a file"),
        (format!("{head} real general\n999999999999 2 1\n1 1 1\n"), "more than is supported"),
        (format!("{head} real general\n2 2 1\n0 1 1\n"), "line 3: entry (0, 1) is outside"),
        (format!("{head} real general\n2 2 1\n3 1 1\n"), "outside 1..2 x 1..2"),
        (format!("{head} real general\n2 2 1\n1 1\n"), "the value is missing"),
        (format!("{head} real general\n2 2 1\n1 1 x\n"), "`x` is not a value"),
        (format!("{head} real general\n2 2 1\n1 1 1 1\n"), "unexpected `1`"),
        (format!("{head} real general\n2 2 2\n1 1 1.0\n"), "ends after 1 of 2"),
        (format!("{head} real general\n2 2 1\n1 1 1\n2 2 1\n"), "more than the 1"),
        (format!("{head} real symmetric\n2 3 1\n1 1 1\n"), "symmetric matrix of 2 x 3"),
        (format!("{head} real skew-symmetric\n2 2 1\n1 1 1\n"), "diagonal entry"),
    ] {
        let message = read(&text).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("m.mtx"), "{message}");
    }
}

#[test]
fn long_headers_use_version_two() {
    let array = Array::new(vec![1; 25_000], Data::F64(vec![4.0])).unwrap();
    let mut bytes = Vec::new();
    write_array(&mut bytes, &array).unwrap();
    assert_eq!(bytes[6], 2);
    assert_eq!(read_npy_bytes(&bytes, "deep").unwrap(), array);
    assert_eq!(encode("<f8", &[3])[6], 1);
}
