//! The rules of Tokengate: **facts in, verdict out**.
//!
//! The filter decides with this crate in the request path; the control plane validates, mints, encodes and judges with
//! it. A rule is written once, here. The crate performs no I/O and knows neither clock nor randomness nor any proxy:
//! what it needs is an argument (`no_std` makes the rest unnameable, not merely forbidden).
//!
//! The way of a request, each arrow a function:
//!
//! ```text
//! header bytes ─ Request::read ─▶ Credential ─ Known::gather: HashKeys::hash ─▶ KeyedHash ─ Shard::find ─▶ TokenRecord
//!              ─ decide ─▶ Verdict ─ headers::edits ─▶ header edits, or problem::Problem ─▶ a reply of ours
//! ```
//!
//! ```
//! use policy::restrictions::Body;
//! use policy::{Facts, Known, Request, Settings, Site, Snapshot, Timestamp, Verdict, decide, DenyReason};
//!
//! let site = Site::default();
//! let headers: [(&[u8], &[u8]); 2] = [(b":path", b"/rest/api/2/issue/JRA-1"), (b"authorization", b"Bearer tgt_typo")];
//! let request = Request::read(&headers, &site);
//! let settings = Settings::default();
//! let verdict = decide(&Facts {
//!     request: &request,
//!     snapshot: Snapshot::Ready { settings: &settings, age_ms: 0 },
//!     known: &Known::default(),
//!     body: Body::NotYet,
//!     now: Timestamp::from_millis(1_800_000_000_000),
//! });
//! assert!(matches!(verdict, Verdict::Deny(DenyReason::MistypedToken)));
//! ```
//!
//! Deliberately without: everything that is the host's: reading shared data, writing headers, asking the time.
#![no_std]
#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test may panic: that is how it fails"
    )
)]

extern crate alloc;

pub mod address;
pub mod assertion;
pub mod calls;
pub mod credential;
mod decide;
mod deny;
mod facts;
pub mod feed;
#[cfg(test)]
mod golden;
pub mod hash;
pub mod headers;
mod method_override;
pub mod path;
pub mod problem;
pub mod record;
mod request;
pub mod restrictions;
pub mod seal;
pub mod settings;
pub mod shard;
mod site;
mod time;
pub mod token;
pub mod trial;
pub mod usage;

pub use address::IpRule;
pub use decide::{Explanation, Grant, Rule, Step, StepOutcome, Verdict, decide, decide_counted, explain, still_stands};
pub use deny::DenyReason;
pub use facts::{Facts, Found, Known, Snapshot, Sources};
pub use hash::{HashKey, HashKeys, KeyedHash};
pub use record::{Addresses, Binding, Owner, Record, RestrictionsRecord, Scope, TokenRecord, TokenState, UserRecord};
pub use request::Request;
pub use seal::SealKey;
pub use settings::{FilterKeys, Settings};
pub use shard::{Layout, Shard, ShardCount, ShardError};
pub use site::{Site, SiteError};
pub use time::Timestamp;
