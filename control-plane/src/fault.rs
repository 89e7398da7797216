//! Ends the program at a chosen point, for tests of what a crash there leaves behind. Not in release builds.

/// Aborts if the variable `TOKENGATE_FAULT` names this point.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("TOKENGATE_FAULT").is_ok_and(|wanted| wanted == name) {
        eprintln!("tokengate: ending at {name}, as TOKENGATE_FAULT wants it");
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
