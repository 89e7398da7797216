//! Faults at chosen points, for tests of what comes of them. Not in release builds.

/// Aborts if the variable `TOKENGATE_FAULT` names this point.
pub(crate) fn point(name: &str) {
    if is_wanted(name) {
        eprintln!("tokengate: ending at {name}, as TOKENGATE_FAULT wants it");
        std::process::abort();
    }
}

/// Whether the variable `TOKENGATE_FAULT` names this fault.
pub(crate) fn is_wanted(name: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("TOKENGATE_FAULT").is_ok_and(|wanted| wanted == name)
}
