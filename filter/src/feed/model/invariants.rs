//! What must hold after every step.

use super::State;
use super::world::World;

/// Whether the step from one state to another kept all that must hold; if not, which of it did not.
pub(super) fn check(world: &World, before: &State, after: &State) -> Result<(), &'static str> {
    let said_still = |node: usize| world.follows(after.control.node, node);
    if let Some(head) = after.seen.head {
        let node = world.node_at(head.position);
        if !world.is_one_state(after.seen.under(&head), node) {
            return Err("what is in force is one state");
        }
        let until = |index: usize| after.past.get(index + 1).map_or(u64::MAX, |(until, _)| *until);
        let mut stood = after.past.iter().enumerate().filter(|(_, (_, was))| *was == node);
        if !stood.any(|(index, _)| until(index) >= head.current_at) {
            return Err("currency counts from questions that were answered");
        }
    }
    if let Some(head) = before.seen.head
        && before.seen != after.seen
    {
        let Some(head_after) = after.seen.head else {
            return Err("nothing in force goes back");
        };
        let nodes = (world.node_at(head.position), world.node_at(head_after.position));
        let values = before.seen.under(&head).into_iter().zip(after.seen.under(&head_after));
        let same = head.generation == head_after.generation;
        let values = values.filter(|_| same).filter_map(|(from, to)| Some((from?, to?)));
        if values.chain([nodes]).any(|(from, to)| said_still(from) && !world.follows(to, from)) {
            return Err("nothing in force goes back");
        }
    }
    for (node, from) in &after.acknowledged {
        if *from > after.now || !said_still(*node) {
            continue;
        }
        let heads = after.seen.head.iter().chain(after.looks.iter().map(|(head, _)| head));
        if !heads.into_iter().all(|head| world.knows(after.seen.under(head), *node)) {
            return Err("what is acknowledged is known to every VM");
        }
    }
    Ok(())
}
