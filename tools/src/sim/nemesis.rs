//! What goes wrong while clients work: crashes, restarts and partitions, chosen by the seed.

use super::cluster::Cluster;
use base::io::sim::SimHandle;
use base::io::sleep;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Makes trouble until `is_over`, then stops all faults and brings every node back.
pub(super) async fn torment(sim: SimHandle, cluster: Rc<Cluster>, is_over: Rc<Cell<bool>>) {
    // Ends: the clients have a bounded number of operations, each with a deadline.
    while !is_over.get() {
        sleep(Duration::from_millis(sim.random(|random| random.between(5, 1000)))).await;
        strike(&sim, &cluster);
        sleep(Duration::from_millis(sim.random(|random| random.between(0, 4000)))).await;
        mend(&sim, &cluster);
    }
    sim.set_faults(false);
    mend(&sim, &cluster);
    cluster.start_all_that_are_down();
}

fn strike(sim: &SimHandle, cluster: &Cluster) {
    let members = cluster.members();
    let Some((proxy, storage)) = members.split_first() else { return };
    let Some(victim) = sim.random(|random| random.pick(storage).map(|member| member.node)) else { return };
    let Some(other) = sim.random(|random| random.pick(members).map(|member| member.node)) else { return };
    match sim.random(|random| random.below(12)) {
        0..=3 => sim.crash(victim),
        4..=5 => {
            sim.crash(victim);
            sim.crash(other);
        }
        6 => sim.crash(proxy.node),
        7 => members.iter().for_each(|member| sim.crash(member.node)),
        8 | 9 => sim.partition(victim, proxy.node, true),
        10 if victim != other => sim.partition(victim, other, true),
        _ => {}
    }
}

/// Starts what is down, mostly: some stay down for another round. Ends partitions.
fn mend(sim: &SimHandle, cluster: &Cluster) {
    if sim.random(|random| random.chance(0.8)) {
        cluster.start_all_that_are_down();
    }
    for (at, one) in cluster.members().iter().enumerate() {
        for other in cluster.members().iter().skip(at + 1) {
            sim.partition(one.node, other.node, false);
        }
    }
}
