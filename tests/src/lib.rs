//! Tokengate end to end: nothing here is a stand-in. [`World`] starts real Envoy with the real filter, the real control
//! plane on its own database, and the demo backend as processes on free ports of 127.0.0.1; the tests in `end_to_end/`
//! read as sentences about it.
//!
//! The same parts serve `make run` (`src/bin/local-stack.rs`): what a user tries is what the tests try.

#![expect(clippy::missing_panics_doc, reason = "tests fail by panicking")]

pub mod backend;
pub mod clock;
pub mod load;
pub mod process;
mod proxy;
mod random;
pub mod recorder;
mod snapshot;
pub mod stack;
pub mod wire;
mod world;

pub use proxy::{CONNECTIONS, Proxy};
pub use random::Random;
pub use snapshot::assert_snapshot;
pub use world::{
    Call, Reply, StopWhenDropped, Token, UNKNOWN_TOKEN, World, basic, client, eventually, eventually_within, free_port,
    in_seconds,
};
