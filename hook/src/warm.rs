//! Processes that a server has started before anybody asked (`serve.py`): which one fits, and where it listens.

use crate::errors::transport_error;
use crate::identity::{build_identity, installed_file, start};
use capture::cpython::modules::import;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;
use transport::warm::{self, Wanted};

/// Where the server listens that a program of this session and this interpreter asks.
#[pyfunction]
pub fn server_path(py: Python<'_>) -> PyResult<PathBuf> {
    let executable = import(py, "sys")?
        .getattr("executable")?
        .extract::<Option<OsString>>()?;
    let package = installed_file(py)?;
    let executable = executable.unwrap_or_default();
    Ok(warm::path_for(&[executable.as_os_str(), package.as_os_str()]))
}

/// What this process is, for a server to compare with another; None if that cannot be said.
fn key(py: Python<'_>) -> PyResult<Option<Vec<u8>>> {
    let Some(situation) = warm::situation() else {
        return Ok(None);
    };
    let package = installed_file(py)?;
    let file = package.metadata()?;
    let executable = import(py, "sys")?
        .getattr("executable")?
        .extract::<Option<OsString>>()?;
    let itself = (executable, package, file.ino(), file.mtime(), file.mtime_nsec());
    let mut key = format!("{:?}\n{:?}\n{itself:?}\n", build_identity(py)?, start(py)?).into_bytes();
    key.extend(situation);
    Ok(Some(key))
}

/// What a server is asked for on behalf of this process.
///
/// Args:
///     argv: how a local peer is started; environment: what is changed in its environment.
pub fn wanted(
    py: Python<'_>,
    argv: &[OsString],
    environment: &[(OsString, Option<OsString>)],
) -> PyResult<Option<Wanted>> {
    let Some(key) = key(py)? else { return Ok(None) };
    let argv = argv
        .iter()
        .map(|word| match word.to_str() {
            Some("--fd") => "--warm".into(),
            _ => word.clone(),
        })
        .collect();
    let kept =
        std::env::vars_os().filter(|(name, _)| !environment.iter().any(|(changed, _)| changed == name));
    let set = environment
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    Ok(Some(Wanted {
        key,
        argv,
        env: kept.chain(set).collect(),
    }))
}

/// Has the server start a process for this program, and waits for it; whether there is one.
///
/// Args:
///     path: where it listens.
///     argv: how a local peer is started.
///     environment: what is changed in its environment.
///     patience: how many seconds to wait at most.
#[pyfunction]
pub fn prepare(
    py: Python<'_>,
    path: PathBuf,
    argv: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    patience: f64,
) -> PyResult<bool> {
    let Some(wanted) = wanted(py, &argv, &environment)? else {
        return Ok(false);
    };
    let patience = Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX);
    Ok(py.detach(|| warm::prepare(&path, &wanted, patience)))
}

/// Waits for a home, as a process of a server to which this descriptor leads; none if the server has ended.
pub fn await_home(py: Python<'_>, server: i32) -> PyResult<Option<OwnedFd>> {
    let key = key(py)?.unwrap_or_default();
    py.detach(|| warm::await_home(server, &key))
        .map_err(|error| transport_error(py, error))
}
