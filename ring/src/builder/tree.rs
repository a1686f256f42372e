//! Core: the failure domains of a builder's weighted devices as one tree: root, regions, zones, addresses, devices.
//!
//! Nodes are numbered so that a parent comes before its children and siblings stand in Swift's sorted order. Devices of
//! weight 0 take no part.

use super::{Builder, TierName};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// By device id: the nodes above it, root first, its own last; empty for devices of weight 0.
    pub(super) paths: Vec<Vec<usize>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) tier: Vec<TierName>,
    pub(super) children: Vec<usize>,
    /// Devices below.
    pub(super) devices: usize,
    /// Set on leaves.
    pub(super) device: Option<u32>,
}

impl Tree {
    pub(super) fn new(builder: &Builder) -> Tree {
        let tiers = builder.iter().filter(|device| device.device.weight > 0.0).map(|device| {
            let device = &device.device;
            let tier = [
                TierName::Number(device.region),
                TierName::Number(device.zone),
                TierName::Ip(device.ip.clone()),
                TierName::Number(device.id),
            ];
            (tier, device.id)
        });
        let sorted: BTreeMap<_, _> = tiers.collect();
        let mut tree = Tree { nodes: vec![Node::default()], paths: vec![Vec::new(); builder.devices.len()] };
        for (tier, id) in sorted {
            let mut path = vec![0];
            for depth in 1..=tier.len() {
                let parent = path.last().copied().unwrap_or(0);
                let name = tier.get(..depth).unwrap_or_default();
                path.push(tree.child(parent, name));
            }
            for &node in &path {
                tree.node_mut(node).devices += 1;
            }
            tree.node_mut(path.last().copied().unwrap_or(0)).device = Some(id);
            if let Some(slot) = tree.paths.get_mut(id as usize) {
                *slot = path;
            }
        }
        tree
    }

    pub(super) fn node(&self, at: usize) -> &Node {
        self.nodes.get(at).expect("nodes name one another only")
    }

    /// The nodes above a device and its own; empty for one of weight 0.
    pub(super) fn path(&self, id: u32) -> &[usize] {
        self.paths.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// The last child is the only one that can have this name: devices come sorted.
    fn child(&mut self, parent: usize, tier: &[TierName]) -> usize {
        let last = self.node(parent).children.last().copied();
        if let Some(last) = last.filter(|last| self.node(*last).tier == tier) {
            return last;
        }
        let at = self.nodes.len();
        self.nodes.push(Node { tier: tier.to_vec(), ..Node::default() });
        self.node_mut(parent).children.push(at);
        at
    }

    fn node_mut(&mut self, at: usize) -> &mut Node {
        self.nodes.get_mut(at).expect("nodes name one another only")
    }
}
