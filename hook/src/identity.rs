//! Which interpreter this is.

use capture::cpython::hashes::secret;
use capture::cpython::modules::import;
use capture::payload::{BuildIdentity, Start};
use pyo3::prelude::*;
use std::path::PathBuf;
use transport::Hello;

/// The identity of the running interpreter and of this build.
pub fn build_identity(py: Python<'_>) -> PyResult<BuildIdentity> {
    let sys = import(py, "sys")?;
    let implementation = sys.getattr("implementation")?;
    let tag = implementation.getattr("cache_tag")?.extract::<Option<String>>()?;
    let flags = sys.getattr("abiflags")?.extract::<String>()?;
    let version = py.version_info();
    Ok(BuildIdentity {
        implementation: implementation.getattr("name")?.extract()?,
        version: (version.major.into(), version.minor.into(), version.patch.into()),
        abi: tag.unwrap_or_default() + &flags,
        platform: sys.getattr("platform")?.extract()?,
        machine: std::env::consts::ARCH.to_owned(),
        word_bits: usize::BITS as u8,
        byte_order: sys.getattr("byteorder")?.extract()?,
        pyteleport: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What this end says of itself, and how it judges what the other end says.
pub fn hello(py: Python<'_>) -> PyResult<(Hello, impl FnOnce(&Hello) -> Result<(), String>)> {
    let ours = build_identity(py)?;
    let Start { hashes, options } = start(py)?;
    let hello = Hello {
        build: transport::BuildIdentity {
            implementation: ours.implementation.clone(),
            version: (ours.version.0 as u8, ours.version.1 as u8, ours.version.2 as u8),
            cache_tag: ours.abi.clone(),
            platform: ours.platform.clone(),
            machine: ours.machine.clone(),
            pyteleport: ours.pyteleport.clone(),
        },
        host: host(py)?,
        pid: std::process::id(),
        hashes,
        options,
    };
    let check = move |theirs: &Hello| {
        let build = &theirs.build;
        let theirs = BuildIdentity {
            implementation: build.implementation.clone(),
            version: (
                build.version.0.into(),
                build.version.1.into(),
                build.version.2.into(),
            ),
            abi: build.cache_tag.clone(),
            platform: build.platform.clone(),
            machine: build.machine.clone(),
            pyteleport: build.pyteleport.clone(),
            ..ours.clone()
        };
        theirs.fits(&ours)
    };
    Ok((hello, check))
}

/// How this interpreter was started.
pub fn start(py: Python<'_>) -> PyResult<Start> {
    let options = import(py, "pyteleport.interpreter")?.call_method0("same_flags")?;
    Ok(Start {
        hashes: secret().to_vec(),
        options: options.extract()?,
    })
}

/// The file of the native half.
pub fn installed_file(py: Python<'_>) -> PyResult<PathBuf> {
    import(py, "pyteleport._native")?.getattr("__file__")?.extract()
}

/// The name of this machine.
pub fn host(py: Python<'_>) -> PyResult<String> {
    import(py, "posix")?
        .call_method0("uname")?
        .getattr("nodename")?
        .extract()
}
