//! What tells one state of the model from another.

use super::super::*;
use super::world::{ControlPlane, World};
use super::{State, Step, Vm, small};

/// What tells a state from others, whatever the time is and whichever of the VMs is called the first. With `alone`,
/// without the other VM and all that is only there for the invariants.
pub(super) fn digest(world: &World, state: &State, alone: Option<usize>) -> Vec<u8> {
    let State { map: _, seen, now, control, vms, deaths, syncs, past, looks, acknowledged } = state;
    let vms = alone.map_or(vms.as_slice(), |vm| &vms[vm..=vm]);
    let writer = Writer::new(world, state, vms, alone.is_none());
    let mut bytes = Vec::with_capacity(192);
    let mut ends = vec![0];
    for vm in vms {
        writer.vm(vm, &mut bytes);
        ends.push(bytes.len());
    }
    if let [_, middle, end] = *ends
        && bytes[middle..end] < bytes[..middle]
    {
        bytes.rotate_left(middle);
    }
    for item in seen.items.as_flattened() {
        match item {
            Some((generation, origin)) => bytes.extend([writer.generation(*generation), small(*origin)]),
            None => bytes.push(0),
        }
    }
    writer.head(seen.head.as_ref(), &mut bytes);
    bytes.extend([writer.generation(seen.last_generation), u8::from(seen.unreadable)]);
    bytes.extend(seen.mark.iter().flat_map(|(name, told)| [name.to_le_bytes(), told.to_le_bytes()].concat()));
    if let Some((generation, [revision, epoch, tag])) = seen.begun {
        bytes.push(writer.generation(generation));
        bytes.extend([revision, epoch, tag].map(u64::to_le_bytes).concat());
    }
    bytes.extend([small(control.node), control.era as u8, small(control.log_from)]);
    if alone.is_none() {
        bytes.extend([small(*deaths), small(*syncs), small(looks.len())]);
        for (head, replaced_at) in looks {
            writer.head(Some(head), &mut bytes);
            bytes.push(u8::try_from(now - replaced_at).unwrap());
        }
        let mut acknowledged: Vec<_> = acknowledged
            .iter()
            .filter(|(node, _)| world.follows(control.node, *node))
            .map(|(node, from)| [small(*node), u8::try_from(from.saturating_sub(*now)).unwrap()])
            .collect();
        acknowledged.sort_unstable();
        bytes.extend(acknowledged.as_flattened());
        bytes.extend(past.iter().map(|(_, node)| small(*node)));
    }
    bytes
}

/// Writes what a state consists of, with times and generations as they matter.
struct Writer<'a> {
    world: &'a World,
    state: &'a State,
    /// Generations count by their order and their bit alone: each in the shortest form that keeps these.
    generations: Vec<(u32, u8)>,
    with_times: bool,
}

impl<'a> Writer<'a> {
    fn new(world: &'a World, state: &'a State, vms: &[std::rc::Rc<Vm>], with_times: bool) -> Self {
        let State { seen, looks, .. } = state;
        let mut known = Vec::with_capacity(16);
        known.push(seen.last_generation);
        known.extend(seen.items.as_flattened().iter().flatten().map(|(generation, _)| *generation));
        known.extend(seen.head.iter().map(|head| head.generation));
        known.extend(seen.begun.iter().map(|(generation, _)| *generation));
        known.extend(looks.iter().filter(|_| with_times).map(|(head, _)| head.generation));
        for vm in vms {
            known.extend(vm.client.full_sync.map(|sync| sync.generation));
            known.extend(vm.queue.iter().filter_map(|step| match step {
                Step::Claim(generation) | Step::Begin { generation, .. } | Step::Write { generation, .. } => {
                    Some(*generation)
                }
                Step::PutHead { head, .. } => Some(head.generation),
                Step::Unmark { .. } => None,
            }));
        }
        known.sort_unstable();
        known.dedup();
        let mut short = 0;
        let shorten = |generation: u32| {
            short += if short & 1 == generation & 1 { 2 } else { 1 };
            (generation, u8::try_from(short).unwrap())
        };
        Self { world, state, generations: known.into_iter().map(shorten).collect(), with_times }
    }

