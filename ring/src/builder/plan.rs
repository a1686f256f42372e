//! Core: how many replicas of a partition each failure domain should hold.
//!
//! Two wishes pull: weights say how much a device should hold, dispersion says that failure domains should hold alike.
//! `weighted` is the first, `wanted` the second as far as devices allow, `target` lies between them as far as the
//! overload factor goes. Replicas are fractions here; the plan's minimum and maximum are what one partition may have.

use super::tree::Tree;
use super::{Builder, TierName, slots};
use std::collections::BTreeMap;

/// The numbers of one failure domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanTier {
    /// By weight alone.
    pub weighted: f64,
    /// Dispersed as well as the devices allow.
    pub wanted: f64,
    /// Between the two, by the overload factor.
    pub target: f64,
    /// Replicas of a partition that are fully dispersed at most: beyond it the dispersion figure grows.
    pub max_replicas: f64,
    /// Of one partition, at least.
    pub min: u64,
    /// Of one partition, at most.
    pub max: u64,
}

/// The plan of a builder.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The overload factor at which full dispersion is reached.
    pub required_overload: f64,
    pub(super) tree: Tree,
    /// By node of the tree.
    pub(super) tiers: Vec<PlanTier>,
}

impl Plan {
    /// Plans for the builder's devices of weight.
    pub fn new(builder: &Builder) -> Plan {
        let tree = Tree::new(builder);
        let mut tiers = vec![PlanTier::default(); tree.nodes.len()];
        let mut plan = Plan { required_overload: 0.0, tree, tiers: Vec::new() };
        let weighted = plan.weighted(builder);
        let wanted = plan.wanted(builder.replicas, &weighted);
        plan.required_overload = plan.required(&weighted, &wanted);
        let share = match plan.required_overload {
            required if required > 0.0 => builder.overload.min(required) / required,
            _ => 1.0,
        };
        let max_replicas = plan.max_replicas(builder.replicas);
        for (at, tier) in tiers.iter_mut().enumerate() {
            let (weighted, wanted) = (number(&weighted, at), number(&wanted, at));
            let target = weighted + (wanted - weighted) * share;
            *tier = PlanTier {
                weighted,
                wanted,
                target,
                max_replicas: number(&max_replicas, at),
                min: (target + EPSILON).floor().max(0.0) as u64,
                max: (target - EPSILON).ceil().max(0.0) as u64,
            };
        }
        plan.tiers = tiers;
        plan
    }
    /// All tiers with their numbers, the root first.
    pub fn tiers(&self) -> impl Iterator<Item = (&[TierName], &PlanTier)> {
        self.tree.nodes.iter().map(|node| node.tier.as_slice()).zip(&self.tiers)
    }
    /// How many replicas each device should hold, by device id; devices of weight 0 are left out.
    pub fn parts_by_device(&self, parts: u64, replicas: f64) -> BTreeMap<u32, u64> {
        let mut result = BTreeMap::new();
        let mut given = vec![0; self.tree.nodes.len()];
        if let Some(root) = given.first_mut() {
            *root = slots(parts, replicas);
        }
        for at in 0..self.tree.nodes.len() {
            let mut rest = given.get(at).copied().unwrap_or(0);
            let node = self.tree.node(at);
            if let Some(id) = node.device {
                result.insert(id, rest);
            }
            for &child in &node.children {
                let share = rest.min((self.tier(child).target * parts as f64) as u64);
                set(&mut given, child, share);
                rest -= share;
            }
            let mut rising = node.children.clone();
            rising.sort_by(|a, b| self.tier(*a).target.total_cmp(&self.tier(*b).target));
            // Ends: every turn deals one, and a node without children has been given to its device.
            for &child in rising.iter().cycle() {
                if rest == 0 {
                    break;
                }
                let more = given.get(child).copied().unwrap_or(0) + 1;
                set(&mut given, child, more);
                rest -= 1;
            }
        }
        result
    }

    pub(super) fn tier(&self, at: usize) -> &PlanTier {
        self.tiers.get(at).expect("every node has a tier")
    }

    fn weighted(&self, builder: &Builder) -> Vec<f64> {
        let total: f64 = builder.iter().map(|device| device.device.weight).sum();
        let devices = builder.iter().filter(|device| device.device.weight > 0.0);
        let mut shares: Vec<(u32, f64)> =
            devices.map(|d| (d.device.id, d.device.weight * builder.replicas / total)).collect();
        // Ends: each turn but the last caps at least one more device.
        for _ in 0..=shares.len() {
            let surplus: f64 = shares.iter().map(|(_, share)| (share - 1.0).max(0.0)).sum();
            shares.iter_mut().for_each(|(_, share)| *share = share.min(1.0));
            let open: f64 = shares.iter().map(|(_, share)| share).filter(|share| **share < 1.0).sum();
            if surplus < EPSILON || open <= 0.0 {
                break;
            }
            let open_shares = shares.iter_mut().map(|(_, share)| share).filter(|share| **share < 1.0);
            open_shares.for_each(|share| *share += *share / open * surplus);
        }
        let mut weighted = vec![0.0; self.tree.nodes.len()];
        for (id, share) in shares {
            for &node in self.tree.path(id) {
                let sum = number(&weighted, node) + share;
                set(&mut weighted, node, sum);
            }
        }
        weighted
    }

