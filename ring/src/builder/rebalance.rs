//! Core: moves replicas towards the plan.
//!
//! In order: partitions age; rows take the length that the number of replicas wants; replicas of removed devices come
//! loose; replicas where a failure domain holds more than its maximum move apart; replicas of overfull devices move to
//! devices that lack some. A replica is placed by walking down the tree into the child that lacks most, among those
//! below their maximum for this partition; the walk turns back where a branch has no room.
//!
//! A replica that moves is taken only when its new place is known, so no step makes anything worse.

use super::plan::Plan;
use super::random::Random;
use super::{Builder, BuilderError, NONE, row_lengths};

/// What a rebalance did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rebalanced {
    /// Replicas that have another device now.
    pub changed: u64,
    /// The ring's balance after it, in per cent.
    pub balance: f64,
    /// Removed devices that are gone now.
    pub removed: usize,
}

impl Builder {
    /// Rebalances; `now` is in seconds since 1970. The same state, hours and seed give the same assignments.
    pub fn rebalance(&mut self, seed: &[u8], now: u64) -> Result<Rebalanced, BuilderError> {
        let weighted = self.iter().filter(|device| device.device.weight > 0.0).count();
        if (weighted as f64) < self.replicas {
            return Err(BuilderError::new(format!(
                "Replica count of {} requires more than {weighted} devices",
                crate::json::float_repr(self.replicas)
            )));
        }
        self.age(now);
        let plan = Plan::new(self);
        let before = self.rows.clone();
        let removed = self.drop_removed_devices();
        let mut work = Work::new(self, &plan, seed);
        work.resize_rows();
        work.loosen_homeless();
        work.place_loose();
        work.disperse();
        // Later rounds find room that earlier moves made; three are what Swift takes.
        for _ in 0..3 {
            if !work.level() {
                break;
            }
        }
        let wanted = std::mem::take(&mut work.wanted);
        self.close_books(&plan, &wanted);
        let changed = self.count_changes(&before);
        self.ever_rebalanced = true;
        self.devices_changed = false;
        self.version += 1;
        Ok(Rebalanced { changed, balance: self.balance(), removed })
    }

    /// Whole hours since the last run count for every partition.
    fn age(&mut self, now: u64) {
        if !self.ever_rebalanced {
            self.last_moves_epoch = now;
            // Nothing has moved yet: the first assignment is free.
            self.last_moves.fill(u8::MAX);
            return;
        }
        let hours = now.saturating_sub(self.last_moves_epoch) / 3600;
        if hours > 0 {
            let hours = u8::try_from(hours).unwrap_or(u8::MAX);
            self.last_moves.iter_mut().for_each(|age| *age = age.saturating_add(hours));
            self.last_moves_epoch = now;
        }
    }

    fn drop_removed_devices(&mut self) -> usize {
        let removed = std::mem::take(&mut self.removed);
        for id in &removed {
            if let Some(slot) = self.devices.get_mut(*id as usize) {
                *slot = None;
            }
        }
        removed.len()
    }

    fn close_books(&mut self, plan: &Plan, wanted: &[i64]) {
        let mut held = vec![0u64; self.devices.len()];
        for id in self.rows.iter().flatten() {
            if let Some(count) = held.get_mut(*id as usize) {
                *count += 1;
            }
        }
        for ((device, held), wanted) in self.devices.iter_mut().zip(held).zip(wanted) {
            if let Some(device) = device {
                (device.parts, device.parts_wanted) = (held, *wanted);
            }
        }
        self.measure_dispersion(plan);
    }

