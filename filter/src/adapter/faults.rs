//! Faults on purpose, for tests of what happens when a VM fails: never in a filter that is to protect anything.
//!
//! They lie in the data: an answer of the control plane that holds one of these names does it.

use super::host;

/// Ends the VM.
const TRAP: &[u8] = b"tokengate-fault-trap";

/// Keeps the VM busy for longer than the lease lasts.
const STALL: &[u8] = b"tokengate-fault-stall";
const STALL_MS: u64 = 3000;

/// Does what the answer wants; stalls only where it has not ended a VM or kept one busy before.
pub(super) fn meet(answer: &[u8], ended: u8) {
    let holds = |name: &[u8]| answer.windows(name.len()).any(|window| window == name);
    if holds(TRAP) {
        core::arch::wasm32::unreachable();
    }
    if holds(STALL) && ended == 0 {
        let clock = || host::monotonic_clock().unwrap_or(u64::MAX);
        let until = clock().saturating_add(STALL_MS);
        while clock() < until {}
    }
}
