//! Makes `cfg(Py_3_N)` known, for the one choice of a layout, refuses builds of Python that have none,
//! and lets this crate's own tests find the libpython that they link.

use pyo3_build_config::{BuildFlag, InterpreterConfig, PythonImplementation};

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let python = pyo3_build_config::get();
    if let Some(kind) = without_layout(python) {
        let version = python.version();
        println!(
            "cargo::error=pyteleport works on the usual builds of CPython, and this is {kind} ({version})"
        );
    }
    if let Some(folder) = python.lib_dir() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}

/// What is said when the package is imported (`builds.py`), when it is built.
fn without_layout(python: &InterpreterConfig) -> Option<&'static str> {
    if python.implementation() != PythonImplementation::CPython {
        Some("another implementation")
    } else if python.target_abi().kind().is_free_threaded() {
        Some("a free-threaded build")
    } else if python.build_flags().0.contains(&BuildFlag::Py_DEBUG) {
        Some("a debug build")
    } else {
        None
    }
}