    fn generation(&self, generation: u32) -> u8 {
        self.generations.iter().find(|(known, _)| *known == generation).unwrap().1
    }

    fn position(&self, position: Option<Position>) -> u8 {
        position.map_or(99, |position| small(self.world.node_at(position)))
    }

    /// A time by the changes of the control plane before it.
    fn rank(&self, time: u64) -> u8 {
        let rank = self.state.past.iter().filter(|(since, _)| *since < time).count();
        if self.with_times { small(rank) } else { 0 }
    }

    fn age(&self, time: u64) -> u8 {
        let age = self.state.now.saturating_sub(time).min(ACKNOWLEDGED_AFTER_MS);
        if self.with_times { u8::try_from(age).unwrap() } else { 0 }
    }

    fn head(&self, head: Option<&Head>, bytes: &mut Vec<u8>) {
        let Some(Head { generation, position, settings_revision, current_at, left_out, begun_at }) = head else {
            bytes.push(0);
            return;
        };
        bytes.extend([self.generation(*generation), self.position(Some(*position))]);
        bytes.extend([u8::try_from(*settings_revision).unwrap(), u8::try_from(*left_out).unwrap()]);
        // Whether there was a change since matters only where something is missing.
        bytes.push(if *left_out > 0 { u8::try_from(*begun_at).unwrap() } else { 0 });
        bytes.push(self.rank(*current_at));
    }

    fn cursor(&self, cursor: Option<Cursor>, bytes: &mut Vec<u8>) {
        bytes.push(self.position(cursor.map(|cursor| cursor.from)));
        bytes.push(cursor.map_or(0, |cursor| u8::try_from(cursor.shard).unwrap()));
    }

    fn vm(&self, vm: &Vm, bytes: &mut Vec<u8>) {
        let Vm { client, queue, reply } = vm;
        let Client { under_way, full_sync, fenced_at, wants_all, seen, .. } = client;
        let fenced = match fenced_at {
            None => 0,
            Some(at) if *at == self.state.seen.head => 1,
            Some(_) => 2,
        };
        bytes.extend([fenced, u8::from(*wants_all), u8::from(under_way.is_some()), small(queue.len())]);
        if self.with_times {
            let (position, since) = seen.map_or((None, 0), |(position, since)| (Some(position), since));
            bytes.extend([self.position(position), self.age(since)]);
        }
        if let Some(Question { ask, sent_at }) = under_way {
            bytes.extend([self.position(ask.at), u8::from(ask.all), self.rank(*sent_at)]);
            self.cursor(ask.cursor, bytes);
        }
        match full_sync {
            None => bytes.push(0),
            Some(FullSync { generation, next, settings_revision, left_out }) => {
                bytes.extend([self.generation(*generation), u8::try_from(*left_out).unwrap()]);
                bytes.push(u8::try_from(settings_revision.unwrap_or_default()).unwrap());
                self.cursor(Some(*next), bytes);
            }
        }
        match reply {
            None => bytes.push(0),
            Some(ControlPlane { node, era, log_from }) => {
                bytes.extend([1, small(*node), *era as u8, small(*log_from)]);
            }
        }
        for step in queue {
            match step {
                Step::Claim(generation) => bytes.extend([1, self.generation(*generation)]),
                Step::Begin { generation, from, to } => {
                    bytes.extend([
                        5,
                        self.generation(*generation),
                        self.position(Some(*from)),
                        self.position(Some(*to)),
                    ]);
                }
                Step::Write { generation, key: _, number, revision, origin } => {
                    bytes.extend([2, self.generation(*generation), small(*number)]);
                    bytes.extend([u8::try_from(*revision).unwrap(), small(*origin)]);
                }
                Step::PutHead { head, after } => {
                    bytes.extend([3, self.position(*after)]);
                    self.head(Some(head), bytes);
                }
                Step::Unmark { progress } => bytes.extend([4, u8::from(*progress)]),
            }
        }
    }
}
