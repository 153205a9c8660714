//! The steps of a hand-off on standard error, at both ends, where `PYTELEPORT_LOG=debug` asks for them.
//!
//! Without the variable nothing is set up, and a step costs the comparison that [`log`] makes.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The variable: levels, as `env_logger` reads them.
const VARIABLE: &str = "PYTELEPORT_LOG";

/// When this process began with what it is at.
static BEGAN: Mutex<Option<Instant>> = Mutex::new(None);

/// Begins with a move, or the arrival of one.
pub fn begin() {
    if std::env::var_os(VARIABLE).is_none() {
        return log::set_max_level(log::LevelFilter::Off);
    }
    *BEGAN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    let mut builder = env_logger::Builder::from_env(VARIABLE);
    let logger = builder
        .format(|out, record| {
            let began = *BEGAN.lock().unwrap_or_else(PoisonError::into_inner);
            let passed = began.map_or(0.0, |began| began.elapsed().as_secs_f64() * 1e3);
            let process = std::process::id();
            writeln!(out, "pyteleport {process} {passed:9.1} ms: {}", record.args())
        })
        .build();
    log::set_max_level(logger.filter());
    // It is there already from the second move on.
    let _ = log::set_boxed_logger(Box::new(logger));
}
