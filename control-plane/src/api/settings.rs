//! `/api/v1/settings`.

mod change;
mod show;

pub(crate) use change::change;
pub(crate) use show::show;
