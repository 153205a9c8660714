//! Makes `cfg(Py_3_N)` known, for the one choice of a layout, and lets this crate's own tests find
//! the libpython that they link.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    if let Some(folder) = pyo3_build_config::get().lib_dir() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