    /// Fills the graph of how partitions lie over the failure domains, and the figure made of it.
    fn measure_dispersion(&mut self, plan: &Plan) {
        let slots_per_tier = self.replicas.ceil() as usize + 1;
        let mut graph = vec![vec![0u64; slots_per_tier]; plan.tree.nodes.len()];
        let mut counts = vec![0usize; plan.tree.nodes.len()];
        let mut at_risk = 0.0;
        for part in 0..self.parts() as usize {
            counts.fill(0);
            for id in self.rows.iter().filter_map(|row| row.get(part)) {
                for &node in plan.tree.path(*id) {
                    if let Some(count) = counts.get_mut(node) {
                        *count += 1;
                    }
                }
            }
            let mut excess_by_depth = [0.0; 5];
            for (at, (count, graph)) in counts.iter().zip(&mut graph).enumerate() {
                if let Some(slot) = graph.get_mut(*count) {
                    *slot += 1;
                }
                let depth = plan.tree.node(at).tier.len();
                if let Some(excess) = excess_by_depth.get_mut(depth) {
                    *excess += (*count as f64 - plan.tier(at).max_replicas).max(0.0);
                }
            }
            // The root always has all of them.
            at_risk += excess_by_depth.into_iter().skip(1).fold(0.0, f64::max);
        }
        self.dispersion = 100.0 * at_risk / (self.parts() as f64 * self.replicas);
        let named = plan.tree.nodes.iter().zip(graph).skip(1);
        self.graph = named.map(|(node, counts)| (node.tier.clone(), counts)).collect();
    }

    fn count_changes(&self, before: &[Vec<u32>]) -> u64 {
        let changed = self.rows.iter().enumerate().map(|(at, row)| {
            let old = before.get(at).map_or(&[][..], Vec::as_slice);
            row.iter().enumerate().filter(|(part, id)| old.get(*part) != Some(id)).count() as u64
        });
        changed.sum()
    }
}

/// One rebalance under way.
struct Work<'a> {
    builder: &'a mut Builder,
    plan: &'a Plan,
    /// By device id: replicas it lacks.
    wanted: Vec<i64>,
    /// By node: the sum of what devices below lack, those with too many left out.
    room: Vec<i64>,
    /// By partition: one of its replicas moved in this run.
    moved: Vec<bool>,
    random: Random,
    /// Of the partition in hand: replicas per node, itself left out.
    counts: Vec<u64>,
    /// Partitions behind the one in hand that have loose entries.
    unplaced: i64,
}

impl<'a> Work<'a> {
    fn new(builder: &'a mut Builder, plan: &'a Plan, seed: &[u8]) -> Self {
        let parts = builder.parts();
        let targets = plan.parts_by_device(parts, builder.replicas);
        let wanted = (0..builder.devices.len() as u32).map(|id| targets.get(&id).map_or(0, |target| *target as i64));
        let mut work = Work {
            wanted: wanted.collect(),
            room: vec![0; plan.tree.nodes.len()],
            moved: vec![false; parts as usize],
            random: Random::new(seed),
            counts: vec![0; plan.tree.nodes.len()],
            unplaced: 0,
            builder,
            plan,
        };
        for id in 0..work.wanted.len() as u32 {
            let lacks = work.lacks(id);
            work.add_room(id, lacks.max(0));
        }
        for id in work.builder.rows.iter().flatten().copied().collect::<Vec<_>>() {
            work.want(id, -1);
        }
        work
    }

    /// Grows with loose entries, shrinks by letting go.
    fn resize_rows(&mut self) {
        let lengths = row_lengths(self.builder.parts(), self.builder.replicas);
        let mut rows = std::mem::take(&mut self.builder.rows);
        let dropped = rows.iter().enumerate();
        let dropped = dropped.flat_map(|(at, row)| row.iter().skip(lengths.get(at).copied().unwrap_or(0)));
        dropped.for_each(|id| self.want(*id, 1));
        rows.resize(lengths.len(), Vec::new());
        for (row, length) in rows.iter_mut().zip(&lengths) {
            row.resize(*length, NONE);
        }
        self.builder.rows = rows;
    }

