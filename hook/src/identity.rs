//! Which interpreter this is.

use capture::payload::BuildIdentity;
use pyo3::prelude::*;

/// The identity of the running interpreter and of this build.
pub fn build_identity(py: Python<'_>) -> PyResult<BuildIdentity> {
    let sys = py.import("sys")?;
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
