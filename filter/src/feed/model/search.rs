//! The search through all states of a model.

use super::digest::digest;
use super::world::World;
use super::{Action, Model, State};
use crate::mark;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::rc::Rc;

/// Steps in which a proxy must arrive at what the control plane says, from wherever it is, once nothing disturbs it.
const ARRIVES_WITHIN: usize = 80;

/// States in which a search gives up: far more than any model here has.
const STATES_MAX: usize = 1_000_000;

/// What a search that came to its end has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// States in which a page is missing in what is in force, since no VM survived it.
    pub(super) left_out: usize,
    /// States in which a VM wants everything, since no VM survived the change.
    pub(super) wants_all: usize,
}

/// Why a search did not come to its end.
pub(super) enum Stopped {
    TooLarge,
    Violated(Violation),
}

/// An invariant that does not hold, and the shortest way there.
pub(super) struct Violation {
    pub(super) invariant: &'static str,
    pub(super) trace: Vec<Action>,
    /// The state before the last step.
    pub(super) state: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, trace, state } = self;
        write!(formatter, "violated: {invariant}; after {trace:?}; {state}")
    }
}

impl Model {
    /// Every state that can be reached, each once.
    pub(super) fn explore(&self) -> Result<Explored, Stopped> {
        let world = World::new(self.page, self.flaw);
        let start = self.start(&world);
        let mut visited = HashSet::from([digest(&world, &start, None)]);
        let mut arriving = HashSet::new();
        let mut came: Vec<(usize, Action)> = vec![(0, Action::TimePasses)];
        let mut open = VecDeque::from([(0, start)]);
        let actions = self.actions();
        let (mut steps, mut left_out, mut wants_all) = (0, 0, 0);
        while let Some((index, state)) = open.pop_front() {
            let violated = |invariant, last: Option<Action>| {
                let mut trace: Vec<Action> = last.into_iter().collect();
                let mut at = index;
                while at != 0 {
                    trace.push(came[at].1);
                    at = came[at].0;
                }
                trace.reverse();
                Stopped::Violated(Violation { invariant, trace, state: state.describe(&world) })
            };
            left_out += usize::from(state.seen.head.is_some_and(|head| head.left_out > 0));
            wants_all += usize::from(state.vms.iter().any(|vm| vm.client.wants_all));
            for vm in (0..2).filter(|_| self.dead_ends) {
                self.arrives(&world, &state, vm, &mut arriving).map_err(|invariant| violated(invariant, None))?;
            }
            let mut next = Vec::new();
            for action in actions.iter().filter(|action| self.can(&world, &state, **action)) {
                steps += 1;
                let after = self.apply(&world, &state, *action);
                let after = after.map_err(|invariant| violated(invariant, Some(*action)))?;
                if visited.insert(digest(&world, &after, None)) {
                    next.push((*action, after));
                }
            }
            for (action, after) in next {
                came.push((index, action));
                open.push_back((came.len() - 1, after));
            }
            if came.len() > STATES_MAX {
                return Err(Stopped::TooLarge);
            }
        }
        Ok(Explored { states: came.len(), steps, left_out, wants_all })
    }

    /// With what the first VM begins: nothing, or all of what the control plane says.
    fn start(&self, world: &World) -> State {
        let mut state = State::new(self.from);
        let free = Self { syncs: usize::MAX, ..*self };
        while self.in_force && !state.has_arrived(world) {
            state = free.step_alone(world, &state, 0).unwrap();
        }
        state.syncs = 0;
        state
    }

    /// From now on this VM lives alone and the wire delivers, and the proxy must arrive. `known`: from where it does.
    fn arrives(
        &self,
        world: &World,
        state: &State,
        vm: usize,
        known: &mut HashSet<Vec<u8>>,
    ) -> Result<(), &'static str> {
        let mut way = vec![digest(world, state, Some(vm))];
        if known.contains(&way[0]) {
            return Ok(());
        }
        let mut state = state.clone();
        state.vms[1 - vm] = Rc::default();
        state.looks.clear();
        // What two VMs have ended with is tried again after a while.
        state.now += mark::PAUSE_MS;
        let free = Self { syncs: usize::MAX, ..*self };
        for _ in 0..ARRIVES_WITHIN {
            if way.last().is_some_and(|last| known.contains(last)) || state.has_arrived(world) {
                known.extend(way);
                return Ok(());
            }
            state = free.step_alone(world, &state, vm)?;
            way.push(digest(world, &state, Some(vm)));
        }
        Err("no dead end")
    }

    /// What a VM does that nothing disturbs.
    fn step_alone(&self, world: &World, state: &State, vm: usize) -> Result<State, &'static str> {
        let of_vm = [Action::Effect(vm), Action::Report, Action::Tick(vm), Action::Compose(vm), Action::Deliver(vm)];
        let action = of_vm.into_iter().find(|action| self.can(world, state, *action)).ok_or("no dead end")?;
        self.apply(world, state, action)
    }
}

impl State {
    /// Whether the proxy has all that the control plane says, but for what no VM survives.
    fn has_arrived(&self, world: &World) -> bool {
        self.seen.head.is_some_and(|head| {
            let origins = world.origins(self.control.node);
            let all_there = origins.into_iter().zip(self.seen.under(&head)).all(|(origin, read)| read == Some(origin));
            head.position == world.position(self.control) && (all_there || head.left_out > 0)
        })
    }

    fn describe(&self, world: &World) -> String {
        let head = self.seen.head.map(|head| (head.generation, world.node_at(head.position), head.current_at));
        let (items, last, now) = (self.seen.items, self.seen.last_generation, self.now);
        let queues = self.vms.each_ref().map(|vm| &vm.queue);
        let (control, acknowledged, looks) = (self.control, &self.acknowledged, &self.looks);
        format!(
            "at {now}: generation, node and currency in force {head:?}, items {items:?}, last generation {last}, \
             {control:?}, acknowledged {acknowledged:?}, looks {looks:?}, still to do {queues:?}"
        )
    }
}