    /// Entries whose device is gone, or has no weight any more, lose it. The first counts as a move of the partition,
    /// but waits for nothing; the second is a move like any other and is left to `level`.
    fn loosen_homeless(&mut self) {
        let builder = &mut *self.builder;
        for row in &mut builder.rows {
            for (part, id) in row.iter_mut().enumerate() {
                let there = builder.devices.get(*id as usize).is_some_and(Option::is_some);
                if !there && *id != NONE {
                    *id = NONE;
                    mark_moved(&mut self.moved, &mut builder.last_moves, part);
                }
            }
        }
    }

    /// Gives every loose entry a device.
    fn place_loose(&mut self) {
        let mut parts = self.shuffled_parts();
        parts.retain(|part| self.builder.rows.iter().any(|row| row.get(*part) == Some(&NONE)));
        self.unplaced = parts.len() as i64;
        for part in parts {
            self.unplaced -= 1;
            for row in 0..self.builder.rows.len() {
                if self.entry(row, part) != Some(NONE) {
                    continue;
                }
                self.count_others(row, part);
                if let Some(id) = self.best_place() {
                    self.assign(row, part, id);
                    if !self.builder.ever_rebalanced {
                        mark_moved(&mut self.moved, &mut self.builder.last_moves, part);
                    }
                }
            }
        }
    }

    /// Moves replicas out of failure domains that hold more than their maximum, one per partition.
    fn disperse(&mut self) {
        for part in self.shuffled_parts() {
            if !self.can_move(part) {
                continue;
            }
            // The worst placed replica first: the one whose device has most to give away.
            let mut rows: Vec<usize> = (0..self.builder.rows.len()).filter(|row| self.is_crowded(*row, part)).collect();
            rows.sort_by_key(|row| self.entry(*row, part).map_or(0, |id| self.lacks(id)));
            for row in rows {
                self.count_others(row, part);
                let here = self.entry(row, part).unwrap_or(NONE);
                // Dispersion is worth an overfull device; `level` evens it out later.
                let place = self.place(false, true).or_else(|| self.place(true, true));
                if let Some(place) = place.filter(|place| *place != here) {
                    self.assign(row, part, place);
                    mark_moved(&mut self.moved, &mut self.builder.last_moves, part);
                    break;
                }
            }
        }
    }

    /// Moves replicas from overfull devices to those that lack some; false when there was nothing to do.
    fn level(&mut self) -> bool {
        let mut any = false;
        for part in self.shuffled_parts() {
            if !self.can_move(part) {
                continue;
            }
            for row in 0..self.builder.rows.len() {
                let Some(here) = self.entry(row, part).filter(|id| self.lacks(*id) < 0) else { continue };
                self.count_others(row, part);
                if let Some(place) = self.place(false, true).filter(|place| *place != here) {
                    self.assign(row, part, place);
                    mark_moved(&mut self.moved, &mut self.builder.last_moves, part);
                    any = true;
                    break;
                }
            }
        }
        any
    }

    /// For an entry that must have a device: within the plan and with room, else within the plan, else with room, else
    /// anywhere but on a device that has one already.
    fn best_place(&self) -> Option<u32> {
        let tries = [(false, true), (true, true), (false, false), (true, false)];
        tries.into_iter().find_map(|(overfull, planned)| self.place(overfull, planned))
    }

    /// Walks down the tree. `overfull` allows devices that lack nothing, `planned` keeps the plan's maxima.
    fn place(&self, overfull: bool, planned: bool) -> Option<u32> {
        self.descend(0, overfull, planned)
    }

