//! Which tokens are meant.

use crate::commands::{Query, given};

/// Whose tokens.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct Whose {
    /// Those of this user.
    #[arg(long, value_name = "NAME")]
    pub(super) owner: Option<String>,
    /// Everyone's, and unbound ones.
    #[arg(long)]
    pub(super) all: bool,
}

/// Which of them. Times are RFC 3339, such as 2027-01-01T00:00:00Z.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// Those whose label begins like this.
    #[arg(long, value_name = "TEXT")]
    label_prefix: Option<String>,
    /// Those that were created at this time or after it.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Those that were created before this time.
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Those that end at this time or after it.
    #[arg(long, value_name = "TIME")]
    expires_after: Option<String>,
    /// Those that end before this time.
    #[arg(long, value_name = "TIME")]
    expires_before: Option<String>,
    /// Those that were last used at this time or after it.
    #[arg(long, value_name = "TIME")]
    last_used_after: Option<String>,
    /// Those that were last used before this time.
    #[arg(long, value_name = "TIME")]
    last_used_before: Option<String>,
    /// Those that were never used.
    #[arg(long)]
    never_used: bool,
    /// With --all: those that are unbound, or those that are not.
    #[arg(long, value_name = "BOOL", requires = "all")]
    unbound: Option<bool>,
}

/// Both as the API takes them.
pub(super) fn query(whose: &Whose, filter: &Filter) -> Query {
    let Whose { owner, all } = whose;
    let Filter {
        label_prefix,
        created_after,
        created_before,
        expires_after,
        expires_before,
        last_used_after,
        last_used_before,
        never_used,
        unbound,
    } = filter;
    let unbound = unbound.map(|is| is.to_string());
    let mut query = given([
        ("owner", owner),
        ("label_prefix", label_prefix),
        ("created_after", created_after),
        ("created_before", created_before),
        ("expires_after", expires_after),
        ("expires_before", expires_before),
        ("last_used_after", last_used_after),
        ("last_used_before", last_used_before),
        ("unbound", &unbound),
    ]);
    for (name, is_given) in [("all", all), ("never_used", never_used)] {
        if *is_given {
            query.push((name, "true".into()));
        }
    }
    query
}
