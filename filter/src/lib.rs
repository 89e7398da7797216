//! Tokengate's filter: proxy-wasm outside, [`policy`] inside, and as little as possible between them.
//!
//! What outlives a request lives in the proxy's shared data ([`store`], [`snapshot`]), since a VM may be gone at any
//! moment. One VM of a proxy holds a [`lease`] and keeps the snapshot current ([`feed`]); every VM decides from it, and
//! tells in an [`outbox`] what it decided ([`usage`]), which the holder brings to the control plane. All of these are plain Rust over a trait, tested natively; only `adapter` (compiled for Wasm alone) knows the host,
//! and only `adapter::host` is `unsafe`.
//!
//! Deliberately without: rules (they are [`policy`]'s), and any state in memory that correctness needs.

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test may panic: that is how it fails"
    )
)]

#[cfg(target_arch = "wasm32")]
mod adapter;
pub mod config;
pub mod feed;
pub mod lease;
pub mod mark;
pub mod members;
pub mod outbox;
pub mod sets;
pub mod shares;
pub mod snapshot;
pub mod store;
pub mod usage;