    /// The depth is that of the tree: four.
    fn descend(&self, at: usize, overfull: bool, planned: bool) -> Option<u32> {
        let node = self.plan.tree.node(at);
        if let Some(id) = node.device {
            return (overfull || self.lacks(id) > 0).then_some(id);
        }
        let count = |child: usize| self.counts.get(child).copied().unwrap_or(0);
        let fits = |child: &usize| {
            let is_device = self.plan.tree.node(*child).device.is_some();
            let limit = if planned { self.plan.tier(*child).max } else { u64::MAX };
            // A second replica on one device is no replica.
            count(*child) < if is_device { limit.min(1) } else { limit }
        };
        let room = |child: usize| match self.plan.tree.node(child).device {
            Some(id) => self.lacks(id),
            None => self.room.get(child).copied().unwrap_or(0),
        };
        let mut children: Vec<usize> = node.children.iter().copied().filter(fits).collect();
        children.retain(|child| overfull || room(*child) > 0);
        // What partitions to come must place here is not free for this one.
        let spare = |child: usize| room(child) - self.plan.tier(child).min as i64 * self.unplaced;
        let crowding = |child: usize| match planned {
            true => u64::from(count(child) >= self.plan.tier(child).min),
            false => count(child),
        };
        // Who lacks its minimum of this partition, or beyond the plan the least crowded; then who lacks most; then
        // Swift's order.
        children.sort_by_key(|child| (crowding(*child), std::cmp::Reverse(spare(*child)), *child));
        children.into_iter().find_map(|child| self.descend(child, overfull, planned))
    }

    /// Whether a replica stands where its partition has more than the plan's maximum, or beside another on one device.
    fn is_crowded(&mut self, row: usize, part: usize) -> bool {
        self.count_others(row, part);
        let Some(id) = self.entry(row, part) else { return false };
        let others = |node: usize| self.counts.get(node).copied().unwrap_or(0);
        self.plan.tree.path(id).iter().any(|&node| {
            let most = self.plan.tier(node).max;
            let most = if self.plan.tree.node(node).device.is_some() { most.clamp(1, 1) } else { most };
            others(node) + 1 > most
        })
    }

    fn count_others(&mut self, row: usize, part: usize) {
        self.counts.fill(0);
        for (_, row) in self.builder.rows.iter().enumerate().filter(|(other, _)| *other != row) {
            for &node in row.get(part).map_or(&[][..], |id| self.plan.tree.path(*id)) {
                if let Some(count) = self.counts.get_mut(node) {
                    *count += 1;
                }
            }
        }
    }

    fn assign(&mut self, row: usize, part: usize, id: u32) {
        let slot = self.builder.rows.get_mut(row).and_then(|row| row.get_mut(part));
        let old = std::mem::replace(slot.expect("the caller read this entry"), id);
        self.want(old, 1);
        self.want(id, -1);
    }

    fn want(&mut self, id: u32, more: i64) {
        let Some(wanted) = self.wanted.get_mut(id as usize) else { return };
        let before = (*wanted).max(0);
        *wanted += more;
        let change = (*wanted).max(0) - before;
        self.add_room(id, change);
    }

    fn add_room(&mut self, id: u32, change: i64) {
        for &node in self.plan.tree.path(id) {
            if let Some(room) = self.room.get_mut(node) {
                *room += change;
            }
        }
    }

    fn lacks(&self, id: u32) -> i64 {
        self.wanted.get(id as usize).copied().unwrap_or(0)
    }

    fn entry(&self, row: usize, part: usize) -> Option<u32> {
        self.builder.rows.get(row)?.get(part).copied()
    }

    fn can_move(&self, part: usize) -> bool {
        let age = self.builder.last_moves.get(part).copied().unwrap_or(0);
        !self.moved.get(part).copied().unwrap_or(true) && u64::from(age) >= self.builder.min_part_hours
    }

    fn shuffled_parts(&mut self) -> Vec<usize> {
        let mut parts: Vec<usize> = (0..self.moved.len()).collect();
        self.random.shuffle(&mut parts);
        parts
    }
}

fn mark_moved(moved: &mut [bool], last_moves: &mut [u8], part: usize) {
    if let (Some(moved), Some(age)) = (moved.get_mut(part), last_moves.get_mut(part)) {
        (*moved, *age) = (true, 0);
    }
}