    /// The root's replicas shared evenly down the tree.
    fn even(&self, replicas: f64) -> Vec<f64> {
        let mut even = vec![0.0; self.tree.nodes.len()];
        set(&mut even, 0, replicas);
        for (at, node) in self.tree.nodes.iter().enumerate() {
            let share = number(&even, at) / node.children.len().max(1) as f64;
            for &child in &node.children {
                let most = if self.tree.node(child).device.is_some() { 1.0 } else { f64::INFINITY };
                set(&mut even, child, share.min(most));
            }
        }
        even
    }

    fn wanted(&self, replicas: f64, weighted: &[f64]) -> Vec<f64> {
        let even = self.even(replicas);
        let mut wanted = vec![0.0; self.tree.nodes.len()];
        set(&mut wanted, 0, replicas);
        for (at, node) in self.tree.nodes.iter().enumerate() {
            let mut shares: Vec<Share> = node
                .children
                .iter()
                .map(|&child| {
                    let devices = self.tree.node(child).devices as f64;
                    let even = number(&even, child);
                    Share {
                        weighted: number(weighted, child),
                        least: even.floor().min(devices),
                        most: even.ceil().min(devices),
                        devices,
                        value: 0.0,
                    }
                })
                .collect();
            divide(number(&wanted, at), &mut shares);
            for (&child, share) in node.children.iter().zip(&shares) {
                set(&mut wanted, child, share.value);
            }
        }
        wanted
    }

    fn required(&self, weighted: &[f64], wanted: &[f64]) -> f64 {
        let leaves = self.tree.nodes.iter().enumerate().filter(|(_, node)| node.device.is_some());
        let needed = leaves.map(|(at, _)| (number(wanted, at) - number(weighted, at)) / number(weighted, at));
        let required = needed.fold(0.0, f64::max);
        // Rounding is no need.
        if required < EPSILON { 0.0 } else { required }
    }

    fn max_replicas(&self, replicas: f64) -> Vec<f64> {
        let mut most = vec![0.0; self.tree.nodes.len()];
        set(&mut most, 0, replicas);
        for (at, node) in self.tree.nodes.iter().enumerate() {
            let share = (number(&most, at) / node.children.len().max(1) as f64).ceil();
            node.children.iter().for_each(|&child| set(&mut most, child, share));
        }
        most
    }
}

/// A child in the division of its parent's replicas.
struct Share {
    weighted: f64,
    least: f64,
    most: f64,
    devices: f64,
    value: f64,
}

/// Shares `total` in proportion to weight within the bounds of dispersion; where these leave no solution, within the
/// number of devices.
fn divide(total: f64, shares: &mut [Share]) {
    let sum: f64 = shares.iter().map(|share| share.weighted).sum();
    for share in shares.iter_mut() {
        share.value = if sum > 0.0 { total * share.weighted / sum } else { 0.0 };
        share.value = share.value.max(share.least).min(share.most);
    }
    level(total, shares, |share| share.most, |share| share.least);
    level(total, shares, |share| share.devices, |_| 0.0);
}

/// Spreads what is missing, or takes what is too much, in proportion to weight where there is room.
fn level(total: f64, shares: &mut [Share], most: fn(&Share) -> f64, least: fn(&Share) -> f64) {
    // Ends: each turn but the last brings at least one share to its bound.
    for _ in 0..=shares.len() {
        let missing = total - shares.iter().map(|share| share.value).sum::<f64>();
        let has_room = |share: &Share| match missing > 0.0 {
            true => share.value < most(share),
            false => share.value > least(share),
        };
        let open: f64 = shares.iter().filter(|share| has_room(share)).map(|share| share.weighted).sum();
        if missing.abs() < EPSILON || open <= 0.0 {
            return;
        }
        for share in shares.iter_mut().filter(|share| has_room(share)) {
            let value = share.value + missing * share.weighted / open;
            share.value = if missing > 0.0 { value.min(most(share)) } else { value.max(least(share)) };
        }
    }
}

fn number(numbers: &[f64], at: usize) -> f64 {
    numbers.get(at).copied().unwrap_or(0.0)
}

fn set<T>(numbers: &mut [T], at: usize, value: T) {
    if let Some(slot) = numbers.get_mut(at) {
        *slot = value;
    }
}

/// Below it, a share is rounding.
const EPSILON: f64 = 1e-10;
