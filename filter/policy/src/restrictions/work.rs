//! What one judgement may spend (L11). A worker of the proxy serves everyone, so nobody's request may keep it for long.

/// Steps of one judgement: what 1,000 ordinary lines take for the longest path. A step is some 2 ns in Wasm, so that is
/// about 5 ms of a worker.
pub const STEPS_MAX: usize = 2_500_000;

/// Bytes of a path, and of a query that restrictions look at: more than the address of any REST resource has. (Longer
/// queries are of searches, which go on under a line for the path.)
pub const TARGET_LEN_MAX: usize = 2 * 1024;

/// What is left cannot pay for a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooCostly;

/// What one judgement may still spend, and what it has spent of what counts against a token (L11).
#[derive(Debug)]
pub(super) struct Work {
    steps_left: usize,
    /// Whether something could not be paid for: then nothing is, that comes after it.
    spent: bool,
    counted: usize,
    /// Bytes of what was made for this judgement and stays.
    made: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self { steps_left: STEPS_MAX, spent: false, counted: 0, made: 0 }
    }
}

impl Work {
    /// Pays for what the path alone makes long.
    pub(super) fn pay(&mut self, steps: usize) -> Result<(), TooCostly> {
        let left = self.steps_left.checked_sub(steps).filter(|_| !self.spent);
        self.spent = left.is_none();
        self.steps_left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(TooCostly)
    }

    /// Pays for what somebody chose: a regex of the general engine, or a body.
    pub(super) fn pay_counted(&mut self, steps: usize) -> Result<(), TooCostly> {
        self.pay(steps)?;
        self.counted = self.counted.saturating_add(steps);
        Ok(())
    }

    /// Notes bytes that stay when the judgement is over.
    pub(super) fn note_made(&mut self, bytes: usize) {
        self.made = self.made.saturating_add(bytes);
    }

    /// Steps that count against the token.
    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// Bytes of what was made for this judgement and stays.
    pub(super) fn made(&self) -> usize {
        self.made
    }
}
